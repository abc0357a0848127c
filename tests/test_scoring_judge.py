"""The judge: many answers at a time, utility, calibration, settings and forms."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import judges
import pytest
from hypothesis import given as each
from hypothesis import strategies as st
from judged_cases import (
    IDENTITY,
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
from pydantic import BaseModel, ValidationError

from harness.errors import ConfigError
from harness.hashing import canonical_json
from harness.llm.protocol import Reply
from harness.llm.scripted import ScriptedChat
from harness.scoring import (
    AnswerSettings,
    JudgeSettings,
    QueryScore,
    ShownContext,
    asks_judge,
    measurement_settings,
    ragas_judge,
    score_answers,
)
from harness.suite.recipes import ABSTENTION
from harness.suite.spec import Utility
from harness.values.measures import KINDS, Measure, parse
from harness.values.records import Answer, Reference

# Many at a time


@pytest.mark.parametrize("at_once", [1, 7])
def test_answers_are_judged_together_and_no_more_than_allowed(at_once: int) -> None:
    chat = by_form_of_rubric(1)
    told: list[tuple[int, int]] = []
    of = settings(chat, rubric="r", at_once=at_once)
    answers = {f"q{number}": "x" for number in range(20)}
    score_all("rubric", of, answers, progress=lambda done, total: told.append((done, total)))
    assert chat.most_at_once == at_once
    assert told == [(done, 20) for done in range(1, 21)]


def test_several_measures_are_judged_together() -> None:
    chat = anything_goes()
    measures = [parse(name) for name in ("rubric", "faithfulness", "context_recall")]
    told: list[int] = []
    found = score_answers(
        {"q": Answer("q", "x", 1, 1)}, {"q": Reference("q", ("r",))}, measures, settings(chat, rubric="r"),
        {"q": ShownContext(QUESTION, PASSAGES)}, lambda done, total: told.append(total),
    )  # fmt: skip
    assert list(found) == measures
    assert chat.most_at_once == 3
    assert told == [3, 3, 3]


def test_judging_inside_a_running_event_loop() -> None:
    async def inside() -> QueryScore:
        return score("rubric", by_form_of_rubric(1), rubric="r")

    assert asyncio.run(inside()) == QueryScore(1.0)


def test_judging_adds_little_to_what_the_judge_takes() -> None:
    chat = anything_goes()
    score("faithfulness", chat)
    began = time.perf_counter()
    score_all("faithfulness", settings(chat), {f"q{number}": "x" for number in range(300)})
    assert time.perf_counter() - began < 300 * 0.02


# Utility


@pytest.mark.parametrize(
    ("answer", "reference", "value", "expected"),
    [
        ("x", "Ada.", 1.0, 1.0),
        ("x", "Ada.", 0.5, 1.0),
        ("x", "Ada.", 0.25, -0.25),
        (ABSTENTION, "Ada.", 1.0, 0.0),
        (ABSTENTION, None, 1.0, 1.0),
        ("x", None, 1.0, -0.25),
    ],
)
@pytest.mark.parametrize("right", ["rubric", "faithfulness"])
def test_a_judged_measure_decides_what_is_right(
    right: str, answer: str, reference: str | None, value: float, expected: float
) -> None:
    chat = (
        by_form_of_rubric(value)
        if right == "rubric"
        else judges.faithful(lambda question, answer: judges.share_of(value, 4))
    )
    of = settings(chat, right, rubric="r", calibrated=frozenset({right}))
    assert score_all("utility", of, {"q": answer}, {"q": reference}) == {"q": QueryScore(expected)}


def test_utility_fails_where_the_judgement_of_a_real_answer_failed() -> None:
    chat = ScriptedChat(lambda ask: Reply("", failure="refused"))
    of = settings(chat, "faithfulness", calibrated=frozenset({"faithfulness"}))
    answers = {"a": "x", "b": ABSTENTION, "c": "x", "d": ABSTENTION}
    assert score_all("utility", of, answers, {"a": "r", "b": "r", "c": None, "d": None}) == {
        "a": QueryScore(None, "failed", "refused"), "b": QueryScore(0.0), "c": QueryScore(-0.25), "d": QueryScore(1.0),
    }  # fmt: skip


def test_an_answer_without_passages_is_not_right_by_the_passages() -> None:
    of = settings(ScriptedChat(nothing), "faithfulness", calibrated=frozenset({"faithfulness"}))
    assert score_all("utility", of, {"q": "x"}, shown={"q": ShownContext(QUESTION)}) == {"q": QueryScore(-0.25)}


def test_what_decides_is_judged_once() -> None:
    chat = by_form_of_rubric(1)
    of = settings(chat, "rubric", rubric="r", calibrated=frozenset({"rubric"}))
    measures = [parse("utility"), parse("rubric")]
    found = score_answers(
        {"q": Answer("q", "x", 1, 1)}, {"q": Reference("q", ("r",))}, measures, of, {"q": ShownContext(QUESTION)}
    )
    assert list(found) == measures
    assert len(chat.asks) == 1


# Who may judge


@pytest.mark.parametrize("judge", [None, JudgeSettings(None, IDENTITY, rubric="r")])
def test_judged_measures_are_refused_without_a_judge(judge: JudgeSettings | None) -> None:
    bare = AnswerSettings(Utility(right="faithfulness"), None, Path("folder"), "", judge)
    with pytest.raises(ConfigError) as caught:
        score_answers({}, {}, [parse("utility")], bare)
    assert [problem.what for problem in caught.value.problems] == ["faithfulness: no judge configured"]
    with pytest.raises(ConfigError) as caught:
        score_answers({}, {}, [parse(name) for name in JUDGED], bare)
    assert [problem.what for problem in caught.value.problems] == [f"{name}: no judge configured" for name in JUDGED]
    assert score_answers({}, {}, [parse("token_f1")], bare) == {parse("token_f1"): {}}


def test_which_measures_ask_a_judge() -> None:
    of = settings(anything_goes())
    assert [name for name in KINDS if asks_judge(Measure(name), of)] == JUDGED
    by_judge = settings(anything_goes(), "rubric")
    assert [name for name in KINDS if asks_judge(Measure(name), by_judge)] == [*JUDGED, "utility"]


def test_a_rubric_needs_words_and_answer_relevancy_the_bi_encoder() -> None:
    of = settings(ScriptedChat(nothing), rubric=" ")
    with pytest.raises(ConfigError) as caught:
        score_answers({}, {}, [parse("rubric"), parse("answer_relevancy")], of)
    assert [problem.where for problem in caught.value.problems] == ["rubric", "pipeline.retriever.model"]


# Measurement settings


def test_settings_hold_what_can_change_a_judgement_and_nothing_else() -> None:
    base = settings(anything_goes(), rubric="r")
    assert base.judge is not None
    changes: dict[str, tuple[JudgeSettings, set[str]]] = {
        "model": (base.judge._replace(identity=IDENTITY | {"model": "other"}), set(JUDGED)),
        "repeats": (base.judge._replace(repeats=2), set(JUDGED)),
        "rubric": (base.judge._replace(rubric="other"), {"rubric"}),
        "calibrated": (base.judge._replace(calibrated=frozenset(JUDGED)), set()),
        "at_once": (base.judge._replace(at_once=1), set()),
        "chat": (base.judge._replace(chat=anything_goes()), set()),
    }
    names = [name for name, kind in KINDS.items() if kind.family == "answer"]
    for change, (judge, touched) in changes.items():
        changed = base._replace(judge=judge)
        differ = {
            n for n in names if measurement_settings(Measure(n), base) != measurement_settings(Measure(n), changed)
        }
        assert differ == touched, change


@pytest.mark.parametrize("name", JUDGED)
def test_settings_name_judge_library_and_prompts(name: str) -> None:
    found = measurement_settings(parse(name), settings(anything_goes(), rubric="r"))
    assert found["judge"] == IDENTITY
    assert ("ragas" in found) == (name != "rubric")
    assert canonical_json(found)
    others = [measurement_settings(parse(other), settings(anything_goes())) for other in JUDGED if other != name]
    assert found["prompts"] not in [other["prompts"] for other in others]


def test_utility_by_a_judged_measure_has_the_settings_of_the_judge() -> None:
    found = measurement_settings(parse("utility"), settings(anything_goes(), "faithfulness"))
    assert found["right"]["judge"] == IDENTITY


@pytest.mark.parametrize("changed", ["instruction", "examples"])
def test_another_wording_of_ragas_changes_the_settings(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ragas.metrics.collections.faithfulness.util import NLIStatementPrompt

    before = ragas_judge.prompts_digest.__wrapped__("faithfulness")
    assert before == ragas_judge.prompts_digest("faithfulness")
    monkeypatch.setattr(NLIStatementPrompt, changed, "Judge." if changed == "instruction" else [])
    assert ragas_judge.prompts_digest.__wrapped__("faithfulness") != before


# Forms


class Leaf(BaseModel):
    """A verdict."""

    verdict: int


class Tree(BaseModel):
    """Verdicts."""

    statements: list[Leaf]


def test_a_checked_form_has_the_schema_of_the_form() -> None:
    schema = ragas_judge.checked_form(Tree, 2)
    assert schema.model_json_schema() == Tree.model_json_schema()
    assert schema.__name__ == "Tree"
    assert issubclass(schema, Tree)
    assert ragas_judge.checked_form(Tree, 2) is schema


@each(st.lists(st.integers(-1, 2), max_size=4), st.none() | st.integers(0, 4))
def test_a_checked_form_takes_judgements_only(values: list[int], wanted: int | None) -> None:
    text = json.dumps({"statements": [{"verdict": value} for value in values]})
    schema = ragas_judge.checked_form(Tree, wanted)
    if values and set(values) <= {0, 1} and wanted in (None, len(values)):
        assert schema.model_validate_json(text).model_dump() == json.loads(text)
    else:
        with pytest.raises(ValidationError):
            schema.model_validate_json(text)
