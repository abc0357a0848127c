"""The stage `mine`: which negatives are drawn, and which never are; a fake embeds by words."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from staged import CORPUS, documents, folder, indexes, pair, random_corpus, silent

from harness.data.formats import load_jsonl
from harness.models.fakes import FakeBiEncoder
from harness.stages import mine as mining
from harness.stages.mine import MineSpec, mine
from harness.stages.shared import common
from harness.stages.shared.relevance_models import RelevanceLabel, RelevanceLabels
from harness.suite.pipeline import Retriever
from harness.values.records import Pair, Usage

quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("mine", "sift", "index", "retrieve"):
        monkeypatch.setattr(f"harness.stages.{module}.bi_encoder", lambda spec, inputs: FakeBiEncoder())


# mine


def mined(root: Path, seed: int = 0, pairs: list[Pair] | None = None, **changes: Any) -> tuple[list[dict], Usage]:
    corpus = random_corpus(30)
    inputs = indexes(root, corpus)
    # Each query is the text of its document with a word less; some have two right documents.
    written = pairs or [pair(" ".join(one.text.split()[:3]), doc_id) for doc_id, one in list(corpus.items())[:12]]
    common.write_pairs(folder(root, "pairs"), written)
    rule = {"hard": 2, "random": 1, "relative_margin": 0.05, "depth": 10, "pairs": "synthetic", **changes}
    spec = MineSpec(retriever=Retriever(), **rule)
    usage = mine(spec, {**inputs, "pairs": root / "pairs"}, folder(root, "out"), seed, silent)
    return load_jsonl(root / "out" / "triplets.jsonl"), usage


def score(query: str, doc_id: str) -> float:
    vectors = FakeBiEncoder().encode([query, random_corpus(30)[doc_id].text])
    return float(vectors[0] @ vectors[1])


@pytest.mark.parametrize("changes", [
    {}, {"hard": 0, "random": 3}, {"hard": 5, "depth": 3}, {"relative_margin": 1.0}, {"relative_margin": 0.0},
])  # fmt: skip
def test_every_pair_gets_as_many_negatives_and_none_of_them_is_right(changes: dict[str, Any], tmp_path: Path) -> None:
    rows, usage = mined(tmp_path, **changes)
    wanted = changes.get("hard", 2) + changes.get("random", 1)
    right: dict[str, set[str]] = {}
    for row in rows:
        right.setdefault(row["query"], set()).add(row["doc_id"])
    assert len(rows) == usage.units == 12
    for row in rows:
        assert len(row["negatives"]) == len(set(row["negatives"])) == wanted
        assert not right[row["query"]] & set(row["negatives"])


def test_all_documents_of_a_query_are_kept_from_its_negatives(tmp_path: Path) -> None:
    query = "lime kiln ferry"
    near = sorted(random_corpus(30), key=lambda doc_id: -score(query, doc_id))
    pairs = [pair(query, near[3]), pair(query, near[4])]
    rows, _ = mined(tmp_path, pairs=pairs, hard=8, depth=30, relative_margin=0.0)
    assert all(not {near[3], near[4]} & set(row["negatives"]) for row in rows)


def test_hard_negatives_are_the_nearest_ones_below_the_margin(tmp_path: Path) -> None:
    rows, usage = mined(tmp_path, hard=2, random=0, depth=30, relative_margin=0.2)
    corpus, passed = random_corpus(30), 0
    for row in rows:
        bar = 0.8 * score(row["query"], row["doc_id"])
        own = {other["doc_id"] for other in rows if other["query"] == row["query"]}
        others = {doc_id: score(row["query"], doc_id) for doc_id in corpus if doc_id not in own}
        below = sorted((value for value in others.values() if value <= bar), reverse=True)[:2]
        assert [others[doc_id] for doc_id in row["negatives"]] == pytest.approx(below, abs=1e-6)
        passed += sum(value > bar for value in others.values())
    assert usage.notes["passed over, too near the positive"] == passed > 0
    assert usage.notes["hard negatives replaced by random ones"] == 0


def test_what_cannot_be_mined_is_filled_at_random_and_counted(tmp_path: Path) -> None:
    rows, usage = mined(tmp_path, hard=3, random=0, relative_margin=1.0)
    assert usage.notes["hard negatives replaced by random ones"] > 0
    assert all(len(row["negatives"]) == 3 for row in rows)


def test_a_pair_with_too_few_hard_negatives_may_be_dropped_and_is_counted(tmp_path: Path) -> None:
    filled, _ = mined(tmp_path / "fill", hard=3, random=0, relative_margin=0.3)
    rows, usage = mined(tmp_path / "drop", hard=3, random=0, relative_margin=0.3, short="drop")
    dropped = usage.notes["pairs dropped for want of hard negatives"]
    assert 0 < dropped == len(filled) - len(rows) < len(filled)
    assert usage.notes["hard negatives replaced by random ones"] == 0
    with pytest.raises(ValueError, match="all 12 pairs were dropped"):
        mined(tmp_path / "none", hard=3, relative_margin=1.0, short="drop")


def test_what_a_model_finds_relevant_is_no_negative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, _ = mined(tmp_path / "plain")
    worst = plain[0]["negatives"][0]

    def judge(labeler: Any, items: Any, *rest: Any) -> RelevanceLabels:
        scores = [None if query == plain[1]["query"] else float(doc_id == worst) for query, doc_id in items]
        return RelevanceLabels(
            [RelevanceLabel(one, "", "", "" if one is not None else "odd") for one in scores], 7, 3, len(items)
        )

    monkeypatch.setattr(mining, "label_pairs", judge)
    rows, usage = mined(tmp_path / "asked", relabel={"by": "llm", "threshold": 0.5}, llm_model="some")
    assert any(worst in row["negatives"][:2] for row in plain)
    assert all(worst not in row["negatives"][:2] for row in rows)
    assert usage.notes["found relevant after all"] > 0
    assert usage.notes["judgements that failed"] > 0
    assert (usage.llm_calls, usage.prompt_tokens, usage.new_tokens) == (usage.notes["negatives asked about"], 7, 3)


def known_in(root: Path) -> dict[str, list[str]]:
    return {row["query"]: row["doc_ids"] for row in load_jsonl(root / "out" / "known.jsonl")}


def test_what_equals_a_positive_or_the_query_in_its_text_is_no_negative(tmp_path: Path) -> None:
    texts = {
        "d1": "lime kiln at night",
        "d2": "Lime  kiln at NIGHT",
        "d3": "lime kiln roof",
        "d4": "ferry mail",
        "d5": "ice",
    }
    inputs = indexes(tmp_path, documents(texts))
    # The query stands in the corpus itself, as in ArguAna and Quora.
    common.write_pairs(folder(tmp_path, "pairs"), [pair("Lime kiln roof", "d1"), pair("lime kiln roof", "d4")])
    for number, rule in enumerate(({"hard": 3, "random": 0}, {"hard": 0, "random": 3}, {"hard": 1, "random": 2})):
        spec = MineSpec(**rule, relative_margin=0.0, depth=5, pairs="synthetic", retriever=Retriever())
        root = tmp_path / str(number)
        usage = mine(spec, {**inputs, "pairs": tmp_path / "pairs"}, folder(root, "out"), 0, silent)
        rows = load_jsonl(root / "out" / "triplets.jsonl")
        assert [row["negatives"] for row in rows] == [["d5"], ["d5"]]
        assert known_in(root) == {"lime kiln roof": ["d1", "d4"]}
        assert usage.notes["pairs with fewer negatives, the corpus has no more"] == 2


def test_dropped_pairs_and_what_a_model_found_relevant_stay_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(labeler: Any, items: Any, *rest: Any) -> RelevanceLabels:
        return RelevanceLabels(
            [RelevanceLabel(float(doc_id == items[0][1]), "", "", "") for _, doc_id in items], 1, 1, len(items)
        )

    monkeypatch.setattr(mining, "label_pairs", judge)
    query, other = "lime kiln ferry", "mail slate roof"
    near = sorted(random_corpus(30), key=lambda doc_id: -score(query, doc_id))
    pairs = [pair(query, near[0]), pair(query, near[-1]), pair(other, near[2])]
    rule = {"hard": 3, "random": 0, "depth": 20, "relabel": {"by": "llm"}, "llm_model": "some", "short": "drop"}
    rows, usage = mined(tmp_path, pairs=pairs, **rule)
    assert usage.notes["pairs dropped for want of hard negatives"] > 0
    assert near[-1] not in {row["doc_id"] for row in rows if row["query"] == query}
    known = known_in(tmp_path)
    assert {near[0], near[-1]} < set(known[query])
    assert (
        len([doc_id for doc_ids in known.values() for doc_id in doc_ids]) == 3 + usage.notes["found relevant after all"]
    )
    for row in rows:
        assert not set(known[row["query"]]) & set(row["negatives"])


def test_pairs_about_documents_that_the_corpus_lacks_are_left_out_and_counted(tmp_path: Path) -> None:
    rows, usage = mined(tmp_path / "some", pairs=[pair("lime kiln", "d1"), pair("lime kiln", "gone")])
    assert [row["doc_id"] for row in rows] == ["d1"]
    assert usage.notes["pairs left out, their document is not in the corpus"] == 1
    assert usage.units == 1
    with pytest.raises(ValueError, match="none of the documents of all 1 pairs is in the corpus"):
        mined(tmp_path / "none", pairs=[pair("lime kiln", "gone")])


def test_many_pairs_of_one_query_are_mined_in_a_time_that_grows_with_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is relevant for a query is gathered once, not for every pair: 3,000 queries of two, all relabelled."""
    monkeypatch.setattr(
        mining, "label_pairs",
        lambda labeler, items, *rest: RelevanceLabels([RelevanceLabel(1.0, "", "", "") for _ in items], 0, 0, 0),
    )  # fmt: skip
    corpus = list(random_corpus(30))
    pairs = [pair(f"lime {number}", corpus[number % 30]) for number in range(3000)]
    started = time.perf_counter()
    mined(tmp_path, pairs=pairs, relabel={"by": "llm"}, llm_model="some", relative_margin=0.0)
    assert time.perf_counter() - started < 10


