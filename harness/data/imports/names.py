"""Which column of a table holds what: by the names that the user gives, else by the usual names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.data.imports.imported import Columns
from harness.errors import DataError, Problem, nearest

# Names without case and signs, the usual one first.
QUESTION = ("userinput", "question", "questions", "query", "queries", "input", "anchor")
ANSWER = (
    "reference", "groundtruth", "groundtruths", "referenceanswer", "goldanswer", "correctanswer", "expectedoutput",
    "expectedanswer", "generationgt", "answer", "answers",
)  # fmt: skip
CONTEXT = (
    "referencecontexts",
    "referencecontext",
    "contexts",
    "context",
    "positive",
    "passage",
    "passages",
    "document",
)
RETRIEVED = ("retrievedcontexts", "retrievalcontext")
TEXT = ("text", "contents", "content", "body", "passage", "document", "pagecontent")
TITLE = ("title",)
ID = (
    "id", "docid", "docno", "documentid", "pid", "passageid", "corpusid", "qid", "queryid", "questionid",
)  # fmt: skip
SPLIT = ("split",)
UNANSWERABLE = ("isimpossible", "unanswerable")
ANSWERABLE = ("answerable", "isanswerable")
CONTEXT_IDS = ("referencecontextids",)
GRADE = ("relevance", "label", "relevant", "isrelevant")
TURNS = ("turns",)
SCENARIO = ("scenario",)
FIELDS = ("id", "text", "title", "question", "answer", "context")


class Layout(NamedTuple):
    """The column of each part of a row; None where there is none."""

    id: str | None = None
    text: str | None = None
    title: str | None = None
    question: str | None = None
    answer: str | None = None
    context: str | None = None
    retrieved: str | None = None
    split: str | None = None
    unanswerable: str | None = None
    answerable: str | None = None
    context_ids: str | None = None
    turns: str | None = None
    scenario: str | None = None
    grade: str | None = None
    stated_id: bool = False

    @property
    def used(self) -> list[str]:
        """The columns that are read."""
        return [name for name in self[:14] if isinstance(name, str)]


def squashed(name: object) -> str:
    """Return a name without case, blanks and signs: ``expectedoutput`` for ``Expected_Output``."""
    return re.sub(r"[\W_]+", "", str(name)).lower()


def find(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """Return the column with the first of these names that there is."""
    known: dict[str, str] = {}
    for column in columns:
        known.setdefault(squashed(column), column)
    return next((known[name] for name in names if name in known), None)


def layout_of(columns: Sequence[str], stated: Columns, where: str) -> Layout:
    """Return which column holds what. Raises DataError if a column that the user names is not there."""
    absent = [name for name in stated if name is not None and name not in columns]
    if absent:
        raise DataError([absent_column(name, columns, where) for name in absent])
    free = [column for column in columns if column not in set(filter(None, stated))]
    question = stated.question or (None if stated.text else find(free, QUESTION))
    turns, scenario = find(free, TURNS), find(free, SCENARIO)
    asks = question is not None or turns is not None or scenario is not None
    answer = stated.answer or (find([name for name in free if name != question], ANSWER) if asks else None)
    # A table with the answer of a system and a reference is an evaluation: its contexts are what was retrieved.
    evaluated = {"answer", "groundtruth"} <= {squashed(name) for name in columns}
    evaluated |= {"answer", "groundtruths"} <= {squashed(name) for name in columns}
    context = stated.context or (find(free, CONTEXT if not evaluated else CONTEXT[:2]) if asks else None)
    retrieved = find(free, (*RETRIEVED, "contexts", "context") if evaluated else RETRIEVED) if asks else None
    text = stated.text or find([name for name in free if name not in (question, answer, context)], TEXT)
    if asks and context is None and retrieved is None:
        context = text
    return Layout(
        stated.id or find(free, ID),
        text,
        stated.title or find(free, TITLE),
        question,
        answer,
        context,
        None if retrieved == context else retrieved,
        find(free, SPLIT),
        find(free, UNANSWERABLE),
        find(free, ANSWERABLE),
        find(free, CONTEXT_IDS),
        turns,
        scenario,
        find(free, GRADE) if asks and context else None,
        stated.id is not None,
    )


def absent_column(name: str, columns: Sequence[str], where: str) -> Problem:
    """Return the problem of a column that the user names and that is not there."""
    shown = ", ".join(map(str, columns[:12])) + (", ..." if len(columns) > 12 else "")
    return Problem(where, f"no column {name!r}; it has {shown or 'no columns'}", nearest(name, map(str, columns)))
