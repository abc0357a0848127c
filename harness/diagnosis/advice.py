"""Advice: the rules of `rules`, evaluated on the facts of a diagnosis, with what each advice could buy and cost.

What is advised comes in the order of the classes, what is advised against after it. What could be bought is what ideal
parts gained: a bound for rank measures, an estimate for answers. This module must not know how facts are measured.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, get_args

from harness.diagnosis.facts import curve_of
from harness.diagnosis.meanings import Facts, in_words, meaning, number
from harness.diagnosis.rules import QUOTED, TUNES, Condition, Rule, Rules
from harness.suite.recipes import Part
from harness.values.insights import Advice, CostEstimate, Diagnosis, Oracle, OracleGain, Worth
from harness.values.measures import parse

PARTS: tuple[Part, ...] = get_args(Part)
IDEALS: dict[Part, Oracle] = {
    "retriever": "ideal-retriever", "reranker": "ideal-reranker", "generator": "ideal-generator",
}  # fmt: skip
SIGNS = {">=": "at least", ">": "over", "<=": "at most", "<": "under"}


def advise(
    seen: Diagnosis, rules: Rules, candidates: Mapping[str, Sequence[Part]], uncalibrated: Collection[str] = ()
) -> tuple[Advice, ...]:
    """Return what the rules advise, best first; each rule once at most.

    Reads the facts, headroom, curves and quotes of `seen`. `candidates` are those of the suite with what they tune,
    `unproven` the measures that the facts leave out. Tuning is advised against where every candidate for it is quoted
    over a limit.
    """
    book = _Book(rules, seen, candidates, uncalibrated)
    found = {rule.id: book.advice(rule, rule.tunes) for rule in book.rules.values() if book.fires(rule)}
    single = [one for one in found.values() if one.kind == "tune" and not one.against and len(one.tunes) == 1]
    parts = tuple(part for part in PARTS if any(part in one.tunes for one in single))
    if len(parts) > 1:
        found |= {rule.id: book.in_stages(rule, parts, single) for rule in book.rules.values() if rule.together}
    ranked = sorted(found.values(), key=lambda one: (one.against, *book.place(one.rule)))
    return tuple(one.model_copy(update={"rank": rank}) for rank, one in enumerate(ranked, start=1))


def could_buy(oracle_gains: Iterable[OracleGain], tunes: Iterable[str]) -> tuple[Worth, ...]:
    """What tuning these parts together could buy, on every measure that they can change.

    Of rank measures: what the ideal retriever gained, if it is among them, else the ideal reranker; a generator changes
    no ranks. Where a real reranker stands behind the ideal retriever, only a perfect score bounds both together.
    Of answers: one part buys what its ideal did, retriever and reranker what `oracle-context` did. If the generator is
    tuned with either, nothing but a perfect score bounds them.
    """
    by_measure: dict[str, dict[Oracle, OracleGain]] = {}
    for room in oracle_gains:
        if room.difference is not None:
            by_measure.setdefault(room.measure, {})[room.ideal] = room
    parts, found = frozenset(tunes), []
    for measure, rooms in by_measure.items():
        if _only_perfect(parts, rooms, is_rank=parse(measure).is_rank):
            found += _perfect(measure, rooms.values())
        else:
            ideals = _ideals(parts, is_rank=parse(measure).is_rank)
            found += [_worth(rooms[ideal]) for ideal in ideals if ideal in rooms][:1]
    return tuple(found)


def _only_perfect(parts: frozenset[str], rooms: Mapping[Oracle, OracleGain], *, is_rank: bool) -> bool:
    """Whether no ideal part says what these could buy together."""
    if not is_rank:
        return "generator" in parts and len(parts) > 1
    ideal = rooms.get("ideal-retriever")
    return parts >= {"retriever", "reranker"} and ideal is not None and not ideal.bound


def _ideals(parts: frozenset[str], *, is_rank: bool) -> Sequence[Oracle]:
    """The ideals that say what parts could buy, the best one first; parts of retrieval, or the generator alone."""
    single: list[Oracle] = [ideal for part, ideal in IDEALS.items() if part in parts]
    if is_rank:
        return [ideal for ideal in single if ideal != "ideal-generator"][:1]
    if parts <= {"generator"}:
        return single
    return [*single, "oracle-context"] if len(parts) == 1 else ["oracle-context"]


def _worth(room: OracleGain) -> Worth:
    difference = room.difference or 0.0
    return Worth(measure=room.measure, difference=difference, low=room.low, high=room.high, bound=room.bound)


def _perfect(measure: str, rooms: Iterable[OracleGain]) -> list[Worth]:
    kind = parse(measure).kind
    perfect = kind.low if kind.better == "lower" else kind.high
    return [Worth(measure=measure, difference=abs(perfect - room.real)) for room in rooms if room.real is not None][:1]


class _Book:
    """The rules against one diagnosis: which hold, what each advises, and what would turn it."""

    def __init__(
        self, rules: Rules, seen: Diagnosis, candidates: Mapping[str, Sequence[Part]], uncalibrated: Collection[str]
    ) -> None:
        self.rules, self.seen, self.facts, self.candidates = rules.rules, seen, seen.facts, candidates
        self.uncalibrated = uncalibrated
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
        """What rules are sorted by: the class, in it the fact `rank_by`, then the order of the file."""
        rank_by = self.rules[name].rank_by
        weight = self.facts.get(rank_by) if rank_by else None
        return self.classes[name], math.inf if weight is None else -weight, list(self.rules).index(name)

    def advice(self, rule: Rule, tunes: tuple[Part, ...]) -> Advice:
        """What a rule advises, with its rank left open."""
        doing = [name for name, parts in self.candidates.items() if _does(rule, frozenset(tunes), frozenset(parts))]
        estimates = (
            [estimate for estimate in self.seen.estimates if estimate.candidate in doing] if rule.kind == "tune" else []
        )
        trouble = {estimate.candidate: list(_over(estimate, self.facts)) for estimate in estimates}
        within = [estimate for estimate in estimates if not trouble[estimate.candidate]]
        return Advice(
            rank=0,
            rule=rule.id,
            kind=rule.kind,
            action=_filled(rule.action, self.facts, tunes) or rule.id,
            tunes=tunes,
            candidates=tuple(doing),
            against=rule.against or (bool(estimates) and not within and len(estimates) == len(doing)),
            could_buy=_buys(rule, tunes, self.seen, self.uncalibrated),
            why=(*_reasons(rule, self.facts, tunes), *(text for said in trouble.values() for text in said)),
            would_change=tuple(dict.fromkeys(self._turning(rule))),
            estimate=_cheapest(within or estimates),
        )

    def in_stages(self, rule: Rule, parts: tuple[Part, ...], single: Sequence[Advice]) -> Advice:
        """The advice to tune several parts, with the first reason of each."""
        whole = self.advice(rule, parts)
        why = (*(one.why[0] for one in single if one.why), *whole.why)
        turning = (text for one in single for text in one.would_change)
        return whole.model_copy(update={"why": why, "would_change": tuple(dict.fromkeys(turning))})

    def _turning(self, rule: Rule) -> Iterator[str]:
        """What would change that the rule holds, as phrases with the present values."""
        yield from (self._phrase(condition.opposite) for condition in rule.when)
        if holding := [self._phrase(condition.opposite) for condition in rule.any if condition.holds(self.facts)]:
            yield ", and with it ".join(holding)
        yield from (self._phrase(condition) for condition in rule.not_when if self._known(condition))
        for name in rule.unless:
            # A rule that would stop this one, and lacks one condition to hold.
            other = self.rules[name]
            lacking = [condition for condition in other.when if not condition.holds(self.facts)]
            stopped = other.any or any(condition.holds(self.facts) for condition in other.not_when)
            if len(lacking) == 1 and not stopped and self._known(lacking[0]):
                yield self._phrase(lacking[0])

    def _known(self, condition: Condition) -> bool:
        return self.facts.get(condition.fact) is not None and condition.limit(self.facts) is not None

    def _phrase(self, condition: Condition) -> str:
        """``the number of groups of questions at least 20 (now 12)``; of a condition on known facts."""
        found, value, limit = meaning(condition.fact), self.facts.get(condition.fact), condition.limit(self.facts)
        assert found is not None
        assert value is not None
        assert limit is not None
        if found.unit == "yes":
            wanted = Condition(condition.fact, condition.sign, limit).holds({condition.fact: 1.0})
            return f"if it were {'' if wanted else 'not '}so that {found.about}"
        bound = number(limit, found.unit)
        if isinstance(condition.bound, str) and (other := meaning(condition.bound)):
            alike = condition.times == 1
            times = "" if alike else f"{condition.times:g} times "
            bound = f"{times}{other.about.rstrip(',')} ({number(limit, other.unit if alike else found.unit)})"
        return f"{found.about} {SIGNS[condition.sign]} {bound} (now {number(value, found.unit)})"


def _does(rule: Rule, tunes: frozenset[Part], parts: frozenset[Part]) -> bool:
    """Whether a candidate that tunes `parts` does what a rule speaks of."""
    if rule.kind == "leave":
        return parts <= tunes
    return bool(tunes) and (tunes <= parts if rule.against else tunes == parts)


def _cheapest(estimates: Sequence[CostEstimate]) -> CostEstimate | None:
    return min(
        estimates, key=lambda estimate: (estimate.dollars, estimate.seconds_in_full, estimate.candidate), default=None
    )


def _over(estimate: CostEstimate, facts: Facts) -> Iterator[str]:
    """Which limits a candidate is over. One that adds no time is not to blame for a pipeline that is too slow."""
    usd, limit, now = (facts.get(name) for name in ("limit.usd", "limit.p95_ms", "p95_ms"))
    if usd is not None and estimate.dollars > usd:
        cost = number(estimate.dollars, "dollars")
        limit_text = number(usd, "dollars")
        yield f"{estimate.candidate} is estimated to cost {cost} to make, over max_build_usd ({limit_text})."
    if (
        limit is not None
        and now is not None
        and estimate.added_p95_ms
        and now + max(0.0, estimate.added_p95_ms) > limit
    ):
        time = number(now + estimate.added_p95_ms, "ms")
        guess = " by a guess" * (estimate.basis.get("rerank") == "guessed")
        yield f"{estimate.candidate} is estimated{guess} to take {time} (p95), over max_p95_ms ({number(limit, 'ms')})."


def _buys(rule: Rule, tunes: Sequence[Part], seen: Diagnosis, uncalibrated: Collection[str]) -> tuple[Worth, ...]:
    """What following a rule could buy; of what is left alone, the most that any one part could."""
    if rule.buys == "depth" or rule.buys == "context":
        return _of_curve(rule.buys, seen, uncalibrated)
    if rule.buys == "without-reranker":
        found = (room for room in seen.oracle_gains if room.ideal == rule.buys and room.difference is not None)
        return tuple(map(_worth, found))
    if rule.kind != "leave":
        return could_buy(seen.oracle_gains, (rule.buys,) if rule.buys else tunes)
    most: dict[str, Worth] = {}
    for worth in (worth for part in tunes for worth in could_buy(seen.oracle_gains, (part,))):
        most[worth.measure] = max(most.get(worth.measure, worth), worth, key=lambda one: one.difference)
    return tuple(most.values())


def _of_curve(kind: Literal["depth", "context"], seen: Diagnosis, uncalibrated: Collection[str]) -> tuple[Worth, ...]:
    curve, name = curve_of(seen, kind, uncalibrated), f"gain.{kind}"
    gain, low, high = (seen.facts.get(name + end) for end in ("", ".low", ".high"))
    if curve is None or gain is None:
        return ()
    return (Worth(measure=curve.measure, difference=gain, low=low, high=high, bound=False),)


def _reasons(rule: Rule, facts: Facts, tunes: Sequence[Part]) -> Iterator[str]:
    for sentence in rule.because:
        if all(condition.holds(facts) for condition in sentence.where) and (
            said := _filled(sentence.say, facts, tunes)
        ):
            yield said


def _listed(parts: Sequence[Part]) -> str:
    """``retriever, reranker and generator``."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _filled(template: str, facts: Facts, tunes: Sequence[Part]) -> str | None:
    """The words with what they quote; None if they quote a fact that is not known."""
    quoted = {name: in_words(name, facts) for name in QUOTED.findall(template)} | {TUNES: _listed(tunes)}
    if None in quoted.values():
        return None
    return QUOTED.sub(lambda match: str(quoted[match[1]]), template)
