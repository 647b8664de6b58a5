"""Compares what is learned of real talks in models' own chat templates with transformers' `apply_chat_template`.

    python Tools/jinja/compare_training.py TEMPLATES MODEL CONVERSATIONS [--count 2000] [--only NAME …] [--program PATH]

TEMPLATES holds chat templates as *.jinja, MODEL a Hugging Face tokenizer (and a config.json), CONVERSATIONS a list of
ShareGPT rows ({"conversations": [{"from", "value"}]}). Each template is put beside the tokenizer, `preview` processes the
conversations, and its tokens and labels are compared with Python's: the assistant mask where the template marks what the
model writes, else the differences between a conversation with the prompt for an answer and with the answer. Where a
conversation up to one answer is not a beginning of that up to the next, each stretch is a sequence of its own here and there.
Run it with transformers 5.5.4.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import transformers

IGNORED = -100


def messages_of(row):
    roles = {"human": "user", "gpt": "assistant", "system": "system"}
    return [{"role": roles[turn["from"]], "content": turn["value"]} for turn in row["conversations"]]


def expected(tokenizer, messages, marks):
    """The sequences of (ids, labels) that the messages are learned from, by Python alone."""

    def text(count, prompt=False):
        return tokenizer.apply_chat_template(messages[:count], tokenize=False, add_generation_prompt=prompt)

    answers = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    closed = {i: text(i + 1) for i in answers}
    opening = always_opened(tokenizer)
    closed = {i: whole.removesuffix(opening) for i, whole in closed.items()}
    groups = []
    for i in answers:
        if groups and closed[i].startswith(closed[groups[-1][-1]]):
            groups[-1].append(i)
        else:
            groups.append([i])
    sequences = []
    for group in groups:
        whole = closed[group[-1]]
        encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        learned = [False] * len(ids)
        if marks:
            both = tokenizer.apply_chat_template(
                messages[: group[-1] + 1], return_dict=True, return_assistant_tokens_mask=True)
            assert both["input_ids"] == ids
            learned = [bool(mark) for mark in both["assistant_masks"]]
        else:
            for i in group:
                prompt = text(i, prompt=True)
                start = len(prompt)
                if not closed[i].startswith(prompt):
                    # An answer may begin as the prompt goes on ("He" and "Here are my reasoning steps"); this one does not.
                    other = tokenizer.apply_chat_template(
                        messages[:i] + [{"role": "assistant", "content": "\ue000"}], tokenize=False)
                    start = min(shared(prompt, closed[i]), shared(prompt, other))
                for place, (low, high) in enumerate(offsets):
                    if high > start and low < len(closed[i]):
                        learned[place] = True
        sequences.append((ids, [i if mark else IGNORED for i, mark in zip(ids, learned)]))
    return sequences


def always_opened(tokenizer):
    """What a template writes behind an answer although nobody asks for the next one: it belongs to the next prompt."""

    def text(*turns, prompt=False):
        roles = ["user", "assistant", "user"]
        messages = [{"role": role, "content": turn} for role, turn in zip(roles, turns)]
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)

    try:
        if text("Q", prompt=True) != text("Q") or text("Q", "A", prompt=True) != text("Q", "A"):
            return ""
        behind = text("Q", "\ue000").split("\ue000")[1]
        between = text("Q", "\ue000", "\ue001").split("\ue000")[1].split("\ue001")[0]
    except Exception:
        return ""
    if between.startswith(behind):
        return ""
    # The end of the answer is what both begin with, up to the marker that headers begin with: the last one at the text's beginning
    # that both have.
    marker = r"<[^<>\s]{1,40}>"
    common = behind[: next(i for i, (a, b) in enumerate(zip(behind + "\ue002", between + "\ue003")) if a != b)]
    common = re.sub(r"<[^<>\s]*$", "", common)
    starts = re.match(rf"(?:{marker})*", text("Q").removeprefix(tokenizer.bos_token or "")).group()
    places = [common.find(start) for start in re.findall(marker, starts) if start in common]
    return behind[min(places, default=len(common)) :]


def shared(prompt, closed):
    """As much of a prompt as the closed conversation keeps, up to a marker that only begins alike."""
    count = next((i for i, (a, b) in enumerate(zip(prompt, closed)) if a != b), min(len(prompt), len(closed)))
    opened = re.search(r"<[^<>\s]{0,40}$", closed[:count])
    return opened.start() if opened else count


def ours(program, folder, rows, workplace):
    (workplace / "d.json").write_text(json.dumps(rows))
    (workplace / "dataset_info.json").write_text(json.dumps({"d": {"file_name": "d.json", "formatting": "sharegpt"}}))
    arguments = {
        "model_name_or_path": folder, "stage": "sft", "do_train": True, "finetuning_type": "full", "dataset": "d",
        "dataset_dir": workplace, "cutoff_len": 1_000_000, "template": "own", "output_dir": workplace / "out",
        "preprocessing_num_workers": 2,
    }
    command = [*program.split(), "preview", *(f"{key}={value}" for key, value in arguments.items())]
    run = subprocess.run([*command, "--json", "--examples", str(len(rows))], capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr[-500:] or run.stdout[-500:])
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("templates", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("conversations", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--program", default=".build/release/llamafactory-cli")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    rows = json.loads(options.conversations.read_text())[: options.count]
    total = wrong = 0
    for path in sorted(options.templates.glob("*.jinja")):
        if options.only and path.stem not in options.only:
            continue
        with tempfile.TemporaryDirectory() as place:
            folder = pathlib.Path(place) / "model"
            folder.mkdir()
            for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
                shutil.copy(options.model / name, folder / name)
            shutil.copy(path, folder / "chat_template.jinja")
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            marks = re.search(r"\{%-?\s*generation\s*-?%\}", path.read_text()) is not None
            found = ours(options.program, folder, rows, pathlib.Path(place))
            assert len(found) == len(rows), f"{path.name}: {len(found)} examples of {len(rows)} rows"
            different = []
            for number, (row, example) in enumerate(zip(rows, found)):
                sequences = expected(tokenizer, messages_of(row), marks)
                ids = [i for sequence in sequences for i in sequence[0]]
                labels = [i for sequence in sequences for i in sequence[1]]
                if example["input_ids"] != ids or example["labels"] != labels:
                    different.append(number)
                    if len(different) == 1:
                        explain(tokenizer, path.name, number, example, ids, labels)
            total += len(rows)
            wrong += len(different)
            tokens = sum(len(example["input_ids"]) for example in found)
            print(f"{path.stem}: {len(rows) - len(different)} of {len(rows)} equal, {tokens} tokens{', by marks' if marks else ''}", flush=True)
    print(f"{total - wrong} of {total} equal")
    sys.exit(wrong > 0)


def explain(tokenizer, name, number, example, ids, labels):
    for key, theirs in (("input_ids", ids), ("labels", labels)):
        mine = example[key]
        place = next((i for i, (a, b) in enumerate(zip(mine, theirs)) if a != b), min(len(mine), len(theirs)))
        if place < max(len(mine), len(theirs)):
            context = tokenizer.decode(ids[max(0, place - 8) : place + 4])
            print(f"{name}, conversation {number}, {key} at {place} ({context!r}): ours {mine[place:place + 4]}, Python {theirs[place:place + 4]}")
            return


if __name__ == "__main__":
    main()
