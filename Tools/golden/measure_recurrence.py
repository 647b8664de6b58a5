"""Measures how far transformers' float32 logits of Qwen 3 Next lie from one another when the same numbers are added up in another order.

    python Tools/golden/measure_recurrence.py FOLDER …

Needs transformers 5.5.4 and torch (CPU). Each line is one way to compute what a model folder records in float32. All are the same mathematics:
only the order of additions differs, or some results are rounded once instead of at each addition. `recorded` is the distance
from the folder's recorded logits, `exact` that from exact.safetensors. Where a few linear layers or norms rounded otherwise move
the original by more than a bound, no other program keeps that bound except by chance.
"""

import os
import sys

import torch
import torch.nn.functional as functional
import transformers.models.qwen3_next.modeling_qwen3_next as modeling
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def load(folder, **options):
    options = {"attn_implementation": "eager", "experts_implementation": "eager", **options}
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options).eval()


def recurrent(model):
    for layer in model.model.layers:
        if hasattr(layer, "linear_attn"):
            rule = modeling.torch_recurrent_gated_delta_rule
            layer.linear_attn.chunk_gated_delta_rule = lambda *inputs, rule=rule, **options: rule(
                *inputs, **{key: value for key, value in options.items() if key != "chunk_size"}
            )
    return model


def chunks_of(model, size):
    for layer in model.model.layers:
        if hasattr(layer, "linear_attn"):
            rule = modeling.torch_chunk_gated_delta_rule
            layer.linear_attn.chunk_gated_delta_rule = lambda *inputs, rule=rule, **options: rule(*inputs, **{**options, "chunk_size": size})
    return model


def linears_rounded_once(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.forward = lambda x, own=module: functional.linear(x.double(), own.weight.double()).float()
    return model


def norms_rounded_once(model):
    def forward(x, own):
        wide = x.double()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + own.eps) * (1 + own.weight.double())).float()

    for module in model.modules():
        if isinstance(module, modeling.Qwen3NextRMSNorm):
            module.forward = lambda x, own=module: forward(x, own)
    return model


def together(model, ids, mask):
    return model(ids, attention_mask=mask, use_cache=False).logits


def one_by_one(model, ids, mask):
    logits = torch.zeros(*ids.shape, model.config.vocab_size)
    for row, length in enumerate(mask.sum(1).tolist()):
        logits[row, :length] = model(ids[row : row + 1, :length], use_cache=False).logits[0]
    return logits


def distance(one, other, mask):
    return ((one - other).abs() / (1 + other.abs()))[mask.bool()].max().item()


def main():
    for folder in sys.argv[1:]:
        recorded = load_file(f"{folder}/expected.safetensors")
        exact = load_file(f"{folder}/exact.safetensors")["logits"]
        ids, mask = recorded["input_ids"], recorded["attention_mask"]
        ways = {
            "as recorded": (lambda: load(folder), together),
            "rows one by one": (lambda: load(folder), one_by_one),
            "chunks of 16": (lambda: chunks_of(load(folder), 16), together),
            "chunks of 32": (lambda: chunks_of(load(folder), 32), together),
            "token by token": (lambda: recurrent(load(folder)), together),
            "grouped experts": (lambda: load(folder, experts_implementation="grouped_mm"), together),
            "linear layers rounded once": (lambda: linears_rounded_once(load(folder)), together),
            "norms rounded once": (lambda: norms_rounded_once(load(folder)), together),
            "sdpa": (lambda: load(folder, attn_implementation="sdpa"), together),
        }
        print(f"{os.path.basename(folder)}: the recording is {distance(recorded['logits'], exact, mask):.1e} from the exact logits")
        for name, (make, compute) in ways.items():
            with torch.no_grad():
                logits = compute(make(), ids, mask)
            print(f"  {name}: recorded {distance(logits, recorded['logits'], mask):.1e}, exact {distance(logits, exact, mask):.1e}")


main()
