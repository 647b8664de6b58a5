"""Records a tiny model of an architecture with transformers' numbers, in the layout of Fixtures/golden/models.

    DISABLE_VERSION_CHECK=1 python Tools/golden/record_model_folder.py CONFIG.json FOLDER [--seed 0]

Needs llamafactory 0.9.5 with transformers 5.5.4 and torch (CPU). Weights are drawn: matrices small, norms, biases and whatever else is a vector a
little off their start, so that one that is left out shows. `FOLDER` receives config.json, model.safetensors, expected.json and
expected.safetensors (`input_ids`, `attention_mask`, `labels`, `logits`).
"""

import argparse
import json
import os

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from llamafactory.model.model_utils.misc import find_all_linear_modules

ROWS, LENGTH, PADDING, UNSCORED = 2, 48, 13, 8
PROMPT, NEW = 16, 24


def draw(model):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.08)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.1)


def greedy(model, prompt):
    ids, margins = list(prompt), []
    with torch.no_grad():
        for _ in range(NEW):
            top = model(torch.tensor([ids]), use_cache=False).logits[0, -1].topk(2)
            margins.append((top.values[0] - top.values[1]).item())
            ids.append(top.indices[0].item())
    return {"prompt_ids": list(prompt), "new_ids": ids[len(prompt) :], "top1_top2_margin": margins}


def measure(model):
    """The numbers of a drawn model: what expected.json and expected.safetensors hold, and all gradients."""
    config = model.config
    ids = torch.randint(3, config.vocab_size, (ROWS, LENGTH))
    mask = torch.ones_like(ids)
    ids[1, -PADDING:], mask[1, -PADDING:] = 0, 0
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :UNSCORED] = -100
    output = model(ids, attention_mask=mask, labels=labels, use_cache=False)
    output.loss.backward()
    expected = {
        "model_type": config.model_type,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "loss": output.loss.item(),
        "logit_abs_max": output.logits.abs().max().item(),
        "greedy": greedy(model, ids[0, :PROMPT].tolist()),
    }
    grads = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    tensors = {"input_ids": ids, "attention_mask": mask, "labels": labels, "logits": output.logits.detach()}
    return expected, grads, tensors


def write(folder, published, expected, grads, tensors, linear_names):
    """Writes all but the weights; config.json is what a published file says, not what transformers makes of it."""
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(published, file, indent=2)
        file.write("\n")
    if os.path.exists(os.path.join(folder, "generation_config.json")):
        os.remove(os.path.join(folder, "generation_config.json"))
    expected["linear_module_names"] = sorted(linear_names)
    expected["grads"] = {name: {"l2": grad.norm().item(), "sum": grad.sum().item()} for name, grad in grads.items()}
    with open(os.path.join(folder, "expected.json"), "w") as file:
        json.dump(expected, file, indent=1)
        file.write("\n")
    save_file(tensors, os.path.join(folder, "expected.safetensors"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    with open(options.config) as file:
        published = json.load(file)
    config = AutoConfig.for_model(**published)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    draw(model)
    os.makedirs(options.folder, exist_ok=True)
    model.save_pretrained(options.folder)
    expected, grads, tensors = measure(model)
    write(options.folder, published, expected, grads, tensors, find_all_linear_modules(model, False))


if __name__ == "__main__":
    main()
