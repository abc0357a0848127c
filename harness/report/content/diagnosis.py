"""All that the report of a diagnosis says, built once; the renderings only write and draw it.

Here are the tables of time, cost, signs and data; `loss` and `advice` have the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.report import format as fmt
from harness.report.content import details, loss
from harness.report.content.advice import advice, notes, summarise
from harness.report.content.questions import first_line
from harness.report.content.reading import FEW_GROUPS, few_groups
from harness.report.content.training_free import training_free
from harness.report.model import Cell, Column, Headline, Section, Table, cells, left, number, present
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.insights import CostEstimate, Diagnosis, Sign


@dataclass(frozen=True)
class DiagnosisContents:
    """The answer, what to keep in mind, and the sections in the order in which a reader wants them."""

    synthetic: str
    title: str
    subject: str
    headline: Headline
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]


def diagnosed(diagnosis: Diagnosis) -> DiagnosisContents:
    """Return everything that is said of a diagnosis."""
    return DiagnosisContents(
        synthetic=first_line(diagnosis.questions),
        title=diagnosis.title or diagnosis.suite,
        subject=_subject(diagnosis),
        headline=summarise(diagnosis),
        warnings=(*_few_groups(diagnosis), *notes(diagnosis)),
        sections=tuple(filter(None, (build(diagnosis) for build in SECTIONS))),
    )


def _subject(diagnosis: Diagnosis) -> str:
    parts = [
        f"Suite {diagnosis.suite}",
        f"split {diagnosis.split}",
        fmt.counted(diagnosis.documents, "document"),
        fmt.counted(diagnosis.judged, "judged query", "judged queries"),
        fmt.counted(diagnosis.groups, "group"),
    ]
    return ", ".join(parts)


def _few_groups(diagnosis: Diagnosis) -> tuple[str, ...]:
    return (few_groups(diagnosis.groups, "All measures"),) if diagnosis.groups < FEW_GROUPS else ()


# ---- time and cost


def costs(diagnosis: Diagnosis) -> Section:
    """Return where the time of a query goes, what queries cost, and the estimated cost of each candidate."""
    lines = []
    if finite(diagnosis.p95_ms) is not None:
        lines.append(f"A query takes {fmt.milliseconds(diagnosis.p95_ms)} ms from question to answer (p95).")
    if finite(diagnosis.dollars_per_1000) is not None:
        lines.append(f"1,000 queries cost {fmt.dollars(diagnosis.dollars_per_1000)}.")
    tables = present(_times(diagnosis), _estimates(diagnosis))
    return Section("costs", "Time and cost", "Time and cost", tuple(lines), tables, brief=False)


def _times(diagnosis: Diagnosis) -> Table | None:
    if not diagnosis.times:
        return None
    columns = (*left("part"), *(Column(name) for name in ("p50 ms", "share of p50", "p95 ms", "share of p95")))
    rows = [
        cells(
            row.part,
            number(row.p50_ms, "ms"),
            number(row.share_p50, "percent"),
            number(row.p95_ms, "ms"),
            number(row.share_p95, "percent"),
        )
        for row in diagnosis.times
    ]
    caption = "One query at a time through the untuned pipeline after a warm-up; shares are of the sum of all parts."
    return Table("Latency by part", columns, tuple(rows), caption)


def _estimates(diagnosis: Diagnosis) -> Table | None:
    if not diagnosis.estimates:
        return None
    columns = (
        *left("candidate", "tunes"),
        *(Column(name) for name in ("build cost", "not cached", "added p95 ms", "added $ per 1,000")),
        Column("guessed speeds", "left"),
    )
    caption = (
        "Estimates; dollars per 1,000 queries. Not cached: the build time without what the cache holds. The speed of "
        "the other stages was measured on this machine."
    )
    return Table("Estimated cost of each candidate", columns, tuple(map(_estimate, diagnosis.estimates)), caption)


def _estimate(row: CostEstimate) -> tuple[Cell, ...]:
    return cells(
        row.candidate,
        ", ".join(row.tunes) or decimals.NONE,
        fmt.build_cost_cell(row.seconds_in_full, row.dollars),
        number(row.seconds, "seconds"),
        number(row.added_p95_ms, "added ms"),
        number(row.added_dollars_per_1000, "added dollars"),
        ", ".join(name for name, basis in row.basis.items() if basis == "guessed") or "none",
    )


# ---- signs


def signs(diagnosis: Diagnosis) -> Section:
    """Return signs that the models do not know this domain."""
    if not diagnosis.signs:
        return Section("signs", "Domain gap", "Signs of a domain gap")
    worrying = [_plain(sign) for sign in diagnosis.signs if sign.worrying]
    of = fmt.counted(len(diagnosis.signs), "sign")
    said = f"Worrying, {len(worrying)} of {of}: {fmt.listed(worrying)}." if worrying else f"None of {of} is worrying."
    columns = (
        *left("sign"),
        *(Column("value"), Column("threshold"), *left("beyond it"), Column("n")),
        Column("meaning", "left", wraps=True),
    )
    caption = "A sign is a hint, not a finding: it has no interval, and a healthy pipeline may show one."
    table = Table("Signs", columns, tuple(map(_sign, diagnosis.signs)), caption)
    return Section("signs", "Domain gap", "Signs of a domain gap", (said,), (table,), brief=False)


def _sign(sign: Sign) -> tuple[Cell, ...]:
    known = finite(sign.value) is not None
    beyond = Cell("worrying", "inconclusive") if sign.worrying else Cell("no" if known else decimals.NONE)
    return cells(
        _plain(sign),
        number(sign.value, "mean"),
        number(sign.bar, "mean"),
        beyond,
        number(sign.n or None, "count"),
        " ".join(sign.about.split()) or decimals.NONE,
    )


def _plain(sign: Sign) -> str:
    return sign.name.replace("_", " ")


# ---- data


def data(diagnosis: Diagnosis) -> Section:
    """Return what the diagnosis was measured on, and the facts that its rules used."""
    names = {"retrieval": "relevant documents", "answers": "right answers"}
    rules = [(names[funnel.kind], funnel.rule) for funnel in diagnosis.funnels if funnel.rule]
    rows = [
        ("split", diagnosis.split),
        ("documents", fmt.count(diagnosis.documents)),
        ("judged queries", fmt.count(diagnosis.judged)),
        ("queries answered", fmt.count(diagnosis.answered)),
        ("of these unanswerable", fmt.count(diagnosis.unanswerable)),
        ("groups", fmt.count(diagnosis.groups)),
        *rules,
        ("measures", ", ".join(diagnosis.measures) or decimals.NONE),
        ("took", fmt.duration(diagnosis.seconds)),
        ("machine", diagnosis.machine or decimals.NONE),
        ("system identity of untuned", diagnosis.pipeline),
        *((f"digest of {name}", value) for name, value in diagnosis.digests.items()),
    ]
    facts = [(name, fmt.anything(value)) for name, value in diagnosis.facts.items()]
    made = details.flat({key: value for key, value in diagnosis.provenance.items() if key != "packages"})
    caption = "Rankings were scored on all judged queries, answers on a sample where there are many."
    return Section(
        "data",
        "Data",
        "What this was measured on",
        tables=present(details.pairs("Measured on", ("what", "value"), rows, caption)),
        in_full=present(
            details.pairs("Facts that the rules used", ("fact", "value"), facts),
            details.pairs("Provenance", ("what", "value"), made),
        ),
        folded="Facts that the rules used, and provenance",
        brief=False,
    )


SECTIONS = (advice, training_free, loss.funnel, loss.oracle_gains, loss.curves, costs, signs, data)
"""The sections of a diagnosis, in the order in which a reader wants them."""
