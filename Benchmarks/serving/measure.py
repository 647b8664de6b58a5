"""Loads the server and prints what it does beside the targets: many clients for some time, 32 against one, a second turn, an equal system text."""

import argparse
import array
import asyncio
import json
import os
import pathlib
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

WORDS = "the ferry leaves from northern harbors at seven and ten when tide wind snow or fog allow it and returns before night with mail fish salt".split()


def words(rng, count):
    return " ".join(rng.choice(WORDS) for _ in range(count))


class Server:
    """The program on a free port of this machine; ends with the block."""

    def __init__(self, cli, model, template, threads, *more):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = tempfile.TemporaryFile("w+")
        # Answers have the length that is asked for: neither chance nor a stop token of a random model ends them.
        settings = [f"model_name_or_path={model}", f"template={template}", f"threads={threads}", "do_sample=false", "max_new_tokens=64", *more]
        environment = {"API_HOST": "127.0.0.1", "API_PORT": str(self.port), "API_VERBOSE": "0", "API_QUEUE_SIZE": "1000"}
        self.process = subprocess.Popen([cli, "api", *settings], stdout=self.log, stderr=subprocess.STDOUT, env=os.environ | environment)

    def __enter__(self):
        end = time.time() + 300
        while time.time() < end and self.process.poll() is None:
            try:
                self.metrics()
                return self
            except OSError:
                time.sleep(0.1)
        self.log.seek(0)
        sys.exit("the server did not start:\n" + self.log.read()[-2000:])

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()

    def metrics(self):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60).read().decode()
        lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
        return {line[0].removeprefix("llamafactory_").removesuffix("_total"): float(line[1]) for line in lines}

    def resident(self):
        """MiB."""
        pages = int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    async def chat(self, messages, tokens, model="gpt-3.5-turbo"):
        """Answers as a stream: the text, the counts of tokens, seconds to the first text and to the end."""
        body = {"model": model, "messages": messages, "max_tokens": tokens, "stream": True, "stream_options": {"include_usage": True}}
        data = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
        start = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        try:
            writer.write(head.encode() + data)
            await writer.drain()
            status = (await reader.readline()).split()
            if len(status) < 2 or status[1] != b"200":
                raise RuntimeError(f"status {status[1:2]}: {(await reader.read())[-300:]}")
            text, first, usage, done = "", None, None, False
            while line := await reader.readline():
                if not line.startswith(b"data: "):
                    continue
                if line.startswith(b"data: [DONE]"):
                    done = True
                    break
                event = json.loads(line[6:])
                if "error" in event:
                    raise RuntimeError(str(event["error"]))
                for choice in event["choices"]:
                    # The token that ends a text shows no text of its own: the reason why it ended counts as the first then.
                    if choice["delta"].get("content") or choice["finish_reason"]:
                        first = first or time.perf_counter() - start
                        text += choice["delta"].get("content") or ""
                usage = event.get("usage") or usage
            if not done:
                raise RuntimeError("the stream ended early")
            return text, usage, first, time.perf_counter() - start
        finally:
            writer.close()


def tokens_per_word(server):
    lengths = []
    for count in (50, 250):
        lengths.append(asyncio.run(server.chat([{"role": "user", "content": words(random.Random(0), count)}], 1))[1]["prompt_tokens"])
    return (lengths[1] - lengths[0]) / 200


def talk(rng, system, number):
    return [{"role": "system", "content": system}, {"role": "user", "content": f"Client {number}: {words(rng, 12)}?"}]


async def crowd(server, clients, seconds, tokens, watch=None, models=("gpt-3.5-turbo",)):
    """Clients that ask one question after the other; answers, tokens a second and errors."""
    end = time.time() + seconds
    found = {"answers": 0, "tokens": 0, "errors": []}
    system = words(random.Random(1), 60)

    async def client(number):
        rng = random.Random(number)
        while time.time() < end:
            try:
                _, usage, _, _ = await server.chat(talk(rng, system, number), tokens, models[number % len(models)])
                found["tokens"] += usage["completion_tokens"]
                found["answers"] += 1
            except Exception as error:
                found["errors"].append(repr(error))
                await asyncio.sleep(0.1)

    start = time.time()
    tasks = [client(number) for number in range(clients)]
    if watch:
        tasks.append(watch(end))
    await asyncio.gather(*tasks)
    found["rate"] = found["tokens"] / (time.time() - start)
    return found


class Report:
    def __init__(self):
        self.missed = 0

    def line(self, text, holds, target):
        self.missed += not holds
        print(f"{text} (target {target}{'' if holds else ', missed'})", flush=True)


