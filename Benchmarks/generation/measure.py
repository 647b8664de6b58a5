"""Times greedy generation of all sides in turn and prints tokens per second, medians over the rounds."""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time

# What a step, and the prompts, should be worth beside the other sides.
TARGETS = {"transformers": {"decode": 3.0}, "llama.cpp": {"decode": 1.0, "prefill": 1.0}}
CASES = [(precision, batch) for precision in ("fp32", "bf16") for batch in (1, 16)]


def make_prompts(path, count, vocabulary):
    rng = random.Random(count)
    rows = [[rng.randrange(10, vocabulary) for _ in range(rng.randint(32, 128))] for _ in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run_transformers(model_path, prompts_path, tokens, precision, threads):
    """In a process of its own: prints what the other side prints."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=dtype).eval()
    model.generation_config.eos_token_id = None
    rows = [json.loads(line) for line in open(prompts_path)]
    width = max(map(len, rows))
    ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])

    def run(count):
        start = time.perf_counter()
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=count, pad_token_id=0, eos_token_id=None)
        return out[:, width:].tolist(), time.perf_counter() - start

    run(min(tokens, 8))
    prefill = run(1)[1]
    answers, seconds = run(tokens)
    print(json.dumps({"tokens": sum(map(len, answers)), "seconds": seconds, "prefill_seconds": prefill, "ids": answers}))


def run_llama(path, prompts_path, tokens, threads):
    """llama.cpp on a GGUF file, in a process of its own; one slot for each prompt."""
    import xllamacpp

    rows = [json.loads(line) for line in open(prompts_path)]
    room = max(map(len, rows)) + tokens + 1
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx = room * len(rows)
    params.n_parallel = len(rows)
    params.n_batch = params.n_ubatch = max(512, sum(map(len, rows)))
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.warmup = False
    params.cache_prompt = False
    params.cache_ram_mib = 0
    server = xllamacpp.Server(params)

    def run(count):
        answers = [0] * len(rows)

        def ask(index):
            body = {"prompt": rows[index], "max_tokens": count, "temperature": 0, "top_k": 1, "ignore_eos": True, "cache_prompt": False}
            answers[index] = server.handle_completions(body)["usage"]["completion_tokens"]

        start = time.perf_counter()
        threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(rows))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(answers), time.perf_counter() - start

    run(min(tokens, 8))
    prefill = run(1)[1]
    written, seconds = run(tokens)
    print(json.dumps({"tokens": written, "seconds": seconds, "prefill_seconds": prefill, "ids": []}))


def export_gguf(cli, model, precision, folder):
    """The model as a GGUF file of one type throughout, as this program writes it."""
    kind = {"fp32": "f32", "bf16": "bf16"}[precision]
    command = [cli, "export", f"model_name_or_path={model}", "template=default", f"export_dir={folder}/{kind}", f"export_gguf={kind}"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stderr[-2000:]}")
    return f"{folder}/{kind}/model-{kind.upper()}.gguf"


def measure(command):
    result = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, HF_HUB_OFFLINE="1"))
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def compare(name, results, tokens, prompt_tokens):
    """One side's line: rates, a step and the prompts against ours; whether a target was missed."""
    middle = lambda side, value: statistics.median(value(r) for r in results[side])
    rate = lambda r: r["tokens"] / r["seconds"]
    step = lambda r: (r["seconds"] - r["prefill_seconds"]) / (tokens - 1)
    prefill = lambda r: r["prefill_seconds"]
    ratios = {"decode": middle(name, step) / middle("ours", step), "prefill": middle(name, prefill) / middle("ours", prefill)}
    parts = []
    for kind, ratio in ratios.items():
        target = TARGETS[name].get(kind)
        parts.append(f"{kind} {ratio:.2f}x" + (f" (target {target:.1f}x{'' if ratio >= target else ', missed'})" if target else ""))
    print(
        f"    {name:12} {middle(name, rate):8.1f} tokens/s, a step {middle(name, step) * 1e3:.1f} ms, "
        f"prompts {prompt_tokens / middle(name, prefill):.0f} tokens/s: {', '.join(parts)}"
    )
    return middle("ours", rate) / middle(name, rate)


def agreement(results):
    # Greedy answers agree until two logits are as good as equal; in bfloat16 that is often.
    pairs = zip(results["ours"][0]["ids"], results["transformers"][0]["ids"])
    return statistics.median([next((i for i, (a, b) in enumerate(zip(x, y)) if a != b), len(x)) for x, y in pairs])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cli")
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--xllamacpp", help="folder that holds the package; without it llama.cpp is left out where it cannot be imported")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--transformers", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--llama", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.transformers:
        model, prompts, precision = options.transformers
        return run_transformers(model, prompts, options.tokens, precision, options.threads)
    if options.llama:
        return run_llama(*options.llama, options.tokens, options.threads)
    if options.xllamacpp:
        os.environ["PYTHONPATH"] = options.xllamacpp
    has_llama = subprocess.run([sys.executable, "-c", "import xllamacpp"], capture_output=True).returncode == 0
    model = options.model or next(
        path.parent for path in sorted(options.work.rglob("config.json")) if (path.parent / "model.safetensors").exists())
    config = json.loads((model / "config.json").read_text())
    size = (model / "model.safetensors").stat().st_size
    print(f"model: {size / 1e6:.0f} MB, {options.threads} threads, {options.tokens} new tokens, greedy, {options.rounds} rounds in turn")
    if not has_llama:
        print("llama.cpp is left out: xllamacpp is not installed (pip install xllamacpp, or --xllamacpp FOLDER)")
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        for precision, batch in CASES:
            prompts = options.work / f"prompts-{batch}.jsonl"
            make_prompts(prompts, batch, config["vocab_size"])
            count = sum(len(json.loads(line)) for line in open(prompts))
            shared = ["--tokens", str(options.tokens), "--threads", str(options.threads)]
            sides = {
                "ours": [options.cli, "bench-generate", str(model), str(prompts), str(options.tokens), precision, str(options.threads)],
                "transformers": [sys.executable, __file__, "--transformers", str(model), str(prompts), precision, *shared],
            }
            if has_llama:
                path = f"{scratch}/{precision.replace('fp', 'f')}/model-{precision.replace('fp', 'f').upper()}.gguf"
                if not os.path.exists(path):
                    export_gguf(options.cli, model, precision, scratch)
                sides["llama.cpp"] = [sys.executable, __file__, "--llama", path, str(prompts), *shared]
            results = {name: [] for name in sides}
            for index in range(options.rounds):
                order = list(sides.items())
                for name, command in order if index % 2 == 0 else reversed(order):
                    results[name].append(measure(command))
            own = results["ours"]
            step = statistics.median((r["seconds"] - r["prefill_seconds"]) / (options.tokens - 1) for r in own)
            print(
                f"{precision} batch {batch:2}: {statistics.median(r['tokens'] / r['seconds'] for r in own):8.1f} tokens/s, a step "
                f"{step * 1e3:.1f} ms, prompts {count / statistics.median(r['prefill_seconds'] for r in own):.0f} tokens/s; "
                f"first {agreement(results):.0f} of {options.tokens} tokens are transformers'"
            )
            for name in list(sides)[1:]:
                ratio = compare(name, results, options.tokens, count)
                failed |= name == "transformers" and ratio < 2
    print(f"load of the machine after: {os.getloadavg()[0]:.1f}")
    if failed:
        sys.exit("generation: less than twice as fast as transformers")


if __name__ == "__main__":
    main()
