"""Records a run of Fixtures/golden/train/runs again in float16 on a CPU: the original's own trainer, with torch's autocast and GradScaler.

    DISABLE_VERSION_CHECK=1 OMP_NUM_THREADS=1 python Tools/golden/record_float16.py sft_lora dpo_sigmoid sft_full

Needs llamafactory 0.9.5 with transformers 5.5.4, peft 0.18.1, trl 0.24 and torch (CPU). On a CPU accelerate leaves autocast and the scaler out,
so that `fp16: true` trains in float32; here they are put where accelerate puts them on a GPU. The scale begins high and grows soon, so that a
short run skips steps and grows again. Writes Fixtures/golden/train/runs/fp16_<name>:

config.yaml         what was run, relative to Fixtures/golden/train
scaler.json         the scaler's settings, and by step its scale before the step and whether the step was skipped
trainer_state.json  the curve; numbers that are not finite are left out
"""

import json
import math
import os
import shutil
import sys
import tempfile

import torch
import yaml
from accelerate import Accelerator

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Fixtures/golden/train")
SETTINGS = {"init_scale": 2.0**int(os.environ.get("SCALE_POWER", "20")), "growth_interval": 4}


class RecordingScaler(torch.amp.GradScaler):
    def __init__(self):
        super().__init__("cpu", **SETTINGS)
        self.steps = []

    def update(self, new_scale=None):
        found = sum(float(v) for s in self._per_optimizer_states.values() for v in s["found_inf_per_device"].values())
        self.steps.append({"scale": self.get_scale(), "skipped": found > 0})
        super().update(new_scale)


scalers = []
plain = Accelerator.__init__


def forced(self, *arguments, **named):
    plain(self, *arguments, **named)
    assert self.state.mixed_precision == "fp16" and not self.native_amp
    self.native_amp = True
    self.scaler = RecordingScaler()
    scalers.append(self.scaler)


def record(name):
    with open(os.path.join(folder, "runs", name, "config.yaml")) as file:
        config = yaml.safe_load(file)
    config.update(fp16=True, output_dir=f"out/fp16_{name}", use_cpu=True)
    scalers.clear()
    from llamafactory.train.tuner import run_exp

    run_exp(config)
    target = os.path.join(folder, "runs", "fp16_" + name)
    os.makedirs(target, exist_ok=True)
    with open(os.path.join(target, "config.yaml"), "w") as file:
        yaml.safe_dump(config, file, sort_keys=False)
    with open(os.path.join(config["output_dir"], "trainer_state.json")) as file:
        state = json.load(file)
    for entry in state["log_history"]:
        for key in [k for k, v in entry.items() if isinstance(v, float) and not math.isfinite(v)]:
            del entry[key]
    with open(os.path.join(target, "trainer_state.json"), "w") as file:
        json.dump(state, file, indent=2)
        file.write("\n")
    with open(os.path.join(target, "scaler.json"), "w") as file:
        json.dump({**SETTINGS, "steps": scalers[-1].steps}, file, indent=1)
        file.write("\n")
    print(name, "skipped", [i for i, s in enumerate(scalers[-1].steps) if s["skipped"]], [math.log2(s["scale"]) for s in scalers[-1].steps])


Accelerator.__init__ = forced
with tempfile.TemporaryDirectory() as scratch:
    for part in ("models", "adapters", "data"):
        shutil.copytree(os.path.join(folder, part), os.path.join(scratch, part))
    os.chdir(scratch)
    for name in sys.argv[1:]:
        record(name)
