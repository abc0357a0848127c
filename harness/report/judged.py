"""What language models judged, and what was paid to their endpoints.

This module must not know how a table is drawn.
"""

from __future__ import annotations

from harness.report import figures
from harness.report.tables import compared
from harness.report.values import Column, Table, cells, left
from harness.report.view import BASELINE, View
from harness.values.findings import RolePayment


def advisory(view: View) -> Table | None:
    """Gains in what an LLM judged."""
    return compared(
        view, "advisory", f"What an LLM judged, against {BASELINE}", "gain",
        "Advisory: on the questions that both systems answered, which flatters one that abstains on hard questions; no "
        "gate rests on it. A gain is an improvement, also where less is better.",
    )  # fmt: skip


def spread(view: View) -> Table | None:
    """How far repeated judgements of one answer lie apart."""
    rows = [
        cells((info.label, name, figures.fixed(row.mean), figures.fixed(row.spread), figures.count(row.n)))
        for info in view.systems
        for name in view.measures
        if (row := view.summary(info, name)) and row.spread is not None
    ]
    caption = (
        "Standard deviation between judgements of one answer, as a root mean square over the answers (exploratory)."
    )
    columns = (*left("system", "measure"), *(Column(name) for name in ("mean", "spread of the judge", "answers")))
    return Table("How steady the judge is", columns, tuple(rows), caption, keys=2) if rows else None


def paid(view: View) -> Table | None:
    """What this run asked of endpoints, by role."""
    rows = [cells(_paid(row)) for row in view.outcome.paid]
    if len(rows) > 1:
        whole = view.outcome.paid
        total = RolePayment(
            role="all", model="", requests=sum(row.requests for row in whole),
            prompt_tokens=sum(row.prompt_tokens for row in whole), new_tokens=sum(row.new_tokens for row in whole),
            dollars=sum(row.dollars for row in whole),
        )  # fmt: skip
        rows.append(cells(_paid(total)))
    columns = (*left("role", "model"), *(Column(name) for name in ("requests", "tokens in", "tokens out", "paid")))
    caption = "Asked of endpoints in this run, failed requests included; answers known from earlier runs cost nothing."
    return Table("Paid to endpoints", columns, tuple(rows), caption) if rows else None


def _paid(row: RolePayment) -> tuple[str, ...]:
    numbers = (figures.count(number) for number in (row.requests, row.prompt_tokens, row.new_tokens))
    return row.role, row.model or figures.NONE, *numbers, figures.dollars(row.dollars)
