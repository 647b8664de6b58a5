#!/usr/bin/env bash
# Prints what a token costs in streams of 1 to 64 sequences, the memory of one sequence of 8,192 tokens, and the time from start to first step.
# Usage: Benchmarks/streams/run.sh [--work FOLDER] [--only cost,memory,start] [--threads 2] [--precision fp32|bf16]
# The model and its words are those of Benchmarks/compare, which makes them (UPSTREAM_VENV as there); --work names a folder that holds them already.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
work=$root/.build/compare
for ((i = 1; i <= $#; i++)); do
    if [ "${!i}" = --work ]; then next=$((i + 1)); work=${!next}; fi
done
export PYTHONDONTWRITEBYTECODE=1
if [ ! -e "$work/workload.json" ]; then
    echo "streams: run Benchmarks/compare/run.sh first: the model is made with Python's tokenizers" >&2
    exit 64
fi
exec python3 "$root/Benchmarks/streams/measure.py" --root "$root" --work "$work" "$@"
