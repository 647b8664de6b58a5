"""Exports a model as GGUF in every format and reads the files with gguf-py and llama.cpp.

    python Tools/gguf/check_gguf.py MODEL [--cli .build/release/llamafactory-cli] [--template chatml] [--formats f32,q8_0]
        [--converter llama.cpp/convert_hf_to_gguf.py [--tokenizer-anyway]] [--read] [--text FILE] [--prompts FILE] [--keep FOLDER]

Needs numpy and gguf; xllamacpp for --prompts. Per format: each tensor has the name that gguf-py's table gives it, an allowed type, and the bytes
that gguf-py makes of the exported safetensors (types with a K, which gguf-py cannot make, and what follows from llama.cpp's own conventions are
compared as numbers). --converter runs llama.cpp's converter on the same folder and compares every key, but for those of EXCEPTIONS and PIECES, and every
tensor.
--read starts this program from each file and compares its weights with gguf-py's.
--text measures the perplexity of the text's tokens with the weights that each file stands for, by this program, and compares it with the folder's own: f32
must give the same, q8_0 less than 1 % and q4_k_m less than 5 % more or less. --prompts compares greedy answers to a file of prompts, one per line, between
llama.cpp on the f32 file and this program (their text is encoded again for it: choose a template and tokenizer that make the same ids of it); an empty answer shows nothing, so it counts as a difference. Drawn weights (make_models.py) leave tokens almost equally likely, so that rounding decides: compare the answers of trained models. The exit status is 1 where something differs.

The converter is llama.cpp's convert_hf_to_gguf.py in a checkout of that project, run with this Python, which then needs torch and transformers too. A
model that llama.cpp's converter does not know the tokenizer of is refused by it; --tokenizer-anyway lets it take the name that our file has, and read
tokenizer.json where tokenizer.model is missing.
"""

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, MODEL_ARCH, MODEL_ARCH_NAMES, GGUFValueType, get_tensor_name_map
from gguf.quants import dequantize, quantize

FORMATS = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q4_k_m", "q6_k"]
ALLOWED = {
    "f32": {"F32"}, "f16": {"F16", "F32"}, "bf16": {"BF16", "F32"}, "q8_0": {"Q8_0", "F16", "F32"},
    "q4_0": {"Q4_0", "Q6_K", "Q8_0", "F16", "F32"}, "q4_1": {"Q4_1", "Q6_K", "Q8_0", "F16", "F32"},
    "q4_k_m": {"Q4_K", "Q5_K", "Q6_K", "Q5_0", "Q5_1", "Q8_0", "F16", "F32"}, "q6_k": {"Q6_K", "Q8_0", "F16", "F32"},
}
# The root mean square of what rounding may change, as a share of the weights'.
BOUNDS = {"F32": 1e-6, "F16": 1e-3, "BF16": 3e-3, "Q8_0": 0.02, "Q6_K": 0.04, "Q5_K": 0.08, "Q5_1": 0.09, "Q5_0": 0.1, "Q4_K": 0.15, "Q4_1": 0.16, "Q4_0": 0.18}
# Keys in which our files and the converter's may differ, and why.
EXCEPTIONS = {
    "general.name": "both make it of the folder's name, in other letters",
    "general.size_label": "the converter counts no head that is the embedding too",
    "general.basename": "the converter takes the folder's name apart",
    "general.finetune": "the converter takes the folder's name apart",
    "general.version": "the converter takes the folder's name apart",
    "attention.sliding_window_pattern": "the converter knows none but the family's usual windows, and ours says what the others are",
    "rope.scaling.type": "ours says longrope, which llama.cpp knows by the factors",
    "tokenizer.ggml.eot_token_id": "ours is the second end of an answer; the converter writes one for Gemma 1 alone, and always 107",
}
# Entries of SentencePiece tokenizers that may differ (ours, the converter's, our type of the token), and why: it knows added tokens by
# `added_tokens_decoder` alone, which files of transformers 5 lack, and has no scores where tokenizer.model is missing.
PIECES = {
    "tokenizer.ggml.scores": (lambda our, their, kind: kind != 1 or their == -1000, "scores of other than plain tokens, and those that the converter lacks"),
    "tokenizer.ggml.token_type": (lambda our, their, kind: (our, their) in {(4, 1), (3, 1), (2, 3)}, "kinds of added tokens, and of the unknown one"),
    "tokenizer.ggml.tokens": (lambda our, their, kind: kind == 4 and our == their.replace("\u2581", " "), "blanks of added tokens"),
}
# What llama.cpp takes for keys that a file leaves out: saying it is no difference.
DEFAULTS = {
    "attention.key_length": lambda fields, architecture: fields[f"{architecture}.embedding_length"] // fields[f"{architecture}.attention.head_count"],
    "attention.value_length": lambda fields, architecture: fields[f"{architecture}.embedding_length"] // fields[f"{architecture}.attention.head_count"],
    "rope.dimension_count": lambda fields, architecture: fields[f"{architecture}.attention.key_length"],
    "rope.freq_base": lambda fields, architecture: 10000.0,
    "vocab_size": lambda fields, architecture: len(fields["tokenizer.ggml.tokens"]),
    "add_eos_token": lambda fields, architecture: False,
    "add_sep_token": lambda fields, architecture: False,
    "add_space_prefix": lambda fields, architecture: fields["tokenizer.ggml.model"] == "llama",
}
failures = []


