"""Records which rows LLaMA-Factory 0.9.5 (datasets 4.0) trains and evaluates on: num_samples, max_samples, mixing, splits.

Run in an environment with LLaMA-Factory; writes the file that is named, a list of cases, each with the arguments, and the
rows in order as "dataset.row".
"""

import json
import pathlib
import sys
import tempfile

import transformers
from llamafactory.data.data_utils import split_dataset
from llamafactory.data.loader import _get_merged_dataset
from llamafactory.hparams import DataArguments, ModelArguments
from transformers import Seq2SeqTrainingArguments

LENGTHS = {"a": 7, "b": 12, "c": 5}
#: `num_samples` of further entries for the same files.
SAMPLES = {"a_few": ("a", 4), "a_many": ("a", 18), "b_few": ("b", 5)}

CASES = [
    dict(dataset="a"),
    dict(dataset="a", max_samples=3),
    dict(dataset="a", max_samples=99),
    dict(dataset="a_few"),
    dict(dataset="a_many"),
    dict(dataset="a_many", max_samples=9),
    dict(dataset="a_few,b_few"),
    dict(dataset="b_few,a_few,a_many", seed=7),
    dict(dataset="a_few,b", eval_dataset="b_few", seed=3),
    dict(dataset="a_few,b_few", eval_dataset="a_many,c", eval_on_each_dataset=True),
    dict(dataset="a,b", eval_dataset="c,a_few", max_samples=4),
    dict(dataset="a,b", eval_dataset="b,a", eval_on_each_dataset=True, max_samples=5),
    dict(dataset="b", val_size=3),
    dict(dataset="b", val_size=0.25, seed=9),
    dict(dataset="a_many", val_size=0.1),
    dict(dataset="a,b,c", val_size=6, max_samples=5),
    dict(dataset="a,b,c", mix_strategy="interleave_under", val_size=2),
    dict(dataset="a,b,c", mix_strategy="interleave_over", interleave_probs="0.2,0.3,0.5", val_size=0.2, seed=1),
    dict(dataset="a_many,b_few", mix_strategy="interleave_under", interleave_probs="0.7,0.3", seed=5),
    dict(
        dataset="a,c", mix_strategy="interleave_over", eval_dataset="b_few,c", seed=11,
    ),
]


def rows(dataset):
    return [prompt[0]["content"] for prompt in dataset["_prompt"]]


def main(path):
    folder = pathlib.Path(tempfile.mkdtemp())
    info = {}
    for name, count in LENGTHS.items():
        content = [{"instruction": f"{name}.{row}", "input": "", "output": "x"} for row in range(count)]
        (folder / f"{name}.json").write_text(json.dumps(content))
        info[name] = {"file_name": f"{name}.json"}
    for name, (source, count) in SAMPLES.items():
        info[name] = {"file_name": f"{source}.json", "num_samples": count}
    (folder / "dataset_info.json").write_text(json.dumps(info))

    recorded = []
    for case in CASES:
        arguments = dict(case)
        seed = arguments.pop("seed", 42)
        data = DataArguments(
            dataset_dir=str(folder), overwrite_cache=True, **{k: v for k, v in arguments.items()}
        )
        training = Seq2SeqTrainingArguments(output_dir=str(folder / "out"), seed=seed, report_to="none", use_cpu=True)
        model = ModelArguments(model_name_or_path="none", cache_dir=str(folder / "cache"))
        transformers.set_seed(seed)
        train = _get_merged_dataset(data.dataset, model, data, training, "sft")
        evaluation = _get_merged_dataset(
            data.eval_dataset, model, data, training, "sft", return_dict=data.eval_on_each_dataset
        )
        train, evaluation = split_dataset(train, evaluation, data, seed=seed)
        recorded.append(
            {
                "arguments": {key: str(value).lower() if value is True else str(value) for key, value in case.items()},
                "train": rows(train["train"]),
                "eval": {name: rows(dataset) for name, dataset in evaluation.items()},
            }
        )
    content = {"dataset_info": info, "lengths": LENGTHS, "cases": recorded}
    pathlib.Path(path).write_text(json.dumps(content) + "\n")


main(sys.argv[1])
