"""ROI of gains: gain per dollar and per millisecond, queries until break-even, and the Pareto front.

The bounds of a ratio are those of the gain's interval, divided by the cost. Costs are treated as known: they were paid
and timed once, and their variance is not estimated. One-time dollars are those of `SystemInfo`, in which a call that
systems share counts whole; the cost of a query is what exceeds that of `untuned`.

This module must not know stages, stores or how a report is worded: systems and gains go in, ROI comes out.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from harness.suite.bounds import Prices
from harness.values.findings import Comparison, SystemInfo
from harness.values.frozen import Verdict
from harness.values.gains import Roi
from harness.values.measures import parse
from harness.values.systems import BOUNDS, UNTUNED

RIGHT_MEASURE = "utility"
"""The measure whose unit is one right answer."""

Key = tuple[str, int]
"""Name and seed of a system."""


class CostPosition(NamedTuple):
    """A system on one measure: its gain, of which more is better, and its costs, of which less is better."""

    gain: float
    costs: tuple[float, ...]


class _Costs(NamedTuple):
    """One-time dollars, milliseconds at the 95th percentile, dollars for 1,000 queries; None if not known."""

    once: float | None = None
    p95_ms: float | None = None
    per_1000: float | None = None


class _Bounded(NamedTuple):
    """A value with its bounds, or the reason why there is none."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""

    def named(self, name: str) -> dict[str, float | None]:
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}


def roi(
    systems: Sequence[SystemInfo],
    gains: Sequence[Comparison],
    prices: Prices,
    *,
    right_measure: str = RIGHT_MEASURE,
    unknown: Collection[str] = (),
    best_untrained: str = "",
) -> list[Roi]:
    """Return the ROI of each gain over `untuned`, for every system that could be served, in the order of `gains`.

    Latency is the p95 of retrieval for rank measures, of the whole for answers. A ratio is given for a positive gain
    and a positive cost, else `reason` says in words why not. Break-even is the one-time cost over what a query earns:
    `prices.right_answer` times the gain in `right_measure`, less the added cost of a query. Its upper bound is None
    where the interval holds gains that never pay. Without a price of a right answer, a system that is cheaper to serve
    and loses in no measure still breaks even, whatever the measure. `unknown` has the labels of systems whose one-time
    cost is not known in full. A training breaks even only if it is shown to improve on the system `best_untrained`, by
    its row of the family ``untrained``: else that setting earns as much without it. Other families are skipped.
    """
    reckoning = _Reckoning.of(systems, gains, prices, right_measure, unknown, best_untrained)
    return [reckoning.of_gain(row) for row in reckoning.rows]


def dominated_by(places: Mapping[str, CostPosition]) -> dict[str, tuple[str, ...]]:
    """Return for each system those that dominate it: at least its gain at no higher cost, and better in one of them.

    The systems that no other dominates are the Pareto front. Equal positions do not dominate each other.
    """
    return {name: tuple(other for other, its in places.items() if _beats(its, place)) for name, place in places.items()}


def _beats(first: CostPosition, other: CostPosition) -> bool:
    as_good = first.gain >= other.gain and all(mine <= its for mine, its in zip(first.costs, other.costs, strict=True))
    return as_good and first != other


