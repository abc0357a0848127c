"""Why a question is dropped: rules that know the whole corpus and all questions that were kept before.

Words are those of the corpus's language. What a writer is asked to check comes after all rules.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.models.search import Bm25Index
from harness.scoring import AbstentionRule, is_abstention
from harness.testset import reasons
from harness.testset.dealing import Job
from harness.testset.drafts import Draft, Similarity
from harness.testset.evidence import Span, covers, places_of
from harness.testset.passages import Passage
from harness.testset.wordings import content_words, shared_words, wording_reason
from harness.text import Texts

NEAR = 90.0
"""Likeness of two questions, in percent, from which on one repeats the other."""
COMMON_DOCUMENTS = 0.1
"""A word in more documents than this share of all sets none apart."""
FEW_DOCUMENTS = 3
"""A word in so few documents sets one apart, however small the corpus is."""
ANSWERED_SHARE = 0.8
"""Share of the words of a question that one passage has: it answers it, as far as words can tell."""
SUPPORTED_SHARE, ABOUT_SHARE, TOPIC_SHARE = 0.6, 0.5, 0.3
"""Shares of words: of an answer in its evidence, of a question in its passage, and of one without an answer."""
SIMILAR, NEAR_TOPIC = 0.6, 0.4
"""Similarity by a model, where words alone decide the rest: of a question to its evidence, or to its topic."""
ASKED = 2
"""Content words of a question beside those of its title."""
ADDED = 1
"""Content words that an answer has beside those of its question."""
PURPOSE = re.compile(
    r"\bwhat(?:'s| is| are| was) (?:the )?(?:\w+ )?"
    r"(?:purpose|meaning|role|difference|significance|name|use|function)\b",
    re.IGNORECASE,
)
"""What a small model asks of everything, and a single sentence rarely says."""
SEARCHED = 5
ANY_LANGUAGE = AbstentionRule(language="mul")


class Judged(NamedTuple):
    """A draft with its spans, and the reason why it is dropped; empty if it is not."""

    reason: str
    spans: tuple[Span, ...] = ()


class Filters:
    """The rules for one corpus; it learns every question that is kept."""

    def __init__(
        self, passages: Sequence[Passage], texts: Texts, index: Bm25Index, questions: Iterable[str],
        similarity: Similarity | None,
    ) -> None:  # fmt: skip
        """`index` holds `passages` by their place in the list; `questions` are there already.

        With a `similarity`, it and words decide whether an answer is supported: the writer cannot be asked.
        """
        self._passages, self._texts, self._index = list(passages), texts, index
        self._similarity = similarity or (lambda first, second: 1.0)
        self._lexical = similarity is not None
        self._stems = [content_words(f"{one.place}\n{one.text}", texts) for one in self._passages]
        self._places = {passage: place for place, passage in enumerate(self._passages)}
        self._documents: Counter[str] = Counter()
        of_document: dict[str, set[str]] = {}
        for passage, words in zip(self._passages, self._stems, strict=True):
            of_document.setdefault(passage.doc_id, set()).update(words)
        for found in of_document.values():
            self._documents.update(found)
        self._few = max(FEW_DOCUMENTS, COMMON_DOCUMENTS * len(of_document))
        self._kept: list[frozenset[str]] = []
        for question in questions:
            self.keep(question)

    def keep(self, question: str) -> None:
        """Learn a question that is kept."""
        self._kept.append(content_words(question, self._texts))

    def judge(self, job: Job, draft: Draft) -> Judged:
        """Return why a draft is dropped by what is known before other questions of its round."""
        if found := wording_reason(draft.question, job, self._texts) or self._general(draft.question):
            return Judged(found)
        if job.kind == "unanswerable":
            return Judged(self._open(job, draft))
        spans = tuple(places_of(draft.quotes, job.passages))
        return Judged(self._evidence(job, draft, spans), spans)

    def repeats(self, question: str) -> bool:
        """Return whether a question says what one says that is kept: in words of any order and form.

        Two that differ in words that the corpus knows ask about different things, however long they are.
        """
        from rapidfuzz.fuzz import ratio

        asked = content_words(question, self._texts)
        for other in self._kept:
            more, less = asked - other, other - asked
            named = more and less and all(self._documents[word] for word in more | less)
            if not named and ratio(" ".join(sorted(asked)), " ".join(sorted(other)), score_cutoff=NEAR):
                return True
        return False

    def nearest(self, question: str, besides: Sequence[Passage] = (), most: int = SEARCHED) -> list[Passage]:
        """Return the passages that a search finds for a question, best first."""
        (hits,) = self._index.search([question], most + len(besides))
        found = [self._passages[int(place)] for place, _ in hits]
        return [passage for passage in found if passage not in besides][:most]

    def elsewhere(self, job: Job, draft: Draft, most: int) -> tuple[Passage, ...]:
        """Return the passages of other documents that a search finds for a question with its answer, best first."""
        same = sum(passage.doc_id in job.doc_ids for passage in self._passages)
        found = self.nearest(f"{draft.question} {draft.answer}", most=most + same)
        return tuple(passage for passage in found if passage.doc_id not in job.doc_ids)[:most]

    def _general(self, question: str) -> str:
        words = content_words(question, self._texts)
        return "" if any(self._documents[word] <= self._few for word in words) else reasons.GENERAL

    def _open(self, job: Job, draft: Draft) -> str:
        stems = content_words(draft.question, self._texts)
        if self._lexical and (PURPOSE.search(draft.question) or len(stems) <= ASKED):
            return reasons.VAGUE if PURPOSE.search(draft.question) else reasons.GENERAL
        topic = f"{job.passages[0].place}\n{job.passages[0].text}"
        if shared_words(draft.question, topic, texts=self._texts) < TOPIC_SHARE:
            return reasons.OFF_TOPIC
        if self._similarity(draft.question, topic) < NEAR_TOPIC:
            return reasons.OFF_TOPIC
        hits = self.nearest(draft.question)
        found = max((len(stems & self._stems_of(passage)) / len(stems) for passage in hits), default=0.0)
        return reasons.ANSWERED if found >= ANSWERED_SHARE else ""

    def _stems_of(self, passage: Passage) -> frozenset[str]:
        return self._stems[self._places[passage]]

    def _evidence(self, job: Job, draft: Draft, spans: Sequence[Span]) -> str:
        if not draft.answer.strip() or is_abstention(draft.answer, ANY_LANGUAGE):
            return reasons.NO_ANSWER
        if not all(covers(spans, passage) for passage in job.passages):
            return reasons.UNFOUND
        if not self._lexical:
            return ""
        if any(PURPOSE.search(question) for question, _ in draft.parts or ((draft.question, ""),)):
            return reasons.VAGUE
        return self._by_words(job, draft)

    def _by_words(self, job: Job, draft: Draft) -> str:
        """Return what words say of a question whose writer cannot check it: each part against its own evidence."""
        parts = draft.parts or ((draft.question, "\n".join(draft.quotes)),)
        places = job.passages if len(parts) == len(job.passages) else job.passages * len(parts)
        for (question, evidence), passage in zip(parts, places, strict=False):
            answer = evidence if draft.parts else draft.answer
            if found := self._by_part(job, passage, question, answer, evidence):
                return found
        return ""

    def _by_part(self, job: Job, passage: Passage, question: str, answer: str, evidence: str) -> str:
        share, texts = shared_words, self._texts
        if self._adds(answer, f"{question} {passage.place}") < ADDED:
            return reasons.REPEATS
        if share(answer, evidence, texts=texts) < SUPPORTED_SHARE:
            return reasons.UNSUPPORTED
        if self._similarity(question, f"{passage.title}: {evidence}") < SIMILAR:
            return reasons.OFF_TOPIC
        asked = self._asked(question, passage.title)
        if job.kind != "paraphrased":
            if not asked or share(question, evidence, passage.title, texts) < ABOUT_SHARE:
                return reasons.OFF_TOPIC
            if len(asked) < ASKED:
                return reasons.GENERAL
        wanted = asked | self._asked(answer, passage.title)
        others = {
            other.doc_id
            for other, words in zip(self._passages, self._stems, strict=True)
            if wanted <= words and other.doc_id not in job.doc_ids
        }
        return reasons.ELSEWHERE if others else ""

    def _asked(self, question: str, title: str) -> frozenset[str]:
        """Return the content words of a question that its document's title does not have."""
        return content_words(question, self._texts) - content_words(title, self._texts)

    def _adds(self, answer: str, known: str) -> int:
        """Return how many content words of an answer are not known from the question."""
        return len(content_words(answer, self._texts) - content_words(known, self._texts))
