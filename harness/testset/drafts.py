"""What a writer is asked and gives: drafts of questions, and verdicts on them. The protocol of all writers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from harness.testset.dealing import Job
from harness.testset.passages import Passage
from harness.values.records import Progress

Similarity = Callable[[str, str], float]
"""How alike the meanings of two texts are, by a model: the cosine of their vectors."""


class Draft(NamedTuple):
    """A question as it was written, with its answer and the words of the passages that the answer rests on.

    `failure` says why there is none; such a job is asked again by the next run. `parts` has, of a question that was put
    together, each part with its quotation.
    """

    question: str
    answer: str = ""
    quotes: tuple[str, ...] = ()
    failure: str = ""
    parts: tuple[tuple[str, str], ...] = ()


SHOWN_PASSAGES = 3
"""Passages, found by a search, that a writer is shown to check that nothing else answers a question."""


class Check(NamedTuple):
    """A question to be checked: against the passages that should answer it, or against those that might.

    `elsewhere` says that the passages are of other documents, which should not answer it.
    """

    job: Job
    draft: Draft
    passages: tuple[Passage, ...]
    elsewhere: bool = False


class Requests(NamedTuple):
    """What a run takes: requests (or texts of a model in process), and tokens of prompts and answers together."""

    requests: int
    tokens: int


class Writer(Protocol):
    """Writes questions. `name` is that of the model, `capable` whether it can be asked to check."""

    name: str
    capable: bool

    def lacks(self, passage: Passage) -> str:
        """Return why nothing can be written about a passage; empty if something can."""

    def write(self, jobs: Sequence[Job], progress: Progress) -> list[Draft]:
        """Return a draft for each job. Raises LlmStopped if nothing more is asked; what is written is kept."""

    def check(self, checks: Sequence[Check], progress: Progress) -> list[str]:
        """Return, for each question, why it is dropped: empty if it is fine, a reason of `filters` else."""

    def estimate(self, job: Job) -> Requests:
        """Return what a job takes at most, its checks included."""
