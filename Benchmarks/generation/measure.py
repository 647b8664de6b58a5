"""Times greedy generation of both sides in turn and prints tokens per second, medians over the rounds."""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

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


def measure(command):
    result = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, HF_HUB_OFFLINE="1"))
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cli")
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--transformers", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.transformers:
        model, prompts, precision = options.transformers
        return run_transformers(model, prompts, options.tokens, precision, options.threads)

    model = next(path.parent for path in sorted(options.work.rglob("config.json")) if (path.parent / "model.safetensors").exists())
    config = json.loads((model / "config.json").read_text())
    size = (model / "model.safetensors").stat().st_size
    print(f"model: {size / 1e6:.0f} MB in float32, {options.threads} threads, {options.tokens} new tokens, greedy")
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    failed = False
    for precision, batch in CASES:
        prompts = options.work / f"prompts-{batch}.jsonl"
        make_prompts(prompts, batch, config["vocab_size"])
        shared = ["--tokens", str(options.tokens), "--threads", str(options.threads)]
        ours = [options.cli, "bench-generate", str(model), str(prompts), str(options.tokens), precision, str(options.threads)]
        theirs = [sys.executable, __file__, "--transformers", str(model), str(prompts), precision, *shared]
        results = {"ours": [], "theirs": []}
        for round_index in range(options.rounds):
            sides = [("ours", ours), ("theirs", theirs)]
            for name, command in sides if round_index % 2 == 0 else reversed(sides):
                results[name].append(measure(command))
        rate = {name: statistics.median(r["tokens"] / r["seconds"] for r in runs) for name, runs in results.items()}
        step = {
            name: statistics.median((r["seconds"] - r["prefill_seconds"]) / (options.tokens - 1) for r in runs) for name, runs in results.items()
        }
        # Greedy answers agree until two logits are as good as equal; in bfloat16 that is often.
        pairs = zip(results["ours"][0]["ids"], results["theirs"][0]["ids"])
        agreeing = [next((i for i, (a, b) in enumerate(zip(x, y)) if a != b), len(x)) for x, y in pairs]
        ratio = rate["ours"] / rate["theirs"]
        failed |= ratio < 2
        print(
            f"{precision} batch {batch:2}: {rate['ours']:8.1f} tokens/s, transformers {rate['theirs']:8.1f}: {ratio:.2f}x; "
            f"a step {step['ours'] * 1e3:.1f} ms against {step['theirs'] * 1e3:.1f} ms; "
            f"first {statistics.median(agreeing):.0f} of {options.tokens} tokens the same"
        )
    print(f"load of the machine after: {os.getloadavg()[0]:.1f}")
    if failed:
        sys.exit("generation: less than twice as fast")


if __name__ == "__main__":
    main()
