"""Records a tiny model of a family whose code is published beside its weights, in the layout of Fixtures/golden/models.

    DISABLE_VERSION_CHECK=1 python Tools/golden/record_renamed_folder.py CONFIG.json FOLDER [--seed 0]

transformers has no such family, but one that computes the same under other names: its numbers are recorded, and its tensors, gradients and
settings take the names of the family. Needs what record_model_folder.py needs.
"""

import argparse
import json
import math
import os
import re

import torch
from record_model_folder import draw, measure, write
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

SHARED = (
    "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads max_position_embeddings "
    "rms_norm_eps rope_theta tie_word_embeddings hidden_act head_dim rope_scaling"
).split()


INTERNLM2 = {
    "model.embed_tokens": "model.tok_embeddings",
    "lm_head": "output",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.up_proj": "feed_forward.w3",
    "mlp.down_proj": "feed_forward.w2",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}
EXAONE = {
    "model.embed_tokens": "transformer.wte",
    "model.layers": "transformer.h",
    "model.norm": "transformer.ln_f",
    "self_attn.o_proj": "attn.attention.out_proj",
    "self_attn": "attn.attention",
    "mlp.gate_proj": "mlp.c_fc_0",
    "mlp.up_proj": "mlp.c_fc_1",
    "mlp.down_proj": "mlp.c_proj",
    "input_layernorm": "ln_1",
    "post_attention_layernorm": "ln_2",
}


def renamed(tensors, names):
    result = {}
    for name, tensor in tensors.items():
        for old, new in names.items():
            name = name.replace(old, new)
        result[name] = tensor
    return result


def internlm2(published, tensors):
    """Llama's matrices of queries, keys and values become one: for each key-value head its queries, its key, its value."""
    heads, shared = published["num_attention_heads"], published["num_key_value_heads"]
    fused = {}
    for name, tensor in tensors.items():
        if ".q_proj." in name:
            parts = [
                tensors[name.replace("q_proj", part)].unflatten(0, (shared, count, -1))
                for part, count in (("q_proj", heads // shared), ("k_proj", 1), ("v_proj", 1))
            ]
            fused[name.replace("self_attn.q_proj", "attention.wqkv")] = torch.cat(parts, dim=1).flatten(0, 2)
        elif ".k_proj." not in name and ".v_proj." not in name:
            fused[name] = tensor
    return renamed(fused, INTERNLM2)


def exaone(published, tensors):
    return renamed(tensors, EXAONE)


def plain(published, tensors):
    return tensors


def mimo(published, tensors):
    """A published file also holds a layer that guesses at a token further on, which nothing reads."""
    further = torch.ones(published["hidden_size"], 2 * published["hidden_size"])
    return {**tensors, "model.mtp_layers.0.input_proj.weight": further}


def exaone_settings(published):
    return {
        "num_hidden_layers": published["num_layers"],
        "hidden_act": published["activation_function"],
        "rms_norm_eps": published["layer_norm_epsilon"],
    }


def minicpm_settings(published):
    return {
        "embedding_multiplier": published["scale_emb"],
        "residual_multiplier": published["scale_depth"] / math.sqrt(published["num_hidden_layers"]),
        "logits_scaling": published["hidden_size"] / published["dim_model_base"],
        "attention_multiplier": (published["hidden_size"] // published["num_attention_heads"]) ** -0.5,
    }


# By model_type: the family that computes the same, its settings besides the shared ones, and how its tensors are renamed.
FAMILIES = {
    "exaone": ("llama", exaone_settings, exaone),
    "internlm2": ("llama", lambda published: {"attention_bias": published["bias"]}, internlm2),
    # Biases on queries, keys and values alone, as Qwen 2 has them.
    "internlm3": ("qwen2", lambda published: {}, plain),
    "minicpm": ("granite", minicpm_settings, plain),
    "mimo": ("qwen2", lambda published: {}, mimo),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    with open(options.config) as file:
        published = json.load(file)
    family, settings, rename = FAMILIES[published["model_type"]]
    shared = {key: published[key] for key in SHARED if published.get(key) is not None}
    config = AutoConfig.for_model(family, **shared, **settings(published))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    draw(model)
    expected, grads, tensors = measure(model)
    expected["model_type"] = published["model_type"]
    weights = {name: tensor.detach() for name, tensor in model.named_parameters()}
    os.makedirs(options.folder, exist_ok=True)
    stored = {name: tensor.contiguous() for name, tensor in rename(published, weights).items()}
    save_file(stored, os.path.join(options.folder, "model.safetensors"), metadata={"format": "pt"})
    grads = {name: grad for name, grad in rename(published, grads).items() if ".mtp_layers." not in name}
    linear = {
        re.sub(r"\.weight$", "", name).split(".")[-1]
        for name, grad in grads.items()
        if grad.ndim == 2 and not re.search("embed|wte|lm_head|^output", name)
    }
    write(options.folder, published, expected, grads, tensors, linear)


if __name__ == "__main__":
    main()
