"""What verdicts are about: a checkpoint, a recipe over its seeds, or a candidate that trains nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness.report import format as fmt
from harness.report.view import BASELINE, View
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.effects import RecipeClaim
from harness.values.findings import Comparison, SystemInfo

Tested = Comparison | RecipeClaim
MANY = 8
"""More candidates than this are counted in the headline, and named by verdict below it."""
VERBS = {"regressed": "regressed against", "equivalent": "is equivalent to"}


class Subject(NamedTuple):
    """A candidate with its verdicts on gated measures: against `untuned`, and against the best without training."""

    label: str
    info: SystemInfo
    rows: tuple[Tested, ...]
    beyond: tuple[Tested, ...] = ()

    def on(self, verdict: str) -> list[Tested]:
        return [row for row in self.rows if row.verdict == verdict]

    @property
    def paid(self) -> bool:
        """Whether it improved on a measure, and lost on none."""
        return bool(self.on("improved")) and not self.on("regressed") and not self.on("failed")

    @property
    def outdone(self) -> bool:
        """Whether it is trained, and on no measure shown to improve on the best system without training."""
        return bool(self.beyond) and not any(row.verdict == "improved" for row in self.beyond)

    @property
    def lead(self) -> Tested:
        """The first improved measure."""
        return self.on("improved")[0]

    @property
    def gain_in_margins(self) -> float:
        """The improved measures' gains together, each in margins of its gate: measures have different scales."""
        rows = [(finite(row.difference) or 0.0, row.margin) for row in self.on("improved")]
        # Without a margin a gain counts as it is.
        return sum(difference / margin if margin else difference for difference, margin in rows)

    @property
    def gains(self) -> str:
        return fmt.listed([f"{row.measure} by {numbers(row)}" for row in self.on("improved")])

    @property
    def built(self) -> str:
        return fmt.build_cost(self.info.build_seconds, self.info.build_dollars)


def subjects(view: View) -> list[Subject]:
    """Return recipes where seeds allow a claim, else checkpoints and candidates that train nothing."""
    claims: dict[str, list[RecipeClaim]] = {}
    for claim in view.outcome.recipe_claims:
        if claim.verdict:
            claims.setdefault(claim.system, []).append(claim)
    found: dict[str, Subject] = {}
    for info in view.candidates:
        if info.name in claims:
            rows = claims[info.name]
            label = f"{info.name} (over {fmt.counted(len(rows[0].seeds), 'seed')})"
            beyond = tuple(claim for claim in view.outcome.untrained_claims if claim.system == info.name)
            found.setdefault(label, Subject(label, info, tuple(rows), beyond))
        elif gains := tuple(row for name in view.gated if (row := view.gain(info, name))):
            over = tuple(row for name in view.gated if (row := view.over_untrained(info, name)))
            found[info.label] = Subject(info.label, info, gains, over)
    return list(found.values())


def best_setting(view: View) -> str:
    """Return the best system without training, if one is named and it is not the baseline itself."""
    best = view.outcome.best_untrained
    return best.system if best is not None and best.system != BASELINE else ""


def numbers(row: Tested) -> str:
    """Return the difference of a verdict with its interval."""
    return decimals.difference(row.difference, row.low, row.high)


def paying(tested: Sequence[Subject]) -> list[Subject]:
    """Return the candidates that paid, the one that gained most first."""
    return sorted((one for one in tested if one.paid), key=lambda one: one.gain_in_margins, reverse=True)


def recommended(tested: Sequence[Subject]) -> list[Subject]:
    """Return the candidates that paid, best first, without trainings that a setting may make up for."""
    return [one for one in paying(tested) if not one.outdone]


def counts(rows: Iterable[Tested]) -> str:
    """Return how often each verdict was given: ``2 improved and 1 inconclusive``."""
    return fmt.listed([f"{number} {word}" for word, number in Counter(str(row.verdict) for row in rows).items()])


def verb(rows: Sequence[Sequence[Tested]]) -> str:
    """Return what candidates without an improvement all did to the baseline of these verdicts.

    One that lost on a measure regressed, whatever its other measures say. Empty if the candidates differ, or if the
    verdicts leave it open.
    """
    standings = {_standing(one) for one in rows}
    return VERBS.get(standings.pop(), "") if len(standings) == 1 else ""


def losses(rows: Sequence[Tested]) -> str:
    """Return what a candidate lost, as the end of a sentence: ``: ndcg@10 by -0.167 [-0.320, -0.015]``; or nothing."""
    lost = [f"{row.measure} by {numbers(row)}" for row in rows if row.verdict == "regressed"]
    return f": {fmt.listed(lost)}" if lost else ""


def unimproved(rows: Sequence[Sequence[Tested]], baseline: str) -> str:
    """Return how candidates compare with a baseline on which none improves, without the subject of the sentence."""
    each, shown = ("", "is not shown") if len(rows) == 1 else ("each ", "none is shown")
    if common := verb(rows):
        return f"{each}{common} {baseline}" + (losses(rows[0]) if len(rows) == 1 else "")
    worse = sum(_standing(one) == "regressed" for one in rows)
    return f"{shown} to improve on {baseline}" + (f", and {worse} of {len(rows)} regressed against it" if worse else "")


def _standing(rows: Sequence[Tested]) -> str:
    verdicts = {row.verdict for row in rows}
    return "regressed" if "regressed" in verdicts else "equivalent" if verdicts == {"equivalent"} else ""
