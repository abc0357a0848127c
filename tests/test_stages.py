"""The stages' own decisions: fusing, sifting, mining, choosing. No model is loaded; a fake embeds by words."""

from __future__ import annotations

import string
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from harness.data.datasets import Split
from harness.data.formats import load_jsonl, read_run, write_run
from harness.hashing import by_hash
from harness.models.fakes import FakeBiEncoder
from harness.planning.contexts import sample_queries
from harness.stages import mine as mining
from harness.stages.answer import AnswerSpec, choose_contexts
from harness.stages.fuse import FuseSpec, fuse, reciprocal_rank_fusion
from harness.stages.index import IndexSpec, index
from harness.stages.mine import MineSpec, mine
from harness.stages.retrieve import RUN_FILE, RetrieveSpec, retrieve
from harness.stages.shared import common
from harness.stages.shared.common import relevant_passages
from harness.stages.shared.relevance_models import RelevanceLabel, RelevanceLabels
from harness.stages.shared.wording import clean_query
from harness.stages.sift import ENGLISH_TEXTS, LeakageAudit, SiftSpec, sift
from harness.stages.synthesize import SynthesizeSpec, assign_kinds, choose_documents
from harness.suite.recipes import RoundTrip
from harness.suite.recipes import Synthesize as SynthesizeRule
from harness.suite.spec import Retriever
from harness.values.records import Document, Pair, Query, Reference, Usage

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("mine", "sift", "index", "retrieve"):
        monkeypatch.setattr(f"harness.stages.{module}.bi_encoder", lambda spec, inputs: FakeBiEncoder())


def documents(texts: Mapping[str, str]) -> dict[str, Document]:
    return {doc_id: Document(doc_id, "", text) for doc_id, text in texts.items()}


def folder(root: Path, name: str) -> Path:
    (root / name).mkdir(parents=True, exist_ok=True)
    return root / name


def indexes(root: Path, corpus: Mapping[str, Document]) -> dict[str, Path]:
    """A corpus with both indexes of it, as artifacts."""
    common.write_corpus(folder(root, "corpus"), corpus)
    inputs = {"corpus": root / "corpus"}
    index(IndexSpec(kind="dense", retriever=Retriever()), inputs, folder(root, "dense"), 0, silent)
    index(IndexSpec(kind="bm25"), inputs, folder(root, "bm25"), 0, silent)
    return {"corpus": root / "corpus", "dense": root / "dense", "bm25": root / "bm25"}


# fuse


def test_fusion_sums_reciprocal_ranks() -> None:
    first = {"q": [("a", 9.0), ("b", 8.0), ("c", 7.0)]}
    second = {"q": [("c", 0.3), ("a", 0.2), ("d", 0.1)]}
    (found,) = reciprocal_rank_fusion([first, second], k=60, depth=10).values()
    right = [("a", 1 / 61 + 1 / 62), ("c", 1 / 63 + 1 / 61), ("b", 1 / 62), ("d", 1 / 63)]
    assert [doc_id for doc_id, _ in found] == [doc_id for doc_id, _ in right]
    assert [score for _, score in found] == pytest.approx([score for _, score in right])


def test_fusion_breaks_ties_by_id_descending_and_cuts_afterwards() -> None:
    runs = [{"q": [("a", 1.0), ("c", 0.5)]}, {"q": [("b", 1.0), ("d", 0.5)]}]
    assert [doc_id for doc_id, _ in reciprocal_rank_fusion(runs, 60, 10)["q"]] == ["b", "a", "d", "c"]
    assert [doc_id for doc_id, _ in reciprocal_rank_fusion(runs, 60, 1)["q"]] == ["b"]


def test_a_small_k_lets_the_first_rank_win() -> None:
    runs = [{"q": [("top", 1.0), ("mid", 0.9)]}, {"q": [("x", 1.0), ("mid", 0.9)]}]
    assert reciprocal_rank_fusion(runs, 60, 1)["q"][0][0] == "mid"
    assert reciprocal_rank_fusion(runs, 1, 1)["q"][0][0] == "mid"
    deeper = [{"q": [*run["q"][:1], ("y", 0.95), ("z", 0.92), *run["q"][1:]]} for run in runs[:1]] + runs[1:]
    assert reciprocal_rank_fusion(deeper, 60, 3)["q"][0][0] == "mid"
    assert reciprocal_rank_fusion([deeper[0], deeper[0]], 1, 1)["q"][0][0] == "top"


def test_the_stage_fuses_queries_that_only_one_run_has(tmp_path: Path) -> None:
    write_run(folder(tmp_path, "a") / RUN_FILE, {"q1": [("d1", 1.0)]})
    write_run(folder(tmp_path, "b") / RUN_FILE, {"q2": [("d 2", 1.0)]})
    usage = fuse(FuseSpec(depth=5, k=60), {"run0": tmp_path / "a", "run1": tmp_path / "b"}, tmp_path, 0, silent)
    assert read_run(tmp_path / RUN_FILE, escaped=True) == {"q1": [("d1", 1 / 61)], "q2": [("d 2", 1 / 61)]}
    assert usage.units == 2


