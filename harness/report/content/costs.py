"""The tables of costs: to build and to serve each system, each stage call, each part of a query, each LLM role.

All of it is exploratory: no verdict rests on these tables.
"""

from __future__ import annotations

from harness.report import format as fmt
from harness.report.content.comparisons import gain_cell
from harness.report.model import VERDICT_TONES, Cell, Column, Table, cells, join, left, number
from harness.report.view import View
from harness.text import decimals
from harness.values.findings import LedgerRow, RolePayment, SystemInfo, Timing

COST = "cost"
"""The name of the table of costs, which a page draws below its pictures."""
KEY_SHOWN = 12
NOISY = (
    "Noisy: something else kept the machine busy meanwhile, in three attempts. Such a time is not gated, and no Pareto "
    "front counts it."
)
PAID = ("requests", "prompt_tokens", "new_tokens", "dollars")


def cost(view: View) -> Table:
    """Return what each system costs to build and to serve, beside its gain."""
    first = view.gated[0] if view.gains else ""
    columns = [
        *left("system"),
        Column("build time"),
        Column("build $"),
        *([Column(f"gain {first}")] if first else []),
        Column("retrieval p50 ms", starts=True, minor=True),
        Column("retrieval p95 ms"),
        Column("total p95 ms"),
        Column("$ per 1,000 queries"),
    ]
    return Table(
        "What it costs, beside the gain",
        tuple(columns),
        tuple(_cost_row(view, info, first) for info in view.systems),
        join(
            "The build cost is paid once; latency and dollars per query were measured on this machine (exploratory).",
            NOISY if _any_noisy(view) else "",
            _probe_sizes(view),
            _sharing(view),
        ),
        upper=len(view.systems) - len(view.candidates),
        name=COST,
    )


def _any_noisy(view: View) -> bool:
    servings = [info.serving for info in view.systems if info.serving]
    return any(timing.noisy for serving in servings for timing in (serving.retrieval, serving.total) if timing)


def _sharing(view: View) -> str:
    planned, alone = view.outcome.calls_planned, view.outcome.calls_without_sharing
    return f"Stage calls: {fmt.count(planned)} distinct; {fmt.count(alone)} without sharing." if planned else ""


def _cost_row(view: View, info: SystemInfo, first: str) -> tuple[Cell, ...]:
    serving = info.serving
    retrieval, total = (serving.retrieval, serving.total) if serving else (None, None)
    row = view.gain(info, first)
    gain = number(row.difference, "difference", tone=VERDICT_TONES.get(row.verdict, "")) if row else None
    return (
        *cells(info.label, number(info.build_seconds, "seconds"), number(info.build_dollars, "dollars")),
        *((gain or gain_cell(view, info, first),) if first else ()),
        *_quantiles(retrieval),
        _quantiles(total)[1],
        number(serving.dollars_per_1000 if serving else None, "dollars"),
    )


def _probe_sizes(view: View) -> str:
    """Return how many single queries each latency was measured on."""
    servings = [info.serving for info in view.systems if info.serving]
    timings = {
        "retrieval": [serving.retrieval.n for serving in servings if serving.retrieval],
        "total": [serving.total.n for serving in servings if serving.total],
    }
    parts = [f"{name} {fmt.span(sizes, fmt.count)}" for name, sizes in timings.items() if sizes]
    return f"Single queries timed: {', '.join(parts)}." if parts else "No latency was measured."


def latency(view: View) -> Table | None:
    """Return the latency of every part that was timed, with the systems that use it."""
    if not view.outcome.timings:
        return None
    rows = []
    for timing in view.outcome.timings:
        users = [info.label for info in view.systems if info.serving and timing.part in info.serving.parts]
        numbers = (number(timing.n, "count"), *_quantiles(timing))
        rows.append(cells(timing.part, *numbers, ", ".join(users) or decimals.NONE))
    columns = (*left("part"), Column("n"), Column("p50 ms"), Column("p95 ms"), Column("used by", "left", wraps=True))
    return Table(
        "Latency by part",
        columns,
        tuple(rows),
        "One query at a time through the assembled pipeline after a warm-up (exploratory; this machine class only)."
        + (f" {NOISY}" if any(timing.noisy for timing in view.outcome.timings) else ""),
    )


def _quantiles(timing: Timing | None) -> tuple[Cell, Cell]:
    """Return p50 and p95 of a timing; noisy ones say so."""
    after = " noisy" if timing and timing.noisy else ""
    p50, p95 = (timing.p50_ms, timing.p95_ms) if timing else (None, None)
    return number(p50, "ms", after), number(p95, "ms", after)


def paid(view: View) -> Table | None:
    """Return what this run asked of endpoints, by role."""
    rows = list(view.outcome.paid)
    if len(rows) > 1:
        sums = {name: sum(getattr(row, name) for row in rows) for name in PAID}
        rows.append(RolePayment(role="all", model="", **sums))
    columns = (*left("role", "model"), *(Column(name) for name in ("requests", "tokens in", "tokens out", "paid")))
    caption = "Requests of this run to endpoints, failed ones included; answers from the cache cost nothing."
    return Table("Paid to endpoints", columns, tuple(map(_paid, rows)), caption) if rows else None


def _paid(row: RolePayment) -> tuple[Cell, ...]:
    numbers = (number(count, "count") for count in (row.requests, row.prompt_tokens, row.new_tokens))
    return cells(row.role, row.model or decimals.NONE, *numbers, number(row.dollars, "dollars"))


def ledger(view: View) -> Table | None:
    """Return what each stage call cost, and whether this run computed it."""
    rows = view.outcome.ledger
    if not rows:
        return None
    clustered = any(row.machine for row in rows)
    columns = [
        *left("stage call"),
        Column("took"),
        *(Column(name, minor=True) for name in ("peak memory", "LLM calls", "tokens in", "tokens out", "on disk")),
        Column("here", "left"),
        Column("device", "left", minor=True),
        *([Column("machine", "left", minor=True)] if clustered else []),
        Column("key", "left", minor=True),
        Column("used by", "left", wraps=True),
    ]
    made, reused = (sum(row.seconds for row in rows if row.reused == state) for state in (False, True))
    return Table(
        "Ledger: what each stage call cost",
        tuple(columns),
        tuple(_ledger_row(view, row, clustered) for row in rows),
        join(
            f"Computed in this run: {fmt.duration(made)}; reused from the cache: {fmt.duration(reused)}.",
            "Tokens are those of all answers, cached ones included." if any(row.prompt_tokens for row in rows) else "",
        ),
    )


def _ledger_row(view: View, row: LedgerRow, clustered: bool) -> tuple[Cell, ...]:
    tokens = (row.llm_calls, row.prompt_tokens, row.new_tokens)
    users = "all systems" if len(row.systems) > 2 and len(row.systems) == len(view.systems) else ", ".join(row.systems)
    return cells(
        row.label or row.stage,
        number(row.seconds, "seconds"),
        number(row.peak_memory_mb, "megabytes"),
        *(number(count or None, "count") for count in tokens),
        number(row.bytes, "bytes"),
        "reused" if row.reused else "computed",
        row.device,
        *([_machine(row)] if clustered else []),
        row.key[:KEY_SHOWN],
        users or decimals.NONE,
    )


def _machine(row: LedgerRow) -> str:
    """The class of the machine of a cluster that made it, and how often it was begun if a worker died."""
    again = f", {row.attempts} attempts" if row.attempts > 1 else ""
    return f"{row.machine or decimals.NONE}{again}"
