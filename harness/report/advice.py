"""What to do about a loss: the answer in one paragraph, and the advice in its order with its reasons.

It says no more than the diagnosis does. This module must not know where the words are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.report import amounts, figures, loss
from harness.report.lede import Lede
from harness.report.sections import Item, Section
from harness.report.values import Cell, Column, Table, Tone, cells, left, sentences
from harness.values.insights import Advice, CostEstimate, Diagnosis, Funnel, FunnelPlace, Worth

WHERE = {
    "not in the pool": "in the first search",
    "not in the context": "in the ranking",
    "answered wrongly": "in the generator",
    "abstained": "in the generator, which abstains",
    "wrong format": "in the form of the answers",
    "invented": "in the generator, which invents answers",
    "failed": "in failures",
}
KINDS = {"tune": "tune", "change": "change a setting", "measure": "measure better", "leave": "leave it"}
NO_TRAINING = ("change", "measure", "leave")


# ---- the answer


def lede(diagnosis: Diagnosis) -> Lede:
    """Where the loss is, what to do first, what that could buy, what it costs, how sure all of this is."""
    first = next((one for one in diagnosis.advice if not one.against), None)
    lost, also = _loss(diagnosis)
    done = _first(first, diagnosis.measures)
    doubtful = first is not None and first.kind == "measure"
    # Where the advice is to measure better, nothing else should be believed before it.
    opening, *rest = [*done, lost] if doubtful else [lost, *also, *done]
    tone: Tone = "inconclusive" if doubtful else ""
    return Lede(tone, opening, tuple(text for text in (*rest, *_sureness(diagnosis)) if text))


def _loss(diagnosis: Diagnosis) -> tuple[str, tuple[str, ...]]:
    """The largest loss as a sentence, and what comes after it."""
    funnel = diagnosis.funnel("answers") or diagnosis.funnel("retrieval")
    if funnel is None:
        return "Nothing was counted: there are no questions to look at.", ()
    losses = sorted(
        (place for place in funnel.places if place.count and not loss.is_good(place)),
        key=lambda place: -place.count,
    )
    if not losses:
        asked = sum(place.count for place in funnel.places)
        return f"Nothing is lost: {_all(asked)} end where they should.", ()
    said = f"The largest loss is {WHERE[losses[0].name]}: {_counted(losses[0], funnel, with_share=True)}."
    after = [_counted(place, funnel) for place in losses[1:3]]
    return said, (f"After it: {figures.listed(after)}.",) if after else ()


def _all(number: int) -> str:
    return f"all {figures.count(number)} questions" if number != 1 else "the one question"


def _counted(place: FunnelPlace, funnel: Funnel, with_share: bool = False) -> str:
    """``31 of 88 answerable questions (35 % [25, 46]) were answered wrongly ...``."""
    kind = "judged" if funnel.kind == "retrieval" else place.population
    whole = figures.count(funnel.total(place.population))
    share = f" ({amounts.share(place.share, place.low, place.high)})" if with_share else ""
    asked = f"{figures.count(place.count)} of {whole} {kind} questions"
    return f"{asked}{share} {loss.place_said(place, funnel)}"


def _first(advice: Advice | None, measures: Sequence[str]) -> tuple[str, ...]:
    if advice is None:
        return ("No rule advises to do anything about it.",)
    buys = [_worth(worth) for worth in _deciding(advice.could_buy, measures)]
    could = f"It could buy {figures.listed(buys)}." if buys else ""
    return tuple(filter(None, (f"Do first: {amounts.sentence(advice.action)}", could, _costs(advice))))


def _deciding(worths: Sequence[Worth], measures: Sequence[str]) -> Sequence[Worth]:
    """Those on the measures that decide, or all if they are on others only."""
    return [worth for worth in worths if worth.measure in measures] or worths


def _worth(worth: Worth) -> str:
    how = "at most" if worth.bound else "about"
    return f"{how} {amounts.gain(worth.difference, worth.low, worth.high)} in {worth.measure}"


def _costs(advice: Advice) -> str:
    if advice.estimate is None:
        return "It needs no training." if advice.kind in NO_TRAINING else ""
    made = amounts.once(advice.estimate.seconds_in_full, advice.estimate.dollars)
    guessed = [name for name, basis in advice.estimate.basis.items() if basis == "guessed"]
    how = f", with the speed of {figures.listed(guessed)} guessed" if guessed else ""
    less = figures.duration(advice.estimate.seconds)
    stored = f", of which {less} are not in the store yet" if not made.startswith(less) else ""
    name, later = advice.estimate.candidate, _served(advice.estimate)
    return f"Making the candidate {name} would take about {made}{stored}{how}; {later}."


def _served(estimate: CostEstimate) -> str:
    later = figures.finite(estimate.added_p95_ms)
    if later is None:
        return "what it adds to a query is not known"
    if not later:
        return "a query would take no longer than now"
    return f"a query would take {figures.milliseconds(abs(later))} ms {'longer' if later > 0 else 'less'} (p95)"


def _sureness(diagnosis: Diagnosis) -> tuple[str, ...]:
    asked = figures.counted(diagnosis.answered, "question")
    answers = f"; the answers are those to {asked}" if diagnosis.answered else ""
    judged = figures.counted(diagnosis.judged, "judged question")
    return (
        f"This rests on {judged} in {figures.counted(diagnosis.groups, 'group')} of the split "
        f"{diagnosis.split}{answers}.",
        "What an ideal part buys is no promise of what tuning will; the next run puts the two side by side.",
    )


# ---- the advice


def advice(diagnosis: Diagnosis) -> Section:
    """The ranked advice as a table, and below it what each could buy, why, and what would change it."""
    rows = diagnosis.advice
    tables = (_table(rows, diagnosis.measures),) if rows else ()
    items = tuple(
        Item(f"{row.rank}. {amounts.sentence(row.action).rstrip('.')}", _lines(row, diagnosis.measures)) for row in rows
    )
    return Section("advice", "Advice", "What to do, in this order", tables=tables, items=items)


def _table(rows: Sequence[Advice], measures: Sequence[str]) -> Table:
    seen = dict.fromkeys(worth.measure for row in rows for worth in _deciding(row.could_buy, measures))
    named = sorted(seen, key=lambda name: measures.index(name) if name in measures else len(measures))
    columns = (
        Column("rank"), Column("action", "left", wraps=True), *left("kind"), *map(Column, named),
        Column("one-time cost"), Column("added per query"),
    )  # fmt: skip
    bought = (
        f"Under {figures.listed(named)}: what following the advice could buy there; a bound (at most) cannot be "
        "exceeded, an estimate (about) can."
        if named
        else ""
    )
    return Table(
        "Advice",
        columns,
        tuple(_row(row, named) for row in rows),
        sentences(
            bought,
            "Costs are estimated: once, in full, though what the store holds is not paid again; per query, at p95, and "
            "in dollars per 1,000.",
        ),
    )


def _row(row: Advice, measures: Sequence[str]) -> tuple[Cell, ...]:
    worths = {worth.measure: worth for worth in row.could_buy}
    kind = Cell("advised against", "inconclusive") if row.against else Cell(KINDS[row.kind])
    return (
        *cells((figures.count(row.rank), " ".join(row.action.split()))),
        kind,
        *(_worth_cell(worths.get(name)) for name in measures),
        *cells(_cost_cells(row)),
    )


def _worth_cell(worth: Worth | None) -> Cell:
    if worth is None:
        return Cell(figures.NONE)
    return Cell(f"{'at most' if worth.bound else 'about'} {figures.signed(worth.difference)}")


def _cost_cells(row: Advice) -> tuple[str, str]:
    estimate = row.estimate
    if estimate is None:
        # Judging takes people, whose time nobody priced.
        free = row.kind in NO_TRAINING and row.kind != "measure"
        return ("none" if free else figures.NONE), figures.NONE
    later = amounts.added(estimate.added_p95_ms, figures.milliseconds)
    dearer = amounts.added(estimate.added_dollars_per_1000, figures.dollars)
    known = {"ms": later, "$": dearer}
    if set(known.values()) <= {"none", figures.NONE}:
        return amounts.once(estimate.seconds_in_full, estimate.dollars), "none" if later == "none" else figures.NONE
    return amounts.once(estimate.seconds_in_full, estimate.dollars), f"{later} ms, {dearer}"


def _lines(row: Advice, measures: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    buys = figures.listed([_worth(worth) for worth in _deciding(row.could_buy, measures)])
    found = (
        ("Could buy", (buys,) if buys else ()),
        ("Why", row.why),
        ("What would change it", row.would_change),
    )
    lines = [(title, tuple(map(amounts.sentence, texts))) for title, texts in found if texts]
    if row.candidates:
        does = "it speaks against" if row.against or row.kind == "leave" else "do it"
        lines.append((f"Candidates of the suite that {does}", (", ".join(row.candidates),)))
    return tuple(lines)


# ---- in the report of an outcome


def again(diagnosis: Diagnosis) -> Section:
    """The diagnosis before an outcome, in short: its answer and its advice, the funnel and headroom folded."""
    answer = lede(diagnosis)
    said = f"Diagnosed on {diagnosis.created}, on the split {diagnosis.split}."
    made = advice(diagnosis)
    return Section(
        "loss", "Loss", "Where the loss was",
        # What the next run would do, it has done.
        told=(sentences(said, answer.first, *answer.rest[:-1]),),
        tables=made.tables, items=made.items,
        in_full=(*loss.funnel(diagnosis).tables, *loss.oracle_gains(diagnosis).tables),
        folded="The funnel and the headroom as tables", brief=False,
    )  # fmt: skip


def notes(diagnosis: Diagnosis) -> Iterable[str]:
    """What must be kept in mind, as sentences."""
    return map(amounts.sentence, diagnosis.notes)
