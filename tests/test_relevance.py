"""Judging relevance: what an LLM writes is read or refused with a reason; a cross-encoder's logits become shares."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.models import generation
from harness.models.generation import GeneratedText
from harness.models.language_models import load_generator
from harness.models.loaders import convert_gguf, load_cross_encoder, locate
from harness.models.token_batches import BUDGET_VARIABLE
from harness.stages.shared import relevance_models as relevance
from harness.stages.shared.relevance_models import (
    RelevanceLabel,
    by_cross_encoder,
    by_llm,
    count_cut,
    parse_judgement,
    score_pairs,
)

WORDS = ["lime", "kiln", "ferry", "mail", "slate", "roof", "night", "ice", "burn", "lay"]

GOOD = {
    '{"relevance_score": 0.7, "explanation": "e", "suggested_query": "q"}': RelevanceLabel(0.7, "e", "q", ""),
    '{"relevance_score": 1}': RelevanceLabel(1.0, "", "", ""),
    '{"relevance_score": "0.25"}': RelevanceLabel(0.25, "", "", ""),
    '{"relevance_score": 0, "explanation": null}': RelevanceLabel(0.0, "", "", ""),
    '```json\n{\n "relevance_score": 0.5\n}\n```': RelevanceLabel(0.5, "", "", ""),
    'Here {it} is: {"relevance_score": 0.5} and {"relevance_score": 0.9}': RelevanceLabel(0.5, "", "", ""),
    '{"relevance_score": 0.5, "confidence": {"of": 3}, "suggested_query": " two\\n words "}': RelevanceLabel(
        0.5, "", "two words", ""
    ),
}
BAD = {
    "": "no JSON object",
    "0.8": "no JSON object",
    "{relevance_score: 0.8}": "no JSON object",
    "[0.8]": "no JSON object",
    '{"relevance_score": 0.8, "explanation": "it is': "no JSON: Unterminated string",
    '{"relevance_score": 0.8': "no JSON: ",
    '{"note": {"relevance_score": 0.8}, "more': "no JSON: ",
    '{"a": ' + "[" * 100_000: "no JSON: ",
    "{}": "relevance_score: Field required",
    '{"explanation": "good"}': "relevance_score: Field required",
    '{"relevance_score": null}': "relevance_score: Input should be a valid number",
    '{"relevance_score": true}': "relevance_score: Value error, a truth value is no score",
    '{"relevance_score": NaN}': "relevance_score: Input should be",
    '{"relevance_score": "nan"}': "relevance_score: Input should be",
    '{"relevance_score": Infinity}': "relevance_score: Input should be",
    '{"relevance_score": 1.01}': "relevance_score: Input should be less than or equal to 1",
    '{"relevance_score": -0.1}': "relevance_score: Input should be greater than or equal to 0",
    '{"relevance_score": 8}': "relevance_score: Input should be less than or equal to 1",
    '{"relevance_score": "80%"}': "relevance_score: Input should be a valid number",
    '{"relevance_score": [0.8]}': "relevance_score: Input should be a valid number",
    '{"relevance_score": 0.8, "explanation": 3}': "explanation: Input should be a valid string",
    '{"relevance_score": 0.8, "suggested_query": "\\ud800"}': "suggested_query: Value error, 'utf-8' codec",
}


@pytest.mark.parametrize(("text", "judged"), GOOD.items())
def test_a_judgement_is_read(text: str, judged: RelevanceLabel) -> None:
    assert parse_judgement(text) == judged


@pytest.mark.parametrize(("text", "reason"), BAD.items())
def test_what_is_no_judgement_is_a_failure_with_its_reason(text: str, reason: str) -> None:
    found = parse_judgement(text)
    assert (found.score, found.explanation, found.suggested_query) == (None, "", "")
    assert found.failure.startswith(reason)


@given(score=st.floats(0, 1), explanation=st.text(), around=st.text(st.characters(exclude_characters="{")))
def test_a_written_judgement_is_read_back_whatever_stands_around_it(
    score: float, explanation: str, around: str
) -> None:
    text = json.dumps({"relevance_score": score, "explanation": explanation})
    found = parse_judgement(around + text + around)
    assert (found.score, found.explanation) == (score, " ".join(explanation.split()))


@given(text=st.text() | st.text(alphabet='{}[]":, relevance_score0.5ntf'))
def test_every_text_is_either_a_score_or_a_failure(text: str) -> None:
    found = parse_judgement(text)
    assert (found.score is None) == bool(found.failure)
    assert found.score is None or 0 <= found.score <= 1


def test_the_examples_of_the_prompt_are_judgements_of_one_line() -> None:
    lines = [line.removeprefix("Judgement: ") for line in relevance.head().splitlines() if "Judgement:" in line]
    read = [parse_judgement(line) for line in lines]
    assert [one.score for one in read] == [one.score for one in relevance.EXAMPLES]
    assert all(one.explanation and one.suggested_query for one in read)


def test_an_llm_is_asked_about_every_pair_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = load_generator(tiny.generator(tmp_path, WORDS))
    asked: list[Any] = []

    def write(head: Any, tails: Any, sampling: Any, progress: Any) -> list[GeneratedText]:
        asked.extend([tails, sampling])
        return [GeneratedText('{"relevance_score": 0.5}', 7, 2), GeneratedText("well", 8, 1)]

    monkeypatch.setattr(generation, "write", write)
    items = [("burn\nlime", "lime kiln at night"), ("mail", "ferry")]
    found = by_llm(model, tokenizer, items, 2, generation.Sampling(9, 4, one_line=True))
    assert found.judged == [RelevanceLabel(0.5, "", "", ""), RelevanceLabel(None, "", "", "no JSON object")]
    assert (found.prompt_tokens, found.new_tokens) == (15, 3)
    assert asked[0] == [relevance.tail("burn lime", "lime kiln"), relevance.tail("mail", "ferry")]
    assert asked[1] == generation.Sampling(9, 4, 0.0, one_line=True)


def test_a_model_that_babbles_gives_failures_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relevance, "EXAMPLES", relevance.EXAMPLES[:0])
    model, tokenizer = load_generator(tiny.generator(tmp_path, WORDS))
    seen: list[tuple[int, int]] = []
    found = by_llm(
        model, tokenizer, [("burn", "lime"), ("mail", "ferry")], 8, generation.Sampling(6, 2, one_line=True),
        lambda *at: seen.append(at),
    )  # fmt: skip
    assert [one.score for one in found.judged] == [None, None]
    assert all(one.failure for one in found.judged)
    assert found.prompt_tokens > 0
    assert seen[-1] == (2, 2)


PAIRS = [("lime kiln", "burn lime at night"), ("ferry", "mail"), ("roof", "lay slate on a roof by night and on ice")]


def test_a_cross_encoder_gives_shares_that_do_not_depend_on_the_order(tmp_path: Path) -> None:
    folder = tiny.cross_encoder(tmp_path, WORDS)
    found = by_cross_encoder(folder, PAIRS, 64)
    assert all(0 < score < 1 for score in found)
    assert len(set(found)) == len(PAIRS)
    assert by_cross_encoder(folder, PAIRS[::-1], 64) == pytest.approx(found[::-1], abs=1e-6)
    model = load_cross_encoder(folder, 64)
    logits = torch.tensor([float(model.predict([pair])[0]) for pair in PAIRS])
    assert found == pytest.approx(torch.sigmoid(logits).tolist(), abs=1e-6)
    assert score_pairs(model, PAIRS) == pytest.approx(logits.tolist(), abs=1e-6)


def test_a_cross_encoder_without_a_head_judges_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no trained head"):
        by_cross_encoder(tiny.bi_encoder(tmp_path, WORDS), PAIRS, 64)


def test_nothing_asked_is_nothing_judged(tmp_path: Path) -> None:
    assert by_cross_encoder(tiny.cross_encoder(tmp_path, WORDS), [], 64) == []


def test_progress_is_told_in_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUDGET_VARIABLE, "1")
    seen: list[tuple[int, int]] = []
    score_pairs(load_cross_encoder(tiny.cross_encoder(tmp_path, WORDS), 64), PAIRS, lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_scores_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    model = load_cross_encoder(tiny.cross_encoder(tmp_path, WORDS), 64)
    with torch.no_grad():
        next(iter(model.parameters())).fill_(math.nan)
    with pytest.raises(ValueError, match="no numbers"):
        score_pairs(model, PAIRS)


def test_pairs_longer_than_the_model_reads_are_counted(tmp_path: Path) -> None:
    folder = tiny.cross_encoder(tmp_path, WORDS)
    # Two words and one, with three marks around them.
    pairs = [("lime kiln", "ferry"), ("lime", "ferry"), ("lime kiln", "ferry")]
    assert count_cut(load_cross_encoder(folder, 6), pairs) == 0
    assert count_cut(load_cross_encoder(folder, 5), pairs) == 2
    assert count_cut(load_cross_encoder(folder, 4), pairs) == 3
    assert count_cut(load_cross_encoder(folder, 4), []) == 0


@pytest.mark.slow
def test_the_embedded_llm_keeps_to_the_form(tmp_path: Path) -> None:
    """To the form only: a model of this size knows nothing of relevance."""
    convert_gguf(locate("embedded:smollm2-135m-instruct"), tmp_path)
    items = [
        (one.query.replace("How", "Why"), other.passage)
        for one in relevance.EXAMPLES[:3]
        for other in relevance.EXAMPLES[:3]
    ]
    found = by_llm(*load_generator(tmp_path), items, 160, generation.Sampling(80, 9, one_line=True))
    assert sum(one.score is not None for one in found.judged) >= 5
