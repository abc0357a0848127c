"""What paid where: the best systems of every suite, then every system, in one of two tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.report import format as fmt
from harness.report.content.comparisons import comparison_cell
from harness.report.content.questions import first_line
from harness.report.model import Cell, Column, Table, cells, left, number, queries_and_groups
from harness.report.seedless import trained_with
from harness.report.view import BASELINE, is_rank
from harness.text import decimals
from harness.values.findings import Comparison, SystemInfo
from harness.values.suite_results import BestSystems, SuiteResults, SystemResult
from harness.values.systems import BM25, trained

KINDS = {
    "bm25": "bm25 alone",
    "hybrid": "bm25 and vectors, fused by rank",
    "few-shot": "examples in the prompt",
}
"""What baseline rows change."""
SETTINGS = {
    "retriever.kind=late-interaction": "late interaction as first stage",
    "retriever.kind=sparse": "learned sparse vectors",
    "retriever.kind=bm25": "bm25 as first stage",
    "reranker.kind=late-interaction": "late interaction",
    "reranker.kind=cross-encoder": "cross-encoder",
    "reranker.kind=causal-lm": "language model as reranker",
    "retriever.bm25_weight=dev": "bm25 mixed in",
}
"""Settings that have a name; others are shown as they are."""
UNNAMED = "not named"
BEYOND = "over the best without training"


def kind_of(info: SystemInfo) -> str:
    """Return what a system changes: ``late interaction + bm25 mixed in``, ``retriever, then generator tuned``."""
    if info.role == "baseline" and info.name in KINDS:
        return KINDS[info.name]
    parts = [trained(f"{', then '.join(info.tunes)} tuned", info.training)] if info.tunes else []
    return " + ".join([*parts, *(SETTINGS.get(change, change) for change in info.changes)]) or info.name


def synthetic(results: Sequence[SuiteResults]) -> Iterator[str]:
    """Yield, for each suite whose questions a model wrote, that it did, and how many a person has seen."""
    for suite in results:
        if line := first_line(suite.dataset.questions):
            yield f"{suite.suite}: {line[:1].lower()}{line[1:]}"


def summary(results: Sequence[SuiteResults]) -> Table:
    """Return one row for each suite and measure: what the best systems score and gain."""
    columns = (
        *left("suite", "measure"),
        *map(Column, ("queries / groups", BASELINE, BM25)),
        *left("best without training"),
        Column("mean"),
        *left("gain", "best trained"),
        Column("mean"),
        Column("gain", "left"),
    )
    return Table(
        "Summary",
        columns,
        tuple(_summary_row(suite, best) for suite in results for best in suite.best),
        f"Gains are over {BASELINE}. The best system without training was chosen on dev when the suite was run. It is "
        "not named where nothing is scored on dev, nothing is trained, or an older version accepted the scores. The "
        "next table says how the best trained system was chosen.",
        keys=2,
    )


def _summary_row(suite: SuiteResults, best: BestSystems) -> tuple[Cell, ...]:
    untuned, bm25 = suite.system(BASELINE), suite.system(BM25)
    return cells(
        suite.suite,
        best.measure,
        queries_and_groups(best.queries, best.groups),
        _mean(untuned, best.measure),
        _mean(bm25, best.measure),
        *_best(suite, best.untrained, best.measure, UNNAMED),
        *_best(suite, best.trained, best.measure, decimals.NONE),
    )


def _best(suite: SuiteResults, label: str, measure: str, otherwise: str) -> tuple[str | Cell, ...]:
    system = suite.system(label)
    return label or otherwise, _mean(system, measure), _gain(system, measure)


def closer(results: Sequence[SuiteResults]) -> Table:
    """Return the best systems against bm25 and the best without training, with what they cost."""
    columns = (
        *left("suite", "measure", "system", "chosen on", "gain over bm25", f"gain {BEYOND}"),
        *map(Column, ("build time", "build cost", "p95 ms", "$ per 1,000 queries")),
    )
    return Table(
        "What the best systems cost",
        columns,
        tuple(row for suite in results for best in suite.best for row in _closer_rows(suite, best)),
        "A system that was chosen on another split than dev has the highest of the means that are shown: its interval "
        "holds, as it covers all systems at once, and its mean is slightly too high. A gain over the best without "
        f"training is not given where that is {BASELINE}. Latency is that of retrieval for "
        "measures of retrieval, and of the whole for measures of answers.",
        keys=3,
    )


def _closer_rows(suite: SuiteResults, best: BestSystems) -> Iterator[tuple[Cell, ...]]:
    chosen = {BASELINE: decimals.NONE, BM25: decimals.NONE}
    chosen |= {best.untrained: "dev", best.trained: best.chosen_on}
    for label, split in chosen.items():
        system = suite.system(label)
        if system is None:
            continue
        over_bm25, over_best = (rows.get(best.measure) for rows in (system.over_bm25, system.over_untrained))
        yield cells(
            suite.suite,
            best.measure,
            label,
            split,
            _difference(over_bm25),
            _difference(over_best),
            *_build(system.info),
            number(system.retrieval_p95_ms if is_rank(best.measure) else system.p95_ms, "ms"),
            number(system.info.serving.dollars_per_1000 if system.info.serving else None, "dollars"),
        )


def paid(results: Sequence[SuiteResults]) -> Table:
    """Return the systems that improved on a measure and lost on none."""
    return _systems(
        "What paid",
        results,
        True,
        "These systems improved on at least one measure and lost on none. Added latency is the difference to "
        f"{BASELINE}.",
        "No system improved on a measure without a loss on another.",
    )


def did_not_pay(results: Sequence[SuiteResults]) -> Table:
    """Return all other systems, those included that improved on one measure and lost on another."""
    without = [suite.suite for suite in results if not suite.best]
    more = f" No measure was gated in {fmt.listed(without)}, so nothing is compared there." if without else ""
    return _systems(
        "What did not pay",
        results,
        False,
        "All other systems, also those that improved on one measure and lost on another. closed-book and "
        f"oracle-context bound the others, and nobody would serve them.{more}",
        f"Every system paid.{more}",
    )


def _systems(title: str, results: Sequence[SuiteResults], paid: bool, caption: str, empty: str) -> Table:
    measures = list(dict.fromkeys(measure for suite in results for measure in suite.measures))
    measures.sort(key=lambda measure: not is_rank(measure))
    rows = [
        (kind_of(system.info), suite.suite, system)
        for suite in results
        for system in suite.systems
        if system.info.name != BASELINE and system.paid == paid
    ]
    beyond = [name for name in measures if is_rank(name) and any(name in row[2].over_untrained for row in rows)]
    # What trains less comes first; one kind of change stands together.
    rows.sort(key=lambda row: (len(row[2].info.tunes), row[0]))
    columns = (
        *left(
            "change",
            "suite",
            "system",
            *(f"gain in {name}" for name in measures),
            *(f"{name} {BEYOND}" for name in beyond),
        ),
        *map(Column, ("build time", "build cost", "added p95 ms, retrieval", "added p95 ms, whole")),
    )
    shown = tuple(_system_row(*row, measures, beyond) for row in rows)
    return Table(title, columns, shown, caption if shown else empty, keys=3)


def _system_row(
    kind: str, suite: str, system: SystemResult, measures: Sequence[str], beyond: Sequence[str]
) -> tuple[Cell, ...]:
    return cells(
        kind,
        suite,
        system.info.label,
        *(_gain(system, measure) for measure in measures),
        *(_difference(system.over_untrained.get(measure)) for measure in beyond),
        *_build(system.info),
        number(system.added_retrieval_p95_ms, "added ms"),
        number(system.added_p95_ms, "added ms"),
    )


def data(results: Sequence[SuiteResults]) -> Table:
    """Return where the scores come from: data, date, commit and machine."""
    columns = (
        *left("suite", "dataset"),
        *map(Column, ("documents", "train queries", "dev queries", "test queries")),
        *left("scored split", "seeds", "digest of the data", "run on", "commit", "machine"),
    )
    return Table("Data", columns, tuple(_data_row(suite) for suite in results))


def _data_row(suite: SuiteResults) -> tuple[Cell, ...]:
    changed = " with uncommitted changes" if suite.dirty else ""
    return cells(
        suite.suite,
        suite.dataset.name,
        number(suite.dataset.documents, "count"),
        *(number(suite.dataset.queries.get(split), "count") for split in ("train", "dev", "test")),
        suite.split,
        ", ".join(map(str, trained_with(row.info for row in suite.systems))) or decimals.NONE,
        suite.dataset.digest[:10],
        suite.created[:10],
        f"{suite.commit[:10]}{changed}" if suite.commit else decimals.NONE,
        suite.machine or decimals.NONE,
    )


# ---- cells


def _mean(system: SystemResult | None, measure: str) -> Cell:
    return number(system.means.get(measure) if system else None, "mean")


def _gain(system: SystemResult | None, measure: str) -> Cell:
    if system is not None and system.info.name == BASELINE:
        return Cell("baseline")
    if system is not None and system.info.failed and measure not in system.gains:
        return Cell("failed", "failed")
    return _difference(system.gains.get(measure) if system else None)


def _difference(row: Comparison | None) -> Cell:
    return comparison_cell(row) if row else Cell(decimals.NONE)


def _build(info: SystemInfo) -> tuple[Cell, Cell]:
    return number(info.build_seconds, "seconds"), number(info.build_dollars, "dollars")
