"""What gates found, as a table and in sentences: one sentence a verdict, which says no more than the verdict does.

Comparisons of two outcomes, systems or run files are shown in the same way. This module must not know how a verdict
is come by, or where its words are shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.report import figures
from harness.report.values import VERDICT_TONES, Cell, Column, Table, Tone, cells, left, sentences
from harness.statistics.verdicts import Gated, Gating
from harness.values.findings import Comparison

SCHEMA = "harness/gate-1"
TONES: dict[str, Tone] = {**VERDICT_TONES, "within bound": "equivalent", "over bound": "regressed"}
MOST_NAMES = 8
"""Systems of which a sentence about many names no more; the table has them all."""
NO_EVIDENCE = "this is no evidence that nothing changed"


def heading(found: Gating) -> str:
    """Whether the gate lets the outcome through, in one sentence."""
    failing = found.failing
    if not found.verdicts:
        return f"Gate of {found.suite} judged nothing: no system that could be served has a score or a figure."
    if found.exit_code == 3 and not failing:
        return f"Gate of {found.suite} is incomplete: every score failed."
    if not failing:
        counts = Counter(one.verdict for one in found.verdicts)
        told = figures.listed([f"{number} {verdict}" for verdict, number in counts.items()]) or "nothing to judge"
        return f"Gate of {found.suite} passed: {told}."
    what = {4: "cannot compare", 3: "is incomplete"}.get(found.exit_code, "failed")
    names = figures.listed([f"{one.label} ({one.gate}: {one.verdict})" for one in failing])
    return f"Gate of {found.suite} {what}: {names}."


def subject(found: Gating) -> str:
    """What was compared with what, in one line."""
    if not found.accepted:
        return f"Outcome of {found.created}, split {found.split}; nothing is accepted yet."
    return f"Outcome of {found.created} against what was accepted on {found.accepted} ({_bare(found.why)})."


def table(found: Gating) -> Table:
    """One row for each system and gate."""
    columns = [
        *left("system", "gate"),
        Column("change"),
        Column("simultaneous interval", "left"),
        *(Column(name) for name in ("margin or bound", "smallest detectable", "queries / groups")),
        Column("verdict", "left"),
    ]
    rows = [_row(one) for one in found.verdicts]
    return Table("Against the accepted scores", tuple(columns), tuple(rows), caption=_caption(found), keys=2)


def _caption(found: Gating) -> str:
    measured = any(one.comparison for one in found.verdicts)
    probed = any(one.value is not None for one in found.verdicts)
    return sentences(
        "Intervals are simultaneous: they hold for all gated measures of all systems at once." if measured else "",
        "Figures of the probe: now, and the bound; they are not tested." if probed else "",
        "Advisory gates are shown and never fail." if any(one.advisory for one in found.verdicts) else "",
    )


def _row(one: Gated) -> tuple[Cell, ...]:
    verdict = f"{one.verdict} (advisory)" if one.advisory else one.verdict
    last = Cell(verdict, TONES.get(one.verdict, ""))
    named = cells((one.label, one.gate))
    row = one.comparison
    if row is None:
        shown, bound = (_amount(one, value) for value in (one.value, one.bound))
        return (*named, *cells((shown, figures.NONE, bound, figures.NONE, figures.NONE)), last)
    return (
        *named,
        *cells((figures.signed(row.difference), figures.interval(row.low, row.high), figures.fixed(row.margin))),
        *cells((figures.fixed(row.detectable), f"{figures.count(row.n_queries)} / {figures.count(row.n_groups)}")),
        last,
    )


def _amount(one: Gated, value: float | None) -> str:
    if value is None:
        return figures.NONE
    return figures.dollars(value) if one.gate.startswith("cost") else f"{figures.milliseconds(value)} ms"


def sentence(one: Gated) -> str:
    """The verdict as a sentence, with all that it rests on."""
    said = _of_measure(one, one.comparison) if one.comparison else _of_the_rest(one)
    return sentences(said, "Advisory: it fails nothing." if one.advisory else "", _strict(one))


def told(verdicts: Sequence[Gated]) -> list[str]:
    """The verdicts as sentences; systems that are unchanged or new on one measure, for one reason, share one."""
    alike: dict[tuple[str, str, bool], list[Gated]] = {}
    for number, one in enumerate(verdicts):
        row = one.comparison
        key = (str(number), "", False)
        if row is not None and _unchanged(one, row):
            key = (one.gate, _rests_on(row), one.advisory)
        elif one.verdict == "new" and one.value is None:
            key = (one.gate, f"new: {one.reason}", one.advisory)
        alike.setdefault(key, []).append(one)
    return [sentence(group[0]) if len(group) == 1 else _of_many(group) for group in alike.values()]


def _unchanged(one: Gated, row: Comparison) -> bool:
    return row.low == row.high == 0 and one.verdict == "equivalent"


def _of_many(group: Sequence[Gated]) -> str:
    first = group[0]
    if first.comparison is None:
        shown = [one.label for one in group[:MOST_NAMES]]
        more = [f"{len(group) - MOST_NAMES} more"] if len(group) > MOST_NAMES else []
        said = (
            f"{len(group)} systems are new on {first.gate} ({figures.listed([*shown, *more])}): "
            f"{_bare(first.reason).removesuffix(' for it')}{' for them' if first.reason.endswith(' for it') else ''}."
        )
        return sentences(said, "Advisory: it fails nothing." if first.advisory else "")
    names = figures.listed([one.label for one in group])
    said = f"{names} are unchanged on {first.gate}: no group of queries differs ({_rests_on(first.comparison)})."
    return sentences(said, "Advisory: it fails nothing." if first.advisory else "")


def _strict(one: Gated) -> str:
    return "The suite says that inconclusive fails." if one.fails and one.verdict == "inconclusive" else ""


def _of_measure(one: Gated, row: Comparison) -> str:
    if figures.finite(row.difference) is None:
        return f"{one.label} {one.verdict} on {one.gate}: {_bare(one.reason)}."
    if _unchanged(one, row):
        return f"{one.label} is unchanged on {one.gate}: no group of queries differs ({_rests_on(row)})."
    opening = {
        "improved": f"{one.label} improved on {one.gate}",
        "regressed": f"{one.label} regressed on {one.gate}",
        "equivalent": f"{one.label} is equivalent on {one.gate}, nearer to the accepted scores than the margin",
    }.get(one.verdict, f"{one.label}, {one.gate}: could not tell")
    if one.verdict == "failed":
        opening = f"{one.label} failed on {one.gate}"
    why = _bare(one.reason)
    if one.verdict == "inconclusive":
        why = "; ".join(part for part in (why, NO_EVIDENCE) if part)
    return f"{opening}: {_numbers(row)} ({_rests_on(row)}{_speaks_of(one)}){'; ' + why if why else ''}."


def _numbers(row: Comparison) -> str:
    bounds = figures.interval(row.low, row.high)
    return sentences(figures.signed(row.difference), bounds if bounds != figures.NONE else "without an interval")


def _rests_on(row: Comparison) -> str:
    parts = [
        f"margin {figures.fixed(row.margin)}",
        f"{figures.counted(row.n_queries, 'query', 'queries')} in {figures.counted(row.n_groups, 'group')}",
    ]
    if figures.finite(row.detectable) is not None:
        parts.append(f"smallest detectable difference {figures.fixed(row.detectable)}")
    if row.failed:
        parts.append(figures.counted(row.failed, "failed score"))
    return ", ".join(parts)


def _speaks_of(one: Gated) -> str:
    return {"recipe": ", with the variance between seeds", "checkpoint": ", this checkpoint only"}.get(one.about, "")


def _of_the_rest(one: Gated) -> str:
    """A verdict without a comparison of scores."""
    if one.value is not None:
        return _of_figure(one)
    opening = {
        "new": f"{one.label} is new on {one.gate}",
        "missing": f"{one.label} is missing on {one.gate}",
        "not comparable": f"{one.label} is not comparable on {one.gate}",
        "failed": f"{one.label} failed on {one.gate}",
    }.get(one.verdict, f"{one.label}, {one.gate}: {one.verdict}")
    return f"{opening}: {_bare(one.reason)}."


def _of_figure(one: Gated) -> str:
    now = f"{_amount(one, one.value)} ({figures.counted(one.n, 'single query', 'single queries')})"
    if one.bound is None:
        return f"{one.label}, {one.gate}: {now}, {one.verdict} ({_bare(one.reason)})."
    was = "" if one.accepted is None else f", accepted {_amount(one, one.accepted)}"
    return f"{one.label}, {one.gate}: {now} is {one.verdict} {_amount(one, one.bound)}{was}."


def remarks(found: Gating) -> tuple[str, ...]:
    """What else a reader must know: the change under test, what cannot be compared and why, what to do."""
    lines = []
    if found.changed:
        lines.append(f"The change under test, by system identity: {figures.listed(list(found.changed))}.")
    elif found.accepted:
        lines.append("No system identity changed since the scores were accepted.")
    for measure, differs in found.differs.items():
        lines.append(f"{measure} was measured in another way than the accepted scores. What differs: {_all(differs)}.")
    verdicts = {one.verdict for one in found.verdicts}
    if found.command and verdicts & {"new", "not comparable", "missing"}:
        lines.append(f"To accept this outcome: {found.command}")
    return (*lines, *found.notes)


def _all(parts: Iterable[str]) -> str:
    return "; ".join(_bare(part) for part in parts)


def _bare(reason: str) -> str:
    return " ".join(reason.split()).rstrip(".")


def markdown(found: Gating, brief: bool = False) -> str:
    """The whole as Markdown, for the summary of a CI job; `brief` has what fails only, and no table."""
    from harness.report.markdown import escaped, table_text

    lines = [*told(found.failing if brief else found.verdicts), *remarks(found)]
    return "\n".join(
        [f"## {escaped(heading(found))}", "", escaped(subject(found)), ""]
        + ([] if brief else [table_text(table(found)), ""])
        + [f"- {escaped(line)}" for line in lines]
        + [""]
    )


def as_json(found: Gating) -> dict[str, Any]:
    """The whole for machines: every verdict with its sentence and whether it fails."""
    verdicts = [
        {**one.model_dump(mode="json"), "fails": one.fails, "sentence": sentence(one)} for one in found.verdicts
    ]
    return {
        "schema": SCHEMA, "exit_code": found.exit_code, "heading": heading(found),
        **found.model_dump(mode="json", exclude={"verdicts"}), "verdicts": verdicts,
    }  # fmt: skip


def compared(rows: Sequence[Comparison], labels: Mapping[tuple[str, int], str], title: str, margins: bool) -> Table:
    """Differences of two sides, with intervals that hold together; a row for each system and measure."""
    columns = [
        *left("system", "measure"),
        Column("difference"),
        Column("simultaneous interval", "left"),
        *(Column(name) for name in ("p", "margin", "smallest detectable", "queries / groups")),
        Column("verdict", "left"),
    ]
    shown = [
        (
            *cells((labels.get((row.system, row.seed), row.system), row.measure, figures.signed(row.difference))),
            *cells((figures.interval(row.low, row.high), figures.p_value(row.p_value))),
            *cells((figures.fixed(row.margin) if row.margin else figures.NONE, figures.fixed(row.detectable))),
            Cell(f"{figures.count(row.n_queries)} / {figures.count(row.n_groups)}"),
            Cell(row.verdict, TONES.get(row.verdict, "")),
        )
        for row in rows
    ]
    notes = tuple(
        f"{labels.get((row.system, row.seed), row.system)}, {row.measure}: {_bare(row.reason)}."
        for row in rows
        if row.reason
    )
    caption = sentences(
        "p is adjusted for all rows, and the intervals hold for all of them at once.",
        "" if margins else "Without a margin no difference is called too small to matter.",
    )
    return Table(title, tuple(columns), tuple(shown), caption, notes, keys=2)
