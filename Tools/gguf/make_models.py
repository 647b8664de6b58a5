"""Writes a small model with drawn weights of every family that `export_gguf` knows, for check_gguf.py.

    python Tools/gguf/make_models.py FOLDER [TOKENIZER_FOLDER]

Needs torch and transformers. Rows are 256 weights wide, so that types with a K have whole blocks; the tokenizer is that of TOKENIZER_FOLDER, by default of
Fixtures/golden/train/models/tiny_llama.
"""

import json
import pathlib
import shutil
import sys

import torch
import transformers

SIZES = dict(
    hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048,
    initializer_range=0.06, pad_token_id=None)
EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=256)
FAMILIES = {
    "llama": dict(rope_theta=5e5, rms_norm_eps=1e-5),
    "mistral": dict(head_dim=32, sliding_window=None),
    "mixtral": dict(num_local_experts=4, num_experts_per_tok=2, sliding_window=None),
    "qwen2": dict(tie_word_embeddings=True),
    "qwen3": dict(head_dim=32),
    "qwen2_moe": dict(**EXPERTS, shared_expert_intermediate_size=256),
    "qwen3_moe": dict(**EXPERTS, head_dim=64, norm_topk_prob=True),
    "gemma": dict(head_dim=64),
    "gemma2": dict(head_dim=64, query_pre_attn_scalar=64, sliding_window=64),
    "gemma3_text": dict(head_dim=64, query_pre_attn_scalar=64, sliding_window=64, num_hidden_layers=6),
    "phi3": dict(sliding_window=None, original_max_position_embeddings=2048),
    "granite": dict(attention_multiplier=0.1, embedding_multiplier=6.0, residual_multiplier=0.5, logits_scaling=2.0),
    "olmo2": {},
    "olmoe": dict(num_experts=4, num_experts_per_tok=2),
}


def main():
    folder = pathlib.Path(sys.argv[1])
    tokenizer = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else pathlib.Path(__file__).parents[2] / "Fixtures/golden/train/models/tiny_llama")
    with (tokenizer / "tokenizer.json").open(encoding="utf-8") as file:
        content = json.load(file)
    ids = set(content["model"]["vocab"].values()) | {token["id"] for token in content["added_tokens"]}
    ends = transformers.AutoTokenizer.from_pretrained(tokenizer)
    for name, more in FAMILIES.items():
        torch.manual_seed(3)
        config = transformers.AutoConfig.for_model(
            name, **{**SIZES, "vocab_size": max(ids) + 1, "bos_token_id": ends.bos_token_id, "eos_token_id": ends.eos_token_id, **more})
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        # Norms and biases that are all alike would hide a mix-up.
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() == 1:
                    weight.add_(torch.randn_like(weight) * 0.05)
        model.save_pretrained(folder / name)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(tokenizer / file, folder / name)
        print(name, sum(weight.numel() for weight in model.parameters()))


if __name__ == "__main__":
    main()
