"""Whatever an endpoint does, nothing is raised, lost, invented, or paid for twice."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import llm_server
import pytest
from llm_server import Body, Faulty, Served, Server
from pydantic import BaseModel, Field

from harness.errors import LlmStopped
from harness.llm import Ask, Message, Reply
from harness.llm.breaker import Breaker, RetryPolicy
from harness.llm.endpoint import EndpointChat
from harness.llm.responses import spent_by_role
from harness.llm.services import Services
from harness.llm.transport import Fault
from harness.suite.roles import Llm

COUNT = 60
FAST = RetryPolicy(scale=0.002)
"""Waits a fifth of a percent as long; the breaker then opens after 40 ms, which faults of a half do not reach."""
CALM = FAST._replace(patience=5_000.0, hung=5_000.0, busy=5_000.0)


class Grade(BaseModel):
    score: Annotated[float, Field(ge=0, le=1)]
    why: str


def right_score(number: int) -> float:
    return number % 7 / 7


def right(body: Body) -> Served:
    """The score that a question's number stands for, in repairs too."""
    text = next(message["content"] for message in body["messages"] if message["role"] == "user")
    return llm_server.says(json.dumps({"score": right_score(int(text.split()[-1])), "why": f"because of {text}"}))


def chat_of(server: Server, folder: Path, policy: RetryPolicy = CALM, **changes: Any) -> EndpointChat:
    role = Llm(**{"model": "m", "base_url": server.url, "price_in": 1.0, "price_out": 2.0, "timeout": 10.0} | changes)
    return EndpointChat("judge", Services(roles={"judge": role}, folder=folder, run="now"), policy)


def questions(count: int = COUNT) -> list[Ask]:
    return [Ask((Message("user", f"Grade number {number}"),), schema=Grade) for number in range(count)]


def silently(done: int, total: int) -> None:
    """Tell nobody."""


def check_right(replies: list[Reply], numbers: range) -> None:
    for number, reply in zip(numbers, replies, strict=True):
        if reply.failure:
            assert (reply.text, reply.value) == ("", None)
        else:
            assert reply.value == Grade(score=right_score(number), why=f"because of Grade number {number}")


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("fault", llm_server.FAULTS)
def test_no_fault_escapes_is_lost_or_invented(fault: str, share: float, tmp_path: Path) -> None:
    faulty = Faulty(right, fault, share, seed=1)
    with Server(faulty) as server:
        timeout = 0.3 if fault == "hang" else 10.0
        chat = chat_of(server, tmp_path, timeout=timeout)
        told: list[tuple[int, int]] = []
        replies = chat.ask_all(questions(), lambda done, total: told.append((done, total)))

        check_right(replies, range(COUNT))
        assert told == [(done, COUNT) for done in range(1, COUNT + 1)]
        failed = [reply for reply in replies if reply.failure]
        assert chat.spent.asked == COUNT == len(failed) + sum(not reply.failure for reply in replies)
        assert chat.spent.failed == len(failed)
        assert chat.spent.requests == sum(reply.requests for reply in replies)
        # On a busy machine a short timeout may end before the server has read the request.
        assert server.requests == chat.spent.requests or (fault == "hang" and server.requests < chat.spent.requests)
        paid = spent_by_role(tmp_path, "now")["judge"]
        assert (paid.requests, paid.prompt_tokens, paid.new_tokens) == chat.spent[3:6]
        assert paid.dollars == pytest.approx(chat.spent.dollars)
        assert faulty.injected > 0 or share == 0.01

        server.answering = right
        before = server.requests
        second = chat_of(server, tmp_path)
        again = second.ask_all(questions(), silently)
        check_right(again, range(COUNT))
        assert not any(reply.failure for reply in again)
        assert server.requests - before == len(failed)
        assert second.spent.known == COUNT - len(failed)


def test_a_half_of_faults_is_mostly_overcome(tmp_path: Path) -> None:
    with Server(Faulty(right, "503", 0.5)) as server:
        replies = chat_of(server, tmp_path).ask_all(questions(), silently)
    assert sum(bool(reply.failure) for reply in replies) < COUNT / 10


