"""Four languages of our own through everything that reads words: search, scores, filters, grounding, the report."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import pocket
import pytest
from languages import WORKSHOPS, write

from harness.data.datasets import Dataset, load_dataset
from harness.data.slicing import slice_values
from harness.diagnosis import domain_gap
from harness.models.search import Bm25Index
from harness.planning.plan import build_plan
from harness.remarks import language as remarks
from harness.scoring import PLAIN, AbstentionRule, AnswerSettings, measurement_settings, score_answers, score_run
from harness.stages.shared import common
from harness.stages.shared.answer_writers import Form, fault, holds
from harness.stages.sift import LeakageAudit, SiftSpec, sift
from harness.suite.pipeline import Retriever
from harness.suite.sources import DatasetSource as DatasetSpec
from harness.suite.spec import Utility
from harness.text import detect, text_of
from harness.values.findings import LedgerRow
from harness.values.measures import Measure, parse
from harness.values.records import Answer, Document, Pair

CODES = list(WORKSHOPS)
ANSWER_MEASURES = [
    Measure(name) for name in ("exact_match", "token_f1", "rouge_l", "string_similarity", "utility", "abstention")
]
every_language = pytest.mark.parametrize("code", CODES)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def load(code: str) -> Dataset:
        folder = write(tmp_path_factory.mktemp("data") / code, WORKSHOPS[code])
        return load_dataset(DatasetSpec(path=str(folder)), "test")

    return load


def settings(code: str, *sentences: str) -> AnswerSettings:
    return AnswerSettings(Utility(), None, None, "", language=code, abstention=AbstentionRule(sentences, code))


def written(texts: dict[str, str]) -> dict[str, Answer]:
    return {key: Answer(key, text, 0, 0) for key, text in texts.items()}


@every_language
def test_the_language_is_told_from_the_corpus(code: str, loaded: Any) -> None:
    assert loaded(code).language == code
    assert loaded(code).detected.certain


@every_language
def test_bm25_finds_what_a_reader_would(code: str, loaded: Any, tmp_path: Path) -> None:
    dataset = loaded(code)
    Bm25Index.save(tmp_path, list(dataset.documents.values()), dataset.language)
    part = dataset.splits["test"]
    texts = {key: part.queries[key].text for key in part.judged}
    run = dict(zip(texts, Bm25Index(tmp_path).search(list(texts.values()), 10), strict=True))
    scores = score_run(run, part.qrels, [parse("recall@10"), parse("ndcg@10")])
    assert fmean(scores[parse("recall@10")].values()) == 1.0
    assert fmean(scores[parse("ndcg@10")].values()) >= 0.9


@every_language
def test_equal_answers_score_one_in_every_measure(code: str, loaded: Any) -> None:
    dataset = loaded(code)
    references = dict(dataset.splits["test"].references)
    answers = {key: (one.answers[0] if one.answers else WORKSHOPS[code].declined) for key, one in references.items()}
    scores = score_answers(written(answers), references, ANSWER_MEASURES, settings(code))
    assert {score.value for column in scores.values() for score in column.values()} == {1.0}


@every_language
def test_a_longer_answer_is_partly_right(code: str, loaded: Any) -> None:
    references = {"q0": loaded(code).splits["test"].references["q0"]}
    scores = score_answers(written({"q0": WORKSHOPS[code].partial}), references, ANSWER_MEASURES[1:3], settings(code))
    assert all(0.3 < column["q0"].value < 1 for column in scores.values())


@every_language
def test_answers_out_of_the_passage_are_grounded_and_others_are_not(code: str) -> None:
    form, notes = Form(code, WORKSHOPS[code].declined), WORKSHOPS[code].notes
    for note in notes:
        assert holds(note.text, note.answer, code)
        assert fault(note.answer, note.query, note.text, form) is None
    others = [fault(note.answer, note.query, notes[place - 5].text, form) for place, note in enumerate(notes)]
    # "nine hours" is half grounded by a passage of three hours, in English too.
    assert others.count("not out of the passage") >= 10
    assert fault(WORKSHOPS[code].declined, notes[0].query, notes[0].text, form) == "declines to answer"


@every_language
def test_a_near_copy_of_a_test_query_is_found(code: str) -> None:
    queries = [note.query for note in WORKSHOPS[code].notes]
    audit = LeakageAudit(queries, 0.6, text_of(code))
    assert audit.nearest(WORKSHOPS[code].near) == queries[0]
    assert audit.nearest(queries[3]) == queries[3]
    for good in WORKSHOPS[code].good:
        assert audit.nearest(good) is None


@every_language
def test_good_synthetic_queries_are_kept_and_others_are_not(code: str, loaded: Any, tmp_path: Path) -> None:
    dataset, workshop = loaded(code), WORKSHOPS[code]
    parts = {name: tmp_path / name for name in ("corpus", "pairs", "heldout_test", "out")}
    for place in parts.values():
        place.mkdir()
    common.write_corpus(parts["corpus"], dataset.documents)
    common.write_queries(parts["heldout_test"], {"q0": workshop.notes[0].query})
    title = workshop.notes[1].title
    pairs = [
        Pair(text, "d0", "question" if "?" in text or "？" in text or "؟" in text else "keyword", "synthetic")
        for text in workshop.good
    ]
    pairs += [Pair(workshop.near, "d0", "question", "synthetic"), Pair(title, "d1", "keyword", "synthetic"),
              Pair(workshop.declined, "d2", "question", "synthetic"), Pair(workshop.good[0], "d0", "question", "synthetic")]  # fmt: skip
    common.write_pairs(parts["pairs"], pairs)
    spec = SiftSpec(leakage=0.6, round_trip=None, retriever=Retriever(), language=code)
    usage = sift(spec, parts, parts["out"], 0, lambda done, total: None)
    assert [pair.query for pair in common.read_pairs(parts["out"])] == list(workshop.good)
    found = {reason: usage.notes[reason] for reason in ("too near a dev or test query", "a refusal", "written twice")}
    assert found == {"too near a dev or test query": 1, "a refusal": 1, "written twice": 1}
    assert usage.notes["copied from the title"] + usage.notes["too short"] == 1


@every_language
def test_slices_and_signs_see_words(code: str, loaded: Any) -> None:
    dataset = loaded(code)
    part = dataset.splits["test"]
    found = {
        name: slice_values(name, part.queries, part.qrels, dataset.documents, code)
        for name in ("query_length", "query_kind", "document_length", "lexical_overlap")
    }
    assert len(set(found["query_length"].values())) == 3
    assert ("character" in "".join(found["query_length"].values())) == (code in ("zh", "ja"))
    assert set(found["query_kind"].values()) == {"question"}
    assert not {"none", "no content word"} & set(found["lexical_overlap"].values())
    sign = domain_gap.no_shared_word(
        {key: part.queries[key] for key in part.judged}, part.qrels, dataset.documents, code
    )
    assert sign.value == 0.0


@pytest.mark.parametrize("sentence", ["Keine Angabe in den Unterlagen.", "NO_ANSWER_FOUND"])
def test_the_suite_s_own_sentence_is_an_abstention(sentence: str, loaded: Any) -> None:
    references = dict(loaded("de").splits["test"].references)
    answers = {key: (one.answers[0] if one.answers else sentence) for key, one in references.items()}
    measures = [Measure("utility"), Measure("abstention")]
    scores = score_answers(written(answers), references, measures, settings("en", sentence))
    assert {score.value for column in scores.values() for score in column.values()} == {1.0}
    wrong = score_answers(written({**answers, "q0": sentence}), references, measures, settings("en", sentence))
    assert (wrong[measures[0]]["q0"].value, wrong[measures[1]]["q0"].value) == (0.0, 0.0)


# the language in keys and identities


def test_english_changes_no_identity() -> None:
    plain = AnswerSettings(Utility(right="token_f1"), None, None, "")
    for name in ("exact_match", "token_f1", "rouge_l", "utility", "abstention"):
        found = measurement_settings(Measure(name), plain)
        assert "language" not in found
        assert found.get("abstention_rule", 1) == 1
        assert found != measurement_settings(Measure(name), settings("zh"))
    assert PLAIN.identity == 1


def test_only_what_reads_words_has_the_language_in_its_key() -> None:
    changes: dict[str, Any] = {
        "candidates": {"all": {"tune": ["retriever", "generator"]}},
        "measures": ["ndcg@10", "token_f1"],
    }
    keys = {}
    for code in ("en", "de"):
        suite = pocket.suite({**changes, "dataset.language": code, "dataset.path": str(pocket.FOLDER)})
        plan = build_plan(suite, load_dataset(suite.dataset, "test"))
        keys[code] = {planned.label: planned.call.spec.get("language", "en") for planned in plan.calls.values()}
    assert set(keys["en"].values()) == {"en"}
    spoken = {label for label, code in keys["de"].items() if code == "de"}
    assert {label.split()[0] for label in spoken} == {"index", "sift", "instruct", "tune"}
    auto = load_dataset(DatasetSpec(path=str(pocket.FOLDER)), "test")
    assert (
        build_plan(pocket.suite(changes), auto).calls.keys()
        == build_plan(pocket.suite({**changes, "dataset.language": "en"}), auto).calls.keys()
    )


# remarks


def row(stage: str, label: str, **notes: int) -> LedgerRow:
    return LedgerRow(key="k", stage=stage, label=label, seconds=1, device="cpu", peak_memory_mb=1, notes=notes)


def test_a_corpus_in_another_language_is_told_and_a_named_or_english_one_is_not(loaded: Any) -> None:
    (told,) = remarks.read_as(loaded("zh"))
    assert told.startswith("The corpus is read as Chinese (zh), for bm25, token_f1,")
    assert remarks.read_as(pocket.dataset()) == []
    named = load_dataset(DatasetSpec(path=str(pocket.FOLDER), language="de"), "test")
    assert remarks.read_as(named) == []
    assert remarks.setting(named) == "German (de), set by the suite"
    assert remarks.setting(loaded("ja")) == "Japanese (ja), detected from the corpus"


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("es", ["El horno de cal", "La puerta y la llave", "Los tornos que giran", "Qué es el barniz", "Por la noche"]),
        ("de", ["Der Ofen", "Die Tür und das Schloss", "Wie lange", "Nicht öffnen", "Mit Kalk", "Das ist die Glasur"]),
        ("en", ["The kiln", "What is glaze", "Of clay and lime", "How to fire", "It is the wheel"]),
    ],
)
def test_short_texts_tell_their_language_together(language: str, texts: list[str]) -> None:
    assert detect(texts).language == language
    assert detect(texts).certain


def test_names_and_numbers_tell_nothing_together_either() -> None:
    parts = [f"Bosch GSR {number} V-{number % 7}" for number in range(200)]
    assert (detect(parts).language, detect(parts).certain) == ("en", False)


def test_an_uncertain_and_a_mixed_corpus_are_told() -> None:
    def of(*texts: str) -> Dataset:
        return Dataset("d", {str(n): Document(str(n), "", text) for n, text in enumerate(texts)}, {}, {})

    (told,) = remarks.read_as(of("KX-100", "SR-7 42"))
    assert told.startswith("The language of the corpus is uncertain (no document shows its language)")
    (told,) = remarks.read_as(of(*(note.text for code in ("zh", "de") for note in WORKSHOPS[code].notes)))
    assert told.startswith("The corpus is read as German (de) and Chinese (zh) (50 % de, 50 % zh)")


@pytest.mark.parametrize(("empty", "told"), [(0, False), (6, False), (7, True), (12, True)])
def test_bm25_that_finds_nothing_is_no_fair_baseline(empty: int, told: bool) -> None:
    ledger = [
        row("retrieve", "retrieve dev with bm25", queries=9, **{"empty lists": 9}),
        row("retrieve", "retrieve test with bm25", queries=12, **{"empty lists": empty}),
    ]
    found = remarks.unfair_bm25(pocket.suite(), ledger)
    assert [text.startswith(f"{empty} of 12 queries share no word with the corpus") for text in found] == [True] * told


def test_dropped_queries_are_told_once_with_their_reasons() -> None:
    """Sentences of the corpus are told apart from what a model wrote."""
    plan = build_plan(pocket.suite({"candidates": {
        "written": {"tune": ["retriever"], "pairs": "synthetic"},
        "taken": {"tune": ["retriever"], "pairs": "structure"},
    }}), pocket.dataset())  # fmt: skip
    keys = {key: planned.label for key, planned in plan.calls.items() if planned.call.stage == "sift"}
    notes = {
        "sift": {"written": 1317, "a refusal": 2, "refers to the passage": 1, "too short": 4},
        "sift (structure pairs)": {"written": 851, "refers to the passage": 2},
    }
    ledger = {key: row("sift", label, **notes[label]) for key, label in keys.items()}
    assert remarks.dropped_queries(plan, ledger) == [
        "3 of 1,317 synthetic queries were dropped as unusable: 2 refusals; 1 that refer to the passage.",
        "2 of 851 titles and sentences of the corpus were dropped as unusable: 2 that refer to the passage.",
    ]
    few = {key: row("sift", label, written=10, **{"too short": 4}) for key, label in keys.items()}
    assert remarks.dropped_queries(plan, few) == []
