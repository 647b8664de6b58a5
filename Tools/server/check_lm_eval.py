"""Runs lm-eval's `local-completions` and `local-chat-completions` against the server, and compares them with lm-eval's own `hf` model."""
import json
import os
import pathlib
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OPENAI_API_KEY="key")

import lm_eval
from lm_eval.tasks import TaskManager
from serving import TINY, Server
from transformers import AutoTokenizer

program = sys.argv[1]
model, template = (pathlib.Path(sys.argv[2]), sys.argv[3]) if len(sys.argv) > 3 else (TINY, "llama3")
failures = []

CHOICE = """
task: ferry_choice
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
"""
TEXT = """
task: ferry_text
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: generate_until
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 12, temperature: 0}
metric_list: [{metric: exact_match}]
"""
ROLLING = """
task: ferry_perplexity
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}} {{choices[0]}}"
metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]
"""


def check(name, holds, found=""):
    print("ok  " if holds else "FAIL", name, "" if holds else repr(found)[:500], flush=True)
    if not holds:
        failures.append(name)


def rows():
    places = ["Lund", "Moss", "Vik", "Sund"]
    for number in range(12):
        yield {
            "question": f"When does ferry {number} leave for {places[number % 4]}?",
            "choices": [f"at {number}:30", "never again", "in the morning, with the tide", places[(number + 1) % 4]],
            "answer": number % 4,
        }


def evaluate(name, arguments, tasks, manager, **more):
    result = lm_eval.simple_evaluate(
        model=name, model_args=arguments, tasks=tasks, task_manager=manager, bootstrap_iters=0, log_samples=True, **more)
    return result["results"], result["samples"]


def numbers(answer):
    """Log-probabilities and whether the text is the likeliest one."""
    return float(answer[0]), str(answer[1]) == "True"


def compare_scores(ours, theirs):
    worst, flags = 0.0, 0
    for a, b in zip(ours, theirs):
        for left, right in zip(a["filtered_resps"], b["filtered_resps"]):
            (x, greedy), (y, expected) = numbers(left), numbers(right)
            worst = max(worst, abs(x - y))
            flags += greedy != expected
    return worst, flags


def main():
    with tempfile.TemporaryDirectory() as folder, Server(program, model, template, arguments=["do_sample=false"]) as server:
        data = pathlib.Path(folder) / "rows.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows()))
        for name, text in [("choice", CHOICE), ("text", TEXT), ("rolling", ROLLING)]:
            (pathlib.Path(folder) / f"{name}.yaml").write_text(text.replace("FILE", str(data)))
        manager = TaskManager(include_path=folder)
        # The two models of lm-eval do not agree by themselves whether texts begin with a token of their own.
        tokenizer = AutoTokenizer.from_pretrained(model)
        begins = tokenizer("a").input_ids[0] == tokenizer.bos_token_id
        base = f"model=ferry,tokenizer={model},tokenizer_backend=huggingface,max_length=1024,add_bos_token={begins}"
        tasks = ["ferry_choice", "ferry_text", "ferry_perplexity"]
        results, samples = evaluate(
            "local-completions", f"{base},base_url={server.url}/v1/completions,num_concurrent=2", tasks, manager, batch_size=4)
        expected, known = evaluate("hf", f"pretrained={model},dtype=float32,max_length=1024,add_bos_token={begins}", tasks, manager, batch_size=4, device="cpu")
        worst, flags = compare_scores(samples["ferry_choice"], known["ferry_choice"])
        check(f"log-probabilities of choices (largest difference {worst:.1e})", worst < 1e-3 and flags == 0, (worst, flags))
        for metric in ("acc,none", "acc_norm,none"):
            check(metric, results["ferry_choice"][metric] == expected["ferry_choice"][metric], results["ferry_choice"])
        found, right = (r["ferry_perplexity"]["bits_per_byte,none"] for r in (results, expected))
        check(f"bits per byte ({found:.5f})", abs(found - right) < 1e-4 * right, (found, right))
        texts = [[s["filtered_resps"] for s in part["ferry_text"]] for part in (samples, known)]
        check("greedy texts", texts[0] == texts[1], texts)
        _, talk = evaluate(
            "local-chat-completions", f"{base},base_url={server.url}/v1/chat/completions", ["ferry_text"], manager,
            apply_chat_template=True, batch_size=1)
        answers = [s["filtered_resps"][0] for s in talk["ferry_text"]]
        check("chat answers", len(answers) == 12 and all(isinstance(answer, str) and answer for answer in answers), answers)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
