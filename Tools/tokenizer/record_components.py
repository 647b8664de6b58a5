"""Writes Fixtures/golden/tokenizer_components.jsonl: tokenizers for every component of the format and what they do.

One line per tokenizer: its name, its `tokenizer.json`, and for random strings what Python's `tokenizers` 0.22.2 makes of
them: ids, ids with special tokens, offsets in characters, and the text of the latter with and without special tokens.
"""

import json
import pathlib
import random

import tokenizers
from fuzz_tokenizers import GLUE, RULES, build, random_text

assert tokenizers.__version__ == "0.22.2", tokenizers.__version__
SEED = 20
STRINGS = 14


def main():
    generator = random.Random(SEED)
    target = pathlib.Path(__file__).parents[2] / "Fixtures/golden/tokenizer_components.jsonl"
    with target.open("w", encoding="utf-8") as file:
        for name, tokenizer in build(SEED, scale=0.25, rules=RULES).items():
            cases = []
            for text in ["", " a  b "] + [random_text(generator, GLUE)[:120] for _ in range(STRINGS)]:
                if any(0xD800 <= ord(character) < 0xE000 for character in text):
                    continue
                plain = tokenizer.encode(text, add_special_tokens=False)
                special = tokenizer.encode(text, add_special_tokens=True).ids
                case = {"text": text, "ids": plain.ids, "special": special, "offsets": plain.offsets}
                if special:
                    case["decode"] = tokenizer.decode(special, skip_special_tokens=False)
                    case["decode_skip"] = tokenizer.decode(special, skip_special_tokens=True)
                cases.append(case)
            record = {"name": name, "tokenizer": json.loads(tokenizer.to_str()), "cases": cases}
            file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
