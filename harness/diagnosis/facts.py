"""A diagnosis as flat numbers by name: what the rules of advice are evaluated on. `meanings` defines each name.

A fact that was not measured is None. This module knows no rule, and of a suite only the few numbers in `Setting`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from statistics import median_high
from typing import Literal, NamedTuple

from harness.diagnosis.meanings import NAMES
from harness.diagnosis.training_free import best
from harness.suite.bounds import Limits
from harness.values.insights import Curve, Diagnosis, Funnel, LossPoint, Oracle, OracleGain, PlaceName, Population, Sign
from harness.values.measures import parse

MAIN_ANSWER, HITS = "utility", "hit_rate"
PARTS: dict[Oracle, str] = {
    "oracle-retriever": "retriever",
    "oracle-reranker": "reranker",
    "oracle-context": "retrieval",
    "oracle-generator": "generator",
    "without-reranker": "without_reranker",
}
GENERATOR: tuple[PlaceName, ...] = ("answered wrongly", "abstained", "wrong format")
PLACES: dict[str, tuple[Literal["retrieval", "answers"], PlaceName, Population]] = {
    "lost.pool": ("retrieval", "not in the pool", "answerable"),
    "lost.context": ("retrieval", "not in the context", "answerable"),
    "lost.wrong": ("answers", "answered wrongly", "answerable"),
    "lost.abstained": ("answers", "abstained", "answerable"),
    "lost.format": ("answers", "wrong format", "answerable"),
    "right": ("answers", "right", "answerable"),
    "invented": ("answers", "invented", "unanswerable"),
}


class Setting(NamedTuple):
    """What facts need from the suite: `margins` by measure, the limits, and which models it uses.

    `untrained_reranker`: the reranker starts from a model without a trained ranking head, such as a bi-encoder.
    `train_judged`: judged queries of the train split. `remote_generator`: the generator is at an endpoint.
    `uncalibrated`: answer measures that rest on an uncalibrated judge; no conclusion is drawn from them.
    `rerank_depth`: how many documents a reranker orders, or would order; None: the whole pool. `reads`: how many tokens
    of a passage the retriever reads; None for bm25. `turns`: the share of judged queries with earlier turns, of which
    `concatenate_open` and `rewrite_open` say that neither pipeline nor candidate uses them so, and could.
    """

    margins: Mapping[str, float]
    limits: Limits = Limits()
    has_reranker: bool = False
    tunes_reranker: bool = False
    untrained_reranker: bool | None = None
    train_judged: int | None = None
    remote_generator: bool = False
    uncalibrated: frozenset[str] = frozenset()
    rerank_depth: int | None = None
    reads: int | None = None
    turns: float | None = None
    concatenate_open: bool = False
    rewrite_open: bool = False


def facts(seen: Diagnosis, setting: Setting) -> dict[str, float | None]:
    """Return all facts of a diagnosis; its own `facts` and `advice` are not read."""
    rank, answers = measures_of(seen, setting.uncalibrated)
    values: dict[str, float | None] = dict.fromkeys(NAMES)
    values |= {"n.judged": seen.judged, "n.groups": seen.groups, "train.judged": setting.train_judged}
    values["answers.uncalibrated"] = len(setting.uncalibrated.intersection(seen.measures))
    for part in (
        _losses(seen, setting.uncalibrated),
        _oracle_gains(seen, {"": rank, ".answers": answers}, setting.margins),
        _depths(seen),
        _rerank_depths(seen, setting.rerank_depth),
        _contexts(seen, setting.uncalibrated),
        _signs(seen.signs),
        _times(seen, setting),
        _training_free(seen, {"": rank, ".answers": answers}, setting.limits.max_p95_ms),
        _conversations(seen, rank, setting),
        _parts(setting),
    ):
        values.update(part)
    return values


def measures_of(seen: Diagnosis, uncalibrated: Collection[str] = ()) -> tuple[str | None, str | None]:
    """Return the measures that facts are about: the first rank measure, and `utility` or the first answer measure.

    Uncalibrated measures are never chosen.
    """
    rank = [name for name in seen.measures if parse(name).is_rank]
    answers = [name for name in seen.measures if not parse(name).is_rank and name not in uncalibrated]
    return next(iter(rank), None), MAIN_ANSWER if MAIN_ANSWER in answers else next(iter(answers), None)


def _losses(seen: Diagnosis, uncalibrated: Collection[str]) -> Iterator[tuple[str, float | None]]:
    answers = seen.funnel("answers")
    # Whether an unanswerable query got an answer shows in the answer itself, without a judge.
    calibrated = answers is not None and not _rests_on(answers, uncalibrated)
    for name, (kind, place_name, population) in PLACES.items():
        funnel = seen.funnel(kind)
        reliable = kind == "retrieval" or population == "unanswerable" or calibrated
        if reliable and funnel and (place := funnel.place(place_name, population)):
            yield from ((name, place.share), (f"{name}.low", place.low), (f"{name}.high", place.high))
    if answers:
        yield "n.groups.answers", answers.groups
        yield from _of_answers(answers) if calibrated else ()


def _rests_on(answers: Funnel, uncalibrated: Collection[str]) -> bool:
    """Return whether an uncalibrated judge decided which answers are right."""
    return MAIN_ANSWER in uncalibrated or answers.right_measure in uncalibrated


def _of_answers(funnel: Funnel) -> Iterator[tuple[str, float | None]]:
    """Yield what the generator lost: wrong formats always, other losses only with a relevant passage shown."""
    total = funnel.total("answerable")
    counts = {place.name: place.count for place in funnel.places if place.population == "answerable"}
    lost = [counts.get(name, 0) for name in GENERATOR]
    unshown = funnel.right_without + counts.get("not in the pool", 0) + counts.get("not in the context", 0)
    yield "n.unshown", unshown
    yield "lost.generator", sum(lost) / total if total else None
    yield "right_without", funnel.right_without / unshown if unshown else None


def _oracle_gains(
    seen: Diagnosis, measures: Mapping[str, str | None], margins: Mapping[str, float]
) -> Iterator[tuple[str, float | None]]:
    """Yield oracle gains and margins; `measures` by the suffix of the facts. A measure without a gate has margin 0."""
    known, clear, possible = set(), set(), set()
    for suffix, measure in measures.items():
        margin = margins.get(measure, 0.0) if measure else None
        yield f"margin{suffix or '.rank'}", margin
        gains = {
            part: gain for oracle, part in PARTS.items() if measure and (gain := seen.oracle_gain(oracle, measure))
        }
        for part, gain in gains.items():
            name = f"oracle_gain.{part}{suffix}"
            yield from ((name, gain.difference), (f"{name}.low", gain.low), (f"{name}.high", gain.high))
            if gain.difference is not None and gain.oracle != "without-reranker":
                known.add(part)
                if (gain.low or 0.0) > (margin or 0.0):
                    clear.add(part)
                # Without an interval, for example where most scores failed, no gain is ruled out.
                if gain.high is None or gain.high > (margin or 0.0):
                    possible.add(part)
        mde = _minimum_detectable_effect(gains.values())
        yield f"mde{suffix}", mde
        yield f"mde{suffix}.margins", mde / margin if mde and margin else None
    yield from (
        ("oracle_gain.known", len(known)),
        ("oracle_gain.clear", len(clear)),
        ("oracle_gain.possible", len(possible)),
    )


def _minimum_detectable_effect(gains: Iterable[OracleGain]) -> float | None:
    """Return the median over the oracles, of two the larger: the smallest is that of the part that changes least."""
    effects = [gain.detectable for gain in gains if gain.detectable and gain.oracle != "without-reranker"]
    return median_high(effects) if effects else None


def _depths(seen: Diagnosis) -> Iterator[tuple[str, float | None]]:
    """Yield the gain of a pool up to twice as deep or, if none was measured, the gain since about half the depth.

    Only hit rates get intervals, because a mean recall is not a share of queries.
    """
    funnel = seen.funnel("retrieval")
    if funnel:
        yield "depth", funnel.depth
        yield "pool.share", funnel.depth / seen.documents if seen.documents else None
    curve = curve_of(seen, "depth")
    if curve is None or not (here := _at(curve, curve.chosen)):
        return
    deeper = [point for point in curve.points if curve.chosen < point.at <= 2 * curve.chosen]
    flatter = [point for point in curve.points if point.at < curve.chosen]
    yield "gain.depth.measured", float(bool(deeper))
    if deeper:
        deepest = max(deeper, key=lambda point: point.at)
        yield from (("gain.depth.to", deepest.at), ("gain.depth.since", here.at))
        yield "gain.depth", deepest.mean - here.mean
        interval = deepest.gain_low, deepest.gain_high
    elif flatter:
        half = min(flatter, key=lambda point: (abs(2 * point.at - curve.chosen), -point.at))
        yield from (("gain.depth.to", 2 * curve.chosen), ("gain.depth.since", half.at))
        yield "gain.depth", here.mean - half.mean
        interval = _reversed(half)
    else:
        return
    if curve.measure == HITS:
        yield from (("gain.depth.low", interval[0]), ("gain.depth.high", interval[1]))


def _reversed(point: LossPoint) -> tuple[float | None, float | None]:
    """Return the interval of the gain of the chosen point over this one."""
    low, high = point.gain_high, point.gain_low
    return None if low is None else -low, None if high is None else -high


def _rerank_depths(seen: Diagnosis, rerank_depth: int | None) -> Iterator[tuple[str, float | None]]:
    """Yield the share of queries whose documents are in the pool below what a reranker orders."""
    funnel, curve = seen.funnel("retrieval"), curve_of(seen, "depth")
    depth = funnel.depth if funnel else None
    ordered = min((value for value in (rerank_depth, depth) if value is not None), default=None)
    yield "rerank.depth", ordered
    if ordered is None or depth is None or curve is None or curve.measure != HITS or curve.chosen != depth:
        return
    # If this depth was not measured, the next greater one is used, which shows a smaller gain.
    top = min((point for point in curve.points if point.at >= ordered), key=lambda point: point.at, default=None)
    if (here := _at(curve, depth)) and top and ordered <= top.at < depth:
        low, high = _reversed(top)
        yield from (("gain.rerank_depth", here.mean - top.mean), ("gain.rerank_depth.low", low))
        yield "gain.rerank_depth.high", high


def _contexts(seen: Diagnosis, uncalibrated: Collection[str]) -> Iterator[tuple[str, float | None]]:
    """Yield the gain of the best number of passages over the current one; ties go to the nearest, then to the fewer."""
    curve = curve_of(seen, "context", uncalibrated)
    if curve and (here := _at(curve, curve.chosen)):
        best = max(curve.points, key=lambda point: (point.mean, -abs(point.at - curve.chosen), -point.at))
        yield from (("context", here.at), ("context.best", best.at), ("gain.context", best.mean - here.mean))
        yield from (("gain.context.low", best.gain_low), ("gain.context.high", best.gain_high))
        if best.gain_low is not None and best.gain_high is not None:
            yield "gain.context.half", (best.gain_high - best.gain_low) / 2


def _at(curve: Curve, at: int) -> LossPoint | None:
    return next((point for point in curve.points if point.at == at), None)


def curve_of(seen: Diagnosis, kind: Literal["depth", "context"], uncalibrated: Collection[str] = ()) -> Curve | None:
    """Return the curve of a kind that facts are about, None if there is none; for depths, hit rate before recall."""
    curves = [curve for curve in seen.curves if curve.kind == kind and curve.measure not in uncalibrated]
    wanted = HITS if kind == "depth" else measures_of(seen, uncalibrated)[1]
    return next((curve for curve in curves if curve.measure == wanted), next(iter(curves), None))


def _signs(signs: Iterable[Sign]) -> Iterator[tuple[str, float | None]]:
    for sign in signs:
        name = f"sign.{sign.name}"
        yield from ((name, sign.value), (f"{name}.bar", sign.bar), (f"{name}.worrying", float(sign.worrying)))


def _times(seen: Diagnosis, setting: Setting) -> Iterator[tuple[str, float | None]]:
    yield from ((f"share.p95.{time.part}", time.share_p95) for time in seen.times)
    yield from (("limit.p95_ms", setting.limits.max_p95_ms), ("limit.usd", setting.limits.max_build_usd))
    added = [
        (estimate.added_p95_ms, estimate.basis.get("rerank"))
        for estimate in seen.estimates
        if "reranker" in estimate.tunes and estimate.added_p95_ms is not None
    ]
    least, basis = min(added, key=lambda pair: pair[0], default=(None, None))
    yield from (("p95_ms", seen.p95_ms), ("added.p95.reranker", least))
    yield "added.p95.reranker.guessed", None if basis is None else float(basis == "guessed")
    if seen.p95_ms is not None and least is not None:
        yield "p95.reranker", seen.p95_ms + least


def _training_free(
    seen: Diagnosis, measures: Mapping[str, str | None], limit_ms: float | None
) -> Iterator[tuple[str, float | None]]:
    """Yield the gains of the best training-free candidates and, if the one in retrieval is sure, what it leaves."""
    yield "free.known", sum(bool(candidate.gains) for candidate in seen.training_free)
    for suffix, measure in measures.items():
        candidate = best(seen, measure, limit_ms)
        gain = candidate.gain(measure) if candidate else None
        if candidate is None or gain is None:
            continue
        name = f"free.gain{suffix}"
        yield from ((name, gain.difference), (f"{name}.low", gain.low), (f"{name}.high", gain.high))
        if suffix or not gain.is_sure:
            continue
        yield from (("left.gain", gain.left), ("left.gain.low", gain.left_low), ("left.gain.high", gain.left_high))
        yield "free.added", candidate.added_p95_ms
        for place, lost in (("left.pool", candidate.pool), ("left.context", candidate.context)):
            if lost is not None:
                yield from ((place, lost.share), (f"{place}.low", lost.low), (f"{place}.high", lost.high))


def _conversations(seen: Diagnosis, rank: str | None, setting: Setting) -> Iterator[tuple[str, float | None]]:
    """Yield the share of queries with earlier turns and, if there are any, what searching with these would gain."""
    yield "conversation.turns", setting.turns
    if not setting.turns:
        return
    yield "concatenate.open", float(setting.concatenate_open)
    yield "rewrite.open", float(setting.rewrite_open)
    joining = (one for one in seen.training_free if one.change == {"conversation": "concatenate"})
    if (joined := next(joining, None)) and (gain := joined.gain(rank)):
        ends = ("", gain.difference), (".low", gain.low), (".high", gain.high)
        yield from ((f"gain.concatenate{end}", value) for end, value in ends)


def _parts(setting: Setting) -> Iterator[tuple[str, float | None]]:
    yield "encoder.reads", setting.reads
    yield "generator.remote", float(setting.remote_generator)
    yield "reranker.real", float(setting.has_reranker)
    yield "reranker.planned", float(setting.has_reranker or setting.tunes_reranker)
    yield "reranker.tuned", float(setting.tunes_reranker)
    if setting.untrained_reranker is not None:
        yield "reranker.untrained", float(setting.untrained_reranker)
