"""All remarks of a run, in the order of the report: data, models, answers, training, scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from harness.data.datasets import Dataset
from harness.llm.services import Services
from harness.planning.graph import Plan
from harness.remarks import answers, conversations, data, endpoints, language, models, passages, systems, weights
from harness.remarks.training import training_remarks
from harness.statistics.comparisons import values_of
from harness.store import Store
from harness.suite.spec import Suite
from harness.values.findings import LedgerRow
from harness.values.records import Score


class Ran(NamedTuple):
    """The inputs and the results of a run.

    `written` is the suite as its file has it, `judgements` are the ledger rows of the judge, `scores` has the rows of
    every system by its label, `unknown` the calls whose cost is not known.
    """

    written: Suite
    dataset: Dataset
    plan: Plan
    ledger: Mapping[str, LedgerRow]
    judgements: Sequence[LedgerRow]
    scores: Mapping[str, list[Score]]
    unknown: Mapping[str, Sequence[str]]


def front(ran: Ran, store: Store, services: Services) -> list[str]:
    """Return the sentences for the front of a report."""
    suite, ledger = ran.plan.suite, ran.ledger.values()
    return [
        *data.told(ran.dataset, suite.evaluate.split),
        *passages.told(suite, ran.dataset),
        *conversations.before(suite, ran.dataset),
        *conversations.made(ledger),
        *models.before(suite),
        *endpoints.dialects(ran.written, services),
        *models.cut(ledger),
        *models.sparse_terms(ledger),
        *answers.remarks(ran.plan, ran.ledger, store),
        *training_remarks(ledger),
        *endpoints.mended((*ledger, *ran.judgements)),
        *weights.chosen(ledger),
        *_on_dev(suite, ran.plan, ran.scores),
        *language.read_as(ran.dataset),
        *language.unfair_bm25(suite, ledger),
        *language.dropped_queries(ran.plan, ran.ledger),
        *_unknown_costs(ran.unknown),
    ]


def _on_dev(suite: Suite, plan: Plan, rows: Mapping[str, list[Score]]) -> list[str]:
    notes = []
    for measure in suite.margins:
        if measure.is_rank:
            means = {
                system.label: fmean(values)
                for system in plan.systems
                if (values := [v for v in values_of(rows[system.label], str(measure), "dev").values() if v is not None])
                and system.dev_run
            }
            best_first = dict(sorted(means.items(), key=lambda item: -item[1]))
            if means:
                listed = systems.by_value(best_first, lambda mean: f"{mean:.3f}")
                notes.append(f"{measure} on dev, where recipes and settings are chosen: {listed}.")
    if suite.evaluate.split == "dev" and plan.chooses_on_dev:
        notes.append(
            "Checkpoints were chosen on the queries that are scored here, which flatters the candidates. "
            "Set recipes...checkpoints: 1, or confirm on test."
        )
    return notes


def _unknown_costs(unknown: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"The build cost of {label} leaves out: {', '.join(calls)}." for label, calls in unknown.items()]
