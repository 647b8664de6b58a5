#!/usr/bin/env bash
# Trains on two "machines": network namespaces with a cable between them, each started by LLaMA-Factory's line for several nodes. Then the lines
# that cannot work: a machine that is not there, a wrong port, a loopback address.
# Usage, as root: Tools/processes/check_hosts.sh .build/release/llamafactory-cli
set -uo pipefail

program=$(realpath "$1")
fixtures=$(cd "$(dirname "$0")/../../Fixtures/golden/train" && pwd)
work=$(mktemp -d)
ip netns add lf-first && ip netns add lf-second || exit 1
trap 'ip netns del lf-first; ip netns del lf-second; rm -rf "$work"' EXIT
ip link add lf0 netns lf-first type veth peer name lf1 netns lf-second
ip -n lf-first addr add 10.81.0.1/24 dev lf0
ip -n lf-second addr add 10.81.0.2/24 dev lf1
for name in lf-first:lf0 lf-second:lf1; do
    ip -n "${name%:*}" link set lo up
    ip -n "${name%:*}" link set "${name#*:}" up
done

config() { # config OUTPUT BATCH STAGE
    cat <<YAML
model_name_or_path: $fixtures/models/tiny_llama
stage: sft
do_train: true
finetuning_type: full
dataset: harbor_sft
dataset_dir: $fixtures/data
template: llama3
cutoff_len: 256
max_samples: 24
per_device_train_batch_size: $2
max_steps: 12
logging_steps: 1
save_strategy: "no"
ddp_timeout: 20
report_to: none
use_cpu: true
disable_tqdm: true
deepspeed: {zero_optimization: {stage: $3}}
output_dir: $work/$1
overwrite_output_dir: true
YAML
}
train() { # train NAMESPACE RANK ADDRESS PORT PROCESSES CONFIG
    FORCE_TORCHRUN=1 NNODES=2 NODE_RANK=$2 NPROC_PER_NODE=$5 MASTER_ADDR=$3 MASTER_PORT=$4 OMP_NUM_THREADS=1 \
        LLAMAFACTORY_CACHE=$work/cache ip netns exec "$1" "$program" train "$6" >"$work/log-$2" 2>&1
}
losses() { grep -o "'loss': '[0-9.]*'" "$1"; }
failures=0
expect() { # expect WHAT CONDITION...
    if "${@:2}"; then echo "right: $1"; else echo "WRONG: $1"; failures=$((failures + 1)); fi
}
told() { [ "$(grep -c "^error: " "$1")" = 1 ]; }
refused() { told "$1" && grep -q "could not join the others\|did not join" "$1"; }

config alone 4 0 >"$work/alone.yaml"
OMP_NUM_THREADS=1 "$program" train "$work/alone.yaml" >"$work/alone.log" 2>&1
expect "one process trains" grep -q train_loss "$work/alone.log"
for setting in "1 2 0" "2 1 0" "1 2 3"; do
    read -r processes batch stage <<<"$setting"
    config both "$batch" "$stage" >"$work/both.yaml"
    train lf-second 1 10.81.0.1 29571 "$processes" "$work/both.yaml" &
    train lf-first 0 10.81.0.1 29571 "$processes" "$work/both.yaml"
    wait
    expect "two machines with $processes processes each, ZeRO $stage: the losses of one process" \
        diff <(losses "$work/alone.log") <(losses "$work/log-0")
done
# The first machine is not there: nobody answers at its address, or not at the port.
for absent in "10.81.0.9 29571" "10.81.0.1 29999"; do
    read -r address port <<<"$absent"
    seconds=$SECONDS
    train lf-second 1 "$address" "$port" 1 "$work/both.yaml"
    expect "nobody at $address:$port is one sentence ($((SECONDS - seconds)) s)" refused "$work/log-1"
    grep '^error: ' "$work/log-1"
done
seconds=$SECONDS
train lf-first 0 10.81.0.1 29571 1 "$work/both.yaml"
expect "a second machine that does not come is one sentence ($((SECONDS - seconds)) s)" refused "$work/log-0"
grep '^error: ' "$work/log-0"
train lf-first 0 127.0.0.1 29571 1 "$work/both.yaml"
expect "a loopback address is one sentence" told "$work/log-0"
grep '^error: ' "$work/log-0"
exit $((failures > 0))
