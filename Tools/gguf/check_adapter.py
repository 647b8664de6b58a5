"""Exports a LoRA adapter as a GGUF file and reads it with gguf-py and llama.cpp.

    python Tools/gguf/check_adapter.py MODEL ADAPTER [--cli .build/release/llamafactory-cli] [--template chatml] [--prompts FILE]
        [--converter llama.cpp/convert_lora_to_gguf.py]

Needs numpy and gguf; xllamacpp for --prompts. For f32, f16 and bf16: keys, names and shapes are llama.cpp's, and each tensor is PEFT's (rows of B in the order of
the weight's own). --prompts lets llama.cpp answer with the adapter's file on the base model's, and compares with this program's answers. --converter runs llama.cpp's
own converter with this Python (torch, transformers, safetensors) and compares every key and tensor.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from check_gguf import BOUNDS, Conventions, check, check_answers, failures, fields_of, run, safetensors, values_of
from gguf import GGUFReader


def expected_tensors(adapter, conventions):
    expected = {}
    for name, values in safetensors(adapter).items():
        module, part = name.removeprefix("base_model.model.").rsplit(".lora_", 1)
        weight = module + ".weight"
        target = conventions.name(weight)
        if part.startswith("B"):
            values = conventions.turned(weight, values)
        if part == "embedding_A":
            values = values.T
        expected[f"{target}.lora_{'b' if 'B' in part else 'a'}"] = values
    return expected


def compare_with_converter(converter, model, adapter, ours, scratch):
    path = os.path.join(scratch, "converter.gguf")
    done = subprocess.run(
        [sys.executable, converter, "--base", model, "--outtype", "f32", "--outfile", path, adapter], capture_output=True, text=True)
    if done.returncode:
        return check(False, "converter: it failed: " + (done.stderr.strip().splitlines() or ["no word"])[-1])
    theirs = GGUFReader(path)
    a, b = fields_of(ours), fields_of(theirs)
    for key in ("general.architecture", "general.type", "adapter.type", "adapter.lora.alpha", "general.file_type", "general.quantization_version"):
        check(a.get(key) == b.get(key), f"converter: {key}: {a.get(key)!r} here, {b.get(key)!r} there")
    first, second = ({tensor.name: values_of(tensor) for tensor in reader.tensors} for reader in (ours, theirs))
    check(set(first) == set(second), f"converter: tensors {sorted(set(first) ^ set(second))}")
    for name in set(first) & set(second):
        check(np.array_equal(first[name], second[name]), f"converter: {name}")
    print(f"converter: {len(first)} tensors compared")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("adapter")
    parser.add_argument("--cli", default=".build/release/llamafactory-cli")
    parser.add_argument("--template", default="chatml")
    parser.add_argument("--prompts")
    parser.add_argument("--converter")
    options = parser.parse_args()
    cli = os.path.abspath(options.cli)
    with open(os.path.join(options.adapter, "adapter_config.json")) as file:
        settings = json.load(file)
    scale = settings["lora_alpha"] / (settings["r"] ** 0.5 if settings.get("use_rslora") else settings["r"])
    with tempfile.TemporaryDirectory() as scratch:
        base = os.path.join(scratch, "base")
        shared = {"model_name_or_path": options.model, "template": options.template}
        run(cli, "export", shared | {"infer_dtype": "float32", "export_gguf": "f32", "export_dir": base})
        model = os.path.join(base, "model-F32.gguf")
        weights = {tensor.name: tensor for tensor in GGUFReader(model).tensors}
        for format in ("f32", "f16", "bf16"):
            folder = os.path.join(scratch, format)
            run(cli, "export", shared | {"adapter_name_or_path": options.adapter, "export_gguf": format, "export_gguf_lora": True, "export_dir": folder})
            path = os.path.join(folder, f"adapter-{format.upper()}.gguf")
            reader = GGUFReader(path)
            fields = fields_of(reader)
            conventions = Conventions(base, fields["general.architecture"])
            check(fields["general.type"] == "adapter" and fields["adapter.type"] == "lora", f"{format}: the file's kind")
            check(abs(fields["adapter.lora.alpha"] - scale * settings["r"]) < 1e-4, f"{format}: alpha {fields['adapter.lora.alpha']}")
            expected = expected_tensors(options.adapter, conventions)
            found = {tensor.name: tensor for tensor in reader.tensors}
            check(set(found) == set(expected), f"{format}: tensors {sorted(set(found) ^ set(expected))}")
            for name in set(found) & set(expected):
                values, kind = values_of(found[name]), found[name].tensor_type.name
                check(kind.lower() == format, f"{format}: {name} is {kind}")
                size = float(np.sqrt(np.mean(np.square(expected[name])))) or 1e-30
                check(
                    values.shape == expected[name].shape and float(np.sqrt(np.mean(np.square(values - expected[name])))) <= BOUNDS[kind] * size,
                    f"{format}: {name}")
                # llama.cpp asks for these: [in, rank] against [in, out] and [rank, out], sizes in its order.
                weight, side = name.rsplit(".lora_", 1)
                inner, outer = (int(weights[weight].shape[0]), int(weights[weight].shape[1]))
                if weight != "token_embd.weight":
                    check(int(found[name].shape[0 if side == "a" else 1]) == (inner if side == "a" else outer), f"{format}: the shape of {name}")
            print(f"{format}: {len(found)} tensors of rank {settings['r']}, {os.path.getsize(path) / 1e6:.2f} MB")
            if format == "f32" and options.converter:
                compare_with_converter(options.converter, options.model, options.adapter, reader, scratch)
            if format == "f32" and options.prompts:
                check_answers(cli, options.model, model, options.prompts, options.template, scratch, adapter=options.adapter, lora=path)
    print("all is as it should be" if not failures else f"{len(failures)} differences")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
