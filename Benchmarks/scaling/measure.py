"""Measures two processes of one thread against one process of one thread, and what their communication costs."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

WARM_UP = 2
TOLERANCE = 2e-3
GOAL = 1.7
PARTS = ["", "0", "1"]
JOBS = {"dpo": "DPO, LoRA", "pt": "pre-training, packed, full"}


def write_config(folder, work, job, name, batch, options, part="", profile=False):
    """A training of `batch` examples per process and step; `name` tells runs apart, `part` whose examples they are."""
    config = {
        "model_name_or_path": str(work / "model"),
        "do_train": True,
        "dataset_dir": str(folder),
        "cutoff_len": 512,
        "disable_shuffling": True,
        "disable_tqdm": True,
        "output_dir": str(folder / name),
        "overwrite_output_dir": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "per_device_train_batch_size": batch,
        "learning_rate": 1.0e-4,
        "lr_scheduler_type": "constant",
        "max_steps": options.steps,
        "use_cpu": True,
        "profile": profile,
    }
    if options.zero:
        config["deepspeed"] = {"zero_optimization": {"stage": options.zero}}
    if job == "dpo":
        config |= {
            "stage": "dpo", "finetuning_type": "lora", "lora_rank": 8, "lora_target": "all", "dataset": "pairs" + part,
            "template": "llama3",
        }
    else:
        config |= {"stage": "pt", "finetuning_type": "full", "packing": True, "dataset": "texts" + part}
    path = folder / f"{name}.yaml"
    path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items()))
    return path


def write_data(folder, work, batch):
    """The pairs, and their answers as texts to pack; both as a whole and as each of two processes gets them, batch by batch."""
    pairs = json.loads((work / "data/pairs.json").read_text())
    texts = [{"text": pair["instruction"] + " " + pair[kind]} for pair in pairs for kind in ("chosen", "rejected")] * 4
    columns = {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"}
    entries = {}
    for part in PARTS:
        rows = pairs if part == "" else [pair for i, pair in enumerate(pairs) if i // batch % 2 == int(part)]
        (folder / f"pairs{part}.json").write_text(json.dumps(rows))
        entries["pairs" + part] = {"file_name": f"pairs{part}.json", "ranking": True, "columns": columns}
        # Blocks of packed texts are equally long, whichever texts they are made of.
        (folder / f"texts{part}.json").write_text(json.dumps(texts))
        entries["texts" + part] = {"file_name": f"texts{part}.json", "columns": {"prompt": "text"}}
    (folder / "dataset_info.json").write_text(json.dumps(entries))


class Run:
    """A training that goes on in the background; the moments of its loss lines are stamped as they arrive."""

    def __init__(self, binary, config, processes):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("TORCHELASTIC_", "NPROC_"))}
        environment["OMP_NUM_THREADS"] = "1"
        if processes > 1:
            environment |= {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": str(processes)}
        self.config, self.moments, self.lines = config, [], []
        self.process = subprocess.Popen(
            [str(binary), "train", str(config)], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            if line.lstrip().startswith(b"{'loss'"):
                self.moments.append(time.monotonic())
            self.lines.append(line.decode(errors="replace").rstrip())

    def steps(self, count):
        """Seconds between log lines, once the run has ended."""
        status = self.process.wait()
        self.reader.join()
        if status != 0 or len(self.moments) != count:
            print("\n".join(self.lines[-15:]), file=sys.stderr)
            sys.exit(f"scaling: {self.config.name} ended with status {status} after {len(self.moments)} steps")
        return [b - a for a, b in zip(self.moments, self.moments[1:])][WARM_UP - 1 :]


def losses(folder, name):
    state = json.loads((folder / name / "trainer_state.json").read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


def measure(job, folder, work, options):
    """One round of each arm after another, in turn; returns each arm's step times by round."""
    share, whole = options.batch, 2 * options.batch
    arms = {
        # The same batch of `whole` examples, by one process and by two.
        "one": lambda: [Run(options.binary, write_config(folder, work, job, "one", whole, options), 1)],
        "two": lambda: [Run(options.binary, write_config(folder, work, job, "two", share, options), 2)],
        # Two processes that know nothing of one another, with the share of one: what is left is the machine's own limit.
        "apart": lambda: [
            Run(options.binary, write_config(folder, work, job, f"apart{part}", share, options, part), 1)
            for part in PARTS[1:]
        ],
    }
    times = {arm: [] for arm in arms}
    for number in range(options.rounds):
        for arm in list(arms) if number % 2 == 0 else list(arms)[::-1]:
            runs = arms[arm]()
            each = [run.steps(options.steps) for run in runs]
            # Two that know nothing of one another do not wait for one another either: over all steps both have the same work.
            times[arm].append([statistics.mean(step) for step in zip(*each)])
            print(f"  {job} {arm:6} {statistics.median(times[arm][-1]):8.3f} s/step", flush=True)
    differences = [abs(a - b) for a, b in zip(losses(folder, "one"), losses(folder, "two"), strict=True)]
    if not all(difference <= TOLERANCE for difference in differences):
        sys.exit(f"scaling: the losses of {job} differ by {max(differences):.1e}, allowed are {TOLERANCE:.0e}")
    profile = Run(options.binary, write_config(folder, work, job, "profile", share, options, profile=True), 2)
    profile.steps(options.steps)
    return times, json.loads((folder / "profile/profile_trace.json").read_text())