# index and retrieve


@pytest.mark.parametrize("kind", ["dense", "bm25"])
def test_a_document_is_found_by_its_own_words(kind: str, tmp_path: Path) -> None:
    corpus = documents({"d1": "lime kiln at night", "d2": "ferry mail on ice", "d3": "slate roof"})
    inputs = indexes(tmp_path, corpus)
    common.write_queries(folder(tmp_path, "queries"), {"q1": "mail by ferry", "q2": "roof slate", "q3": "zzyzx"})
    given = {"index": inputs[kind], "queries": tmp_path / "queries"}
    usage = retrieve(RetrieveSpec(kind=kind, depth=2, retriever=Retriever()), given, folder(tmp_path, "out"), 0, silent)
    found = read_run(tmp_path / "out" / RUN_FILE, escaped=True)
    assert [found[query_id][0][0] for query_id in ("q1", "q2")] == ["d2", "d3"]
    assert usage.notes == {"queries": 3, "empty lists": int(kind == "bm25")}
    assert all(len(hits) <= 2 for hits in found.values())


# the leakage audit

word = st.text(string.ascii_lowercase, min_size=1, max_size=4)
sentence = st.lists(word, min_size=1, max_size=9).map(" ".join)


@quick
@given(heldout=st.lists(sentence, min_size=1, max_size=30), threshold=st.floats(0, 1), data=st.data())
def test_an_exact_copy_is_always_caught(heldout: list[str], threshold: float, data: st.DataObject) -> None:
    copy = data.draw(st.sampled_from(heldout))
    audit = LeakageAudit(heldout, threshold)
    assert audit.nearest(copy) is not None
    assert audit.nearest(f"  {copy.upper()}?!") is not None


@quick
@given(heldout=st.lists(sentence, max_size=30), query=sentence, threshold=st.floats(0, 1))
def test_what_shares_no_trigram_and_not_all_words_is_never_caught(
    heldout: list[str], query: str, threshold: float
) -> None:
    mine = ENGLISH_TEXTS.words(query)
    grams = set(zip(mine, mine[1:], mine[2:], strict=False))
    for text in heldout:
        other = ENGLISH_TEXTS.words(text)
        assume(set(mine) != set(other) and not grams & set(zip(other, other[1:], other[2:], strict=False)))
    assert LeakageAudit(heldout, threshold).nearest(query) is None