def test_numbers_as_strings_are_numbers(tmp_path: Path) -> None:
    with Server(lambda body: llm_server.says('{"score": "0.25", "why": "x"}')) as server:
        (reply,) = chat_of(server, tmp_path).ask_all(questions(1), silently)
    assert reply.value == Grade(score=0.25, why="x")


def test_a_wrong_answer_is_repaired_once_and_both_requests_are_paid(tmp_path: Path) -> None:
    def answering(body: Body) -> Served:
        return right(body) if len(body["messages"]) > 1 else llm_server.says('{"score": 3, "why": "x"}')

    with Server(answering) as server:
        (reply,) = chat_of(server, tmp_path).ask_all(questions(1), silently)
        shown, complaint = (message["content"] for message in server.seen[1].body["messages"][1:])
    assert reply.value.score == 0
    assert (reply.requests, reply.prompt_tokens, reply.new_tokens) == (2, 20, 10)
    assert shown == '{"score": 3, "why": "x"}'
    assert "score: Input should be less than or equal to 1" in complaint
    assert reply.dollars == pytest.approx(2 * (10 * 1 + 5 * 2) / 1e6)


def test_what_is_wrong_twice_fails_with_what_was_wrong(tmp_path: Path) -> None:
    with Server(lambda body: llm_server.says('{"score": 3, "why": "x"}')) as server:
        (reply,) = chat_of(server, tmp_path).ask_all(questions(1), silently)
        assert server.requests == 2
    assert reply.failure == "score: Input should be less than or equal to 1, after one repair"


def test_a_refusal_fails_at_once_and_an_answer_far_too_long_too(tmp_path: Path) -> None:
    with Server(lambda body: llm_server.FAULTS["refusal"](right(body))) as server:
        (reply,) = chat_of(server, tmp_path).ask_all(questions(1), silently)
        assert reply.failure == "refused: I would rather not."
        server.answering = lambda body: llm_server.says("word " * 100_000)
        (reply,) = chat_of(server, tmp_path).ask_all(questions(1), silently)
        assert reply.failure == "an answer of 500000 characters where max_tokens is 1024"
        assert server.requests == 2


def test_a_question_that_the_server_refuses_fails_alone(tmp_path: Path) -> None:
    def answering(body: Body) -> Served:
        return llm_server.error(400, "too long") if "number 3" in llm_server.asked(body) else right(body)

    with Server(answering) as server:
        replies = chat_of(server, tmp_path).ask_all(questions(9), silently)
    check_right(replies, range(9))
    assert [reply.failure for reply in replies if reply.failure] == ["answers 400: too long"]


@pytest.mark.parametrize(
    ("served", "sentence"),
    [
        (llm_server.error(401, "no"), "refuses the key (answers 401: no); set OPENAI_API_KEY to a valid key"),
        (llm_server.error(403, "no"), "refuses the key (answers 403: no)"),
        (llm_server.error(404, "no model m here"), "has no model 'm' (answers 404: no model m here)"),
        (llm_server.error(404, "lost"), "has no such path (answers 404: lost); correct base_url"),
        (llm_server.error(429, "pay", "insufficient_quota"), "has no credit left (answers 429: pay); add credit"),
        (llm_server.error(429, "later", headers={"retry-after": "3600"}), "asks to wait 3600 s (answers 429: later)"),
    ],
)
def test_what_no_question_overcomes_stops_the_chat(served: Served, sentence: str, tmp_path: Path) -> None:
    with Server(lambda body: served) as server:
        chat = chat_of(server, tmp_path, max_concurrency=4)
        with pytest.raises(LlmStopped) as stopped:
            chat.ask_all(questions(200), silently)
        assert f"llm.judge at {server.url}: {sentence}" in str(stopped.value) == chat.stopped
        assert server.requests <= 4
        assert chat.spent.asked == chat.spent.failed == 200


