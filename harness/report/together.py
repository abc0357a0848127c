"""Whether the gains of a factorial add up: its tables and its sentences.

Everything here is exploratory. This module must not know how a table is drawn or where a sentence is shown.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.report import figures
from harness.report.values import Cell, Column, Table, Tone, cells, left, sentences
from harness.report.view import View, is_rank
from harness.values.findings import Effect, Finding

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

HOW_TO_READ = (
    "**Do the gains add up?** compares all combinations of tuned parts. A part **adds** (**takes away**) if its whole "
    "interval lies above (below) zero, averaged over the other parts tuned and not tuned. Two parts **absorb** each "
    "other if together they surely gain less than the sum of their gains, so that each is worth less once the other is "
    "tuned; they **reinforce** each other if they surely gain more; their gains **add up** if the difference from the "
    "sum is surely smaller than the margin. These intervals hold together for all effects of the outcome, but no gate "
    "rests on them.",
)


def effects(view: View) -> Table | None:
    """What each part is worth on average, and each two beyond their sum: one column per gated measure."""
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
        sentences(
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
        return Cell(figures.NONE)
    return Cell(sentences(_numbers(effect), effect.finding), _TONES.get(effect.finding, ""))


def _numbers(effect: Effect) -> str:
    """``+0.040 [+0.021, +0.059]``, or what there is of it."""
    shown = (figures.signed(effect.difference), figures.interval(effect.low, effect.high))
    return sentences(*(text for text in shown if text != figures.NONE))


def _about_seeds(view: View) -> str:
    if len(view.seeds) < 2:
        return ""
    seeds = figures.listed([str(seed) for seed in view.seeds])
    return f"Averaged over seeds {seeds}; the intervals hold the chance of the queries, not that of the training."


def _notes(shown: Iterable[Effect]) -> Iterable[str]:
    failed = {row.measure: row.failed for row in shown if row.failed}
    for measure, number in failed.items():
        queries = figures.counted(number, "query", "queries")
        yield f"{measure}: left out {queries} without a value in every combination."
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in shown:
        if row.reason:
            reasons.setdefault((row.measure, row.reason), []).append(" and ".join(row.parts))
    for (measure, reason), parts in reasons.items():
        yield f"{measure}: {reason} ({', '.join(dict.fromkeys(parts))})."


def absorbed(view: View) -> Table | None:
    """What a part is worth without and with each other one tuned, and the share that is gone."""
    later = [row for row in view.outcome.effects if row.kind == "simple" and row.given]
    if not later:
        return None
    columns = (
        *left("tuning", "other part", "measure"),
        *left("gain, other not tuned", "gain, other tuned", "absorbed"),
    )
    rows = [
        (*cells((*row.parts, *row.given, row.measure, _numbers(_alone(view, row)), _numbers(row))), _share(view, row))
        for row in later
    ]
    return Table(
        "What is a part worth once another is tuned?",
        columns,
        tuple(rows),
        "Averaged over the third part, if there is one. Absorbed: the share of the gain that is gone once the other "
        "part is tuned, where the gain and its loss are both clear; else what could be told of the two (exploratory).",
        keys=3,
    )


def _alone(view: View, later: Effect) -> Effect:
    """The gain of the same part while the other one is not tuned."""
    wanted = (later.measure, later.parts, later.given)
    return next(row for row in view.outcome.effects if (row.measure, row.parts, row.without) == wanted)


def _pair(view: View, row: Effect) -> Effect | None:
    """The interaction of the two parts of a simple effect."""
    wanted = (row.measure, {*row.parts, *row.given})
    found = (one for one in view.outcome.effects if one.kind == "interaction" and (one.measure, {*one.parts}) == wanted)
    return next(found, None)


def _share(view: View, row: Effect) -> Cell:
    if row.absorbed is not None:
        return Cell(_percent(row.absorbed))
    together = _pair(view, row)
    return Cell(together.finding, _TONES.get(together.finding, "")) if together else Cell(figures.NONE)


def _percent(share: float) -> str:
    return "more than all" if share >= 1.005 else f"{100 * share:.0f} %"


def in_full(view: View) -> Table | None:
    """Every effect with all that its word rests on."""
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
        (
            *cells((_long_label(row), row.measure, figures.signed(row.difference))),
            *cells((figures.interval(row.low, row.high), figures.p_value(row.p_value))),
            Cell(row.finding, _TONES.get(row.finding, "")),
        )
        for row in found
    ]
    caption = sentences(*_sizes(found), "p is adjusted for all rows of this table (exploratory).")
    return Table("Effects in full", columns, tuple(rows), caption, tuple(_notes(found)), keys=2)


def _sizes(found: Iterable[Effect]) -> Iterable[str]:
    for measure, queries, groups in dict.fromkeys((row.measure, row.n_queries, row.n_groups) for row in found):
        if queries:
            yield f"{measure}: {figures.counted(queries, 'query', 'queries')} in {figures.counted(groups, 'group')}."


def _long_label(effect: Effect) -> str:
    setting = [f"{part} tuned" for part in effect.given] + [f"{part} not tuned" for part in effect.without]
    return ", ".join([_label(effect.parts), *setting])


def told(view: View) -> Iterable[str]:
    """One sentence for each two parts of which it is clear whether their gains add up."""
    adding = {(row.measure, *row.parts) for row in view.outcome.effects if row.kind == "main" and row.finding == "adds"}
    for row in view.outcome.effects:
        if row.kind != "interaction":
            continue
        who = figures.listed(list(row.parts))
        if row.finding == "absorb":
            yield f"On {row.measure} the gains of {who} do not add up: {_both_ways(view, row)} (exploratory)."
        elif row.finding == "reinforce":
            yield f"On {row.measure} {who} gain more together than apart: {_both_ways(view, row)} (exploratory)."
        elif row.finding == "add up" and all((row.measure, part) in adding for part in row.parts):
            margin = f"within the margin of {figures.fixed(row.margin)}"
            yield (
                f"On {row.measure} the gains of {who} add up: together they differ from the sum by {_numbers(row)}, "
                f"{margin} (exploratory)."
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
        before, after = (figures.signed(one.difference) for one in (_alone(view, row), row))
        texts.append(
            f"the {row.parts[0]}'s is {before} while the {row.given[0]} is not tuned, {after} once it is{share}"
        )
    return "; ".join(texts)