def test_random_negatives_go_by_the_seed_and_hard_ones_do_not(tmp_path: Path) -> None:
    first, again, other = (mined(tmp_path / str(n), seed)[0] for n, seed in enumerate((5, 5, 6)))
    assert first == again != other
    assert [row["negatives"][0] for row in first] == [row["negatives"][0] for row in other]


def test_a_small_corpus_gives_what_it_has(tmp_path: Path) -> None:
    inputs = indexes(tmp_path, CORPUS)
    common.write_pairs(folder(tmp_path, "pairs"), [pair("how is lime burned")])
    spec = MineSpec(hard=5, random=5, relative_margin=0.0, depth=3, pairs="synthetic", retriever=Retriever())
    mine(spec, {**inputs, "pairs": tmp_path / "pairs"}, folder(tmp_path, "out"), 0, silent)
    (row,) = load_jsonl(tmp_path / "out" / "triplets.jsonl")
    assert sorted(row["negatives"]) == ["d2", "d3"]


def test_judged_pairs_are_the_relevant_ones_of_the_train_split(tmp_path: Path) -> None:
    common.write_queries(folder(tmp_path, "queries"), {"q1": "lime burning", "q2": "mail", "q3": "unjudged"})
    common.write_judgements(folder(tmp_path, "qrels"), {"q1": {"d1": 2, "d3": 0}, "q2": {"d2": 1}})
    common.write_pairs(folder(tmp_path, "pairs"), [pair("written", "d3")])
    given = {"train_queries": tmp_path / "queries", "train_qrels": tmp_path / "qrels", "pairs": tmp_path / "pairs"}
    judged = [Pair("lime burning", "d1", "judged", "judged", "q1"), Pair("mail", "d2", "judged", "judged", "q2")]
    assert mining.gather("judged", given) == judged
    assert mining.gather("both", given) == [pair("written", "d3"), *judged]
    assert mining.gather("synthetic", given) == [pair("written", "d3")]


def test_no_pairs_are_refused_with_advice(tmp_path: Path) -> None:
    common.write_pairs(folder(tmp_path, "pairs"), [])
    with pytest.raises(ValueError, match="no pairs to train on"):
        mining.gather("synthetic", {"pairs": tmp_path / "pairs"})
