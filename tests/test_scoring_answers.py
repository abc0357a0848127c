"""Answer measures by rule: abstention, tokens, keys, utility and populations."""

from __future__ import annotations

import math
import time

import pytest
from answer_cases import PATTERN, PLAIN, answered, measures, referred, values
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.scoring import AnswerSettings, QueryScore, abstention_table, score_answers
from harness.scoring.abstention import is_abstention
from harness.scoring.answers import find_key, has_format, normalised_tokens, token_f1
from harness.suite.recipes import ABSTENTION
from harness.suite.spec import Utility
from harness.values.measures import parse
from harness.values.records import Reference

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
