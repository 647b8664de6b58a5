"""Plans trainings, carries them out, and compares time and peak memory with what was planned."""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

WARM_UP = 2
ALLOWED = 0.15

COMMON = {
    "do_train": True,
    "template": "llama3",
    "cutoff_len": 512,
    "overwrite_cache": True,
    "overwrite_output_dir": True,
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "per_device_train_batch_size": 2,
    "learning_rate": 1.0e-5,
    "lr_scheduler_type": "constant",
    "dataset_dir": "data",
    "model_name_or_path": "model",
    "use_cpu": True,
}
LORA = {"finetuning_type": "lora", "lora_target": "all", "lora_rank": 8}
FULL = {"finetuning_type": "full"}
REAL = {"model_name_or_path": "real/model", "dataset": "real", "stage": "pt", "template": None, "packing": True}

JOBS = {
    "dpo-lora": {"stage": "dpo", "dataset": "plan_pairs", **LORA},
    "dpo-lora-bf16": {"stage": "dpo", "dataset": "plan_pairs", "bf16": True, **LORA},
    "sft-lora": {"stage": "sft", "dataset": "plan_sft", **LORA},
    "sft-full": {"stage": "sft", "dataset": "plan_sft", **FULL},
    "pt-full-bf16": {"stage": "pt", "dataset": "plan_pt", "template": None, "packing": True, "bf16": True, **FULL},
    "rm-lora": {"stage": "rm", "dataset": "plan_pairs", **LORA},
    "kto-lora-bf16": {"stage": "kto", "dataset": "plan_kto", "bf16": True, **LORA},
    "ppo-lora": {
        "stage": "ppo",
        "dataset": "plan_sft",
        "reward_model": "out/plan-rm-lora",
        "max_new_tokens": 64,
        "max_steps": 8,
        **LORA,
    },
}
# With a real model these two take the places of the last but one kinds.
REAL_JOBS = {
    "real-pt-lora": {**REAL, **LORA},
    "real-pt-lora-bf16": {**REAL, **LORA, "bf16": True},
}


def make_data(work, real):
    pairs = json.loads((work / "data/pairs.json").read_text())
    rows = {
        "plan_sft": [{"instruction": p["instruction"], "output": p["chosen"]} for p in pairs],
        "plan_pt": [{"text": f"{p['instruction']}\n{p['chosen']}\n{p['rejected']}"} for p in pairs],
        "plan_kto": [
            {"instruction": p["instruction"], "output": p["chosen" if i % 2 == 0 else "rejected"], "label": i % 2 == 0}
            for i, p in enumerate(pairs)
        ],
    }
    for name, content in rows.items():
        (work / f"data/{name}.json").write_text(json.dumps(content))
    columns = {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"}
    info = json.loads((work / "data/dataset_info.json").read_text())
    info["plan_pairs"] = {"file_name": "pairs.json", "ranking": True, "columns": columns}
    info["plan_sft"] = {"file_name": "plan_sft.json", "columns": {"prompt": "instruction", "response": "output"}}
    info["plan_pt"] = {"file_name": "plan_pt.json", "columns": {"prompt": "text"}}
    info["plan_kto"] = {
        "file_name": "plan_kto.json",
        "columns": {"prompt": "instruction", "response": "output", "kto_tag": "label"},
    }
    if real:
        # As many texts as make a few dozen packs.
        texts = json.loads((real / "texts.json").read_text())[:200]
        (work / "data/plan_real.json").write_text(json.dumps([{"text": row["text"]} for row in texts]))
        info["real"] = {"file_name": "plan_real.json", "columns": {"prompt": "text"}}
        (work / "real").mkdir(exist_ok=True)
        link = work / "real/model"
        if not link.exists():
            link.symlink_to((real / "model").resolve())
    (work / "data/dataset_info.json").write_text(json.dumps(info, indent=1))


def plan(program, config, work, environment):
    start = time.monotonic()
    done = subprocess.run(
        [program, "plan", config, "--json"], cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    if done.returncode != 0:
        sys.exit(f"plan: {config}: {done.stderr.decode()}")
    return json.loads(done.stdout), time.monotonic() - start


def train(program, config, work, environment, log):
    """The moments of the log lines of steps, peak memory in bytes and the exit status."""
    moments = []
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [program, "train", config], cwd=work, env=environment, stdout=subprocess.PIPE, stderr=out
        )
        for line in process.stdout:
            if line.lstrip().startswith(b"{'loss'"):
                moments.append(time.monotonic())
            out.write(line)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or len(moments) < WARM_UP + 2:
        sys.exit(f"plan: {config} ended with status {process.returncode}; see {log}")
    return moments, usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--binary", type=pathlib.Path)
    parser.add_argument("--real", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--max-steps", type=int, help="of every training")
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    work = options.work.resolve()
    program = str((options.binary or options.root / ".build/release/llamafactory-cli").resolve())
    environment = dict(
        os.environ, OMP_NUM_THREADS=str(options.threads), MKL_NUM_THREADS=str(options.threads), HF_HUB_OFFLINE="1"
    )
    make_data(work, options.real)
    jobs = dict(JOBS)
    if options.real:
        for name in ["sft-lora", "kto-lora-bf16"]:
            jobs.pop(name)
        jobs.update(REAL_JOBS)
    if options.only:
        jobs = {name: job for name, job in jobs.items() if name in options.only}
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"note: other work is running (load {load:.1f}), so plans and runs may see different machines")
    print(f"{'':20}{'s/step':>9}{'planned':>9}{'ratio':>7}{'GiB':>9}{'planned':>9}{'ratio':>7}{'plan took':>11}")
    worst, results = 0.0, {}
    for name, job in jobs.items():
        output = f"out/plan-{name}"
        settings = {**COMMON, **job, "output_dir": output, "num_train_epochs": options.epochs}
        if options.max_steps:
            settings["max_steps"] = options.max_steps
        config = work / f"plan-{name}.yaml"
        lines = [f"{key}: {json.dumps(value)}\n" for key, value in settings.items() if value is not None]
        config.write_text("".join(lines))
        planned, took = plan(program, config.name, work, environment)
        if name != "rm-lora":
            shutil.rmtree(work / output, ignore_errors=True)
        moments, peak = train(program, config.name, work, environment, work / f"plan-{name}.log")
        steps = [after - before for before, after in zip(moments, moments[1:])][WARM_UP - 1 :]
        seconds = statistics.mean(steps)
        time_ratio = planned["seconds_per_step"] / seconds
        memory_ratio = planned["peak_bytes"] / peak if planned.get("peak_bytes") else float("nan")
        worst = max([worst, abs(time_ratio - 1), abs(memory_ratio - 1)])
        results[name] = {"planned": planned, "seconds_per_step": seconds, "steps": steps, "peak_bytes": peak}
        print(
            f"{name:20}{seconds:9.3f}{planned['seconds_per_step']:9.3f}{time_ratio:7.2f}"
            f"{peak / 2**30:9.2f}{(planned.get('peak_bytes') or 0) / 2**30:9.2f}{memory_ratio:7.2f}{took:10.1f}s",
            flush=True,
        )
    (work / "plan-results.json").write_text(json.dumps(results, indent=1))
    print(f"farthest off: {100 * worst:.0f} %, allowed {100 * ALLOWED:.0f} %")
    if not worst <= ALLOWED:
        sys.exit(1)


if __name__ == "__main__":
    main()
