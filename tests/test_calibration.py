"""A judge of known error gets the agreement that the error implies; files, samples and the printed report."""

from __future__ import annotations

import io
import itertools
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import judges
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rated_answers import row, slow_auroc, slow_cohen, slow_kappa
from rich.console import Console
from scipy.stats import spearmanr

from harness.errors import DataError
from harness.judge.calibration import Calibration, CalibrationTerms, calibrate, judge_rows
from harness.judge.labels import LabelledAnswer, read_labels, sample_rows, scale_of
from harness.llm.protocol import Reply
from harness.llm.scripted import ScriptedChat
from harness.report.render.calibration import render
from harness.scoring import AnswerSettings, JudgeSettings, measurement_settings
from harness.suite.spec import Utility
from harness.values.measures import parse

FAITHFULNESS = parse("faithfulness")


SCALE = (1.0, 4.0)


TERMS = CalibrationTerms(SCALE, cut=0.75, bar=0.75, resamples=400)


STATEMENTS = 18  # means of two or three whole ratings of 1 to 4 are whole shares of these


def written(folder: Path, *rows: Any) -> Path:
    path = folder / "labels.jsonl"
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in rows))
    return path


def test_labels_are_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        row(1),
        row(2, context="", history=["user: Is it so?", "agent: Yes."]),
        row(3, context=["One.", " ", "Two."], turn="given"),
        {"id": "bare-x", "question": "q", "answer": "a", "ratings": {"faithfulness": [1], "other": []}},
    )
    one, two, three, bare = read_labels(path, FAITHFULNESS)
    expected = ("Why?", "So.", ("It is so.",), (4.0, 3.0, 1.0), "some-model", "So it is.")
    assert one == LabelledAnswer("set-1-some-model", "set-1", *expected)
    assert two.question == "user: Is it so?\nagent: Yes.\nuser: Why?"
    assert two.passages == ()
    assert (three.turn, three.passages) == ("given", ("One.", "Two."))
    assert bare == LabelledAnswer("bare-x", "bare-x", "q", "a", (), (1.0,))
    assert scale_of([one, bare]) == (1.0, 4.0)


