"""Possible gains: what following an advice could gain, from oracle gains, curves and measured settings.

A possible gain of tuning is an oracle gain: an upper bound for rank measures, an estimate for answers. This module must
not know how facts are measured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from harness.diagnosis.facts import curve_of
from harness.diagnosis.rules import Rule
from harness.suite.recipes import Part
from harness.values.insights import Diagnosis, Oracle, OracleGain, Worth
from harness.values.measures import parse
from harness.values.training_free import TrainingFree

ORACLES: dict[Part, Oracle] = {
    "retriever": "oracle-retriever", "reranker": "oracle-reranker", "generator": "oracle-generator",
}  # fmt: skip


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


def possible_gain(
    rule: Rule, tunes: Sequence[Part], seen: Diagnosis, uncalibrated: Collection[str]
) -> tuple[Worth, ...]:
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


def measured_gain(candidate: TrainingFree) -> tuple[Worth, ...]:
    """Return the gains of a training-free candidate, as they were measured."""
    return tuple(
        Worth(measure=gain.measure, difference=gain.difference, low=gain.low, high=gain.high, bound=False)
        for gain in candidate.gains
        if gain.difference is not None
    )


def what_is_left(base: TrainingFree, tunes: Sequence[Part], worths: Iterable[Worth]) -> Iterator[Worth]:
    """Yield possible gains of tuning less what a training-free change gains already, without intervals.

    The bound of a reranker is that of the old pool, and no bound after the change.
    """
    for worth in worths:
        gain = base.gain(worth.measure)
        if gain is None or gain.difference is None:
            yield worth
        else:
            left = max(0.0, worth.difference - gain.difference)
            yield Worth(measure=worth.measure, difference=left, bound=worth.bound and "retriever" in tunes)
