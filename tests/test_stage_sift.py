"""The stage `sift`: the leakage audit, the filters, and what each drops; a fake embeds by words."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from staged import CORPUS, folder, indexes, pair, silent

from harness.data.formats import load_jsonl
from harness.models.fakes import FakeBiEncoder
from harness.stages.index import IndexSpec, index
from harness.stages.shared import common
from harness.stages.sift import ENGLISH_TEXTS, LeakageAudit, SiftSpec, sift, wanted_of
from harness.suite.pipeline import Encoder, Retriever
from harness.suite.training_data import RoundTrip
from harness.values.records import Document, Pair, Usage

quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("mine", "sift", "index", "retrieve"):
        monkeypatch.setattr(f"harness.stages.{module}.bi_encoder", lambda spec, inputs: FakeBiEncoder())


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


def test_sifting_says_of_every_query_why_it_was_dropped(tmp_path: Path) -> None:
    pairs = [
        pair("how is lime burned"),
        pair("How is LIME burned?"),
        pair("lime"),
        pair(""),
        pair("when does the ferry carry mail in winter", "d2"),
        pair("slate roofs and eaves", "d1"),
        pair("slate roofs of houses", "d3"),
    ]
    heldout = {"t1": "When does the ferry carry mail in winter?"}
    kept, dropped, usage = sifted(tmp_path, pairs, CORPUS, heldout, RoundTrip(k=1))
    assert [(one.query, one.doc_id) for one in kept] == [
        ("how is lime burned", "d1"),
        ("slate roofs of houses", "d3"),
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
    assert set(dropped.values()) == {"asked about several passages"}
    assert (len(dropped), usage.notes["asked about several passages"]) == (2, 2)


@pytest.mark.parametrize(("one", "other", "equal"), [
    ("What is the advantage of adenovirus?", "What are the advantages of the adenovirus ?", True),
    ("What's the dose of vitamin C?", "What is the dose of the vitamin C", True),
    ("What is the dose of vitamin C?", "What is the dose of vitamin D?", False),
    ("What is type 1 diabetes?", "What is type 2 diabetes?", False),
    ("How is wavelength converted to frequency?", "How is frequency converted to wavelength?", False),
    ("Where was it burned?", "When was it burned?", False),
    ("the", "a", False),
])  # fmt: skip
def test_queries_are_equal_if_they_ask_for_the_same(one: str, other: str, equal: bool) -> None:
    wanted = wanted_of([(one, "question"), (other, "question")], ENGLISH_TEXTS)
    assert (wanted[0] == wanted[1]) == equal


def test_order_counts_in_sentences_only() -> None:
    queries = ["kiln lime night", "night kilns, lime"]
    for kind, equal in (("keyword", True), ("question", False)):
        wanted = wanted_of([(query, kind) for query in queries], ENGLISH_TEXTS)
        assert (wanted[0] == wanted[1]) == equal


@pytest.mark.parametrize("text", [CORPUS["d1"].text.upper(), "lime is quenched in a pit"])
def test_passages_of_equal_text_are_one(text: str, tmp_path: Path) -> None:
    corpus = {**CORPUS, "d4": Document("d4", "", text)}
    pairs = [pair("how is the lime burned", "d1"), pair("how is lime burned", "d4")]
    kept, dropped, _ = sifted(tmp_path, pairs, corpus, {}, None)
    assert (len(kept), len(dropped)) == ((2, 0) if text.isupper() else (0, 2))


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


def test_the_round_trip_by_late_interaction_asks_for_the_nearest_tokens(tmp_path: Path) -> None:
    words = sorted({word for document in CORPUS.values() for word in document.text.split()})
    model = tiny.bi_encoder(tmp_path / "model", words)
    encoder = Encoder(model=str(model))
    inputs = indexes(tmp_path, CORPUS)
    index(
        IndexSpec(kind="tokens", retriever=Retriever(model=str(model))), inputs, folder(tmp_path, "tokens"), 0, silent
    )
    # A copy of a passage has its own tokens in it, each with a cosine of 1.
    pairs = [pair(CORPUS["d1"].text, "d1"), pair(CORPUS["d3"].text, "d2")]
    common.write_pairs(folder(tmp_path, "pairs"), pairs)
    spec = SiftSpec(leakage=0.6, round_trip=RoundTrip(k=1, by="late-interaction"), retriever=encoder)
    inputs |= {"pairs": tmp_path / "pairs", "tokens": tmp_path / "tokens"}
    sift(spec, inputs, folder(tmp_path, "out"), 0, silent)
    assert [one.doc_id for one in common.read_pairs(tmp_path / "out")] == ["d1"]
    (dropped,) = load_jsonl(tmp_path / "out" / "dropped.jsonl")
    assert (dropped["doc_id"], dropped["reason"]) == ("d2", "not found again")


def test_sifting_nothing_leaves_nothing(tmp_path: Path) -> None:
    kept, dropped, usage = sifted(tmp_path, [], CORPUS, {"t": "a b c"}, RoundTrip())
    assert (kept, dropped, usage.notes["kept"]) == ([], {}, 0)
