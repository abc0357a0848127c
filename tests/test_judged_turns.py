"""LLM judges read the turns before a query; where no query has any, nothing changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pocket
import pytest
from judged_cases import PASSAGES, QUESTION, anything_goes, score_all, settings

from harness.data.datasets import Dataset
from harness.execution.measurements import JUDGED_TURNS, Measurements
from harness.execution.score_cache import ScoreCache
from harness.llm.prompt_templates import rough_tokens
from harness.planning.plan import build_plan
from harness.scoring import ShownContext
from harness.scoring.judged import JudgedCase
from harness.store import FolderStore
from harness.values.measures import parse
from harness.values.records import Answer, Turn

TURNS = "User: Which book is long?\nAssistant: The second."
JUDGED = ("faithfulness", "context_recall", "context_precision", "noise_sensitivity", "rubric")
SERVED = {"model": "m", "base_url": "http://localhost:1/v1"}


def prompts(name: str, conversation: str) -> list[str]:
    chat = anything_goes()
    shown = ShownContext(QUESTION, PASSAGES, conversation)
    score_all(name, settings(chat, rubric="Right."), {"q": "Ada did."}, shown={"q": shown})
    return [ask.messages[-1].content for ask in chat.asks]


@pytest.mark.parametrize("name", JUDGED)
def test_a_judge_that_reads_the_question_reads_the_turns_before_it(name: str) -> None:
    alone, within = prompts(name, ""), prompts(name, TURNS)
    assert not any("conversation" in text for text in alone)
    marked = [text for text in within if "Which book is long?" in text]
    assert marked
    for text in marked:
        assert text.index("Which book is long?") < text.rindex(QUESTION)
    # A prompt without the question stays as it was.
    assert {text for text in within if text not in marked} <= set(alone)


def test_relevancy_compares_the_answer_with_the_question_alone() -> None:
    asked = JudgedCase(QUESTION, "a", conversation=TURNS)
    assert asked.asked(parse("answer_relevancy")) == QUESTION
    assert asked.asked(parse("rubric")).endswith(f"The question:\n{QUESTION}")
    assert TURNS in asked.asked(parse("rubric"))


def in_conversations(dataset: Dataset, histories: Mapping[str, tuple[Turn, ...]]) -> Dataset:
    part = dataset.splits["test"]
    queries = {key: query._replace(history=histories.get(key, ())) for key, query in part.queries.items()}
    return replace(dataset, splits={**dataset.splits, "test": replace(part, queries=queries)})


def measured(dataset: Dataset, store: Path, measures: list[str]) -> dict[str, Any]:
    changes = {"llm": {"judge": SERVED}, "measures": measures, "rubric": "Right."}
    plan = build_plan(pocket.suite(changes), dataset)
    found = Measurements(plan, dataset, FolderStore(store), store)
    return {str(measure): found.measured(measure).settings for measure in found.measures}


def test_only_judgements_of_conversations_have_another_key(tmp_path: Path) -> None:
    dataset = pocket.dataset()
    measures = ["ndcg@10", "token_f1", "rubric", "factual_correctness", "answer_relevancy"]
    before = measured(dataset, tmp_path, measures)
    assert not any("judged_turns" in found for found in before.values())
    turns = (Turn("user", "Which pump?"), Turn("assistant", "The second."))
    asked = dict.fromkeys(dataset.splits["test"].queries, turns)
    after = measured(in_conversations(dataset, asked), tmp_path, measures)
    assert after == {**before, "rubric": {**before["rubric"], "judged_turns": JUDGED_TURNS}}


def test_a_judge_sees_the_newest_turns_whatever_the_generator_saw() -> None:
    dataset = pocket.dataset()
    asked, other = list(dataset.splits["test"].queries)[:2]
    turns = [Turn("user" if number % 2 else "assistant", f"turn {number} " + "word " * 90) for number in range(12)]
    dataset = in_conversations(dataset, {asked: tuple(turns)})
    cache = SimpleNamespace(dataset=dataset, split="test")
    answers = {key: Answer(key, "a", 1, 1) for key in (asked, other)}
    shown = ScoreCache._shown(cast(ScoreCache, cache), answers)
    assert shown[other].conversation == ""
    lines = shown[asked].conversation.split("\n")
    assert lines[-1].startswith("User: turn 11")
    assert 1 < len(lines) < len(turns)
    assert rough_tokens(shown[asked].conversation) <= JUDGED_TURNS + 4 * len(lines)
