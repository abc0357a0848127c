"""What was answered is not asked again, processes share it, and no budget is exceeded."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import reduce
from pathlib import Path
from typing import Any

import llm_server
import pytest
from endpoint_chat import PACE, Grade, chat_of, echo, silently, texts
from hypothesis import given
from hypothesis import strategies as st
from llm_server import Served, Server
from pydantic import BaseModel

from harness.errors import HarnessError, LlmStopped
from harness.llm import Ask, Message, Reply, Spent
from harness.llm.endpoint import EndpointChat
from harness.llm.protocol import RequestCost
from harness.llm.responses import FILE, PaidRequest, Responses, RoleSpent, StoredAnswer, spent_by_role
from harness.llm.services import Services
from harness.suite.roles import Llm


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(echo) as server:
        yield server


def test_what_was_answered_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    asks = texts("a", "b", "c")
    first = chat_of(server, tmp_path).ask_all(asks, silently)
    later = chat_of(server, tmp_path)
    second = later.ask_all(asks, silently)
    assert server.requests == 3
    assert [reply.text for reply in second] == [reply.text for reply in first]
    assert {(one.requests, one.prompt_tokens, one.new_tokens, one.dollars) for one in second} == {(0, 0, 0, 0.0)}
    assert (later.spent.asked, later.spent.known, later.spent.requests) == (3, 3, 0)
    assert asyncio.run(later.ask(asks[0]))[:-1] == second[0][:-1]


def test_what_is_asked_in_two_attempts_costs_what_it_costs_in_one(server: Server, tmp_path: Path) -> None:
    asks = texts("a", "b", "c", "a")
    prices = {"price_in": 2.0, "price_out": 8.0}
    whole = chat_of(server, tmp_path / "whole", **prices)
    whole.ask_all(asks, silently)
    assert whole.spent.cost_of_answers.dollars > 0
    assert whole.spent.known_cost == RequestCost()

    chat_of(server, tmp_path, **prices).ask_all(asks[:2], silently)
    rest = chat_of(server, tmp_path, **prices)
    rest.ask_all(asks, silently)
    assert rest.spent.requests == 1
    assert rest.spent.cost_of_answers == whole.spent.cost_of_answers
    # Asked once more, nothing is added: what the cache holds was counted, or paid, already.
    rest.ask_all(asks, silently)
    asyncio.run(rest.ask(asks[0]))
    assert rest.spent.cost_of_answers == whole.spent.cost_of_answers
    assert rest.spent.since(rest.spent) == Spent()


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 300))
def test_the_shares_of_a_request_are_the_whole(prompt: int, new: int, count: int) -> None:
    cost = RequestCost(prompt, new, 0.25)
    shares = cost.divided(count)
    assert len(shares) == count
    assert reduce(RequestCost.plus, shares) == (prompt, new, pytest.approx(0.25), True)
    assert max(share.prompt_tokens for share in shares) - min(share.prompt_tokens for share in shares) <= 1


def test_the_key_is_made_of_all_that_can_change_an_answer_and_of_nothing_else(server: Server, tmp_path: Path) -> None:
    class Other(BaseModel):
        score: float

    server.answering = lambda body: llm_server.says('{"score": 0.5}')
    (ask,) = texts("a", schema=Grade)
    same = [
        chat_of(server, tmp_path, timeout=5.0, max_concurrency=2, retries=1, price_in=9.0, structured="plain"),
        chat_of(server, tmp_path, role="labeler"),
        chat_of(server, tmp_path, run="later"),
    ]
    for endpoint in [chat_of(server, tmp_path), *same]:
        endpoint.ask_all([ask], silently)
    assert server.requests == 1
    different = [
        Ask(ask.messages, schema=Grade, repeat=1), Ask(ask.messages, schema=Grade, max_tokens=5),
        Ask(ask.messages, schema=Grade, temperature=0.1), Ask(ask.messages, schema=Other), Ask(ask.messages),
        Ask((Message("system", "a"),), schema=Grade),
    ]  # fmt: skip
    chat_of(server, tmp_path).ask_all(different, silently)
    assert server.requests == 1 + len(different)
    chat_of(server, tmp_path, model="n").ask_all([ask], silently)
    chat_of(server, tmp_path, seed=1).ask_all([ask], silently)
    assert server.requests == 3 + len(different)


def test_equal_questions_are_asked_once_and_paid_once(server: Server, tmp_path: Path) -> None:
    server.answering = lambda body: Served(content=echo(body).content, delay=0.05)
    endpoint = chat_of(server, tmp_path)
    replies = endpoint.ask_all(texts("a", "b", "a", "a"), silently)
    assert [reply.text for reply in replies] == ["you said a", "you said b", "you said a", "you said a"]
    assert [reply.requests for reply in replies] == [1, 1, 0, 0]
    assert endpoint.spent[:4] == (4, 0, 2, 2)

    async def at_once() -> list[Reply]:
        return await asyncio.gather(*(endpoint.ask(ask) for ask in texts("c", "c", "c")))

    assert sorted(reply.requests for reply in asyncio.run(at_once())) == [0, 0, 1]
    assert server.requests == 3


def test_who_waits_for_an_equal_question_asks_himself_if_the_other_is_cancelled(server: Server, tmp_path: Path) -> None:
    server.answering = lambda body: Served(content=echo(body).content, delay=0.2)
    endpoint = chat_of(server, tmp_path)

    async def one_leaves() -> Reply:
        first = asyncio.ensure_future(endpoint.ask(texts("a")[0]))
        await asyncio.sleep(0.1)
        second = asyncio.ensure_future(endpoint.ask(texts("a")[0]))
        await asyncio.sleep(0.02)
        first.cancel()
        return await second

    assert asyncio.run(one_leaves()).text == "you said a"


def test_what_another_process_has_paid_for_meanwhile_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    """Two chats of one folder, which know nothing of each other, as in two processes."""
    server.answering = lambda body: Served(content=echo(body).content, delay=0.1)
    several = [f"question {number}" for number in range(6)]
    replies: dict[int, list[Reply]] = {}

    def ask(number: int, asked: list[str]) -> None:
        replies[number] = chat_of(server, tmp_path, max_concurrency=1).ask_all(texts(*asked), silently)

    orders = [several, several[::-1]]
    threads = [threading.Thread(target=ask, args=(number, order)) for number, order in enumerate(orders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [reply.text for reply in replies[0]] == [reply.text for reply in replies[1][::-1]]
    # Each asks half of them; a request in flight is not known to the other.
    assert server.requests <= len(several) + 2
    paid = spent_by_role(tmp_path, "now")["judge"]
    assert paid.requests == server.requests == sum(one.requests for several in replies.values() for one in several)


def test_an_answer_that_no_longer_fits_its_form_is_asked_for_again(server: Server, tmp_path: Path) -> None:
    server.answering = lambda body: llm_server.says('{"score": 0.5}')
    chat_of(server, tmp_path).ask_all(texts("a", schema=Grade), silently)
    with closing(sqlite3.connect(tmp_path / FILE)) as db, db:
        db.execute("UPDATE answers SET text = '{}'")
    (reply,) = chat_of(server, tmp_path).ask_all(texts("a", schema=Grade), silently)
    assert (reply.value, reply.requests) == (Grade(score=0.5), 1)


def test_a_replay_asks_nothing_and_names_what_is_missing(server: Server, tmp_path: Path) -> None:
    chat_of(server, tmp_path).ask_all(texts("a", "b"), silently)
    server.answering = lambda body: llm_server.error(500, "must not be asked")
    endpoint = chat_of(server, tmp_path, replay=True)
    assert [reply.text for reply in endpoint.ask_all(texts("b", "a"), silently)] == ["you said b", "you said a"]
    with pytest.raises(LlmStopped) as stopped:
        endpoint.ask_all(texts("a", "what is it?", "and this?", "x" * 100), silently)
    first = "llm.judge: no answer is cached for 'what is it?'; run once without replay"
    assert str(stopped.value) == f"{first} (2 more are missing)"
    reply = asyncio.run(endpoint.ask(texts("what is it?")[0]))
    assert (reply.failure, endpoint.stopped) == (first, "")
    assert server.requests == 2


@pytest.mark.parametrize("damage", [b"no database at all" * 100, None])
def test_a_damaged_file_is_set_aside_with_a_warning(
    damage: bytes | None, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chat_of(server, tmp_path).ask_all(texts(*(str(number) * 50 for number in range(200))), silently)
    gc.collect()
    place = tmp_path / FILE
    whole = place.read_bytes()
    place.write_bytes(damage or whole[:4096] + b"\xff" * (len(whole) - 4096))
    replies = chat_of(server, tmp_path).ask_all(texts("0" * 50), silently)
    assert (replies[0].text, replies[0].requests) == ("you said " + "0" * 50, 1)
    assert "responses.sqlite was damaged" in caplog.text
    assert len(list(tmp_path.glob(f"{FILE}.damaged-*"))) == 1
    assert chat_of(server, tmp_path).ask_all(texts("0" * 50), silently)[0].requests == 0


def test_a_folder_that_cannot_be_used_is_told_in_a_sentence(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match=r"responses\.sqlite: cannot be made \(.*\); name another folder"):
        chat_of(server, tmp_path / "file" / "below")


def ask_apart(url: str, folder: Path, results: Any) -> None:
    role = Llm(model="m", base_url=url, price_in=1000.0, price_out=2000.0)
    asked = EndpointChat("judge", Services(roles={"judge": role}, folder=folder, run="now", max_tokens=700), PACE)
    try:
        replies = asked.ask_all(texts(*(f"number {number}" for number in range(100)), max_tokens=5), silently)
        results.put((len(replies), asked.spent.requests, ""))
    except LlmStopped as stopped:
        results.put((0, asked.spent.requests, str(stopped)))


def test_processes_share_the_file_and_the_budget(server: Server, tmp_path: Path) -> None:
    forked = multiprocessing.get_context("spawn")
    results = forked.Queue()
    workers = [forked.Process(target=ask_apart, args=(server.url, tmp_path, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0
    # 15 tokens each, and the worst case of the next one must fit too: its prompt is estimated at 12 tokens, not 10.
    assert 700 - 17 - 15 < server.billed <= 700
    paid = spent_by_role(tmp_path, "now")["judge"]
    assert paid.requests == server.requests == sum(requests for _, requests, _ in found)
    assert paid.prompt_tokens + paid.new_tokens == server.billed
    assert all("raise llm.max_tokens" in sentence for _, _, sentence in found)


# Budgets


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_budget_is_never_exceeded_and_a_higher_one_goes_on(concurrency: int, server: Server, tmp_path: Path) -> None:
    asks = texts(*(f"number {number}" for number in range(60)), max_tokens=5)
    price = (10 * 1000 + 5 * 2000) / 1e6
    first = chat_of(server, tmp_path, max_usd=20.5 * price, max_concurrency=concurrency)
    with pytest.raises(LlmStopped) as stopped:
        first.ask_all(asks, silently)
    assert str(stopped.value) == first.stopped
    assert first.stopped.startswith(
        f"llm.max_usd: ${20 * price:.4f} of $0.41 are spent, and one more request may cost $"
    )
    assert first.stopped.endswith("; raise llm.max_usd and run again: paid answers come from the cache")
    assert server.requests == 20
    assert (first.spent.asked, first.spent.failed) == (60, 40)

    replies = chat_of(server, tmp_path, max_usd=100 * price, max_concurrency=concurrency).ask_all(asks, silently)
    assert not any(reply.failure for reply in replies)
    assert server.requests == 60
    assert spent_by_role(tmp_path, "now")["judge"].dollars == pytest.approx(60 * price)


def test_a_stopped_chat_answers_what_it_knows_and_fails_the_rest(server: Server, tmp_path: Path) -> None:
    endpoint = chat_of(server, tmp_path, run_tokens=40)
    known, unknown = texts("a", "b", max_tokens=20)
    assert endpoint.ask_all([known], silently)[0].text == "you said a"
    reply = asyncio.run(endpoint.ask(unknown))
    assert reply.failure == endpoint.stopped
    assert reply.failure.startswith("llm.max_tokens: 15 of 40 tokens are spent, and one more request may take 29;")
    assert endpoint.ask_all([known], silently)[0].text == "you said a"
    assert server.requests == 1


def test_requests_that_failed_count_for_the_budget(server: Server, tmp_path: Path) -> None:
    server.answering = lambda body: llm_server.says("")
    endpoint = chat_of(server, tmp_path, run_tokens=100, max_concurrency=1)
    with pytest.raises(LlmStopped):
        endpoint.ask_all(texts("a", "b", "c", "d", max_tokens=5), silently)
    assert server.requests == 6
    assert server.billed == 90 == endpoint.spent.prompt_tokens + endpoint.spent.new_tokens


def test_each_run_has_a_budget_of_its_own(server: Server, tmp_path: Path) -> None:
    for run in ("one", "two"):
        (reply,) = chat_of(server, tmp_path, run=run, run_tokens=20).ask_all(texts(run, max_tokens=5), silently)
        assert not reply.failure
    assert {run: spent_by_role(tmp_path, run)["judge"].requests for run in ("one", "two")} == {"one": 1, "two": 1}
    assert spent_by_role(tmp_path, "three") == {}
    assert spent_by_role(tmp_path / "nowhere", "one") == {}


def test_what_a_dead_process_reserved_is_free_again_after_a_time(tmp_path: Path) -> None:
    with closing(Responses(tmp_path)) as kept:
        worst = RequestCost(10, 10)
        assert kept.reserve("now", worst, 30, None, seconds=0.05).result().id is not None
        assert kept.reserve("now", worst, 30, None, seconds=60).result()[0::3] == (None, 1)
        threading.Event().wait(0.06)
        assert kept.reserve("now", worst, 30, None, seconds=60).result().id is not None


def test_an_answer_and_its_spending_are_one_transaction(tmp_path: Path) -> None:
    with closing(Responses(tmp_path)) as kept:
        paid = PaidRequest("k", RequestCost(1, 2, 3.0))
        # What cannot be written takes the answer beside it along.
        broken = PaidRequest("k", RequestCost(1, 2, None))  # type: ignore[arg-type]
        kept.write("now", "judge", [paid], StoredAnswer("k", "text", RequestCost(1, 2, 3.0))).result()
        with pytest.raises(HarnessError):
            kept.write("now", "judge", [broken], StoredAnswer("l", "text", RequestCost(1, 2, 3.0))).result()
        assert kept.find(["k", "l"]).result() == {"k": StoredAnswer("k", "text", RequestCost(1, 2, 3.0))}
        assert kept.by_role("now") == {"judge": RoleSpent(1, 1, 2, 3.0, 0)}
