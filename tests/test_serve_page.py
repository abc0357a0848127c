"""The questions of the page, failures, several questions at once, and clients that go away."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from served import Pretended, app_of, found, serving
from serving_client import Response, call, complete

from harness.errors import LlmStopped
from harness.llm import Reply
from harness.serving.app import question_id
from harness.serving.server import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    staged = Pretended("staged (seed 0)", lambda text: Reply("Cut", cut=True), found(12, chunks=True))
    with serving({"untuned": Pretended(), "staged:0": staged}) as running:
        yield running


# ---- the page's own questions


def test_the_page_is_told_all_that_it_shows(server: Server) -> None:
    told = call(server, "POST", "/ask", {"system": "staged:0", "question": " Which valve? "}).json
    assert (told["id"], told["question"], told["system"]) == (
        question_id("Which valve?"),
        "Which valve?",
        "staged (seed 0)",
    )
    assert (told["answers"], told["answer"], told["cut"], told["failure"]) == (True, "Cut", True, "")
    assert len(told["passages"]) == 10
    assert told["milliseconds"]["total"] == 1250.0
    assert call(server, "POST", "/ask", {"question": "x"}).json["system"] == "untuned"


def test_earlier_turns_are_asked_with(server: Server) -> None:
    turns = [{"role": "user", "content": "Which valve?"}, {"role": "assistant", "content": "The ball valve."}]
    told = call(server, "POST", "/ask", {"question": "And then?", "turns": turns}).json
    asked = server.app.systems["untuned"].asked[-1]  # type: ignore[attr-defined]
    assert (asked[0], [turn._asdict() for turn in asked[1]]) == ("And then?", turns)
    assert told["conversation"] == question_id("Which valve?")
    assert told["id"] not in (question_id("And then?"), told["conversation"])
    other = [turns[0], {"role": "assistant", "content": "Another one."}]
    same = call(server, "POST", "/ask", {"question": "And then?", "turns": other}).json
    assert same["id"] == told["id"], "two systems answer otherwise, and it is one question"
    alone = call(server, "POST", "/ask", {"question": "And then?", "turns": []}).json
    assert alone["id"] == alone["conversation"] == question_id("And then?")
    assert alone["searched"] == ""


@pytest.mark.parametrize(("body", "status", "said"), [
    ({}, 400, "the body has no question"), ({"question": 3}, 400, "the body has no question"),
    ({"question": " "}, 400, "the question is empty"),
    ({"question": "x", "system": "y"}, 404, "no system 'y' is served"),
    ({"question": "x", "turns": "y"}, 400, "'turns' is not a list"),
    ({"question": "x", "turns": [{"role": "judge"}]}, 400, "turns[0]: unknown role 'judge'"),
    ({"question": "x", "system": []}, 200, ""), ({"question": "x", "system": [1]}, 400, "'system' is not a text"),
])  # fmt: skip
def test_what_the_page_cannot_ask(body: Any, status: int, said: str, server: Server) -> None:
    answer = call(server, "POST", "/ask", body)
    assert answer.status == status
    assert not said or answer.error.startswith(said)


def test_text_that_would_break_a_page_is_escaped(server: Server) -> None:
    attack = "</script><img src=x onerror=alert(1)>\x00\u202e"
    systems = {"a": Pretended(attack, lambda text: attack)}
    app = app_of(systems)
    app.about = app.about._replace(suite=attack, title=attack, lines={"a": attack})
    with serving(app) as mine:
        page = call(mine, "GET", "/")
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "<img src" not in page.text
        assert "\u202e" not in page.text
        told = call(mine, "POST", "/ask", {"question": "x"}).json
        assert "\u202e" not in told["answer"]
    assert "connect-src 'self'" in page.headers["Content-Security-Policy"]


# ---- failures, and several at once


def test_failures_have_a_status_and_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(text: str) -> Any:
        raise {
            "stop": LlmStopped("llm.generator: the budget is spent"),
            "long": ValueError("a prompt of 999 tokens"),
        }.get(text, ZeroDivisionError("secret"))

    failing = {
        "broken": Pretended("broken", broken),
        "mute": Pretended("mute", lambda text: Reply("", failure="HTTP 500")),
    }
    with serving(failing) as server:
        for text, status, said in (
            ("stop", 502, "llm.generator: the budget is spent"), ("long", 400, "a prompt of 999 tokens"),
            ("else", 500, "this is a bug in the harness; its terminal shows more"),
        ):  # fmt: skip
            answer = complete(server, [{"role": "user", "content": text}], model="broken")
            assert (answer.status, answer.error) == (status, said)
        answer = complete(server, model="mute")
        assert (answer.status, answer.error) == (502, "the generator did not answer: HTTP 500")
        told = call(server, "POST", "/ask", {"question": "x", "system": "mute"}).json
        assert told["failure"] == "HTTP 500"
        assert told["passages"], "what was found is shown all the same"
    assert "ZeroDivisionError: secret" in capsys.readouterr().err


class Slow(Pretended):
    """Answers only when it may, and notes how many ask it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.may, self.begun, self.inside, self.most = threading.Event(), threading.Event(), 0, 0

    def ask(self, text: str, turns: Any = (), most: int = 10) -> Any:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.begun.set()
        assert self.may.wait(20)
        self.inside -= 1
        return super().ask(text, turns, most)


