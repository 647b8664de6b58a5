"""Records what LLaMA-Factory's own evaluator answers on made task files.

    python Tools/golden/record_evaluation.py

Needs llamafactory 0.9.5 with transformers 5.5.4 and pandas. Writes Fixtures/golden/evaluation: `tasks`, folders of MMLU's, C-Eval's and CMMLU's
layout with made questions, `adapter`, which makes a tiny model's answers depend on what it reads, and `expected.json`: of each run the
arguments, results.json and results.log, both as text, and the first draws of examples. The files are read as upstream's three dataset scripts read them, which newer versions of `datasets` do not run any more.
"""

import copy
import csv
import json
import os
import pathlib
import random
import tempfile

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pandas as pd
import torch
import transformers
from datasets import Dataset
from llamafactory.data.template import TEMPLATES
from llamafactory.eval import evaluator as upstream
from safetensors.torch import load_file, save_file

root = pathlib.Path(__file__).resolve().parents[2]
target = root / "Fixtures/golden/evaluation"
train = "Fixtures/golden/train"
LETTERS = "ABCD"
# A choice that wins by less could lose to rounding in another order of sums.
LEAST_MARGIN = 1e-4


def ferries(draw):
    hour = draw.randrange(5, 12)
    harbor = draw.choice(["Lund", "Moss", "Vik", "Sund", "Nord"])
    times = [f"at {hour}:30", f"at {hour + 1}:15, from the \"old\" pier", f"in {draw.randrange(20, 50)} minutes", "never"]
    return f"The ferry to {harbor} leaves every hour, the first one at {hour - 1}:30.\nWhen does the second one leave?", times, 0


def sums(draw):
    a, b = draw.randrange(2, 60), draw.randrange(2, 60)
    return f"What is {a} + {b}?", [f"{a + b} tons", str(a + b), str(a + b + 1), str(a * b)], 1


def words(draw):
    word = draw.choice(["harbor", "anchor", "lantern", "captain", "island", "current"])
    return f"Which of these words rhymes with none of \"{word}\", \"sea\" and \"bell\"?", ["key", "tea", "well", "month"], 3


def tides(draw):
    day = draw.choice(["星期一", "星期三", "星期五", "星期日"])
    return f"{day}的涨潮时间比前一天晚约____。", ["十分钟", "五十分钟", f"{draw.randrange(2, 9)}小时", "不变"], 1


def fish(draw):
    count = draw.randrange(3, 30)
    return f"渔夫捕了{count}条鱼，放走{count // 3}条，还剩多少条？", [f"{count}条", f"{count // 3}条", f"{count - count // 3}条", "一条也没有"], 2


