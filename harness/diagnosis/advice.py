"""Advice: the rules of `rules`, evaluated on the facts of a diagnosis, with the possible gain and the cost of each.

Advice comes in the order of the classes, and what is advised against comes last. This module must not know how facts
are measured.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import get_args

from harness.diagnosis import pasted
from harness.diagnosis.facts import measures_of
from harness.diagnosis.meanings import Facts, in_words, meaning, number
from harness.diagnosis.rules import FREE, FREE_ANSWERS, QUOTED, TUNES, Condition, Rule, Rules
from harness.diagnosis.training_free import best, cost_of
from harness.diagnosis.worths import measured_gain, possible_gain, what_is_left
from harness.suite.recipes import Part
from harness.values.insights import Advice, CostEstimate, Diagnosis, Worth
from harness.values.training_free import TrainingFree

PARTS: tuple[Part, ...] = get_args(Part)
SIGNS = {">=": "is at least", ">": "is above", "<=": "is at most", "<": "is below"}


def advise(
    seen: Diagnosis, rules: Rules, candidates: Mapping[str, Sequence[Part]], uncalibrated: Collection[str] = ()
) -> tuple[Advice, ...]:
    """Return what the rules advise, best first; each rule at most once.

    Reads the facts, oracle gains, curves and cost estimates of `seen`. `candidates` maps those of the suite to the
    parts they tune. `uncalibrated` are the measures that the facts leave out. Tuning is advised against if every
    candidate for it is estimated to be over a limit.
    """
    book = _Book(rules, seen, candidates, uncalibrated)
    by_rule = {rule.id: book.advice(rule, rule.tunes) for rule in book.rules.values() if book.fires(rule)}
    single = [
        advice for advice in by_rule.values() if advice.kind == "tune" and not advice.against and len(advice.tunes) == 1
    ]
    parts = tuple(part for part in PARTS if any(part in advice.tunes for advice in single))
    if len(parts) > 1:
        by_rule |= {rule.id: book.in_stages(rule, parts, single) for rule in book.rules.values() if rule.together}
    ranked = sorted(by_rule.values(), key=lambda advice: (advice.against, *book.place(advice.rule)))
    return tuple(advice.model_copy(update={"rank": rank}) for rank, advice in enumerate(ranked, start=1))


class _Book:
    """The rules applied to one diagnosis: which hold, what each advises, and what would change it."""

    def __init__(
        self, rules: Rules, seen: Diagnosis, candidates: Mapping[str, Sequence[Part]], uncalibrated: Collection[str]
    ) -> None:
        self.rules, self.seen, self.facts, self.candidates = rules.rules, seen, seen.facts, candidates
        self.uncalibrated = uncalibrated
        rank, answers = measures_of(seen, uncalibrated)
        limit = seen.facts.get("limit.p95_ms")
        self.free: dict[str, TrainingFree | None] = {
            FREE: best(seen, rank, limit), FREE_ANSWERS: best(seen, answers, limit)
        }  # fmt: skip
        free = self.free[FREE]
        gain = free.gain(rank) if free is not None else None
        self.base = free if gain is not None and gain.is_sure else None
        """The training-free candidate that is advised before any training of retrieval."""
        self.classes = {rule.id: number for number, group in enumerate(rules.classes) for rule in group.rules}

    def fires(self, rule: Rule) -> bool:
        return (
            not rule.together
            and all(condition.holds(self.facts) for condition in rule.when)
            and (not rule.any or any(condition.holds(self.facts) for condition in rule.any))
            and not any(condition.holds(self.facts) for condition in rule.not_when)
            and not any(self.fires(self.rules[name]) for name in rule.unless)
        )

    def place(self, name: str) -> tuple[float, ...]:
        """Return the sort key of a rule: its class, then the fact `rank_by`, then its place in the file."""
        rank_by = self.rules[name].rank_by
        weight = self.facts.get(rank_by) if rank_by else None
        return self.classes[name], math.inf if weight is None else -weight, list(self.rules).index(name)

    def advice(self, rule: Rule, tunes: tuple[Part, ...]) -> Advice:
        """Return the advice of a rule, without its rank."""
        words = {TUNES: _listed(tunes)} | {name: one.name for name, one in self.free.items() if one is not None}
        free = self.free.get(rule.buys or "")
        doing = [name for name, parts in self.candidates.items() if _does(rule, frozenset(tunes), frozenset(parts))]
        doing += [free.name] if free is not None and free.origin == "suite" else []
        estimates = (
            [estimate for estimate in self.seen.estimates if estimate.candidate in doing] if rule.kind == "tune" else []
        )
        over_limits = {estimate.candidate: list(_over(estimate, self.facts)) for estimate in estimates}
        within = [estimate for estimate in estimates if not over_limits[estimate.candidate]]
        return Advice(
            rank=0,
            rule=rule.id,
            kind=rule.kind,
            action=_filled(rule.action, self.facts, words) or rule.id,
            tunes=tunes,
            candidates=tuple(doing),
            against=rule.against or (bool(estimates) and not within and len(estimates) == len(doing)),
            could_buy=self._buys(rule, tunes),
            why=(*_reasons(rule, self.facts, words), *(text for texts in over_limits.values() for text in texts)),
            would_change=tuple(dict.fromkeys(self._turning(rule))),
            estimate=cost_of(free) if free is not None else _cheapest(within or estimates),
            paste=self._pasted(rule, tunes, doing),
        )

    def _buys(self, rule: Rule, tunes: Sequence[Part]) -> tuple[Worth, ...]:
        """Return the possible gain; of tuning retrieval, what the advised training-free change leaves of it."""
        free = self.free.get(rule.buys or "")
        if free is not None:
            return measured_gain(free)
        worths = possible_gain(rule, tunes, self.seen, self.uncalibrated)
        base = self._base(tunes)
        return worths if base is None or rule.kind != "tune" else tuple(what_is_left(base, tunes, worths))

    def _base(self, tunes: Sequence[Part]) -> TrainingFree | None:
        """The training-free candidate that these parts are tuned on; None if they are no parts of retrieval."""
        return self.base if {"retriever", "reranker"} & {*tunes} else None

    def _pasted(self, rule: Rule, tunes: Sequence[Part], doing: Sequence[str]) -> str:
        """Return what to add to the suite; empty if nothing is to be done, or if the suite has it."""
        free = self.free.get(rule.buys or "")
        if free is not None:
            return pasted.of_training_free(free)
        if rule.paste is not None:
            return pasted.of_settings(rule.paste, self.facts)
        base = self._base(tunes)
        if rule.kind != "tune" or rule.against or (doing and base is None):
            return ""
        return pasted.of_tuning(tunes, base, self.candidates)

    def in_stages(self, rule: Rule, parts: tuple[Part, ...], single: Sequence[Advice]) -> Advice:
        """Return the advice to tune several parts, with the first reason of each."""
        whole = self.advice(rule, parts)
        why = (*(advice.why[0] for advice in single if advice.why), *whole.why)
        turning = (text for advice in single for text in advice.would_change)
        return whole.model_copy(update={"why": why, "would_change": tuple(dict.fromkeys(turning))})

    def _turning(self, rule: Rule) -> Iterator[str]:
        """Yield what would make the rule no longer hold, as clauses with the present values."""
        yield from (self._phrase(condition.opposite) for condition in rule.when)
        if holding := [self._phrase(condition.opposite) for condition in rule.any if condition.holds(self.facts)]:
            yield ", and ".join(holding)
        yield from (self._phrase(condition) for condition in rule.not_when if self._known(condition))
        for name in rule.unless:
            # A rule that would stop this one if one more of its conditions held.
            other = self.rules[name]
            lacking = [condition for condition in other.when if not condition.holds(self.facts)]
            stopped = other.any or any(condition.holds(self.facts) for condition in other.not_when)
            if len(lacking) == 1 and not stopped and self._known(lacking[0]):
                yield self._phrase(lacking[0])

    def _known(self, condition: Condition) -> bool:
        return self.facts.get(condition.fact) is not None and condition.limit(self.facts) is not None

    def _phrase(self, condition: Condition) -> str:
        """Return ``the number of groups of queries is at least 20 (now 12)``, for a condition on known facts."""
        fact, value, limit = meaning(condition.fact), self.facts.get(condition.fact), condition.limit(self.facts)
        assert fact is not None
        assert value is not None
        assert limit is not None
        if fact.unit == "yes":
            wanted = Condition(condition.fact, condition.sign, limit).holds({condition.fact: 1.0})
            return fact.about if wanted else fact.negated
        bound = number(limit, fact.unit)
        if isinstance(condition.bound, str) and (other := meaning(condition.bound)):
            alike = condition.times == 1
            times = "" if alike else f"{condition.times:g} times "
            bound = f"{times}{other.about} ({number(limit, other.unit if alike else fact.unit)})"
        return f"{fact.about} {SIGNS[condition.sign]} {bound} (now {number(value, fact.unit)})"


def _does(rule: Rule, tunes: frozenset[Part], parts: frozenset[Part]) -> bool:
    """Return whether a candidate that tunes `parts` does what a rule is about."""
    if rule.kind == "leave":
        return parts <= tunes
    return bool(tunes) and (tunes <= parts if rule.against else tunes == parts)


def _cheapest(estimates: Sequence[CostEstimate]) -> CostEstimate | None:
    return min(
        estimates, key=lambda estimate: (estimate.dollars, estimate.seconds_in_full, estimate.candidate), default=None
    )


def _over(estimate: CostEstimate, facts: Facts) -> Iterator[str]:
    """Yield a sentence for each limit that a candidate is over, but not for a latency that it does not add to."""
    usd, limit, now = (facts.get(name) for name in ("limit.usd", "limit.p95_ms", "p95_ms"))
    if usd is not None and estimate.dollars > usd:
        cost, limit_text = number(estimate.dollars, "dollars"), number(usd, "dollars")
        yield f"{estimate.candidate} is estimated to cost {cost} to build, over max_build_usd ({limit_text})."
    if (
        limit is not None
        and now is not None
        and estimate.added_p95_ms
        and now + max(0.0, estimate.added_p95_ms) > limit
    ):
        time = number(now + estimate.added_p95_ms, "ms")
        guess = " The latency of the reranker is a guess." * (estimate.basis.get("rerank") == "guessed")
        yield f"{estimate.candidate} is estimated to take {time} (p95), over max_p95_ms ({number(limit, 'ms')}).{guess}"


def _reasons(rule: Rule, facts: Facts, words: Mapping[str, str]) -> Iterator[str]:
    for sentence in rule.because:
        text = _filled(sentence.say, facts, words)
        if text is not None and all(condition.holds(facts) for condition in sentence.where):
            yield text


def _listed(parts: Sequence[Part]) -> str:
    """Return ``retriever, reranker and generator``."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _filled(template: str, facts: Facts, words: Mapping[str, str]) -> str | None:
    """Return a template with its facts and words filled in; None if one of them is not known."""
    values = {name: words.get(name) or in_words(name, facts) for name in QUOTED.findall(template)}
    if None in values.values():
        return None
    return QUOTED.sub(lambda match: str(values[match[1]]), template)
