#!/usr/bin/env bash
# Plans eight trainings, runs each, and prints how far time and peak memory were off.
# Usage: Benchmarks/plan/run.sh [--only NAME …] [--threads 2] [--real FOLDER] [--epochs 1]
# The model and the pairs are those of Benchmarks/compare, which makes them (UPSTREAM_VENV as there); --work names a folder that holds them already.
# --real names a folder with a model in `model` and texts in `texts.json` (rows with `text`), of which two of the eight trainings are made.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
work=$root/.build/compare
for ((i = 1; i <= $#; i++)); do
    if [ "${!i}" = --work ]; then next=$((i + 1)); work=${!next}; fi
done
export PYTHONDONTWRITEBYTECODE=1
if [ ! -e "$work/workload.json" ]; then
    venv=${UPSTREAM_VENV:-$work/venv}
    [ -x "$venv/bin/python" ] || { echo "plan: run Benchmarks/compare/run.sh first, or set UPSTREAM_VENV: the model is made with Python's tokenizers" >&2; exit 64; }
    mkdir -p "$work"
    "$venv/bin/python" "$root/Benchmarks/compare/workload.py" "$work"
fi
exec python3 "$root/Benchmarks/plan/measure.py" --root "$root" --work "$work" "$@"
