"""A user's own queries as examples in the prompt: out of train alone, by kind, in process and at endpoints."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import pocket
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_chat import CORPUS, ENDPOINT, PROMPTS, Scripted, corpus, folder, scripted, silent

from harness.errors import ConfigError
from harness.llm import Ask, prompt_templates
from harness.models import generation
from harness.planning.plan import build_plan
from harness.stages import synthesize as stage
from harness.stages.shared import common
from harness.stages.shared.own_examples import EXAMPLES, Example, own_examples
from harness.stages.shared.prompts import EXAMPLE_PASSAGES, synthesis_head
from harness.stages.synthesize import SynthesizeSpec, synthesize
from harness.suite import training_data
from harness.suite.training_data import QUERY_KINDS, QueryKind
from harness.text import asks
from harness.values.records import Qrels

__all__ = ["scripted"]
TRAIN = {"t1": "How is lime burned?", "t2": "ferry mail ice", "t3": "When are roofs laid?", "t4": "Where is the lime?"}
QRELS: Qrels = {"t1": {"d4": 1, "d1": 2}, "t2": {"d2": 1}, "t3": {"d3": 0, "gone": 1}, "t4": {"d1": 1}}


@settings(max_examples=100)
@given(
    queries=st.dictionaries(st.text("abc1", min_size=1, max_size=3), st.sampled_from([*TRAIN.values(), " "])),
    data=st.data(),
)
def test_examples_are_judged_queries_of_their_kind_with_different_passages(
    queries: dict[str, str], data: st.DataObject
) -> None:
    graded = st.dictionaries(st.sampled_from([*CORPUS, "gone"]), st.integers(0, 2))
    qrels = {query_id: data.draw(graded) for query_id in queries}
    kinds: list[QueryKind] = ["question", "keyword"]
    examples = own_examples(kinds, queries, qrels, CORPUS)
    assert list(examples) == kinds
    for kind, shown in examples.items():
        assert len(shown) == len({example.passage for example in shown}) <= EXAMPLES
        assert all(asks(example.query) == (kind == "question") for example in shown)
        for passage, query in shown:
            relevant = [key for key, text in queries.items() if " ".join(text.split()) == query]
            assert any(CORPUS[doc].content == passage for key in relevant for doc in qrels[key] if doc in CORPUS)
    assert examples == own_examples(kinds, dict(reversed(queries.items())), qrels, CORPUS)


def test_the_most_relevant_passage_that_may_be_shown_is() -> None:
    (example,) = own_examples(["question"], {"t1": "How is\n lime burned?"}, QRELS, CORPUS)["question"]
    assert example == Example(CORPUS["d1"].content, "How is lime burned?")
    usable = {key: document for key, document in CORPUS.items() if key != "d1"}
    (example,) = own_examples(["question"], TRAIN, QRELS, usable)["question"]
    assert example == Example(CORPUS["d4"].content, "How is lime burned?")


# the stage


def inputs_of(root: Path, queries: dict[str, str]) -> dict[str, Path]:
    common.write_queries(folder(root, "queries"), queries)
    common.write_judgements(folder(root, "qrels"), QRELS)
    folder(root, "out")
    return {**corpus(root), "train_queries": root / "queries", "train_qrels": root / "qrels"}


def spec_of(endpoint: Any = None, **changes: Any) -> SynthesizeSpec:
    rule = training_data.Synthesize().model_dump(exclude={"round_trip", "test_documents", "leakage"})
    return SynthesizeSpec(model="m", endpoint=endpoint, **{**rule, "examples": "train", **changes})


class Written(NamedTuple):
    text: str = "a query"
    prompt_tokens: int = 1
    new_tokens: int = 1


@pytest.fixture
def heads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The beginnings of prompts that a model in process is given."""
    found: list[str] = []
    monkeypatch.setattr(stage, "load_generator", lambda folder, **options: (None, None))
    monkeypatch.setattr(stage, "model_folder", lambda *rest: None)
    monkeypatch.setattr(generation, "truncate", lambda tokenizer, texts, tokens: [text[:tokens] for text in texts])
    monkeypatch.setattr(generation, "PromptPrefix", lambda model, tokenizer, head: found.append(head))
    monkeypatch.setattr(generation, "write", lambda head, tails, *rest: [Written() for _ in tails])
    return found


