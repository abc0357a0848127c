"""Recipes over several seeds: the gain of each seed, their spread, and the verdict, as a table and in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from harness.report import format as fmt
from harness.report.model import Cell, Column, Table, cells, difference, left, number
from harness.report.view import BASELINE, View
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.effects import RecipeClaim

MOST_SENTENCES = 8


def across_seeds(view: View) -> Table | None:
    """Return the gain of each seed, their spread, and the verdict on the recipe."""
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
        tuple(_claim(claim) for claim in claims),
        "SD: of the gains, between seeds. The intervals cover the variance of queries and of training, for all rows at "
        "once.",
        tuple(_claim_notes(claims)),
        keys=2,
    )


def _claim(claim: RecipeClaim) -> tuple[Cell, ...]:
    gains = ", ".join(decimals.signed(gain) for gain in claim.gains) or decimals.NONE
    recipe = difference(claim.difference, claim.low, claim.high, claim.verdict or "no claim")
    return cells(claim.system, claim.measure, gains, number(claim.between_seeds, "mean"), recipe)


def _claim_notes(claims: Iterable[RecipeClaim]) -> Iterable[str]:
    reasons: dict[str, list[str]] = {}
    for claim in claims:
        if claim.reason:
            reasons.setdefault(claim.reason, []).append(f"{claim.system}, {claim.measure}")
    return (f"{'; '.join(names)}: {reason}." for reason, names in reasons.items())


def sentences(view: View) -> Iterable[str]:
    """Return what can be said of each recipe, or how often each verdict was given if there are many."""
    decided = [claim for claim in view.outcome.recipe_claims if claim.verdict]
    systems = list(dict.fromkeys(claim.system for claim in decided))
    if len(systems) > MOST_SENTENCES:
        for measure in dict.fromkeys(claim.measure for claim in decided):
            counts = Counter(str(claim.verdict) for claim in decided if claim.measure == measure)
            listed = fmt.listed([f"{count} {word}" for word, count in counts.items()])
            yield f"{measure}: of {sum(counts.values())} recipes, each over its seeds, {listed}."
        return
    for system in systems:
        claims = [claim for claim in decided if claim.system == system]
        over = f"{system}, as a recipe over {fmt.counted(len(claims[0].seeds), 'seed')}"
        yield f"{over}: {'; '.join(map(_in_words, claims))}."


def _in_words(claim: RecipeClaim) -> str:
    numbers = decimals.difference(claim.difference, claim.low, claim.high)
    if claim.verdict in ("improved", "regressed"):
        return f"{claim.measure} {claim.verdict} by {numbers} against {BASELINE}"
    if claim.verdict == "equivalent":
        margin = f"within the margin of {decimals.fixed(claim.margin)}"
        return f"{claim.measure} is equivalent to {BASELINE}: {numbers}, {margin}"
    if claim.verdict == "inconclusive":
        least = finite(claim.detectable)
        because = claim.reason if least is None else f"minimum detectable effect {decimals.fixed(least)}"
        return f"{claim.measure} is inconclusive: {numbers}{f' ({because})' if because else ''}"
    return f"{claim.measure} has no verdict ({claim.verdict}: {claim.reason})"
