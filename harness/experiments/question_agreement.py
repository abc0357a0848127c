"""Whether the synthetic questions of a split rank the systems as the questions of people do, where it has both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.data.datasets import Dataset
from harness.statistics.comparisons import values_of
from harness.statistics.rank_agreement import RankAgreement, rank_agreement
from harness.suite.spec import Suite
from harness.values.questions import MeanPair, QuestionAgreement, is_synthetic
from harness.values.records import Score, ScoreColumn
from harness.values.systems import BOUNDS


def question_agreement(
    suite: Suite, dataset: Dataset, rows: Mapping[str, Sequence[Score]]
) -> tuple[QuestionAgreement, ...]:
    """Return the agreement on each gated measure; nothing if the scored split has one kind of question only.

    `rows` has the scores of every system by its label. Bounds are no systems that could be chosen, and do not count.
    """
    part = dataset.splits[suite.evaluate.split]
    written = frozenset(key for key, query in part.queries.items() if is_synthetic(query))
    if not written or len(written) == len(part.queries):
        return ()
    names = [label for label in rows if label not in BOUNDS]
    found = []
    for measure in suite.margins:
        columns = {label: values_of(rows[label], str(measure), suite.evaluate.split) for label in names}
        agreement = _agreement(columns, part.groups, written)
        if agreement is not None:
            found.append(_as_value(str(measure), agreement))
    return tuple(found)


def _agreement(
    columns: Mapping[str, ScoreColumn], groups: Mapping[str, str], written: frozenset[str]
) -> RankAgreement | None:
    """Return the agreement of the systems that have scores on this measure."""
    return rank_agreement({label: column for label, column in columns.items() if column}, groups, written)


def _as_value(measure: str, found: RankAgreement) -> QuestionAgreement:
    means = tuple(
        MeanPair(system=label, synthetic=mean, people=found.second[label]) for label, mean in found.first.items()
    )
    return QuestionAgreement(
        measure=measure,
        n_synthetic=found.n_first,
        n_people=found.n_second,
        means=means,
        tau=found.tau,
        low=found.low,
        high=found.high,
    )
