"""Runs both programs in turn on the same YAML, checks that their losses agree and prints ratios."""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import threading
import time

import workload

WARM_UP = 2
TOLERANCE = {"fp32": 2e-3, "bf16": 3e-2}
GOAL = {"fp32": 3.0, "bf16": 2.0}


def write_config(work, side, precision, steps):
    config = {
        "model_name_or_path": "model",
        "stage": "dpo",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": 8,
        "lora_target": "all",
        "pref_beta": 0.1,
        "dataset": "pairs",
        "dataset_dir": "data",
        "template": "llama3",
        "cutoff_len": workload.CUTOFF,
        "overwrite_cache": True,
        "preprocessing_num_workers": 1,
        "disable_shuffling": True,
        "output_dir": f"out/{side}_{precision}",
        "overwrite_output_dir": True,
        "logging_steps": 1,
        "save_steps": 100000,
        "report_to": "none",
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1.0e-4,
        "lr_scheduler_type": "constant",
        "max_steps": steps,
        "seed": 42,
        "use_cpu": True,
        "bf16": precision == "bf16",
    }
    path = work / f"{side}_{precision}.yaml"
    path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items()))
    return path


def run(command, work, environment, log_path):
    """Runs a training; returns the moments of its loss lines since the start, peak memory and the exit status."""
    start = time.monotonic()
    moments = []
    with open(log_path, "wb") as log:
        process = subprocess.Popen(
            command, cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

        def copy_errors():
            for chunk in iter(lambda: process.stderr.read1(65536), b""):
                log.write(chunk)

        reader = threading.Thread(target=copy_errors)
        reader.start()
        for line in process.stdout:
            if line.lstrip().startswith(b"{'loss'"):
                moments.append(time.monotonic() - start)
            log.write(line)
        _, status, usage = os.wait4(process.pid, 0)
        reader.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "moments": moments,
        "peak_bytes": usage.ru_maxrss * 1024,
        "total_seconds": time.monotonic() - start,
        "status": process.returncode,
    }


def losses(work, side, precision):
    state = json.loads((work / f"out/{side}_{precision}/trainer_state.json").read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


def measure(side, precision, options, work, environment):
    config = write_config(work, side, precision, options.steps)
    program = options.venv / "bin/llamafactory-cli" if side == "upstream" else options.binary
    log_path = work / f"{side}_{precision}.log"
    result = run([str(program), "train", str(config.name)], work, environment, log_path)
    if result["status"] != 0 or len(result["moments"]) != options.steps:
        tail = log_path.read_text(errors="replace").splitlines()[-15:]
        print("\n".join(tail), file=sys.stderr)
        sys.exit(f"compare: {side} ({precision}) ended with status {result['status']}; see {log_path}")
    result["losses"] = losses(work, side, precision)
    result["steps"] = [b - a for a, b in zip(result["moments"], result["moments"][1:])]
    timed = result["steps"][WARM_UP - 1 :]
    print(
        f"  {side:8} {precision}: {statistics.median(timed):7.3f} s/step, first step after "
        f"{result['moments'][0]:5.1f} s, peak {result['peak_bytes'] / 2**30:.2f} GiB",
        flush=True,
    )
    return result


def summarize(rounds):
    """Medians over the rounds; the step time is the median over steps of each step's median over rounds."""
    per_step = [statistics.median(times) for times in zip(*(r["steps"] for r in rounds))][WARM_UP - 1 :]
    return {
        "step": statistics.median(per_step),
        "sum": sum(per_step),
        "first": statistics.median(r["moments"][0] for r in rounds),
        "peak": statistics.median(r["peak_bytes"] for r in rounds),
        "total": statistics.median(r["total_seconds"] for r in rounds),
    }


def machine():
    model = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.processor()
    )
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal")) / 2**20
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB; {platform.system()} {platform.release()}"


def real_tokens(work, steps):
    """Tokens of prompts and answers in the timed steps, without padding and template; a shared prompt counts twice."""
    lengths = json.loads((work / "workload.json").read_text())["lengths"]
    timed = [lengths[(2 * step + row) % len(lengths)] for step in range(WARM_UP, steps) for row in (0, 1)]
    return sum(2 * prompt + chosen + rejected for prompt, chosen, rejected in timed)


