"""The tables behind the answer: abstention, failures, data, settings, identities, provenance.

All of it is exploratory: no verdict rests on these tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.report import format as fmt
from harness.report.model import Cell, Column, Table, cells, left, number
from harness.report.view import View, row_label
from harness.text import decimals
from harness.values.findings import AbstentionCounts, Resolved


def pairs(title: str, names: tuple[str, str], rows: Iterable[tuple[str, str]], caption: str = "") -> Table | None:
    """Return a table of two columns of words; None if it is empty."""
    body = tuple(cells(*row) for row in rows)
    columns = (Column(names[0], "left"), Column(names[1], "left", wraps=True))
    return Table(title, columns, body, caption) if body else None


def abstention(view: View) -> Table | None:
    """Return the 2x2 table of every system, and its two rates."""
    if not view.outcome.abstentions:
        return None
    columns = [
        *left("system"),
        Column("answerable, answered"),
        Column("answerable, abstained"),
        Column("unanswerable, answered"),
        Column("unanswerable, abstained"),
        Column("wrongly abstained"),
        Column("correctly abstained"),
    ]
    return Table(
        "Abstention",
        tuple(columns),
        tuple(_abstention_row(view, row) for row in view.outcome.abstentions),
        "Counts of queries (exploratory). Wrongly: share of the answerable queries; correctly: of the unanswerable.",
    )


def _abstention_row(view: View, row: AbstentionCounts) -> tuple[Cell, ...]:
    table = (row.answerable_answered, row.answerable_abstained, row.unanswerable_answered, row.unanswerable_abstained)
    shares = ((table[1], table[0] + table[1]), (table[3], table[2] + table[3]))
    return cells(
        row_label(view.outcome, row.system, row.seed),
        *(number(count, "count") for count in table),
        *(number(part / whole if whole else None, "percent") for part, whole in shares),
    )


def spread(view: View) -> Table | None:
    """Return how far repeated judgements of one answer lie apart."""
    rows = [
        cells(info.label, name, number(row.mean, "mean"), number(row.spread, "mean"), number(row.n, "count"))
        for info in view.systems
        for name in view.measures
        if (row := view.summary(info, name)) and row.spread is not None
    ]
    caption = "Standard deviation of repeated judgements of one answer: root mean square over answers (exploratory)."
    columns = (*left("system", "measure"), *(Column(name) for name in ("mean", "SD of the judge", "answers")))
    return Table("Repeatability of the judge", columns, tuple(rows), caption, keys=2) if rows else None


def stage_notes(view: View) -> Table | None:
    """Return what the stages counted."""
    rows = [(row.label or row.stage, fmt.anything(row.notes)) for row in view.outcome.ledger if row.notes]
    return pairs("What the stages counted", ("stage call", "counts"), rows)


def dataset(view: View) -> Table | None:
    data = view.outcome.dataset
    rows = [
        ("name", data.name),
        ("documents", fmt.count(data.documents)),
        *((f"queries, {split}", fmt.count(size)) for split, size in data.queries.items()),
        ("groups", fmt.count(data.groups)),
        ("with judgements", fmt.count(data.judged)),
        ("answerable", fmt.count(data.answerable)),
        ("unanswerable", fmt.count(data.unanswerable)),
        ("with a reference answer", fmt.count(data.answered)),
        *((f"source: {name}", fmt.anything(value)) for name, value in data.source.items()),
        ("digest", data.digest),
        *((f"digest of {name}", value) for name, value in data.digests.items()),
    ]
    return pairs(
        "Data", ("what", "value"), rows, f"Counts of queries are of the split {view.outcome.split}, unless named."
    )


def repairs(view: View) -> Table | None:
    """Return what was repaired in the dataset, with the first places."""
    rows = [(repair.text, "; ".join(repair.examples)) for repair in view.outcome.repairs]
    return pairs("Repairs of the data", ("repair", "first places"), rows)


def settings(view: View) -> Table | None:
    return pairs("Settings that affect the numbers", ("setting", "value"), view.outcome.settings.items())


def resolved(view: View) -> Table | None:
    """Return the settings of each candidate; candidates that share a section share its row."""
    shared: dict[tuple[str, str], list[Resolved]] = {}
    for entry in view.outcome.resolved:
        shared.setdefault((entry.section, fmt.anything(entry.settings)), []).append(entry)
    rows = []
    for (section, _), entries in shared.items():
        first = entries[0]
        parts = [
            {name: value for name, value in first.settings.items() if (name in first.changed) is changed}
            for changed in (True, False)
        ]
        texts = (fmt.anything(part) if part else decimals.NONE for part in parts)
        rows.append(cells(", ".join(entry.candidate for entry in entries), section, *texts))
    columns = (
        Column("candidate", "left", wraps=True),
        *left("section"),
        Column("changed settings", "left", wraps=True),
        Column("at their defaults", "left", wraps=True),
    )
    caption = "The suite with the changes of each candidate. The sections `recipes` and `data` as written are below."
    return Table("Settings of the candidates, as resolved", columns, tuple(rows), caption) if rows else None


def not_run(view: View) -> Table | None:
    """Return the measures that the suite asks for and no system has."""
    reasons = dict(view.outcome.not_run)
    for name in view.outcome.measures:
        if name not in view.measures:
            reasons.setdefault(name, "no system has a score")
    return pairs("Measures not run", ("measure", "why"), reasons.items())


def failures(view: View) -> Table | None:
    """Return the failed scores by system and measure."""
    rows = [
        cells(info.label, name, number(row.failed, "count"), number(row.n + row.failed, "count"))
        for info in view.systems
        for name in view.measures
        if (row := view.summary(info, name)) and row.failed
    ]
    columns = (*left("system", "measure"), Column("failed"), Column("of"))
    caption = "A failed score is not a zero: the means leave it out and carry a †."
    return Table("Failed scores", columns, tuple(rows), caption) if rows else None


def published(view: View) -> Table | None:
    """Return published figures beside those of this outcome."""
    published_figures: Mapping[str, Mapping[str, float]] = view.outcome.spec.get("published") or {}
    rows = [
        cells(name, measure, number(value, "figure"), _ours(view, name, measure))
        for name, by_measure in published_figures.items()
        for measure, value in by_measure.items()
        if decimals.is_finite(value)
    ]
    columns = (*left("row", "measure"), Column("published"), Column("here"))
    caption = "Published figures were measured by others, in their way: for orientation only (exploratory)."
    return Table("Published figures", columns, tuple(rows), caption) if rows else None


def _ours(view: View, name: str, measure: str) -> Cell:
    """Return the mean of the row of that name; of each seed if there are several."""
    rows = [info for info in view.systems if info.name == name]
    means = [summary.mean if (summary := view.summary(info, measure)) else None for info in rows]
    if len(rows) == 1:
        return number(means[0], "figure")
    texts = [f"{decimals.fixed(mean, 4)} (seed {info.seed})" for info, mean in zip(rows, means, strict=True)]
    return Cell(", ".join(texts) or decimals.NONE)


def identities(view: View) -> Table | None:
    """Return the digests of how each measure measured: two scores compare only if these are equal."""
    return pairs("Measurement identities", ("measure", "digest"), view.outcome.identities.items())


def system_identities(view: View) -> Table | None:
    """Return the digests of what was measured."""
    rows = [(info.label, info.identity) for info in view.systems]
    return pairs("System identities", ("system", "digest"), rows)


def provenance(view: View) -> Table | None:
    """Return who ran it, where and with what, without the list of packages."""
    rows = flat({key: value for key, value in view.outcome.provenance.items() if key != "packages"})
    return pairs("Provenance", ("what", "value"), rows)


def packages(view: View) -> Table | None:
    versions = view.outcome.provenance.get("packages")
    rows = sorted(versions.items()) if isinstance(versions, Mapping) else []
    return pairs("Packages", ("package", "version"), ((str(name), str(version)) for name, version in rows))


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Return pairs of words out of a mapping that may hold others."""
    for key, item in value.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(item, Mapping):
            yield from flat(item, f"{name}: ")
        else:
            yield name, str(item) if isinstance(item, int) and not isinstance(item, bool) else fmt.anything(item)
