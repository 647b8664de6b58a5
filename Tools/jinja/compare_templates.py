"""Compares this program's rendering of chat templates with Jinja2's, in the settings of transformers.

    python Tools/jinja/compare_templates.py FOLDER [--program PATH] [--verbose]

FOLDER holds templates as *.jinja. Each one renders every talk below, with and without the prompt for an answer, and
with `enable_thinking` on, off and unset. A difference is named by template and talk, with the place where the two
texts part. Run it with transformers 5.5.4 and Jinja2 3.1.6.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from transformers.utils.chat_template_utils import _compile_jinja_template, _render_with_assistant_indices

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "tide_at",
            "description": "The height of the tide in a harbour.\nMetres above chart datum.",
            "parameters": {
                "type": "object",
                "properties": {
                    "harbour": {"type": "string", "description": 'Its name, e.g. "Visby"'},
                    "hours": {"type": "array", "items": {"type": "integer"}, "description": "hours of the day"},
                    "unit": {"type": "string", "enum": ["m", "ft"], "default": "m"},
                },
                "required": ["harbour"],
            },
        },
    },
    {"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}}},
]


def say(role, content, **more):
    return {"role": role, "content": content, **more}


def call(*calls):
    return [
        {"type": "function", "id": f"call0000{i}", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(calls)
    ]


PLAIN = [say("user", "What is a tide?"), say("assistant", "The sea's rise and fall.")]
LONG = PLAIN + [say("user", "And a neap tide?"), say("assistant", "A small one.")]
BLANKS = [say("user", "  What is <b>it</b>?\n"), say("assistant", "\n It is é日本🌊.  \n"), say("user", "\tGo on"), say("assistant", "Done \n\n")]
SYSTEM = [say("system", "Answer briefly.")]
THOUGHTS = [
    say("user", "Ebb or flood?"), say("assistant", "<think>\nlook it up\n</think>\n\nEbb."), say("user", "And now?"),
    say("assistant", "<think>\nagain\n</think>\n\nFlood."),
]
REASONED = [
    say("user", "Ebb or flood?"), say("assistant", "Ebb.", reasoning_content="look it up"), say("user", "And now?"),
    say("assistant", "Flood.", reasoning_content="again"),
]
CALLED = [
    say("user", "How high is it?"),
    say("assistant", "", tool_calls=call(("tide_at", {"harbour": "Visby", "hours": [1, 2], "unit": "m"}))),
    say("tool", '{"height": 1.5}', name="tide_at", tool_call_id="call00000"), say("assistant", "1.5 m."),
]
PARALLEL = [
    say("user", "How high is it, and how late?"),
    say("assistant", "I look.", tool_calls=call(("tide_at", {"harbour": 'O\'Visby "x"'}), ("now", {}))),
    say("tool", "1.5", name="tide_at", tool_call_id="call00000"), say("tool", "12:00", name="now", tool_call_id="call00001"),
    say("assistant", "1.5 m at noon."), say("user", "Thanks"), say("assistant", "Welcome."),
]
TEXT_CALL = [
    say("user", "How high?"), say("assistant", None, tool_calls=call(("now", "{\"a\": 1}"))),
    say("tool", "12:00", name="now", tool_call_id="call00000"), say("assistant", "Noon.", reasoning_content="it said so"),
]
TALKS = {
    "plain": PLAIN, "two turns": LONG, "blanks": BLANKS, "system": SYSTEM + LONG, "thoughts": THOUGHTS,
    "reasoning": REASONED, "system, reasoning": SYSTEM + REASONED, "question": PLAIN[:1], "open": LONG[:3],
    "tools given": (SYSTEM + PLAIN, TOOLS), "tool call": (CALLED, TOOLS), "parallel": (SYSTEM + PARALLEL, TOOLS),
    "call without text": (TEXT_CALL, TOOLS), "tool call, no tools": CALLED, "call last": (CALLED[:2], TOOLS),
    "tool answer last": (CALLED[:3], TOOLS), "empty answer": [say("user", "Hi"), say("assistant", "")],
    "two users": [say("user", "Hi"), say("user", "there"), say("assistant", "Yes?")],
    "system late": [say("user", "Hi"), say("system", "Be kind."), say("assistant", "Yes?")],
    "parts": [say("user", [{"type": "text", "text": "Hi "}, {"type": "text", "text": "there"}]), say("assistant", [{"type": "text", "text": "Yes?"}])],
    "assistant first": [say("assistant", "Hello"), say("user", "Hi"), say("assistant", "Yes?")],
}


def variables():
    """Every talk under its name, as `apply_chat_template` passes it."""
    found = {}
    for name, talk in TALKS.items():
        messages, tools = talk if isinstance(talk, tuple) else (talk, None)
        for prompts in (False, True):
            for thinks in (None, True, False):
                extra = {} if thinks is None else {"enable_thinking": thinks}
                label = f"{name}{', prompt' if prompts else ''}{'' if thinks is None else f', enable_thinking {thinks}'}"
                found[label] = {
                    "messages": messages, "tools": tools, "documents": None, "add_generation_prompt": prompts,
                    "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", **extra,
                }
    return found


def python_rendering(source, talk):
    try:
        values = {key: value for key, value in talk.items()}
        text, marks = _render_with_assistant_indices(_compile_jinja_template(source), **values)
        return {"text": text, "generation": [list(mark) for mark in marks]}
    except Exception as error:  # a template may fail in any way
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--program", default=".build/release/llamafactory-cli render", help="the command that renders")
    parser.add_argument("--verbose", action="store_true", help="also name what both refuse")
    options = parser.parse_args()
    talks = variables()
    wrong = equal = refused = 0
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(list(talks.values()), file)
        file.flush()
        for path in sorted(options.folder.glob("*.jinja")):
            source = path.read_text()
            run = subprocess.run([*options.program.split(), str(path), file.name], capture_output=True, text=True)
            try:
                ours = json.loads(run.stdout)
            except ValueError:
                print(f"{path.name}: {run.stdout[:300]}{run.stderr[:300]}")
                wrong += len(talks)
                continue
            for (label, talk), our in zip(talks.items(), ours):
                theirs = python_rendering(source, talk)
                if "error" in theirs and "error" in our:
                    refused += 1
                    if options.verbose:
                        print(f"{path.name}, {label}: both refuse: {theirs['error']} | {our['error']}")
                elif theirs == our:
                    equal += 1
                else:
                    wrong += 1
                    print(f"{path.name}, {label}: {difference(our, theirs)}")
    print(f"{equal} equal, {refused} refused by both, {wrong} different")
    sys.exit(wrong > 0)


def difference(ours, theirs):
    if "error" in ours or "error" in theirs:
        return f"ours {ours.get('error', 'renders')} | Python {theirs.get('error', 'renders')}"
    a, b = ours["text"], theirs["text"]
    if a == b:
        return f"marks: ours {ours['generation']}, Python {theirs['generation']}"
    place = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return f"after {a[max(0, place - 30):place]!r} ours {a[place:place + 40]!r}, Python {b[place:place + 40]!r}"


if __name__ == "__main__":
    main()
