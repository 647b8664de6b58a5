"""Asks this program and transformers what keys of a config.json mean, family by family.

    python Tools/models/check_configs.py [--cli .build/release/llamafactory-cli] [--models FOLDER] [--only WORD …] [--keys WORD …]
        [--all] [--report FILE]

Needs transformers 5. For each family of Fixtures/golden/models (or of FOLDER; --all takes every folder instead of one a family)
it writes the folder's config.json once for each key below, with another value than files usually have, whether the family reads
that key or not; weights are drawn by their names, so that a key that changes no number changes nothing. Both programs then compute logits of
the same ids. What comes of it:

  same      the logits agree to 3e-4 of their size; another meaning changes them by more than 1e-2
  refused   this program refuses the file by name, transformers computes it
  lenient   this program computes the file, transformers fails
  both      both refuse it
  DIFFERS   the logits differ

`idle` marks keys that change nothing in transformers. A line per family and kind of outcome; the exit status is 1 where something differs.
"""

import argparse
import collections
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
import zlib

import torch
from safetensors.torch import load_file
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

root = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
BOUND = 3e-4
LENGTHS = (1, 5, 29)
ABSENT = object()


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cli", default=os.path.join(root, ".build/release/llamafactory-cli"))
    parser.add_argument("--models", default=os.path.join(root, "Fixtures/golden/models"))
    parser.add_argument("--only", nargs="*", default=[], help="folders whose name holds one of these")
    parser.add_argument("--keys", nargs="*", default=[], help="variations whose name holds one of these")
    parser.add_argument("--all", action="store_true", help="every folder, not one a family")
    parser.add_argument("--report", help="a file for one line of JSON per variation")
    return parser.parse_args()


