#!/usr/bin/env python3
"""Uploads a run that `use_swanlab` recorded with the real `swanlab` package, to a server of this script, and compares what arrives with
the run's trainer_state.json.

    pip install swanlab
    python Tools/trackers/check_swanlab.py OUTPUT_DIR SWANLAB_RUN_FOLDER

The server speaks as much of the service's protocol as `swanlab sync` needs.
"""

import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading

RUN_TOTALS = {"train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos"}


class Service(http.server.BaseHTTPRequestHandler):
    """Answers `swanlab sync` and keeps what it sends."""

    requests: list = []

    def log_message(self, *_):
        pass

    def answer(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            raw = gzip.decompress(raw)
        body = json.loads(raw) if raw else None
        Service.requests.append((self.command, self.path.split("?")[0], body))
        status, value = self.reply(self.path.split("?")[0], body)
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = answer

    def reply(self, path, body):
        if "login" in path:
            return 200, {"sid": "sid", "expiredAt": "2099-01-01T00:00:00.000Z", "userInfo": {"username": "me"}}
        if path.endswith("/experiment"):
            return 201, {"cuid": body.get("cuid"), "name": body["name"], "slug": "slug"}
        if self.command == "GET" and path.count("/") == 4 and path.startswith("/api/project/me/"):
            return 200, self.project(path.rsplit("/", 1)[1])
        return 200, {}

    @staticmethod
    def project(name):
        return {
            "cuid": "project", "name": name, "path": f"/me/{name}", "group": {"username": "me"}, "_count": {"experiments": 0}, "version": "v2",
        }


def tracked(name):
    for prefix in ("eval", "test"):
        if name.startswith(prefix + "_"):
            return f"{prefix}/{name[len(prefix) + 1:]}"
    return f"train/{name}"


def main():
    output, folder = sys.argv[1:3]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    # The key is made up: the server of this script asks for none.
    environment = {**os.environ, "HOME": tempfile.mkdtemp()}
    sync = subprocess.run(
        [os.path.join(os.path.dirname(sys.executable), "swanlab"), "sync", folder, "--host", f"http://127.0.0.1:{server.server_port}",
         "--api-key", "k" * 21], env=environment, capture_output=True, text=True, timeout=120)
    print(sync.stdout[-1500:], sync.stderr[-600:])
    if sync.returncode:
        sys.exit(f"swanlab sync failed: {sync.returncode}")
    arrived, config, run, state = {}, {}, {}, None
    for method, path, body in Service.requests:
        if path.endswith("/house/metrics") and body["type"] == "scalar":
            for metric in body["metrics"]:
                arrived[metric["key"], metric["index"]] = metric["data"]
        elif path.endswith("/profile") and "config" in body:
            config = body["config"]
        elif path.endswith("/experiment"):
            run = body
        elif path.endswith("/state"):
            state = body["state"]
    differences = []
    expected = {}
    for entry in json.load(open(os.path.join(output, "trainer_state.json")))["log_history"]:
        for name, value in entry.items():
            if name != "step":
                # Of several values of a curve at one step the server keeps the first.
                expected.setdefault((f"single_value/{name}" if name in RUN_TOTALS else tracked(name), entry["step"]), value)
    for key, value in expected.items():
        if key not in arrived or abs(arrived[key] - value) > 1e-12 * abs(value):
            differences.append(f"{key} is {arrived.get(key)}, logged {value}")
    print("\n".join(differences[:20]))
    print(
        f"run {run.get('name')} ({run.get('cuid')}), {len(config)} settings, {len(expected)} numbers logged, {len(arrived)} arrived, "
        f"state {state}, {len(differences)} differences")
    sys.exit(1 if differences or not expected or state is None else 0)


if __name__ == "__main__":
    main()
