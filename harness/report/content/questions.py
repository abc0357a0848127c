"""What is said of questions that a model wrote: the first line of a report, and whether they agree with people's."""

from __future__ import annotations

from harness.report import format as fmt
from harness.report.model import Cell, Column, Section, Table, cells, left, number, within
from harness.report.view import View
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.questions import QuestionAgreement, SyntheticQuestions

FEW_SYSTEMS = 4
"""With fewer systems, few pairs decide the agreement."""


def first_line(questions: SyntheticQuestions | None) -> str:
    """Return the first line of a report: that questions are synthetic; empty if none are."""
    return questions.sentence if questions is not None else ""


def sections(view: View) -> tuple[Section, ...]:
    """Return whether synthetic questions and those of people rank the systems alike; nothing where one is missing."""
    rows = view.outcome.agreement
    if not rows:
        return ()
    lines = tuple(map(_sentence, rows))
    return (
        Section(
            "agreement",
            "Synthetic and human",
            "Do synthetic questions rank the systems as people's do?",
            lines,
            (_agreement(rows), _means(rows)),
        ),
    )


def _sentence(row: QuestionAgreement) -> str:
    tau = finite(row.tau)
    if tau is None:
        return f"{row.measure}: no order to compare, because all systems score the same on one side."
    shown = f"Kendall's tau-b is {decimals.mean(row.tau, row.low, row.high)}"
    over = f"{len(row.means):,} systems"
    if finite(row.low) is None or finite(row.high) is None:
        return f"{row.measure}: {shown} over {over}; there are too few questions for an interval."
    if row.low is not None and row.low > 0:
        return f"{row.measure}: both kinds of question rank the systems alike: {shown} over {over}."
    if row.high is not None and row.high < 0:
        return f"{row.measure}: synthetic questions turn the order of the systems round: {shown} over {over}."
    return f"{row.measure}: it is not shown that both kinds of question rank the systems alike: {shown} over {over}."


def _agreement(rows: tuple[QuestionAgreement, ...]) -> Table:
    columns = (
        *left("measure"),
        Column("synthetic queries"),
        Column("human queries"),
        Column("Kendall tau-b"),
        *left("best by synthetic", "best by people"),
    )
    few = any(len(row.means) < FEW_SYSTEMS for row in rows)
    return Table(
        "Agreement of synthetic and human questions",
        columns,
        tuple(
            cells(
                row.measure,
                number(row.n_synthetic, "count"),
                number(row.n_people, "count"),
                within(row.tau, row.low, row.high, "mean"),
                _best(row, "synthetic"),
                _best(row, "people"),
            )
            for row in rows
        ),
        "Tau-b is 1 if both rank all systems alike, 0 if the orders have nothing in common, -1 if they are opposite. "
        "Intervals of 95 % resample the groups of both kinds of question."
        + (" With few systems it is coarse." if few else ""),
    )


def _best(row: QuestionAgreement, side: str) -> Cell:
    means = {pair.system: getattr(pair, side) for pair in row.means}
    top = max(means.values())
    names = [name for name, mean in means.items() if mean == top]
    return Cell(fmt.listed(fmt.first(names)))


def _means(rows: tuple[QuestionAgreement, ...]) -> Table:
    columns = (*left("measure", "system"), Column("synthetic"), Column("human"))
    return Table(
        "Means on both kinds of question",
        columns,
        tuple(
            cells(row.measure, pair.system, number(pair.synthetic, "mean"), number(pair.people, "mean"))
            for row in rows
            for pair in row.means
        ),
        "Levels may differ: synthetic questions are often easier. What counts is the order of the systems.",
        keys=2,
    )
