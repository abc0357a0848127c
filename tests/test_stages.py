"""Choices of stages that load no model: documents to write about, contexts, samples, embedding in chunks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from staged import folder, random_corpus

from harness.data.datasets import Split
from harness.data.formats import write_run
from harness.hashing import by_hash
from harness.models.fakes import FakeBiEncoder
from harness.planning.contexts import sample_queries
from harness.stages.answer import AnswerSpec, choose_contexts
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.stages.shared.common import relevant_passages
from harness.stages.shared.wording import clean_query
from harness.stages.synthesize import SynthesizeSpec, assign_kinds, choose_documents
from harness.suite.training_data import Synthesize as SynthesizeRule
from harness.values.records import Document, Query, Reference

quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("mine", "sift", "index", "retrieve"):
        monkeypatch.setattr(f"harness.stages.{module}.bi_encoder", lambda spec, inputs: FakeBiEncoder())


# synthesize


def rule(**changes: Any) -> SynthesizeSpec:
    kept = {"round_trip", "test_documents", "leakage"}
    return SynthesizeSpec(model="m", **{**SynthesizeRule().model_dump(exclude=kept), **changes})


@quick
@given(
    size=st.integers(0, 30),
    per=st.integers(1, 5),
    kinds=st.sampled_from([("question",), ("question", "keyword"), ("claim", "question", "keyword")]),
)
def test_kinds_are_dealt_evenly(size: int, per: int, kinds: tuple[Any, ...]) -> None:
    corpus = [Document(f"d{number}", "", "text") for number in range(size)]
    jobs = assign_kinds(corpus, rule(queries_per_document=per, kinds=kinds))
    assert tuple(jobs) == kinds
    counts = Counter(document.doc_id for dealt in jobs.values() for document in dealt)
    assert counts == {document.doc_id: per for document in corpus}
    sizes = [len(dealt) for dealt in jobs.values()]
    assert max(sizes) - min(sizes) <= 1 + (per % len(kinds) == 0)
    for document in corpus:
        own = [sum(other is document for other in dealt) for dealt in jobs.values()]
        assert max(own) - min(own) <= 1


def test_a_sample_of_documents_goes_by_the_seed_and_keeps_their_order() -> None:
    corpus = list(random_corpus(30).values())
    first, again, other = (choose_documents(corpus, 8, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 8
    assert [corpus.index(document) for document in first] == sorted(corpus.index(document) for document in first)
    assert choose_documents(corpus, 30, 1) == choose_documents(corpus, None, 1) == corpus


@pytest.mark.parametrize(("written", "query"), [
    ("Question: What is lime?", "What is lime?"),
    (' "What is lime?" ', "What is lime?"),
    ("- keywords: lime kiln", "lime kiln"),
    ("**Search words: lime*", "lime"),
    ("Statement: Claim: lime burns", "lime burns"),
    ("questions about lime", "questions about lime"),
    ("what is a query: a question", "what is a query: a question"),
    ("", ""),
])  # fmt: skip
def test_labels_and_quotes_are_stripped(written: str, query: str) -> None:
    assert clean_query(written) == query


# answer


def context_spec(source: Any, context: int = 2) -> AnswerSpec:
    return AnswerSpec(generator={}, context=context, source=source)


def test_contexts_are_the_first_passages_of_the_run(tmp_path: Path) -> None:
    write_run(folder(tmp_path, "run") / RUN_FILE, {"q1": [("d3", 0.9), ("d1", 0.8), ("d2", 0.7)], "q9": [("d1", 1.0)]})
    queries = {"q1": "?", "q2": "?"}
    found = choose_contexts(context_spec("run"), queries, {"run": tmp_path / "run"})
    assert found == {"q1": ["d3", "d1"], "q2": []}
    assert choose_contexts(context_spec("none"), queries, {}) == {"q1": [], "q2": []}


def test_the_oracles_contexts_are_relevant_or_what_the_question_was_written_against(tmp_path: Path) -> None:
    common.write_judgements(folder(tmp_path, "qrels"), {"q1": {"d2": 1, "d9": 0, "d3": 2, "d1": 1}})
    references = {"q1": Reference("q1", ("yes",)), "q2": Reference("q2", (), False, ("d7",))}
    common.write_references(folder(tmp_path, "references"), references)
    inputs = {"qrels": tmp_path / "qrels", "references": tmp_path / "references"}
    found = choose_contexts(context_spec("relevant"), {"q1": "?", "q2": "?", "q3": "?"}, inputs)
    assert found == {"q1": ["d3", "d1"], "q2": ["d7"], "q3": []}


def test_relevant_passages_stand_most_relevant_first() -> None:
    assert relevant_passages("q", {"q": {"b": 1, "a": 1, "c": 3, "d": 0}}, {}) == ["c", "a", "b"]


# the sample of questions


def split(answerable: int, unanswerable: int, without: int = 2) -> Split:
    ids = [f"q{number}" for number in range(answerable + unanswerable + without)]
    asked = ids[: answerable + unanswerable]
    references = {key: Reference(key, ("yes",), number < answerable) for number, key in enumerate(asked)}
    return Split({key: Query(key, "text", key) for key in ids[::-1]}, {}, references)


@quick
@given(answerable=st.integers(0, 40), unanswerable=st.integers(0, 20), count=st.integers(1, 70))
def test_a_sample_has_the_unanswerable_in_their_share(answerable: int, unanswerable: int, count: int) -> None:
    part = split(answerable, unanswerable)
    found = sample_queries(part, count)
    total = answerable + unanswerable
    assert len(found) == len(set(found)) == min(count, total)
    assert set(found) <= set(part.references)
    assert found == [query_id for query_id in part.queries if query_id in found]
    declined = sum(not part.references[query_id].answerable for query_id in found)
    if total:
        assert abs(declined - min(count, total) * unanswerable / total) <= 0.5


@quick
@given(answerable=st.integers(0, 40), unanswerable=st.integers(0, 20), count=st.integers(1, 70))
def test_a_larger_sample_holds_the_smaller(answerable: int, unanswerable: int, count: int) -> None:
    part = split(answerable, unanswerable)
    assert set(sample_queries(part, count)) <= set(sample_queries(part, count + 5))


def test_all_are_asked_if_no_count_is_given() -> None:
    assert len(sample_queries(split(5, 2), None)) == 7


def test_the_order_by_hash_has_nothing_to_do_with_the_ids() -> None:
    ids = [f"q{number}" for number in range(20)]
    assert by_hash(ids) == by_hash(ids[::-1])
    assert sorted(by_hash(ids)) == sorted(ids)
    assert by_hash(ids) not in (ids, ids[::-1], sorted(ids))


# the fake, and what stages read and write


def test_the_fake_embeds_by_words() -> None:
    fake = FakeBiEncoder()
    one, same, near, far, none = fake.encode(["lime kiln", "Kiln, lime!", "lime putty", "ferry mail", ""])
    assert one == pytest.approx(same, abs=1e-6)
    assert float(one @ one) == pytest.approx(1)
    assert float(one @ near) > 0.3 > abs(float(one @ far))
    assert not none.any()


def test_embedding_in_chunks_keeps_the_order_of_the_texts() -> None:
    texts = [f"{'word ' * (number % 7)}{number}" for number in range(600)]
    seen: list[tuple[int, int]] = []
    fake = FakeBiEncoder()
    found = common.encode(fake, texts, "query", lambda done, total: seen.append((done, total)))
    assert found == pytest.approx(fake.encode(texts), abs=1e-6)
    assert seen == [(32, 600), (288, 600), (544, 600), (600, 600)]


def test_seeding_is_undone_afterwards() -> None:
    import random

    def dice() -> tuple[float, float]:
        return random.random(), float(np.random.rand())

    random.seed(1)
    np.random.seed(1)
    outside = [dice(), dice()]
    random.seed(1)
    np.random.seed(1)
    first = dice()
    with common.seeded(7):
        inside = dice()
    assert [first, dice()] == outside
    with common.seeded(7):
        assert dice() == inside