def report(precision, results, options, work):
    """Prints the table of one precision; returns whether the losses agree."""
    summary = {side: summarize(rounds) for side, rounds in results.items()}
    tokens = real_tokens(work, options.steps)
    rows = [
        ("step, median (s)", "step", 1, 3),
        ("start to first step (s)", "first", 1, 2),
        ("whole run (s)", "total", 1, 1),
        ("peak memory (GiB)", "peak", 2**30, 2),
    ]
    print(f"\n{precision}: {options.steps} steps, the first {WARM_UP} not timed, {options.rounds} rounds")
    print(f"  {'':24}" + "".join(f"{side:>12}" for side in summary) + ("       ratio" if len(summary) == 2 else ""))

    def line(label, values, decimals):
        ratio = f"{values[0] / values[1]:11.2f}x" if len(values) == 2 else ""
        print(f"  {label:24}" + "".join(f"{value:12.{decimals}f}" for value in values) + ratio)

    for label, key, unit, decimals in rows:
        line(label, [side[key] / unit for side in summary.values()], decimals)
    speeds = [tokens / side["sum"] for side in summary.values()]
    ratio = f"{speeds[1] / speeds[0]:11.2f}x" if len(speeds) == 2 else ""
    print(f"  {'text tokens per second':24}" + "".join(f"{speed:12.0f}" for speed in speeds) + ratio)
    if len(summary) < 2:
        return True
    pairs = list(zip(results["upstream"][0]["losses"], results["ours"][0]["losses"]))
    worst = max(abs(a - b) for a, b in pairs)
    agrees = len(pairs) == options.steps and worst <= TOLERANCE[precision]
    verdict = "agree" if agrees else "DIFFER"
    print(f"  losses {verdict}: largest difference {worst:.2e}, allowed {TOLERANCE[precision]:.0e}")
    speed = summary["upstream"]["step"] / summary["ours"]["step"]
    memory = summary["ours"]["peak"] / summary["upstream"]["peak"]
    print(f"  goal: {GOAL[precision]:.0f}x faster ({speed:.2f}x), half the memory ({memory:.2f})")
    return agrees


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--venv", type=pathlib.Path, required=True)
    parser.add_argument("--binary", type=pathlib.Path, help="the program under test")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16", "both"], default="both")
    parser.add_argument("--side", choices=["both", "upstream", "ours"], default="both")
    options = parser.parse_args()
    if options.steps <= WARM_UP or options.rounds < 1:
        parser.error(f"--steps must be above {WARM_UP} and --rounds at least 1")
    options.binary = (options.binary or options.root / ".build/release/llamafactory-cli").resolve()
    sides = ["upstream", "ours"] if options.side == "both" else [options.side]
    if "ours" in sides and not options.binary.exists():
        sys.exit(f"compare: {options.binary} is missing; run `make build`")
    precisions = ["fp32", "bf16"] if options.precision == "both" else [options.precision]

    environment = dict(os.environ)
    environment.update(
        OMP_NUM_THREADS=str(options.threads),
        MKL_NUM_THREADS=str(options.threads),
        DISABLE_VERSION_CHECK="1",
        HF_HUB_OFFLINE="1",
        PYTHONUNBUFFERED="1",
        TOKENIZERS_PARALLELISM="false",
    )
    print(f"machine: {machine()}; {options.threads} threads each")
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"note: other work is running (load {load:.1f}), so single numbers are off; ratios less so")
    results = {precision: {side: [] for side in sides} for precision in precisions}
    for turn in range(options.rounds):
        for precision in precisions:
            # Who goes first changes, so that neither always meets the warmer or cooler machine.
            for side in sides if turn % 2 == 0 else reversed(sides):
                results[precision][side].append(measure(side, precision, options, options.work, environment))
    agreed = [report(precision, results[precision], options, options.work) for precision in precisions]
    record = {"machine": machine(), "load": load, "steps": options.steps, "threads": options.threads, "results": results}
    (options.work / "results.json").write_text(json.dumps(record, indent=1))
    if not all(agreed):
        sys.exit("compare: the losses differ, so the times compare different computations")


if __name__ == "__main__":
    main()