def test_a_retry_after_is_obeyed_and_may_be_a_date(tmp_path: Path) -> None:
    waits = iter(
        [
            {"retry-after": "2"},
            {"retry-after": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 4))},
        ]
    )
    times: list[float] = []

    def answering(body: Body) -> Served:
        times.append(time.monotonic())
        headers = next(waits, None)
        return right(body) if headers is None else llm_server.error(429, "later", headers=headers)

    with Server(answering) as server:
        (reply,) = chat_of(server, tmp_path, RetryPolicy(scale=0.05)).ask_all(questions(1), silently)
    assert not reply.failure
    assert times[1] - times[0] >= 2 * 0.05
    assert times[2] - times[1] >= 2.9 * 0.05


@pytest.mark.parametrize(
    ("fault", "concurrency"), [("refused", 8), ("500", 1), ("dropped connection", 8), ("hang", 1), ("hang", 8)]
)
def test_a_dead_endpoint_ends_a_run_of_10_000_questions(fault: str, concurrency: int, tmp_path: Path) -> None:
    scale = 0.01
    with Server(Faulty(right, "500" if fault == "refused" else fault, 1.0)) as server:
        changes: dict[str, Any] = {"base_url": "http://127.0.0.1:1/v1"} if fault == "refused" else {}
        chat = chat_of(
            server, tmp_path, RetryPolicy(scale=scale), timeout=40 * scale, max_concurrency=concurrency, **changes
        )
        started = time.monotonic()
        with pytest.raises(LlmStopped, match="run again: paid answers come from the cache") as stopped:
            chat.ask_all(questions(10_000), silently)
        took = time.monotonic() - started
        assert "in a row" in str(stopped.value)
        # A scaled minute is 0.6 s; machines are busy. Without the breaker all this takes 190 s and more: each question
        # would fail after its own six attempts.
        assert took < 20
        assert chat.spent.asked == 10_000 == chat.spent.failed
        sentence = chat.stopped
        with pytest.raises(LlmStopped, match="in a row"):
            chat.ask_all(questions(1), silently)
        assert chat.stopped == sentence


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_breaker_opens_at_default_settings_within_a_minute() -> None:
    clock = Clock()
    breaker = Breaker(RetryPolicy(), 8, clock)
    for _ in range(5):
        breaker.failed(Fault("dead", "no connection"))
    assert breaker.left() == 20
    clock.now = 21
    assert breaker.left() == 0

    clock.now = 0
    breaker = Breaker(RetryPolicy(), 8, clock)
    clock.now = Llm().timeout
    for _ in range(8):
        breaker.failed(Fault("hung", "no answer"))
    left = breaker.left()
    assert left is not None
    assert clock.now + left < 60


def test_a_success_closes_the_breaker_and_idle_time_does_not_count() -> None:
    clock = Clock()
    breaker = Breaker(RetryPolicy(), 8, clock)
    for _ in range(6):
        breaker.failed(Fault("dead", "no connection"))
    clock.now = 10
    breaker.rest()
    clock.now = 1000
    breaker.resume()
    assert breaker.left() == 10
    breaker.alive(1.0)
    assert breaker.left() is None


def test_few_failures_and_servers_that_are_only_busy_have_more_time() -> None:
    clock = Clock()
    breaker = Breaker(RetryPolicy(), 8, clock)
    for _ in range(4):
        breaker.failed(Fault("dead", "no connection"))
    clock.now = 1000
    assert breaker.left() is None
    breaker = Breaker(RetryPolicy(), 1, clock)
    for _ in range(5):
        breaker.busy(Fault("busy", "later", retry_after=30))
    assert breaker.left() == 150


def test_an_endpoint_that_was_seen_to_be_slow_has_the_time_for_two_answers() -> None:
    breaker = Breaker(RetryPolicy(), 8, Clock())
    breaker.alive(13.0)
    for _ in range(5):
        breaker.failed(Fault("dead", "no connection"))
    assert breaker.left() == 26


def test_an_endpoint_that_only_says_later_stops_the_run_with_what_to_do(tmp_path: Path) -> None:
    with Server(Faulty(right, "429 without Retry-After", 1.0)) as server:
        chat = chat_of(server, tmp_path, RetryPolicy(scale=0.001))
        with pytest.raises(LlmStopped, match="lower max_concurrency"):
            chat.ask_all(questions(2000), silently)