def scalings(head, share=None):
    """The kinds of rotary scaling, for heads of some width."""
    half = max(1, int(head * (share or 1)) // 2)
    stretch = {"short_factor": [1.0 + 0.1 * i for i in range(half)], "long_factor": [2.0 + 0.3 * i for i in range(half)]}
    return {
        "linear": {"factor": 4.0},
        "dynamic": {"factor": 4.0},
        "yarn": {"factor": 4.0, "original_max_position_embeddings": 16},
        "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16},
        "longrope": {**stretch, "original_max_position_embeddings": 16},
        "proportional": {"factor": 2.0, "partial_rotary_factor": 0.5},
    }


def rotary_variations(head):
    """Old and new names of everything that describes positions."""
    found = {
        "partial_rotary_factor": {"partial_rotary_factor": 0.5},
        "partial_rotary_factor=1": {"partial_rotary_factor": 1.0},
        "rotary_pct": {"rotary_pct": 0.5},
        "rotary_dim": {"rotary_dim": max(2, head // 2)},
        "rope_parameters.partial": {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5}},
        "rope_scaling.partial": {"rope_scaling": {"rope_type": "default", "partial_rotary_factor": 0.5}, "rope_parameters": ABSENT},
        "rope_theta": {"rope_theta": 500.0},
        "rope_theta+no parameters": {"rope_theta": 500.0, "rope_parameters": ABSENT, "rope_scaling": ABSENT},
        "no positions": {"rope_theta": ABSENT, "rope_parameters": ABSENT, "rope_scaling": ABSENT},
        "rotary_emb_base": {"rotary_emb_base": 500.0, "rope_parameters": ABSENT},
        "rope_local_base_freq": {"rope_local_base_freq": 500.0, "rope_parameters": ABSENT},
        "original_max_position_embeddings": {"original_max_position_embeddings": 16},
        "rope_interleave": {"rope_interleave": False},
        "rope_interleaved": {"rope_interleaved": True},
        "max_position_embeddings": {"max_position_embeddings": 64},
    }
    for kind, described in scalings(head).items():
        old = {"type": kind, **described}
        new = {"rope_type": kind, "rope_theta": 500.0, **described}
        found[f"rope_scaling {kind}"] = {"rope_scaling": old, "rope_parameters": ABSENT}
        found[f"rope_parameters {kind}"] = {"rope_parameters": new, "rope_scaling": ABSENT, "rope_theta": ABSENT}
        found[f"rope_scaling {kind} beside"] = {
            "rope_scaling": old, "rope_parameters": ABSENT, "original_max_position_embeddings": 8,
        }  # fmt: skip
    for kind, described in scalings(head, 0.5).items():
        old = {"type": kind, **described}
        found[f"partial {kind}"] = {"rope_scaling": old, "rope_parameters": ABSENT, "partial_rotary_factor": 0.5}
    return found


def layer_variations(layers):
    """Windows and kinds of layers."""
    kinds = ["sliding_attention", "full_attention"]
    types = [kinds[index % 2] for index in range(layers)]
    return {
        "sliding_window": {"sliding_window": 3},
        "sliding_window null": {"sliding_window": None},
        "use_sliding_window": {"sliding_window": 3, "use_sliding_window": True},
        "use_sliding_window false": {"sliding_window": 3, "use_sliding_window": False},
        "max_window_layers": {"sliding_window": 3, "use_sliding_window": True, "max_window_layers": 1, "layer_types": ABSENT},
        "max_window_layers alone": {"sliding_window": 3, "max_window_layers": 1, "layer_types": ABSENT},
        "layer_types": {"sliding_window": 3, "layer_types": types},
        "layer_types+use": {"sliding_window": 3, "use_sliding_window": True, "layer_types": types},
        "layer_types sliding": {"sliding_window": 3, "layer_types": [kinds[0]] * layers},
        "layer_types full": {"sliding_window": 3, "layer_types": [kinds[1]] * layers},
        "layer_types+window null": {"sliding_window": None, "layer_types": types},
        "sliding_window_pattern": {"sliding_window": 3, "sliding_window_pattern": 2, "layer_types": ABSENT},
        "_sliding_window_pattern": {"sliding_window": 3, "_sliding_window_pattern": 2, "layer_types": ABSENT},
        "no_rope_layers": {"no_rope_layers": [index % 2 for index in range(layers)]},
        "no_rope_layer_interval": {"no_rope_layer_interval": 2, "no_rope_layers": ABSENT},
        "attention_chunk_size": {"attention_chunk_size": 3},
        "first_k_dense_replace": {"first_k_dense_replace": 1},
        "mlp_layer_types": {"mlp_layer_types": ["dense"] + ["sparse"] * (layers - 1)},
        "mlp_only_layers": {"mlp_only_layers": [0]},
        "decoder_sparse_step": {"decoder_sparse_step": 2},
        "moe_layer_freq": {"moe_layer_freq": 2},
        "full_attn_idxs": {"full_attn_idxs": [0], "layer_types": ABSENT},
        "full_attention_interval": {"full_attention_interval": 2, "layer_types": ABSENT},
    }


FLAGS = (
    "attention_bias mlp_bias bias use_bias qkv_bias use_qkv_bias attention_out_bias o_bias lm_head_bias head_bias conv_bias enable_bias add_bias "
    "tie_word_embeddings tie_embedding use_qk_norm qk_layernorm qk_norm use_qk_layernorm "
    "use_parallel_residual parallel_attn new_decoder_architecture multi_query alibi "
    "scale_attn_weights scale_attn_by_inverse_layer_idx reorder_and_upcast_attn layer_norm_elementwise_affine do_layer_norm_before "
    "_remove_final_layer_norm apply_residual_connection_post_layernorm norm_topk_prob block_auto_adjust_ff_dim use_cache is_decoder "
    "use_bidirectional_attention use_mla is_causal use_attention_sinks"
).split()
NUMBERS = {
    "logit_scale": 0.5, "logits_scaling": 2.0, "embedding_multiplier": 3.0, "attention_multiplier": 0.3, "residual_multiplier": 0.5,
    "scale_emb": 3.0, "scale_depth": 1.4, "dim_model_base": 8, "attn_logit_softcapping": 0.5, "final_logit_softcapping": 0.5,
    "query_pre_attn_scalar": 7, "clip_qkv": 0.2, "swiglu_limit": 0.1, "routed_scaling_factor": 1.7, "n_group": 2, "topk_group": 1,
    "num_experts_per_tok": 1, "num_experts": 8, "num_local_experts": 8, "n_routed_experts": 8, "moe_num_experts": 8, "moe_k": 1, "moe_topk": 1, "router_jitter_noise": 0.0, "num_ln_in_parallel_attn": 1, "pretraining_tp": 2,
    "rms_norm_eps": 0.1, "layer_norm_eps": 0.1, "norm_eps": 0.1, "layer_norm_epsilon": 0.1, "norm_epsilon": 0.1, "initializer_range": 0.5,
    "attention_dropout": 0.0, "n_shared_experts": 1, "shared_expert_intermediate_size": 24, "moe_intermediate_size": 20,
    "intermediate_size": 40, "ffn_hidden_size": 40, "n_inner": 40, "ffn_dim": 40, "num_key_value_heads": 1, "num_kv_heads": 1,
    "expand_ratio": 2, "hidden_dropout_prob": 0.0, "block_multiple_of": 8, "block_ffn_dim_multiplier": 1.5, "block_ff_dim": 48,
    "conv_L_cache": 2, "partial_rotary": 0.5, "num_nextn_predict_layers": 1, "input_jitter_noise": 0.0, "ep_size": 2, "alpha": 2.0,
}  # fmt: skip
WORDS = {
    "hidden_act": ("gelu", "relu", "gelu_pytorch_tanh", None, "gelu_python", "quick_gelu", "linear"), "hidden_activation": ("gelu", None),
    "activation_function": ("gelu", None), "activation": ("relu", None), "scoring_func": ("softmax", "sigmoid"),
    "topk_method": ("greedy", "group_limited_greedy", "noaux_tc"), "dtype": ("float8",), "torch_dtype": ("bfloat16", "float8"),
    "position_embedding_type": ("alibi",), "norm_type": ("layer_norm",), "attn_implementation": ("eager",),
}  # fmt: skip


def variations(config):
    """What to try on a family's file: a name and the keys that it sets, ABSENT for those that it takes away."""
    hidden = config.get("hidden_size") or config.get("n_embd") or config.get("n_embed")
    heads = config.get("num_attention_heads") or config.get("n_head")
    layers = config.get("num_hidden_layers") or config.get("n_layer") or config.get("num_layers")
    head = config.get("head_dim") or hidden // heads
    found = {"as it is": {}}
    found.update(rotary_variations(head))
    found.update(layer_variations(layers))
    found["head_dim"] = {"head_dim": 2 * head}
    found["head_dim null"] = {"head_dim": None}
    found["kv heads null"] = {"num_key_value_heads": None}
    for key in FLAGS:
        if key in config:
            found[f"{key} flipped"] = {key: not config[key]}
        else:
            found[f"{key}=true"], found[f"{key}=false"] = {key: True}, {key: False}
    for key, value in NUMBERS.items():
        found[key] = {key: value}
    for key, values in WORDS.items():
        for value in values:
            found[f"{key}={json.dumps(value)}"] = {key: value}
    for key in config:
        if key not in ("model_type", "architectures", "vocab_size", "transformers_version", "dtype", "torch_dtype"):
            found[f"without {key}"] = {key: ABSENT}
    return found


def changed(config, keys):
    result = {key: value for key, value in config.items() if keys.get(key) is not ABSENT}
    result.update({key: value for key, value in keys.items() if value is not ABSENT})
    return result


def draw(model):
    """Weights by their names and shapes, so that two models that have a weight in common draw the same."""
    with torch.no_grad():
        for name, tensor in list(model.named_parameters()) + list(model.named_buffers()):
            if name.endswith("inv_freq") or not tensor.is_floating_point():
                continue
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim > 1:
                tensor.copy_(noise * (0.5 if "embed" in name else 1.2 / tensor.shape[-1] ** 0.5))
            elif "buffer" not in name:
                tensor.add_(noise * 0.2)


def too_large(config):
    """Whether a file whose keys were taken away means the published size."""
    limit = 1 << 20
    try:
        with torch.device("meta"), silence():
            model = AutoModelForCausalLM.from_config(config)
        return sum(parameter.numel() for parameter in model.parameters()) > limit
    except Exception:
        return False


@contextlib.contextmanager
def silence():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Family:
    def __init__(self, folder, cli):
        with open(os.path.join(folder, "config.json")) as file:
            self.config = json.load(file)
        self.cli = cli
        vocab = self.config["vocab_size"]
        generator = torch.Generator().manual_seed(0)
        self.ids = [torch.randint(3, vocab, (length,), generator=generator).tolist() for length in LENGTHS]
        self.plain = self.theirs(self.config)[0]

    def theirs(self, config, folder=None):
        """Transformers' logits for a file, with drawn weights that are left in the folder; else why not."""
        place = folder or tempfile.mkdtemp()
        try:
            write(place, config)
            with silence():
                loaded = AutoConfig.from_pretrained(place)
                if too_large(loaded):
                    return None, "too large"
                torch.manual_seed(0)
                model = AutoModelForCausalLM.from_config(loaded, dtype=torch.float32, attn_implementation="eager").eval()
                draw(model)
                if folder:
                    model.save_pretrained(place)
                    write(place, config)
                    model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, attn_implementation="eager").eval()
                with torch.no_grad():
                    return [model(torch.tensor([ids]), use_cache=False).logits[0].float() for ids in self.ids], None
        except Exception as error:
            return None, f"{type(error).__name__}: {str(error).strip().splitlines()[-1][:160] if str(error).strip() else ''}"
        finally:
            if not folder:
                shutil.rmtree(place)

    def ours(self, folder):
        sequences, written = os.path.join(folder, "ids.jsonl"), os.path.join(folder, "logits.safetensors")
        with open(sequences, "w") as file:
            file.writelines(json.dumps(ids) + "\n" for ids in self.ids)
        result = subprocess.run([self.cli, "logits", folder, sequences, written], capture_output=True, text=True)
        if result.returncode:
            lines = [line for line in (result.stderr + result.stdout).splitlines() if line.strip()]
            return None, (lines[-1] if lines else f"exit status {result.returncode}").replace(folder, "").strip()[:220]
        tensors = load_file(written)
        return [tensors[f"logits.{index}"] for index in range(len(self.ids))], None

    def outcome(self, keys):
        """What comes of a variation: a word, and what to say of it."""
        place = tempfile.mkdtemp()
        try:
            theirs, their_error = self.theirs(changed(self.config, keys), place)
            if theirs is None:
                # What this program says of the key counts, so it gets weights: those of the plain file.
                self.theirs(self.config, place)
                write(place, changed(self.config, keys))
                ours, our_error = self.ours(place)
                return ("both", f"{their_error} | {our_error}") if ours is None else ("lenient", their_error)
            ours, our_error = self.ours(place)
            if ours is None:
                return "refused", our_error
            gap = distance(ours, theirs)
            return ("same" if gap <= BOUND else "DIFFERS"), f"{gap:.1e}"
        finally:
            shutil.rmtree(place)

    def outcomes(self, found):
        """Outcomes of all variations. Those that change nothing in transformers are tried together, and apart where that goes wrong."""
        result, groups = {}, []
        for name, keys in found.items():
            theirs, error = self.theirs(changed(self.config, keys))
            if error == "too large":
                result[name] = ("skipped", False, error)
            elif theirs is None or self.plain is None or distance(theirs, self.plain) != 0:
                word, detail = self.outcome(keys)
                result[name] = (word, False, detail)
            else:
                group = next((group for group in groups if not any(key in found[other] for other in group for key in keys)), None)
                groups.append([name]) if group is None else group.append(name)
        for group in groups:
            self.settle(group, found, result)
        return {name: result[name] for name in found}

    def settle(self, group, found, result):
        keys = {key: value for name in group for key, value in found[name].items()}
        word, detail = self.outcome(keys)
        if len(group) == 1 or word == "same":
            result.update({name: (word, True, detail) for name in group})
            return
        middle = len(group) // 2
        self.settle(group[:middle], found, result)
        self.settle(group[middle:], found, result)


def write(folder, config):
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)


