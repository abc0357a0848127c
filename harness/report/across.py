"""What several seeds say: the spread of their gains, and what may be claimed of the recipe.

This module must not know how a table is drawn or where a sentence is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from harness.report import figures
from harness.report.values import VERDICT_TONES, Cell, Column, Table, cells, left, sentences
from harness.report.view import BASELINE, View
from harness.values.findings import RecipeClaim

MOST_SENTENCES = 8

HOW_TO_READ = (
    "**Across seeds** says what holds for a recipe, not only for one checkpoint: its interval holds the chance of the "
    "queries and that of the training (another seed makes another model), so it is wider than that of a gain. It takes "
    "three seeds; the more they differ, the more of them.",
)


def seeds(view: View) -> Table | None:
    """Gain of each seed, their spread, and the verdict on the recipe."""
    claims = view.outcome.recipe_claims
    if not claims:
        return None
    columns = (
        *left("candidate", "measure"),
        Column("gain of each seed", "left", wraps=True),
        Column("SD"),
        Column("gain of the recipe, with verdict", "left"),
    )
    return Table(
        "Across seeds",
        columns,
        tuple(_row(claim) for claim in claims),
        "SD: of the gains, between seeds. The intervals hold the chance of queries and of training, for all rows at "
        "once.",
        tuple(_notes(claims)),
        keys=2,
    )


def _row(claim: RecipeClaim) -> tuple[Cell, ...]:
    gains = ", ".join(figures.signed(gain) for gain in claim.gains) or figures.NONE
    recipe = sentences(_numbers(claim), claim.verdict or "no claim")
    known = figures.finite(claim.difference)
    recipe = recipe if known is None else figures.Shown(recipe, known)
    spread = figures.fixed(claim.between_seeds)
    return (
        *cells((claim.system, claim.measure, gains, spread)),
        Cell(recipe, VERDICT_TONES.get(claim.verdict or "", "")),
    )


def _numbers(claim: RecipeClaim) -> str:
    shown = (figures.signed(claim.difference), figures.interval(claim.low, claim.high))
    return sentences(*(text for text in shown if text != figures.NONE))


def _notes(claims: Iterable[RecipeClaim]) -> Iterable[str]:
    reasons: dict[str, list[str]] = {}
    for claim in claims:
        if claim.reason:
            reasons.setdefault(claim.reason, []).append(f"{claim.system}, {claim.measure}")
    for reason, names in reasons.items():
        yield f"{'; '.join(names)}: {reason}."


def told(view: View) -> Iterable[str]:
    """What can be said of each recipe, or how often each verdict was given if there are many."""
    decided = [claim for claim in view.outcome.recipe_claims if claim.verdict]
    systems = list(dict.fromkeys(claim.system for claim in decided))
    if len(systems) > MOST_SENTENCES:
        for measure in dict.fromkeys(claim.measure for claim in decided):
            counts = Counter(claim.verdict for claim in decided if claim.measure == measure)
            listed = figures.listed([f"{number} {word}" for word, number in counts.items()])
            yield f"{measure}: of {sum(counts.values())} recipes, each over its seeds, {listed}."
        return
    for system in systems:
        claims = [claim for claim in decided if claim.system == system]
        over = f"{system}, as a recipe over {figures.counted(len(claims[0].seeds), 'seed')}"
        yield f"{over}: {'; '.join(_sentence(claim) for claim in claims)}."


def _sentence(claim: RecipeClaim) -> str:
    numbers = _numbers(claim)
    if claim.verdict == "improved":
        return f"it improved {claim.measure} by {numbers} over {BASELINE}"
    if claim.verdict == "regressed":
        return f"it regressed on {claim.measure}: {numbers} against {BASELINE}"
    if claim.verdict == "equivalent":
        margin = figures.fixed(claim.margin)
        return f"it is equivalent to {BASELINE} on {claim.measure}: {numbers}, within the margin of {margin}"
    if claim.verdict == "inconclusive":
        return f"could not tell whether it changes {claim.measure}: {numbers}{_blunt(claim)}"
    return f"it has no verdict on {claim.measure} ({claim.verdict}: {claim.reason})"


def _blunt(claim: RecipeClaim) -> str:
    if figures.finite(claim.detectable) is None:
        return f" ({claim.reason})" if claim.reason else ""
    return f" (a difference under {figures.fixed(claim.detectable)} would not have shown)"
