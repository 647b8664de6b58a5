"""Many clients at once: errors, tokens a second, resident memory over time."""
import argparse
import asyncio
import time

import openai
from serving import TINY, Server

parser = argparse.ArgumentParser()
parser.add_argument("program")
parser.add_argument("--model", default=TINY)
parser.add_argument("--template", default="llama3")
parser.add_argument("--clients", type=int, default=200)
parser.add_argument("--seconds", type=float, default=120)
parser.add_argument("--tokens", type=int, default=32)
options = parser.parse_args()


async def client(number, server, end, counts):
    async with openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="key", max_retries=0, timeout=600) as api:
        turn = 0
        while time.time() < end:
            messages = [{"role": "system", "content": "You know all ferries of the northern harbors. " * 8},
                        {"role": "user", "content": f"Client {number}, question {turn}: when does the ferry leave?"}]
            try:
                stream = await api.chat.completions.create(
                    model="m", messages=messages, max_tokens=options.tokens, stream=True, stream_options={"include_usage": True})
                async for chunk in stream:
                    if chunk.usage:
                        counts["tokens"] += chunk.usage.completion_tokens
                counts["answers"] += 1
            except openai.RateLimitError:
                counts["busy"] += 1
                await asyncio.sleep(1)
            except Exception as error:
                counts["errors"] += 1
                counts["last"] = repr(error)
            turn += 1


async def main(server):
    counts = {"answers": 0, "tokens": 0, "busy": 0, "errors": 0, "last": ""}
    start = time.time()
    end = start + options.seconds
    memory = []

    async def watch():
        while time.time() < end:
            memory.append(server.resident_bytes() >> 20)
            await asyncio.sleep(options.seconds / 12)

    await asyncio.gather(watch(), *(client(n, server, end, counts) for n in range(options.clients)))
    seconds = time.time() - start
    print(f"{options.clients} clients, {seconds:.0f} s: {counts['answers']} answers, {counts['tokens'] / seconds:.0f} tokens a second,"
          f" {counts['busy']} times busy, {counts['errors']} errors {counts['last']}")
    print("resident MiB:", memory)


with Server(options.program, options.model, options.template, API_QUEUE_SIZE="1000") as server:
    asyncio.run(main(server))
