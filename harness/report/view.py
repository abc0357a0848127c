"""An outcome as the report reads it: its systems and measures in order, with an index of what belongs to each.

It computes no number.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.report import format as fmt
from harness.report import seedless
from harness.text.decimals import finite
from harness.values.findings import Comparison, Outcome, Summary, SystemInfo
from harness.values.measures import parse
from harness.values.systems import BOUNDS, UNTUNED

BASELINE = UNTUNED
__all__ = ["BASELINE", "View", "identical", "identical_words", "is_rank", "less_is_better", "row_label", "view"]


def row_label(outcome: Outcome, system: str, seed: int) -> str:
    """Return the label of a row's system, also where the outcome does not list it (an accepted system now missing)."""
    labels = (info.label for info in outcome.systems if (info.name, info.seed) == (system, seed))
    return next(labels, f"{system} (seed {seed})")


def is_rank(measure: str) -> bool:
    """Return whether it is a measure of retrieval; a measure unknown to this version counts as one of answers."""
    try:
        return parse(measure).is_rank
    except ValueError:
        return False


def less_is_better(measure: str) -> bool:
    """Return whether lower values are better; for a measure that this version does not know, False."""
    try:
        return parse(measure).kind.better == "lower"
    except ValueError:
        return False


def identical(info: SystemInfo) -> tuple[tuple[str, str], ...]:
    """Return what of a system equals another's, though it was made apart: ``("rankings", "untuned")``."""
    same = (("rankings", info.same_run_as), ("answers", info.same_answers_as), ("weights", info.same_weights_as))
    return tuple((what, other) for what, other in same if other)


def identical_words(info: SystemInfo) -> str:
    """Return ``identical rankings and answers to untuned``, each other system once; empty if nothing is equal."""
    same: dict[str, list[str]] = {}
    for what, other in identical(info):
        same.setdefault(other, []).append(what)
    return "; ".join(f"identical {fmt.listed(parts)} to {other}" for other, parts in same.items())


@dataclass(frozen=True)
class View:
    """`measures` are those that any system has a value or a failure for, retrieval first; `gated` those compared."""

    outcome: Outcome
    systems: tuple[SystemInfo, ...]
    measures: tuple[str, ...]
    gated: tuple[str, ...]
    summaries: dict[tuple[str, int, str], Summary]
    gains: dict[tuple[str, int, str], Comparison]
    over_best: dict[tuple[str, int, str], Comparison]

    @property
    def candidates(self) -> tuple[SystemInfo, ...]:
        return tuple(info for info in self.systems if info.role == "candidate")

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of what is trained."""
        return seedless.trained_with(self.candidates)

    def summary(self, info: SystemInfo, measure: str) -> Summary | None:
        return self.summaries.get((info.name, info.seed, measure))

    def gain(self, info: SystemInfo, measure: str) -> Comparison | None:
        return self.gains.get((info.name, info.seed, measure))

    def over_untrained(self, info: SystemInfo, measure: str) -> Comparison | None:
        """Return the comparison of a trained candidate with the best system without training."""
        return self.over_best.get((info.name, info.seed, measure))

    def mean(self, info: SystemInfo, measure: str) -> float | None:
        """Return the mean if it is over every query of its population, so that it can be ranked among others."""
        summary = self.summary(info, measure)
        return finite(summary.mean) if summary and not summary.failed else None

    def deployable(self) -> list[SystemInfo]:
        """Return the systems that could be served: no bounds, and none that failed."""
        return [info for info in self.systems if info.name not in BOUNDS and not info.failed]


def view(outcome: Outcome) -> View:
    """Index an outcome; baseline rows come first, each role in the order of the outcome.

    Its names are those that people read: see `seedless`.
    """
    outcome = seedless.of_outcome(outcome)
    summaries = {(row.system, row.seed, row.measure): row for row in outcome.summaries}
    gains, over_best = (
        {(row.system, row.seed, row.measure): row for row in outcome.comparisons if row.family == family}
        for family in ("gain", "untrained")
    )
    measured = {row.measure for row in outcome.summaries if finite(row.mean) is not None or row.failed}
    measures = sorted((name for name in outcome.measures if name in measured), key=lambda name: not is_rank(name))
    gated = {row.measure for row in outcome.comparisons if row.family in ("gain", "regression")}
    return View(
        outcome=outcome,
        systems=tuple(sorted(outcome.systems, key=lambda info: info.role == "candidate")),
        measures=tuple(measures),
        gated=tuple(sorted((name for name in outcome.measures if name in gated), key=lambda name: not is_rank(name))),
        summaries=summaries,
        gains=gains,
        over_best=over_best,
    )
