"""Times a 128,000-token byte-level BPE tokenizer in Python's `tokenizers` and in llamafactory-cli, on the same 20 MB.

The text is made from the machine's own Python sources and documentation, and of words in eight scripts drawn from a seed; the tokenizer
is trained on it (GPT-4's pattern, `ignore_merges`). Both are kept in .build/tokenizer-benchmark.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import sysconfig
import time

SCRIPTS = [
    (0x4E00, 0x6000), (0x3041, 0x3096), (0xAC00, 0xB400), (0x410, 0x44F), (0x620, 0x64A), (0x905, 0x939),
    (0xE01, 0xE30), (0x391, 0x3C9),
]
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def documents(generator):
    found = []
    roots = [sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"], "/usr/include", "/usr/share/doc"]
    for root in roots:
        for path in sorted(pathlib.Path(root).rglob("*")):
            if path.suffix in (".py", ".h", ".txt", ".rst", ".md", "") and path.is_file() and path.stat().st_size < 1e6:
                try:
                    found.append(path.read_text(encoding="utf-8")[:20_000])
                except (UnicodeDecodeError, OSError):
                    continue
    for first, last in SCRIPTS:
        words = [
            "".join(chr(generator.randint(first, last)) for _ in range(generator.randint(1, 6))) for _ in range(3000)
        ]
        for _ in range(60):
            found.append(" ".join(generator.choice(words) for _ in range(2500)))
    generator.shuffle(found)
    return [text for text in found if text]


def prepare(folder):
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    folder.mkdir(parents=True, exist_ok=True)
    texts = documents(random.Random(1))
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=128_000,
            min_frequency=1,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<|begin_of_text|>"] + [f"<|reserved_special_token_{n}|>" for n in range(255)],
            show_progress=False,
        ),
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    chosen, size = [], 0
    for text in texts:
        chosen.append(text)
        size += len(text.encode())
        if size > 20_000_000:
            break
    (folder / "texts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in chosen))


def best(body):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        body()
        times.append(time.perf_counter() - start)
    return min(times)


def measure_python(folder):
    from tokenizers import Tokenizer

    texts = [json.loads(line) for line in (folder / "texts.jsonl").open()]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    path = str(folder / "tokenizer.json")
    loading = best(lambda: Tokenizer.from_file(path))
    tokenizer = Tokenizer.from_file(path)
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    return {
        "load_ms": round(loading * 1000, 1),
        "megabytes": round(megabytes, 1),
        "tokens": tokens,
        "mb_per_s": round(megabytes / best(lambda: tokenizer.encode_batch_fast(texts, add_special_tokens=False)), 1),
    }


def python_report(folder, threads):
    """Measured in a process of its own, because the number of threads is read once."""
    environment = dict(os.environ, RAYON_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="true")
    command = [sys.executable, __file__, "--python", "--folder", str(folder)]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cli", help="the llamafactory-cli to measure")
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--python", action="store_true", help="only measure Python's, in this process")
    arguments = parser.parse_args()
    if arguments.python:
        print(json.dumps(measure_python(arguments.folder)))
        return
    if not (arguments.folder / "texts.jsonl").exists():
        prepare(arguments.folder)
    threads = os.cpu_count()
    texts = str(arguments.folder / "texts.jsonl")
    command = [arguments.cli, "tokenize", str(arguments.folder), "--benchmark", texts, "--threads", str(threads)]
    ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    single = python_report(arguments.folder, 1)
    parallel = python_report(arguments.folder, threads)
    if ours["tokens"] != single["tokens"]:
        sys.exit(f"the numbers of tokens differ: {ours['tokens']} and {single['tokens']}")
    rows = [
        ("load, ms", single["load_ms"], ours["load_ms"], single["load_ms"] / ours["load_ms"], 3.0),
        ("1 thread, MB/s", single["mb_per_s"], ours["one_thread_mb_per_s"], None, 1.5),
        (f"{threads} threads, MB/s", parallel["mb_per_s"], ours["all_threads_mb_per_s"], None, 1.5),
    ]
    print(f"{ours['megabytes']} MB, {ours['tokens']} tokens, vocabulary of 128,000; best of three")
    print(f"{'':18}{'Python':>10}{'here':>10}{'ratio':>8}{'wanted':>8}")
    failed = ours["load_ms"] > 150
    for name, theirs, mine, ratio, wanted in rows:
        ratio = ratio or mine / theirs
        failed = failed or ratio < wanted
        print(f"{name:18}{theirs:10.1f}{mine:10.1f}{ratio:8.1f}{wanted:8.1f}")
    if os.getloadavg()[0] > threads:
        print("Other work was running on this machine: do not trust these numbers.")
    sys.exit(failed)


if __name__ == "__main__":
    main()
