"""Records LLaMA-Factory's runs that adapt the embedding and the head of a model that ties them.

    DISABLE_VERSION_CHECK=1 python Tools/golden/record_tied_runs.py

Needs llamafactory 0.9.5 with transformers 5.5.4, peft 0.18.1 and torch (CPU). Writes Fixtures/golden/train/runs/<name>:

config.yaml         what was run, relative to Fixtures/golden/train
trainer_state.json  the curve, with the evaluation at the end
final.json          a new adapter's first values (`initial_trainable`) and its last ones (`final_trainable`) at a few places
"""

import json
import os
import shutil
import tempfile

import torch
import yaml
from transformers import TrainerCallback

from llamafactory.train.tuner import run_exp

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Fixtures/golden/train")

COMMON = {
    "model_name_or_path": "models/tiny_qwen2",
    "stage": "sft",
    "do_train": True,
    "finetuning_type": "lora",
    "lora_rank": 4,
    "dataset": "harbor_sft",
    "eval_dataset": "harbor_small",
    "dataset_dir": "data",
    "template": "qwen",
    "cutoff_len": 256,
    "max_samples": 32,
    "preprocessing_num_workers": 1,
    "dataloader_num_workers": 0,
    "logging_steps": 1,
    "eval_strategy": "steps",
    "eval_steps": 5,
    "per_device_eval_batch_size": 2,
    "save_steps": 1000,
    "plot_loss": False,
    "report_to": "none",
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "learning_rate": 0.002,
    "max_steps": 10,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 1,
    "optim": "adamw_torch",
    "seed": 42,
    "disable_shuffling": True,
    "overwrite_output_dir": True,
}
RUNS = {
    "tied_lora_head": {"lora_target": "lm_head"},
    "tied_lora_embeddings": {"lora_target": "embed_tokens,v_proj"},
    "tied_lora_both": {"lora_target": "q_proj,embed_tokens,lm_head"},
    "tied_dora_both": {"lora_target": "embed_tokens,lm_head", "use_dora": True},
    "tied_loraplus": {"lora_target": "embed_tokens,o_proj", "loraplus_lr_ratio": 8.0, "loraplus_lr_embedding": 0.0005},
    "tied_rslora": {"lora_target": "embed_tokens,lm_head", "use_rslora": True},
}


def sample(tensor):
    flat = tensor.detach().double().flatten()
    index = sorted({round(i * (len(flat) - 1) / 11) for i in range(12)})
    return {
        "shape": list(tensor.shape),
        "l2": flat.norm().item(),
        "index": index,
        "value": [flat[i].item() for i in index],
    }


class Recorder(TrainerCallback):
    def __init__(self):
        self.record = {}

    def samples(self, model):
        return {name: sample(p) for name, p in model.named_parameters() if p.requires_grad}

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.record["initial_trainable"] = self.samples(model)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        self.record["final_trainable"] = self.samples(model)


def main():
    os.chdir(folder)
    torch.set_num_threads(1)
    for name, changes in RUNS.items():
        output = tempfile.mkdtemp()
        config = COMMON | changes | {"output_dir": f"out/{name}"}
        recorder = Recorder()
        run_exp(config | {"output_dir": output}, callbacks=[recorder])
        os.makedirs(f"runs/{name}", exist_ok=True)
        with open(f"runs/{name}/config.yaml", "w") as file:
            yaml.safe_dump(config, file, sort_keys=False)
        with open(f"runs/{name}/final.json", "w") as file:
            json.dump(recorder.record, file, indent=1)
        shutil.copy(f"{output}/trainer_state.json", f"runs/{name}/trainer_state.json")
        shutil.rmtree(output)


if __name__ == "__main__":
    main()