def check(holds, message):
    if not holds:
        failures.append(message)
        print("  differs:", message)


def run(cli, command, settings):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(settings, file)
        file.flush()
        done = subprocess.run([cli, command, file.name], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode != 0:
        sys.exit(f"{command} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def safetensors(folder):
    """The tensors of a folder as float32."""
    tensors = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".safetensors"):
            continue
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        length = int.from_bytes(data[:8], "little")
        for key, entry in json.loads(data[8 : 8 + length]).items():
            if key == "__metadata__":
                continue
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            raw = data[start:end]
            if entry["dtype"] == "BF16":
                values = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
            else:
                values = np.frombuffer(raw, {"F32": np.float32, "F16": np.float16}[entry["dtype"]]).astype(np.float32)
            tensors[key] = values.reshape(entry["shape"])
    return tensors


def write_safetensors(tensors, path):
    header, offset = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [offset, offset + values.nbytes]}
        offset += values.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            file.write(np.ascontiguousarray(values, np.float32).tobytes())


def values_of(tensor):
    return dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape([int(size) for size in reversed(tensor.shape)])


def fields_of(reader):
    fields = {}
    for name, field in reader.fields.items():
        if not name.startswith("GGUF."):
            fields[name] = field.contents()
    return fields


class Conventions:
    """What llama.cpp expects of a tensor beside its name, written down independently of the exporter."""

    def __init__(self, folder, architecture):
        with open(os.path.join(folder, "config.json")) as file:
            self.config = json.load(file)
        self.architecture = architecture
        arch = next(key for key, name in MODEL_ARCH_NAMES.items() if name == architecture)
        self.names = get_tensor_name_map(arch, self.config["num_hidden_layers"])

    def name(self, name):
        return self.names.get_name(re.sub(r"experts\.\d+\.", "experts.", name), try_suffixes=(".weight", ".bias"))

    def turned(self, name, values):
        """The weight as GGUF has it."""
        heads = self.config["num_attention_heads"]
        kind = re.search(r"\.([qk])_proj\.(weight|bias)$", name)
        if self.architecture in ("llama", "granite") and kind:
            count = heads if kind[1] == "q" else self.config.get("num_key_value_heads") or heads
            shape = values.shape
            return values.reshape(count, 2, shape[0] // count // 2, -1).swapaxes(1, 2).reshape(shape)
        if self.architecture.startswith("gemma") and name.endswith("norm.weight"):
            values = values + np.float32(1)
        last = {"gemma2": "q_proj.weight", "gemma3": "q_norm.weight"}.get(self.architecture)
        return values * self.query_factor if last and name.endswith(last) else values

    @property
    def query_factor(self):
        """What queries are multiplied by, so that llama.cpp's scale of scores is the model's."""
        if self.architecture not in ("gemma2", "gemma3"):
            return np.float32(1)
        width = self.config.get("head_dim", 256)
        if self.config["num_hidden_layers"] == {"gemma2": 46, "gemma3": 62}[self.architecture]:
            width = self.config["hidden_size"] // self.config["num_attention_heads"]
        return np.float32(math.sqrt(width / self.config.get("query_pre_attn_scalar", 256)))

    def back(self, name, values, has_scale=True):
        """The inverse of `turned`; without `has_scale` a scale of queries stays in the weights."""
        heads = self.config["num_attention_heads"]
        kind = re.search(r"\.([qk])_proj\.(weight|bias)$", name)
        if self.architecture in ("llama", "granite") and kind:
            count = heads if kind[1] == "q" else self.config.get("num_key_value_heads") or heads
            shape = values.shape
            return values.reshape(count, shape[0] // count // 2, 2, -1).swapaxes(1, 2).reshape(shape)
        if not has_scale:
            return values - np.float32(1) if self.architecture.startswith("gemma") and name.endswith("norm.weight") else values
        # What remains multiplies and adds, so two values tell by how much.
        zero, one = self.turned(name, np.zeros(1, np.float32))[0], self.turned(name, np.ones(1, np.float32))[0]
        return ((values - zero) / (one - zero)).astype(np.float32)


def expected_tensors(folder, conventions):
    groups = {}
    for name, values in safetensors(folder).items():
        target = conventions.name(name)
        if target is None:
            check(False, f"gguf-py has no name for {name}")
            continue
        groups.setdefault(target, []).append((name, conventions.turned(name, values)))
    expected = {}
    for target, members in groups.items():
        numbered = sorted(members, key=lambda member: int((re.findall(r"experts\.(\d+)\.", member[0]) or ["0"])[0]))
        whole = [values for _, values in numbered]
        expected[target] = np.stack(whole) if "_exps." in target else whole[0]
    return expected


def check_tensors(path, expected, format):
    reader = GGUFReader(path)
    found = {tensor.name: tensor for tensor in reader.tensors}
    copies = {"output.weight"} if "output.weight" not in expected else set()
    extra = {name for name in found if not name.startswith("rope_f")} - set(expected) - copies
    check(not extra, f"{format}: tensors that the model does not have: {sorted(extra)}")
    worst = 0.0
    for name, weights in expected.items():
        if name not in found:
            check(False, f"{format}: no {name}")
            continue
        tensor = found[name]
        kind = tensor.tensor_type.name
        check(kind in ALLOWED[format], f"{format}: {name} is {kind}")
        values = values_of(tensor)
        check(values.shape == weights.shape, f"{format}: {name} has the shape {values.shape}, not {weights.shape}")
        if kind == "F32":
            check(np.array_equal(values, weights) or np.allclose(values, weights, rtol=1e-6, atol=0), f"{format}: {name}")
        elif "_K" not in kind:
            check(np.array_equal(quantize(weights, tensor.tensor_type).view(np.uint8).ravel(), tensor.data.view(np.uint8).ravel()), f"{format}: the bytes of {name} ({kind})")
        size = float(np.sqrt(np.mean(np.square(weights, dtype=np.float64))))
        error = float(np.sqrt(np.mean(np.square((values - weights).astype(np.float64))))) / max(size, 1e-30)
        check(error <= BOUNDS[kind] or size < 1e-6, f"{format}: {name} ({kind}) misses by {error:.3g}")
        worst = max(worst, error)
    print(f"{format}: {len(found)} tensors, {os.path.getsize(path) / 1e6:.1f} MB, rounding changes one by at most {100 * worst:.2g} %")
    return reader


def is_default(key, fields):
    """Whether a key that only one file has says what llama.cpp takes for it anyway."""
    architecture = fields["general.architecture"]
    default = DEFAULTS.get(key.removeprefix(architecture + ".").removeprefix("tokenizer.ggml."))
    return default is not None and fields[key] == default(fields, architecture)


# Runs the converter with a name for a tokenizer whose fingerprint it does not know: the arguments are the converter, the name and its own arguments.
NAMING = """
import os, runpy, sys
converter, name = sys.argv[1:3]
sys.path.insert(0, os.path.dirname(converter))
from conversion import base
base.TextModel.get_vocab_base_pre = lambda self, tokenizer: name
if not os.path.exists(os.path.join(sys.argv[3], "tokenizer.model")):
    other = "_set_vocab_llama_hf" if name == "default" else "_set_vocab_gpt2"
    base.TextModel._set_vocab_sentencepiece = lambda self, *_: getattr(self, other)()
    from conversion import phi
    phi.Phi3MiniModel.set_vocab = lambda self: getattr(self, other)()
sys.argv = [converter] + sys.argv[3:]
runpy.run_path(converter, run_name="__main__")
"""


def check_converter(converter, model, folder, ours, conventions, names_tokenizer):
    # The converter reads the older file, which an export has no need of.
    pieces = os.path.join(model, "tokenizer.model")
    if os.path.exists(pieces):
        shutil.copy(pieces, folder)
    path = os.path.join(folder, "converter.gguf")
    command = [sys.executable, converter]
    name = fields_of(ours).get("tokenizer.ggml.pre")
    if names_tokenizer:
        command = [sys.executable, "-c", NAMING, os.path.abspath(converter), name]
    done = subprocess.run(command + [folder, "--outtype", "f32", "--outfile", path], capture_output=True, text=True)
    if done.returncode != 0:
        check(False, "converter: it failed: " + (done.stderr.strip().splitlines() or ["no word"])[-1])
        return
    theirs = GGUFReader(path)
    a, b = fields_of(ours), fields_of(theirs)
    for key in sorted(set(a) | set(b)):
        if a.get(key) == b.get(key) or (key not in a or key not in b) and is_default(key, {**b, **a}):
            continue
        short = key.removeprefix(a["general.architecture"] + ".")
        if short in EXCEPTIONS and (short != "rope.scaling.type" or a.get(key) == "longrope"):
            print(f"  converter: {key} may differ: {EXCEPTIONS[short]}")
        elif isinstance(a.get(key), list) and isinstance(b.get(key), list):
            places = [index for index, pair in enumerate(zip(a[key], b[key])) if pair[0] != pair[1]]
            if key in PIECES and a["tokenizer.ggml.model"] == "llama" and len(a[key]) == len(b[key]):
                allowed, reason = PIECES[key]
                rest = [index for index in places if not allowed(a[key][index], b[key][index], a["tokenizer.ggml.token_type"][index])]
                print(f"  converter: {key}: {len(places) - len(rest)} entries differ as they may: {reason}")
                if not rest:
                    continue
                places = rest
            shown = [(index, a[key][index], b[key][index]) for index in places[:3]]
            check(False, f"converter: {key}: {len(a[key])} and {len(b[key])} entries, {len(places)} differ, first {shown}")
        else:
            check(False, f"converter: {key}: {str(a.get(key))[:80]!r} here, {str(b.get(key))[:80]!r} there")
    first = {tensor.name: tensor for tensor in ours.tensors}
    second = {tensor.name: tensor for tensor in theirs.tensors}
    check(set(first) == set(second), f"converter: tensors only there: {sorted(set(second) - set(first))}, only here: {sorted(set(first) - set(second))}")
    for name in set(first) & set(second):
        our, their = values_of(first[name]), values_of(second[name])
        # Of Gemma 3 the converter leaves out the embedding's rows without a token.
        if name == "token_embd.weight" and a["general.architecture"] == "gemma3":
            our = our[: len(their)]
        # It passes over a scale of scores that llama.cpp does not compute.
        if name.endswith({"gemma2": "attn_q.weight", "gemma3": "attn_q_norm.weight"}.get(a["general.architecture"], ".none")):
            their = their * conventions.query_factor
        check(our.shape == their.shape and np.allclose(our, their, rtol=1e-6), f"converter: {name}")
    print(f"converter: {len(set(a) | set(b))} keys and {len(set(first) & set(second))} tensors compared")


def check_reading(cli, path, reader, conventions, format, template, scratch):
    """Lets this program start from the file, and compares its weights with those that gguf-py reads."""
    output = os.path.join(scratch, "read")
    run(cli, "export", {"model_name_or_path": path, "template": template, "infer_dtype": "float32", "export_dir": output})
    found = {tensor.name: tensor for tensor in reader.tensors}
    read = safetensors(output)
    for name, values in read.items():
        whole = values_of(found[conventions.name(name)])
        expert = re.search(r"experts\.(\d+)\.", name)
        expected = conventions.back(name, whole[int(expert[1])] if expert else whole, has_scale=False)
        check(np.array_equal(values.ravel(), expected.ravel()), f"{format}: {name} read from the file")
    print(f"{format}: {len(read)} tensors read back")


def perplexity(cli, folder, reader, conventions, text, scratch, template):
    """exp of the mean loss of the text's tokens under the file's weights, put back into a Hugging Face folder."""
    for name in os.listdir(folder):
        if name.endswith((".json", ".jinja")) and "index" not in name:
            with open(os.path.join(folder, name)) as source, open(os.path.join(scratch, name), "w") as target:
                target.write(source.read())
    if reader is not None:
        found = {tensor.name: tensor for tensor in reader.tensors}
        tensors = {}
        for name in safetensors(folder):
            values = values_of(found[conventions.name(name)])
            expert = re.search(r"experts\.(\d+)\.", name)
            tensors[name] = conventions.back(name, values[int(expert[1])] if expert else values)
    else:
        tensors = safetensors(folder)
    write_safetensors(tensors, os.path.join(scratch, "model.safetensors"))
    with open(text) as file:
        rows = [{"text": file.read()}]
    with open(os.path.join(scratch, "text.json"), "w") as file:
        json.dump(rows, file)
    with open(os.path.join(scratch, "dataset_info.json"), "w") as file:
        json.dump({"text": {"file_name": "text.json", "columns": {"prompt": "text"}}}, file)
    output = os.path.join(scratch, "out")
    run(cli, "train", {
        "model_name_or_path": scratch, "stage": "pt", "do_eval": True, "finetuning_type": "full", "eval_dataset": "text", "dataset_dir": scratch,
        "template": template, "cutoff_len": 1024, "packing": True, "output_dir": output, "overwrite_output_dir": True, "per_device_eval_batch_size": 1,
        "report_to": "none",
    })
    with open(os.path.join(output, "eval_results.json")) as file:
        return math.exp(json.load(file)["eval_loss"])


def check_answers(cli, model, gguf, prompts, template, scratch, length=48, adapter=None, lora=None):
    """`adapter` is a PEFT folder that this program puts on `model`, `lora` its file that llama.cpp puts on `gguf`."""
    import xllamacpp

    with open(prompts) as file:
        lines = [line.strip() for line in file if line.strip()]
    with open(os.path.join(scratch, "prompts.json"), "w") as file:
        json.dump([{"instruction": line, "input": "", "output": "x"} for line in lines], file)
    with open(os.path.join(scratch, "dataset_info.json"), "w") as file:
        json.dump({"prompts": {"file_name": "prompts.json"}}, file)
    output = os.path.join(scratch, "predictions")
    run(cli, "train", {
        "model_name_or_path": model, "stage": "sft", "do_predict": True, "predict_with_generate": True, "finetuning_type": "full", "eval_dataset": "prompts",
        "dataset_dir": scratch, "template": template, "output_dir": output, "overwrite_output_dir": True, "max_new_tokens": length, "do_sample": False,
        "per_device_eval_batch_size": 1, "report_to": "none", "skip_special_tokens": False,
        **({"adapter_name_or_path": adapter, "finetuning_type": "lora"} if adapter else {}),
    })
    with open(os.path.join(output, "generated_predictions.jsonl")) as file:
        ours = [json.loads(line) for line in file]
    params = xllamacpp.CommonParams()
    params.model.path = gguf
    if lora:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(lora, 1.0)]
    params.n_ctx = 2048
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.warmup = False
    params.sampling.penalty_repeat = 1.0
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    server = xllamacpp.Server(params)
    # llama.cpp puts a beginning of sequence in front of text, so it gets the ids where the template has none or its own.
    tokenized = subprocess.run([cli, "tokenize", model], input="".join(json.dumps(row["prompt"]) + "\n" for row in ours), capture_output=True, text=True)
    ids = [json.loads(line) for line in tokenized.stdout.splitlines()]
    same = 0
    for row, id in zip(ours, ids, strict=True):
        prompt = row["prompt"] if id["ids"] == id["ids_with_special"] else id["ids"]
        answer = server.handle_completions({"prompt": prompt, "max_tokens": length, "temperature": 0, "top_k": 1, "cache_prompt": False})
        theirs = answer["choices"][0]["text"]
        # llama.cpp ends at tokens that look like the end of a turn, and shows no special ones.
        mine = re.split(r"<\|\w+\|>|</s>", row["predict"])[0].strip()
        if mine and theirs.strip().startswith(mine):
            same += 1
        else:
            check(False, f"answer to {row['prompt'][-60:]!r}:\n    here {mine!r}\n    llama.cpp {theirs!r}")
    check(bool(ours), "there are no answers")
    print(f"answers: {same} of {len(ours)} are llama.cpp's")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--cli", default=".build/release/llamafactory-cli")
    parser.add_argument("--template", default="chatml")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--converter")
    parser.add_argument("--tokenizer-anyway", action="store_true")
    parser.add_argument("--read", action="store_true")
    parser.add_argument("--text")
    parser.add_argument("--prompts")
    parser.add_argument("--keep")
    options = parser.parse_args()
    cli = os.path.abspath(options.cli)
    with tempfile.TemporaryDirectory() as scratch:
        base = options.keep or scratch
        plain = None
        for format in options.formats.split(","):
            folder = os.path.join(base, format)
            log = run(cli, "export", {"model_name_or_path": options.model, "template": options.template, "infer_dtype": "float32", "export_gguf": format, "export_dir": folder})
            for line in log.splitlines():
                if "GGUF" in line or "llama.cpp" in line:
                    print("  " + line[line.find("GGUF" if "GGUF" in line else "llama.cpp") :])
            path = os.path.join(folder, f"model-{format.upper()}.gguf")
            with open(os.path.join(folder, "Modelfile")) as file:
                check(f"FROM ./model-{format.upper()}.gguf\n" in file.read(), f"{format}: the Modelfile names another file")
            architecture = GGUFReader(path).fields["general.architecture"].contents()
            conventions = Conventions(folder, architecture)
            reader = check_tensors(path, expected_tensors(folder, conventions), format)
            if options.read:
                with tempfile.TemporaryDirectory() as inner:
                    check_reading(cli, path, reader, conventions, format, options.template, inner)
            if format == "f32" and options.converter:
                check_converter(options.converter, options.model, folder, reader, conventions, options.tokenizer_anyway)
            if format == "f32" and options.prompts:
                check_answers(cli, folder, path, options.prompts, options.template, scratch)
            if options.text and format in ("f32", "q8_0", "q4_k_m"):
                if plain is None:
                    with tempfile.TemporaryDirectory() as inner:
                        plain = perplexity(cli, folder, None, conventions, options.text, inner, options.template)
                    print(f"folder: perplexity {plain:.4f}")
                with tempfile.TemporaryDirectory() as inner:
                    value = perplexity(cli, folder, reader, conventions, options.text, inner, options.template)
                limit = {"f32": 1e-6, "q8_0": 0.01, "q4_k_m": 0.05}[format]
                check(abs(value / plain - 1) <= limit, f"{format}: perplexity {value:.4f}, {plain:.4f} in the folder")
                print(f"{format}: perplexity {value:.4f} ({100 * (value / plain - 1):+.2f} %)")
    print("all is as it should be" if not failures else f"{len(failures)} differences")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
