"""Drives the server with real clients; a line per check, status 1 when one fails."""
import signal
import socket
import sys
import threading
import time

import json
import typing

import jsonschema
import openai
import pydantic
from serving import TINY, Server

program = sys.argv[1]
model, template = (sys.argv[2], sys.argv[3]) if len(sys.argv) > 3 else (TINY, "llama3")
failures = []


def check(name, holds, found=""):
    print("ok  " if holds else "FAIL", name, "" if holds else repr(found)[:500])
    if not holds:
        failures.append(name)


def refused(kind, call):
    try:
        call()
    except kind as error:
        return str(error)
    except Exception as error:
        return ""
    return ""


TOOL = {"type": "function", "function": {
    "name": "departure", "description": "When a ferry leaves",
    "parameters": {"type": "object", "properties": {"harbor": {"type": "string"}}, "required": ["harbor"]}}}
QUESTION = [{"role": "user", "content": "What time does the ferry leave?"}]


def answers(client):
    check("models", client.models.list().data[0].id == "ferry")

    def ask(**more):
        return client.chat.completions.create(model="ferry", messages=QUESTION, max_tokens=24, **more)

    plain = ask(temperature=0)
    text = plain.choices[0].message.content
    check("plain", plain.choices[0].finish_reason in ("stop", "length") and plain.usage.completion_tokens > 0, plain)
    check("again", ask(temperature=0).choices[0].message.content == text)
    chunks = list(ask(temperature=0, stream=True, stream_options={"include_usage": True}))
    joined = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    check("stream", joined == text, (joined, text))
    check("usage of a stream", chunks[-1].usage.completion_tokens == plain.usage.completion_tokens, chunks[-1])
    drawn = [ask(temperature=1.2, seed=s, extra_body={"do_sample": True}).choices[0].message.content for s in (1, 1, 2)]
    check("seeds", drawn[0] == drawn[1] != drawn[2], drawn)
    check("n", len(ask(n=3, temperature=1.2).choices) == 3)
    scored = ask(temperature=0, logprobs=True, top_logprobs=4).choices[0].logprobs.content
    check("logprobs", all(len(t.top_logprobs) == 4 and t.logprob <= 0 and t.token == t.top_logprobs[0].token for t in scored))
    stop = text[5:8]
    check("stop", ask(temperature=0, stop=stop).choices[0].message.content == text[:text.index(stop)])
    called = ask(temperature=0, tools=[TOOL], tool_choice={"type": "function", "function": {"name": "departure"}})
    message = called.choices[0].message
    check("tool_choice", called.choices[0].finish_reason == "length" or message.tool_calls[0].function.name == "departure", message)
    talk = QUESTION + [
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "departure", "arguments": "{\"harbor\": \"North\"}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "At nine."}]
    later = client.chat.completions.create(model="ferry", messages=talk, tools=[TOOL], max_tokens=8)
    check("tool answers", later.usage.completion_tokens > 0, later)
    completion = client.completions.create(model="ferry", prompt="The ferry", max_tokens=8, logprobs=2, echo=True, temperature=0)
    table = completion.choices[0].logprobs
    check("completions", len(table.tokens) == len(table.token_logprobs) and table.token_logprobs[0] is None, table)
    return text


class Departure(pydantic.BaseModel):
    harbor: typing.Annotated[str, pydantic.Field(max_length=8)]
    hour: typing.Annotated[int, pydantic.Field(ge=0, le=23)]
    price: typing.Annotated[float, pydantic.Field(gt=0, le=99.5)]
    days: typing.Annotated[list[typing.Literal["mon", "tue", "sun"]], pydantic.Field(max_length=3)]
    next: "Departure | None"


SCHEMAS = [
    {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", 1, None]}}, "required": ["b"], "additionalProperties": False},
    {"type": "array", "prefixItems": [{"type": "boolean"}], "items": {"type": "number"}, "minItems": 2, "maxItems": 4},
    {"anyOf": [{"type": "string", "pattern": "^[a-z]{1,4}-[0-9]{2}$"}, {"type": "string", "format": "date"}]},
    {"$defs": {"tree": {"type": "object", "properties": {"leaf": {"type": "boolean"}, "below": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 1}},
                        "required": ["leaf"], "additionalProperties": False}}, "$ref": "#/$defs/tree"},
    {"type": "object", "additionalProperties": {"type": "string", "maxLength": 3}},
]


def forms(client):
    """Answers that are kept to a form: drawn at a high temperature, they are whole and valid, or cut off and say so."""
    counts = {"stop": 0, "length": 0}
    for number, schema in enumerate(SCHEMAS):
        validator = jsonschema.Draft202012Validator(schema)
        answer = client.chat.completions.create(
            model="ferry", messages=QUESTION, max_tokens=300, n=4, temperature=1.5, seed=number, extra_body={"do_sample": True},
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
        for choice in answer.choices:
            counts[choice.finish_reason] += 1
            if choice.finish_reason == "stop":
                problems = list(validator.iter_errors(json.loads(choice.message.content)))
                check(f"schema {number}", not problems, (choice.message.content, problems))
    check("most answers end", counts["stop"] > counts["length"], counts)
    for seed in range(3):
        parsed = None
        try:
            parsed = client.chat.completions.parse(
                model="ferry", messages=QUESTION, max_tokens=400, temperature=1, seed=seed, response_format=Departure, extra_body={"do_sample": True})
        except openai.LengthFinishReasonError:
            print("skip one that was cut off")
        if parsed:
            check("parse", isinstance(parsed.choices[0].message.parsed, Departure), parsed)
    parameters = {"type": "object", "properties": {"harbor": {"type": "string", "maxLength": 5}}, "required": ["harbor"], "additionalProperties": False}
    tool = {"type": "function", "function": {"name": "departure", "strict": True, "parameters": parameters}}
    called = client.chat.completions.create(
        model="ferry", messages=QUESTION, max_tokens=200, temperature=0, tools=[tool], tool_choice="required").choices[0]
    if called.finish_reason == "tool_calls":
        jsonschema.validate(json.loads(called.message.tool_calls[0].function.arguments), parameters)
    check("strict tools", called.finish_reason in ("tool_calls", "length"), called)


def others(client):
    """Embeddings and responses."""
    texts = ["The ferry leaves at nine.", "A harbor"]
    coded = client.embeddings.create(model="ferry", input=texts)
    plain = client.embeddings.create(model="ferry", input=texts, encoding_format="float", dimensions=8)
    for code, numbers in zip(coded.data, plain.data):
        cut = code.embedding[:8]
        length = sum(x * x for x in cut) ** 0.5
        check("embeddings", all(abs(x / length - y) < 1e-5 for x, y in zip(cut, numbers.embedding)), numbers)
    whole = client.responses.create(model="ferry", input=QUESTION[0]["content"], max_output_tokens=24, temperature=0)
    answer = client.chat.completions.create(model="ferry", messages=QUESTION, max_tokens=24, temperature=0)
    check("responses", whole.output_text == answer.choices[0].message.content, whole)
    with client.responses.stream(model="ferry", input=QUESTION, max_output_tokens=24, temperature=0) as stream:
        pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
    check("events of a response", "".join(pieces) == whole.output_text, pieces)
    kept = client.responses.parse(model="ferry", input="a", max_output_tokens=400, temperature=0, text_format=Departure)
    check("a parsed response", kept.status == "incomplete" or isinstance(kept.output_parsed, Departure), kept)


def refusals(client, server):
    def ask(**more):
        return lambda: client.chat.completions.create(model="ferry", messages=QUESTION, **more)

    bad = openai.BadRequestError
    check("response_format", "properties.a.multipleOf" in refused(bad, ask(response_format={
        "type": "json_schema", "json_schema": {"name": "x", "schema": {"properties": {"a": {"multipleOf": 2}}}}})))
    check("range", "between" in refused(bad, ask(temperature=-1)))
    check("unknown field", "Unknown field" in refused(bad, ask(extra_body={"temprature": 1})))
    check("context", "the model takes" in refused(bad, ask(max_tokens=100_000_000)))
    check("picture", "text only" in refused(bad, lambda: client.chat.completions.create(
        model="ferry", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b.png"}}]}])))
    check("suffix", "suffix" in refused(bad, lambda: client.completions.create(model="ferry", prompt="a", suffix="b")))
    check("embeddings", "input" in refused(bad, lambda: client.embeddings.create(model="ferry", input=[])))
    wrong = openai.OpenAI(base_url=server.url + "/v1", api_key="wrong", max_retries=0)
    check("key", "Invalid API key" in refused(openai.AuthenticationError, lambda: wrong.models.list()))
    large = [{"role": "user", "content": "a" * 100_000_000}]
    try:
        client.chat.completions.create(model="ferry", messages=large)
        check("100 MB", False)
    except (openai.APIStatusError, openai.APIConnectionError) as error:
        check("100 MB", getattr(error, "status_code", 413) == 413, error)
    check("10,000 stop strings", "at most" in refused(bad, ask(stop=["x%d" % i for i in range(10_000)])))
    try:
        import anthropic
    except ImportError:
        print("skip anthropic")
    else:
        other = anthropic.Anthropic(base_url=server.url, api_key="key", max_retries=0)
        said = refused(anthropic.NotFoundError, lambda: other.messages.create(model="ferry", max_tokens=5, messages=QUESTION))
        check("anthropic", "There is no POST /v1/messages here" in said, said)


def readers(client, server, text):
    stream = client.chat.completions.create(model="ferry", messages=QUESTION, max_tokens=400, stream=True, n=8)
    for index, _ in enumerate(stream):
        if index == 20:
            break
    stream.close()
    end = time.time() + 10
    while time.time() < end and server.metric("llamafactory_requests_running") > 0:
        time.sleep(0.02)
    check("a reader that leaves", server.metric("llamafactory_requests_running") == 0)

    body = b'{"messages": [{"role": "user", "content": "Hi"}], "stream": true, "max_tokens": 300, "n": 16}'
    slow = socket.create_connection(("127.0.0.1", server.port))
    slow.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    slow.recv(10)
    fast = client.chat.completions.create(model="ferry", messages=QUESTION, max_tokens=24, temperature=0)
    check("others beside a slow reader", fast.choices[0].message.content == text)
    slow.close()
    half = socket.create_connection(("127.0.0.1", server.port))
    half.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Le")
    check("others beside half a request", client.models.list().data[0].id == "ferry")
    half.close()


def endings(server):
    with_port = Server(program, model, template, port=server.port)
    status = with_port.process.wait(300)
    said = with_port.output()
    check("a port in use", status == 1 and "cannot be listened on" in said, said[-300:])
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="key", max_retries=0)
    found = {}

    def ask():
        found["answer"] = client.chat.completions.create(model="ferry", messages=QUESTION, max_tokens=200, n=4)

    asking = threading.Thread(target=ask)
    asking.start()
    while server.metric("llamafactory_requests_running") == 0:
        time.sleep(0.005)
    server.process.send_signal(signal.SIGTERM)
    asking.join(120)
    check("SIGTERM lets answers end", "answer" in found and len(found["answer"].choices) == 4, found)
    check("and ends well", server.process.wait(60) == 0, server.process.returncode)


with Server(program, model, template, API_KEY="key", API_MODEL_NAME="ferry") as server:
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="key", max_retries=0)
    text = answers(client)
    forms(client)
    others(client)
    refusals(client, server)
    readers(client, server, text)
    endings(server)
print(f"{len(failures)} failed")
sys.exit(bool(failures))
