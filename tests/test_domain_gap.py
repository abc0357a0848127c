"""Signs of a gap between domain and models: by hand, and their laws."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.diagnosis.domain_gap import VOCABULARY, agreement, fragmented, judged, no_shared_word, signs
from harness.values.records import Document, Query, Run


def queries(**texts: str) -> dict[str, Query]:
    return {key: Query(key, text, key) for key, text in texts.items()}


def documents(**texts: str) -> dict[str, Document]:
    return {key: Document(key, "", text) for key, text in texts.items()}


def listed(*doc_ids: str) -> list[tuple[str, float]]:
    return [(doc_id, 1 / rank) for rank, doc_id in enumerate(doc_ids, start=1)]


# ---- words


def test_shattered_counts_distinct_words_with_a_letter_and_no_stop_words() -> None:
    asked: list[str] = []

    def pieces(word: str) -> int:
        asked.append(word)
        return 4 if word == "quasispecies" else 3

    sign = fragmented(["The quasispecies of Quasispecies, 1999", "and matrix, vector and spline"], pieces)
    assert asked == ["quasispecies", "matrix", "vector", "spline"]
    assert (sign.value, sign.n, sign.worrying) == (0.25, 4, True)
    assert not fragmented(["matrix vector"], pieces).worrying


def test_shattered_looks_at_so_many_words_and_no_more() -> None:
    texts = [f"known{number}" for number in range(VOCABULARY)]
    sign = fragmented([*texts, *(f"strange{number}" for number in range(VOCABULARY))], lambda w: 9 * ("strange" in w))
    assert (sign.value, sign.n) == (0.0, VOCABULARY)


def test_no_shared_word_compares_stems_with_all_relevant_documents() -> None:
    asked = queries(
        stem="Filtering of signals", other="How are windows made?", none="Which splines?", unjudged="Which?"
    )
    corpus = documents(d1="A filter.", d2="Which of them is how.", d3="The window is made.", d4="A spline")
    qrels = {"stem": {"d1": 1}, "other": {"d2": 1, "d3": 2}, "none": {"d2": 1, "d4": 0}, "unjudged": {"d1": 0}}
    sign = no_shared_word(asked, qrels, corpus)
    assert (sign.value, sign.n, sign.worrying) == (1 / 3, 3, True)
    assert not no_shared_word(asked, {"stem": {"d1": 1}}, corpus).worrying


# ---- lists


def test_agreement_is_the_overlap_of_the_first_ten() -> None:
    long = [f"d{number}" for number in range(12)]
    run: Run = {"same": listed(*long[:10]), "half": listed("a", "b"), "late": listed(*long)}
    other: Run = {"same": listed(*reversed(long[:10])), "half": listed("b", "c"), "late": listed("d10", "d11")}
    sign = agreement(run, other, ["same", "half", "late", "neither"])
    assert (sign.value, sign.n) == ((1 + 0.5 + 0) / 3, 3)
    assert not sign.worrying
    assert agreement({"late": run["late"]}, {}, ["late"]).worrying


def test_judged_counts_every_grade_against_what_could_be() -> None:
    run: Run = {"q1": listed("a", "b", "x", "y"), "q2": listed("x")}
    many = {f"j{number}": 1 for number in range(18)}
    sign = judged(run, {"q1": {"a": 2, "b": 0, **many}, "q2": {"z": 1, **many}, "q3": {}})
    assert (sign.value, sign.bar, sign.n, sign.worrying) == (0.25, 0.5, 2, True)
    assert "100 % could be" in sign.about
    assert "recall" not in sign.about


def test_one_judged_document_a_question_is_told_and_its_bar_is_low() -> None:
    found, lost = (judged({"q": listed(*names)}, {"q": {"d": 1}}) for names in ("abcdefghij", "abcefghijk"))
    assert (found.value, found.bar, found.worrying) == (0.1, 0.05, False)
    assert (lost.value, lost.worrying) == (0.0, True)
    assert "10 % could be" in found.about
    assert found.about.endswith("no more than a low recall.")


@given(
    st.dictionaries(st.sampled_from("pqr"), st.lists(st.sampled_from("abcdefgh"), unique=True), max_size=3),
    st.dictionaries(
        st.sampled_from("pqr"), st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 2)), max_size=3
    ),
)
def test_signs_of_lists_are_shares_and_agreement_is_mutual(
    lists: dict[str, list[str]], qrels: dict[str, dict[str, int]]
) -> None:
    run = {query_id: listed(*doc_ids) for query_id, doc_ids in lists.items()}
    ideal = {query_id: listed(*grades) for query_id, grades in qrels.items()}
    sign, best = judged(run, qrels), judged(ideal, qrels)
    if sign.value is not None and best.value is not None:
        assert 0 <= sign.value <= best.value == 2 * best.bar
        assert not best.worrying
    both = agreement(run, ideal, "pqr")
    assert both == agreement(ideal, run, "pqr")
    assert both.value is None or 0 <= both.value <= 1
    assert agreement(run, run, "pqr").value in (None, 1.0)


def test_all_signs_and_none_of_the_tokenizer_without_one() -> None:
    asked, corpus = queries(q="Which filter?"), documents(d="A filter for signals")
    qrels, run = {"q": {"d": 1}, "other": {"d": 1}}, {"q": listed("d"), "other": listed("d")}
    found = signs(asked, qrels, corpus, run, {"q": listed("e")}, len)
    assert [sign.name for sign in found] == ["high_fertility", "no_shared_word", "agreement", "judged@10"]
    assert [sign.value for sign in found] == [1.0, 0.0, 0.0, 1.0]
    assert [sign.n for sign in found] == [2, 1, 1, 1]
    assert signs(asked, qrels, corpus, run, {"q": listed("e")}) == found[1:]
    assert [sign.name for sign in signs(asked, qrels, corpus, run, {})] == ["no_shared_word", "judged@10"]


def test_a_list_shorter_than_ten_is_judged_by_its_own_length() -> None:
    grades = {"a": 1, "b": 0, "c": 0, "d": 0}
    assert not judged({"q": listed(*"abcd")}, {"q": grades}).worrying


def test_without_questions_nothing_is_known_and_nothing_worries() -> None:
    for sign in signs({}, {}, {}, {}, {}, len):
        assert (sign.value, sign.worrying, sign.n) == (None, False, 0)
