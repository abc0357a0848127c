"""Tables and sentences about recipes over several seeds, and about whether the gains of a factorial add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from harness.report import format as fmt
from harness.report.model import (
    Cell,
    Column,
    Table,
    Tone,
    cells,
    difference,
    finite,
    interval,
    join,
    left,
    number,
)
from harness.report.view import BASELINE, View, is_rank
from harness.values.findings import Effect, Finding, RecipeClaim

MOST_SENTENCES = 8
_TONES: dict[Finding, Tone] = {
    "adds": "improved",
    "takes away": "regressed",
    "too small to matter": "equivalent",
    "changes nothing": "equivalent",
    "reinforce": "improved",
    "add up": "equivalent",
    "could not tell": "inconclusive",
    "not computed": "failed",
}


# ---- recipes over several seeds


def seeds(view: View) -> Table | None:
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
    gains = ", ".join(fmt.signed(gain) for gain in claim.gains) or fmt.NONE
    recipe = difference(claim.difference, claim.low, claim.high, claim.verdict or "no claim")
    return cells(claim.system, claim.measure, gains, number(claim.between_seeds, "mean"), recipe)


def _claim_notes(claims: Iterable[RecipeClaim]) -> Iterable[str]:
    reasons: dict[str, list[str]] = {}
    for claim in claims:
        if claim.reason:
            reasons.setdefault(claim.reason, []).append(f"{claim.system}, {claim.measure}")
    return (f"{'; '.join(names)}: {reason}." for reason, names in reasons.items())


def recipe_sentences(view: View) -> Iterable[str]:
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
        yield f"{over}: {'; '.join(map(_claim_said, claims))}."


def _claim_said(claim: RecipeClaim) -> str:
    numbers = fmt.difference(claim.difference, claim.low, claim.high)
    if claim.verdict in ("improved", "regressed"):
        return f"{claim.measure} {claim.verdict} by {numbers} against {BASELINE}"
    if claim.verdict == "equivalent":
        margin = f"within the margin of {fmt.fixed(claim.margin)}"
        return f"{claim.measure} is equivalent to {BASELINE}: {numbers}, {margin}"
    if claim.verdict == "inconclusive":
        least = finite(claim.detectable)
        because = claim.reason if least is None else f"minimum detectable effect {fmt.fixed(least)}"
        return f"{claim.measure} is inconclusive: {numbers}{f' ({because})' if because else ''}"
    return f"{claim.measure} has no verdict ({claim.verdict}: {claim.reason})"


# ---- whether gains add up


def effects(view: View) -> Table | None:
    """Return what each part gains on average, and each pair beyond its sum: one column per gated measure."""
    shown = [row for row in view.outcome.effects if row.kind != "simple"]
    if not shown:
        return None
    measures = _measures(view)
    table = {(row.measure, row.parts): row for row in shown}
    parts = sorted(dict.fromkeys(row.parts for row in shown), key=len)
    rows = [(Cell(_label(some)), *(_cell(table.get((name, some))) for name in measures)) for some in parts]
    return Table(
        "Do the gains add up?",
        (Column("tuning", "left"), *(Column(name, "left") for name in measures)),
        tuple(rows),
        join(
            "A part: its gain, averaged over the other parts tuned and not tuned.",
            "Two parts: what they gain together beyond the sum of their gains." if len(parts[-1]) > 1 else "",
            _about_seeds(view),
            "Intervals hold for all effects at once (exploratory).",
        ),
        tuple(_notes(shown)),
        upper=sum(len(some) == 1 for some in parts),
    )


def _measures(view: View) -> list[str]:
    return sorted(dict.fromkeys(row.measure for row in view.outcome.effects), key=lambda name: not is_rank(name))


def _label(parts: tuple[str, ...]) -> str:
    return parts[0] if len(parts) == 1 else f"{' + '.join(parts)}, beyond sum"


def _cell(effect: Effect | None) -> Cell:
    if effect is None:
        return Cell(fmt.NONE)
    return _effect_cell(effect)._replace(verdict=effect.finding, tone=_TONES.get(effect.finding, ""))


def _effect_cell(effect: Effect) -> Cell:
    return difference(effect.difference, effect.low, effect.high)


def _about_seeds(view: View) -> str:
    if len(view.seeds) < 2:
        return ""
    seeds = fmt.listed([str(seed) for seed in view.seeds])
    return f"Averaged over seeds {seeds}; the intervals cover the variance of the queries, not of training."


def _notes(shown: Iterable[Effect]) -> Iterable[str]:
    failed = {row.measure: row.failed for row in shown if row.failed}
    for measure, count in failed.items():
        queries = fmt.counted(count, "query", "queries")
        yield f"{measure}: left out {queries} without a value in every combination."
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in shown:
        if row.reason:
            reasons.setdefault((row.measure, row.reason), []).append(" and ".join(row.parts))
    for (measure, reason), parts in reasons.items():
        yield f"{measure}: {reason} ({', '.join(dict.fromkeys(parts))})."


def absorbed(view: View) -> Table | None:
    """Return what a part gains without and with each other part tuned, and the share that is absorbed."""
    later = [row for row in view.outcome.effects if row.kind == "simple" and row.given]
    if not later:
        return None
    columns = (
        *left("tuning", "other part", "measure"),
        *left("gain, other not tuned", "gain, other tuned", "absorbed"),
    )
    rows = [
        cells(
            *row.parts,
            *row.given,
            row.measure,
            _effect_cell(_alone(view, row)),
            _effect_cell(row),
            _share(view, row),
        )
        for row in later
    ]
    return Table(
        "What does a part gain once another is tuned?",
        columns,
        tuple(rows),
        "Averaged over the third part, if there is one. Absorbed: the share of the gain that is lost once the other "
        "part is tuned, where both the gain and the loss are significant; else the finding on the pair (exploratory).",
        keys=3,
    )


def _alone(view: View, later: Effect) -> Effect:
    """Return the gain of the same part while the other one is not tuned."""
    wanted = (later.measure, later.parts, later.given)
    return next(row for row in view.outcome.effects if (row.measure, row.parts, row.without) == wanted)


def _pair(view: View, row: Effect) -> Effect | None:
    """Return the interaction of the two parts of a simple effect."""
    wanted = (row.measure, {*row.parts, *row.given})
    pairs = (one for one in view.outcome.effects if one.kind == "interaction")
    return next((one for one in pairs if (one.measure, {*one.parts}) == wanted), None)


def _share(view: View, row: Effect) -> Cell:
    if row.absorbed is not None:
        return Cell(_percent(row.absorbed))
    together = _pair(view, row)
    return Cell(together.finding, _TONES.get(together.finding, "")) if together else Cell(fmt.NONE)


def _percent(share: float) -> str:
    return "more than all" if share >= 1.005 else f"{100 * share:.0f} %"


def in_full(view: View) -> Table | None:
    """Return every effect with all that its finding rests on."""
    found = view.outcome.effects
    if not found:
        return None
    columns = (
        *left("tuning", "measure"),
        Column("effect"),
        Column("simultaneous interval", "left"),
        Column("p"),
        Column("finding", "left"),
    )
    rows = [
        cells(
            _long_label(row),
            row.measure,
            number(row.difference, "difference"),
            interval(row.low, row.high),
            number(row.p_value, "p"),
            Cell(row.finding, _TONES.get(row.finding, "")),
        )
        for row in found
    ]
    caption = join(*_sizes(found), "p is adjusted for all rows of this table (exploratory).")
    return Table("Effects in full", columns, tuple(rows), caption, tuple(_notes(found)), keys=2)


def _sizes(found: Iterable[Effect]) -> Iterable[str]:
    for measure, queries, groups in dict.fromkeys((row.measure, row.n_queries, row.n_groups) for row in found):
        if queries:
            yield f"{measure}: {fmt.over(queries, groups)}."


def _long_label(effect: Effect) -> str:
    setting = [f"{part} tuned" for part in effect.given] + [f"{part} not tuned" for part in effect.without]
    return ", ".join([_label(effect.parts), *setting])


def sentences(view: View) -> Iterable[str]:
    """Return a sentence for each pair of parts with a finding on whether their gains add up."""
    adding = {(row.measure, *row.parts) for row in view.outcome.effects if row.kind == "main" and row.finding == "adds"}
    for row in view.outcome.effects:
        if row.kind != "interaction":
            continue
        who = fmt.listed(list(row.parts))
        if row.finding == "absorb":
            yield f"On {row.measure} the gains of {who} do not add up: {_both_ways(view, row)} (exploratory)."
        elif row.finding == "reinforce":
            yield f"On {row.measure} {who} gain more together than apart: {_both_ways(view, row)} (exploratory)."
        elif row.finding == "add up" and all((row.measure, part) in adding for part in row.parts):
            numbers = fmt.difference(row.difference, row.low, row.high)
            yield (
                f"On {row.measure} the gains of {who} add up: together they differ from the sum by {numbers}, "
                f"within the margin of {fmt.fixed(row.margin)} (exploratory)."
            )


def _both_ways(view: View, pair: Effect) -> str:
    later = [
        row
        for row in view.outcome.effects
        if row.given and row.measure == pair.measure and {*row.parts, *row.given} == {*pair.parts}
    ]
    texts = []
    for row in later:
        share = "" if row.absorbed is None else f" ({_percent(row.absorbed)} absorbed)"
        before, after = (fmt.signed(one.difference) for one in (_alone(view, row), row))
        texts.append(
            f"the {row.parts[0]}'s is {before} while the {row.given[0]} is not tuned, {after} once it is{share}"
        )
    return "; ".join(texts)
