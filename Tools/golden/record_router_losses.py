"""Records the load-balancing losses of mixtures of experts, and runs with `moe_aux_loss_coef`.

    DISABLE_VERSION_CHECK=1 python Tools/golden/record_router_losses.py

Needs llamafactory 0.9.5 with transformers 5.5.4 and torch (CPU). Writes into Fixtures/golden:

router_losses.json     per folder of models/ whose architecture has the loss: its value over both rows, padding left out, the loss of
                       the labels with it at COEFFICIENT, and that sum's gradient norms for the routers
train/runs/router_*    config.yaml and trainer_state.json of runs with `moe_aux_loss_coef`, one batch per step: with more than one,
                       the original adds their router losses up

transformers 5.5.4 gives the loss what softmax has made of the routers' scores, so that it takes the softmax twice
(huggingface/transformers issue 45120). Here the routers give their scores, as in version 4. Those of granitemoe it does not record at all, and
fails; here they are handed to the same function.
"""

import json
import os
import shutil
import tempfile

import torch
import yaml
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import AutoModelForCausalLM
from transformers.models.granitemoe.modeling_granitemoe import GraniteMoeTopKGating
from transformers.models.mixtral.modeling_mixtral import MixtralTopKRouter, load_balancing_loss_func
from transformers.models.olmoe.modeling_olmoe import OlmoeTopKRouter
from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeTopKRouter
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeTopKRouter

from llamafactory.train.tuner import run_exp

golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Fixtures/golden")
COEFFICIENT = 0.5
FOLDERS = [
    "gpt_oss_a", "gpt_oss_b", "granitemoe_a", "minimax_m2_a", "mixtral_a", "mixtral_b", "olmoe_a", "olmoe_b",
    "qwen2_moe_a", "qwen2_moe_b", "qwen3_moe_a", "qwen3_moe_b",
]
COMMON = {
    "stage": "sft",
    "do_train": True,
    "dataset": "harbor_sft",
    "eval_dataset": "harbor_small",
    "dataset_dir": "data",
    "template": "llama3",
    "cutoff_len": 256,
    "max_samples": 32,
    "preprocessing_num_workers": 1,
    "dataloader_num_workers": 0,
    "logging_steps": 1,
    "eval_strategy": "steps",
    "eval_steps": 4,
    "per_device_eval_batch_size": 1,
    "save_steps": 1000,
    "plot_loss": False,
    "report_to": "none",
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "max_steps": 4,
    "lr_scheduler_type": "constant",
    "optim": "adamw_torch",
    "seed": 42,
    "disable_shuffling": True,
    "overwrite_output_dir": True,
    "use_cpu": True,
    # With recomputation the original loses the router loss's gradient.
    "disable_gradient_checkpointing": True,
}
RUNS = {
    "router_mixtral_full": {
        "model_name_or_path": "models/fam_mixtral", "finetuning_type": "full", "learning_rate": 0.001, "moe_aux_loss_coef": 0.3,
    },
    "router_qwen3_moe_lora": {
        "model_name_or_path": "models/fam_qwen3_moe", "finetuning_type": "lora", "lora_rank": 4, "learning_rate": 0.005, "moe_aux_loss_coef": 0.1,
    },
}


def give_scores(router):
    forward = router.forward

    def scores_first(self, hidden):
        _, weights, chosen = forward(self, hidden)
        return F.linear(hidden.reshape(-1, self.hidden_dim), self.weight), weights, chosen

    router.forward = scores_first


def record_models():
    result = {}
    for folder in FOLDERS:
        path = f"{golden}/models/{folder}"
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
        scores = []
        for module in model.modules():
            if isinstance(module, GraniteMoeTopKGating):
                module.register_forward_hook(lambda _, inputs, outputs: scores.append(outputs[-1]))
        model.router_aux_loss_coef = COEFFICIENT
        inputs = load_file(f"{path}/expected.safetensors")
        del inputs["logits"]
        is_recorded = model.config.model_type != "granitemoe"
        output = model(**inputs, output_router_logits=is_recorded)
        aux_loss, loss = output.aux_loss, output.loss
        if not is_recorded:
            aux_loss = load_balancing_loss_func(tuple(scores), model.num_experts, model.num_experts_per_tok, inputs["attention_mask"])
            loss = loss + COEFFICIENT * aux_loss
        loss.backward()
        result[folder] = {
            "aux_loss": aux_loss.item(),
            "loss": loss.item(),
            "grads": {
                name: p.grad.norm().item()
                for name, p in model.named_parameters()
                if "gate.weight" in name or "router" in name
            },
        }
    with open(f"{golden}/router_losses.json", "w") as file:
        json.dump({"coefficient": COEFFICIENT, "models": result}, file, indent=1)
        file.write("\n")


def record_runs():
    os.chdir(f"{golden}/train")
    for name, changes in RUNS.items():
        output = tempfile.mkdtemp()
        config = COMMON | changes | {"output_dir": f"out/{name}"}
        run_exp(config | {"output_dir": output})
        os.makedirs(f"runs/{name}", exist_ok=True)
        with open(f"runs/{name}/config.yaml", "w") as file:
            yaml.safe_dump(config, file, sort_keys=False)
        shutil.copy(f"{output}/trainer_state.json", f"runs/{name}/trainer_state.json")
        shutil.rmtree(output)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for router in [MixtralTopKRouter, OlmoeTopKRouter, Qwen2MoeTopKRouter, Qwen3MoeTopKRouter]:
        give_scores(router)
    record_models()
    record_runs()
