"""Times reading and tokenizing one supervised data file: the Python original, this program, and this program's cache.

The rows are drawn from a seed. The original is timed inside its process, around `get_dataset`, so that its imports do not count;
this program is timed from the start of its process to its end. The first examples of both must be equal.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

ORIGINAL = """
import json, sys, time
from llamafactory.hparams import get_train_args
from llamafactory.model import load_tokenizer
from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
arguments = json.loads(sys.argv[1])
model, data, training, finetuning, _ = get_train_args(arguments)
module = load_tokenizer(model)
template = get_template_and_fix_tokenizer(module["tokenizer"], data)
start = time.perf_counter()
dataset = get_dataset(template, model, data, training, stage="sft", **module)["train_dataset"]
seconds = time.perf_counter() - start
rows = [{key: dataset[i][key] for key in ("input_ids", "labels")} for i in range(3)]
print("RESULT " + json.dumps({"seconds": seconds, "count": len(dataset), "rows": rows}))
"""


def make_data(folder, count):
    path = folder / f"rows-{count}.jsonl"
    if not path.exists():
        generator = random.Random(7)
        words = ["".join(generator.choices("etaoinshrdlu", k=generator.randint(1, 9))) for _ in range(20_000)]
        with open(str(path) + ".part", "w") as file:
            for number in range(count):
                row = {
                    "instruction": " ".join(generator.choices(words, k=generator.randint(5, 40))),
                    "input": f"{number}",
                    "output": " ".join(generator.choices(words, k=generator.randint(10, 120))),
                }
                file.write(json.dumps(row) + "\n")
        os.replace(str(path) + ".part", path)
    info = {"rows": {"file_name": path.name}}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return path


def run_original(arguments, folder):
    cache = folder / "hf"
    shutil.rmtree(cache, ignore_errors=True)
    environment = dict(os.environ, HF_HOME=str(cache), HF_HUB_OFFLINE="1", DISABLE_VERSION_CHECK="1", CUDA_VISIBLE_DEVICES="")
    answer = subprocess.run(
        [sys.executable, "-c", ORIGINAL, json.dumps(arguments)], env=environment, capture_output=True, text=True
    )
    shutil.rmtree(cache, ignore_errors=True)
    lines = [line for line in answer.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        sys.exit("The original failed:\n" + answer.stderr[-3000:])
    return json.loads(lines[0][7:])


def run_ours(cli, config, cache):
    start = time.perf_counter()
    answer = subprocess.run(
        [cli, "preview", str(config), "--json", "--examples", "3"],
        env=dict(os.environ, LLAMAFACTORY_CACHE=cache), capture_output=True, text=True,
    )
    seconds = time.perf_counter() - start
    if answer.returncode:
        sys.exit("llamafactory-cli failed:\n" + answer.stderr[-3000:])
    rows = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]
    return seconds, [{key: row[key] for key in ("input_ids", "labels")} for row in rows]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cli", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[16, 2], help="of the original")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    data = make_data(options.folder, options.rows)
    arguments = {
        "model_name_or_path": options.model, "stage": "sft", "do_train": True, "finetuning_type": "lora",
        "dataset": "rows", "dataset_dir": str(options.folder), "template": "llama3", "cutoff_len": 1024,
        "output_dir": str(options.folder / "out"), "report_to": "none", "preprocessing_num_workers": 2,
    }
    config = options.folder / "config.json"
    config.write_text(json.dumps(arguments))
    print(f"{options.rows} rows, {data.stat().st_size / 1e6:.0f} MB, {os.cpu_count()} cores")

    runs = sorted((run_ours(options.cli, config, "") for _ in range(3)), key=lambda run: run[0])
    ours, rows = runs[1]
    print(f"this program, 2 threads, no cache   {ours:8.2f} s (median of {', '.join(f'{run[0]:.2f}' for run in runs)})")
    cache = options.folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    first, _ = run_ours(options.cli, config, str(cache))
    print(f"this program, writing the cache     {first:8.2f} s")
    again, cached_rows = min((run_ours(options.cli, config, str(cache)) for _ in range(3)), key=lambda run: run[0])
    print(f"this program, from the cache        {again:8.2f} s")
    shutil.rmtree(cache, ignore_errors=True)
    if cached_rows != rows:
        sys.exit("The cache gives other examples.")
    for workers in options.workers:
        result = run_original(dict(arguments, preprocessing_num_workers=workers), options.folder)
        if result["rows"] != rows:
            sys.exit("The first examples differ.")
        print(f"LLaMA-Factory, {workers:2} workers           {result['seconds']:8.2f} s   {result['seconds'] / ours:6.1f}x")


main()
