"""A diagnosis as flat numbers by name: what rules of advice are evaluated on. `meanings` says what each name means.

What was not measured is None. Knows no rule, and of a suite only the few numbers in `Setting`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from harness.bounds import Limits
from harness.insights import Curve, Diagnosis, Funnel, Headroom, Ideal, PlaceName, Point, Population, Sign
from harness.meanings import NAMES
from harness.measures import parse

MAIN_ANSWER = "utility"
PARTS: dict[Ideal, str] = {
    "ideal-retriever": "retriever",
    "ideal-reranker": "reranker",
    "oracle-context": "retrieval",
    "ideal-generator": "generator",
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
    bi-encoder. `train_judged`: questions of the training split that people judged.
    """

    margins: Mapping[str, float]
    limits: Limits = Limits()
    has_reranker: bool = False
    tunes_reranker: bool = False
    untrained_reranker: bool | None = None
    train_judged: int | None = None


def facts(seen: Diagnosis, setting: Setting) -> dict[str, float | None]:
    """All facts of a diagnosis; its own `facts` and `advice` are not read."""
    rank, answers = measures_of(seen)
    found: dict[str, float | None] = dict.fromkeys(NAMES)
    found |= {"n.judged": seen.judged, "n.groups": seen.groups, "train.judged": setting.train_judged}
    for part in (
        _losses(seen),
        _rooms(seen, {"": rank, ".answers": answers}, setting.margins),
        _depths(seen),
        _contexts(seen),
        _signs(seen.signs),
        _times(seen, setting),
        _reranker(setting),
    ):
        found.update(part)
    return found


def measures_of(seen: Diagnosis) -> tuple[str | None, str | None]:
    """The measures that facts are about: the first of ranks; `utility`, or the first other one of answers."""
    rank = [name for name in seen.measures if parse(name).is_rank]
    answers = [name for name in seen.measures if not parse(name).is_rank]
    return next(iter(rank), None), MAIN_ANSWER if MAIN_ANSWER in answers else next(iter(answers), None)


def _losses(seen: Diagnosis) -> Iterator[tuple[str, float | None]]:
    for name, (kind, place_name, population) in PLACES.items():
        funnel = seen.funnel(kind)
        if funnel and (place := funnel.place(place_name, population)):
            yield from ((name, place.share), (f"{name}.low", place.low), (f"{name}.high", place.high))
    if answers := seen.funnel("answers"):
        yield from _of_answers(answers)


def _of_answers(funnel: Funnel) -> Iterator[tuple[str, float | None]]:
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
        rooms = {part: room for ideal, part in PARTS.items() if measure and (room := seen.room(ideal, measure))}
        for part, room in rooms.items():
            name = f"room.{part}{suffix}"
            yield from ((name, room.difference), (f"{name}.low", room.low), (f"{name}.high", room.high))
            if room.difference is not None:
                known.add(part)
                if (room.low or 0.0) > (margin or 0.0):
                    clear.add(part)
                if (room.difference if room.high is None else room.high) > (margin or 0.0):
                    possible.add(part)
        detectable = _finest(rooms.values())
        yield f"detectable{suffix}", detectable
        yield f"detectable{suffix}.margins", detectable / margin if detectable and margin else None
    yield from (("room.known", len(known)), ("room.clear", len(clear)), ("room.possible", len(possible)))


def _finest(rooms: Iterable[Headroom]) -> float | None:
    return min((room.detectable for room in rooms if room.detectable), default=None)


def _depths(seen: Diagnosis) -> Iterator[tuple[str, float | None]]:
    """What doubling the depth gains; where it was not measured, what the last doubling gained."""
    funnel = seen.funnel("retrieval")
    if funnel:
        yield "depth", funnel.depth
        yield "pool.share", funnel.depth / seen.documents if seen.documents else None
    curve = curve_of(seen, "depth")
    if curve and (here := _at(curve, curve.chosen)):
        deeper = [point for point in curve.points if curve.chosen < point.at <= 2 * curve.chosen]
        flatter = [point for point in curve.points if 2 * point.at <= curve.chosen]
        yield "gain.depth.measured", float(bool(deeper))
        if deeper:
            yield "gain.depth", max(deeper, key=lambda point: point.at).mean - here.mean
        elif flatter:
            yield "gain.depth", here.mean - max(flatter, key=lambda point: point.at).mean


def _contexts(seen: Diagnosis) -> Iterator[tuple[str, float | None]]:
    """The best number of passages against the present one; of equal ones the nearest, and of these the fewer."""
    curve = curve_of(seen, "context")
    if curve and (here := _at(curve, curve.chosen)):
        best = max(curve.points, key=lambda point: (point.mean, -abs(point.at - curve.chosen), -point.at))
        yield from (("context", here.at), ("context.best", best.at), ("gain.context", best.mean - here.mean))
        yield from (("gain.context.low", best.gain_low), ("gain.context.high", best.gain_high))


def _at(curve: Curve, at: int) -> Point | None:
    return next((point for point in curve.points if point.at == at), None)


def curve_of(seen: Diagnosis, kind: Literal["depth", "context"]) -> Curve | None:
    """The curve of that kind that facts are about; None if there is none."""
    found = [curve for curve in seen.curves if curve.kind == kind]
    _, answers = measures_of(seen)
    return next((curve for curve in found if curve.measure == answers), next(iter(found), None))


def _signs(signs: Iterable[Sign]) -> Iterator[tuple[str, float | None]]:
    for sign in signs:
        name = f"sign.{sign.name}"
        yield from ((name, sign.value), (f"{name}.bar", sign.bar), (f"{name}.worrying", float(sign.worrying)))


def _times(seen: Diagnosis, setting: Setting) -> Iterator[tuple[str, float | None]]:
    yield from ((f"share.p95.{time.part}", time.share_p95) for time in seen.times)
    yield from (("limit.p95_ms", setting.limits.max_p95_ms), ("limit.usd", setting.limits.max_usd))
    added = [quote.added_p95_ms for quote in seen.quotes if "reranker" in quote.tunes]
    least = min((ms for ms in added if ms is not None), default=None)
    yield from (("p95_ms", seen.p95_ms), ("added.p95.reranker", least))
    if seen.p95_ms is not None and least is not None:
        yield "p95.reranker", seen.p95_ms + least


def _reranker(setting: Setting) -> Iterator[tuple[str, float | None]]:
    yield "reranker.planned", float(setting.has_reranker or setting.tunes_reranker)
    yield "reranker.tuned", float(setting.tunes_reranker)
    if setting.untrained_reranker is not None:
        yield "reranker.untrained", float(setting.untrained_reranker)
