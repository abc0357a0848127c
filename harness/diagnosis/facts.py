"""A diagnosis as flat numbers by name: what rules of advice are evaluated on. `meanings` says what each name means.

What was not measured is None. Knows no rule, and of a suite only the few numbers in `Setting`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from statistics import median_high
from typing import Literal, NamedTuple

from harness.diagnosis.meanings import NAMES
from harness.suite.bounds import Limits
from harness.values.insights import Curve, Diagnosis, Funnel, LossPoint, Oracle, OracleGain, PlaceName, Population, Sign
from harness.values.measures import parse

MAIN_ANSWER, HITS = "utility", "hit_rate"
PARTS: dict[Oracle, str] = {
    "ideal-retriever": "retriever",
    "ideal-reranker": "reranker",
    "oracle-context": "retrieval",
    "ideal-generator": "generator",
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
    """What facts take from the suite: `margins` by measure, and the limits.

    `untrained_reranker`: the reranker that would be used or tuned starts from a model without a trained head, such as a
    bi-encoder. `train_judged`: questions of the training split that people judged. `served_generator`: the generator
    stands at an endpoint. `unproven`: measures of answers that rest on a judge whom nobody has calibrated; nothing is
    concluded from them. `rerank_depth`: how many documents a reranker orders, or would; None: all of the pool.
    """

    margins: Mapping[str, float]
    limits: Limits = Limits()
    has_reranker: bool = False
    tunes_reranker: bool = False
    untrained_reranker: bool | None = None
    train_judged: int | None = None
    served_generator: bool = False
    uncalibrated: frozenset[str] = frozenset()
    rerank_depth: int | None = None


def facts(seen: Diagnosis, setting: Setting) -> dict[str, float | None]:
    """All facts of a diagnosis; its own `facts` and `advice` are not read."""
    rank, answers = measures_of(seen, setting.uncalibrated)
    found: dict[str, float | None] = dict.fromkeys(NAMES)
    found |= {"n.judged": seen.judged, "n.groups": seen.groups, "train.judged": setting.train_judged}
    found["answers.unproven"] = len(setting.uncalibrated.intersection(seen.measures))
    for part in (
        _losses(seen, setting.uncalibrated),
        _rooms(seen, {"": rank, ".answers": answers}, setting.margins),
        _depths(seen),
        _rerank_depths(seen, setting.rerank_depth),
        _contexts(seen, setting.uncalibrated),
        _signs(seen.signs),
        _times(seen, setting),
        _parts(setting),
    ):
        found.update(part)
    return found


def measures_of(seen: Diagnosis, uncalibrated: Collection[str] = ()) -> tuple[str | None, str | None]:
    """The measures that facts are about: the first of ranks; `utility`, or the first other one of answers.

    None of them is `unproven`.
    """
    rank = [name for name in seen.measures if parse(name).is_rank]
    answers = [name for name in seen.measures if not parse(name).is_rank and name not in uncalibrated]
    return next(iter(rank), None), MAIN_ANSWER if MAIN_ANSWER in answers else next(iter(answers), None)


def _losses(seen: Diagnosis, uncalibrated: Collection[str]) -> Iterator[tuple[str, float | None]]:
    answers = seen.funnel("answers")
    # Whether an answer is invented shows in the answer itself: no judge is asked for it.
    proven = answers is not None and not _rests_on(answers, uncalibrated)
    for name, (kind, place_name, population) in PLACES.items():
        funnel = seen.funnel(kind)
        told = kind == "retrieval" or population == "unanswerable" or proven
        if told and funnel and (place := funnel.place(place_name, population)):
            yield from ((name, place.share), (f"{name}.low", place.low), (f"{name}.high", place.high))
    if answers:
        yield "n.groups.answers", answers.groups
        yield from _of_answers(answers) if proven else ()


def _rests_on(answers: Funnel, uncalibrated: Collection[str]) -> bool:
    """Whether an unproven measure decided what is right: the one of `utility`, which the rule of the funnel names."""
    return MAIN_ANSWER in uncalibrated or any(f"right: {name} of" in answers.rule for name in uncalibrated)


def _of_answers(funnel: Funnel) -> Iterator[tuple[str, float | None]]:
    """A wrong format is lost by the generator whatever it was shown; the others only from the right passages."""
    total = funnel.total("answerable")
    counts = {place.name: place.count for place in funnel.places if place.population == "answerable"}
    lost = [counts.get(name, 0) for name in GENERATOR]
    unshown = funnel.right_without + counts.get("not in the pool", 0) + counts.get("not in the context", 0)
    yield "n.unshown", unshown
    yield "lost.generator", sum(lost) / total if total else None
    yield "right_without", funnel.right_without / unshown if unshown else None


def _rooms(
    seen: Diagnosis, measures: Mapping[str, str | None], margins: Mapping[str, float]
) -> Iterator[tuple[str, float | None]]:
    """`measures` by the suffix of the facts; a measure that is not gated has the margin 0."""
    known, clear, possible = set(), set(), set()
    for suffix, measure in measures.items():
        margin = margins.get(measure, 0.0) if measure else None
        yield f"margin{suffix or '.rank'}", margin
        rooms = {part: room for ideal, part in PARTS.items() if measure and (room := seen.oracle_gain(ideal, measure))}
        for part, room in rooms.items():
            name = f"room.{part}{suffix}"
            yield from ((name, room.difference), (f"{name}.low", room.low), (f"{name}.high", room.high))
            if room.difference is not None and room.ideal != "without-reranker":
                known.add(part)
                if (room.low or 0.0) > (margin or 0.0):
                    clear.add(part)
                # Without an interval, as where most of it failed, nothing is ruled out.
                if room.high is None or room.high > (margin or 0.0):
                    possible.add(part)
        detectable = _detectable(rooms.values())
        yield f"detectable{suffix}", detectable
        yield f"detectable{suffix}.margins", detectable / margin if detectable and margin else None
    yield from (("room.known", len(known)), ("room.clear", len(clear)), ("room.possible", len(possible)))


def _detectable(rooms: Iterable[OracleGain]) -> float | None:
    """The median over the ideal parts, of two the larger: the smallest would be that of the part that changes least."""
    found = [room.detectable for room in rooms if room.detectable and room.ideal != "without-reranker"]
    return median_high(found) if found else None


def _depths(seen: Diagnosis) -> Iterator[tuple[str, float | None]]:
    """What a pool up to twice as deep gains; where none was measured, what was gained since about half the depth.

    Intervals are those of hit rates alone: a mean recall is no share of questions, and no rule may take it for one.
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
        there = max(deeper, key=lambda point: point.at)
        yield from (("gain.depth.to", there.at), ("gain.depth.since", here.at), ("gain.depth", there.mean - here.mean))
        ends = there.gain_low, there.gain_high
    elif flatter:
        there = min(flatter, key=lambda point: (abs(2 * point.at - curve.chosen), -point.at))
        yield from (("gain.depth.to", 2 * curve.chosen), ("gain.depth.since", there.at))
        yield "gain.depth", here.mean - there.mean
        ends = _turned(there)
    else:
        return
    if curve.measure == HITS:
        yield from (("gain.depth.low", ends[0]), ("gain.depth.high", ends[1]))