@dataclass(frozen=True)
class _Reckoning:
    """`served` are the systems of the rows and `untuned`; `losing` those that may lose in some measure.

    `beyond` has the verdicts of trained systems against the best without training, which is called `setting`.
    """

    served: Mapping[Key, SystemInfo]
    rows: Sequence[Comparison]
    losing: frozenset[Key]
    prices: Prices
    right_measure: str
    unknown: frozenset[str]
    beyond: Mapping[tuple[Key, str], Verdict]
    setting: str

    @classmethod
    def of(
        cls,
        systems: Sequence[SystemInfo],
        gains: Sequence[Comparison],
        prices: Prices,
        right: str,
        unknown: Collection[str],
        setting: str,
    ) -> _Reckoning:
        served = {(info.name, info.seed): info for info in systems if info.name not in BOUNDS and not info.failed}
        family = [row for row in gains if row.family == "gain" and row.system != UNTUNED]
        rows = [row for row in family if _key(row) in served and row.difference is not None]
        losing = frozenset(_key(row) for row in family if not _loses_nothing(row))
        beyond = {(_key(row), row.measure): row.verdict for row in gains if row.family == "untrained"}
        return cls(served, rows, losing, prices, right, frozenset(unknown), beyond, setting)

    @cached_property
    def untuned(self) -> SystemInfo | None:
        return next((info for info in self.served.values() if info.name == UNTUNED), None)

    @cached_property
    def fronts(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """For each measure, the labels that dominate each label."""
        return {measure: self._front(measure) for measure in {row.measure for row in self.rows}}

    def of_gain(self, row: Comparison) -> Roi:
        info = self.served[_key(row)]
        costs = self._costs(info, row.measure)
        base = self._costs(self.untuned, row.measure) if self.untuned else _Costs()
        added_ms, added_per_1000 = _less(costs.p95_ms, base.p95_ms), _less(costs.per_1000, base.per_1000)
        per_dollar = _ratio(row, costs.once, "its build cost is not known", "it has no build cost")
        per_ms = _ratio(row, added_ms, "it was not timed", "it is no slower than untuned")
        breaks = self._break_even(row, costs.once, added_per_1000)
        beaten = self.fronts[row.measure].get(info.label)
        unplaced = "" if beaten is not None else "not all of its costs are known, so the Pareto front leaves it out"
        failed = f"failed: {row.reason}" if row.verdict == "failed" else row.reason
        reasons = (failed, per_dollar.reason, per_ms.reason, breaks.reason, self._instead(row), unplaced)
        return Roi(
            system=row.system,
            seed=row.seed,
            measure=row.measure,
            gain=row.difference or 0.0,
            low=row.low,
            high=row.high,
            build_dollars=info.build_dollars,
            added_p95_ms=added_ms,
            added_dollars_per_1000=added_per_1000,
            **per_dollar.named("per_dollar"),
            **per_ms.named("per_ms"),
            **breaks.named("break_even"),
            beyond=self.beyond.get((_key(row), row.measure)),
            front=beaten == (),
            dominated_by=beaten or (),
            reason="; ".join(dict.fromkeys(filter(None, reasons))),
        )

    def _costs(self, info: SystemInfo, measure: str) -> _Costs:
        once = None if info.label in self.unknown else info.build_dollars
        if info.serving is None:
            return _Costs(once)
        timing = info.serving.retrieval if parse(measure).is_rank else info.serving.total
        total = info.serving.total
        return _Costs(
            once,
            timing.p95_ms if timing and not timing.noisy else None,
            None if total and total.noisy else info.serving.dollars_per_1000,
        )

    def _break_even(self, row: Comparison, once: float | None, added_per_1000: float | None) -> _Bounded:
        if row.verdict == "failed" or self._instead(row):
            return _Bounded()
        price = self._price(row, cheaper=added_per_1000 is not None and added_per_1000 < 0)
        if price is None:
            # Other measures have no worth in dollars, whatever the suite says: nothing is missing there.
            missing = "the price of a right answer is not set"
            return _Bounded(reason=missing if row.measure == self.right_measure else "")
        if once is None:
            return _Bounded(reason="its build cost is not known")
        if added_per_1000 is None:
            return _Bounded(reason="its serving cost is not known")
        return _until_paid(row, once, added_per_1000 / 1000, price)

    def _instead(self, row: Comparison) -> str:
        """Return how this training compares with the best setting, if it does not improve on it."""
        verdict = self.beyond.get((_key(row), row.measure))
        if verdict is None or verdict == "improved":
            return ""
        said = {"regressed": "it regressed against", "equivalent": "it is equivalent to"}
        return f"{said.get(verdict, 'it is not shown to improve on')} {self.setting}, which trains nothing"

    def _price(self, row: Comparison, *, cheaper: bool) -> float | None:
        """Return the dollars for a unit of the gain: 0 if a cheaper system pays without a gain, None if not known."""
        worth = self.prices.right_answer
        if worth is not None and any(
            _key(row) == _key(other) and other.measure == self.right_measure for other in self.rows
        ):
            return worth if row.measure == self.right_measure else None
        return 0.0 if cheaper and _key(row) not in self.losing else None

    def _front(self, measure: str) -> dict[str, tuple[str, ...]]:
        """Return the labels that dominate each label, among systems with every cost that any of them has.

        As in the report's pictures, a gain counts whatever its verdict, and a system that lacks a cost is left out.
        """
        gains = {self.served[_key(row)].label: row.difference for row in self.rows if row.measure == measure}
        known = {label: info for info in self.served.values() if (label := info.label) in gains or info is self.untuned}
        costs = {label: self._costs(info, measure) for label, info in known.items()}
        used = [
            number for number in range(len(_Costs._fields)) if any(each[number] is not None for each in costs.values())
        ]
        places = {}
        for label, each in costs.items():
            chosen = [each[number] for number in used]
            if None not in chosen:
                places[label] = CostPosition(
                    gains.get(label) or 0.0, tuple(cost for cost in chosen if cost is not None)
                )
        return dominated_by(places)


def _key(row: Comparison) -> Key:
    return row.system, row.seed


def _loses_nothing(row: Comparison) -> bool:
    """Return whether its interval holds no loss beyond the margin."""
    return row.verdict in ("improved", "equivalent") or (row.low is not None and row.low >= 0)


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _ratio(row: Comparison, cost: float | None, not_known: str, nothing: str) -> _Bounded:
    if row.verdict == "failed" or row.difference is None:
        return _Bounded()
    if row.difference <= 0:
        return _Bounded(reason="it gains nothing")
    if cost is None:
        return _Bounded(reason=not_known)
    if cost <= 0:
        return _Bounded(reason=nothing)
    value, low, high = (None if end is None else _finite(end / cost) for end in (row.difference, row.low, row.high))
    return _Bounded(value, low, high)


def _until_paid(row: Comparison, once: float, added: float, price: float) -> _Bounded:
    """Queries until what they earn has paid `once`; `added` is the added cost of one query, in dollars."""

    def queries(gain: float | None) -> float | None:
        if gain is None and price:
            return None
        earned = (gain or 0.0) * price - added
        return _finite(once / earned) if earned > 0 else None

    value, low, high = queries(row.difference), queries(row.high), queries(row.low)
    if value is None:
        return _Bounded(None, low, high, "a query earns no more than it costs")
    return _Bounded(value, low, high, "it may never break even" if high is None and row.low is not None else "")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
