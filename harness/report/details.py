"""The tables behind the answer: abstention, latency, what each stage call cost and noted, data, provenance.

All of it is exploratory: no verdict rests on these tables. This module must not know how a table is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.report import figures
from harness.report.values import Cell, Column, Table, cells, left
from harness.report.view import View, row_label
from harness.values.findings import AbstentionCounts, LedgerRow, Resolved, SystemInfo

KEY_SHOWN = 12


def pairs(title: str, names: tuple[str, str], rows: Iterable[tuple[str, str]], caption: str = "") -> Table | None:
    """A table of two columns of words; None if it is empty."""
    body = tuple(cells(row) for row in rows)
    columns = (Column(names[0], "left"), Column(names[1], "left", wraps=True))
    return Table(title, columns, body, caption) if body else None


def abstention(view: View) -> Table | None:
    """The 2x2 table of every system, and its two rates."""
    if not view.outcome.abstentions:
        return None
    columns = [
        *left("system"),
        Column("answerable, answered"),
        Column("answerable, abstained"),
        Column("unanswerable, answered"),
        Column("unanswerable, abstained"),
        Column("abstained wrongly"),
        Column("abstained rightly"),
    ]
    return Table(
        "Abstention",
        tuple(columns),
        tuple(_abstention_row(view, row) for row in view.outcome.abstentions),
        "Numbers of queries (exploratory). Wrongly: share of the answerable ones; rightly: of the unanswerable ones.",
    )


def _abstention_row(view: View, row: AbstentionCounts) -> tuple[Cell, ...]:
    table = (row.answerable_answered, row.answerable_abstained, row.unanswerable_answered, row.unanswerable_abstained)
    return cells(
        (
            row_label(view.outcome, row.system, row.seed),
            *(figures.count(number) for number in table),
            figures.percent(table[1], table[0] + table[1]),
            figures.percent(table[3], table[2] + table[3]),
        )
    )


def latency(view: View) -> Table | None:
    """Every part that was timed, and who uses it."""
    if not view.outcome.timings:
        return None
    rows = []
    for timing in view.outcome.timings:
        users = [info.label for info in view.systems if info.serving and timing.part in info.serving.parts]
        numbers = (figures.count(timing.n), figures.milliseconds(timing.p50_ms), figures.milliseconds(timing.p95_ms))
        rows.append(cells((timing.part, *numbers, ", ".join(users) or figures.NONE)))
    columns = (*left("part"), Column("n"), Column("p50 ms"), Column("p95 ms"), Column("used by", "left", wraps=True))
    return Table(
        "Latency by part",
        columns,
        tuple(rows),
        "One query at a time through the assembled pipeline after a warm-up (exploratory; this machine class only).",
    )


def ledger(view: View) -> Table | None:
    """What each stage call cost, and whether this run had to make it."""
    rows = view.outcome.ledger
    if not rows:
        return None
    columns = [
        *left("stage call"),
        Column("took"),
        *(Column(name) for name in ("peak memory", "LLM calls", "tokens in", "tokens out", "on disk")),
        Column("here", "left"),
        Column("device", "left"),
        Column("key", "left"),
        Column("used by", "left", wraps=True),
    ]
    made, reused = (sum(row.seconds for row in rows if row.reused == state) for state in (False, True))
    return Table(
        "Ledger: what each stage call cost",
        tuple(columns),
        tuple(_ledger_row(view, row) for row in rows),
        f"Made in this run: {figures.duration(made)}; found in the store, not made again: {figures.duration(reused)}.",
    )


def _ledger_row(view: View, row: LedgerRow) -> tuple[Cell, ...]:
    tokens = (row.llm_calls, row.prompt_tokens, row.new_tokens)
    users = "all systems" if len(row.systems) > 2 and len(row.systems) == len(view.systems) else ", ".join(row.systems)
    return cells(
        (
            row.label or row.stage,
            figures.duration(row.seconds),
            figures.memory(row.peak_memory_mb),
            *(figures.count(number) if number else figures.NONE for number in tokens),
            figures.size(row.bytes),
            "reused" if row.reused else "made",
            row.device,
            row.key[:KEY_SHOWN],
            users or figures.NONE,
        )
    )


def stage_notes(view: View) -> Table | None:
    """What the stages counted while they worked."""
    rows = [(row.label or row.stage, figures.anything(row.notes)) for row in view.outcome.ledger if row.notes]
    return pairs("What the stages counted", ("stage call", "counts"), rows)


def dataset(view: View) -> Table | None:
    data = view.outcome.dataset
    rows = [
        ("name", data.name),
        ("documents", figures.count(data.documents)),
        *((f"queries, {split}", figures.count(number)) for split, number in data.queries.items()),
        ("groups", figures.count(data.groups)),
        ("with judgements", figures.count(data.judged)),
        ("answerable", figures.count(data.answerable)),
        ("unanswerable", figures.count(data.unanswerable)),
        ("with answers written", figures.count(data.answered)),
        *((f"source: {name}", figures.anything(value)) for name, value in data.source.items()),
        ("digest", data.digest),
        *((f"digest of {name}", value) for name, value in data.digests.items()),
    ]
    return pairs(
        "Data", ("what", "value"), rows, f"Counts of queries are of the split {view.outcome.split}, unless named."
    )


def repairs(view: View) -> Table | None:
    """What was repaired in the data set, with the first places."""
    rows = [(repair.text, "; ".join(repair.examples)) for repair in view.outcome.repairs]
    return pairs("Repairs of the data", ("repair", "first places"), rows)


def settings(view: View) -> Table | None:
    return pairs("Settings that bear on the numbers", ("setting", "value"), view.outcome.settings.items())


def resolved(view: View) -> Table | None:
    """What each candidate was made with; candidates that share a section share its row."""
    shared: dict[tuple[str, str], list[Resolved]] = {}
    for one in view.outcome.resolved:
        shared.setdefault((one.section, figures.anything(one.settings)), []).append(one)
    rows = []
    for (section, _), found in shared.items():
        first = found[0]
        parts = [
            {name: value for name, value in first.settings.items() if (name in first.changed) is changed}
            for changed in (True, False)
        ]
        texts = (figures.anything(part) if part else figures.NONE for part in parts)
        rows.append(cells((", ".join(one.candidate for one in found), section, *texts)))
    columns = (
        Column("candidate", "left", wraps=True),
        *left("section"),
        Column("set otherwise than by default", "left", wraps=True),
        Column("at their defaults", "left", wraps=True),
    )
    caption = "The suite with the changes of each candidate; `recipes` and `data` of the suite as written stand below."
    return Table("What candidates are made with, as resolved", columns, tuple(rows), caption) if rows else None


def not_run(view: View) -> Table | None:
    """Measures that the suite asks for and no system has."""
    reasons = dict(view.outcome.not_run)
    for name in view.outcome.measures:
        if name not in view.measures:
            reasons.setdefault(name, "no system has a score")
    return pairs("Measures not run", ("measure", "why"), reasons.items())


def failures(view: View) -> Table | None:
    """Failed scores by system and measure."""
    rows = [
        cells((info.label, name, figures.count(row.failed), figures.count(row.n + row.failed)))
        for info in view.systems
        for name in view.measures
        if (row := view.summary(info, name)) and row.failed
    ]
    columns = (*left("system", "measure"), Column("failed"), Column("of"))
    caption = "A failure is no zero: the means leave it out and carry a mark."
    return Table("Failed scores", columns, tuple(rows), caption) if rows else None


def published(view: View) -> Table | None:
    """Figures from elsewhere, beside ours."""
    figures_elsewhere: Mapping[str, Mapping[str, float]] = view.outcome.spec.get("published") or {}
    rows = [
        cells((name, measure, figures.fixed(value, 4), _ours(view, name, measure)))
        for name, by_measure in figures_elsewhere.items()
        for measure, value in by_measure.items()
    ]
    columns = (*left("row", "measure"), Column("published"), Column("here"))
    caption = "Published figures were measured by others, in their way: for orientation, not tested (exploratory)."
    return Table("Published figures", columns, tuple(rows), caption) if rows else None


def _ours(view: View, name: str, measure: str) -> str:
    """The mean of the row of that name; with its seeds if there are several."""
    found = [info for info in view.systems if info.name == name]
    texts = [_mean_text(view, info, measure) for info in found]
    if len(found) > 1:
        texts = [f"{text} (seed {info.seed})" for info, text in zip(found, texts, strict=True)]
    return ", ".join(texts) or figures.NONE


def _mean_text(view: View, info: SystemInfo, measure: str) -> str:
    summary = view.summary(info, measure)
    return figures.fixed(summary.mean if summary else None, 4)


def identities(view: View) -> Table | None:
    """Digests of how each measure measured: two scores compare only if these are equal."""
    return pairs("Measurement identities", ("measure", "digest"), view.outcome.identities.items())


def system_identities(view: View) -> Table | None:
    """Digests of what was measured."""
    rows = [(info.label, info.identity) for info in view.systems]
    return pairs("System identities", ("system", "digest"), rows)


def provenance(view: View) -> Table | None:
    """Who, where and with what, but for the list of packages."""
    rows = flat({key: value for key, value in view.outcome.provenance.items() if key != "packages"})
    return pairs("Provenance", ("what", "value"), rows)


def packages(view: View) -> Table | None:
    found = view.outcome.provenance.get("packages")
    rows = sorted(found.items()) if isinstance(found, Mapping) else []
    return pairs("Packages", ("package", "version"), ((str(name), str(version)) for name, version in rows))


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Pairs of words out of a mapping that may hold others."""
    for key, item in value.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(item, Mapping):
            yield from flat(item, f"{name}: ")
        else:
            yield name, str(item) if isinstance(item, int) and not isinstance(item, bool) else figures.anything(item)
