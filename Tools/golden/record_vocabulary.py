"""Records what LLaMA-Factory, transformers and tokenizers make of new tokens.

    DISABLE_VERSION_CHECK=1 python Tools/golden/record_vocabulary.py

Needs llamafactory 0.9.5 with transformers 5.5.4 and torch (CPU). Writes into Fixtures/golden/vocabulary:

tokens.json            per tokenizer: the ids of texts before and after `add_tokens`, the added tokens as saved, and
                       the saved tokenizer_config.json; each with and without `split_special_tokens`
embeddings.safetensors per case: the embedding and head before and after `resize_embedding_layer` under seed 7, and
                       the next four numbers of torch's stream
"""

import json
import os
import tempfile

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PhiConfig, PhiForCausalLM

from llamafactory.model.model_utils.embedding import resize_embedding_layer

golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Fixtures/golden")
folder = os.path.join(golden, "vocabulary")

PLAIN = ["Tessel", " harbour", "日本語", "Straße", "a'b", "über-all"]
SPECIAL = ["<think>", "</think>", "[MASK] ", "Ünit"]
TEXTS = [
    "",
    "Tessel",
    "xTesselx Tessel.",
    "the harbour of tessel, the harbour",
    "日本語の日本 語日本語",
    "Straße strasse STRASSE Strasse",
    "a'b A'B a 'b",
    "über-all u\u0308ber-all Über-all",
    "<think>hidden</think>shown",
    " <think> \n</think>  x",
    "[MASK] [MASK]x [mask] ",
    "Ünit U\u0308nit ünit",
    "<|eot_id|></s><|im_end|><eos>",
    "<think<think>>Tessel</think>Tessel harbour<|eot_id|>",
]


def record_tokens():
    record = {}
    for kind in ["llama3", "llama2", "gemma", "qwen2"]:
        for split in [False, True]:
            tokenizer = AutoTokenizer.from_pretrained(f"{golden}/tokenizers/{kind}", split_special_tokens=split)
            size = len(tokenizer)
            counts = [tokenizer.add_tokens(PLAIN, special_tokens=False), tokenizer.add_tokens(SPECIAL, special_tokens=True)]
            counts.append(tokenizer.add_tokens(PLAIN + SPECIAL[:1], special_tokens=False))
            with tempfile.TemporaryDirectory() as saved:
                tokenizer.save_pretrained(saved)
                with open(f"{saved}/tokenizer.json") as file:
                    added = json.load(file)["added_tokens"]
                with open(f"{saved}/tokenizer_config.json") as file:
                    config = file.read()
            record[f"{kind}{' split' if split else ''}"] = {
                "kind": kind,
                "split": split,
                "size": [size, len(tokenizer)],
                "counts": counts,
                "ids": [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS],
                "plain": [tokenizer.decode(tokenizer.encode(text, add_special_tokens=False), skip_special_tokens=True) for text in TEXTS],
                "added_tokens": added,
                "tokenizer_config": config,
            }
    with open(f"{folder}/tokens.json", "w") as file:
        json.dump({"plain": PLAIN, "special": SPECIAL, "texts": TEXTS, "tokenizers": record}, file, indent=1, ensure_ascii=False)
        file.write("\n")


class Words:
    """A tokenizer whose words are ids, of which the last are new."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __call__(self, text, **_):
        return {"input_ids": torch.tensor([[int(word) for word in text.split()]])}


def record_embeddings():
    tensors = {}
    descriptions = {"<a>": "3 9 61", "<b>": "62 5 5 40"}
    cases = {
        "untied": dict(vocab=20, hidden=8),
        "tied": dict(vocab=20, hidden=8, tied=True),
        "half": dict(vocab=20, hidden=8, dtype=torch.bfloat16),
        "wide": dict(vocab=20, hidden=40),
        "described": dict(vocab=62, hidden=8, method="desc_init"),
        "described_tied": dict(vocab=62, hidden=8, tied=True, method="desc_init"),
        "described_noise": dict(vocab=62, hidden=8, method="desc_init_w_noise"),
        "bias": dict(vocab=20, hidden=8, model=(PhiConfig, PhiForCausalLM)),
        "bias_wide": dict(vocab=20, hidden=40, model=(PhiConfig, PhiForCausalLM)),
    }
    for name, case in cases.items():
        make_config, make_model = case.get("model", (LlamaConfig, LlamaForCausalLM))
        config = make_config(
            vocab_size=case["vocab"], hidden_size=case["hidden"], intermediate_size=16, num_hidden_layers=1,
            num_attention_heads=2, tie_word_embeddings=case.get("tied", False),
        )
        torch.manual_seed(3)
        model = make_model(config).to(case.get("dtype", torch.float32))
        tables = {"embed": model.get_input_embeddings()}
        if not case.get("tied"):
            tables["head"] = model.get_output_embeddings()
        for part, table in tables.items():
            table.weight.data.normal_(0, 0.5).add_(0.1)
            tensors[f"{name}.{part}.before"] = table.weight.detach().clone()
        bias = getattr(tables.get("head"), "bias", None)
        if bias is not None:
            bias.data.normal_(0.2, 0.5)
            tensors[f"{name}.bias.before"] = bias.detach().clone()
        torch.manual_seed(7)
        resize_embedding_layer(model, Words(case["vocab"] + 2), descriptions, case.get("method", "noise_init"))
        tensors[f"{name}.next"] = torch.rand(4)
        tensors[f"{name}.embed.after"] = model.get_input_embeddings().weight.detach().clone()
        if not case.get("tied"):
            tensors[f"{name}.head.after"] = model.get_output_embeddings().weight.detach().clone()
        if bias is not None:
            tensors[f"{name}.bias.after"] = model.get_output_embeddings().bias.detach().clone()
    save_file(tensors, f"{folder}/embeddings.safetensors")


record_tokens()
record_embeddings()
