"""The loss funnel: every question of a system in exactly one place, from the pool to the answer.

A place says what a question was lost to first, in the order of the pipeline: its passage was not found, or not shown,
or it was shown and the generator made nothing of it. A right answer is no loss, wherever its passage was. This module
must not know where runs and answers come from, nor who computed their scores.
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
"""How many times as long as a reference an answer may be to be said to hold it, in characters of normalised tokens.

The shorter a reference, the likelier it stands in an answer by chance: "1" counts in 20 characters, "Paris" in 100.
"""


class Lists(NamedTuple):
    """Where documents stand. `run` has the lists in their final order, `pool` those before a reranker, if there is one.

    The pool is the first `depth` of a list; the first `context` are shown to the generator.
    """

    run: Run
    qrels: Qrels
    depth: int
    context: int
    pool: Run | None = None

    def shown(self, query_id: str) -> list[str]:
        return [doc_id for doc_id, _ in self.run.get(query_id, [])[: self.context]]

    def place(self, query_id: str, relevant: Collection[str], shown: Collection[str]) -> PlaceName:
        """Where the first relevant document is. A question that the run lacks has an empty list."""
        if not set(relevant).isdisjoint(shown):
            return "in the context"
        pool = self.run if self.pool is None else self.pool
        found = {doc_id for doc_id, _ in pool.get(query_id, [])[: self.depth]}
        return "not in the pool" if found.isdisjoint(relevant) else "not in the context"


class Written(NamedTuple):
    """What was written to the sampled questions, those of `references`, and what it is worth.

    `right` has the values of `measure`, which decides what is right: from `threshold` on. None, or no value, is a
    failure; what does not apply to an answer is 0, as in `utility`. `format` has the values of the measure of that
    name, or is None where the suite has no answer format. `questions` are the texts of the questions, if they are at
    hand: an answer that only repeats words of its question holds no reference. `abstention` says what counts as
    declining, and in which language words are read.
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
        """What is right, in words."""
        most = self.threshold >= self.measure.kind.high
        said = f"right: {self.measure} of {self.threshold:g}{'' if most else ' or more'}"
        return said if self.format is None else f"{said}, in the answer format"


def retrieval(system: str, lists: Lists, groups: Mapping[str, str], examples: int) -> Funnel:
    """Place every judged question by where its relevant documents are; `examples` ids are named for each place."""
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
    """Place every sampled question by what became of it; `examples` ids are named for each place.

    An answerable question is right, or in the wrong format, whatever was shown; else it is where its relevant passage
    is: not in the pool, not in the context, or shown to a generator that abstained or answered wrongly. In the wrong
    format: the measure calls it right and the answer format is not kept, or the measure does not and a reference
    stands in it (see `holds_reference`). Failed: there is no answer, what decides has no value, or no passage is known
    to be relevant to an answer that is not right.
    """
    found: dict[Population, dict[str, PlaceName]] = {"answerable": {}, "unanswerable": {}}
    right_without = 0
    for query_id, reference in written.references.items():
        answer = written.answers.get(query_id)
        if not reference.answerable:
            found["unanswerable"][query_id] = _declined(answer, written.abstention)
            continue
        relevant = _judged_relevant(query_id, lists.qrels) or reference.source_passages
        shown = answer.context if answer is not None and answer.context else lists.shown(query_id)
        where = lists.place(query_id, relevant, shown) if relevant else "failed"
        found["answerable"][query_id] = place = _answered(answer, reference, written, where)
        right_without += place in ("right", "wrong format") and where != "in the context"
    return Funnel(
        kind="answers",
        system=system,
        rule=written.rule,
        depth=lists.depth,
        context=lists.context,
        groups=len({groups[query_id] for query_id in written.references}),
        places=(
            *_counted("answerable", ANSWERABLE, found["answerable"], groups, examples),
            *_counted("unanswerable", UNANSWERABLE, found["unanswerable"], groups, examples),
        ),
        right_without=right_without,
    )


def holds_reference(
    text: str, references: Sequence[str], question: str = "", abstention: AbstentionRule = PLAIN
) -> bool:
    """Whether a reference answer stands in a text, word for word, both normalised as SQuAD does.

    That is too easily true by chance, so there are guards: the text must be no abstention and at most `WORDIEST` times
    as long as the reference, and the reference must say a word that is not in the question. "It is not Paris" holds
    "Paris" all the same.
    """
    if is_abstention(text, abstention):
        return False
    language = abstention.language
    said, asked = " ".join(normalised_tokens(text, language)), set(normalised_tokens(question, language))
    for reference in references:
        tokens = normalised_tokens(reference, language)
        wanted = " ".join(tokens)
        if set(tokens) - asked and len(said) <= WORDIEST * len(wanted) and f" {wanted} " in f" {said} ":
            return True
    return False


def _judged_relevant(query_id: str, qrels: Qrels) -> list[str]:
    return list(relevant_grades(qrels.get(query_id, {})))


def _declined(answer: Answer | None, abstention: AbstentionRule) -> PlaceName:
    if answer is None:
        return "failed"
    return "abstained" if is_abstention(answer.text, abstention) else "invented"


def _answered(answer: Answer | None, reference: Reference, written: Written, where: PlaceName) -> PlaceName:
    """Where an answerable question ends; `where` its relevant passage is, ``failed`` if none is known."""
    if answer is None:
        return "failed"
    if is_abstention(answer.text, written.abstention):
        return "abstained" if where == "in the context" else where
    return _by_content(answer, reference, written) or ("answered wrongly" if where == "in the context" else where)


def _by_content(answer: Answer, reference: Reference, written: Written) -> PlaceName | None:
    """``right``, ``wrong format`` or ``failed``; None if the answer does not hold what was asked for."""
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
    """All places of a population in the order of the pipeline, also those where no question ended."""
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
