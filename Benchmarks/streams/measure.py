"""What does not depend on the original: cost per token by sequences in a stream, memory of a long one, time to the first step."""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

LENGTH = 256
COUNTS = [1, 4, 16, 64]
FLAT = 1.15
LONG = 8192
# Seconds from start to first step: of the benchmark model, and of one in the shape of Qwen2.5-0.5B.
START = {"model": 1.2, "half": 3.0}

COMMON = {
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "lora",
    "lora_target": "all",
    "lora_rank": 8,
    "template": "llama3",
    "dataset_dir": "data",
    "overwrite_cache": True,
    "overwrite_output_dir": True,
    "disable_shuffling": True,
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "learning_rate": 1.0e-5,
    "lr_scheduler_type": "constant",
    "use_cpu": True,
}


def make_data(work):
    """Examples that are cut to the same number of tokens, and texts for one long sequence."""
    words = [word for pair in json.loads((work / "data/pairs.json").read_text()) for word in pair["instruction"].split()]
    rng = random.Random(8192)

    def say(count):
        return " ".join(rng.choice(words) for _ in range(count))

    rows = {
        "streams_equal": [{"instruction": say(20), "output": say(3 * LENGTH)} for _ in range(4 * COUNTS[-1])],
        "streams_long": [{"instruction": say(20), "output": say(2 * LONG)} for _ in range(4)],
        "streams_short": [{"instruction": say(60), "output": say(60)} for _ in range(8)],
    }
    info = json.loads((work / "data/dataset_info.json").read_text())
    for name, content in rows.items():
        (work / f"data/{name}.json").write_text(json.dumps(content))
        info[name] = {"file_name": f"{name}.json", "columns": {"prompt": "instruction", "response": "output"}}
    (work / "data/dataset_info.json").write_text(json.dumps(info, indent=1))


def train(options, name, **settings):
    """Seconds from the start to each step's line, and peak memory in bytes."""
    config = options.work / f"streams-{name}.yaml"
    output = {"output_dir": f"out/streams-{name}", "bf16": options.precision == "bf16"}
    config.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in {**COMMON, **output, **settings}.items()))
    environment = dict(
        os.environ, OMP_NUM_THREADS=str(options.threads), MKL_NUM_THREADS=str(options.threads), HF_HUB_OFFLINE="1"
    )
    log = config.with_suffix(".log")
    moments, start = [], time.monotonic()
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [options.program, "train", config.name], cwd=options.work, env=environment, stdout=subprocess.PIPE, stderr=out
        )
        for line in process.stdout:
            if line.lstrip().startswith(b"{'loss'"):
                moments.append(time.monotonic() - start)
            out.write(line)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or len(moments) != settings["max_steps"]:
        sys.exit(f"streams: {config} ended with status {process.returncode}; see {log}")
    return moments, usage.ru_maxrss * 1024


def cost(options):
    print(f"Sequences of {LENGTH} tokens, SFT with LoRA on all layers, {options.precision}:")
    costs = {}
    for count in COUNTS:
        moments, peak = train(
            options, f"cost-{count}", model_name_or_path="model", dataset="streams_equal", cutoff_len=LENGTH,
            per_device_train_batch_size=count, max_steps=12 if count < 16 else 4,
        )
        steps = [b - a for a, b in zip(moments, moments[1:])]
        costs[count] = statistics.median(steps) / (count * LENGTH)
        print(f"  {count:3} in a stream: {costs[count] * 1e6:8.1f} µs a token, peak {peak / 2**30:.2f} GiB", flush=True)
    spread = max(costs.values()) / min(costs.values())
    print(f"  the dearest costs {spread:.2f} times the cheapest, allowed {FLAT}")
    return spread <= FLAT


def memory(options):
    _, peak = train(
        options, "memory", model_name_or_path="model", dataset="streams_long", cutoff_len=LONG, rope_scaling="linear",
        per_device_train_batch_size=1, max_steps=2,
    )
    print(f"One sequence of {LONG:,} tokens, SFT with LoRA, {options.precision}: peak {peak / 2**30:.2f} GiB", flush=True)
    return True


def start(options):
    met = True
    for model, allowed in START.items():
        if not (options.work / model / "model.safetensors").exists():
            print(f"Start to first step, {model}: not measured, since Benchmarks/compare has not made it (--model {model})")
            continue
        rounds = [
            train(
                options, f"start-{model}", model_name_or_path=model, dataset="streams_short", cutoff_len=512,
                per_device_train_batch_size=2, max_steps=1,
            )[0][0]
            for _ in range(4)
        ]
        # The first brings the files into the system's cache.
        seconds = statistics.median(rounds[1:])
        met = met and seconds < allowed
        print(f"Start to first step, {model}, {options.precision}: {seconds:.2f} s, wanted under {allowed} s", flush=True)
    return met


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--binary", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--only", default="cost,memory,start")
    options = parser.parse_args()
    options.work = options.work.resolve()
    options.program = str((options.binary or options.root / ".build/release/llamafactory-cli").resolve())
    parts = {"cost": cost, "memory": memory, "start": start}
    chosen = options.only.split(",")
    for name in chosen:
        if name not in parts:
            parser.error(f"--only takes {', '.join(parts)}")
    make_data(options.work)
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"note: other work is running (load {load:.1f}), so times are off")
    if not all([parts[name](options) for name in chosen]):
        sys.exit(1)


if __name__ == "__main__":
    main()
