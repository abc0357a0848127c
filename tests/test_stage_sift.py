"""The stage `sift`: the leakage audit, the filters, and what each drops; a fake embeds by words."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from staged import CORPUS, folder, indexes, pair, silent

from harness.data.formats import load_jsonl
from harness.models.fakes import FakeBiEncoder
from harness.stages.shared import common
from harness.stages.sift import ENGLISH_TEXTS, LeakageAudit, SiftSpec, sift
from harness.suite.pipeline import Retriever
from harness.suite.recipes import RoundTrip
from harness.values.records import Document, Pair, Usage

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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
