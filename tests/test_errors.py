"""Every error says where, what and what to do, and carries the exit code of its kind."""

from __future__ import annotations

import pytest

from harness import errors
from harness.errors import ConfigError, DataError, HarnessError, Problem, few_of_each, in_order, nearest

CODES = {
    "ConfigError": 2,
    "DatasetMissing": 2,
    "DataError": 2,
    "ModelMissing": 2,
    "StageFailed": 3,
    "OutOfMemory": 3,
    "LlmStopped": 3,
    "Incomplete": 3,
    "NotComparable": 4,
}


def test_the_family_is_the_one_that_the_docstring_draws() -> None:
    family = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and kind is not HarnessError}
    found = {name: kind.exit_code for name, kind in family.items() if issubclass(kind, HarnessError)}
    assert found == CODES
    for name, code in CODES.items():
        line = next(line for line in str(errors.__doc__).splitlines() if f"-- {name} " in line)
        assert f"({code})" in line
    assert issubclass(DataError, ConfigError)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.yaml:3: seeds", "missing", "add 'seeds:'"), "a.yaml:3: seeds: missing; add 'seeds:'"),
        (Problem("a.yaml", "not YAML"), "a.yaml: not YAML"),
        (Problem("", "no suite 'x'", "known here: y"), "no suite 'x'; known here: y"),
        (Problem("", "no suite 'x'"), "no suite 'x'"),
    ],
)
def test_a_problem_is_one_sentence(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_an_error_carries_all_of_its_problems() -> None:
    problems = [Problem("a:1", "one"), Problem("a:2", "two")]
    assert ConfigError(problems).problems == tuple(problems)
    assert str(ConfigError(problems)) == "a:1: one\na:2: two"
    assert ConfigError(problems[0]).problems == (problems[0],)
    assert HarnessError("in words").problems == (Problem("", "in words"),)


def test_the_nearest_right_name() -> None:
    assert nearest("tunes", ["tune", "pairs"]) == "did you mean 'tune'?"
    assert nearest("tst", ["test", "dev"], "score") == "score 'test'?"
    assert nearest("xyz", ["tune", "pairs", "tune"]) == "known here: pairs, tune"
    assert nearest("xyz", []) == ""


def test_problems_of_a_file_are_in_the_order_of_its_lines() -> None:
    """Files stay in the order in which they come; what is about a file as a whole is before its lines."""
    given = ["b.jsonl:10", "a.yaml:7: seeds", "b.jsonl:9", "", "a.yaml:3: name", "b.jsonl", "qrels"]
    ordered = ["b.jsonl", "b.jsonl:9", "b.jsonl:10", "a.yaml:3: name", "a.yaml:7: seeds", "", "qrels"]
    problems = [Problem(where, "wrong") for where in given]
    assert [problem.where for problem in in_order(problems)] == ordered


def test_the_count_of_a_kind_follows_its_last_line() -> None:
    problems = [Problem(f"a.jsonl:{line}", "no text") for line in (9, 5, 1)] + [Problem("a.jsonl:4", "no id")]
    assert list(map(str, few_of_each(problems, each=2))) == [
        "a.jsonl:1: no text",
        "a.jsonl:4: no id",
        "a.jsonl:5: no text",
        "a.jsonl: 1 more of this kind (3 in all)",
    ]
