"""All that is said of a diagnosis, made once; a terminal and the files only draw it.

Here are the tables of time, money, signs and data; the rest comes from `loss` and `advice`.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.report import amounts, details, figures, loss
from harness.report.advice import advice, lede, notes
from harness.report.lede import Lede
from harness.report.sections import Section, filled, present
from harness.report.values import Cell, Column, Table, cells, left, sentences
from harness.report.words import FEW_GROUPS
from harness.values.insights import CostEstimate, Diagnosis, Sign


@dataclass(frozen=True)
class DiagnosisContents:
    """The answer, what to keep in mind, and the sections in the order in which a reader wants them."""

    title: str
    subject: str
    lede: Lede
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]


def diagnosed(diagnosis: Diagnosis) -> DiagnosisContents:
    """Make everything that is said of a diagnosis."""
    return DiagnosisContents(
        title=diagnosis.title or diagnosis.suite,
        subject=_subject(diagnosis),
        lede=lede(diagnosis),
        warnings=(*_few_groups(diagnosis), *notes(diagnosis)),
        sections=filled(
            (
                advice(diagnosis),
                loss.funnel(diagnosis),
                loss.oracle_gains(diagnosis),
                loss.curves(diagnosis),
                costs(diagnosis),
                signs(diagnosis),
                data(diagnosis),
            )
        ),
    )


def _subject(diagnosis: Diagnosis) -> str:
    parts = [
        f"Suite {diagnosis.suite}",
        f"split {diagnosis.split}",
        figures.counted(diagnosis.documents, "document"),
        figures.counted(diagnosis.judged, "judged question"),
        figures.counted(diagnosis.groups, "group"),
    ]
    return ", ".join(parts)


def _few_groups(diagnosis: Diagnosis) -> tuple[str, ...]:
    if diagnosis.groups >= FEW_GROUPS:
        return ()
    groups = figures.counted(diagnosis.groups, "group")
    return (f"Only {groups} of questions, under {FEW_GROUPS}; the intervals are rough.",)


# ---- time and money


def costs(diagnosis: Diagnosis) -> Section:
    """Where the time of a query goes, what queries cost, and what each candidate is estimated to cost."""
    told = []
    if figures.finite(diagnosis.p95_ms) is not None:
        told.append(f"A query takes {figures.milliseconds(diagnosis.p95_ms)} ms from end to end (p95).")
    if figures.finite(diagnosis.dollars_per_1000) is not None:
        told.append(f"1,000 queries cost {figures.dollars(diagnosis.dollars_per_1000)}.")
    tables = present(_times(diagnosis), _quotes(diagnosis))
    return Section("costs", "Time and money", "Time and money", tuple(told), tables, brief=False)


def _times(diagnosis: Diagnosis) -> Table | None:
    if not diagnosis.times:
        return None
    columns = (*left("part"), *(Column(name) for name in ("p50 ms", "share of p50", "p95 ms", "share of p95")))
    rows = [
        cells(
            (
                row.part,
                figures.milliseconds(row.p50_ms),
                amounts.percent(row.share_p50),
                figures.milliseconds(row.p95_ms),
                amounts.percent(row.share_p95),
            )
        )
        for row in diagnosis.times
    ]
    caption = "One query at a time through the untuned pipeline after a warm-up; shares are of the sum of all parts."
    return Table("Where the time of a query goes", columns, tuple(rows), caption)


def _quotes(diagnosis: Diagnosis) -> Table | None:
    if not diagnosis.estimates:
        return None
    columns = (
        *left("candidate", "tunes"),
        *(Column(name) for name in ("to make", "still to make", "added p95 ms", "added $ per 1,000")),
        Column("speed guessed of", "left"),
    )  # fmt: skip
    caption = (
        "Estimated before anything is made; dollars per 1,000 queries. Still to make: without what the store holds. "
        "The speed of the other stages was measured on this machine."
    )
    return Table("What each candidate would cost", columns, tuple(map(_quote, diagnosis.estimates)), caption)


def _quote(row: CostEstimate) -> tuple[Cell, ...]:
    return cells(
        (
            row.candidate,
            ", ".join(row.tunes) or figures.NONE,
            amounts.once(row.seconds_in_full, row.dollars),
            figures.duration(row.seconds),
            amounts.added(row.added_p95_ms, figures.milliseconds),
            amounts.added(row.added_dollars_per_1000, figures.dollars),
            ", ".join(name for name, basis in row.basis.items() if basis == "guessed") or "none",
        )
    )


# ---- signs


def signs(diagnosis: Diagnosis) -> Section:
    """Signs that the models do not know this domain."""
    if not diagnosis.signs:
        return Section("signs", "Domain gap", "Signs of a domain gap")
    worrying = [_plain(sign) for sign in diagnosis.signs if sign.worrying]
    of = figures.counted(len(diagnosis.signs), "sign")
    said = (
        f"Worrying, {len(worrying)} of {of}: {figures.listed(worrying)}." if worrying else f"None of {of} is worrying."
    )
    columns = (
        *left("sign"), Column("value"), Column("bar"), *left("beyond it"), Column("n"),
        Column("what it is", "left", wraps=True),
    )  # fmt: skip
    caption = "A sign is a hint, not a finding: it has no interval, and a healthy pipeline may show one."
    table = Table("Signs", columns, tuple(map(_sign, diagnosis.signs)), caption)
    return Section("signs", "Domain gap", "Signs of a domain gap", (said,), (table,), brief=False)


def _sign(sign: Sign) -> tuple[Cell, ...]:
    known = figures.finite(sign.value) is not None
    beyond = Cell("worrying", "inconclusive") if sign.worrying else Cell("no" if known else figures.NONE)
    return (
        *cells((_plain(sign), figures.fixed(sign.value), figures.fixed(sign.bar))),
        beyond,
        *cells((figures.count(sign.n) if sign.n else figures.NONE, sentences(sign.about) or figures.NONE)),
    )


def _plain(sign: Sign) -> str:
    return sign.name.replace("_", " ")


# ---- data


def data(diagnosis: Diagnosis) -> Section:
    """What the diagnosis was measured on, and what its rules were told."""
    names = {"retrieval": "where documents are", "answers": "what is right"}
    rules = [(names[funnel.kind], funnel.rule) for funnel in diagnosis.funnels if funnel.rule]
    rows = [
        ("split", diagnosis.split),
        ("documents", figures.count(diagnosis.documents)),
        ("judged questions", figures.count(diagnosis.judged)),
        ("questions answered", figures.count(diagnosis.answered)),
        ("of these unanswerable", figures.count(diagnosis.unanswerable)),
        ("groups", figures.count(diagnosis.groups)),
        *rules,
        ("measures", ", ".join(diagnosis.measures) or figures.NONE),
        ("took", figures.duration(diagnosis.seconds)),
        ("machine", diagnosis.machine or figures.NONE),
        ("system identity of untuned", diagnosis.pipeline),
        *((f"digest of {name}", value) for name, value in diagnosis.digests.items()),
    ]
    facts = [(name, figures.anything(value)) for name, value in diagnosis.facts.items()]
    made = details.flat({key: value for key, value in diagnosis.provenance.items() if key != "packages"})
    caption = "Lists were scored on all judged questions, answers on a sample where there are many."
    return Section(
        "data", "Data", "What this was measured on",
        tables=present(details.pairs("Measured on", ("what", "value"), rows, caption)),
        in_full=present(
            details.pairs("What the rules were told", ("fact", "value"), facts),
            details.pairs("Provenance", ("what", "value"), made),
        ),
        folded="What the rules were told, and provenance",
        brief=False,
    )  # fmt: skip
