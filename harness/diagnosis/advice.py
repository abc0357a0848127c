"""Advice: the rules of `rules`, evaluated on the facts of a diagnosis, with the possible gain and the cost of each.

Advice comes in the order of the classes, and what is advised against comes last. A possible gain is an oracle gain: an
upper bound for rank measures, an estimate for answers. This module must not know how facts are measured.
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
ORACLES: dict[Part, Oracle] = {
    "retriever": "oracle-retriever", "reranker": "oracle-reranker", "generator": "oracle-generator",
}  # fmt: skip
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


def could_buy(oracle_gains: Iterable[OracleGain], tunes: Iterable[str]) -> tuple[Worth, ...]:
    """Return the possible gain of tuning these parts together, on every measure that they can change.

    Rank measures: the gain of the oracle retriever if the retriever is tuned, else of the oracle reranker. A generator
    does not change rankings. If a real reranker follows the oracle retriever, only a perfect score bounds both.
    Answers: the gain of the part's own oracle, or of `oracle-context` for retriever and reranker together. If the
    generator is tuned together with another part, only a perfect score bounds them.
    """
    by_measure: dict[str, dict[Oracle, OracleGain]] = {}
    for gain in oracle_gains:
        if gain.difference is not None:
            by_measure.setdefault(gain.measure, {})[gain.oracle] = gain
    parts = frozenset(tunes)
    worths: list[Worth] = []
    for measure, gains in by_measure.items():
        if _only_perfect(parts, gains, is_rank=parse(measure).is_rank):
            worths += _perfect(measure, gains.values())
        else:
            oracles = _oracles(parts, is_rank=parse(measure).is_rank)
            worths += [_worth(gains[oracle]) for oracle in oracles if oracle in gains][:1]
    return tuple(worths)


def _only_perfect(parts: frozenset[str], gains: Mapping[Oracle, OracleGain], *, is_rank: bool) -> bool:
    """Return whether no oracle bounds the gain of these parts together."""
    if not is_rank:
        return "generator" in parts and len(parts) > 1
    oracle = gains.get("oracle-retriever")
    return parts >= {"retriever", "reranker"} and oracle is not None and not oracle.bound


def _oracles(parts: frozenset[str], *, is_rank: bool) -> Sequence[Oracle]:
    """Return the oracles that bound the gain of some parts, best first; parts of retrieval, or the generator alone."""
    single: list[Oracle] = [oracle for part, oracle in ORACLES.items() if part in parts]
    if is_rank:
        return [oracle for oracle in single if oracle != "oracle-generator"][:1]
    if parts <= {"generator"}:
        return single
    return [*single, "oracle-context"] if len(parts) == 1 else ["oracle-context"]


def _worth(gain: OracleGain) -> Worth:
    difference = gain.difference or 0.0
    return Worth(measure=gain.measure, difference=difference, low=gain.low, high=gain.high, bound=gain.bound)


def _perfect(measure: str, gains: Iterable[OracleGain]) -> list[Worth]:
    kind = parse(measure).kind
    perfect = kind.low if kind.better == "lower" else kind.high
    return [Worth(measure=measure, difference=abs(perfect - gain.real)) for gain in gains if gain.real is not None][:1]


class _Book:
    """The rules applied to one diagnosis: which hold, what each advises, and what would change it."""

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
        """Return the sort key of a rule: its class, then the fact `rank_by`, then its place in the file."""
        rank_by = self.rules[name].rank_by
        weight = self.facts.get(rank_by) if rank_by else None
        return self.classes[name], math.inf if weight is None else -weight, list(self.rules).index(name)

    def advice(self, rule: Rule, tunes: tuple[Part, ...]) -> Advice:
        """Return the advice of a rule, without its rank."""
        doing = [name for name, parts in self.candidates.items() if _does(rule, frozenset(tunes), frozenset(parts))]
        estimates = (
            [estimate for estimate in self.seen.estimates if estimate.candidate in doing] if rule.kind == "tune" else []
        )
        over_limits = {estimate.candidate: list(_over(estimate, self.facts)) for estimate in estimates}
        within = [estimate for estimate in estimates if not over_limits[estimate.candidate]]
        return Advice(
            rank=0,
            rule=rule.id,
            kind=rule.kind,
            action=_filled(rule.action, self.facts, tunes) or rule.id,
            tunes=tunes,
            candidates=tuple(doing),
            against=rule.against or (bool(estimates) and not within and len(estimates) == len(doing)),
            could_buy=_buys(rule, tunes, self.seen, self.uncalibrated),
            why=(*_reasons(rule, self.facts, tunes), *(text for texts in over_limits.values() for text in texts)),
            would_change=tuple(dict.fromkeys(self._turning(rule))),
            estimate=_cheapest(within or estimates),
        )

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


def _buys(rule: Rule, tunes: Sequence[Part], seen: Diagnosis, uncalibrated: Collection[str]) -> tuple[Worth, ...]:
    """Return the possible gain of following a rule; for parts left alone, the largest of any one of them."""
    if rule.buys == "depth" or rule.buys == "context":
        return _of_curve(rule.buys, seen, uncalibrated)
    if rule.buys == "without-reranker":
        return tuple(
            _worth(gain) for gain in seen.oracle_gains if gain.oracle == rule.buys and gain.difference is not None
        )
    if rule.kind != "leave":
        return could_buy(seen.oracle_gains, (rule.buys,) if rule.buys else tunes)
    most: dict[str, Worth] = {}
    for worth in (worth for part in tunes for worth in could_buy(seen.oracle_gains, (part,))):
        most[worth.measure] = max(most.get(worth.measure, worth), worth, key=lambda worth: worth.difference)
    return tuple(most.values())


def _of_curve(kind: Literal["depth", "context"], seen: Diagnosis, uncalibrated: Collection[str]) -> tuple[Worth, ...]:
    curve, name = curve_of(seen, kind, uncalibrated), f"gain.{kind}"
    gain, low, high = (seen.facts.get(name + end) for end in ("", ".low", ".high"))
    if curve is None or gain is None:
        return ()
    return (Worth(measure=curve.measure, difference=gain, low=low, high=high, bound=False),)


def _reasons(rule: Rule, facts: Facts, tunes: Sequence[Part]) -> Iterator[str]:
    for sentence in rule.because:
        text = _filled(sentence.say, facts, tunes)
        if text is not None and all(condition.holds(facts) for condition in sentence.where):
            yield text


def _listed(parts: Sequence[Part]) -> str:
    """Return ``retriever, reranker and generator``."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _filled(template: str, facts: Facts, tunes: Sequence[Part]) -> str | None:
    """Return a template with its facts filled in; None if one of them is not known."""
    values = {name: in_words(name, facts) for name in QUOTED.findall(template)} | {TUNES: _listed(tunes)}
    if None in values.values():
        return None
    return QUOTED.sub(lambda match: str(values[match[1]]), template)
