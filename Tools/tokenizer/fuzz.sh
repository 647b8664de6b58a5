#!/bin/bash
# Runs fuzz_tokenizers.py with the given options, in a virtual environment with the Python libraries that it compares with.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
environment=$root/.build/fuzz-environment
if [ ! -e "$environment/complete" ]; then
    echo "Installing tokenizers 0.22.2 and sentencepiece 0.2.1 into $environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet tokenizers==0.22.2 sentencepiece==0.2.1 protobuf
    touch "$environment/complete"
fi
exec env PYTHONDONTWRITEBYTECODE=1 "$environment/bin/python" "$root/Tools/tokenizer/fuzz_tokenizers.py" "$@"
