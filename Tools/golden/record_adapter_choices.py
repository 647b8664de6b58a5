"""Records adapters of PEFT that choose their modules, ranks and α by more than a list of names, and what they make of a tiny model.

    DISABLE_VERSION_CHECK=1 python Tools/golden/record_adapter_choices.py Fixtures/golden/models/llama_b Fixtures/golden/adapter_choices

Needs peft 0.18.1 with transformers 5.5.4 and torch (CPU). Each case is a folder with PEFT's two files and expected.safetensors (`input_ids`
and `logits` of one text).
"""

import json
import os
import shutil
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

CASES = {
    "pattern": dict(target_modules=r".*layers\.(?P<layer>[02])\.self_attn\.(q|v)_proj|lm_head"),
    "layers": dict(target_modules=["q_proj", "down_proj"], layers_to_transform=[0, 2], layers_pattern="layers"),
    "layer": dict(target_modules=["v_proj", "model.layers.0.mlp.up_proj"], layers_to_transform=1),
    "excluded": dict(target_modules="all-linear", exclude_modules=["down_proj", "layers.0.self_attn.k_proj"]),
    "excluded_pattern": dict(target_modules=["q_proj", "up_proj"], exclude_modules=r"model\.layers\.\d\.mlp.*"),
    "ranks": dict(
        target_modules=["q_proj", "v_proj", "up_proj", "down_proj"],
        rank_pattern={"q_proj": 4, "1.self_attn.v_proj": 1},
        alpha_pattern={"v_proj": 3, r"^model\.layers\.[01]\.mlp\.up_proj": 5, "layers.2.mlp.down_proj": 0.5},
        use_rslora=True,
    ),
    "saved": dict(target_modules=["q_proj", "o_proj", "absent_proj"], modules_to_save=["o_proj"]),
}


def main():
    source, target = sys.argv[1:]
    ids = torch.randint(3, 100, (1, 24), generator=torch.Generator().manual_seed(2))
    for name, settings in CASES.items():
        base = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, attn_implementation="eager").eval()
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **{"r": 2, "lora_alpha": 6, **settings}))
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "lora_" in key:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
                elif "modules_to_save" in key:
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
            logits = model.eval()(input_ids=ids, use_cache=False).logits
        folder = os.path.join(target, name)
        shutil.rmtree(folder, ignore_errors=True)
        model.save_pretrained(folder)
        os.remove(os.path.join(folder, "README.md"))
        path = os.path.join(folder, "adapter_config.json")
        with open(path) as file:
            config = json.load(file)
        config["base_model_name_or_path"] = os.path.basename(source)
        with open(path, "w") as file:
            json.dump(config, file, indent=2, sort_keys=True)
            file.write("\n")
        save_file({"input_ids": ids, "logits": logits}, os.path.join(folder, "expected.safetensors"))


main()
