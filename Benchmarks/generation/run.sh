#!/usr/bin/env bash
# Compares greedy generation on the CPU with Python's transformers, and with llama.cpp where xllamacpp is there: the same weights, prompts and number
# of tokens; `make build` first.
# Usage: Benchmarks/generation/run.sh [--model FOLDER] [--xllamacpp FOLDER] [--rounds 2] [--tokens 64] [--threads 2]
# UPSTREAM_VENV names a virtual environment with torch and transformers; else that of Benchmarks/compare is used.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work="$root/.build/compare"
venv=${UPSTREAM_VENV:-$work/venv}
[ -x "$venv/bin/python" ] || { echo "generation: run Benchmarks/compare/run.sh first, or set UPSTREAM_VENV." >&2; exit 64; }
mkdir -p "$work"
export PYTHONDONTWRITEBYTECODE=1
"$venv/bin/python" "$root/Benchmarks/compare/workload.py" "$work"
exec "$venv/bin/python" "$root/Benchmarks/generation/measure.py" --cli "${CLI:-$root/.build/release/llamafactory-cli}" --work "$work" "$@"