def distance(a, b):
    if any(x.shape != y.shape for x, y in zip(a, b)):
        return float("inf")
    found = max(((x - y).abs() / (1 + y.abs())).max().item() for x, y in zip(a, b))
    return found if found == found else float("inf")


def folders(options):
    seen = set()
    for name in sorted(os.listdir(options.models)):
        path = os.path.join(options.models, name, "config.json")
        if not os.path.exists(path) or (options.only and not any(word in name for word in options.only)):
            continue
        with open(path) as file:
            kind = json.load(file)["model_type"]
        if kind not in CONFIG_MAPPING or (kind in seen and not options.all):
            continue
        seen.add(kind)
        yield name


def main():
    options = arguments()
    logging.set_verbosity(logging.CRITICAL)
    torch.set_num_threads(1)
    total, report = collections.Counter(), open(options.report, "a") if options.report else None
    for name in folders(options):
        family = Family(os.path.join(options.models, name), options.cli)
        counts, lines = collections.Counter(), []
        found = variations(family.config)
        if options.keys:
            found = {name: keys for name, keys in found.items() if any(word in name for word in options.keys)}
        for variation, (word, idle, detail) in family.outcomes(found).items():
            counts[word] += 1
            if word not in ("same", "both", "skipped"):
                lines.append(f"    {word}{' (idle)' if idle else ''} {variation}: {detail}")
            if report:
                print(json.dumps([name, variation, word, idle, detail]), file=report, flush=True)
        print(f"{name}: " + ", ".join(f"{count} {word}" for word, count in sorted(counts.items())), flush=True)
        print("\n".join(lines) + ("\n" if lines else ""), end="", flush=True)
        total.update(counts)
    print(", ".join(f"{count} {word}" for word, count in sorted(total.items())))
    sys.exit(1 if total["DIFFERS"] else 0)


if __name__ == "__main__":
    main()
