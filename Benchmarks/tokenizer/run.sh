#!/bin/bash
# Compares tokenizing speed with Python's `tokenizers`, which it installs into .build/tokenizer-benchmark; `make build` first.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$root/.build/tokenizer-benchmark
if [ ! -e "$folder/venv/complete" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet tokenizers==0.22.2
    touch "$folder/venv/complete"
fi
exec env PYTHONDONTWRITEBYTECODE=1 "$folder/venv/bin/python" "$root/Benchmarks/tokenizer/compare.py" \
    --cli "${CLI:-$root/.build/release/llamafactory-cli}" --folder "$folder/data"
