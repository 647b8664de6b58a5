"""Hands models and adapters of every family from this program to Python and back.

    python Tools/models/check_models.py [--cli .build/release/llamafactory-cli] [--models FOLDER] [--only WORD …]

Needs transformers 5 and peft. For each folder of Fixtures/golden/models (or of FOLDER):

  full     a model that the program trained whole loads in transformers
  lora     an adapter that it trained (`lora_target: all`) loads in PEFT
  merged   the same adapter, merged by `export`, loads in transformers
  peft     an adapter that PEFT made loads here
  again    a model that transformers saved loads here

Each time the logits of both programs for the same ids must agree to 5e-5 of their size. Where float32 cannot tell them so exactly (Qwen 3 Next's
recurrence: see Tools/golden/measure_recurrence.py) they may differ by twice what transformers differs from itself in other orders of the
same operations, as either of two programs may lie so far from the exact logits; the line names that distance. Families whose code
is not part of transformers are left out. A line per folder; the exit status is 1 where one of them fails.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

root = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
BOUND = 5e-5
RANK = 4


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cli", default=os.path.join(root, ".build/release/llamafactory-cli"))
    parser.add_argument("--models", default=os.path.join(root, "Fixtures/golden/models"))
    parser.add_argument("--only", nargs="*", default=[], help="folders whose name holds one of these")
    parser.add_argument("--keep", help="a folder for what is written, instead of one that is removed")
    return parser.parse_args()


class Failure(Exception):
    pass


def run(cli, *words):
    result = subprocess.run([cli, *words], capture_output=True, text=True)
    if result.returncode:
        errors = [line for line in (result.stderr + result.stdout).splitlines() if "rror" in line]
        raise Failure(f"{words[0]}: {errors[-1] if errors else result.stderr[-300:]}")


def write_tokenizer(folder, vocab):
    """A tokenizer of whole words: token 7 is spelled w7."""
    words = {f"w{index}": index for index in range(vocab)}
    special = [
        {"id": index, "content": f"w{index}", "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        for index in range(3)
    ]
    file = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"},
    }  # fmt: skip
    with open(os.path.join(folder, "tokenizer.json"), "w") as handle:
        json.dump(file, handle)
    names = {"unk_token": "w0", "bos_token": "w1", "eos_token": "w2", "pad_token": "w0", "tokenizer_class": "PreTrainedTokenizerFast"}
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as handle:
        json.dump(names, handle)


def rounded_once(x, norm):
    wide = x.double()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + norm.eps) * (1 + norm.weight.double())).float()


class Case:
    """One model folder, copied so that it can be trained."""

    def __init__(self, source, place, cli):
        self.place, self.cli = place, cli
        self.base = os.path.join(place, "base")
        shutil.copytree(source, self.base)
        for name in ("expected.json", "expected.safetensors"):
            if os.path.exists(os.path.join(self.base, name)):
                os.remove(os.path.join(self.base, name))
        with open(os.path.join(source, "config.json")) as handle:
            self.vocab = json.load(handle)["vocab_size"]
        write_tokenizer(self.base, self.vocab)
        generator = torch.Generator().manual_seed(0)
        self.ids = [torch.randint(3, self.vocab, (length,), generator=generator).tolist() for length in (1, 2, 5, 23, 37)]
        self.sequences = os.path.join(place, "ids.jsonl")
        with open(self.sequences, "w") as handle:
            handle.writelines(json.dumps(ids) + "\n" for ids in self.ids)
        with open(os.path.join(place, "texts.jsonl"), "w") as handle:
            for _ in range(8):
                ids = torch.randint(3, self.vocab, (30,), generator=generator).tolist()
                handle.write(json.dumps({"text": " ".join(f"w{index}" for index in ids)}) + "\n")
        info = {"texts": {"file_name": "texts.jsonl", "columns": {"prompt": "text"}}}
        with open(os.path.join(place, "dataset_info.json"), "w") as handle:
            json.dump(info, handle)

    def train(self, kind, *words):
        out = os.path.join(self.place, kind)
        run(
            self.cli, "train", "--model_name_or_path", self.base, "--stage", "pt", "--do_train", "true", "--dataset", "texts",
            "--dataset_dir", self.place, "--template", "empty", "--output_dir", out, "--max_steps", "2", "--learning_rate", "0.01",
            "--cutoff_len", "64", "--per_device_train_batch_size", "4", "--report_to", "none", "--save_strategy", "no", "--seed", "3",
            *words,
        )  # fmt: skip
        return out

    def ours(self, folder, *adapters):
        path = os.path.join(self.place, "logits.safetensors")
        run(self.cli, "logits", folder, self.sequences, path, *adapters)
        written = load_file(path)
        return [written[f"logits.{index}"] for index in range(len(self.ids))]

    def theirs(self, model):
        with torch.no_grad():
            return [model(torch.tensor([ids]), use_cache=False).logits[0].float() for ids in self.ids]

    def spread(self, model):
        """How far transformers lies from itself where the recurrence works in other chunks, or norms are rounded once; 0 for other models."""
        layers = [module for module in model.modules() if hasattr(module, "chunk_gated_delta_rule")]
        if not layers:
            return 0.0
        plain, rule, distances = self.theirs(model), layers[0].chunk_gated_delta_rule, []
        for size in (8, 16, 32):
            for layer in layers:
                layer.chunk_gated_delta_rule = lambda *inputs, size=size, **options: rule(*inputs, **{**options, "chunk_size": size})
            distances.append(self.distance(self.theirs(model), plain))
        for layer in layers:
            layer.chunk_gated_delta_rule = rule
        norms = [module for module in model.modules() if type(module).__name__ == "Qwen3NextRMSNorm"]
        for norm in norms:
            norm.forward = lambda x, own=norm: rounded_once(x, own)
        distances.append(self.distance(self.theirs(model), plain))
        for norm in norms:
            del norm.forward
        return max(distances)

    def compared(self, ours, model):
        return self.distance(ours, self.theirs(model)), self.spread(model)

    @staticmethod
    def load(folder):
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    @staticmethod
    def distance(ours, theirs):
        return max(((a - b).abs() / (1 + b.abs())).max().item() for a, b in zip(ours, theirs))

    # What is checked, in this order; later ones use what earlier ones have written.

    def full(self):
        folder = self.train("full", "--finetuning_type", "full")
        return self.compared(self.ours(folder), self.load(folder))

    def lora(self):
        self.adapter = self.train("lora", "--finetuning_type", "lora", "--lora_target", "all", "--lora_rank", str(RANK))
        model = PeftModel.from_pretrained(self.load(self.base), self.adapter).eval()
        return self.compared(self.ours(self.base, self.adapter), model)

    def merged(self):
        folder = os.path.join(self.place, "merged")
        run(
            self.cli, "export", "--model_name_or_path", self.base, "--adapter_name_or_path", self.adapter, "--template", "empty",
            "--export_dir", folder, "--infer_dtype", "float32",
        )  # fmt: skip
        return self.compared(self.ours(self.base, self.adapter), self.load(folder))

    def peft(self):
        with open(os.path.join(self.adapter, "adapter_config.json")) as handle:
            targets = json.load(handle)["target_modules"]
        torch.manual_seed(1)
        config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=targets, init_lora_weights=False, task_type="CAUSAL_LM")
        model = get_peft_model(self.load(self.base), config).eval()
        folder = os.path.join(self.place, "peft")
        model.save_pretrained(folder)
        return self.compared(self.ours(self.base, folder), model)

    def again(self):
        model, folder = self.load(self.base), os.path.join(self.place, "again")
        model.save_pretrained(folder)
        return self.compared(self.ours(folder), model)


def main():
    options = arguments()
    names = sorted(name for name in os.listdir(options.models) if os.path.exists(os.path.join(options.models, name, "config.json")))
    names = [name for name in names if not options.only or any(word in name for word in options.only)]
    failures = 0
    for name in list(names):
        with open(os.path.join(options.models, name, "config.json")) as file:
            kind = json.load(file)["model_type"]
        if kind not in CONFIG_MAPPING:
            print(f"{name}: left out, transformers has no {kind}", flush=True)
            names.remove(name)
            continue
        place = os.path.join(options.keep, name) if options.keep else tempfile.mkdtemp()
        os.makedirs(place, exist_ok=True)
        cells = []
        try:
            case = Case(os.path.join(options.models, name), place, options.cli)
            for check in (case.full, case.lora, case.merged, case.peft, case.again):
                label = check.__name__
                try:
                    distance, spread = check()
                    good = distance <= max(BOUND, 2 * spread)
                    own = f" (transformers {spread:.1e})" if spread else ""
                    cells.append(f"{label} {distance:.1e}{own}" + ("" if good else " DIFFERS"))
                except Exception as error:
                    good = False
                    cells.append(f"{label} FAILS ({str(error).splitlines()[0][:200]})")
                failures += not good
        finally:
            if not options.keep:
                shutil.rmtree(place)
        print(f"{name}: {', '.join(cells)}", flush=True)
    print(f"{len(names)} folders, {failures} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