def test_two_questions_at_once_are_answered_one_after_another() -> None:
    slow = Slow()
    with serving({"slow": slow}) as server:
        answers: list[Response] = []
        texts = [f"question {number}" for number in range(4)]
        threads = [
            threading.Thread(
                target=lambda text=text: answers.append(complete(server, [{"role": "user", "content": text}]))
            )
            for text in texts
        ]
        for thread in threads:
            thread.start()
        assert slow.begun.wait(10)
        assert call(server, "GET", "/v1/models").status == 200, "other requests do not wait for models"
        slow.may.set()
        for thread in threads:
            thread.join(20)
    assert {answer.json["choices"][0]["message"]["content"] for answer in answers} == {
        f"You asked: {one}" for one in texts
    }
    assert slow.most == 1


def test_too_many_questions_are_sent_away() -> None:
    slow = Slow()
    with serving(app_of({"slow": slow}, room=1)) as server:
        threads = [threading.Thread(target=complete, args=(server,)) for _ in range(2)]
        threads[0].start()
        assert slow.begun.wait(10)
        threads[1].start()
        _until(lambda: server.app.worker._queue.qsize() == 1)
        answer = complete(server)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
        assert answer.error == "1 questions wait already; ask again later"
        slow.may.set()
        for thread in threads:
            thread.join(20)


def test_a_question_whose_client_has_gone_is_not_worked_on() -> None:
    slow = Slow()
    with serving({"slow": slow}) as server:
        first = threading.Thread(target=complete, args=(server,))
        first.start()
        assert slow.begun.wait(10)
        gone = socket.create_connection(("127.0.0.1", server.server_port))
        body = json.dumps({"messages": [{"role": "user", "content": "nobody waits"}]})
        gone.sendall(_request("/v1/chat/completions", len(body)) + body.encode())
        _until(lambda: server.app.worker._queue.qsize() == 1)
        (waiting,) = [future for future, _ in list(_items(server))]
        gone.close()
        _until(waiting.cancelled)
        slow.may.set()
        first.join(20)
        assert complete(server).status == 200
    assert "nobody waits" not in [text for text, _ in slow.asked]


def _items(server: Server) -> Any:
    """The jobs that wait; they are put back."""
    queue = server.app.worker._queue
    jobs = [queue.get() for _ in range(queue.qsize())]
    for job in jobs:
        queue.put(job)
    return jobs


def _until(true: Any) -> None:
    ends = time.monotonic() + 15
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def _request(path: str, length: int) -> bytes:
    """The head of a request."""
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {length}")
    return "\r\n".join((*lines, "", "")).encode()


def test_half_a_request_and_a_client_that_hears_nothing_leave_the_server_as_it_is(server: Server) -> None:
    for sent in (_request("/ask", 99) + b"{", b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20):
        with socket.create_connection(("127.0.0.1", server.server_port)) as client:
            client.sendall(sent)
    assert complete(server).status == 200
