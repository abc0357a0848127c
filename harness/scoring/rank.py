"""Rank measures through ranx.

ranx is used as a set of kernels only, those of one query, which compile in a fraction of the time of those of all
queries. This module decides what ranx leaves open: ties are ordered as in trec_eval, only queries with a relevant
document count, and a query without a list scores 0. A kernel is given arrays of small integers instead of ranx's own
`Run` and `Qrels`, which hash document ids into floats. This module must not know answers, ragas or where runs come
from.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from numbers import Integral
from operator import itemgetter
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from harness.remembered import cache_folder
from harness.values.grades import LEVEL, judged_queries, relevant_grades, without_own, without_own_judgement
from harness.values.measures import Measure
from harness.values.records import Qrels, Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KERNELS: Mapping[str, tuple[str, tuple[bool, ...]]] = {
    "ndcg": ("ndcg", (True,)),
    "recall": ("recall", ()),
    "mrr": ("reciprocal_rank", ()),
    "map": ("average_precision", ()),
    "precision": ("precision", ()),
    "hit_rate": ("hit_rate", ()),
}
"""Measure -> the name of ranx's kernel, and what it takes after cutoff and level: whether gains are linear."""
NO_DOCUMENT, NOT_RELEVANT = -2, -1

_LOADING = threading.Lock()


