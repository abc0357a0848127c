"""The loss funnel: every query of a system in exactly one place, from the pool to the answer.

A place says where a query was lost first, in the order of the pipeline: no relevant document was found, or none was
shown, or the generator got one and failed. A correct answer is no loss, wherever its passage ranked. This module must
not know where runs and answers come from, nor who computed their scores.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from harness.hashing import by_hash
from harness.scoring import PLAIN, AbstentionRule, is_abstention, judged_queries
from harness.scoring.answers import normalised_tokens
from harness.statistics.shares import share_of
from harness.values.grades import relevant_grades
from harness.values.insights import Funnel, FunnelPlace, PlaceName, Population
from harness.values.measures import Measure
from harness.values.records import Answer, Qrels, Reference, Run

RETRIEVAL: tuple[PlaceName, ...] = ("not in the pool", "not in the context", "in the context")
ANSWERABLE: tuple[PlaceName, ...] = (
    "not in the pool", "not in the context", "answered wrongly", "abstained", "wrong format", "right", "failed",
)  # fmt: skip
UNANSWERABLE: tuple[PlaceName, ...] = ("abstained", "invented", "failed")
WORDIEST = 20
"""An answer may be this many times as long as a reference and still count as holding it, in normalised characters.

A short reference often occurs in an answer by chance: "1" counts in up to 20 characters, "Paris" in up to 100.
"""


class Lists(NamedTuple):
    """The rankings of a system: `run` in the final order, `pool` before the reranker, if there is one.

    The pool is the first `depth` documents of a ranking; the first `context` are shown to the generator.
    """

    run: Run
    qrels: Qrels
    depth: int
    context: int
    pool: Run | None = None

    def shown(self, query_id: str) -> list[str]:
        return [doc_id for doc_id, _ in self.run.get(query_id, [])[: self.context]]

    def place(self, query_id: str, relevant: Collection[str], shown: Collection[str]) -> PlaceName:
        """Return where the first relevant document is. A query that the run lacks has an empty ranking."""
        if not set(relevant).isdisjoint(shown):
            return "in the context"
        pool = self.run if self.pool is None else self.pool
        pooled = {doc_id for doc_id, _ in pool.get(query_id, [])[: self.depth]}
        return "not in the pool" if pooled.isdisjoint(relevant) else "not in the context"


class Written(NamedTuple):
    """The answers to the sampled queries, those of `references`, with their scores.

    `right` has the values of `measure`, which decides what is right: from `threshold` on. None, or no value, is a
    failure; 0 if the measure does not apply to an answer, as in `utility`. `format` has the values of the measure
    `format`, or is None if the suite has no answer format. `questions` are the texts of the queries, if known: an
    answer that only repeats words of its query does not hold a reference. `abstention` says what counts as declining,
    and in which language words are read.
    """

    answers: Mapping[str, Answer]
    references: Mapping[str, Reference]
    right: Mapping[str, float | None]
    measure: Measure
    threshold: float
    format: Mapping[str, float | None] | None = None
    questions: Mapping[str, str] = {}
    abstention: AbstentionRule = AbstentionRule()

    @property
    def rule(self) -> str:
        """What counts as right, in words."""
        most = self.threshold >= self.measure.kind.high
        words = f"right: {self.measure} of {self.threshold:g}{'' if most else ' or more'}"
        return words if self.format is None else f"{words}, in the answer format"


def retrieval(system: str, lists: Lists, groups: Mapping[str, str], examples: int) -> Funnel:
    """Return the funnel of retrieval: judged queries by where their relevant documents are, with some ids for each."""
    places = {
        query_id: lists.place(query_id, _judged_relevant(query_id, lists.qrels), lists.shown(query_id))
        for query_id in judged_queries(lists.qrels)
    }
    return Funnel(
        kind="retrieval",
        system=system,
        rule=f"in the pool: a relevant document among the first {lists.depth}; in the context: one among the first "
        f"{lists.context}",
        depth=lists.depth,
        context=lists.context,
        groups=len({groups[query_id] for query_id in places}),
        places=_counted("answerable", RETRIEVAL, places, groups, examples),
    )


def answers(system: str, lists: Lists, written: Written, groups: Mapping[str, str], examples: int) -> Funnel:
    """Return the funnel of answers: sampled queries by what became of them, with some ids for each.

    An answerable query is right, or in the wrong format, whatever was shown. Otherwise its place is that of its
    relevant passage: not in the pool, not in the context, or shown to a generator that abstained or answered wrongly.
    Wrong format: the measure calls the answer right and it does not keep the answer format, or the measure does not
    and the answer holds a reference (see `holds_reference`). Failed: there is no answer, the deciding measure has no
    value, or no passage is known to be relevant to an answer that is not right.
    """
    placed: dict[Population, dict[str, PlaceName]] = {"answerable": {}, "unanswerable": {}}
    right_without = 0
    for query_id, reference in written.references.items():
        answer = written.answers.get(query_id)
        if not reference.answerable:
            placed["unanswerable"][query_id] = _declined(answer, written.abstention)
            continue
        relevant = _judged_relevant(query_id, lists.qrels) or reference.source_passages
        shown = answer.context if answer is not None and answer.context else lists.shown(query_id)
        where = lists.place(query_id, relevant, shown) if relevant else "failed"
        placed["answerable"][query_id] = place = _answered(answer, reference, written, where)
        right_without += place in ("right", "wrong format") and where != "in the context"
    return Funnel(
        kind="answers",
        system=system,
        rule=written.rule,
        depth=lists.depth,
        context=lists.context,
        groups=len({groups[query_id] for query_id in written.references}),
        places=(
            *_counted("answerable", ANSWERABLE, placed["answerable"], groups, examples),
            *_counted("unanswerable", UNANSWERABLE, placed["unanswerable"], groups, examples),
        ),
        right_without=right_without,
        right_measure=str(written.measure),
    )


def holds_reference(
    text: str, references: Sequence[str], question: str = "", abstention: AbstentionRule = PLAIN
) -> bool:
    """Return whether a text holds a reference answer word for word, both normalised as SQuAD does.

    Guards against chance matches: the text must not be an abstention, nor longer than `WORDIEST` times the reference,
    and the reference must have a word that is not in the question. "It is not Paris" still holds "Paris".
    """
    if is_abstention(text, abstention):
        return False
    language = abstention.language
    words, asked = " ".join(normalised_tokens(text, language)), set(normalised_tokens(question, language))
    for reference in references:
        tokens = normalised_tokens(reference, language)
        wanted = " ".join(tokens)
        if set(tokens) - asked and len(words) <= WORDIEST * len(wanted) and f" {wanted} " in f" {words} ":
            return True
    return False


def _judged_relevant(query_id: str, qrels: Qrels) -> list[str]:
    return list(relevant_grades(qrels.get(query_id, {})))


def _declined(answer: Answer | None, abstention: AbstentionRule) -> PlaceName:
    if answer is None:
        return "failed"
    return "abstained" if is_abstention(answer.text, abstention) else "invented"


def _answered(answer: Answer | None, reference: Reference, written: Written, where: PlaceName) -> PlaceName:
    """Return the place of an answerable query; `where` is that of its relevant passage, ``failed`` if none is known."""
    if answer is None:
        return "failed"
    if is_abstention(answer.text, written.abstention):
        return "abstained" if where == "in the context" else where
    return _by_content(answer, reference, written) or ("answered wrongly" if where == "in the context" else where)


def _by_content(answer: Answer, reference: Reference, written: Written) -> PlaceName | None:
    """Return ``right``, ``wrong format`` or ``failed``; None if the answer is wrong."""
    query_id = answer.query_id
    value = written.right.get(query_id)
    if value is None:
        return "failed"
    if value >= written.threshold:
        kept = 1.0 if written.format is None else written.format.get(query_id)
        return "failed" if kept is None else "right" if kept else "wrong format"
    held = holds_reference(answer.text, reference.answers, written.questions.get(query_id, ""), written.abstention)
    return "wrong format" if held else None


def _counted(
    population: Population,
    names: Sequence[PlaceName],
    places: Mapping[str, PlaceName],
    groups: Mapping[str, str],
    examples: int,
) -> tuple[FunnelPlace, ...]:
    """Return all places of a population in the order of the pipeline, empty ones included."""
    if not places:
        return ()
    ended = {name: [query_id for query_id, place in places.items() if place == name] for name in names}
    shares = {name: share_of(ended[name], places, groups) for name in names}
    return tuple(
        FunnelPlace(
            name=name,
            population=population,
            count=len(ended[name]),
            share=shares[name].value,
            low=shares[name].low,
            high=shares[name].high,
            examples=tuple(by_hash(ended[name])[:examples]),
        )
        for name in names
    )
