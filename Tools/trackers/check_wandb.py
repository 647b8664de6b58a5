#!/usr/bin/env python3
"""Uploads runs that `report_to: wandb` recorded with the real `wandb` package, to a server of this script, and compares what
arrives with the run's trainer_state.json.

    pip install wandb
    python Tools/trackers/check_wandb.py OUTPUT_DIR WANDB_RUN_FOLDER

The server speaks as much of the service's protocol as `wandb sync` needs: GraphQL for the run, file streams for its history.
"""

import http.server
import json
import os
import subprocess
import sys
import threading

RUN_TOTALS = {"train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos"}


class Service(http.server.BaseHTTPRequestHandler):
    """Answers `wandb sync` and keeps what it sends."""

    history: list = []
    summary: dict = {}
    run: dict = {}
    done = None

    def log_message(self, *_):
        pass

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer({})

    def do_PUT(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer({})

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            raw = gzip.decompress(raw)
        try:
            body = json.loads(raw or b"{}")
        except ValueError:  # the package's own diagnostics
            return self.answer({})
        if self.path.endswith("/file_stream"):
            for name, content in (body.get("files") or {}).items():
                if name == "wandb-history.jsonl":
                    Service.history += [json.loads(line) for line in content["content"]]
                elif name == "wandb-summary.json":
                    Service.summary = json.loads(content["content"][-1])
            if body.get("complete"):
                Service.done = body.get("exitcode")
            return self.answer({"limits": {}})
        query, variables = body.get("query", ""), body.get("variables") or {}
        if "upsertBucket" in query:
            Service.run.update({k: v for k, v in variables.items() if v is not None})
            bucket = {
                "id": "run", "name": variables.get("name"), "displayName": variables.get("displayName"), "description": None,
                "config": variables.get("config"), "sweepName": None, "historyLineCount": 0, "historyTail": "[]", "eventsTail": "[]",
                "summaryMetrics": "{}",
                "project": {"id": "project", "name": variables.get("project"), "entity": {"id": "entity", "name": "me"}},
            }
            return self.answer({"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}})
        viewer = {"id": "me", "entity": "me", "username": "me", "email": "", "flags": "{}", "teams": {"edges": []}}
        self.answer({"data": {"viewer": viewer, "serverInfo": None, "model": {"bucket": None}, "createRunFiles": {"files": []}}})


def tracked(name):
    for prefix in ("eval", "test"):
        if name.startswith(prefix + "_"):
            return f"{prefix}/{name[len(prefix) + 1:]}"
    return f"train/{name}"


def same(a, b):
    return a == b or (isinstance(a, (int, float)) and isinstance(b, (int, float)) and abs(a - b) <= 1e-12 * abs(a))


def main():
    output, folder = sys.argv[1:3]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # The key is made up: the server of this script asks for none.
    environment = {
        **os.environ, "WANDB_BASE_URL": f"http://127.0.0.1:{server.server_port}", "WANDB_API_KEY": "0" * 40, "WANDB_ENTITY": "me",
    }
    sync = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", folder], env=environment, capture_output=True, text=True, timeout=120)
    print(sync.stdout[-600:], sync.stderr[-600:])
    if sync.returncode:
        sys.exit(f"wandb sync failed: {sync.returncode}")

    logged = json.load(open(os.path.join(output, "trainer_state.json")))["log_history"]
    points = [{k: v for k, v in entry.items() if k not in RUN_TOTALS} for entry in logged]
    differences = []
    rows = [row for row in Service.history if "train/global_step" in row]
    for number, (entry, row) in enumerate(zip(points, rows)):
        for name, value in entry.items():
            key = "train/global_step" if name == "step" else tracked(name)
            if not same(value, row.get(key)):
                differences.append(f"event {number}: {key} is {row.get(key)}, logged {value}")
    if len(rows) < len(points):
        differences.append(f"{len(points)} events logged, {len(rows)} arrived")
    for name in RUN_TOTALS & set(logged[-1]):
        if not same(logged[-1][name], Service.summary.get(name)):
            differences.append(f"summary: {name} is {Service.summary.get(name)}, logged {logged[-1][name]}")
    print("\n".join(differences[:20]))
    config = json.loads(Service.run.get("config") or "{}")
    print(
        f"project {Service.run.get('project')}, run {Service.run.get('name')} ({Service.run.get('displayName')}), "
        f"{len(config)} settings, {len(rows)} events, exit code {Service.done}, {len(differences)} differences")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
