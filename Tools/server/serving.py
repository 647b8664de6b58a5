"""Starts the server for the scripts beside this file."""
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TINY = ROOT / "Fixtures/golden/train/models/tiny_llama"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """The program on a port of this machine; ends with the block."""

    def __init__(self, program, model=TINY, template="llama3", port=None, arguments=(), **environment):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(f"/tmp/server-{self.port}.log", "w+")
        self.process = subprocess.Popen(
            [program, "api", f"model_name_or_path={model}", f"template={template}", *arguments],
            stdout=self.log, stderr=subprocess.STDOUT,
            env=os.environ | {"API_HOST": "127.0.0.1", "API_PORT": str(self.port), "API_VERBOSE": "0"} | environment)

    def wait(self, seconds=300):
        end = time.time() + seconds
        while time.time() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(self.url + "/health", timeout=5).read()
                return self
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the server did not start:\n" + self.output())

    def output(self):
        self.log.flush()
        return pathlib.Path(self.log.name).read_text()

    def metric(self, name):
        text = urllib.request.urlopen(self.url + "/metrics", timeout=10).read().decode()
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + " "))

    def resident_bytes(self):
        pages = int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def __enter__(self):
        return self.wait()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.log.close()
