#!/usr/bin/env bash
# Trains the same batches in one process of one thread and in two, in turn, and prints how they scale; `make build` first.
# Usage: Benchmarks/scaling/run.sh [--rounds 3] [--steps 12] [--job dpo|pt|both] [--batch 2] [--zero 0|1|2|3] [--binary PROGRAM] [--work FOLDER]
# --work is the folder that `Benchmarks/compare/run.sh` fills (default .build/compare): its model and its preference pairs.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
exec python3 "$root/Benchmarks/scaling/measure.py" --root "$root" "$@"
