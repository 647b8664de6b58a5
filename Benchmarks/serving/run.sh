#!/usr/bin/env bash
# Loads the server on this machine and prints each number beside its target; `make build` first.
# Usage: Benchmarks/serving/run.sh [--model FOLDER --template NAME] [--seconds 120] [--clients 200] [--only system,turns,rate,load,adapters]
# UPSTREAM_VENV names a virtual environment with tokenizers, which makes the model of Benchmarks/compare; a model of one's own needs any python3.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work="$root/.build/compare"
venv=${UPSTREAM_VENV:-$work/venv}
python=$venv/bin/python
export PYTHONDONTWRITEBYTECODE=1
if [[ " $* " != *" --model "* ]]; then
    [ -x "$python" ] || { echo "serving: run Benchmarks/compare/run.sh first, set UPSTREAM_VENV, or name a --model." >&2; exit 64; }
    mkdir -p "$work"
    "$python" "$root/Benchmarks/compare/workload.py" "$work"
    set -- --model "$work/model" --template llama3 "$@"
fi
[ -x "$python" ] || python=python3
exec "$python" "$root/Benchmarks/serving/measure.py" --cli "${CLI:-$root/.build/release/llamafactory-cli}" "$@"
