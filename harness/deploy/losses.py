"""What a converted encoder loses against the tuned one, on queries of the suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from harness import scoring
from harness.data.splits import Dataset
from harness.errors import ConfigError, Problem
from harness.hashing import by_hash
from harness.models.search import IdOrder
from harness.stages.shared.common import encode
from harness.values.exported import ConvertedEncoder, Form
from harness.values.measures import Measure
from harness.values.records import Qrels, Run

MOST_QUERIES, MOST_DOCUMENTS = 500, 5000
"""Enough to see a loss of a thousandth, and minutes on two cores."""
CALIBRATION = 200


@dataclass(frozen=True)
class Sample:
    """The queries of a split and documents of the corpus that two encoders are compared on, and some to calibrate with.

    Relevant documents are among the documents. `calibration` has texts of the corpus and of other splits, by role: no
    range is fitted to a query that is scored.
    """

    split: str
    measure: Measure
    queries: Mapping[str, str]
    documents: Mapping[str, str]
    qrels: Qrels
    level: int
    exclude_own: bool
    calibration: tuple[tuple[str, str], ...]


def sample_of(dataset: Dataset, measure: Measure, scored: str) -> Sample:
    """Return the sample of a dataset: of dev if it has judged queries, as no choice is made by it; else of `scored`.

    Raises ConfigError if neither has a judged query.
    """
    name = next((name for name in ("dev", scored) if name in dataset.splits and dataset.splits[name].judged), None)
    if name is None:
        raise ConfigError(Problem(dataset.name, "no judged query to measure a converted encoder on", "judge some"))
    split = dataset.splits[name]
    chosen = by_hash(split.judged)[:MOST_QUERIES]
    qrels = {query_id: split.graded[query_id] for query_id in chosen if split.graded.get(query_id)}
    relevant = dict.fromkeys(doc_id for grades in qrels.values() for doc_id in grades)
    others = (doc_id for doc_id in by_hash(dataset.documents) if doc_id not in relevant)
    doc_ids = [*relevant, *others][: max(MOST_DOCUMENTS, len(relevant))]
    train = dataset.splits.get("train")
    asked = by_hash(train.queries) if train is not None else []
    texts = [("query", train.queries[query_id].text) for query_id in asked[: CALIBRATION // 4]] if train else []
    texts += [("document", dataset.documents[doc_id].content) for doc_id in doc_ids[-(CALIBRATION - len(texts)) :]]
    return Sample(
        name, measure, {query_id: split.queries[query_id].text for query_id in qrels},
        {doc_id: dataset.documents[doc_id].content for doc_id in doc_ids}, qrels, split.level, split.exclude_own,
        tuple(texts),
    )  # fmt: skip


@dataclass(frozen=True)
class Encoded:
    """The vectors of a sample by one encoder, and the mean of the measure over its queries."""

    vectors: Any
    mean: float


def encoded(model: Any, sample: Sample, dimensions: int | None) -> Encoded:
    """Encode a sample and rank its documents for each query, exactly; `dimensions` cuts vectors as the suite does."""
    import numpy as np

    from harness.models.stored_vectors import shortened

    unit = model.similarity_fn_name != "dot"
    queries, documents = (
        shortened(encode(model, list(texts.values()), role), dimensions, unit)
        for role, texts in (("query", sample.queries), ("document", sample.documents))
    )
    order, depth = IdOrder(list(sample.documents)), (sample.measure.cutoff or 10) + 1
    run: Run = {
        query_id: order.best(scores, depth)
        for query_id, scores in zip(sample.queries, queries @ documents.T, strict=True)
    }
    values = scoring.score_run(run, sample.qrels, [sample.measure], sample.level, sample.exclude_own)[sample.measure]
    return Encoded(np.concatenate([queries, documents]), fmean(values.values()))


def compared(form: Form, file: str, size: int, sample: Sample, tuned: Encoded, converted: Encoded) -> ConvertedEncoder:
    """Return what was lost between two encodings of a sample."""
    cosines = _cosines(tuned.vectors, converted.vectors)
    return ConvertedEncoder(
        form=form,
        file=file,
        bytes=size,
        measure=str(sample.measure),
        split=sample.split,
        queries=len(sample.queries),
        documents=len(sample.documents),
        before=tuned.mean,
        after=converted.mean,
        cosine=fmean(cosines),
        lowest_cosine=min(cosines),
    )


def _cosines(left: Any, right: Any) -> Sequence[float]:
    import numpy as np

    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    # A vector of zeros has no direction; two of them are the same.
    cosines = np.divide((left * right).sum(axis=1), norms, out=np.ones(len(left)), where=norms > 0)
    values: list[float] = cosines.tolist()
    return values


def check_loss(loss: ConvertedEncoder, tolerance: float) -> None:
    """Raise ConfigError if a converted encoder loses more than the tolerance."""
    if loss.loss > tolerance:
        what = (
            f"loses {loss.loss:.3f} of {loss.measure} on {loss.split} ({loss.before:.3f} to {loss.after:.3f}), more "
            f"than the tolerance of {tolerance:g}"
        )
        raise ConfigError(Problem(f"--format {loss.form}", what, "leave the format out, or raise --tolerance"))
