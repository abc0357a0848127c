"""A chat with an endpoint: what is asked, by whom, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llm_server
import pytest
from endpoint_chat import PACE, chat_of, echo, services, silently, texts
from llm_server import Body, Served, Server

from harness.llm import Ask, Message, Reply
from harness.llm.endpoint import EndpointChat
from harness.llm.responses import FILE, RoleSpent, spent_by_role
from harness.llm.services import Services, chat, using
from harness.suite.roles import Judge


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(echo) as server:
        yield server


def test_answers_come_in_the_order_of_the_questions(server: Server, tmp_path: Path) -> None:
    asks = texts(*(f"number {number}" for number in range(40)))
    server.answering = lambda body: Served(content=echo(body).content, delay=0.03 * ("number 1" in str(body)))
    replies = chat_of(server, tmp_path).ask_all(asks, silently)
    assert [reply.text for reply in replies] == [f"you said number {number}" for number in range(40)]
    assert 1 < server.most_in_flight <= 8


def test_what_is_sent_are_the_settings_of_the_role_unless_the_question_has_its_own(
    server: Server, tmp_path: Path
) -> None:
    endpoint = chat_of(server, tmp_path, temperature=0.5, max_tokens=77, seed=5)
    (ask,) = texts("hello")
    own = Ask(ask.messages, max_tokens=9, temperature=1.0, repeat=2)
    endpoint.ask_all([ask], silently)
    endpoint.ask_all([own], silently)
    first, second = (one.body for one in server.seen)
    message = {"role": "user", "content": "hello"}
    assert first == {"model": "m", "messages": [message], "temperature": 0.5, "max_tokens": 77, "seed": 5}
    assert second == {"model": "m", "messages": [message], "temperature": 1.0, "max_tokens": 9, "seed": 7}
    assert {one.path for one in server.seen} == {"/v1/chat/completions"}


def test_no_seed_is_sent_where_the_role_has_none(server: Server, tmp_path: Path) -> None:
    chat_of(server, tmp_path, seed=None).ask_all(texts("hello"), silently)
    assert "seed" not in server.seen[0].body


def test_a_chat_may_be_asked_from_any_loop_and_any_thread(server: Server, tmp_path: Path) -> None:
    endpoint = chat_of(server, tmp_path)
    found: list[Reply] = []

    async def several() -> list[Reply]:
        # As a measure would that is asynchronous itself, and as a stage that is called within a loop.
        found.extend(endpoint.ask_all(texts("inside"), silently))
        return await asyncio.gather(*(endpoint.ask(ask) for ask in texts("a", "b")))

    assert [reply.text for reply in asyncio.run(several())] == ["you said a", "you said b"]
    assert asyncio.run(endpoint.ask(texts("c")[0])).text == "you said c"
    thread = threading.Thread(target=lambda: found.extend(endpoint.ask_all(texts("d"), silently)))
    thread.start()
    thread.join()
    assert [reply.text for reply in found] == ["you said inside", "you said d"]


def test_at_most_so_many_requests_are_in_flight_however_they_are_asked(server: Server, tmp_path: Path) -> None:
    server.answering = lambda body: Served(content=echo(body).content, delay=0.02)
    endpoint = chat_of(server, tmp_path, max_concurrency=3)

    async def both() -> None:
        single = [endpoint.ask(ask) for ask in texts(*"abcdefgh")]
        await asyncio.gather(*single, asyncio.to_thread(endpoint.ask_all, texts(*"ijklmnop"), silently))

    asyncio.run(both())
    assert (server.requests, server.most_in_flight) == (16, 3)


def test_an_error_of_who_is_told_the_progress_ends_the_asking(server: Server, tmp_path: Path) -> None:
    def fall(done: int, total: int) -> None:
        raise KeyboardInterrupt

    server.answering = lambda body: Served(content=echo(body).content, delay=0.01)
    endpoint = chat_of(server, tmp_path, max_concurrency=2)
    with pytest.raises(KeyboardInterrupt):
        endpoint.ask_all(texts(*(str(number) for number in range(500))), fall)
    assert server.requests < 100
    assert endpoint.ask_all(texts("0"), silently)[0].text == "you said 0"


def test_nothing_to_ask_is_no_trouble(server: Server, tmp_path: Path) -> None:
    assert chat_of(server, tmp_path).ask_all([], silently) == []


def test_half_of_a_surrogate_pair_is_a_failure_on_both_ways(server: Server, tmp_path: Path) -> None:
    server.answering = lambda body: llm_server.says("half \ud83d")
    replies = chat_of(server, tmp_path).ask_all(texts("half \ud83d", "whole"), silently)
    assert [reply.failure for reply in replies] == [
        "the question holds half of a surrogate pair, which cannot be sent", "the answer holds half of a surrogate pair"
    ]  # fmt: skip
    assert server.requests == 1


def test_no_text_within_max_tokens_fails_at_once(server: Server, tmp_path: Path) -> None:
    server.answering = lambda body: llm_server.says("", ended="length")
    (reply,) = chat_of(server, tmp_path).ask_all(texts("hello"), silently)
    assert (reply.failure, reply.requests) == ("no text within max_tokens", 1)


def test_newer_models_are_asked_by_the_new_name_of_max_tokens(server: Server, tmp_path: Path) -> None:
    def answering(body: Body) -> Served:
        message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        return llm_server.error(400, message) if "max_tokens" in body else echo(body)

    server.answering = answering
    endpoint = chat_of(server, tmp_path, max_concurrency=4)
    replies = endpoint.ask_all(texts(*(str(number) for number in range(20))), silently)
    assert not any(reply.failure for reply in replies)
    assert server.requests <= 24
    assert server.seen[-1].body["max_completion_tokens"] == 1024


def test_tokens_that_the_server_does_not_count_are_estimated(server: Server, tmp_path: Path) -> None:
    server.answering = lambda body: llm_server.says("x" * 300, usage=False)
    (reply,) = chat_of(server, tmp_path).ask_all(texts("y" * 30), silently)
    assert (reply.prompt_tokens, reply.new_tokens) == (30 / 3 + 8, 100)
    assert spent_by_role(tmp_path, "now") == {"judge": RoleSpent(1, 18, 100, reply.dollars, uncounted=1)}
    assert reply.dollars == pytest.approx((18 * 1000 + 100 * 2000) / 1e6)


def test_services_give_the_chat_of_a_role(server: Server, tmp_path: Path) -> None:
    with using(services(server, tmp_path)):
        endpoint = chat("judge")
    assert (endpoint.name, endpoint.ask_all(texts("a"), silently)[0].text) == ("m", "you said a")


def test_a_judge_is_a_role_like_any_other(server: Server, tmp_path: Path) -> None:
    judge = Judge(model="m", base_url=server.url, repeats=3)
    endpoint = EndpointChat("judge", Services(roles={"judge": judge}, folder=tmp_path), PACE)
    asks = [Ask((Message("user", "a"),), repeat=repeat) for repeat in range(judge.repeats)]
    assert [reply.requests for reply in endpoint.ask_all(asks, silently)] == [1, 1, 1]
    assert Counter(one.body["seed"] for one in server.seen) == {0: 1, 1: 1, 2: 1}


def test_a_chat_closes_its_connections_and_files_itself(server: Server, tmp_path: Path) -> None:
    endpoint = chat_of(server, tmp_path)
    endpoint.ask_all(texts("a"), silently)
    place = tmp_path / f"{FILE}-wal"
    assert place.exists()
    del endpoint
    gc.collect()
    for _ in range(100):
        if not place.exists():
            break
        threading.Event().wait(0.02)
    assert not place.exists()


def test_a_client_that_is_collected_while_a_request_starts_blocks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its finalizer submits the closing of its connections from within `submit`, in the same thread."""
    from harness.llm import event_loop

    start, results = asyncio.run_coroutine_threadsafe, list[str]()

    async def work(name: str) -> str:
        return name

    def collecting(coroutine: Any, loop: Any) -> Any:
        monkeypatch.setattr(event_loop.asyncio, "run_coroutine_threadsafe", start)
        results.append(event_loop.submit(work("closed")).result(timeout=10))
        return start(coroutine, loop)

    monkeypatch.setattr(event_loop.asyncio, "run_coroutine_threadsafe", collecting)
    thread = threading.Thread(target=lambda: results.append(event_loop.submit(work("asked")).result(10)), daemon=True)
    thread.start()
    thread.join(30)
    assert results == ["closed", "asked"]
