#!/bin/bash
# Streams a large JSONL file through a training run and prints the most memory that the run held; `make build` first.
#
# Usage: Benchmarks/streaming/run.sh [--gigabytes N] [--row-bytes N] [--steps N] [--batch N] [--buffer ROWS] [--cutoff TOKENS]
#        [--packed]
#
# The file is made in $TMPDIR (default /tmp) and removed at the end. The model is the demo's. Fails above 500 MB.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cli=${CLI:-$root/.build/release/llamafactory-cli}
gigabytes=5 row_bytes=2500 steps=20 batch=8 buffer=16384 cutoff=256 packed=false
while [ $# -gt 0 ]; do
    case $1 in
    --gigabytes) gigabytes=$2; shift 2 ;;
    --row-bytes) row_bytes=$2; shift 2 ;;
    --steps) steps=$2; shift 2 ;;
    --batch) batch=$2; shift 2 ;;
    --buffer) buffer=$2; shift 2 ;;
    --cutoff) cutoff=$2; shift 2 ;;
    --packed) packed=true; shift ;;
    *) echo "unknown option: $1" >&2; exit 64 ;;
    esac
done
rows=$((gigabytes * 1000000000 / row_bytes))

folder=$(mktemp -d "${TMPDIR:-/tmp}/streaming-benchmark-XXXXXX")
run=
trap 'if [ -n "$run" ]; then kill "$run" 2>/dev/null || true; fi; rm -rf "$folder"' EXIT
free=$(df -Pk "$folder" | awk 'NR == 2 { print $4 }')
if [ "$free" -lt $(((gigabytes + 2) * 1000000)) ]; then
    echo "$folder has $((free / 1000000)) GB free: $((gigabytes + 2)) are needed." >&2
    exit 1
fi

echo "making $rows rows of about $row_bytes bytes ($gigabytes GB) in $folder"
awk -v rows="$rows" -v size="$row_bytes" 'BEGIN {
    words = split("amber bell copper dusk ember fern gull harbor ivy juniper kelp lantern moss", word, " ")
    while (length(text) < size + 4000) text = text word[length(text) * 7919 % words + 1] " "
    for (row = 0; row < rows; row++) {
        answer = substr(text, row * 31 % 997 + 1, size - 60 - length(row))
        printf "{\"instruction\": \"What lies behind door %d?\", \"output\": \"%s\"}\n", row, answer
    }
}' > "$folder/rows.jsonl"
file=rows.jsonl
if $packed; then gzip -1 "$folder/rows.jsonl"; file=rows.jsonl.gz; fi
cat > "$folder/dataset_info.json" <<JSON
{"rows": {"file_name": "$file", "columns": {"prompt": "instruction", "response": "output"}}}
JSON
cat > "$folder/config.yaml" <<YAML
model_name_or_path: $root/demo/model
stage: sft
do_train: true
finetuning_type: lora
dataset: rows
dataset_dir: $folder
template: llama3
cutoff_len: $cutoff
streaming: true
buffer_size: $buffer
max_steps: $steps
per_device_train_batch_size: $batch
logging_steps: $((steps > 20 ? steps / 20 : 1))
save_strategy: no
report_to: none
output_dir: $folder/out
YAML

begin=$(date +%s.%N)
"$cli" train "$folder/config.yaml" > "$folder/log" 2>&1 &
run=$!
peak=0
while kill -0 "$run" 2>/dev/null; do
    now=$(awk '/^VmHWM/ { print $2 }' "/proc/$run/status" 2>/dev/null || true)
    if [ "${now:-0}" -gt "$peak" ]; then peak=$now; fi
    sleep 0.05
done
if ! wait "$run"; then
    run=
    tail -n 20 "$folder/log" >&2
    exit 1
fi
run=
end=$(date +%s.%N)
grep "train_loss" "$folder/log" | tail -n 1
awk -v bytes="$(stat -c %s "$folder/$file")" -v peak="$peak" -v begin="$begin" -v end="$end" \
    -v examples="$((steps * batch))" -v rows="$rows" 'BEGIN {
    megabytes = peak * 1024 / 1000000
    printf "%.2f GB, %d rows; %d examples learned in %.1f s; peak resident memory %.0f MB\n",
        bytes / 1e9, rows, examples, end - begin, megabytes
    exit megabytes >= 500
}'
