"""Read a TREC run of any system, and count what its writer may not have intended.

Scores decide the order, as in trec_eval. Rankings whose ranks contradict the scores are counted, and so are those with
scores that trec_eval treats as equal, because it rounds to single precision.
"""

from __future__ import annotations

import math
import struct
import urllib.parse
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from harness.data import formats
from harness.errors import DataError, Problem, few_of_each
from harness.report.format import counted
from harness.values.records import Run
from harness.values.repairs import Repair, Repairing

FORM = "write 'query_id Q0 doc_id rank score tag', such as 'q1 Q0 d7 1 0.83 mine'"


class RunFile(NamedTuple):
    """A run as read. `contradicted`, `tied` and `close` are sets of queries.

    `contradicted`: the rank column has another order than the scores. `tied`: several documents have equal scores.
    `close`: different scores are equal in single precision.
    """

    run: Run
    contradicted: frozenset[str] = frozenset()
    tied: frozenset[str] = frozenset()
    close: frozenset[str] = frozenset()
    repairs: tuple[Repair, ...] = ()


class _Line(NamedTuple):
    query_id: str
    doc_id: str
    rank: str
    score: float


def read_run(path: Path) -> RunFile:
    """Read a TREC run, plain or gzip; ids are unescaped only if the tag says that the harness wrote the file.

    Duplicate lines count once. Raises DataError with file and line for a malformed line, a score that is not finite,
    and a document with two different scores in a ranking.
    """
    problems: list[Problem] = []
    repairing = Repairing()
    run: Run = {}
    ranks: dict[str, list[str]] = {}
    places: dict[tuple[str, str], tuple[float, str]] = {}
    escaped: bool | None = None
    for number, text in formats.read_lines(path, problems, repairing):
        where, fields = f"{path}:{number}", text.split()
        if escaped is None:
            escaped = fields[-1:] == [formats.TREC_TAG]
        line = _line(fields, escaped)
        if isinstance(line, str):
            problems.append(Problem(where, line, FORM))
            continue
        if len(fields) == 5:
            repairing.note("no-tag", where)
        before = places.setdefault((line.query_id, line.doc_id), (line.score, where))
        if before[1] == where:
            run.setdefault(line.query_id, []).append((line.doc_id, line.score))
            ranks.setdefault(line.query_id, []).append(line.rank)
        elif before[0] == line.score:
            repairing.note("same-line", where, f"as {before[1]}")
        else:
            what = f"query {line.query_id!r} lists document {line.doc_id!r} twice, with the scores "
            problems.append(Problem(where, f"{what}{before[0]!r} ({before[1]}) and {line.score!r}", "remove one"))
    if problems:
        raise DataError(few_of_each(problems))
    return RunFile(
        run,
        frozenset(query for query, hits in run.items() if _contradicted(ranks[query], [score for _, score in hits])),
        frozenset(query for query, hits in run.items() if len({score for _, score in hits}) < len(hits)),
        frozenset(query for query, hits in run.items() if _close({score for _, score in hits})),
        repairing.made(),
    )


def _line(fields: Sequence[str], escaped: bool) -> _Line | str:
    """The fields of a line, whose tag may be missing; what is wrong if the line is malformed."""
    if len(fields) not in (5, 6):
        return f"{counted(len(fields), 'field')} instead of 6"
    score = formats.finite(fields[4])
    if score is None:
        return f"the score {fields[4]!r} is not a finite number"
    query_id, doc_id = map(urllib.parse.unquote if escaped else str, (fields[0], fields[2]))
    return _Line(query_id, doc_id, fields[3], score)


def _contradicted(ranks: Sequence[str], scores: Sequence[float]) -> bool:
    """Whether a document has a better rank but a lower score than another; ranks that are no numbers are ignored."""
    numbers = [formats.finite(rank) for rank in ranks]
    known = sorted((rank, -score) for rank, score in zip(numbers, scores, strict=True) if rank is not None)
    return any(upper[0] < lower[0] and upper[1] > lower[1] for upper, lower in pairwise(known))


def _close(scores: Iterable[float]) -> bool:
    """Whether two of these different numbers are equal in single precision."""
    numbers = list(scores)
    return len({_single(score) for score in numbers}) < len(numbers)


def _single(score: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", score))[0])
    except OverflowError:
        return math.copysign(math.inf, score)
