"""OpenAI's protocol over real HTTP on this machine: its own client, what other clients send, and limits."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import BadRequestError, NotFoundError
from served import Pretended, found, serving
from serving_client import ASK, call, client_of, complete

from harness.llm import Reply
from harness.serving.app import QUESTION
from harness.serving.server import LIMIT, Server
from harness.values.records import Turn


@pytest.fixture(scope="module")
def systems() -> dict[str, Pretended]:
    return {
        "untuned": Pretended(),
        "staged:0": Pretended("staged (seed 0)", lambda text: Reply("Cut", cut=True), found(12, chunks=True)),
        "finder": Pretended("finder", lambda text: None),
    }


@pytest.fixture(scope="module")
def server(systems: dict[str, Pretended]) -> Iterator[Server]:
    with serving(systems) as running:
        yield running


# ---- OpenAI's own client


def test_its_client_reads_models_an_answer_and_the_passages(server: Server) -> None:
    client = client_of(server)
    assert [model.id for model in client.models.list()] == ["untuned", "staged:0", "finder"]
    assert client.models.retrieve("staged:0").id == "staged:0"
    answer = client.chat.completions.create(model="untuned", messages=ASK)  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "You asked: Which valve closes the pump?"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (40, 47)
    rag = answer.model_extra["rag"]  # type: ignore[index]
    assert rag["system"] == "untuned"
    assert rag["milliseconds"] == {"search": 12.3, "rerank": 3.2, "answer": 1234.5, "total": 1250.0}
    assert rag["passages"][0] == {
        "id": "manual-0", "document": "manual-0", "start": None, "end": None, "rank": 1, "score": 3.5, "shown": True,
        "title": "Valve 0", "text": found(1)[0].text,
    }  # fmt: skip
    assert [passage["shown"] for passage in rag["passages"]] == [True] * 2 + [False] * 8
    for name in ("staged:0", "staged"):
        again = client.chat.completions.create(model=name, messages=ASK)  # type: ignore[arg-type]
        assert (again.model, again.choices[0].finish_reason) == ("staged:0", "length")
    client.close()


def test_its_client_reads_a_stream(server: Server) -> None:
    client = client_of(server)
    stream = client.chat.completions.create(
        model="untuned", messages=ASK, stream=True, stream_options={"include_usage": True},  # type: ignore[call-overload]
    )  # fmt: skip
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).startswith("You asked")
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None, None, "stop"]
    assert chunks[-1].usage.total_tokens == 47
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-2].model_extra["rag"]["passages"]
    client.close()


def test_its_client_knows_the_errors(server: Server) -> None:
    client = client_of(server)
    with pytest.raises(NotFoundError, match=r"no system 'untund' is served; did you mean 'untuned'\?"):
        client.chat.completions.create(model="untund", messages=ASK)  # type: ignore[arg-type]
    with pytest.raises(BadRequestError, match="'n' is not 1"):
        client.chat.completions.create(model="untuned", messages=ASK, n=2)  # type: ignore[call-overload]
    client.close()


def test_a_stream_ends_as_the_protocol_says(server: Server) -> None:
    answer = complete(server, stream=True)
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    events = answer.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert all(event.startswith("data: {") for event in events[:-2])
    assert "usage" not in json.loads(events[0].removeprefix("data: "))


def test_a_system_without_a_generator_answers_with_passages_alone(server: Server) -> None:
    answer = complete(server, model="finder").json
    assert answer["choices"][0]["message"]["content"] == ""
    assert answer["rag"]["answered"] is False
    assert len(answer["rag"]["passages"]) == 10
    assert answer["usage"]["total_tokens"] == 0


def test_chunks_name_their_document_and_place(server: Server) -> None:
    first = complete(server, model="staged:0").json["rag"]["passages"][1]
    assert (first["id"], first["document"], first["start"], first["end"]) == ("manual-1#10-19", "manual-1", 10, 19)


# ---- what clients send


@pytest.mark.parametrize("path", [
    "/v1/chat/completions", "/v1/chat/completions/", "/chat/completions", "//v1//chat/completions",
    "/v1/v1/chat/completions",
    "/v1/chat/completions?api-version=1", "http://127.0.0.1/v1/chat/completions",
])  # fmt: skip
def test_paths_that_clients_make_of_a_base_url(path: str, server: Server) -> None:
    assert complete(server, path=path).status == 200


def test_turns_parts_and_other_roles_are_read(server: Server, systems: dict[str, Pretended]) -> None:
    messages = [
        {"role": "system", "content": "Answer in rhyme."},
        {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": "a valve?"}]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "42", "tool_call_id": "1"},
        {"role": "assistant", "content": "A door."},
        {"role": "user", "content": [{"type": "text", "text": "  And a pump? \n"}]},
    ]
    answer = complete(server, messages, temperature=0.7, max_tokens=5, user="me", seed=None, response_format={
        "type": "text"
    })  # fmt: skip
    assert systems["untuned"].asked[-1] == (
        "And a pump?", (Turn("user", "What is\na valve?"), Turn("assistant", "A door.")),
    )  # fmt: skip
    assert answer.json["rag"]["ignored"] == [
        "max_tokens", "messages of the role system", "messages of the role tool", "temperature",
    ]  # fmt: skip


@pytest.mark.parametrize(("body", "said"), [
    ([], "the body is not a JSON object"),
    ({}, "'messages' is not a list with messages in it"),
    ({"messages": []}, "'messages' is not a list with messages in it"),
    ({"messages": "hello"}, "'messages' is not a list"),
    ({"messages": ["hello"]}, "messages[0] is not an object"),
    ({"messages": [{"role": "user", "content": ""}]}, "the question is empty"),
    ({"messages": [{"role": "user", "content": " \n"}]}, "the question is empty"),
    ({"messages": [{"role": "user", "content": []}]}, "the question is empty"),
    ({"messages": [{"role": "user"}]}, "the question is empty"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0]: unknown role 'wizard'"),
    ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content is neither a text nor a list"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
     "messages[0].content[0] is no text"),
    ({"messages": [*ASK, {"role": "assistant", "content": "It is"}]}, "the last message is not one of the user"),
    ({"messages": [{"role": "system", "content": "x"}]}, "the last message is not one of the user"),
    ({"messages": ASK, "stream": "yes"}, "'stream' is neither true nor false"),
    ({"messages": ASK, "model": 3}, "'model' is not a text"),
    ({"messages": ASK, "n": 2}, "'n' is not 1"),
    ({"messages": ASK, "response_format": {"type": "json_object"}}, "'response_format' asks for what"),
    ({"messages": ASK, "tool_choice": "required"}, "'tool_choice' asks for what"),
    ({"messages": ASK, "logprobs": True}, "'logprobs' asks for what"),
])  # fmt: skip
def test_what_cannot_be_answered_is_refused_with_its_place(body: Any, said: str, server: Server) -> None:
    answer = call(server, "POST", "/v1/chat/completions", body)
    assert answer.status == 400
    assert answer.error.startswith(said)
    assert answer.json["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(("method", "path", "status", "said"), [
    ("GET", "/v1/chat/completions", 405, "GET is not possible here; use POST"),
    ("DELETE", "/v1/models", 405, "DELETE is not possible here; use GET"),
    ("POST", "/", 405, "POST is not possible here; use GET"),
    ("GET", "/v1/models/nosuch", 404, "no system 'nosuch' is served"),
    ("GET", "/v1", 404, "nothing is at /v1; there are /, /v1/models and /v1/chat/completions"),
    ("POST", "/v1/embeddings", 404, "nothing is at /v1/embeddings"),
    ("GET", "/../../etc/passwd", 404, "nothing is at /../../etc/passwd"),
])  # fmt: skip
def test_other_places_and_methods(method: str, path: str, status: int, said: str, server: Server) -> None:
    answer = call(server, method, path, {} if method == "POST" else None)
    assert (answer.status, answer.error[: len(said)]) == (status, said)


def test_letters_of_any_language_come_back_as_they_were(server: Server) -> None:
    text = "Wie groß ist die Rückschlagklappe? 阀门在哪里 🙂 \u202eabc"
    answer = complete(server, [{"role": "user", "content": text}])
    assert answer.json["choices"][0]["message"]["content"] == f"You asked: {text}"
    assert "阀门" in answer.text, "not as escapes"
    with_mark = "\ufeff" + json.dumps({"messages": ASK})
    assert call(server, "POST", "/v1/chat/completions", with_mark.encode()).status == 200
    half = '{"messages": [{"role": "user", "content": "a \\ud83d b"}]}'
    assert call(server, "POST", "/v1/chat/completions", half).json["choices"][0]["message"]["content"].endswith("a ? b")


@pytest.mark.parametrize(("body", "said"), [
    (b"{", "the body is not JSON in UTF-8"),
    (b"", "the body is not JSON in UTF-8"),
    (b'{"messages": "\xff"}', "the body is not JSON in UTF-8"),
    (b"[" * 200_000, "the body is not JSON in UTF-8"),
])  # fmt: skip
def test_a_body_that_is_no_json(body: bytes, said: str, server: Server) -> None:
    answer = call(server, "POST", "/v1/chat/completions", body)
    assert (answer.status, answer.error[: len(said)]) == (400, said)


def test_limits_of_body_and_question(server: Server) -> None:
    long = [{"role": "user", "content": "valve " * QUESTION}]
    answer = complete(server, long)
    assert answer.status == 400
    assert answer.error == f"the question has {6 * QUESTION - 1:,} characters; send at most {QUESTION:,}"
    answer = call(server, "POST", "/v1/chat/completions", b"x" * (3 * LIMIT))
    assert (answer.status, answer.headers["Connection"]) == (413, "close")
    assert answer.error.startswith("the body has 3,145,728 bytes")


def test_a_form_of_another_page_is_no_json(server: Server) -> None:
    answer = call(server, "POST", "/ask", "question=1", {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 415
    assert "Content-Type: application/json" in answer.error
    assert call(server, "POST", "/ask", json.dumps({"question": "x"}), {"Content-Type": "text/plain"}).status == 415


def test_a_body_of_unknown_length_is_refused(server: Server) -> None:
    head = f"POST /ask HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as client:
        client.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n".encode())
        assert client.makefile("rb").read().startswith(b"HTTP/1.1 411 ")


def test_one_connection_serves_several_requests(server: Server) -> None:
    client = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    local = set()
    for _ in range(3):
        body = json.dumps({"messages": ASK})
        client.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        answer = client.getresponse()
        assert json.loads(answer.read())["object"] == "chat.completion"
        assert client.sock is not None
        local.add(client.sock.getsockname())
    client.close()
    assert len(local) == 1


@settings(max_examples=60)
@given(junk=st.binary(min_size=1, max_size=80))
def test_no_request_brings_the_server_down(junk: bytes, server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as client:
        client.sendall(junk + b"\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        said = client.recv(65536)
    assert b"Traceback" not in said
    assert call(server, "GET", "/v1/models").status == 200
