"""Kills processes of trainings at random moments, and says what becomes of the others and of the result.

    python Tools/processes/check_kills.py .build/release/llamafactory-cli [--kills 50] [--processes 2] [--seed 1] [--zero 0]

Every kill is two trainings, in each of which SIGKILL ends one process, drawn like the moment:

1. without restarts: all processes must be gone within 10 seconds, behind one sentence that says which of them was killed;
2. with MAX_RESTARTS=3: the finished adapter must be that of an undisturbed run, byte for byte.

It trains the small model of Fixtures on this machine's processors; nothing is needed besides.
"""

import argparse
import hashlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "Fixtures/golden/train"
LIMIT = 10


def write_config(folder, output, options):
    config = {
        "model_name_or_path": FIXTURES / "models/tiny_llama", "stage": "sft", "do_train": "true",
        "finetuning_type": "lora", "dataset": "harbor_sft", "dataset_dir": FIXTURES / "data", "template": "llama3",
        "cutoff_len": 256, "max_samples": 24, "per_device_train_batch_size": 1, "learning_rate": 5.0e-4,
        "max_steps": options.steps, "save_steps": 5, "save_total_limit": 2, "logging_steps": 1, "seed": 7,
        "report_to": "none", "disable_tqdm": "true", "output_dir": output, "use_cpu": "true",
    }
    if options.zero:
        config["deepspeed"] = f"{{zero_optimization: {{stage: {options.zero}}}}}"
    path = folder / "config.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in config.items()))
    return path


def members(mark):
    """The processes that carry a mark, by rank; the launcher has none."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            variables = pathlib.Path("/proc", name, "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"LF_KILLS={mark}".encode() in variables:
            rank = next((int(part[5:]) for part in variables if part.startswith(b"RANK=")), None)
            found[int(name)] = rank
    return found


def start(folder, options, restarts=0):
    """A training in a folder of its own."""
    output = folder / "out"
    shutil.rmtree(output, ignore_errors=True)
    mark = uuid.uuid4().hex
    environment = {**os.environ, "FORCE_TORCHRUN": "1", "NPROC_PER_NODE": str(options.processes), "LF_KILLS": mark,
                   "OMP_NUM_THREADS": "1"}
    if restarts:
        environment["MAX_RESTARTS"] = str(restarts)
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [options.program, "train", write_config(folder, output, options)], stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT, env=environment)
    return process, mark


def kill_one(process, mark, rank, moment):
    """Kills the process of a rank at a moment, or as soon after it as it is there; returns when, None where the run was over."""
    begin = time.monotonic()
    time.sleep(moment)
    while process.poll() is None and time.monotonic() - begin < 60:
        for number, own in members(mark).items():
            if own == rank:
                try:
                    os.kill(number, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                return time.monotonic()
        time.sleep(0.002)
    return None


def digest(folder):
    return hashlib.sha256((folder / "out/adapter_model.safetensors").read_bytes()).hexdigest()


def ended(process, mark, killed):
    """Seconds from the kill until no process of the run is left."""
    while process.poll() is None or members(mark):
        if time.monotonic() - killed > 60:
            return float("inf")
        time.sleep(0.01)
    return time.monotonic() - killed


def check(folder, wanted, length, draws, options):
    """Both trainings of one kill; returns what is wrong, the seconds to the end, and how often the second was started again."""
    while True:
        rank, moment = draws.randrange(options.processes), draws.uniform(0, length)
        process, mark = start(folder, options)
        killed = kill_one(process, mark, rank, moment)
        process_status = None
        if killed is None:
            process.wait()
            continue
        seconds = ended(process, mark, killed)
        process_status = process.returncode
        text = (folder / "log").read_text(errors="replace")
        # The process may have had its work done when it was killed.
        if process_status != 0:
            break
    where = f"rank {rank} at {moment:.2f} s"
    wrong = []
    errors = [line for line in text.splitlines() if line.startswith("error:")]
    if seconds > LIMIT:
        wrong.append(f"{where}: processes were left for {seconds:.1f} s")
    if len(errors) != 1 or f"Process {rank} was killed by signal 9" not in errors[0]:
        wrong.append(f"{where}: {errors}")
    process, mark = start(folder, options, restarts=3)
    killed = kill_one(process, mark, rank, moment)
    process.wait()
    text = (folder / "log").read_text(errors="replace")
    restarts = text.count("Starting all processes again")
    if process.returncode != 0 or digest(folder) != wanted:
        wrong.append(f"{where}: restarted {restarts} times, status {process.returncode}, the adapter differs")
        shutil.copy(folder / "log", f"{tempfile.gettempdir()}/kills-{rank}-{moment:.2f}.log")
    return wrong, seconds, restarts, where


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--zero", type=int, choices=[0, 1, 2, 3], default=0)
    options = parser.parse_args()
    options.program = options.program.resolve()
    draws = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = pathlib.Path(name)
        begin = time.monotonic()
        process, _ = start(folder, options)
        if process.wait() != 0:
            sys.exit((folder / "log").read_text(errors="replace"))
        length, wanted = time.monotonic() - begin, digest(folder)
        print(f"an undisturbed run of {options.processes} processes takes {length:.1f} s", flush=True)
        slowest, restarted, problems = 0, 0, []
        for number in range(options.kills):
            wrong, seconds, restarts, where = check(folder, wanted, length, draws, options)
            slowest, restarted = max(slowest, seconds), restarted + (restarts > 0)
            problems += wrong
            print(f"{number + 1:3} {where}: all gone after {seconds:.2f} s; {'; '.join(wrong) or 'right'}", flush=True)
    print(f"{options.kills} kills: all processes gone within {slowest:.2f} s; {restarted} runs started again; {len(problems)} problems")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
