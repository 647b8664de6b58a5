"""Records what LLaMA-Factory prints for `print_param_status`.

    DISABLE_VERSION_CHECK=1 python Tools/golden/record_parameter_status.py

Needs llamafactory 0.9.5 with transformers 5.5.4, peft 0.18.1 and torch (CPU). Writes Fixtures/golden/parameter_status.json: per case the
arguments that differ from the others', and the lines.
"""

import contextlib
import io
import json
import os
import tempfile

from llamafactory.hparams import get_train_args
from llamafactory.model import load_model, load_tokenizer

golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Fixtures/golden")

CASES = {
    "full": {"finetuning_type": "full"},
    "freeze": {"finetuning_type": "freeze", "freeze_trainable_layers": 1, "freeze_extra_modules": "lm_head"},
    "lora": {"finetuning_type": "lora", "lora_target": "all"},
    "dora": {"finetuning_type": "lora", "lora_target": "q_proj,down_proj", "use_dora": True},
    "whole modules": {"finetuning_type": "lora", "lora_target": "v_proj", "additional_target": "embed_tokens,lm_head"},
    "value head": {"finetuning_type": "lora", "lora_target": "q_proj", "stage": "rm"},
}


def lines(case):
    with tempfile.TemporaryDirectory() as output:
        arguments = {
            "model_name_or_path": os.path.join(golden, "train/models/tiny_llama"), "stage": "sft", "do_train": True, "dataset": "x", "template": "llama3",
            "output_dir": output, "print_param_status": True, "use_cpu": True, "report_to": "none", **case,
        }  # fmt: skip
        model, _, training, finetuning, _ = get_train_args(arguments)
        tokenizer = load_tokenizer(model)["tokenizer"]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            load_model(tokenizer, model, finetuning, training.do_train, add_valuehead=case.get("stage") == "rm")
        return [line for line in out.getvalue().splitlines() if line.startswith("name: ")]


def main():
    record = {name: {"arguments": case, "lines": lines(case)} for name, case in CASES.items()}
    with open(os.path.join(golden, "parameter_status.json"), "w") as file:
        json.dump(record, file, indent=1)
        file.write("\n")


main()
