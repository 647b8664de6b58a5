"""Trains a packed pre-training job with unsloth on a CPU, from the YAML that the other programs read; prints a line per step as they do."""

import pathlib
import sys

import unsloth  # noqa: F401  (must come before the packages that it patches)
import torch
import yaml
from datasets import Dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer
from unsloth import FastLanguageModel


def rows(config, tokenizer):
    """The texts, each with an end, as rows of `cutoff_len` tokens; what is left over is dropped."""
    table = yaml.safe_load(pathlib.Path(config["dataset_dir"], "dataset_info.json").read_text())[config["dataset"]]
    records = yaml.safe_load(pathlib.Path(config["dataset_dir"], table["file_name"]).read_text())
    texts = [record[table["columns"]["prompt"]] + tokenizer.eos_token for record in records]
    ids = [token for row in tokenizer(texts, add_special_tokens=False)["input_ids"] for token in row]
    length = config["cutoff_len"]
    return [ids[start : start + length] for start in range(0, len(ids) // length * length, length)]


def main():
    config = yaml.safe_load(pathlib.Path(sys.argv[1]).read_text())
    if config["stage"] != "pt":
        sys.exit("train_unsloth: only packed pre-training is compared")
    dtype = torch.bfloat16 if config["bf16"] else torch.float32
    full = config["finetuning_type"] == "full"
    model, _ = FastLanguageModel.from_pretrained(
        config["model_name_or_path"], max_seq_length=config["cutoff_len"], dtype=dtype, load_in_4bit=False, full_finetuning=full
    )
    tokenizer = AutoTokenizer.from_pretrained(config["model_name_or_path"])
    if not full:
        linears = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        model = FastLanguageModel.get_peft_model(
            model, r=config["lora_rank"], lora_alpha=2 * config["lora_rank"], lora_dropout=0, target_modules=linears
        )
    packed = rows(config, tokenizer)
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"input_ids": packed, "labels": packed, "attention_mask": [[1] * len(row) for row in packed]}),
        args=SFTConfig(
            output_dir=config["output_dir"],
            max_length=config["cutoff_len"],
            packing=False,
            per_device_train_batch_size=config["per_device_train_batch_size"],
            gradient_accumulation_steps=1,
            learning_rate=float(config["learning_rate"]),
            lr_scheduler_type="constant",
            max_steps=config["max_steps"],
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            seed=config["seed"],
            bf16=config["bf16"],
            optim="adamw_torch",
            weight_decay=0.0,
            disable_tqdm=True,
            dataloader_num_workers=0,
            use_cpu=True,
        ),
    )
    # The others take rows in their order.
    trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(trainer.train_dataset)
    trainer.train()
    trainer.state.save_to_json(str(pathlib.Path(config["output_dir"], "trainer_state.json")))


if __name__ == "__main__":
    main()
