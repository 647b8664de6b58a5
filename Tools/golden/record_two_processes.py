"""Records a run of Fixtures/golden/train/runs again in two of LLaMA-Factory's processes with half the batch each.

    DISABLE_VERSION_CHECK=1 OMP_NUM_THREADS=1 python Tools/golden/record_two_processes.py kto_lora_weights_ftx pt_full_packing seed_pt_full

Needs llamafactory 0.9.5 with transformers 5.5.4, peft 0.18.1, trl 0.24 and torch (CPU). Writes Fixtures/golden/train/runs/ddp2_<name>:

config.yaml         what was run, relative to Fixtures/golden/train
procs               the number of processes
trainer_state.json  the curve
"""

import os
import shutil
import subprocess
import sys
import tempfile

import yaml

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Fixtures/golden/train")
LAUNCH = "from llamafactory.train.tuner import run_exp; run_exp()"


def record(name, scratch):
    with open(os.path.join(folder, "runs", name, "config.yaml")) as file:
        config = yaml.safe_load(file)
    assert config["per_device_train_batch_size"] % 2 == 0, name
    config["per_device_train_batch_size"] //= 2
    config["output_dir"] = f"out/ddp2_{name}"
    config["use_cpu"] = True
    path = os.path.join(scratch, name + ".yaml")
    with open(path, "w") as file:
        yaml.safe_dump(config, file, sort_keys=False)
    program = os.path.join(scratch, "run.py")
    with open(program, "w") as file:
        file.write(LAUNCH)
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", program, path],
        cwd=scratch, check=True)
    target = os.path.join(folder, "runs", "ddp2_" + name)
    os.makedirs(target, exist_ok=True)
    shutil.copy(path, os.path.join(target, "config.yaml"))
    shutil.copy(os.path.join(scratch, config["output_dir"], "trainer_state.json"), target)
    with open(os.path.join(target, "procs"), "w") as file:
        file.write("2\n")


with tempfile.TemporaryDirectory() as scratch:
    for part in ("models", "adapters", "data"):
        shutil.copytree(os.path.join(folder, part), os.path.join(scratch, part))
    for name in sys.argv[1:]:
        record(name, scratch)
