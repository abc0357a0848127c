"""Make test questions: rounds of jobs, each written, filtered and checked, until there are enough.

What a round holds follows from what was kept before it. What was written is known to the writer, so running it again
goes the same way and asks only for what is missing. Questions that stand in the folder are never written again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from harness.data.formats import write_jsonl
from harness.errors import DataError, Problem
from harness.files import write_atomically
from harness.models.search import Bm25Index
from harness.testset import folder as files
from harness.testset import reasons
from harness.testset.dealing import Dealer, Job, Kind, deal_documents
from harness.testset.drafts import SHOWN_PASSAGES, Check, Draft, Requests, Similarity, Writer
from harness.testset.evidence import Span
from harness.testset.filters import Filters, Judged
from harness.testset.folder import STATE
from harness.testset.items import Item, id_of
from harness.testset.passages import Passage, passages_of
from harness.text import detect, text_of
from harness.values.questions import digest_of_passages
from harness.values.records import Document, Progress

MOST_TRIES = 5
"""At most so many questions are written for each that is wanted."""
KINDS_OF_SMALL: Mapping[Kind, float] = {"single": 0.7, "several": 0.15, "unanswerable": 0.15, "paraphrased": 0.0}
"""Shares of a model in this process: when it has to use other words, it asks about something else."""
WriterOf = Callable[[Sequence[Passage]], Writer]


@dataclass(frozen=True)
class Wishes:
    """What is wanted: how many questions in all, the shares of splits and kinds, words of a passage, and the seed."""

    questions: int = 100
    splits: Mapping[str, float] = field(default_factory=lambda: {"test": 0.5, "dev": 0.2, "train": 0.3})
    kinds: Mapping[Kind, float] = field(
        default_factory=lambda: {"single": 0.5, "several": 0.15, "unanswerable": 0.15, "paraphrased": 0.2}
    )
    words: int = 220
    seed: int = 0


class Fate(NamedTuple):
    """A draft that was dropped, with the reason."""

    job: Job
    draft: Draft
    reason: str


@dataclass
class Report:
    """What a run did: counts of passages and questions, of what failed, and of what each filter dropped.

    `changed` has the ids of questions whose passages have changed since these were written.
    """

    by: str
    documents: int
    passages: int
    language: str
    left_out: dict[str, int]
    there: int = 0
    of_people: int = 0
    wanted: int = 0
    written: int = 0
    added: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)
    kept: dict[str, dict[str, int]] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    reviewed: int = 0
    changed: list[str] = field(default_factory=list)
    ended: str = ""

    @property
    def total(self) -> int:
        """Synthetic questions in the folder now."""
        return self.there + self.added


class Maker:
    """Makes the questions of one folder."""

    def __init__(self, place: Path, wishes: Wishes, writer_of: WriterOf, similarity: Similarity | None = None) -> None:
        """`similarity` is needed by a writer that cannot check.

        Raises DataError if the folder cannot be read, or has no passage to ask about.
        """
        self.place, self.wishes, self._similarity = place, wishes, similarity
        self.contents = files.read(place)
        documents = list(self.contents.documents.values())
        self.detected = detect([document.content for document in documents])
        cut = passages_of(documents, wishes.words, wishes.seed)
        every = [one for found in cut.by_document.values() for one in found]
        self.writer = writer_of(every)
        self.passages = cut.without(self.writer.lacks)
        self._all = every
        if not self.passages.total:
            why = ", ".join(f"{count:,} {reason}" for reason, count in self.passages.left_out.items()) or "no text"
            what = f"no passage of {len(documents):,} documents can be asked about ({why})"
            raise DataError(Problem(str(place), what, "add documents with whole sentences"))
        self._fates: list[Fate] = []
        self._report = Report(
            self.writer.name, len(documents), self.passages.total, self.detected.language,
            dict(self.passages.left_out), len(self.contents.items), len(self.contents.questions), wishes.questions,
            changed=self.contents.changed,
        )  # fmt: skip

    def estimate(self) -> tuple[Requests, Requests]:
        """Return what the missing questions take: if none is dropped, and at most."""
        missing = max(0, self.wishes.questions - len(self.contents.items))
        with TemporaryDirectory() as aside:
            dealer = self._dealer(self._index(Path(aside)))
            jobs: list[Job] = []
            while len(jobs) < missing and (more := dealer.next_round()):
                jobs += more
                for job in more:
                    dealer.note(job, kept=True)
        each = [self.writer.estimate(job) for job in jobs[:missing]]
        least = Requests(sum(one.requests for one in each), sum(one.tokens for one in each))
        return least, Requests(least.requests * MOST_TRIES, least.tokens * MOST_TRIES)

    def run(self, progress: Progress) -> Report:
        """Write what is missing, and return what was done. Raises LlmStopped if an endpoint or a budget ends it.

        Questions of whole rounds are in the folder then; what was written beyond is known to the next run.
        """
        with TemporaryDirectory() as aside:
            index = self._index(Path(aside))
            texts = text_of(self.detected.language)
            there = [*self.contents.questions.values(), *(item.text for item in self.contents.items)]
            filters = Filters(self._all, texts, index, there, self._similarity)
            items = list(self.contents.items)
            try:
                self._rounds(self._dealer(index), filters, items, progress)
            finally:
                self._save(items)
        return self._report

    def _rounds(self, dealer: Dealer, filters: Filters, items: list[Item], progress: Progress) -> None:
        report, wanted = self._report, self.wishes.questions
        known = {span: item for item in self.contents.items for span in item.passages[:1]}
        rejected = {spans[0] for spans in self.contents.rejected.values() if spans}
        most = MOST_TRIES * wanted
        while len(items) < wanted:
            jobs = dealer.next_round()
            if not jobs or sum(report.tried.values()) >= most:
                tried = sum(report.tried.values())
                report.ended = f"{tried:,} questions were tried" if jobs else "every passage was used"
                return
            new = []
            for job in jobs:
                span = span_of(job.passages[0])
                if span in known or span in rejected:
                    dealer.note(job, kept=span in known)
                else:
                    new.append(job)
            failed = sum(report.failed.values())
            for job, kept in self._round(new, filters, items):
                dealer.note(job, kept)
            self._save(items)
            if new and sum(report.failed.values()) - failed == len(new):
                report.ended = f"all {len(new)} requests of a round failed"
                return
            progress(min(len(items), wanted), wanted)

    def _round(self, jobs: Sequence[Job], filters: Filters, items: list[Item]) -> list[tuple[Job, bool]]:
        """Write, filter and check the questions of a round; add those that are kept to `items`."""
        report = self._report
        drafts = self.writer.write(jobs, _silent)
        judged = [
            Judged("") if draft.failure else filters.judge(job, draft) for job, draft in zip(jobs, drafts, strict=True)
        ]
        checks = {
            place: Check(job, draft, self._shown(job, draft, filters))
            for place, (job, draft, one) in enumerate(zip(jobs, drafts, judged, strict=True))
            if not draft.failure and not one.reason
        }
        found = self._checked(checks)
        # Only what is fine so far is looked for in other documents: that is one request more for each.
        found |= self._checked(
            {
                place: Check(job, draft, others, elsewhere=True)
                for place, (job, draft, *_) in checks.items()
                if self.writer.capable and not found[place] and job.kind != "unanswerable"
                if (others := filters.elsewhere(job, draft, SHOWN_PASSAGES))
            }
        )
        results = []
        for place, (job, draft, one) in enumerate(zip(jobs, drafts, judged, strict=True)):
            if len(items) >= self.wishes.questions:
                break
            report.tried[job.kind] = report.tried.get(job.kind, 0) + 1
            reason = draft.failure or one.reason or found.get(place, "")
            if not reason and filters.repeats(draft.question):
                reason = reasons.TWICE
            report.written += not draft.failure
            if reason:
                self._drop(job, draft, reason)
            else:
                filters.keep(draft.question)
                items.append(self._item(job, draft, one.spans, items))
                report.added += 1
                of_kind = report.kept.setdefault(job.kind, {})
                of_kind[job.split] = of_kind.get(job.split, 0) + 1
            results.append((job, not reason))
        return results

    def _checked(self, checks: Mapping[int, Check]) -> dict[int, str]:
        return dict(zip(checks, self.writer.check(list(checks.values()), _silent), strict=True)) if checks else {}

    def _drop(self, job: Job, draft: Draft, reason: str) -> None:
        """Count a draft that is not kept: a request that failed apart from a question that a filter dropped."""
        if draft.failure or reason.startswith(reasons.UNCHECKED):
            self._report.failed[reason] = self._report.failed.get(reason, 0) + 1
            self._report.lost[job.kind] = self._report.lost.get(job.kind, 0) + 1
        else:
            counts = self._report.dropped.setdefault(reason.split(":")[0], {})
            counts[job.kind] = counts.get(job.kind, 0) + 1
        self._fates.append(Fate(job, draft, reason))

    def _shown(self, job: Job, draft: Draft, filters: Filters) -> tuple[Passage, ...]:
        if job.kind != "unanswerable":
            return job.passages
        return (*job.passages, *filters.nearest(draft.question, job.passages, SHOWN_PASSAGES))

    def _item(self, job: Job, draft: Draft, spans: tuple[Span, ...], items: Sequence[Item]) -> Item:
        passages = tuple(map(span_of, job.passages))
        taken = {*self.contents.questions, *(item.query_id for item in items)}
        return Item(
            id_of(job.kind, passages, draft.question, taken), draft.question, job.kind, job.split,
            draft.answer if job.kind != "unanswerable" else "", passages, spans, self.writer.name,
            digest=digest_of_passages(passages, self.contents.documents),
        )  # fmt: skip

    def _dealer(self, index: Bm25Index) -> Dealer:
        splits = deal_documents(list(self.passages.by_document), self.wishes.splits, self.contents.asked_about)

        usable = {one for passages in self.passages.by_document.values() for one in passages}

        def neighbour(passage: Passage, doc_ids: object) -> Passage | None:
            allowed = set(doc_ids)  # type: ignore[call-overload]
            (hits,) = index.search([f"{passage.place} {passage.text}"], 50)
            found = (self._all[int(place)] for place, _ in hits)
            return next((one for one in found if one.doc_id in allowed and one in usable), None)

        return Dealer(self.passages.by_document, splits, self.wishes.splits, self.wishes.kinds, neighbour)

    def _index(self, aside: Path) -> Bm25Index:
        import bm25s  # noqa: F401

        # It sets its own level when it is imported.
        logging.getLogger("bm25s").setLevel(logging.WARNING)
        rows = [Document(str(place), one.place, one.text) for place, one in enumerate(self._all)]
        Bm25Index.save(aside, rows, self.detected.language)
        return Bm25Index(aside)

    def _save(self, items: Sequence[Item]) -> None:
        self._report.reviewed = sum(item.reviewed for item in items)
        if items:
            files.write(self.place, self.contents, items, self.contents.rejected)
        if not self._report.tried:
            return
        rows = (_fate_row(fate) for fate in self._fates)
        write_jsonl(self.place / STATE / "dropped.jsonl", rows)
        summary = json.dumps(self._report.__dict__, indent=1, ensure_ascii=False)
        write_atomically(self.place / STATE / "report.json", summary + "\n")


def span_of(passage: Passage) -> Span:
    """Return the span of a passage in the text of its document."""
    return passage.doc_id, passage.start, passage.end


def _fate_row(fate: Fate) -> dict[str, Any]:
    job, draft, reason = fate
    row: dict[str, Any] = {"reason": reason, "kind": job.kind, "split": job.split, "question": draft.question}
    row |= {"answer": draft.answer, "quotes": list(draft.quotes)}
    return row | {"passages": [span_of(one) for one in job.passages]}


def _silent(done: int, total: int) -> None:
    """Show no progress: a round is short."""