def test_every_wrong_line_is_reported_in_a_sentence(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "{",
        row(2, id=7),
        row(3, answer=" "),
        row(4, ratings={"other": [1]}),
        row(5, ratings={"faithfulness": [1, "4"]}),
        row(6, ratings={"faithfulness": [True]}),
        '{"id": "x-1", "question": "q", "answer": "a", "ratings": {"faithfulness": [NaN]}}',
        row(8, ratings={"faithfulness": []}),
        row(9, history="user: x"),
        row(10, context=3),
        row(11, model=4),
        row(12),
        row(12),
    )
    with pytest.raises(DataError) as caught:
        read_labels(path, FAITHFULNESS)
    wanted = 'write "ratings": {"faithfulness": [1, 2]}'
    assert [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems] == [
        "1: not JSON: Expecting property name enclosed in double quotes at column 2",
        '2: \'id\' must be a non-empty string; write "id": "..."',
        '3: \'answer\' must be a non-empty string; write "answer": "..."',
        f"4: no numeric ratings of 'faithfulness'; {wanted}; rated here: other",
        f"5: no numeric ratings of 'faithfulness'; {wanted}; rated here: faithfulness",
        f"6: no numeric ratings of 'faithfulness'; {wanted}; rated here: faithfulness",
        f"7: no numeric ratings of 'faithfulness'; {wanted}; rated here: faithfulness",
        f"8: no numeric ratings of 'faithfulness'; {wanted}; rated here: faithfulness",
        '9: \'history\' must be a list of strings; write "history": ["user: ...", "agent: ..."]',
        '10: \'context\' must be a string or a list of strings; write "context": "..."',
        "11: 'model', 'reference' and 'turn' must be strings; write them in quotes",
        "13: id 'set-12-some-model' is used twice; give each row its own",
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rated answers"),
        ([row(1, ratings={"faithfulness": [2, 2]}), row(2, ratings={"faithfulness": [2]})], "every rating is 2"),
    ],
)
def test_a_file_that_calibrates_nothing_is_refused(rows: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        scale_of(read_labels(written(tmp_path, *rows), FAITHFULNESS))
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(tmp_path / "none", FAITHFULNESS)


# A synthetic set with known error, through the whole of scoring


def rated(turns: int, seed: int = 0, models: Sequence[str] = ("one", "two", "three")) -> tuple[LabelledAnswer, ...]:
    """Answers of several models to each turn; raters agree up to one step, every ninth turn has no passages."""
    generator = np.random.default_rng(seed)
    rows = []
    for turn, model in itertools.product(range(turns), models):
        true = generator.choice([1, 2, 3, 4], p=[0.1, 0.15, 0.25, 0.5])
        ratings = np.clip(true + generator.choice([-1, 0, 1], p=[0.2, 0.6, 0.2], size=3), 1, 4)
        passages = () if turn % 9 == 8 else (f"Passage {turn}.",)
        answer = f"Answer of {model} to {turn}."
        rows.append(
            LabelledAnswer(
                f"{turn}-{model}", str(turn), f"Question {turn}?", answer, passages, tuple(map(float, ratings)), model
            )
        )
    return tuple(rows)


def planted(
    rows: Sequence[LabelledAnswer], scale: tuple[float, float], flips: float, seed: int = 0
) -> dict[str, float]:
    """The people's mean, turned round for a known share of the rows; the same for answers that are equal."""
    generator = np.random.default_rng(seed)
    means = {one.row_id: fmean(one.rescaled(scale)) for one in rows}
    turned = set(generator.choice(len(rows), size=round(flips * len(rows)), replace=False).tolist())
    values = {key: 1 - mean if number in turned else mean for number, (key, mean) in enumerate(means.items())}
    by_text = {(one.question, one.answer): values[one.row_id] for one in rows}
    return {one.row_id: by_text[one.question, one.answer] for one in rows}


def scripted(
    rows: Sequence[LabelledAnswer], values: dict[str, float], silent: frozenset[str] = frozenset()
) -> ScriptedChat:
    """A judge of faithfulness that arrives at these values, and says nothing on some rows."""
    by_text = {(one.question, one.answer): one.row_id for one in rows if one.passages}

    def plan(question: str, answer: str) -> list[bool] | Reply:
        row_id = by_text[question, answer]
        if row_id in silent:
            return Reply("", failure="the answer was empty", requests=2)
        return judges.share_of(values[row_id], STATEMENTS)

    return judges.faithful(plan)


def settings_of(chat: ScriptedChat, **judge: Any) -> AnswerSettings:
    identity = {"model": "scripted", "temperature": 0.0, "seed": 0, "max_tokens": 1024}
    return AnswerSettings(Utility(), None, None, "", JudgeSettings(chat, identity, **judge))


def calibrated(
    rows: Sequence[LabelledAnswer], chat: ScriptedChat, terms: CalibrationTerms = TERMS, **judge: Any
) -> Calibration:
    of = settings_of(chat, **judge)
    scores = judge_rows(rows, FAITHFULNESS, of)
    return calibrate(rows, scores, measurement_settings(FAITHFULNESS, of), terms, labels="digest")


def check(found: Calibration, rows: Sequence[LabelledAnswer], values: dict[str, float]) -> None:
    """What was computed equals the obvious computation on the planted scores of the rows that were judged."""
    told = [one for one in rows if one.row_id in values]
    judged = [round(values[one.row_id], 6) for one in told]
    people = [round(fmean(one.rescaled(found.scale)), 9) for one in told]
    yes, accepted = ([value >= found.cut - 1e-5 for value in side] for side in (judged, people))
    steps = [[float(np.floor(value * 3 + 0.5 + 1e-5)) for value in side] for side in (judged, people)]
    expected = {
        "spearman": float(spearmanr(judged, people).statistic),
        "auroc": slow_auroc(judged, accepted),
        "weighted_kappa": slow_kappa(*steps),
        "kappa": slow_cohen(yes, accepted),
    }
    for name, value in expected.items():
        estimate = getattr(found.agreement, name)
        assert estimate.value == pytest.approx(value, abs=1e-9), name
        assert estimate.low - 1e-9 <= value <= estimate.high + 1e-9
    assert (found.accepted, found.refused) == (sum(accepted), len(told) - sum(accepted))
    assert found.scored == len(told)
    assert found.rows == len(rows) == found.scored + found.failed + sum(found.not_applicable.values())


@pytest.mark.parametrize("flips", [0.0, 0.15, 0.5])
def test_a_judge_of_known_error_has_the_agreement_that_it_implies(flips: float) -> None:
    rows = rated(60)
    values = planted(rows, SCALE, flips)
    found = calibrated(rows, scripted(rows, values))
    check(found, rows, {one.row_id: values[one.row_id] for one in rows if one.passages})
    assert found.not_applicable == {"no passages were shown": 18}
    assert (found.turns, found.raters, found.failed, found.labels) == (54, 3, 0, "digest")
    assert found.passed == (flips < 0.2)
    if flips == 0:
        assert found.agreement.spearman.value == pytest.approx(1)
        assert found.agreement.auroc.value == 1
    assert Calibration.model_validate_json(found.model_dump_json()) == found


def test_abstentions_are_not_judged_and_are_counted() -> None:
    rows = [*rated(30), LabelledAnswer("x-one", "x", "q", "I do not know.", ("p",), (4.0, 4.0), "one")]
    found = calibrated(rows, scripted(rows, planted(rows, SCALE, 0)))
    assert found.not_applicable == {"no passages were shown": 9, "abstained": 1}
    assert found.rows == 91


def test_failures_are_counted_and_held_against_the_judge() -> None:
    rows = rated(60)
    values = planted(rows, SCALE, 0)
    judgeable = [one.row_id for one in rows if one.passages]
    silent = frozenset(judgeable[::3])
    found = calibrated(rows, scripted(rows, values, silent))
    check(found, rows, {key: values[key] for key in judgeable if key not in silent})
    assert found.failed == len(silent)
    assert found.reasons == {"the answer was empty": len(silent)}
    assert found.agreement.auroc.value == 1
    people = {one.row_id: fmean(one.rescaled(SCALE)) for one in rows}
    accepted = [people[key] >= 0.75 for key in judgeable]
    worst = [(-9.0 if people[key] >= 0.75 else 9.0) if key in silent else values[key] for key in judgeable]
    assert found.failures_against.value == pytest.approx(slow_auroc(worst, accepted))
    assert not found.passed
    assert "the AUROC may be as low as 0." in found.reason


def test_a_judge_that_always_fails_has_no_agreement_and_does_not_pass() -> None:
    rows = rated(30)
    found = calibrated(rows, ScriptedChat(lambda ask: Reply("", failure="no such model")))
    assert (found.scored, found.failed, found.turns) == (0, 81, 0)
    assert found.agreement.auroc.value is None
    assert not found.passed
    assert "NaN" not in found.model_dump_json()
    assert "0 judged" in printed(found)


def test_a_judge_that_says_the_same_of_everything_does_not_pass() -> None:
    rows = rated(30)
    found = calibrated(rows, scripted(rows, dict.fromkeys((one.row_id for one in rows), 1.0)))
    assert found.agreement.spearman.value is None
    assert found.agreement.auroc.value == 0.5
    assert not found.passed


@pytest.mark.parametrize(
    ("turns", "models", "reason"),
    [
        (18, ("one", "two", "three"), "16 turns are too few to tell; rate answers to 20 or more"),
        (24, ("one",), "answers on one side of the cut are too few to tell"),
    ],
)
def test_a_perfect_judge_of_few_rows_does_not_pass(turns: int, models: tuple[str, ...], reason: str) -> None:
    rows = rated(turns, models=models)
    found = calibrated(rows, scripted(rows, planted(rows, SCALE, 0)))
    assert found.agreement.auroc.value == 1
    assert not found.passed
    assert reason in found.reason


def test_the_bar_is_reached_by_the_lower_end_of_the_interval() -> None:
    rows = rated(60)
    chat = scripted(rows, planted(rows, SCALE, 0.15))
    auroc = calibrated(rows, chat).agreement.auroc
    assert auroc.low is not None
    assert auroc.value is not None
    assert calibrated(rows, chat, TERMS._replace(bar=auroc.low - 1e-6)).passed
    assert not calibrated(rows, chat, TERMS._replace(bar=(auroc.low + auroc.value) / 2)).passed


def test_the_spread_of_repeats_is_kept() -> None:
    rows = rated(24)

    def plan(ask: Any) -> str:
        asked = judges.given(ask)
        if "statements" in asked:
            return judges.verdicts(asked["statements"], lambda one: one == "a" or ask.repeat == 1)
        return json.dumps({"statements": ["a", "b"]})

    found = calibrated(rows, ScriptedChat(plan), repeats=2)
    assert found.spread == pytest.approx(0.353553)
    assert found.settings["repeats"] == 2
    assert calibrated(rows, scripted(rows, planted(rows, SCALE, 0))).spread is None


# Whether it holds


def test_a_calibration_holds_for_the_judge_that_was_calibrated() -> None:
    rows = rated(60)
    chat = scripted(rows, planted(rows, SCALE, 0.1))
    found = Calibration.model_validate_json(calibrated(rows, chat).model_dump_json())
    assert found.passed
    assert found.settings == measurement_settings(FAITHFULNESS, settings_of(chat, at_once=3))
    assert found.settings != measurement_settings(FAITHFULNESS, settings_of(chat, repeats=2))
    assert found.judge["model"] == "scripted"


def test_a_calibration_is_read_at_another_bar_and_cut() -> None:
    rows = rated(60)
    found = calibrated(rows, scripted(rows, planted(rows, SCALE, 0.1)))
    assert found.reaches(0.75)
    assert found.reaches(0.5, cut=0.75)
    assert not found.reaches(0.99)
    assert "under the bar of 0.99" in found.short_of(0.99)
    assert found.short_of(0.75, cut=0.5) == "it was calibrated at a cut of 0.75, not 0.5"


# Samples


def test_a_sample_is_like_the_whole() -> None:
    rows = rated(159)
    sample = sample_rows(rows, 60, seed=0)
    assert len(sample) == len(set(sample)) == 60
    assert list(sample) == [one for one in rows if one in set(sample)]
    for kind in (
        lambda one: bool(one.passages),
        lambda one: (bool(one.passages), round(fmean(one.ratings))),
        lambda one: (bool(one.passages), round(fmean(one.ratings)), one.model),
    ):
        whole, drawn = Counter(map(kind, rows)), Counter(map(kind, sample))
        assert all(abs(drawn[key] - count * 60 / len(rows)) < 2 for key, count in whole.items())
    assert sample == sample_rows(rows, 60, seed=0)
    assert sample != sample_rows(rows, 60, seed=1)
    assert sample_rows(rows, 1000, seed=0) == rows


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(0, 2**31))
def test_a_sample_has_its_size(size: int, seed: int) -> None:
    rows = rated(20)
    sample = sample_rows(rows, size, seed)
    assert len(sample) == len(set(sample)) == min(size, len(rows))


