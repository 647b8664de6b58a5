"""Records how transformers' Trainer aligns a model's configurations with its tokenizer.

    python Tools/golden/record_special_tokens.py

Needs transformers 5.5.4. Writes Fixtures/golden/special_tokens.json: per case the ids in config.json, generation_config.json and the
tokenizer, and the ids in both configurations afterwards. A key that is missing is None there, as in the classes.
"""

import itertools
import json
import os
import types

from transformers.trainer_utils import align_special_tokens

target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Fixtures/golden/special_tokens.json")
KEYS = ["bos_token_id", "eos_token_id", "pad_token_id"]


def namespace(values):
    return types.SimpleNamespace(**dict(zip(KEYS, values)))


def main():
    ends = [
        (2, 2, 2), (2, 2, 7), (2, [2, 3], 7), (2, [2, 7], 7), (2, None, 7), (None, None, 7), (7, 2, 7), (7, [2, 3], 7),
        ([2, 3], [2, 3], 3), ([2, 3], [2, 3], 7), (2, [2, 3], 2), (2, 3, 2), (None, 2, 2), (2, 2, None),
    ]
    others = [(1, 1, 1), (1, 1, None), (None, None, 1), (1, None, 1), (None, 0, 0), (0, 5, 5)]
    cases = []
    for end, (bos, pad) in itertools.product(ends, zip(others, others[::-1])):
        config, generation, tokenizer = ([bos[i], end[i], pad[i]] for i in range(3))
        model = types.SimpleNamespace(config=namespace(config), generation_config=namespace(generation))
        align_special_tokens(model, namespace(tokenizer))
        cases.append(
            {
                "config": dict(zip(KEYS, config)),
                "generation": dict(zip(KEYS, generation)),
                "tokenizer": dict(zip(KEYS, tokenizer)),
                "aligned_config": vars(model.config),
                "aligned_generation": vars(model.generation_config),
            }
        )
    with open(target, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
