"""Judged measures through a scripted judge: values by hand, what is judged, failures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import judges
import llm_server
import pytest
from judged_cases import (
    JUDGED,
    PASSAGES,
    QUESTION,
    anything_goes,
    by_form_of_rubric,
    nothing,
    score,
    score_all,
    settings,
)

from harness.llm.breaker import RetryPolicy
from harness.llm.endpoint import EndpointChat
from harness.llm.protocol import Ask, Reply
from harness.llm.scripted import ScriptedChat
from harness.llm.services import Services
from harness.scoring import (
    QueryScore,
    ShownContext,
    judged,
    requests_per_answer,
    score_answers,
)
from harness.suite.recipes import ABSTENTION
from harness.suite.roles import Llm
from harness.values.measures import parse
from harness.values.records import Answer, Reference


def by_form(**replies: Any) -> ScriptedChat:
    """Answers by the name of the form; a function is given the input of the prompt."""

    def answer(ask: Ask) -> str:
        assert ask.schema is not None
        reply = replies[ask.schema.__name__]
        value = reply(judges.given(ask)) if callable(reply) else reply
        return value if isinstance(value, str) else json.dumps(value)

    return ScriptedChat(answer)


# Values by hand


def test_faithfulness_is_the_share_of_supported_statements() -> None:
    chat = judges.faithful(lambda question, answer: [True, True, False])
    assert score("faithfulness", chat) == QueryScore(0.666667)
    asked = [judges.given(ask) for ask in chat.asks]
    assert asked[0] == {"question": QUESTION, "answer": "Ada did."}
    assert asked[1] == {"context": "Ada wrote it.\nIt was long.", "statements": ["yes 0", "yes 1", "no 2"]}
    assert [ask.repeat for ask in chat.asks] == [0, 0]


def test_context_recall_is_the_share_of_the_reference_that_passages_support() -> None:
    rows = [{"statement": "s", "reason": "r", "attributed": value} for value in (1, 0, 0, 1)]
    chat = by_form(ContextRecallOutput={"classifications": rows})
    assert score("context_recall", chat) == QueryScore(0.5)
    assert judges.given(chat.asks[0])["answer"] == "Ada."


def test_factual_correctness_is_the_f1_of_claims() -> None:
    """Two of three claims of the answer are right (precision 2/3), one of two of the reference is there (recall by
    ragas: 2 true positives of 2 + 1 missed): F1 = 2/3."""
    chat = by_form(
        ClaimDecompositionOutput=lambda data: {
            "claims": ["yes", "yes", "no"] if data["response"] == "Ada did." else ["yes", "no"]
        },
        NLIStatementOutput=lambda data: judges.verdicts(data["statements"], lambda one: one == "yes"),
    )
    assert score("factual_correctness", chat) == QueryScore(0.67)


def test_context_precision_is_the_mean_precision_at_useful_passages() -> None:
    chat = by_form(ContextPrecisionOutput=lambda data: {"reason": "r", "verdict": int("long" in data["context"])})
    assert score("context_precision", chat) == QueryScore(0.5)


def test_noise_sensitivity_counts_wrong_statements_that_useful_passages_led_to() -> None:
    """The first passage supports the reference, so it is useful; of two statements of the answer it supports both, and
    the reference supports one: one of two is wrong, and from a useful passage."""

    def supported(data: dict[str, Any]) -> str:
        useful = data["context"] == PASSAGES[0]
        return judges.verdicts(data["statements"], lambda one: useful or (data["context"] == "Ada." and one == "right"))

    chat = by_form(
        StatementGeneratorOutput=lambda data: {"statements": ["s"] if data["answer"] == "Ada." else ["right", "wrong"]},
        StatementFaithfulnessOutput=supported,
    )
    found = score("noise_sensitivity", chat)
    assert found == QueryScore(0.5), found.reason
    assert parse("noise_sensitivity").kind.better == "lower"


def test_answer_relevancy_compares_the_question_with_three_made_from_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Letters:
        calls: list[str] = []  # noqa: RUF012

        def embed_text(self, text: str, **kwargs: Any) -> list[float]:
            self.calls.append(text)
            return [3.0, 4.0] if text == QUESTION else ([1.0, 0.0] if text == "a" else [0.0, 2.0])

    letters = Letters()
    monkeypatch.setattr(judged, "load_embedder", lambda folder: letters)
    made = iter("aba" + "bbb")
    chat = by_form(AnswerRelevanceOutput=lambda data: {"question": next(made), "noncommittal": 0})
    of = settings(chat, repeats=2)._replace(embedder=Path("folder"))
    (found,) = score_all("answer_relevancy", of, {"q": "x"}).values()
    one, other = (0.6 + 0.8 + 0.6) / 3, 0.8
    assert found.value == pytest.approx((one + other) / 2, abs=1e-6)
    assert found.spread == pytest.approx((other - one) / math.sqrt(2), abs=1e-6)
    assert [ask.repeat for ask in chat.asks] == [0, 1, 2, 3, 4, 5]
    assert letters.calls == [QUESTION, "a", "b"]


def test_answer_relevancy_of_a_noncommittal_answer_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    class Same:
        def embed_text(self, text: str, **kwargs: Any) -> list[float]:
            return [1.0]

    monkeypatch.setattr(judged, "load_embedder", lambda folder: Same())
    chat = by_form(AnswerRelevanceOutput={"question": "x", "noncommittal": 1})
    of = settings(chat)._replace(embedder=Path("folder"))
    assert score_all("answer_relevancy", of, {"q": "x"}) == {"q": QueryScore(0.0)}


def test_a_bi_encoder_that_cannot_be_loaded_fails_its_scores(tmp_path: Path) -> None:
    of = settings(ScriptedChat(nothing))._replace(embedder=tmp_path / "none")
    (found,) = score_all("answer_relevancy", of, {"q": "x"}).values()
    assert found.status == "failed"
    assert "no bi-encoder at" in found.reason


def test_a_rubric_is_judged_by_the_words_of_the_suite() -> None:
    chat = by_form_of_rubric(0.25)
    assert score("rubric", chat, answer="costs $5", rubric="Is it $polite?") == QueryScore(0.25)
    text = chat.asks[0].messages[0].content
    assert "Is it $polite?" in text
    assert "costs $5" in text
    assert QUESTION in text
    assert "version" not in text


@pytest.mark.parametrize("name", JUDGED)
def test_the_count_of_requests_is_what_is_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Same:
        def embed_text(self, text: str, **kwargs: Any) -> list[float]:
            return [1.0]

    monkeypatch.setattr(judged, "load_embedder", lambda folder: Same())
    chat = anything_goes()
    of = settings(chat, rubric="r")._replace(embedder=Path("folder"))
    (found,) = score_all(name, of, {"q": "x"}).values()
    assert found.status == "ok"
    assert len(chat.asks) == requests_per_answer(parse(name), len(PASSAGES))


# What is judged at all


@pytest.mark.parametrize(
    ("name", "abstained", "unshown"),
    [
        ("faithfulness", True, True),
        ("factual_correctness", True, False),
        ("rubric", True, False),
        ("context_recall", False, True),
        ("context_precision", False, True),
        ("noise_sensitivity", True, True),
    ],
)
def test_there_is_no_score_where_there_is_nothing_to_judge(name: str, abstained: bool, unshown: bool) -> None:
    of = settings(anything_goes(), rubric="r")
    shown = {"a": ShownContext(QUESTION, PASSAGES), "b": ShownContext(QUESTION), "c": ShownContext(QUESTION, ("", " "))}
    found = score_all(name, of, {"a": ABSTENTION, "b": "Ada.", "c": "Ada."}, shown=shown)
    assert found["a"] == (QueryScore(None, "not_applicable", "abstained") if abstained else found["a"])
    assert (found["a"].status == "not_applicable") == abstained
    wanted = "not_applicable" if unshown else "ok"
    assert [found[query].status for query in "bc"] == [wanted] * 2
    assert {found[query].reason for query in "bc"} == ({"no passages were shown"} if unshown else {""})


def test_populations_of_judged_measures() -> None:
    chat = anything_goes()
    of = settings(chat, rubric="r")
    answers, references = {"a": "x", "b": "x"}, {"a": "Ada.", "b": None, "c": None, "d": "Ada."}
    missing = QueryScore(None, "failed", "no answer was written")
    for name in ("faithfulness", "rubric"):
        found = score_all(name, of, answers, references)
        assert list(found) == ["a", "b", "c", "d"]
        assert found == {"a": QueryScore(1.0), "b": QueryScore(1.0), "c": missing, "d": missing}
    for name in ("factual_correctness", "context_recall"):
        assert score_all(name, of, answers, references) == {"a": QueryScore(1.0), "d": missing}


def test_a_reference_that_is_missing_is_a_failure_and_is_not_asked_for() -> None:
    of = settings(ScriptedChat(nothing))
    answers, references = {"q": Answer("q", "x", 1, 1)}, {"q": Reference("q", (), answerable=True)}
    measure = parse("context_recall")
    found = score_answers(answers, references, [measure], of, {"q": ShownContext(QUESTION, PASSAGES)})
    assert found == {measure: {"q": QueryScore(None, "failed", "the question has no reference answer")}}


def test_the_first_reference_counts() -> None:
    chat = anything_goes()
    references = {"q": Reference("q", ("first", "second"))}
    shown = {"q": ShownContext(QUESTION, PASSAGES)}
    score_answers({"q": Answer("q", "x", 1, 1)}, references, [parse("context_recall")], settings(chat), shown)
    assert judges.given(chat.asks[0])["answer"] == "first"


def test_a_judge_must_be_shown_every_answered_question() -> None:
    with pytest.raises(ValueError, match="faithfulness needs the question and the passages of 'b'"):
        score_all("faithfulness", settings(anything_goes()), {"a": "x", "b": "x"}, shown={"a": ShownContext(QUESTION)})


# Failures


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("repeats", [1, 3])
def test_what_the_judge_fails_on_is_counted_with_its_reason(share: float, repeats: int) -> None:
    queries = [f"q{number}" for number in range(200)]
    bad = {f"answer {query}" for number, query in enumerate(queries) if number < share * len(queries)}

    def plan(question: str, answer: str) -> list[bool] | Reply:
        return Reply("", failure="the server said 503", requests=6) if answer in bad else [True, False]

    chat = judges.faithful(plan)
    found = score_all("faithfulness", settings(chat, repeats=repeats), {query: f"answer {query}" for query in queries})
    failed = {query for query, one in found.items() if one.status == "failed"}
    assert {f"answer {query}" for query in failed} == bad
    assert all(found[query] == QueryScore(None, "failed", "the server said 503") for query in failed)
    spread = 0.0 if repeats > 1 else None
    assert all(found[query] == QueryScore(0.5, spread=spread) for query in set(queries) - failed)
    assert chat.spent.asked == len(bad) + 2 * repeats * (len(queries) - len(bad))
    assert chat.spent.failed == len(bad)


BAD_REPLIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no statement was found": lambda data: {"statements": []} if "answer" in data else None,
    "a blank statement": lambda data: {"statements": [" "]} if "answer" in data else None,
    "not JSON": lambda data: "yes" if "answer" in data else None,
    "a verdict of 7": lambda data: verdict_rows(data, [1, 7]),
    "a verdict below 0": lambda data: verdict_rows(data, [-1, 1]),
    "a verdict too few": lambda data: verdict_rows(data, [1]),
    "a verdict too many": lambda data: verdict_rows(data, [1, 1, 1]),
    "no verdicts": lambda data: verdict_rows(data, []),
}


def verdict_rows(data: dict[str, Any], values: list[int]) -> dict[str, Any] | None:
    if "statements" not in data:
        return None
    return {"statements": [{"statement": "s", "reason": "r", "verdict": value} for value in values]}


@pytest.mark.parametrize("case", BAD_REPLIES)
def test_what_is_no_judgement_is_a_failure(case: str) -> None:
    def answer(ask: Ask) -> str:
        data = judges.given(ask)
        bad = BAD_REPLIES[case](data)
        if bad is not None:
            return bad if isinstance(bad, str) else json.dumps(bad)
        good = verdict_rows(data, [1, 1]) if "statements" in data else {"statements": ["a", "b"]}
        return json.dumps(good)

    found = score("faithfulness", ScriptedChat(answer))
    assert found.value is None
    assert found.status == "failed"
    assert found.reason


def test_numbers_as_strings_are_numbers_and_scores_out_of_range_are_failures() -> None:
    assert score("rubric", by_form_of_rubric("0.5"), rubric="r") == QueryScore(0.5)
    for value in (1.5, -0.1, "high", None, math.nan, math.inf):
        found = score("rubric", by_form_of_rubric(value), rubric="r")
        assert (found.value, found.status) == (None, "failed")


def test_one_failed_repeat_fails_the_score() -> None:
    def answer(ask: Ask) -> str | Reply:
        if ask.repeat == 1:
            return Reply("", failure="hung up", requests=1)
        return json.dumps({"explanation": "e", "score": 1})

    chat = ScriptedChat(answer)
    assert score("rubric", chat, rubric="r", repeats=4) == QueryScore(None, "failed", "hung up")
    assert [ask.repeat for ask in chat.asks] == [0, 1]


def test_repeats_are_told_apart_and_averaged() -> None:
    chat = ScriptedChat(lambda ask: json.dumps({"explanation": "e", "score": [0.2, 0.6, 0.7][ask.repeat]}))
    found = score("rubric", chat, rubric="r", repeats=3)
    assert found == QueryScore(0.5, spread=round(math.sqrt((0.09 + 0.01 + 0.04) / 2), 6))


def test_a_chat_that_stopped_fails_the_rest_with_its_sentence() -> None:
    chat = by_form_of_rubric(1)
    chat.stopped = "the budget of $1 is spent; raise llm.max_usd"
    assert score("rubric", chat, rubric="r") == QueryScore(None, "failed", chat.stopped)


def test_what_a_chat_should_not_raise_is_a_failure_too() -> None:
    def broken(ask: Ask) -> str:
        raise RuntimeError("a bug\nof mine")

    assert score("rubric", ScriptedChat(broken), rubric="r") == QueryScore(
        None, "failed", "RuntimeError: a bug of mine"
    )


def test_judging_can_be_stopped() -> None:
    def interrupted(ask: Ask) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score("rubric", ScriptedChat(interrupted), rubric="r")


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("fault", ["503", "dropped connection", "truncated JSON", "JSON of the wrong shape", "refusal"])
def test_over_http_nothing_is_lost_invented_or_paid_for_twice(fault: str, share: float, tmp_path: Path) -> None:
    """Answer n has n + 1 statements, of which one is supported."""

    def right(body: llm_server.Body) -> llm_server.Served:
        data = judges.given_in(next(one["content"] for one in body["messages"] if one["role"] == "user"))
        if "statements" in data:
            return llm_server.says(judges.verdicts(data["statements"], lambda one: one.startswith("yes")))
        size = int(data["answer"].split()[-1])
        return llm_server.says(json.dumps({"statements": ["yes", *(f"no {number}" for number in range(size))]}))

    answers = {f"q{number}": f"answer {number}" for number in range(30)}
    expected = {f"q{number}": QueryScore(round(1 / (number + 1), 6)) for number in range(30)}
    faulty = llm_server.Faulty(right, fault, share, seed=1)
    with llm_server.Server(faulty) as server:
        role = Llm(model="m", base_url=server.url, retries=1)
        services = Services(roles={"judge": role}, folder=tmp_path, run="now")
        patient = RetryPolicy(scale=0.002, patience=5_000.0, hung=5_000.0, busy=5_000.0)
        chat = EndpointChat("judge", services, patient)
        first = score_all("faithfulness", settings(chat), answers)
        assert first.keys() == expected.keys()
        failed = {query for query, one in first.items() if one.status == "failed"}
        assert all(first[query].value is None and first[query].reason for query in failed)
        assert {query: first[query] for query in first.keys() - failed} == {
            query: expected[query] for query in expected.keys() - failed
        }
        assert chat.spent.failed == len(failed)
        assert faulty.injected > 0

        faulty.share, before = 0.0, server.requests
        assert score_all("faithfulness", settings(chat), answers) == expected
        assert len(failed) <= server.requests - before <= 2 * len(failed)
        assert score_all("faithfulness", settings(chat), answers) == expected
        assert server.requests - before <= 2 * len(failed)
        chat.close()
