"""Questions that generators are asked, and the passages that a suite may fix for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pocket
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.datasets import Dataset, Split
from harness.errors import ConfigError
from harness.planning.contexts import choose
from harness.values.records import Document, Query, Reference


def made(questions: int, unanswerable: int = 0, passages: int = 3) -> Dataset:
    """Articles of some passages each; a question is answered by one passage, and its answer stands in that one only."""
    documents = {
        f"a{number}-{place}": Document(f"a{number}-{place}", "", f"fact {number} {place} is told here")
        for number in range(questions)
        for place in range(passages)
    }
    queries, qrels, references = {}, {}, {}
    for number in range(questions + unanswerable):
        key, home = f"q{number}", f"a{number % questions}"
        queries[key] = Query(key, f"what is {number}?", home)
        if number < questions:
            qrels[key] = {f"{home}-0": 1}
            references[key] = Reference(key, (f"fact {number} 0",), True, (f"{home}-0",))
        else:
            references[key] = Reference(key, (), False, (f"{home}-1",))
    split = Split(queries, qrels, references)
    return Dataset("made", documents, {"test": split}, {})


def chosen(dataset: Dataset, count: int | None = None, **rule: Any) -> Any:
    changes: dict[str, Any] = {"measures": ["ndcg@10", "abstention"], "evaluate": {"contexts": rule}}
    if count is not None:
        changes["evaluate"]["generation_queries"] = count
    return choose(pocket.suite(changes), dataset)


@settings(max_examples=40)
@given(questions=st.integers(1, 25), unanswerable=st.integers(0, 9), lacking=st.floats(0, 1), own=st.booleans())
def test_the_share_asked_for_lacks_its_answer_and_everybody_sees_one_passage(
    questions: int, unanswerable: int, lacking: float, own: bool
) -> None:
    dataset = made(questions, unanswerable)
    found = chosen(dataset, lacking=lacking, own_unanswerable=own)
    split = dataset.splits["test"]
    assert len(found.query_ids) == questions + own * unanswerable
    assert set(found.contexts) == set(found.references) == set(found.query_ids)
    turned = [
        key for key in found.query_ids if split.references[key].answerable and not found.references[key].answerable
    ]
    assert len(turned) == round(lacking * questions)
    for key in found.query_ids:
        (doc_id,) = found.contexts[key]
        reference = split.references[key]
        holds = any(answer in dataset.documents[doc_id].text for answer in reference.answers)
        assert holds == found.references[key].answerable
        # It is always a passage of the same article: the hard kind.
        assert doc_id.split("-")[0] == split.queries[key].group


def test_a_larger_sample_holds_the_smaller() -> None:
    dataset = made(20, 10)
    small = chosen(dataset, 9, lacking=0, own_unanswerable=True)
    large = chosen(dataset, 18, lacking=0, own_unanswerable=True)
    assert len(small.query_ids) == 9
    assert set(small.query_ids) <= set(large.query_ids)
    assert sum(not small.references[key].answerable for key in small.query_ids) == 3


def test_an_article_of_one_passage_cannot_lack_its_answer() -> None:
    found = chosen(made(6, passages=1), lacking=1.0)
    assert all(reference.answerable for reference in found.references.values())


def test_lacking_needs_groups_and_says_so() -> None:
    changes = {"measures": ["abstention"], "gates": [], "evaluate": {"contexts": {"lacking": 0.5}}}
    suite = pocket.suite({**changes, "dataset": {"path": "fixture:pocket"}})
    with pytest.raises(
        ConfigError, match=r"documents have no group; give dataset\.group\.doc_id_prefix, or lacking: 0"
    ):
        choose(suite, made(3))


def test_without_measures_of_answers_nothing_is_asked() -> None:
    assert choose(pocket.suite({"measures": ["ndcg@10"]}), made(3)).query_ids == []


def test_fixed_contexts_are_what_every_system_answers_from() -> None:
    from harness.planning.plan import build_plan

    changes = {"measures": ["ndcg@10", "abstention"], "evaluate": {"contexts": {"lacking": 0.5}}}
    plan = build_plan(pocket.suite(changes), pocket.dataset())
    answers = {one.name: plan.calls[one.answers].call for one in plan.systems if one.answers}
    assert answers["untuned"].inputs["contexts"] == plan.artifacts.keys["contexts"]
    assert answers["untuned"].spec["source"] == "given"
    assert answers["closed-book"].spec["source"] == "none"
    assert "oracle-context" not in answers
    assert answers["judged"] == answers["untuned"]


def test_the_probe_asks_what_has_passages_where_they_are_fixed(tmp_path: Path) -> None:
    import tiny
    from test_benchmark import Here

    from harness.experiments import benchmark

    words = sorted({word for one in pocket.dataset().documents.values() for word in one.content.lower().split()})
    models = {name: str(getattr(tiny, name)(tmp_path / name, words)) for name in ("bi_encoder", "generator")}
    suite = tmp_path / "suite.yaml"
    text = pocket.suite_text({
        "pipeline": {
            "retriever": {"model": models["bi_encoder"], "max_length": 48},
            "generator": {
                "model": models["generator"], "max_new_tokens": 3, "passage_tokens": 20, "instruction": "Answer.",
            },
            "depth": 10, "context": 1,
        },
        "evaluate": {"generation_queries": 4, "probe_queries": 9, "probe_generations": 9, "contexts": {"lacking": 0.5}},
        "candidates": {}, "baseline_rows": ["untuned"], "gates": [], "measures": ["abstention"],
    })  # fmt: skip
    suite.write_text(text, encoding="utf-8")
    outcome = benchmark.run(suite, tmp_path / "store", executor=Here()).outcome
    assert [timing.n for timing in outcome.timings if timing.part == "generator"] == [9]
    assert not [name for name in outcome.not_run if name.startswith("probe")]
    assert "the same for every system" in outcome.settings["passages shown to the generator"]
