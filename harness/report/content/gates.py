"""What gates found, as a table and in sentences: each verdict with what it rests on.

Sentences that would say the same of many systems are one sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from harness.report import format as fmt
from harness.report.content.comparisons import MDE, comparison_cells
from harness.report.model import VERDICT_TONES, Cell, Column, Table, Tone, cells, join, left, number
from harness.report.seedless import seeds_of, seeds_told
from harness.statistics.verdicts import Gated, Gating
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.findings import Comparison

SCHEMA = "harness/gate-1"
TONES: dict[str, Tone] = {**VERDICT_TONES, "within bound": "equivalent", "over bound": "regressed"}
SHARED = ("new", "missing", "not comparable", "failed")
MOST_NAMES = 8
"""Systems that a sentence names; the table has them all."""
NO_EVIDENCE = "this is not evidence that nothing changed"


def heading(found: Gating) -> str:
    """Return in one sentence whether the gate passes."""
    failing = found.failing
    if not found.verdicts:
        return f"Gate of {found.suite} judged nothing: no deployable system has a score or a figure."
    if found.exit_code == 3 and not failing:
        return f"Gate of {found.suite} is incomplete: every score failed."
    if not failing:
        counts = Counter(one.verdict for one in found.verdicts)
        return f"Gate of {found.suite} passed: {fmt.listed([f'{many} {verdict}' for verdict, many in counts.items()])}."
    what = {4: "cannot compare", 3: "is incomplete"}.get(found.exit_code, "failed")
    names = _named([f"{one.label} ({one.gate}: {one.verdict})" for one in failing])
    return f"Gate of {found.suite} {what}: {names}."


def subject(found: Gating) -> str:
    """Return what was compared with what, in one line; the seed too, if all that is trained has the same."""
    seeds = seeds_of(found)
    outcome = f"Outcome of {found.created}{f', {seeds_told(seeds)}' if len(seeds) == 1 else ''}"
    if not found.accepted:
        return f"{outcome}, split {found.split}; nothing is accepted yet."
    return f"{outcome} against what was accepted on {found.accepted} ({fmt.bare(found.why)})."


def table(found: Gating) -> Table:
    """Return a row for each system and gate."""
    columns = [
        *left("system", "gate"),
        Column("change"),
        Column("simultaneous interval", "left"),
        *(Column("margin or bound"), Column(MDE, minor=True), Column("queries / groups", minor=True)),
        Column("verdict", "left"),
    ]
    rows = [_row(one) for one in found.verdicts]
    return Table("Against the accepted scores", tuple(columns), tuple(rows), caption=_caption(found), keys=2)


def _caption(found: Gating) -> str:
    measured = any(one.comparison for one in found.verdicts)
    probed = any(one.value is not None and one.about != "drift" for one in found.verdicts)
    drifted = any(one.value is not None and one.about == "drift" for one in found.verdicts)
    return join(
        "Intervals are simultaneous: they hold for all gated measures of all systems at once." if measured else "",
        "Figures of the probe: now, and the bound; a latency has an interval of its own." if probed else "",
        "Drift: the mean of the served row minus that of the row here, and the tolerance." if drifted else "",
        "Advisory gates are shown and never fail." if any(one.advisory for one in found.verdicts) else "",
    )


def _row(one: Gated) -> tuple[Cell, ...]:
    last = Cell(f"{one.verdict} (advisory)" if one.advisory else one.verdict, TONES.get(one.verdict, ""))
    if one.comparison is None:
        now, bound = (_amount_cell(one, value) for value in (one.value, one.bound))
        bound = number(one.bound, "mean") if one.about == "drift" else bound
        interval = Cell(_range(one) or decimals.NONE)
        return cells(one.label, one.gate, now, interval, bound, decimals.NONE, decimals.NONE, last)
    change, interval, _, margin, least, size, _ = comparison_cells(one.comparison)
    return cells(one.label, one.gate, change, interval, margin, least, size, last)


def _amount_cell(one: Gated, value: float | None) -> Cell:
    """Return a figure of the probe, in dollars or milliseconds, or a difference of means."""
    if value is None:
        return Cell(decimals.NONE)
    if one.about == "drift":
        return number(value, "difference")
    return number(value, "dollars") if one.gate.startswith("cost") else number(value, "ms", " ms")


def _amount(one: Gated, value: float | None) -> str:
    return fmt.cell_text(_amount_cell(one, value))


def _range(one: Gated) -> str:
    """Return the interval of a latency in milliseconds; empty if there is none."""
    if one.low is None:
        return ""
    return f"[{fmt.milliseconds(one.low)}, {'...' if one.high is None else fmt.milliseconds(one.high)}]"


def sentence(one: Gated) -> str:
    """Return the verdict as a sentence, with all that it rests on."""
    said = _of_measure(one, one.comparison) if one.comparison else _of_the_rest(one)
    return join(said, "Advisory: it fails nothing." if one.advisory else "", _strict(one))


def sentences(verdicts: Sequence[Gated]) -> list[str]:
    """Return the verdicts as sentences; systems of which the same is said share one, and so do gates."""
    groups: dict[tuple[str, str, str], list[Gated]] = {}
    for place, one in enumerate(verdicts):
        groups.setdefault((one.gate, *(_same_said(one) or ("", str(place)))), []).append(one)
    by_systems: dict[tuple[object, ...], list[list[Gated]]] = {}
    for (_, kind, rests), group in groups.items():
        names = tuple(one.label for one in group)
        by_systems.setdefault((kind, rests, names if kind else ""), []).append(group)
    return [_said_of(many) for many in by_systems.values()]


def _same_said(one: Gated) -> tuple[str, str] | None:
    """Return what is said of it if others may share the sentence: that nothing changed, or why there is no number."""
    advisory = "advisory" if one.advisory else ""
    if one.comparison is not None and _unchanged(one, one.comparison):
        return "unchanged", f"{_rests_on(one.comparison)}{advisory}"
    if one.comparison is not None and one.verdict == "inconclusive":
        return one.verdict, "|".join((one.reason, *_sample(one.comparison), _about(one), _strict(one), advisory))
    if finite(one.comparison.difference if one.comparison else None) is None and one.verdict in SHARED:
        return one.verdict, f"{one.reason}{advisory}"
    return None


def _said_of(groups: Sequence[list[Gated]]) -> str:
    """Return one sentence for groups of verdicts, each of one gate, on the same systems."""
    first = groups[0][0]
    count, gates = len(groups[0]), fmt.listed([group[0].gate for group in groups])
    if count == len(groups) == 1:
        return sentence(first)
    names, are = _named([one.label for one in groups[0]]), "is" if count == 1 else "are"
    if first.comparison is not None and _unchanged(first, first.comparison):
        said = f"{names} {are} unchanged on {gates}: no group of queries differs ({_rests_on(first.comparison)})."
    elif first.comparison is not None and first.verdict == "inconclusive":
        said = join(_inconclusive([one for group in groups for one in group], names, count, gates), _strict(first))
    else:
        who = names if count == 1 else f"{count} systems"
        verdict = first.verdict if first.verdict == "failed" else f"{are} {first.verdict}"
        why = fmt.bare(first.reason)
        which = "" if count == 1 else f" ({names})"
        said = f"{who} {verdict} on {gates}{which}: {why if count == 1 else _plural(why)}."
    return join(said, "Advisory: it fails nothing." if first.advisory else "")


def _inconclusive(verdicts: Sequence[Gated], names: str, count: int, gates: str) -> str:
    """Return one sentence on systems of which nothing is certain; the table has their numbers."""
    first = verdicts[0]
    rows = [one.comparison for one in verdicts if one.comparison is not None]
    found = [value for row in rows if (value := finite(row.detectable)) is not None]
    sizes = [decimals.fixed(value) for value in (min(found), max(found))] if found else []
    effect = f"minimum detectable effect {' to '.join(dict.fromkeys(sizes))}" if sizes else ""
    rests = ", ".join(part for part in (*_sample(rows[0]), effect) if part)
    why = "; ".join(part for part in (fmt.bare(first.reason), NO_EVIDENCE) if part)
    who = f"{names} is" if count == 1 else f"{count} systems are"
    which = "" if count == 1 else f" ({names})"
    about = _about(first).replace("this checkpoint", "these checkpoints") if count > 1 else _about(first)
    return f"{who} inconclusive on {gates}{which}: {rests}{about}; {why}."


def _plural(reason: str) -> str:
    return f"{reason.removesuffix(' it')} them" if reason.endswith(" for it") else reason


def _named(names: Sequence[str]) -> str:
    return fmt.listed(fmt.first(names, MOST_NAMES))


def _unchanged(one: Gated, row: Comparison) -> bool:
    return row.low == row.high == 0 and one.verdict == "equivalent"


def _strict(one: Gated) -> str:
    return "In this suite, inconclusive fails." if one.fails and one.verdict == "inconclusive" else ""


def _of_measure(one: Gated, row: Comparison) -> str:
    if finite(row.difference) is None:
        return f"{one.label} {one.verdict} on {one.gate}: {fmt.bare(one.reason)}."
    if _unchanged(one, row):
        return f"{one.label} is unchanged on {one.gate}: no group of queries differs ({_rests_on(row)})."
    opening = {
        "improved": f"{one.label} improved on {one.gate}",
        "regressed": f"{one.label} regressed on {one.gate}",
        "equivalent": f"{one.label} is equivalent on {one.gate}: within the margin",
        "failed": f"{one.label} failed on {one.gate}",
    }.get(one.verdict, f"{one.label} is {one.verdict} on {one.gate}")
    why = fmt.bare(one.reason)
    if one.verdict == "inconclusive":
        why = "; ".join(part for part in (why, NO_EVIDENCE) if part)
    return f"{opening}: {_numbers(row)} ({_rests_on(row)}{_about(one)}){'; ' + why if why else ''}."


def _numbers(row: Comparison) -> str:
    bounds = decimals.interval(row.low, row.high)
    return join(decimals.signed(row.difference), bounds if bounds != decimals.NONE else "without an interval")


def _rests_on(row: Comparison) -> str:
    detectable = finite(row.detectable)
    effect = "" if detectable is None else f"minimum detectable effect {decimals.fixed(detectable)}"
    margin, size, failed = _sample(row)
    return ", ".join(part for part in (margin, size, effect, failed) if part)


def _sample(row: Comparison) -> tuple[str, str, str]:
    """Return the margin, the size of the sample, and how many scores failed, if any did."""
    failed = fmt.counted(row.failed, "failed score") if row.failed else ""
    return f"margin {decimals.fixed(row.margin)}", fmt.over(row.n_queries, row.n_groups), failed


def _about(one: Gated) -> str:
    return {"recipe": ", with the variance between seeds", "checkpoint": ", this checkpoint only"}.get(one.about, "")


def _of_the_rest(one: Gated) -> str:
    """Return a verdict without a comparison of scores as a sentence."""
    if one.value is not None:
        return _of_figure(one)
    opening = {
        "new": f"{one.label} is new on {one.gate}",
        "missing": f"{one.label} is missing on {one.gate}",
        "not comparable": f"{one.label} is not comparable on {one.gate}",
        "failed": f"{one.label} failed on {one.gate}",
    }.get(one.verdict, f"{one.label}, {one.gate}: {one.verdict}")
    return f"{opening}: {fmt.bare(one.reason)}."


def _of_drift(one: Gated) -> str:
    bound = decimals.fixed(one.bound, 4)
    size, why = fmt.counted(one.n, "query", "queries"), fmt.bare(one.reason)
    return f"{one.label}, {one.gate}: {decimals.signed(one.value)} ({size}) is {one.verdict} {bound}; {why}."


def _of_figure(one: Gated) -> str:
    if one.about == "drift":
        return _of_drift(one)
    now = join(_amount(one, one.value), _range(one), f"({fmt.counted(one.n, 'single query', 'single queries')})")
    if one.bound is None:
        return f"{one.label}, {one.gate}: {now}, {one.verdict} ({fmt.bare(one.reason)})."
    was = "" if one.accepted is None else f", accepted {_amount(one, one.accepted)}"
    bound = _amount(one, one.bound)
    if one.verdict == "inconclusive":
        return f"{one.label}, {one.gate}: {now} is inconclusive: above bound {bound} by no more than chance{was}."
    return f"{one.label}, {one.gate}: {now} is {one.verdict} {bound}{was}."


def remarks(found: Gating) -> tuple[str, ...]:
    """Return what else a reader must know: the change under test, what cannot be compared and why, what to do."""
    lines = []
    if found.changed:
        lines.append(f"Changed since the scores were accepted, by system identity: {_named(found.changed)}.")
    elif found.accepted:
        lines.append("No system identity changed since the scores were accepted.")
    elif any(one.verdict == "new" for one in found.verdicts):
        then = f"; to compare later outcomes with this one: {found.command}" if found.command else "."
        lines.append(f"No score was compared, because none is accepted yet{then}")
    for measure, differs in found.differs.items():
        parts = "; ".join(map(fmt.bare, differs))
        lines.append(f"{measure} was measured differently from the accepted scores: {parts}.")
    verdicts = {one.verdict for one in found.verdicts}
    if found.command and found.accepted and verdicts & {"new", "not comparable", "missing"}:
        lines.append(f"To accept this outcome: {found.command}")
    return (*lines, *found.notes)


def as_json(found: Gating) -> dict[str, Any]:
    """Return all of it for machines: every verdict with its sentence and whether it fails."""
    verdicts = [
        {**one.model_dump(mode="json"), "fails": one.fails, "sentence": sentence(one)} for one in found.verdicts
    ]
    return {
        "schema": SCHEMA,
        "exit_code": found.exit_code,
        "heading": heading(found),
        **found.model_dump(mode="json", exclude={"verdicts"}),
        "verdicts": verdicts,
    }