# Shown


def printed(found: Calibration, width: int = 110) -> str:
    console = Console(file=io.StringIO(), record=True, width=width, force_terminal=False, color_system=None)
    render(found, console)
    return console.export_text()


def test_a_calibration_is_shown_in_sentences() -> None:
    rows = rated(60)
    values = planted(rows, SCALE, 0.1)
    good = printed(calibrated(rows, scripted(rows, values)))
    assert "faithfulness: scripted against people" in good
    assert "180 rated answers: 162 judged, to 54 turns; 0 failed; 18 not applicable to this measure" in good
    assert "People accept an answer from 3.25 on their scale of 1 to 4" in good
    assert "Calibrated: the interval of the AUROC lies at or above 0.75" in good
    assert "counted against" not in good
    bad = printed(calibrated(rows, scripted(rows, values, frozenset(one.row_id for one in rows[:60]))))
    assert "54 failed (the answer was empty: 54)" in bad
    assert "With every failure counted against the judge" in bad
    assert "Not calibrated: the AUROC may be as low as" in bad
    assert "stays advisory" in bad


# The shared file


@pytest.mark.shared
@pytest.mark.skipif("HARNESS_DATA" not in os.environ, reason="HARNESS_DATA is not set")
@pytest.mark.parametrize("flips", [0.0, 0.1, 0.3])
def test_all_rows_of_the_shared_file(flips: float) -> None:
    path = Path(os.environ["HARNESS_DATA"]) / "judge" / "mtrag_faithfulness.jsonl"
    rows = read_labels(path, FAITHFULNESS)
    scale = scale_of(rows)
    assert (len(rows), len({one.turn for one in rows}), scale) == (477, 159, SCALE)
    values = planted(rows, scale, flips)
    chat = scripted(rows, values)
    of = settings_of(chat)
    scores = judge_rows(rows, FAITHFULNESS, of)
    found = calibrate(rows, scores, measurement_settings(FAITHFULNESS, of), TERMS._replace(resamples=2000))
    check(found, rows, {key: values[key] for key, one in scores.items() if one.status == "ok"})
    assert found.not_applicable == {"no passages were shown": 16, "abstained": 29}
    assert found.failed == 0
    assert len(chat.asks) == 2 * found.scored
    assert found.passed == (flips < 0.2)
    assert found.ceiling.auroc.value is not None
    assert 0.7 < found.ceiling.auroc.value < 0.85