def mean(rounds):
    """The mean over steps of each step's median over rounds: steps of different length count as they are."""
    return statistics.mean(statistics.median(step) for step in zip(*rounds))


def phase_seconds(trace, phase):
    """Seconds of a step that process 0 spent in a phase."""
    return sum(part["seconds"] for part in trace["otherData"]["phases"].get(phase, {}).values())


def report(job, times, trace):
    one, two, apart = (mean(times[arm]) for arm in ("one", "two", "apart"))
    print(f"\n{JOBS[job]}")
    print(f"  one process, the whole batch       {one:8.3f} s/step")
    print(f"  two processes, half of it each     {two:8.3f} s/step: {one / two:.2f}x (goal {GOAL}x)")
    print(f"  two that do not talk, half each    {apart:8.3f} s/step: {one / apart:.2f}x is the machine's limit")
    print(f"  waiting and communication          {two - apart:8.3f} s/step: {100 * (1 - apart / two):.1f} % of a step")
    waiting, exchange = (phase_seconds(trace, phase) for phase in ("waiting", "exchange"))
    print(f"    process 0 waited {waiting:.3f} s a step for the other one, and exchanged for {exchange:.3f} s\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--binary", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=2, help="examples per process and step, of two processes")
    parser.add_argument("--zero", type=int, choices=[0, 1, 2, 3], default=0)
    parser.add_argument("--job", choices=[*JOBS, "both"], default="both")
    options = parser.parse_args()
    options.binary = (options.binary or options.root / ".build/release/llamafactory-cli").resolve()
    work = (options.work or options.root / ".build/compare").resolve()
    if options.steps <= WARM_UP or options.rounds < 1 or options.batch < 1:
        parser.error(f"--steps must be above {WARM_UP}, --rounds and --batch at least 1")
    if not options.binary.exists():
        sys.exit(f"scaling: {options.binary} is missing; run `make build`")
    if not (work / "data/pairs.json").exists():
        sys.exit(f"scaling: {work} holds no workload; run Benchmarks/compare/run.sh once, or name its folder with --work")
    if os.cpu_count() < 2:
        sys.exit("scaling: two processes need two cores")
    if os.getloadavg()[0] > 0.5:
        print(f"scaling: the machine is busy (load {os.getloadavg()[0]:.1f}); the numbers mean little", file=sys.stderr)
    results = {}
    with tempfile.TemporaryDirectory(prefix="scaling-") as name:
        folder = pathlib.Path(name)
        write_data(folder, work, options.batch)
        for job in JOBS if options.job == "both" else [options.job]:
            results[job] = measure(job, folder, work, options)
    for job, (times, trace) in results.items():
        report(job, times, trace)


if __name__ == "__main__":
    main()
