"""Where queries are lost and what an oracle would gain, as tables: funnels, oracle gains, curves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.report import format as fmt
from harness.report.model import (
    Cell,
    Column,
    Section,
    Table,
    cells,
    difference,
    join,
    left,
    number,
    present,
    queries_and_groups,
    within,
)
from harness.report.untrusted import cut
from harness.text import decimals
from harness.text.decimals import finite
from harness.values.insights import Curve, Diagnosis, Funnel, FunnelPlace, OracleGain, Population

GOOD = (("in the context", "answerable"), ("right", "answerable"), ("abstained", "unanswerable"))
"""Places where nothing is lost, by name and population."""
ORACLES = {
    "oracle-retriever": "the pool holds all relevant documents",
    "oracle-reranker": "the reranker puts its part of the pool into the best order",
    "without-reranker": "the reranker is left out",
    "oracle-context": "the context holds the relevant passages and nothing else",
    "oracle-generator": "the answer is the reference wherever the context holds it",
}
LONGEST_ID = 32
CURVES = {"depth": "Recall of the pool by depth", "context": "Answer quality by passages shown"}
STEPS = {"depth": "depth", "context": "passages shown"}


def is_good(place: FunnelPlace) -> bool:
    """Return whether a query that ends there is not lost."""
    return (place.name, place.population) in GOOD


def name_of(place: FunnelPlace) -> str:
    """Return the short name of a place."""
    if place.population == "unanswerable":
        return {"abstained": "correctly abstained", "invented": "invented an answer"}.get(place.name, place.name)
    return place.name


def _name_in_full(place: FunnelPlace, funnel: Funnel) -> str:
    """Return the name of a place in a table."""
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


def place_said(place: FunnelPlace, funnel: Funnel) -> str:
    """Return what is said of a number of queries in that place."""
    seen = "with a relevant passage in the context"
    return {
        "not in the pool": f"have no relevant document in the pool (the first {funnel.depth})",
        "not in the context": f"have a relevant document in the pool, but none in the context (the first "
        f"{funnel.context})",
        "in the context": f"have a relevant document in the context (the first {funnel.context})",
        "answered wrongly": f"were answered wrongly {seen}",
        "abstained": f"got no answer {seen}" if place.population == "answerable" else "correctly got no answer",
        "wrong format": "were answered with the right content in the wrong format",
        "right": "were answered correctly",
        "invented": "got an invented answer",
        "failed": "could not be placed: no answer, no score, or no passage known to be relevant",
    }[place.name]


# ---- funnels


def funnel(diagnosis: Diagnosis) -> Section:
    """Return every query in one place: by its answer, then by where its documents are."""
    funnels = (diagnosis.funnel("answers"), diagnosis.funnel("retrieval"))
    tables = tuple(_funnel(one, diagnosis.split) for one in funnels if one)
    return Section("funnel", "Loss", "Where the loss is", tables=tables)


def _funnel(funnel: Funnel, split: str) -> Table:
    upper = [place for place in funnel.places if place.population == "answerable"]
    lower = [place for place in funnel.places if place.population == "unanswerable"]
    columns = (
        *left("place"), Column("queries"), Column("share [95 %]"), Column("for example", "left", wraps=True),
    )  # fmt: skip
    about = {
        "answers": f"Answers of {funnel.system}: what became of each query",
        "retrieval": f"Rankings of {funnel.system}: where the relevant documents are",
    }
    return Table(
        about[funnel.kind],
        columns,
        tuple(_place(place, funnel) for place in (*upper, *lower)),
        join(
            f"{_populations(funnel)} of the split {split}, each in one place.",
            fmt.sentence(funnel.rule),
            f"Shares are of their population; intervals by {fmt.counted(funnel.groups, 'group')}.",
        ),
        tuple(_right_without(funnel)),
        upper=len(upper) if lower else 0,
    )


def _populations(funnel: Funnel) -> str:
    if funnel.kind == "retrieval":
        return f"All {fmt.counted(funnel.total('answerable'), 'judged query', 'judged queries')}"
    sizes = [f"{fmt.count(number)} {name}" for name in _NAMES if (number := funnel.total(name))]
    return f"{fmt.listed(sizes)} queries" if sizes else "No queries"


_NAMES: tuple[Population, ...] = ("answerable", "unanswerable")


def _place(place: FunnelPlace, funnel: Funnel) -> tuple[Cell, ...]:
    examples = ", ".join(cut(" ".join(name.split()), LONGEST_ID) for name in place.examples)
    share = within(place.share, place.low, place.high, "percent")
    return cells(_name_in_full(place, funnel), number(place.count, "count"), share, examples or decimals.NONE)


def _right_without(funnel: Funnel) -> Iterable[str]:
    if funnel.right_without:
        answers = fmt.counted(funnel.right_without, "answer with the right content", "answers with the right content")
        yield (
            f"{answers} came without any relevant passage in the context: judgements are missing, or the model knew "
            "the answer."
        )


# ---- oracle gains


def oracle_gains(diagnosis: Diagnosis) -> Section:
    """Return the oracle gain of each part on the gated measures; the other measures are folded."""
    rows = _by_measure(diagnosis)
    title = "Oracle gains: an oracle instead of the real one"
    used = {row.oracle for row in rows}
    meanings = [f"{_plain(name)}: {said}." for name, said in ORACLES.items() if name in used]
    chosen, others = ([row for row in rows if (row.measure in deciding(diagnosis)) is kind] for kind in (True, False))
    return Section(
        "oracle_gains",
        "Oracle gains",
        "What an oracle would gain",
        tuple(meanings),
        tables=present(_oracle_table(title, chosen, len(rows))),
        in_full=present(_oracle_table("Oracle gains on the other measures", others, len(rows))),
        folded="The other measures",
    )


def deciding(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Return the measures that come first: the gated ones and the one that calls an answer right, or all."""
    known = [row.measure for row in diagnosis.oracle_gains]
    return tuple(name for name in diagnosis.measures if name in known) or tuple(dict.fromkeys(known))