def measure_load(server, options, report):
    memory = []

    async def watch(end):
        while time.time() < end:
            await asyncio.sleep(options.seconds / 12)
            memory.append(server.resident())

    found = asyncio.run(crowd(server, options.clients, options.seconds, options.tokens, watch))
    errors = found["errors"]
    report.line(
        f"{options.clients} clients for {options.seconds:.0f} s: {found['answers']} answers, {found['rate']:.0f} tokens/s, {len(errors)} errors",
        not errors, "no error")
    if errors:
        print("    the first:", errors[0][:300])
    # What the first third fills (the cache, buffers) stays.
    growth = memory[-1] / memory[len(memory) // 3] - 1
    print("    resident MiB:", " ".join(f"{size:.0f}" for size in memory))
    report.line(f"    after the first third it grows by {100 * growth:.1f} %", growth < 0.05, "flat, below 5 %")


def measure_rate(server, options, report):
    rates = {}
    for clients in (1, 32):
        asyncio.run(crowd(server, clients, 2, options.tokens))
        found = asyncio.run(crowd(server, clients, options.seconds / 6, options.tokens))
        if found["errors"]:
            print("    the first error:", found["errors"][0][:300])
        rates[clients] = found["rate"]
    ratio = rates[32] / rates[1]
    report.line(f"32 clients {rates[32]:.0f} tokens/s, one {rates[1]:.0f}: {ratio:.2f}x", ratio >= 6, "6x")


def measure_turns(server, options, report):
    """A conversation's second turn, whose history the cache knows."""
    firsts, seconds, lengths = [], [], []
    count = int(options.history / tokens_per_word(server))
    for index in range(options.rounds):
        rng = random.Random(1000 + index)
        history = [{"role": "user", "content": words(rng, count)}]
        answer, usage, first, _ = asyncio.run(server.chat(history, 16))
        lengths.append(usage["prompt_tokens"])
        firsts.append(first)
        history += [{"role": "assistant", "content": answer}, {"role": "user", "content": words(rng, 10)}]
        seconds.append(asyncio.run(server.chat(history, 16))[2])
    first, second = statistics.median(firsts), statistics.median(seconds)
    share = second / first
    report.line(
        f"second turn behind {statistics.median(lengths):.0f} tokens: first token after {1e3 * second:.0f} ms, of the first turn {1e3 * first:.0f} ms: "
        f"{100 * share:.1f} %", share < 0.15, "below 15 %")


def measure_system(server, options, report):
    """Clients that come together with one system text: it is computed once."""
    rng = random.Random(7)
    system = words(rng, int(800 / tokens_per_word(server)))
    talks = [talk(rng, system, number) for number in range(32)]
    before = server.metrics()

    async def ask():
        return await asyncio.gather(*(server.chat(messages, 8) for messages in talks))

    lengths = [usage["prompt_tokens"] for _, usage, _, _ in asyncio.run(ask())]
    after = server.metrics()
    computed, cached = (after[key] - before[key] for key in ("prompt_tokens_computed", "prompt_tokens_cached"))
    # Prompts have in common what they have in common in tokens; a block of 32 tokens is the smallest piece that is shared.
    once = min(lengths) + sum(length - min(lengths) for length in lengths) + 31 * 64
    report.line(
        f"32 clients with a system text in prompts of {min(lengths)} to {max(lengths)} tokens: {computed:.0f} tokens computed, {cached:.0f} known; "
        f"{sum(lengths)} without sharing", computed <= once, f"once, {once} at most")


def make_adapters(model, folder, count, rank=8):
    """Random adapters of all linear layers, as PEFT saves them."""
    data = (pathlib.Path(model) / "model.safetensors").read_bytes()
    shapes = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    modules = {name.removesuffix(".weight"): entry["shape"] for name, entry in shapes.items() if name.endswith("_proj.weight")}
    for index in range(count):
        rng, header, body = random.Random(index), {}, bytearray()
        for module, (outputs, inputs) in modules.items():
            for part, shape in (("A", [rank, inputs]), ("B", [outputs, rank])):
                values = array.array("f", (rng.uniform(-0.02, 0.02) for _ in range(shape[0] * shape[1])))
                header[f"base_model.model.{module}.lora_{part}.weight"] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + 4 * len(values)]}
                body += values.tobytes()
        text = json.dumps(header).encode()
        path = pathlib.Path(folder) / f"adapter{index}"
        path.mkdir()
        (path / "adapter_model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)
        targets = sorted({module.rsplit(".", 1)[1] for module in modules})
        (path / "adapter_config.json").write_text(
            json.dumps({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 16, "lora_dropout": 0.0, "target_modules": targets}))
        yield f"adapter{index}", path


def measure_adapters(_, options, report):
    """Clients that ask for eight adapters in turn, against as many that ask for the model itself."""
    with tempfile.TemporaryDirectory() as folder:
        adapters = dict(make_adapters(options.model, folder, 8))
        modules = "lora_modules=" + ",".join(f"{name}={path}" for name, path in adapters.items())
        with Server(options.cli, options.model, options.template, options.threads, modules) as server:
            rates = []
            for models in (("gpt-3.5-turbo",), tuple(adapters)):
                asyncio.run(crowd(server, 32, 2, options.tokens, models=models))
                found = asyncio.run(crowd(server, 32, options.seconds / 8, options.tokens, models=models))
                if found["errors"]:
                    print("    the first error:", found["errors"][0][:300])
                rates.append(found["rate"])
    print(f"32 clients of 8 adapters (rank 8, all layers) {rates[1]:.0f} tokens/s, of none {rates[0]:.0f}: {rates[1] / rates[0]:.2f} of it (no target)")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cli", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--template", default="llama3")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120, help="of the crowd; one client and 32 get a sixth of it each")
    parser.add_argument("--tokens", type=int, default=32, help="of an answer")
    parser.add_argument("--history", type=int, default=1900, help="tokens of a first turn, about")
    parser.add_argument("--rounds", type=int, default=5, help="conversations of two turns")
    parser.add_argument("--only", default="system,turns,rate,load,adapters")
    options = parser.parse_args()
    report = Report()
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    with Server(options.cli, options.model, options.template, options.threads) as server:
        for name in options.only.split(","):
            if name != "adapters":
                globals()["measure_" + name](server, options, report)
    if "adapters" in options.only.split(","):
        measure_adapters(None, options, report)
    print(f"load of the machine after: {os.getloadavg()[0]:.1f}")
    if report.missed:
        sys.exit(f"serving: {report.missed} target{'s' if report.missed > 1 else ''} missed")


if __name__ == "__main__":
    main()