def _turned(point: LossPoint) -> tuple[float | None, float | None]:
    """The interval of what the chosen point gains over this one."""
    low, high = point.gain_high, point.gain_low
    return None if low is None else -low, None if high is None else -high


def _rerank_depths(seen: Diagnosis, rerank_depth: int | None) -> Iterator[tuple[str, float | None]]:
    """What the pool holds below the documents that a reranker orders."""
    funnel, curve = seen.funnel("retrieval"), curve_of(seen, "depth")
    depth = funnel.depth if funnel else None
    ordered = min((value for value in (rerank_depth, depth) if value is not None), default=None)
    yield "rerank.depth", ordered
    if ordered is None or depth is None or curve is None or curve.measure != HITS or curve.chosen != depth:
        return
    # Where it was not measured just there: at the next greater depth, which tells of less.
    top = min((point for point in curve.points if point.at >= ordered), key=lambda point: point.at, default=None)
    if (here := _at(curve, depth)) and top and ordered <= top.at < depth:
        low, high = _turned(top)
        yield from (("gain.rerank_depth", here.mean - top.mean), ("gain.rerank_depth.low", low))
        yield "gain.rerank_depth.high", high


def _contexts(seen: Diagnosis, uncalibrated: Collection[str]) -> Iterator[tuple[str, float | None]]:
    """The best number of passages against the present one; of equal ones the nearest, and of these the fewer."""
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
    """The curve of that kind that facts are about, None if there is none: of depths, hit rates come before recall."""
    found = [curve for curve in seen.curves if curve.kind == kind and curve.measure not in uncalibrated]
    wanted = HITS if kind == "depth" else measures_of(seen, uncalibrated)[1]
    return next((curve for curve in found if curve.measure == wanted), next(iter(found), None))


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
    least, basis = min(added, key=lambda one: one[0], default=(None, None))
    yield from (("p95_ms", seen.p95_ms), ("added.p95.reranker", least))
    yield "added.p95.reranker.guessed", None if basis is None else float(basis == "guessed")
    if seen.p95_ms is not None and least is not None:
        yield "p95.reranker", seen.p95_ms + least


def _parts(setting: Setting) -> Iterator[tuple[str, float | None]]:
    yield "generator.served", float(setting.served_generator)
    yield "reranker.real", float(setting.has_reranker)
    yield "reranker.planned", float(setting.has_reranker or setting.tunes_reranker)
    yield "reranker.tuned", float(setting.tunes_reranker)
    if setting.untrained_reranker is not None:
        yield "reranker.untrained", float(setting.untrained_reranker)