def _oracle_table(title: str, rows: Sequence[OracleGain], family: int) -> Table | None:
    if not rows:
        return None
    bounds = "A bound cannot be exceeded. An estimate can: a real part may lead to better answers."
    columns = (
        *left("measure", "oracle"),
        *(Column("now"), Column("with oracle"), Column("oracle gain", "left")),
        *(Column("minimum detectable effect", minor=True), Column("queries / groups", minor=True)),
    )
    held = f"Intervals are simultaneous: they hold for all {fmt.counted(family, 'oracle gain')} at once."
    return Table(title, columns, tuple(map(_oracle_row, rows)), join(bounds, held), tuple(_reasons(rows)), keys=2)


def _by_measure(diagnosis: Diagnosis) -> list[OracleGain]:
    order = [*diagnosis.measures, *(row.measure for row in diagnosis.oracle_gains)]
    return sorted(diagnosis.oracle_gains, key=lambda row: order.index(row.measure))


def _plain(oracle: str) -> str:
    """Return ``Oracle retriever``, for the start of a line."""
    return oracle.replace("-", " ").capitalize()


def _oracle_row(row: OracleGain) -> tuple[Cell, ...]:
    kind = "bound" if row.bound else "estimate"
    known = finite(row.difference) is not None
    gain = difference(row.difference, row.low, row.high, kind) if known else Cell("not computed", "failed")
    return cells(
        row.measure,
        row.oracle.replace("-", " "),
        number(row.real, "mean"),
        number(row.best, "mean"),
        gain,
        number(row.detectable, "mean"),
        queries_and_groups(row.n_queries, row.n_groups) if row.n_queries else decimals.NONE,
    )


def _reasons(rows: Iterable[OracleGain]) -> Iterable[str]:
    for row in rows:
        if row.reason:
            place = row.oracle.replace("-", " ")
            whose = place if place.startswith("without") else f"with an {place}"
            yield f"{row.measure} {whose}: {row.reason.rstrip('.')}."


# ---- curves


def curves(diagnosis: Diagnosis) -> Section:
    """Return the curves that say whether retrieving or showing more would do instead of tuning."""
    shown = distinct_curves(diagnosis)
    tables = present(*(_curve([one for one in shown if one.kind == kind]) for kind in CURVES))
    return Section(
        "curves", "Curves", "Retrieve more, or show more?", in_full=tables, folded="The curves as tables", brief=False
    )


def distinct_curves(diagnosis: Diagnosis) -> list[Curve]:
    """Return the curves without hit rate where it equals recall: each query has one relevant document."""
    recall = next((one.points for one in diagnosis.curves if one.measure == "recall"), ())
    return [one for one in diagnosis.curves if one.measure != "hit_rate" or one.points != recall]


def _curve(curves: Sequence[Curve]) -> Table | None:
    if not curves:
        return None
    kind = curves[0].kind
    by_place = [{point.at: point for point in curve.points} for curve in curves]
    chosen = {curve.chosen for curve in curves}
    rows = []
    for at in sorted({at for points in by_place for at in points}):
        points = [points.get(at) for points in by_place]
        means = [
            within(point.mean, point.low, point.high, "mean") if point else Cell(decimals.NONE) for point in points
        ]
        rows.append(cells(number(at, "count", " (now)" if at in chosen else ""), *means))
    sizes = [point.n for curve in curves for point in curve.points]
    over = fmt.span(sizes, fmt.count) if sizes else "no"
    return Table(
        CURVES[kind],
        (Column(STEPS[kind]), *(Column(curve.measure) for curve in curves)),
        tuple(rows),
        f"Means with 95 % intervals by group, over {over} queries. Now: the present setting.",
    )
