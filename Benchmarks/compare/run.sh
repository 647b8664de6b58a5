#!/usr/bin/env bash
# Trains the same jobs with the Python original and with this program, in turn, and prints the ratios.
# Usage: Benchmarks/compare/run.sh [--jobs dpo,sft,…|all] [--model small|half|FOLDER|HUB/NAME] [--rounds 3] [--steps 12] [--precision fp32|bf16|both]
#                                  [--side both|upstream|ours] [--threads 2] [--unsloth VENV]
#        Benchmarks/compare/run.sh --install   makes the original's environment and ends
# UPSTREAM_VENV names a virtual environment that holds the original already; else one is made in the folder that COMPARE_WORK names, or .build/compare.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
work=${COMPARE_WORK:-$root/.build/compare}
venv=${UPSTREAM_VENV:-$work/venv}
mkdir -p "$work"
export PYTHONDONTWRITEBYTECODE=1

# Only the original needs this much Python; the program under test needs none.
install_original() {
    local pip="$venv/bin/python -m pip install --quiet" wheels
    echo "compare: installing LLaMA-Factory 0.9.5 into $venv (once; several hundred megabytes)"
    python3 -m venv "$venv"
    $pip "torch==2.13.0+cpu" 2>/dev/null || $pip "torch==2.13.0"
    wheels=$(mktemp -d)
    trap 'rm -rf "$wheels"' RETURN
    "$venv/bin/python" -m pip download --quiet --no-deps llamafactory==0.9.5 -d "$wheels"
    "$venv/bin/python" "$root/Benchmarks/compare/requirements.py" "$wheels" > "$wheels/requirements.txt"
    $pip -r "$wheels/requirements.txt" jinja2
    $pip --no-deps "$wheels"/llamafactory-0.9.5*.whl
    # The original imports torchaudio, whose builds follow torch's; text training never calls it.
    "$venv/bin/python" - <<'PY'
import pathlib, site
package = pathlib.Path(site.getsitepackages()[0], "torchaudio")
package.mkdir(exist_ok=True)
package.joinpath("__init__.py").write_text('__version__ = "0.0.0"\n')
PY
    touch "$venv/installed"
}

if [ -n "${UPSTREAM_VENV:-}" ]; then
    [ -x "$venv/bin/llamafactory-cli" ] || { echo "compare: no llamafactory-cli in $venv/bin" >&2; exit 64; }
elif [ ! -e "$venv/installed" ]; then
    rm -rf "$venv"
    install_original
fi
[ "${1:-}" != --install ] || exit 0

"$venv/bin/python" "$root/Benchmarks/compare/workload.py" "$work"
exec "$venv/bin/python" "$root/Benchmarks/compare/measure.py" --root "$root" --work "$work" --venv "$venv" "$@"
