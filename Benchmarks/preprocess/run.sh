#!/bin/bash
# Compares the preprocessing of a data file with the Python original's; `make build` first.
# UPSTREAM_VENV names an installed original; without it the one that Benchmarks/compare/run.sh installed is used.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${UPSTREAM_VENV:-$root/.build/compare/venv}
if [ ! -x "$venv/bin/python" ]; then
    echo "No LLaMA-Factory at $venv: run Benchmarks/compare/run.sh once, or set UPSTREAM_VENV." >&2
    exit 64
fi
exec env PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" "$root/Benchmarks/preprocess/compare.py" \
    --cli "${CLI:-$root/.build/release/llamafactory-cli}" --model "$root/Fixtures/golden/train/models/tiny_llama" \
    --folder "$root/.build/preprocess-benchmark" "$@"
