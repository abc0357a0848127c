"""Tables and sentences about a factorial: what each change gains, and whether the gains add up.

A factor that is only tuned or not tuned is named by its part; any other level is ``factor=level``.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.report import format as fmt
from harness.report.model import Cell, Column, Table, Tone, cells, difference, interval, join, left, number
from harness.report.view import View, is_rank
from harness.text import decimals
from harness.values.effects import Effect, Finding

TUNED = ("untuned", "tuned")
"""The levels of a factor that is a part to tune; outcomes without levels have only such factors."""
Level = tuple[str, str]
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


def _plain(view: View) -> bool:
    """Return whether every factor is a part that is tuned or not."""
    return all(levels == TUNED for levels in view.outcome.factors.values())


def _name(view: View, level: Level) -> str:
    factor, of = level
    return factor if view.outcome.factors.get(factor, TUNED) == TUNED else f"{factor}={of}"


def _reference(view: View, factor: str) -> str:
    return f"{factor}={view.outcome.factors[factor][0]}"


def _levels(effect: Effect) -> tuple[Level, ...]:
    return _paired(effect.parts, effect.levels)


def _given(effect: Effect) -> tuple[Level, ...]:
    return _paired(effect.given, effect.given_levels)


def _paired(factors: tuple[str, ...], levels: tuple[str, ...]) -> tuple[Level, ...]:
    return tuple(zip(factors, levels or ("tuned",) * len(factors), strict=True))


# ---- tables


def effects(view: View) -> Table | None:
    """Return what each change gains on average, and each pair beyond its sum: one column per gated measure."""
    shown = [row for row in view.outcome.effects if row.kind != "simple"]
    if not shown:
        return None
    measures = _measures(view)
    table = {(row.measure, _levels(row)): row for row in shown}
    changes = sorted(dict.fromkeys(map(_levels, shown)), key=len)
    rows = [(Cell(_label(view, some)), *(_cell(table.get((name, some))) for name in measures)) for some in changes]
    return Table(
        "Do the gains add up?",
        (Column("tuning" if _plain(view) else "change", "left"), *(Column(name, "left") for name in measures)),
        tuple(rows),
        join(
            *_meaning(view, pairs=len(changes[-1]) > 1),
            _about_seeds(view),
            "Intervals hold for all effects at once (exploratory).",
        ),
        tuple(_notes(view, shown)),
        upper=sum(len(some) == 1 for some in changes),
    )


def _meaning(view: View, *, pairs: bool) -> Iterable[str]:
    if _plain(view):
        yield "A part: its gain, averaged over the other parts tuned and not tuned."
        yield "Two parts: what they gain together beyond the sum of their gains." if pairs else ""
    else:
        references = fmt.listed([_reference(view, factor) for factor in view.outcome.factors])
        yield f"A change: its gain over the first level of its factor ({references}), averaged over the other factors."
        yield "Two changes: what they gain together beyond the sum of their gains." if pairs else ""


def _measures(view: View) -> list[str]:
    return sorted(dict.fromkeys(row.measure for row in view.outcome.effects), key=lambda name: not is_rank(name))


def _label(view: View, levels: tuple[Level, ...]) -> str:
    names = [_name(view, level) for level in levels]
    return names[0] if len(names) == 1 else f"{' + '.join(names)}, beyond sum"


def _cell(effect: Effect | None) -> Cell:
    if effect is None:
        return Cell(decimals.NONE)
    return _effect_cell(effect)._replace(verdict=effect.finding, tone=_TONES.get(effect.finding, ""))


def _effect_cell(effect: Effect) -> Cell:
    return difference(effect.difference, effect.low, effect.high)


def _about_seeds(view: View) -> str:
    if len(view.seeds) < 2:
        return ""
    seeds = fmt.listed([str(seed) for seed in view.seeds])
    return f"Averaged over seeds {seeds}; the intervals cover the variance of the queries, not of training."


def _notes(view: View, shown: Iterable[Effect]) -> Iterable[str]:
    failed = {row.measure: row.failed for row in shown if row.failed}
    for measure, count in failed.items():
        queries = fmt.counted(count, "query", "queries")
        yield f"{measure}: left out {queries} without a value in every combination."
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in shown:
        if row.reason:
            names = " and ".join(_name(view, level) for level in _levels(row))
            reasons.setdefault((row.measure, row.reason), []).append(names)
    for (measure, reason), changes in reasons.items():
        yield f"{measure}: {reason} ({', '.join(dict.fromkeys(changes))})."


def absorbed(view: View) -> Table | None:
    """Return what a change gains without and with each other one, and the share that is absorbed."""
    later = [row for row in view.outcome.effects if row.kind == "simple" and row.given]
    if not later:
        return None
    plain = _plain(view)
    names = ("tuning", "other part", "measure") if plain else ("change", "other change", "measure")
    gains = ("gain, other not tuned", "gain, other tuned") if plain else ("gain without other", "gain with other")
    rows = [
        cells(
            *(_name(view, level) for level in (*_levels(row), *_given(row))),
            row.measure,
            _effect_cell(_alone(view, row)),
            _effect_cell(row),
            _share(view, row),
        )
        for row in later
    ]
    return Table(
        "What does a part gain once another is tuned?" if plain else "What does a change gain once another is made?",
        tuple(left(*names, *gains, "absorbed")),
        tuple(rows),
        join(
            "Averaged over the third part, if there is one." if plain else "Averaged over the other factors.",
            f"Absorbed: the share of the gain that is lost once the other {'part is tuned' if plain else 'is made'}, "
            "where both the gain and the loss are significant; else the finding on the pair (exploratory).",
        ),
        keys=3,
    )


def _alone(view: View, later: Effect) -> Effect:
    """Return the gain of the same change without the other one."""
    wanted = (later.measure, _levels(later), later.given)
    return next(row for row in view.outcome.effects if (row.measure, _levels(row), row.without) == wanted)


def _pair(view: View, row: Effect) -> Effect | None:
    """Return the interaction of the two changes of a simple effect."""
    wanted = (row.measure, {*_levels(row), *_given(row)})
    pairs = (one for one in view.outcome.effects if one.kind == "interaction")
    return next((one for one in pairs if (one.measure, {*_levels(one)}) == wanted), None)


def _share(view: View, row: Effect) -> Cell:
    if row.absorbed is not None:
        return Cell(_percent(row.absorbed))
    together = _pair(view, row)
    return Cell(together.finding, _TONES.get(together.finding, "")) if together else Cell(decimals.NONE)


def _percent(share: float) -> str:
    return "more than all" if share >= 1.005 else decimals.percent(share)


def in_full(view: View) -> Table | None:
    """Return every effect with all that its finding rests on."""
    found = view.outcome.effects
    if not found:
        return None
    columns = (
        *left("tuning" if _plain(view) else "change", "measure"),
        Column("effect"),
        Column("simultaneous interval", "left"),
        Column("p"),
        Column("finding", "left"),
    )
    rows = [
        cells(
            _long_label(view, row),
            row.measure,
            number(row.difference, "difference"),
            interval(row.low, row.high),
            number(row.p_value, "p"),
            Cell(row.finding, _TONES.get(row.finding, "")),
        )
        for row in found
    ]
    caption = join(*_sizes(found), "p is adjusted for all rows of this table (exploratory).")
    return Table("Effects in full", columns, tuple(rows), caption, tuple(_notes(view, found)), keys=2)


def _sizes(found: Iterable[Effect]) -> Iterable[str]:
    for measure, queries, groups in dict.fromkeys((row.measure, row.n_queries, row.n_groups) for row in found):
        if queries:
            yield f"{measure}: {fmt.over(queries, groups)}."


def _long_label(view: View, effect: Effect) -> str:
    if _plain(view):
        setting = [f"{part} tuned" for part in effect.given] + [f"{part} not tuned" for part in effect.without]
    else:
        held = [*map("=".join, _given(effect)), *(_reference(view, part) for part in effect.without)]
        setting = [f"with {level}" for level in held]
    return ", ".join([_label(view, _levels(effect)), *setting])


# ---- sentences


def sentences(view: View) -> Iterable[str]:
    """Return a sentence for each pair of changes with a finding on whether their gains add up."""
    mains = [row for row in view.outcome.effects if row.kind == "main" and row.finding == "adds"]
    adding = {(row.measure, level) for row in mains for level in _levels(row)}
    for row in view.outcome.effects:
        if row.kind != "interaction":
            continue
        who = fmt.listed([_name(view, level) for level in _levels(row)])
        if row.finding == "absorb":
            yield f"On {row.measure} the gains of {who} do not add up: {_both_ways(view, row)} (exploratory)."
        elif row.finding == "reinforce":
            yield f"On {row.measure} {who} gain more together than apart: {_both_ways(view, row)} (exploratory)."
        elif row.finding == "add up" and all((row.measure, level) in adding for level in _levels(row)):
            numbers = decimals.difference(row.difference, row.low, row.high)
            yield (
                f"On {row.measure} the gains of {who} add up: together they differ from the sum by {numbers}, "
                f"within the margin of {decimals.fixed(row.margin)} (exploratory)."
            )


def _both_ways(view: View, pair: Effect) -> str:
    later = [
        row
        for row in view.outcome.effects
        if row.given and row.measure == pair.measure and {*_levels(row), *_given(row)} == {*_levels(pair)}
    ]
    texts = []
    for row in later:
        share = "" if row.absorbed is None else f" ({_percent(row.absorbed)} absorbed)"
        before, after = (decimals.signed(one.difference) for one in (_alone(view, row), row))
        (level,), (other,) = _levels(row), _given(row)
        if _plain(view):
            gains = f"the {level[0]}'s is {before} while the {other[0]} is not tuned, {after} once it is"
        else:
            without = _reference(view, other[0])
            gains = f"{_name(view, level)} gains {before} with {without}, {after} with {'='.join(other)}"
        texts.append(f"{gains}{share}")
    return "; ".join(texts)