def question(draw, make):
    """A question, its choices in another order, and the letter of the right one."""
    text, choices, right = make(draw)
    order = draw.sample(range(4), 4)
    return [text, *(choices[i] for i in order), LETTERS[order.index(right)]]


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def make_tasks(folder):
    draw = random.Random(5)
    mmlu = {"ferries": ("ferries and harbors", "Humanities", ferries), "sums": ("sums", "STEM", sums), "words": ("words", "Other", words)}
    ceval = {"tides": ("潮汐", "STEM", tides), "fishing": ("捕鱼", "Social Sciences", fish)}
    cmmlu = {"tide_tables": ("潮汐表", "Other", tides), "fishery": ("渔业", "Social Sciences", fish)}
    for name, subjects in [("mmlu", mmlu), ("ceval", ceval), ("cmmlu", cmmlu)]:
        mapping = {key: {"name": title, "category": category} for key, (title, category, _) in subjects.items()}
        (folder / name).mkdir(parents=True)
        (folder / name / "mapping.json").write_text(json.dumps(mapping, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        for key, (_, _, make) in subjects.items():
            for split, count in [("dev", 5), ("val", 6), ("test", 10)]:
                rows = [question(draw, make) for _ in range(count)]
                if name == "mmlu":
                    write(folder / name / "data" / split / f"{key}_{split}.csv", rows)
                elif name == "ceval":
                    keeps = split != "test"
                    head = ["id", "question", *LETTERS] + (["answer", "explanation"] if keeps and split == "dev" else ["answer"] if keeps else [])
                    body = [[i, *row[:5]] + ([row[5], "1. 见题。"] if split == "dev" else [row[5]] if keeps else []) for i, row in enumerate(rows)]
                    write(folder / name / split / f"{key}_{split}.csv", [head] + body)
                elif split != "val":
                    head = ["", "Question", *LETTERS, "Answer"]
                    write(folder / name / split / f"{key}.csv", [head] + [[i, *row] for i, row in enumerate(rows)])


def make_adapter(folder):
    """Large random weights: a model with small ones answers the same letter to everything."""
    folder.mkdir()
    config = json.loads((root / train / "adapters/lora_init/adapter_config.json").read_text())
    tensors = load_file(root / train / "adapters/lora_init/adapter_model.safetensors")
    generator = torch.Generator().manual_seed(11)
    for name, tensor in tensors.items():
        spread = tensor.shape[1] ** -0.5 if "lora_A" in name else 2.0 if "q_proj" in name or "k_proj" in name else 0.7
        tensors[name] = (torch.randn(tensor.shape, generator=generator) * spread).to(torch.bfloat16).to(torch.float32)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def load(path, name, **_):
    """What the dataset script of a benchmark makes of its files."""
    folder, task = pathlib.Path(path), pathlib.Path(path).name
    splits = {}
    for split, short in [("train", "dev"), ("validation", "val"), ("test", "test")]:
        if task == "mmlu":
            frame = pd.read_csv(folder / "data" / short / f"{name}_{short}.csv", header=None)
            frame.columns = ["question", *LETTERS, "answer"]
        elif task == "ceval":
            frame = pd.read_csv(folder / short / f"{name}_{short}.csv", encoding="utf-8")
            if "answer" not in frame:
                frame["answer"] = ""
        else:
            if short == "val":
                continue
            frame = pd.read_csv(folder / short / f"{name}.csv", header=0, index_col=0, encoding="utf-8")
            frame = frame.rename(columns={"Question": "question", "Answer": "answer"})
        rows = frame[["question", *LETTERS, "answer"]].to_dict(orient="records")
        splits[split] = Dataset.from_list([{key: str(value) for key, value in row.items()} for row in rows])
    return splits


def run(arguments, margins):
    choose = upstream.Evaluator.batch_inference

    def recorded(self, batch):
        logits = self.model(**batch).logits
        lengths = batch["attention_mask"].sum(-1)
        best = torch.stack([logits[i, lengths[i] - 1] for i in range(len(lengths))])[:, self.choice_inputs].topk(2).values
        margins.extend((best[:, 0] - best[:, 1]).tolist())
        return choose(self, batch)

    # A run's default_system stays in the template for the rest of the process.
    templates = copy.deepcopy(TEMPLATES)
    upstream.Evaluator.batch_inference = torch.inference_mode()(recorded)
    with tempfile.TemporaryDirectory() as folder:
        saved = pathlib.Path(folder) / "out"
        upstream.Evaluator({**arguments, "save_dir": str(saved)}).eval()
        texts = [(saved / name).read_text(encoding="utf-8") for name in ("results.json", "results.log")]
    upstream.Evaluator.batch_inference = choose
    TEMPLATES.update(templates)
    return texts


def draws():
    """The examples that come before the first questions, as the evaluator draws them."""
    transformers.set_seed(42)
    sizes = [5, 5, 3, 1, 40] + [5] * 330
    orders = [Dataset.from_dict({"i": list(range(size))}).shuffle()["i"] for size in sizes]
    return {"seed": 42, "sizes": sizes, "orders": [list(order) for order in orders]}


def main():
    os.chdir(root)
    if target.exists():
        raise SystemExit(f"{target} is there already: remove it to record anew")
    make_tasks(target / "tasks")
    make_adapter(target / "adapter")
    upstream.load_dataset = load
    bare = {"model_name_or_path": f"{train}/models/tiny_llama", "template": "llama3", "task_dir": "Fixtures/golden/evaluation/tasks"}
    tiny = {**bare, "adapter_name_or_path": "Fixtures/golden/evaluation/adapter"}
    runs = [
        {**tiny, "task": "mmlu_test"},
        {**tiny, "task": "mmlu_validation", "template": "fewshot", "n_shot": 2, "seed": 7, "batch_size": 3},
        {**tiny, "task": "mmlu_train", "n_shot": 0, "default_system": "Answer by a letter."},
        {**bare, "task": "mmlu_test", "finetuning_type": "full", "n_shot": 3},
        {**tiny, "task": "ceval_validation", "lang": "zh", "n_shot": 4},
        {**tiny, "task": "ceval_test", "lang": "zh"},
        {**tiny, "task": "cmmlu_test", "lang": "zh", "template": "fewshot", "n_shot": 9},
        {
            **bare, "model_name_or_path": f"{train}/models/tiny_qwen2", "template": "qwen3", "enable_thinking": False,
            "task": "cmmlu_test", "lang": "en", "seed": 0,
        },
    ]
    recorded = []
    for arguments in runs:
        margins = []
        results, log = run(arguments, margins)
        print(arguments["task"], f"least margin {min(margins):.2g}", json.loads(results))
        if min(margins) < LEAST_MARGIN:
            raise SystemExit("two letters are too close: change the questions' seed")
        recorded.append({"arguments": arguments, "results": results, "log": log})
    with open(target / "expected.json", "w", encoding="utf-8") as file:
        runs = ",\n".join(json.dumps(entry) for entry in recorded)
        file.write(f'{{"runs": [\n{runs}\n],\n"draws": {json.dumps(draws())}}}\n')


if __name__ == "__main__":
    main()
