"""Writes Fixtures/golden/mixing.json: which rows Hugging Face's datasets takes when it mixes and splits.

    python Tools/golden/record_mixing.py

Needs `datasets` from 4.1 on, the first with `all_exhausted_without_replacement` (recorded with 5.2.0). A row's number is its
place in the concatenation of all sets. Strategies have the names that LLaMA-Factory's `mix_strategy` has for them.
"""

import json
import pathlib

from datasets import Dataset, disable_progress_bars, interleave_datasets

STRATEGIES = {
    "interleave_under": "first_exhausted",
    "interleave_over": "all_exhausted",
    "interleave_once": "all_exhausted_without_replacement",
}
MIXTURES = [
    ([5, 9], []),
    ([7, 3, 4], []),
    ([1, 6], []),
    ([5, 9], [0.3, 0.7]),
    ([7, 3, 4], [0.2, 0.5, 0.3]),
    ([1, 6], [0.9, 0.1]),
    ([40, 25, 60, 3], [0.1, 0.4, 0.4, 0.1]),
]
LONG = ([700, 1500], [0.25, 0.75])
SPLITS = [(10, 0.2), (10, 3), (97, 0.1), (97, 0.33), (7, 0.15), (1000, 0.05)]
SEEDS = [0, 42]


def mixed(lengths, probabilities, strategy, seed):
    starts = [sum(lengths[:index]) for index in range(len(lengths))]
    sets = [Dataset.from_dict({"row": list(range(start, start + length))}) for start, length in zip(starts, lengths)]
    order = interleave_datasets(
        sets, probabilities or None, seed=seed, stopping_strategy=STRATEGIES[strategy]
    )["row"]
    return {
        "lengths": lengths, "probabilities": probabilities, "strategy": strategy, "seed": seed, "order": list(order),
    }


def split(rows, size, seed):
    parts = Dataset.from_dict({"row": list(range(rows))}).train_test_split(test_size=size, seed=seed)
    return {
        "rows": rows, "size": size, "seed": seed, "train": list(parts["train"]["row"]), "test": list(parts["test"]["row"]),
    }


def main():
    disable_progress_bars()
    older, once = list(STRATEGIES)[:2], list(STRATEGIES)[2]
    orders = [mixed(*mixture, strategy, seed) for mixture in MIXTURES for strategy in older for seed in SEEDS]
    orders.append(mixed(*LONG, "interleave_under", 42))
    orders += [mixed(*mixture, once, seed) for mixture in MIXTURES + [LONG] for seed in SEEDS]
    record = {"orders": orders, "splits": [split(rows, size, seed) for rows, size in SPLITS for seed in SEEDS]}
    target = pathlib.Path(__file__).parents[2] / "Fixtures/golden/mixing.json"
    target.write_text(json.dumps(record, separators=(",", ":")))


if __name__ == "__main__":
    main()
