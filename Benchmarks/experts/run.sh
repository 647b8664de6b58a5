#!/usr/bin/env bash
# Compares a mixture of experts with dense products of the same size, forward and backward in float32; `make build` first.
# Usage: Benchmarks/experts/run.sh [--hidden 1024] [--inner 768] [--experts 64] [--chosen 8] [--rounds 5] [--threads 2]
# Fails where a mixture of 32 or more tokens per expert reaches less than 70 % of the dense rate.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
hidden=1024 inner=768 experts=64 chosen=8 rounds=5 threads=2
while [ $# -gt 0 ]; do
    case $1 in
    --hidden | --inner | --experts | --chosen | --rounds | --threads) printf -v "${1#--}" '%s' "${2:?"$1 needs a number"}" ;;
    *) echo "experts: unknown option $1" >&2; exit 64 ;;
    esac
    shift 2
done
cli=${CLI:-$root/.build/release/llamafactory-cli}
[ -x "$cli" ] || { echo "experts: run make build first." >&2; exit 64; }
printf 'hidden %d, inner %d, %d of %d experts, %d threads; load %s\n' "$hidden" "$inner" "$chosen" "$experts" "$threads" "$(cut -d' ' -f1 /proc/loadavg)"
printf '%s\n' 'tokens per expert   mixture GFLOP/s   dense GFLOP/s   ratio'
failed=0
for tokens in 8 16 32 64 128 256; do
    report=$(OMP_NUM_THREADS=$threads "$cli" bench-experts "$hidden" "$inner" "$experts" "$chosen" "$tokens" "$rounds" "$threads")
    value() { sed "s/.*\"$1\": *\([0-9.eE+-]*\).*/\1/" <<<"$report"; }
    printf '%17d   %15.1f   %13.1f   %5.2f\n' "$tokens" "$(value mixture)" "$(value dense)" "$(value ratio)"
    if [ "$tokens" -ge 32 ] && awk "BEGIN { exit !($(value ratio) < 0.7) }"; then failed=1; fi
done
exit $failed
