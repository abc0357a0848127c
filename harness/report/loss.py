"""Where questions are lost and what a part could buy, as tables: funnels, headroom, curves.

This module must not know how a table is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.report import amounts, figures
from harness.report.hostile import cut
from harness.report.sections import Section, present
from harness.report.values import Cell, Column, Table, cells, left, sentences
from harness.values.insights import Curve, Diagnosis, Funnel, OracleGain, Place, Population

GOOD = (("in the context", "answerable"), ("right", "answerable"), ("abstained", "unanswerable"))
"""The places where nothing is lost."""
IDEALS = {
    "oracle-retriever": "the relevant documents are put into the pool",
    "oracle-reranker": "what a reranker may order of the pool is put into the best order",
    "without-reranker": "the reranker is left out",
    "oracle-context": "the relevant passages, and nothing else, are put into the context",
    "oracle-generator": "the reference answer is given wherever the context holds it",
}
LONGEST_ID = 32
CURVES = {"depth": "Recall of the pool against its depth", "context": "Answers against the passages shown"}
STEPS = {"depth": "depth", "context": "passages shown"}


def is_good(place: Place) -> bool:
    """Whether a question that ends there is not lost."""
    return (place.name, place.population) in GOOD


def name_of(place: Place) -> str:
    """What a place is called where room is scarce."""
    if place.population == "unanswerable":
        return {"abstained": "abstained, rightly", "invented": "invented an answer"}.get(place.name, place.name)
    return place.name


def _name_in_full(place: Place, funnel: Funnel) -> str:
    """What a place is called in a table."""
    if place.population == "unanswerable":
        return name_of(place)
    return {
        "not in the pool": f"not in the pool (the first {funnel.depth})",
        "not in the context": f"in the pool, not in the context (the first {funnel.context})",
        "in the context": f"in the context (the first {funnel.context})",
        "answered wrongly": "in the context, answered wrongly",
        "abstained": "in the context, abstained",
        "wrong format": "right content, wrong format",
        "failed": "could not be placed",
    }.get(place.name, place.name)


def place_said(place: Place, funnel: Funnel) -> str:
    """What a question in that place is, to follow a number of questions."""
    found = "with a relevant passage in the context"
    return {
        "not in the pool": f"have no relevant document in the pool (the first {funnel.depth})",
        "not in the context": f"have a relevant document in the pool, but none in the context (the first "
        f"{funnel.context})",
        "in the context": f"have a relevant document in the context (the first {funnel.context})",
        "answered wrongly": f"were answered wrongly {found}",
        "abstained": f"got no answer {found}" if place.population == "answerable" else "got no answer, rightly",
        "wrong format": "were answered with the right content in the wrong format",
        "right": "were answered rightly",
        "invented": "got an invented answer",
        "failed": "could not be placed: no answer, no score, or no passage known to be relevant",
    }[place.name]


# ---- funnels


def funnel(diagnosis: Diagnosis) -> Section:
    """Every question in one place, first by what became of its answer, then by where its documents are."""
    found = [one for kind in ("answers", "retrieval") for one in diagnosis.funnels if one.kind == kind]
    return Section("funnel", "Loss", "Where the loss is", tables=tuple(_funnel(one, diagnosis.split) for one in found))


def _funnel(funnel: Funnel, split: str) -> Table:
    upper = [place for place in funnel.places if place.population == "answerable"]
    lower = [place for place in funnel.places if place.population == "unanswerable"]
    columns = (
        *left("place"), Column("questions"), Column("share [95 %]"), Column("for example", "left", wraps=True),
    )  # fmt: skip
    about = {
        "answers": f"Answers of {funnel.system}: what became of each question",
        "retrieval": f"Lists of {funnel.system}: where the relevant documents are",
    }
    return Table(
        about[funnel.kind],
        columns,
        tuple(_place(place, funnel) for place in (*upper, *lower)),
        sentences(
            f"{_populations(funnel)} of the split {split}, each in one place.",
            amounts.sentence(funnel.rule),
            f"Shares are of their population; intervals by {figures.counted(funnel.groups, 'group')}.",
        ),
        tuple(_right_without(funnel)),
        upper=len(upper) if lower else 0,
    )


def _populations(funnel: Funnel) -> str:
    if funnel.kind == "retrieval":
        return f"All {figures.counted(funnel.total('answerable'), 'judged question')}"
    sizes = [f"{figures.count(number)} {name}" for name in _NAMES if (number := funnel.total(name))]
    return f"{figures.listed(sizes)} questions" if sizes else "No questions"


_NAMES: tuple[Population, ...] = ("answerable", "unanswerable")


def _place(place: Place, funnel: Funnel) -> tuple[Cell, ...]:
    share = amounts.share(place.share, place.low, place.high)
    shown = ", ".join(cut(" ".join(one.split()), LONGEST_ID) for one in place.examples)
    return cells((_name_in_full(place, funnel), figures.count(place.count), share, shown or figures.NONE))


def _right_without(funnel: Funnel) -> Iterable[str]:
    if funnel.right_without:
        answers = figures.counted(
            funnel.right_without, "answer with the right content", "answers with the right content"
        )
        yield (
            f"{answers} came without any relevant passage in the context: the judgements have holes, or the model "
            "knew it by itself."
        )


# ---- headroom


def oracle_gains(diagnosis: Diagnosis) -> Section:
    """What each part could buy, on the measures that decide; the others are folded."""
    rows = _by_measure(diagnosis)
    title = "Headroom: an ideal part in the place of the real one"
    seen = dict.fromkeys(row.oracle for row in rows)
    told = [f"{_plain(name)}: {said}." for name, said in IDEALS.items() if name in seen]
    chosen, others = ([row for row in rows if (row.measure in deciding(diagnosis)) is kind] for kind in (True, False))
    return Section(
        "oracle_gains", "Headroom", "What each part could buy", tuple(told),
        tables=present(_headroom(title, chosen, len(rows))),
        in_full=present(_headroom("Headroom on the other measures", others, len(rows))),
        folded="The other measures",
    )  # fmt: skip


def deciding(diagnosis: Diagnosis) -> tuple[str, ...]:
    """The measures that are told of first: those that gate and the one that calls an answer right, or all."""
    known = [row.measure for row in diagnosis.oracle_gains]
    return tuple(name for name in diagnosis.measures if name in known) or tuple(dict.fromkeys(known))


def _headroom(title: str, rows: Sequence[OracleGain], family: int) -> Table | None:
    if not rows:
        return None
    bounds = "No part can buy more than a bound. An estimate may be exceeded: a real part may lead to better answers."
    columns = (
        *left("measure", "substituted"), Column("as it is"), Column("ideal"), Column("could buy", "left"),
        Column("smallest detectable"), Column("queries / groups"),
    )  # fmt: skip
    held = f"Intervals are simultaneous: they hold for all {figures.counted(family, 'figure')} of headroom at once."
    return Table(title, columns, tuple(map(_room, rows)), sentences(bounds, held), tuple(_reasons(rows)), keys=2)


def _by_measure(diagnosis: Diagnosis) -> list[OracleGain]:
    order = [*diagnosis.measures, *(row.measure for row in diagnosis.oracle_gains)]
    return sorted(diagnosis.oracle_gains, key=lambda row: order.index(row.measure))


def _plain(ideal: str) -> str:
    """``Ideal retriever``, for the start of a line."""
    return ideal.replace("-", " ").capitalize()


def _room(row: OracleGain) -> tuple[Cell, ...]:
    kind = "bound" if row.bound else "estimate"
    known = figures.finite(row.difference) is not None
    told = amounts.gain(row.difference, row.low, row.high, kind) if known else "not computed"
    return (
        *cells((row.measure, row.oracle.replace("-", " "), figures.fixed(row.real), figures.fixed(row.best))),
        Cell(told, "" if known else "failed"),
        Cell(figures.fixed(row.detectable)),
        Cell(f"{figures.count(row.n_queries)} / {figures.count(row.n_groups)}" if row.n_queries else figures.NONE),
    )


def _reasons(rows: Iterable[OracleGain]) -> Iterable[str]:
    for row in rows:
        if row.reason:
            place = row.oracle.replace("-", " ")
            whose = place if place.startswith("without") else f"with an {place}"
            yield f"{row.measure} {whose}: {row.reason.rstrip('.')}."


# ---- curves


def curves(diagnosis: Diagnosis) -> Section:
    """Whether to retrieve more or to show more is cheaper than to tune."""
    told = told_curves(diagnosis)
    tables = (_curve([one for one in told if one.kind == kind]) for kind in CURVES)
    return Section(
        "curves", "Curves", "Retrieve more, or show more?", in_full=present(*tables),
        folded="The curves in figures", brief=False,
    )  # fmt: skip


def told_curves(diagnosis: Diagnosis) -> list[Curve]:
    """The curves that tell something of their own: hit rate is recall where a question has one relevant document."""
    recall = next((one.points for one in diagnosis.curves if one.measure == "recall"), ())
    return [one for one in diagnosis.curves if one.measure != "hit_rate" or one.points != recall]


def _curve(curves: Sequence[Curve]) -> Table | None:
    if not curves:
        return None
    kind = curves[0].kind
    found = [{point.at: point for point in curve.points} for curve in curves]
    places = sorted({at for points in found for at in points})
    chosen = {curve.chosen for curve in curves}
    rows = []
    for at in places:
        points = [points.get(at) for points in found]
        texts = [amounts.mean(point.mean, point.low, point.high) if point else figures.NONE for point in points]
        now = " (now)" if at in chosen else ""
        rows.append((Cell(f"{figures.count(at)}{now}"), *cells(texts)))
    sizes = sorted({point.n for curve in curves for point in curve.points})
    over = " to ".join(dict.fromkeys(figures.count(n) for n in (sizes[0], sizes[-1]))) if sizes else "no"
    return Table(
        CURVES[kind],
        (Column(STEPS[kind]), *(Column(curve.measure) for curve in curves)),
        tuple(rows),
        f"Means with 95 % intervals by group, over {over} queries. Now: as the pipeline stands.",
    )