@quick
@given(heldout=st.lists(sentence, max_size=30), query=sentence, low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_lower_threshold_catches_no_less(heldout: list[str], query: str, low: float, high: float) -> None:
    low, high = sorted((low, high))
    if LeakageAudit(heldout, high).nearest(query) is not None:
        assert LeakageAudit(heldout, low).nearest(query) is not None


def test_the_share_is_of_the_shorter_texts_trigrams() -> None:
    audit = LeakageAudit(["how do you burn lime in a kiln at night"], 0.6)
    assert audit.nearest("how do you burn lime in a kiln") is not None
    assert audit.nearest("tell me how do you burn lime in a kiln at night or by day if it rains") is not None
    # Three of six trigrams.
    assert audit.nearest("how do you burn lime with wet wood") is None
    assert LeakageAudit(audit.heldout, 0.5).nearest("how do you burn lime with wet wood") == audit.heldout[0]


NOUNS = [f"noun{number} verb{number} thing{number}" for number in range(40)]


def test_common_trigrams_of_a_template_do_not_count() -> None:
    heldout = [f"Which function of the library {noun}?" for noun in NOUNS]
    audit = LeakageAudit(heldout, 0.4)
    assert audit.nearest("Which function of the library melts cold butter slowly?") is None
    assert audit.nearest(f"Which function of the library {NOUNS[7]} slowly?") == heldout[7]


def test_with_few_held_out_queries_no_trigram_is_common() -> None:
    audit = LeakageAudit([f"Which function of the library {noun}?" for noun in NOUNS[:19]], 0.4)
    assert audit.nearest("Which function of the library melts butter?") is not None


# sift


def sifted(
    root: Path, pairs: list[Pair], corpus: Mapping[str, Document], heldout: Mapping[str, str], rule: RoundTrip | None
) -> tuple[list[Pair], dict[str, str], Usage]:
    """What is kept, the reason of each query that is not, and what was counted."""
    inputs = indexes(root, corpus)
    common.write_pairs(folder(root, "pairs"), pairs)
    common.write_queries(folder(root, "heldout"), heldout)
    given = {**inputs, "pairs": root / "pairs", "heldout_test": root / "heldout"}
    spec = SiftSpec(leakage=0.6, round_trip=rule, retriever=Retriever())
    usage = sift(spec, given, folder(root, "out"), 0, silent)
    dropped = {row["query"]: row["reason"] for row in load_jsonl(root / "out" / "dropped.jsonl")}
    return common.read_pairs(root / "out"), dropped, usage


CORPUS = documents({
    "d1": "lime is burned in a kiln at night",
    "d2": "the ferry carries mail over the ice",
    "d3": "slate roofs are laid from the eaves",
})  # fmt: skip


def pair(query: str, doc_id: str = "d1") -> Pair:
    return Pair(query, doc_id, "question", "synthetic")


def test_sifting_says_of_every_query_why_it_was_dropped(tmp_path: Path) -> None:
    pairs = [
        pair("how is lime burned"),
        pair("How is LIME burned?"),
        pair("lime"),
        pair(""),
        pair("when does the ferry carry mail in winter", "d2"),
        pair("slate roofs and eaves", "d1"),
        pair("slate roofs of the eaves", "d3"),
    ]
    heldout = {"t1": "When does the ferry carry mail in winter?"}
    kept, dropped, usage = sifted(tmp_path, pairs, CORPUS, heldout, RoundTrip(k=1))
    assert [(one.query, one.doc_id) for one in kept] == [
        ("how is lime burned", "d1"),
        ("slate roofs of the eaves", "d3"),
    ]
    assert dropped == {
        "How is LIME burned?": "written twice",
        "lime": "too short",
        "": "too short",
        "when does the ferry carry mail in winter": (
            "too near a dev or test query: when does the ferry carry mail in winter"
        ),
        "slate roofs and eaves": "not found again",
    }
    counts = {key: value for key, value in usage.notes.items() if value}
    assert counts == {
        "written": 7, "too short": 2, "written twice": 1, "too near a dev or test query": 1, "not found again": 1,
        "kept": 2,
    }  # fmt: skip
    assert usage.units == 7


def test_without_the_round_trip_nothing_need_be_found(tmp_path: Path) -> None:
    kept, dropped, _ = sifted(tmp_path, [pair("slate roofs and eaves", "d1")], CORPUS, {}, None)
    assert len(kept) == 1
    assert dropped == {}


def test_a_query_written_about_two_passages_goes_wherever_it_stands(tmp_path: Path) -> None:
    pairs = [pair("how is it burned", "d1"), pair("How is it burned?", "d2"), pair("lime in a kiln", "d1")]
    kept, dropped, usage = sifted(tmp_path, pairs, CORPUS, {}, None)
    assert [one.query for one in kept] == ["lime in a kiln"]
    assert (len(dropped), usage.notes["written twice"]) == (2, 2)


def test_what_is_kept_is_also_there_as_queries_with_judgements(tmp_path: Path) -> None:
    kept, *_ = sifted(tmp_path, [pair("lime"), pair("lime in a kiln", "d1"), pair("mail ice", "d2")], CORPUS, {}, None)
    queries, qrels = common.read_queries(tmp_path / "out"), common.read_judgements(tmp_path / "out")
    assert queries == {one.query_id: one.query for one in kept}
    assert qrels == {one.query_id: {one.doc_id: 1} for one in kept}
    assert len(queries) == 2


@pytest.mark.parametrize(("by", "found"), [("bm25", True), ("untuned", False), ("either", True)])
def test_the_round_trip_asks_the_retrievers_that_the_rule_names(by: Any, found: bool, tmp_path: Path) -> None:
    """Stemming makes bm25 find what the fake, which knows whole words only, does not."""
    kept, *_ = sifted(tmp_path, [pair("burning kilns the mail", "d1")], CORPUS, {}, RoundTrip(k=1, by=by))
    assert bool(kept) == found


def test_sifting_nothing_leaves_nothing(tmp_path: Path) -> None:
    kept, dropped, usage = sifted(tmp_path, [], CORPUS, {"t": "a b c"}, RoundTrip())
    assert (kept, dropped, usage.notes["kept"]) == ([], {}, 0)


# mine

VOCABULARY = ["lime", "kiln", "ferry", "mail", "slate", "roof", "night", "ice"]


def random_corpus(size: int, seed: int = 0) -> dict[str, Document]:
    rng = np.random.default_rng(seed)
    return documents({f"d{number}": " ".join(rng.choice(VOCABULARY, 4)) for number in range(size)})


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
    first, again, other = (choose_documents(corpus, rule(max_documents=8), seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 8
    assert [corpus.index(document) for document in first] == sorted(corpus.index(document) for document in first)
    assert choose_documents(corpus, rule(max_documents=30), 1) == choose_documents(corpus, rule(), 1) == corpus


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
    assert np.array_equal(found, fake.encode(texts))
    assert seen == [(256, 600), (512, 600), (600, 600)]


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
