"""The exceptions of the harness; each reports problems to the user.

    HarnessError                 anything a user can act on
    |-- ConfigError       (2)    a suite or a command line is wrong; carries every problem found
    |   |-- DatasetMissing (2)   the folder of a suite's dataset is not here, and nothing else is wrong
    |   `-- DataError     (2)    a dataset is wrong: file, line, what to do
    |-- ModelMissing      (2)    a model or its package is not installed
    |-- StageFailed       (3)    one stage call raised or crashed
    |   `-- OutOfMemory   (3)    a call did not get the memory that it asked for, or was killed for it
    |-- LlmStopped        (3)    an LLM is no longer asked: endpoint dead, key refused, budget spent
    |-- Incomplete        (3)    more failures than `failure_limit` allows
    `-- NotComparable     (4)    two sets of scores were not measured in the same way

The number is the exit code. Only the CLI catches these errors and prints one sentence per problem. This module
knows nothing about files, models or measures.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One problem: its place, what is wrong, and what to do."""

    where: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.hint}" if self.hint else text


class HarnessError(Exception):
    """Base of the errors that are reported in a sentence, without a traceback."""

    exit_code = 2

    def __init__(self, problems: str | Problem | Sequence[Problem]) -> None:
        if isinstance(problems, str):
            problems = Problem("", problems)
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ConfigError(HarnessError):
    """A suite file or a command line is wrong."""


class DatasetMissing(ConfigError):
    """A suite can be read, and its dataset is not on this machine."""


class DataError(ConfigError):
    """A dataset is wrong."""


class ModelMissing(HarnessError):
    """A model that the suite names cannot be found."""


class StageFailed(HarnessError):
    """A stage call raised, or its process died."""

    exit_code = 3


class OutOfMemory(StageFailed):
    """A stage call did not get the memory that it asked for, or was killed as the machine had none left."""


class LlmStopped(HarnessError):
    """An LLM is no longer asked: its endpoint is dead or refuses, or a budget is spent."""

    exit_code = 3


class Incomplete(HarnessError):
    """More scores failed than the suite allows."""

    exit_code = 3


class NotComparable(HarnessError):
    """Two sets of scores have different measurement identities."""

    exit_code = 4


def nearest(word: str, choices: Iterable[str], phrase: str = "did you mean") -> str:
    """Return a hint such as ``did you mean 'tune'?``, or the list of choices when none is near."""
    known = sorted(set(choices))
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"{phrase} {close[0]!r}?"
    return f"known here: {', '.join(known)}" if known else ""


def json_fault(error: ValueError | RecursionError, place: str = "column") -> str:
    """Return why a text is no JSON: what the parser says and where, by ``column`` or ``line``.

    A number of thousands of digits is refused by Python itself, and is no JSONDecodeError.
    """
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at {place} {error.colno if place == 'column' else error.lineno}"
    return "too deep" if isinstance(error, RecursionError) else "a number has too many digits"


_LINE = re.compile(r"(.+?):([0-9]+)(?=:|$)")
"""A file and a line at the beginning of the place of a problem."""


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems by file, in the order in which the files come, and those of a file by line."""
    known = list(problems)
    return [known[number] for number in _order(known)]


def _order(problems: Sequence[Problem]) -> list[int]:
    """Return the numbers of the problems in the order of `in_order`."""
    files: dict[str, int] = {}
    places = []
    for problem in problems:
        found = _LINE.match(problem.where)
        file, line = (found[1], int(found[2])) if found else (problem.where, 0)
        places.append((files.setdefault(file, len(files)), line))
    return sorted(range(len(problems)), key=places.__getitem__)


EACH, MOST = 5, 20
"""Most problems of one kind that are reported, and most kinds."""


def few_of_each(problems: Sequence[Problem], each: int = EACH, most: int = MOST) -> list[Problem]:
    """Return the first problems of each kind, `in_order`, and after the last of a kind the number of omitted ones.

    Problems are of one kind if they are in the same file and differ only by numbers and quoted names.
    """
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for problem in in_order(problems):
        file = re.sub(r":[0-9]+$", "", problem.where)
        kinds.setdefault((file, re.sub(r"'[^']*'|[0-9]+", "*", problem.what)), []).append(problem)
    first: list[Problem] = []
    omitted: dict[int, Problem] = {}
    for (file, _), alike in list(kinds.items())[:most]:
        first += alike[:each]
        if len(alike) > each:
            omitted[len(first) - 1] = Problem(file, f"{len(alike) - each:,} more of this kind ({len(alike):,} in all)")
    reported = [one for number in _order(first) for one in (first[number], omitted.get(number)) if one is not None]
    rest = sum(len(alike) for alike in list(kinds.values())[most:])
    if rest:
        reported.append(
            Problem("", f"{rest:,} more problems of {len(kinds) - most:,} other kinds", "fix those above first")
        )
    return reported
