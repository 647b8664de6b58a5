#!/usr/bin/env python3
"""Trains with `report_to: mlflow` against a real MLflow server that this script starts, reads the run back with the real `mlflow`
package, and compares every number with the run's trainer_state.json.

    pip install mlflow
    python Tools/trackers/check_mlflow.py PROGRAM CONFIG.yaml [KEY=VALUE …]

PROGRAM is the `llamafactory-cli` to try.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import mlflow

EXPERIMENT = "tides & co"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(folder, port):
    """Starts a server and waits until it answers."""
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{folder}/runs.sqlite"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(120):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
            return server
        except OSError:
            time.sleep(1)
    server.kill()
    sys.exit("The server does not answer.")


def differences(run, client, state):
    """The numbers of the log that the server lacks or has otherwise."""
    histories = {}
    found = []
    for event in state["log_history"]:
        for name, value in event.items():
            if name == "step":
                continue
            if name not in histories:
                points = client.get_metric_history(run.info.run_id, name)
                histories[name] = [(point.step, point.value) for point in points]
            if (event["step"], float(value)) not in histories[name]:
                found.append((event["step"], name, value))
    return found


def main():
    program, *arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        address = f"http://127.0.0.1:{(port := free_port())}"
        server = serve(folder, port)
        try:
            output = f"{folder}/run"
            subprocess.run(
                [program, "train", *arguments, "report_to=mlflow", "run_name=checked", f"output_dir={output}"],
                check=True, stdout=subprocess.DEVNULL,
                env={**os.environ, "MLFLOW_TRACKING_URI": address, "MLFLOW_EXPERIMENT_NAME": EXPERIMENT})
            state = json.loads(pathlib.Path(output, "trainer_state.json").read_text())
            client = mlflow.MlflowClient(address)
            (run,) = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
            wrong = differences(run, client, state)
        finally:
            server.terminate()
            server.wait()
    numbers = sum(len(event) - 1 for event in state["log_history"])
    print(f"{run.info.run_name} {run.info.status}: {len(run.data.params)} settings, {numbers} numbers, {len(wrong)} differences")
    for difference in wrong[:10]:
        print(*difference)
    sys.exit(bool(wrong) or run.info.status != "FINISHED")


if __name__ == "__main__":
    main()
