"""A chat at an endpoint: what is asked, kept, paid and never shown."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import multiprocessing
import re
import sqlite3
import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import llm_server
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from llm_server import Body, Served, Server
from pydantic import BaseModel, Field, RootModel, field_validator

from harness.errors import HarnessError, LlmStopped
from harness.llm import Ask, Message, Reply, preflight
from harness.llm.breaker import RetryPolicy
from harness.llm.endpoint import EndpointChat
from harness.llm.responses import FILE, PaidRequest, RequestCost, Responses, RoleSpent, StoredAnswer, spent_by_role
from harness.llm.services import Services, chat, using
from harness.llm.structured import read, response_format
from harness.models.thoughts import holds_mark, split_thoughts
from harness.suite.roles import Judge, Llm, Role

KEY = "sk-sentinel-0123456789abcdef"
PACE = RetryPolicy(scale=0.002)


class Grade(BaseModel):
    score: Annotated[float, Field(ge=0, le=1)]
    why: str = ""


def echo(body: Body) -> Served:
    return llm_server.says(f"you said {llm_server.asked(body)}")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(echo) as server:
        yield server


def services(server: Server, folder: Path, *, replay: bool = False, **changes: Any) -> Services:
    budget = {name: changes.pop(name) for name in ("max_usd",) if name in changes}
    run, limit = changes.pop("run", "now"), changes.pop("run_tokens", None)
    role = Llm(**{"model": "m", "base_url": server.url, "price_in": 1000.0, "price_out": 2000.0} | changes)
    return Services(
        roles={"judge": role, "labeler": role}, folder=folder, run=run, replay=replay, max_tokens=limit, **budget
    )


def chat_of(server: Server, folder: Path, role: Role = "judge", **changes: Any) -> EndpointChat:
    return EndpointChat(role, services(server, folder, **changes), PACE)


def texts(*several: str, **changes: Any) -> list[Ask]:
    return [Ask((Message("user", text),), **changes) for text in several]


def silently(done: int, total: int) -> None:
    """Tell nobody."""


# What is asked


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


# Forms


def form_of(served: Body) -> str:
    rule = served.get("response_format")
    return "plain" if rule is None else "strict" if rule["json_schema"]["strict"] else "loose"


@pytest.mark.parametrize(("structured", "kinds"), [("auto", ["strict"]), ("schema", ["strict"]), ("plain", ["plain"])])
def test_json_is_asked_for_by_a_schema_unless_told_otherwise(
    structured: str, kinds: list[str], server: Server, tmp_path: Path
) -> None:
    server.answering = lambda body: llm_server.says('{"score": 0.5}')
    (reply,) = chat_of(server, tmp_path, structured=structured).ask_all(texts("x", schema=Grade), silently)
    assert reply.value == Grade(score=0.5)
    assert [form_of(one.body) for one in server.seen] == kinds


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_knows_no_schemas_is_asked_without_from_then_on(
    status: int, server: Server, tmp_path: Path
) -> None:
    def answering(body: Body) -> Served:
        return llm_server.error(status, "what?") if "response_format" in body else llm_server.says('{"score": 0.5}')

    server.answering = answering
    endpoint = chat_of(server, tmp_path, max_concurrency=1)
    replies = endpoint.ask_all(texts("x", "y", "z", schema=Grade), silently)
    assert [reply.value for reply in replies] == [Grade(score=0.5)] * 3
    assert [form_of(one.body) for one in server.seen] == ["strict", "plain", "plain", "plain"]
    (reply,) = chat_of(server, tmp_path / "2", structured="schema").ask_all(texts("x", schema=Grade), silently)
    assert reply.failure == f"answers {status}: what?"


def test_a_question_that_is_wrong_anyway_does_not_speak_against_schemas(server: Server, tmp_path: Path) -> None:
    def answering(body: Body) -> Served:
        wrong = llm_server.asked(body) == "too long"
        return llm_server.error(400, "too long") if wrong else llm_server.says('{"score": 0.5}')

    server.answering = answering
    replies = chat_of(server, tmp_path, max_concurrency=1).ask_all(texts("too long", "x", schema=Grade), silently)
    assert [reply.failure for reply in replies] == ["answers 400: too long", ""]
    assert form_of(server.seen[-1].body) == "strict"


def test_a_form_with_keys_that_are_not_known_is_not_strict() -> None:
    class Free(BaseModel):
        shares: dict[str, float]

    class Opaque(BaseModel):
        model_config = {"arbitrary_types_allowed": True}
        inner: threading.Event

    rule = response_format(Free)
    assert rule is not None
    assert rule["json_schema"]["strict"] is False
    assert response_format(Opaque) is None


encodable = st.text(st.characters(exclude_categories=["Cs"]))
words = st.text(st.characters(exclude_characters="{}[]", exclude_categories=["Cs"]), max_size=60)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | encodable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(encodable, inner),
)  # fmt: skip


class Anything(BaseModel):
    value: Any


class Items(RootModel[list[int]]):
    """A form that is a list."""


@given(values, words, words, st.booleans(), st.sampled_from([None, 2]))
def test_json_is_found_in_any_chatter(value: Any, before: str, after: str, fenced: bool, indent: int | None) -> None:
    # Of chatter that holds marks of thoughts, some is no chatter; see test_thoughts.
    assume(not holds_mark(before + after) and not split_thoughts(before + after).thought)
    text = json.dumps({"value": value}, indent=indent)
    text = f"{before}\n```json\n{text}\n```\n{after}" if fenced else f"{before}{text}{after}"
    assert read(text, Anything).value == value


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.data())
def test_json_that_is_cut_off_is_never_taken_for_an_answer(why: str, data: st.DataObject) -> None:
    text = json.dumps({"inner": {"score": 0.1, "why": ""}, "score": 0.9, "why": why})
    cut = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(ValueError, match="broken JSON: "):
        read(text[:cut], Grade)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "no JSON"),
        ("I think [not]", "no JSON"),
        ('{"score": 0.5', "broken JSON: it is cut off"),
        ('{"score": 0.5, "why": "beca', "broken JSON: it is cut off"),
        ('{"score": 0.5 "why": {"score": 1}}', "broken JSON: Expecting ',' delimiter at character 14"),
        ('{"score": NaN}', "broken JSON: NaN is no number of JSON"),
        ('{"score": "NaN"}', "score: Input should be less than or equal to 1"),
        ('{"score": -Infinity}', "broken JSON: -Infinity is no number of JSON"),
        ('{"score": 1e999}', "broken JSON: 1e999 is no number"),
        ('{"score": true}', "score: true is no number"),
        ('{"score": 1.01}', "score: Input should be less than or equal to 1"),
        ('{"score": null}', "score: Input should be a valid number"),
        ('{"why": "x"}', "score: Field required"),
        ('{"score": 0.1, "score": 0.9}', "broken JSON: 'score' is given twice, differently"),
        ('{"score": 0.1, "why": "\\ud83d"}', "a text holds half of a surrogate pair"),
        ("[0.5]", "Input should be a valid dictionary or instance of Grade"),
        ('{"score":' + "[" * 100_000, "broken JSON: it is nested too deeply"),
    ],
)
def test_what_is_no_answer_is_told_in_words(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(wrong)}$"):
        read(text, Grade)


def test_unbounded_numbers_must_be_finite_and_booleans_are_no_numbers_deep_inside() -> None:
    class One(BaseModel):
        verdict: int = Field(alias="Verdict")
        weight: float = 1.0

    class Many(BaseModel):
        ones: list[One]

    assert read('{"ones": [{"Verdict": "1"}]}', Many).ones[0].verdict == 1
    with pytest.raises(ValueError, match=r"^ones\.1\.Verdict: false is no number$"):
        read('{"ones": [{"Verdict": 1}, {"Verdict": false}]}', Many)
    with pytest.raises(ValueError, match=r"ones\.0\.weight: Input should be a finite number|not a finite number"):
        read('{"ones": [{"Verdict": 1, "weight": "inf"}]}', Many)


def test_thoughts_examples_in_brackets_and_lists_are_told_apart() -> None:
    assert read('<think>{"score": 0.1}?</think> see [1]: {"score": 0.9}', Grade).score == 0.9
    assert read("first {of all}, [1, 2]", Items).root == [1, 2]


def test_a_validator_that_breaks_is_a_wrong_answer() -> None:
    class Fragile(BaseModel):
        score: float

        @field_validator("score")
        @classmethod
        def _break(cls, value: float) -> float:
            raise KeyError(value)

    with pytest.raises(ValueError, match=r"^not of the form Fragile \(KeyError\)$"):
        read('{"score": 1}', Fragile)


# The cache


def test_what_was_answered_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    asks = texts("a", "b", "c")
    first = chat_of(server, tmp_path).ask_all(asks, silently)
    later = chat_of(server, tmp_path)
    second = later.ask_all(asks, silently)
    assert server.requests == 3
    assert [reply.text for reply in second] == [reply.text for reply in first]
    assert {(one.requests, one.prompt_tokens, one.new_tokens, one.dollars) for one in second} == {(0, 0, 0, 0.0)}
    assert (later.spent.asked, later.spent.known, later.spent.requests) == (3, 3, 0)
    assert asyncio.run(later.ask(asks[0])) == second[0]


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
        assert kept.find(["k", "l"]).result() == {"k": ("text", False)}
        assert kept.by_role("now") == {"judge": RoleSpent(1, 1, 2, 3.0, 0)}


# The check before any work


def problem(server: Server, tmp_path: Path, **changes: Any) -> str:
    return str(preflight.check("judge", services(server, tmp_path, **changes)) or "")


def test_a_good_endpoint_has_no_problem_and_is_asked_one_small_question(server: Server, tmp_path: Path) -> None:
    assert problem(server, tmp_path) == ""
    assert [one.body["max_tokens"] for one in server.seen] == [1024], "the question is not that of the role"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("served", "sentence"),
    [
        (
            llm_server.error(401, f"Incorrect API key provided: {KEY}", "invalid_api_key"),
            "refuses the key (answers 401: Incorrect API key provided: ***); set OPENAI_API_KEY to a valid key",
        ),
        (
            llm_server.error(404, "The model `m` does not exist", "model_not_found"),
            "has no model 'm' (answers 404: The model `m` does not exist); correct the model's name",
        ),
        (
            Served(404, b"<h1>Not Found</h1>", {"content-type": "text/html"}),
            "has no such path (answers 404: <h1>Not Found</h1>); correct base_url (it usually ends in /v1)",
        ),
        (
            Served(200, b"<html>Welcome</html>", {"content-type": "text/html"}),
            "does not answer with a chat completion: <html>Welcome</html>; check that it is up and that base_url is "
            "right (it usually ends in /v1)",
        ),
        (
            Served(200, {"choices": []}),
            'does not answer with a chat completion: {"choices": []}; check that it is up and that base_url is '
            "right (it usually ends in /v1)",
        ),
        (llm_server.error(503, "loading"), "answers 503: loading; check that it is up"),
        (llm_server.error(400, "bad"), "answers 400: bad; correct the model or base_url as it says"),
        (Served(hang=True), "no answer within 0.5 s; raise timeout if the model is slow"),
        (Served(drop=True), "no connection (RemoteProtocolError); check that it is up"),
        (llm_server.error(429, "gone", "insufficient_quota"), "has no credit left (answers 429: gone); add credit"),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_one_sentence(
    served: Served, sentence: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.answering = lambda body: served
    found = problem(server, tmp_path, timeout=0.5 if served.hang else 20.0)
    assert found.startswith(f"llm.judge: {server.url}: {sentence}")
    assert "\n" not in found
    # A 400 may mean the form of the answer: the role would ask once more without, and so does the check.
    assert server.requests == 1 + ("400" in sentence)


@pytest.mark.parametrize(
    "served", [llm_server.error(429, "slow down"), llm_server.says(""), llm_server.says(None, refusal="no")]
)
def test_an_endpoint_that_is_there_and_knows_the_key_is_no_problem(
    served: Served, server: Server, tmp_path: Path
) -> None:
    server.answering = lambda body: served
    assert problem(server, tmp_path) == ""


def test_what_is_configured_wrongly_is_told_without_a_request(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    missing = "llm.judge: no key for https://api.openai.com/v1: the environment variable OPENAI_API_KEY is not set"
    assert problem(server, tmp_path, base_url=None).startswith(missing)
    with pytest.raises(LlmStopped, match="the environment variable MY_KEY is not set"):
        chat_of(server, tmp_path, base_url=None, api_key_env="MY_KEY").ask_all(texts("a"), silently)
    assert "base_url is not a valid URL" in problem(server, tmp_path, base_url="localhost:8000/v1")
    refused = "llm.judge: http://127.0.0.1:1/v1: no connection (Connection refused); check that it is up"
    assert problem(server, tmp_path, base_url="http://127.0.0.1:1/v1").startswith(refused)
    monkeypatch.setenv("OPENAI_API_KEY", "schlüssel")
    assert "OPENAI_API_KEY holds characters that a key cannot have" in problem(server, tmp_path)
    assert server.requests == 0


def test_nothing_is_checked_of_what_is_not_asked(server: Server, tmp_path: Path) -> None:
    assert problem(server, tmp_path, base_url="http://127.0.0.1:1/v1", replay=True) == ""
    roles: dict[Role, Llm | Judge] = {"judge": Llm(model="embedded:smollm2-135m-instruct")}
    assert preflight.check("judge", Services(roles=roles, folder=tmp_path)) is None


# Keys


def test_keys_come_from_the_environment_and_local_servers_need_none(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OTHER_KEY", f"{KEY}\n")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    chat_of(server, tmp_path, base_url=None).ask_all(texts("a"), silently)
    chat_of(server, tmp_path, api_key_env="OTHER_KEY").ask_all(texts("b"), silently)
    assert [one.headers["authorization"] for one in server.seen] == ["bearer none", f"bearer {KEY}"]


def test_the_key_is_in_no_file_log_message_or_traceback(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    header = "header-sentinel-987"
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Proxy: {header}")
    caplog.set_level(logging.DEBUG)
    everything = f"{KEY} {header}"
    served = [
        llm_server.says(f"your key is {everything}"), llm_server.error(400, f"bad {everything}"),
        llm_server.error(500, f"bad {everything}"), Served(200, everything.encode()), Served(drop=True),
        llm_server.says(None, refusal=everything), Served(302, b"", {"location": f"http://127.0.0.1:1/?{KEY}"}),
        llm_server.error(401, f"Incorrect API key provided: {everything}"),
    ]  # fmt: skip
    shown: list[str] = []
    for number, one in enumerate(served):
        server.answering = lambda body, one=one: one  # type: ignore[misc]
        monkeypatch.setenv("OPENAI_BASE_URL", server.url.replace("//", f"//me:{header}@"))
        endpoint = chat_of(server, tmp_path, retries=1, base_url=None)
        try:
            shown += [str(reply) for reply in endpoint.ask_all(texts(f"{number}"), silently)]
        except LlmStopped:
            shown.append(traceback.format_exc())
        shown += [repr(endpoint), endpoint.stopped, problem(server, tmp_path)]
        # What a traceback may show that prints local variables.
        assert KEY not in f"{vars(endpoint)} {vars(endpoint._sender)} {vars(endpoint._sender.client)}"
    assert all(header in one.headers.values() for one in server.seen)
    gc.collect()
    written = b"".join(place.read_bytes() for place in tmp_path.rglob("*") if place.is_file())
    captured = capfd.readouterr()
    for text in (*shown, caplog.text, captured.out, captured.err, written.decode("latin-1")):
        assert KEY not in text
        assert header not in text
    assert b"your key is *** ***" in written


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
