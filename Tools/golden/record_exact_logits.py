"""Records the logits that Qwen 3 Next's model folders have in exact arithmetic, as nearly as float64 tells.

    python Tools/golden/record_exact_logits.py FOLDER …

Needs transformers 5.5.4 and torch (CPU). Decays over a text add up to hundreds, of which float32 keeps no more than 3e-5, and keys are brought to length 1
however short they are: transformers' own float32 logits lie 3e-5 to 7e-5 from these. The recurrence runs token by token; nothing is rounded to
float32 but the tables of positions (`eager` attention would round its softmax too). Writes `logits` into exact.safetensors.
"""

import copy
import sys

import torch
import torch.nn.functional as functional
import transformers.models.qwen3_next.modeling_qwen3_next as modeling
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM


def token_by_token(query, key, value, g, beta, **_):
    query, key = modeling.l2norm(query) * key.shape[-1] ** -0.5, modeling.l2norm(key)
    state = query.new_zeros(key.shape[0], key.shape[2], key.shape[3], value.shape[3])
    outputs = []
    for t in range(key.shape[1]):
        state = state * g[:, t, :, None, None].exp()
        change = (value[:, t] - (state * key[:, t].unsqueeze(-1)).sum(-2)) * beta[:, t].unsqueeze(-1)
        state = state + key[:, t].unsqueeze(-1) * change.unsqueeze(-2)
        outputs.append((state * query[:, t].unsqueeze(-1)).sum(-2))
    return torch.stack(outputs, 1), None


def norm(self, x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * (1 + self.weight)


def gated_norm(self, x, gate=None):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon) * self.weight * functional.silu(gate)


def route(self, x):
    scores = functional.linear(x.reshape(-1, self.hidden_dim), self.weight).softmax(-1)
    weights, chosen = scores.topk(self.top_k, dim=-1)
    return scores, weights / weights.sum(-1, keepdim=True) if self.norm_topk_prob else weights, chosen


def main():
    modeling.Qwen3NextTopKRouter.forward = route
    modeling.Qwen3NextRMSNorm.forward, modeling.Qwen3NextRMSNormGated.forward = norm, gated_norm
    for folder in sys.argv[1:]:
        recorded = load_file(f"{folder}/expected.safetensors")
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="sdpa", experts_implementation="eager"
        )
        positions = copy.deepcopy(model.model.rotary_emb)
        model = model.eval().double()

        def rotary(x, position_ids):
            changed, torch.Tensor.float = torch.Tensor.float, plain
            tables = positions(plain(x), position_ids)
            torch.Tensor.float = changed
            return tuple(table.double() for table in tables)

        model.model.rotary_emb.forward = rotary
        for layer in model.model.layers:
            if hasattr(layer, "linear_attn"):
                layer.linear_attn.chunk_gated_delta_rule = token_by_token
        plain, torch.Tensor.float = torch.Tensor.float, torch.Tensor.double
        try:
            with torch.no_grad():
                logits = model(recorded["input_ids"], attention_mask=recorded["attention_mask"], use_cache=False).logits
        finally:
            torch.Tensor.float = plain
        mask = recorded["attention_mask"].bool()
        distance = ((recorded["logits"] - logits).abs() / (1 + logits.abs()))[mask].max().item()
        print(f"{folder}: the recorded logits are {distance:.1e} away")
        save_file({"logits": logits}, f"{folder}/exact.safetensors")


main()
