"""Trained candidates against the best system without training, and what each candidate changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.report import format as fmt
from harness.report.content.comparisons import comparison_cell
from harness.report.content.subjects import MANY, Subject, Tested, best_setting, numbers
from harness.report.model import Cell, Column, Table, cells, left
from harness.report.view import BASELINE, View
from harness.text import decimals
from harness.values.findings import SystemInfo
from harness.values.systems import trained


def sentences(view: View, tested: Sequence[Subject]) -> Iterable[str]:
    """Return which system without training is the best, and which trained candidates improve on it."""
    best = view.outcome.best_untrained
    if best is None:
        return
    if not best.system:
        yield f"No best system without training is named: {best.reason}."
        return
    name = f"The best system without training, chosen on dev, is {best.system}"
    gain = next((row for key, row in view.gains.items() if key[0] == best.system and key[2] == best.measure), None)
    yield f"{name} ({gain.measure} {numbers(gain)} against {BASELINE})." if gain else f"{name}."
    for measure, rows in _by_measure(view, tested):
        yield f"Of the trained candidates, on {measure}: {'; '.join(_parts(rows))}."


def counted(view: View, tested: Sequence[Subject]) -> Iterable[str]:
    """Return which system without training is the best, and how many trained candidates improve on it."""
    found = [
        f"{sum(row.verdict == 'improved' for _, row in rows) or 'none'} of {len(rows)} on {measure}"
        for measure, rows in _by_measure(view, tested)
    ]
    if not best_setting(view) or not found:
        yield from sentences(view, tested)
        return
    yield f"Of the trained ones, {fmt.listed(found)} improve on {best_setting(view)}, the best without training."


def _by_measure(view: View, tested: Sequence[Subject]) -> Iterable[tuple[str, list[tuple[str, Tested]]]]:
    """Return the verdicts on the trained candidates against the best without training, by measure."""
    for measure in view.gated:
        rows = [(one.label, row) for one in tested for row in one.beyond if row.measure == measure]
        if rows:
            yield measure, rows


def _parts(rows: Sequence[tuple[str, Tested]]) -> Iterable[str]:
    better = sorted((pair for pair in rows if pair[1].verdict == "improved"), key=_difference, reverse=True)
    worse = [label for label, row in rows if row.verdict == "regressed"]
    same = [label for label, row in rows if row.verdict == "equivalent"]
    rest = [label for label, row in rows if row.verdict not in ("improved", "equivalent", "regressed")]
    if len(better) == len(rows) > 1:
        yield f"all {len(rows)} improve on it, {better[0][0]} most, by {numbers(better[0][1])}"
    elif len(better) == 1:
        yield f"{better[0][0]} improves on it by {numbers(better[0][1])}"
    elif better:
        named = fmt.listed(fmt.first([f"{label} ({numbers(row)})" for label, row in better]))
        yield f"{named} improve on it"
    if rest and not better and len(rows) > 1:
        yield f"none of {len(rows)} is shown to improve on it"
    elif rest:
        yield f"{fmt.listed(fmt.first(rest))} {_verb(rest, 'is', 'are')} not shown to improve on it"
    if same:
        yield f"{fmt.listed(fmt.first(same))} {_verb(same, 'is', 'are')} equivalent to it"
    if worse:
        yield f"{fmt.listed(fmt.first(worse))} {_verb(worse, 'is', 'are')} worse"


def _difference(pair: tuple[str, Tested]) -> float:
    return pair[1].difference or 0.0


def _verb(names: Sequence[object], singular: str, plural: str) -> str:
    return singular if len(names) == 1 else plural


def over_best(view: View) -> Table | None:
    """Return the gain of every trained candidate over the best system without training."""
    best, trained = best_setting(view), [info for info in view.candidates if info.tunes]
    measures = [name for name in view.gated if any(view.over_untrained(info, name) for info in trained)]
    if not best or not measures:
        return None
    rows = [(Cell(info.label), *(_gain(view, info, name) for name in measures)) for info in trained]
    return Table(
        f"Gain over {best}, the best without training",
        (Column("trained candidate", "left"), *(Column(name, "left") for name in measures)),
        tuple(rows),
        f"{best} was chosen on dev. The intervals hold for all rows of this table at once.",
        folded=len(trained) > MANY,
    )


def _gain(view: View, info: SystemInfo, measure: str) -> Cell:
    row = view.over_untrained(info, measure)
    return comparison_cell(row) if row else Cell("failed", "failed") if info.failed else Cell(decimals.NONE)


def changes(view: View) -> Table | None:
    """Return what each candidate trains, how, and which settings it changes; None if all only train, and alike."""
    by_name = {info.name: info for info in view.candidates}
    if not any(info.changes or info.training for info in by_name.values()):
        return None
    rows = [
        cells(
            name,
            trained(", ".join(info.tunes), info.training) if info.tunes else "nothing",
            ", ".join(info.changes) or decimals.NONE,
        )
        for name, info in by_name.items()
    ]
    columns = (*left("candidate"), *(Column(name, "left", wraps=True) for name in ("trains", "settings")))
    return Table("What each candidate changes", columns, tuple(rows), folded=len(rows) > MANY)
