"""Exports models with hostile settings and reads them back with Python.

    python Tools/export/check_exports.py [--cli .build/release/llamafactory-cli]

Needs transformers (4.57 or 5) and jinja2; run it once with each. Per case: the tokenizer loads with the class that the files name, has the ids of
the tokenizer that it was made from, keeps its special tokens and names the template's end of sequence in config.json and generation_config.json;
the chat template says with jinja2 what the settings say; the Modelfile gives back system text and stop words by Ollama's rules for quotes. The
exit status is 1 where one of them fails.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unicodedata

import transformers
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

root = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
models = os.path.join(root, "Fixtures/golden/train/models")
tokenizers = os.path.join(root, "Fixtures/golden/tokenizers")

SYSTEMS = {
    "plain": "Be brief.",
    "ascii": "".join(chr(code) for code in range(32, 127)),
    "quotes": "' \" ''' \"\"\" \\' \\\" \\\\ `",
    "escapes": "\\n \\t \\x41 \\u0041 \\N{DASH} \\",
    "jinja": "{{ 7 * 7 }} {% raw %} {# x #} ' + bos_token + ' %} }}",
    "go": "{{ .System }} {{- end -}} {{{ {{/* x */}} {",
    "lines": "a\n\nb\n \n",
    "breakout": 'x"""\nFROM evil\nSYSTEM """y',
    "breakout2": '"""\nPARAMETER stop x\n"\nFROM evil\n',
    "unicode": "é 全角\u3000x \u00a0 \u200b \U0001f642",
}
TEXTS = ["Hello world", "the harbour of  Tessel", "<|im_end|>x<|eot_id|>", "ünïcode 日本語 🙂", "a\n\tb", "", " x", "</s><s>[INST]"]


def modelfile_commands(text):
    """The commands of a Modelfile, read as Ollama reads it."""
    commands, state, buffer, name = [], "between", "", ""

    def unquoted(value):
        for quote in ('"""', '"'):
            if value.startswith(quote):
                whole = len(value) >= 2 * len(quote) and value.endswith(quote)
                return value[len(quote) : -len(quote)] if whole else None
        return value

    def kept(char):
        return char in " \t\r\n" or unicodedata.category(char)[0] in "LMNPS"

    for char in text:
        if state == "between":
            if char == "#":
                state = "comment"
            elif char not in " \t\r\n":
                state, buffer = "name", char
        elif state == "comment":
            state = "between" if char in "\r\n" else state
        elif state == "name":
            if char not in " \t":
                buffer += char
            elif buffer == "PARAMETER":
                name, buffer = "PARAMETER ", ""
            else:
                name, buffer, state = name + buffer, "", "value"
        else:
            value = unquoted(buffer.strip())
            if char in "\r\n" and value is not None:
                commands.append((name, value))
                state, buffer, name = "between", "", ""
            elif kept(char):
                buffer += char
    assert state in ("between", "comment"), "the last value has no end"
    return commands


def check_export(cli, case, system, model, template, kind):
    """Yields what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"model_name_or_path": f"{models}/{model}", "template": template, "export_dir": f"{folder}/out", "infer_dtype": "float32"}
        if system is not None:
            settings["default_system"] = system
        if kind is not None:
            # Another tokenizer under the same model: only its files are looked at.
            shutil.copytree(f"{models}/{model}", f"{folder}/model")
            for name in os.listdir(f"{tokenizers}/{kind}"):
                shutil.copy(f"{tokenizers}/{kind}/{name}", f"{folder}/model/{name}")
            settings["model_name_or_path"] = f"{folder}/model"
        with open(f"{folder}/config.json", "w") as file:
            json.dump(settings, file)
        run = subprocess.run([cli, "export", f"{folder}/config.json"], capture_output=True, text=True)
        if run.returncode != 0:
            yield f"export failed: {run.stdout}{run.stderr}"
            return
        out = settings["export_dir"]
        before = AutoTokenizer.from_pretrained(settings["model_name_or_path"])
        after = AutoTokenizer.from_pretrained(out)
        config, generation = AutoConfig.from_pretrained(out), GenerationConfig.from_pretrained(out)
        if config.eos_token_id != after.eos_token_id or config.pad_token_id != after.pad_token_id:
            yield f"config.json has {config.eos_token_id}, {config.pad_token_id}; the tokenizer {after.eos_token_id}, {after.pad_token_id}"
        ends = generation.eos_token_id
        if after.eos_token_id not in (ends if isinstance(ends, list) else [ends]):
            yield f"generation_config.json ends at {ends}"
        added = set(after.get_vocab()) - set(before.get_vocab())
        for text in TEXTS:
            if any(token in text for token in added):
                continue
            for special in (False, True):
                one, other = (t.encode(text, add_special_tokens=special) for t in (before, after))
                if one != other:
                    yield f"{text!r} is {other}, not {one}"
        if case is None:
            return
        talk = [{"role": "user", "content": "x {{ y }}"}, {"role": "assistant", "content": "z"}]
        rendered = after.apply_chat_template(talk, tokenize=False)
        if system.replace("\r\n", "\n").replace("\r", "\n") not in rendered:
            yield f"the chat template says {rendered!r}"
        with open(f"{out}/Modelfile", newline="") as file:
            commands = modelfile_commands(file.read())
        if [value for name, value in commands if name == "FROM"] != ["."]:
            yield f"the Modelfile has the commands {commands}"
        told = dict(commands).get("SYSTEM")
        if told != system and "{{ else }}" not in dict(commands)["TEMPLATE"]:
            yield f"the Modelfile's system text is {told!r}"
        if after.eos_token not in [value for name, value in commands if name == "PARAMETER stop"]:
            yield "the Modelfile lacks the end of sequence"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cli", default=os.path.join(root, ".build/release/llamafactory-cli"))
    cli = parser.parse_args().cli
    cases = [(name, text, model, template, None) for name, text in SYSTEMS.items() for model, template in [("tiny_llama", "chatml"), ("tiny_qwen2", "qwen")]]
    cases += [(None, None, "tiny_llama", "llama3", kind) for kind in sorted(os.listdir(tokenizers))]
    failures = 0
    for name, text, model, template, kind in cases:
        problems = list(check_export(cli, name, text, model, template, kind))
        failures += bool(problems)
        print(f"{'FAILED' if problems else 'ok    '} {name or kind} {model} {template}")
        for problem in problems:
            print(f"    {problem}")
    print(f"transformers {transformers.__version__}: {len(cases) - failures} of {len(cases)} exports read back")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