def test_a_model_in_process_continues_the_users_own_queries(tmp_path: Path, heads: list[str]) -> None:
    usage = synthesize(spec_of(passage_tokens=30), inputs_of(tmp_path, TRAIN), tmp_path / "out", 0, silent)
    question, keyword = heads
    lime, ferry = (CORPUS[key].content[:30] for key in ("d1", "d2"))
    (shown,) = set_of(question)
    assert shown in {f"Passage: {lime}\nQuestion: {query}" for query in (TRAIN["t1"], TRAIN["t4"])}
    assert set_of(keyword) == {f"Passage: {ferry}\nSearch words: ferry mail ice"}
    assert not any(passage[:20] in head for passage in EXAMPLE_PASSAGES for head in heads)
    counts = {name: count for name, count in usage.notes.items() if "own examples" in name}
    assert counts == {"own examples of kind keyword": 1, "own examples of kind question": 1}


def set_of(head: str) -> set[str]:
    """The examples of a prompt's beginning."""
    return set(head.split("\n\n")[1:-1])


def test_a_kind_without_own_queries_has_the_built_in_examples(tmp_path: Path, heads: list[str]) -> None:
    synthesize(spec_of(), inputs_of(tmp_path, {"t1": TRAIN["t1"]}), tmp_path / "out", 0, silent)
    assert heads[1] == synthesis_head("keyword")
    assert heads[0] != synthesis_head("question")


def test_without_any_own_query_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no train query is a question or keyword about a passage that may be used"):
        synthesize(spec_of(), inputs_of(tmp_path, {"t3": TRAIN["t3"]}), tmp_path / "out", 0, silent)


def test_passages_of_scored_queries_are_not_shown(tmp_path: Path, heads: list[str]) -> None:
    inputs = inputs_of(tmp_path, TRAIN)
    common.write_judgements(folder(tmp_path, "excluded"), {"s1": {"d1": 1, "d2": 1}})
    synthesize(spec_of(), inputs | {"excluded": tmp_path / "excluded"}, tmp_path / "out", 0, silent)
    assert not any(CORPUS[key].content in head for key in ("d1", "d2") for head in heads)
    assert CORPUS["d4"].content in heads[0]


@pytest.mark.parametrize("examples", ["train", "built-in"])
def test_an_endpoint_is_told_the_users_own_queries_first(tmp_path: Path, scripted: Scripted, examples: str) -> None:
    chat = scripted(lambda ask: json.dumps({"queries": ["how is a kiln built"]}))
    spec = spec_of(ENDPOINT, examples=examples, kinds=("keyword",), queries_per_document=1)
    synthesize(spec, inputs_of(tmp_path, TRAIN), tmp_path / "out", 0, silent)
    asked: list[Ask] = chat.asks
    for ask, document in zip(asked, CORPUS.values(), strict=True):
        own = prompt_templates.fill(PROMPTS["keyword"], passage=document.content, count="1")
        (message,) = ask.messages
        assert message.content.endswith(own)
        told = message.content.removesuffix(own)
        example = f"<example>\n{CORPUS['d2'].content}\n\nQuery: ferry mail ice\n</example>"
        assert (example in told) == (examples == "train")
        assert bool(told) == (examples == "train")


# the plan


def test_only_train_reaches_the_examples_and_it_must_be_judged() -> None:
    change = {"data.synthesize": {"max_documents": 10, "examples": "train"}}
    dataset = pocket.dataset()
    found = build_plan(pocket.suite(change), dataset)
    (call,) = [planned.call for planned in found.calls.values() if planned.call.stage == "synthesize"]
    keys = found.artifacts.keys
    assert (call.inputs["train_queries"], call.inputs["train_qrels"]) == (keys["train.queries"], keys["train.qrels"])
    assert not {keys[f"{split}.{part}"] for split in ("dev", "test") for part in ("queries", "qrels")} & set(
        call.inputs.values()
    )
    plain = build_plan(pocket.suite({"data.synthesize": {"max_documents": 10}}), dataset)
    (other,) = [planned.call for planned in plain.calls.values() if planned.call.stage == "synthesize"]
    assert not {"train_queries", "train_qrels"} & other.inputs.keys()
    splits = {name: split for name, split in dataset.splits.items() if name != "train"}
    candidates = {"candidates": {"one": {"tune": ["retriever"]}}}
    with pytest.raises(ConfigError, match=r"data\.synthesize\.examples: train needs judged queries in split 'train'"):
        build_plan(pocket.suite({**change, **candidates}), dataclasses.replace(dataset, splits=splits))


def test_every_kind_can_have_examples() -> None:
    for kind in QUERY_KINDS:
        head = synthesis_head(kind, [("a passage", "a query")])
        assert head.count("Passage: a passage\n") == 1
        assert head.endswith(" a query\n\n")
