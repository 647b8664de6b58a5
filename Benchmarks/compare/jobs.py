"""What is compared: jobs as users write them, the data that they train on, and what each is meant to reach."""

import dataclasses
import json
import random

import workload


@dataclasses.dataclass(frozen=True)
class Goal:
    """How many times as fast as the original, and which share of its peak memory, per precision."""

    speed: dict
    memory: dict


def goal(fp32, bf16, memory_fp32, memory_bf16):
    return Goal({"fp32": fp32, "bf16": bf16}, {"fp32": memory_fp32, "bf16": memory_bf16})


@dataclasses.dataclass(frozen=True)
class Job:
    stage: str
    tuning: str
    dataset: str
    says: str
    goal: Goal | None = None
    batch: int = 2
    cutoff: int = workload.CUTOFF
    # Whether what examples begin with in common is most of what they hold.
    shares: bool = False
    arguments: dict = dataclasses.field(default_factory=dict)

    def configuration(self, model):
        """The arguments that decide what is computed; where files go and how long it runs is the caller's."""
        config = {
            "model_name_or_path": model,
            "stage": self.stage,
            "do_train": True,
            "finetuning_type": self.tuning,
            "dataset": self.dataset,
            "dataset_dir": "data",
            "template": "llama3",
            "cutoff_len": self.cutoff,
            "per_device_train_batch_size": self.batch,
            "gradient_accumulation_steps": 1,
            "learning_rate": 1.0e-5,
            "lr_scheduler_type": "constant",
            "disable_shuffling": True,
            "seed": 42,
            "use_cpu": True,
        }
        if self.tuning == "lora":
            config.update(lora_rank=8, lora_target="all")
        if self.stage == "dpo":
            config.update(pref_beta=0.1)
        return config | self.arguments


JOBS = {
    "dpo": Job("dpo", "lora", "pairs", "DPO, LoRA", goal(6.5, 5.5, 1 / 3, 1 / 3)),
    "sft": Job("sft", "lora", "answers", "SFT, LoRA", goal(5, 4, 1 / 2, 1 / 3)),
    "full": Job("sft", "full", "answers", "SFT, full", goal(4, 3.2, 0.6, 0.6)),
    "rm": Job("rm", "lora", "pairs", "reward model, LoRA", goal(5, 4.2, 1 / 2, 1 / 3)),
    "kto": Job("kto", "lora", "verdicts", "KTO, LoRA", goal(5, 4.2, 1 / 2, 1 / 3)),
    "pt": Job("pt", "full", "texts", "pre-training, full, packed: nothing to skip", goal(2.8, 2.6, 0.6, 0.6)),
    "pt-lora": Job("pt", "lora", "texts", "pre-training, LoRA, packed: nothing to skip", goal(3, 2.8, 1 / 2, 1 / 2)),
    "system": Job(
        "sft", "lora", "instructed", "SFT, LoRA, one system text of 420 words before every example",
        goal(10, 8, 1 / 3, 1 / 3), batch=8, shares=True,
    ),
    "turns": Job(
        "sft", "lora", "turns", "SFT, LoRA, talks of twelve turns, a row per turn; a batch is a talk",
        goal(25, 20, 0.2, 0.2), batch=12, cutoff=1024, shares=True, arguments={"mask_history": True},
    ),
    "long-2048": Job("pt", "lora", "texts", "pre-training, LoRA, packed, 2,048 tokens", batch=1, cutoff=2048),
    "long-8192": Job(
        "pt", "lora", "texts", "pre-training, LoRA, packed, 8,192 tokens", batch=1, cutoff=8192,
        arguments={"rope_scaling": "linear"},
    ),
}

TALKS, TURNS, SYSTEM_WORDS = 12, 12, 420


def write_data(work):
    """Data of all jobs, made of the pairs' words, and the table that names them."""
    data = work / "data"
    pairs = json.loads((data / "pairs.json").read_text())
    rng = random.Random(workload.SEED + 1)
    words = [word for pair in pairs for word in pair["instruction"].split()]

    def say(low, high):
        return " ".join(rng.choice(words) for _ in range(rng.randint(low, high)))

    answers = [{"instruction": pair["instruction"], "input": "", "output": pair["chosen"]} for pair in pairs]
    system = say(SYSTEM_WORDS, SYSTEM_WORDS)
    turns = []
    for _ in range(TALKS):
        talk = [[say(12, 30), say(12, 40)] for _ in range(TURNS)]
        turns += [{"instruction": talk[turn][0], "input": "", "output": talk[turn][1], "history": talk[:turn]} for turn in range(TURNS)]
    rows = {
        "answers": answers,
        "verdicts": [
            {"instruction": pair["instruction"], "input": "", "output": pair["rejected" if index % 2 == 0 else "chosen"], "good": index % 2 == 1}
            for index, pair in enumerate(pairs)
        ],
        "texts": [{"text": "\n".join(pair[part] for part in ("instruction", "chosen", "rejected"))} for pair in pairs * 4],
        "instructed": [dict(answer, system=system) for answer in answers],
        "turns": turns,
    }
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    info = {
        "pairs": {
            "ranking": True,
            "columns": {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"},
        },
        "answers": {"columns": columns},
        "verdicts": {"columns": columns | {"kto_tag": "good"}},
        "texts": {"columns": {"prompt": "text"}},
        "instructed": {"columns": columns | {"system": "system"}},
        "turns": {"columns": columns | {"history": "history"}},
    }
    for name, lines in rows.items():
        (data / f"{name}.json").write_text(json.dumps(lines))
    for name, entry in info.items():
        entry["file_name"] = f"{name}.json"
    (data / "dataset_info.json").write_text(json.dumps(info, indent=1))