def canonical_order(hits: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return a list in trec_eval's order: score descending, then doc id descending.

    Raises ValueError for a NaN and for a document that is listed twice. Scores are compared in double precision;
    trec_eval rounds them to single precision first, and so has a few more ties.
    """
    ordered = sorted(hits, key=itemgetter(1, 0), reverse=True)
    for doc_id, score in ordered:
        if score != score:
            raise ValueError(f"document {doc_id!r} has the score NaN")
    if len({doc_id for doc_id, _ in ordered}) < len(ordered):
        twice = [doc_id for doc_id, count in Counter(doc_id for doc_id, _ in ordered).items() if count > 1]
        raise ValueError(f"document {twice[0]!r} is listed twice")
    return ordered


def queries_without_run(run: Run, qrels: Qrels, level: int = LEVEL) -> int:
    """Count the judged queries for which a run has no list, or an empty one: these score 0."""
    return sum(not run.get(query_id) for query_id in judged_queries(qrels, level))


def population(qrels: Qrels, measure: Measure, level: int = LEVEL) -> list[str]:
    """Return the queries that a rank measure is defined on: those with a document relevant to it.

    To a graded measure every grade above 0 is relevant, to a binary one those from the relevance level on.
    """
    return judged_queries(qrels, LEVEL if measure.kind.graded else level)


def score_run(
    run: Run, qrels: Qrels, measures: Sequence[Measure], level: int = LEVEL, exclude_own: bool = False
) -> dict[Measure, dict[str, float]]:
    """Score a run: measure -> query -> value, for every query of the measure's `population`, in the order of the qrels.

    A query that the run lacks has an empty list and scores 0. Queries of the run without judgements are ignored.
    Documents are relevant from the grade `level` on; ndcg reads every grade above 0 as a gain. With `exclude_own`, a
    list and its judgements go without the document that has the id of the query. Raises ValueError on NaN scores, on
    documents listed twice and on relevance grades that are not whole numbers.
    """
    for measure in measures:
        if measure.name not in KERNELS or measure.cutoff is None:
            raise ValueError(f"{str(measure)!r} is not a rank measure with a cutoff")
    _check_grades(qrels)
    if exclude_own:
        run = without_own(run)
        qrels = without_own_judgement(qrels)
    scores: dict[Measure, dict[str, float]] = {}
    for bound in dict.fromkeys(LEVEL if measure.kind.graded else level for measure in measures):
        some = [measure for measure in measures if bound == (LEVEL if measure.kind.graded else level)]
        scores |= _score_at(bound, run, qrels, some)
    return {measure: scores[measure] for measure in measures}


def _score_at(level: int, run: Run, qrels: Qrels, measures: Sequence[Measure]) -> dict[Measure, dict[str, float]]:
    judged = judged_queries(qrels, level)
    depth = max((measure.cutoff or 0 for measure in measures), default=0)
    lists = {query_id: _top(query_id, run.get(query_id, []), depth) for query_id in judged}
    if not measures or not judged:
        return {measure: {} for measure in measures}
    relevant = [_relevant(qrels[query_id], level) for query_id in judged]
    columns = _evaluate(_ideal(relevant), _ranked(list(lists.values()), relevant, depth), measures)
    return {measure: dict(zip(judged, columns[measure], strict=True)) for measure in measures}


def _check_grades(qrels: Qrels) -> None:
    """Raise ValueError for fractional grades: ranx would silently truncate 0.7 to 0."""
    for query_id, grades in qrels.items():
        for doc_id, grade in grades.items():
            if not isinstance(grade, Integral):
                raise ValueError(f"query {query_id!r}: relevance of {doc_id!r} is {grade!r}, not a whole number")


def _top(query_id: str, hits: Sequence[tuple[str, float]], depth: int) -> list[str]:
    """Return the first `depth` documents of a list; no measure reads beyond its cutoff."""
    try:
        return [doc_id for doc_id, _ in canonical_order(hits)[:depth]]
    except ValueError as error:
        raise ValueError(f"query {query_id!r}: {error}") from None


def _relevant(grades: Mapping[str, int], level: int) -> list[tuple[str, int]]:
    """Return the relevant documents with their grades, best first: the ideal list."""
    return sorted(relevant_grades(grades, level).items(), key=lambda pair: -pair[1])


def _ideal(relevant: Sequence[Sequence[tuple[str, int]]]) -> NDArray[np.float64]:
    """Return judgements as ranx's array [query, document, (id, relevance)]; ids number a query's relevant documents."""
    import numpy as np

    ideal = np.zeros((len(relevant), max(map(len, relevant)), 2))
    ideal[:, :, 0] = NO_DOCUMENT
    for row, pairs in zip(ideal, relevant, strict=True):
        row[: len(pairs), 0] = range(len(pairs))
        row[: len(pairs), 1] = [grade for _, grade in pairs]
    return ideal


def _ranked(
    lists: Sequence[Sequence[str]], relevant: Sequence[Sequence[tuple[str, int]]], depth: int
) -> NDArray[np.float64]:
    """Return lists as ranx's array [query, rank, (id, score)], padded with irrelevant documents; scores fall by 1."""
    import numpy as np

    ranked = np.empty((len(lists), depth, 2))
    ranked[:, :, 0] = NOT_RELEVANT
    ranked[:, :, 1] = np.arange(depth, 0, -1)
    for row, documents, pairs in zip(ranked, lists, relevant, strict=True):
        ids = {doc_id: number for number, (doc_id, _) in enumerate(pairs)}
        row[: len(documents), 0] = [ids.get(doc_id, NOT_RELEVANT) for doc_id in documents]
    return ranked


def _evaluate(
    ideal: NDArray[np.float64], ranked: NDArray[np.float64], measures: Sequence[Measure]
) -> dict[Measure, list[float]]:
    """Compute every measure query by query."""
    columns = {}
    for measure in measures:
        name, more = KERNELS[measure.name]
        kernel = _kernel(name)
        pairs = zip(ideal, ranked, strict=True)
        columns[measure] = [float(kernel(best, listed, measure.cutoff, LEVEL, *more)) for best, listed in pairs]
    return columns


def numba_cache_folder() -> Path:
    """Return the folder of compiled kernels, unless NUMBA_CACHE_DIR is set."""
    return cache_folder() / "numba"


def load_kernels(measures: Iterable[str]) -> None:
    """Import what computes rank measures, given by the names of `KERNELS`."""
    for name in measures:
        _kernel(KERNELS[name][0])


def _kernel(name: str) -> Callable[..., float]:
    with _LOADING:
        return _load_kernel(name)


@cache
def _load_kernel(name: str) -> Callable[..., float]:
    """Import one of ranx's kernels after setting numba's cache folder, which numba reads once, on import.

    The package itself would import pandas, matplotlib and scipy.stats; so its kernels are imported below an empty
    package of its name, which then makes way for the real one. The kernels stay in the list of modules, where numba
    looks for them when it reads its cache.
    """
    if "numba" not in sys.modules:
        os.environ.setdefault("NUMBA_CACHE_DIR", str(numba_cache_folder()))
    spec = find_spec("ranx")
    if spec is None:
        raise ModuleNotFoundError("No module named 'ranx'", name="ranx")
    whole = sys.modules.get("ranx")
    if whole is None:
        sys.modules["ranx"] = empty = ModuleType("ranx")
        empty.__path__ = list(spec.submodule_search_locations or ())
    try:
        kernel: Callable[..., float] = getattr(import_module(f"ranx.metrics.{name}"), f"_{name}")
    finally:
        if whole is None:
            del sys.modules["ranx"]
    return kernel
