"""Records the order in which Hugging Face's `datasets` hands out the rows of streamed data sets.

Usage: python Tools/datasets/record_stream_orders.py Fixtures/golden/streaming.json

Rows are numbered through all data sets. Each case builds what LLaMA-Factory builds for `streaming: true`: every data set
as a stream, converted on the fly, mixed, shuffled through a buffer, split by `take` and `skip`, for several passes.
Long orders are kept as their ends and a checksum: the sum of `place * row` modulo 1000003.
"""

import json
import os
import sys
import tempfile

import datasets
import numpy
from datasets import Dataset, concatenate_datasets, interleave_datasets, load_dataset

STRATEGIES = {"interleave_under": "first_exhausted", "interleave_over": "all_exhausted"}


def local_streams(lengths):
    start = 0
    for length in lengths:
        yield Dataset.from_dict({"row": list(range(start, start + length))}).to_iterable_dataset(num_shards=1)
        start += length


def hub_stream(lengths, folder):
    """One data set of several files, read as those of a hub are."""
    start, paths = 0, []
    for number, length in enumerate(lengths):
        path = os.path.join(folder, f"{number}.jsonl")
        with open(path, "w") as file:
            for row in range(start, start + length):
                file.write(json.dumps({"row": row}) + "\n")
        paths.append(path)
        start += length
    return load_dataset("json", data_files=paths, split="train", streaming=True)


def case(lengths, strategy, seed, buffer, probabilities=None, skip=0, passes=(0,), files=False):
    with tempfile.TemporaryDirectory() as folder:
        parts = [hub_stream(lengths, folder)] if files else list(local_streams(lengths))
        parts = [part.map(lambda row: {"_row": row["row"]}, remove_columns=["row"]) for part in parts]
        if len(parts) == 1:
            merged = parts[0]
        elif strategy == "concat":
            merged = concatenate_datasets(parts)
        else:
            merged = interleave_datasets(
                parts, probabilities=probabilities, seed=seed, stopping_strategy=STRATEGIES[strategy]
            )
        merged = merged.shuffle(buffer_size=buffer, seed=seed)
        result = {
            "lengths": lengths, "files": files, "strategy": strategy, "probabilities": probabilities or [],
            "seed": seed, "buffer": buffer, "held_out": skip, "passes": [],
        }
        if skip:
            result["validation"] = [row["_row"] for row in merged.take(skip)]
            merged = merged.skip(skip)
        merged = merged.map(lambda rows: rows, batched=True, batch_size=1000)
        for number in passes:
            merged.set_epoch(number)
            order = [row["_row"] for row in merged]
            entry = {"pass": number, "count": len(order)}
            if len(order) <= 64:
                entry["order"] = order
            else:
                entry["first"], entry["last"] = order[:16], order[-16:]
                entry["checksum"] = sum(place * row for place, row in enumerate(order)) % 1000003
            result["passes"].append(entry)
    return result


def main():
    numpy.random.seed(0)
    cases = [
        case([12], "concat", 42, 4, passes=(0, 1, 2)),
        case([12], "concat", 0, 1),
        case([12], "concat", 7, 100, passes=(0, 1)),
        case([1], "concat", 7, 100),
        case([5000], "concat", 42, 64, passes=(0, 1, 7)),
        case([3064], "concat", 1, 64),
        case([3000], "concat", 3, 16384),
        case([20000], "concat", 42, 16384, passes=(0, 3)),
        case([7, 3, 5], "concat", 42, 4, passes=(0, 1, 2, 3)),
        case([7, 3, 5], "interleave_under", 42, 4, passes=(0, 1)),
        case([7, 3, 5], "interleave_over", 42, 4, passes=(0, 1)),
        case([7, 3, 5], "interleave_under", 42, 4, probabilities=[0.2, 0.5, 0.3], passes=(0, 1)),
        case([7, 3, 5], "interleave_over", 42, 4, probabilities=[0.2, 0.5, 0.3], passes=(0, 1, 2)),
        case([1500, 900], "interleave_over", 9, 100, probabilities=[0.7, 0.3], passes=(0, 1)),
        case([30], "concat", 42, 8, skip=5),
        case([7, 13, 5], "interleave_under", 5, 4, skip=3),
        case([2000], "concat", 11, 500, skip=100),
        case([4, 6, 3, 5], "concat", 42, 4, passes=(0, 1, 2), files=True),
    ]
    recorded = {"datasets": datasets.__version__, "numpy": numpy.__version__, "cases": cases}
    with open(sys.argv[1], "w") as file:
        json.dump(recorded, file, separators=(",", ":"))
        file.write("\n")


main()
