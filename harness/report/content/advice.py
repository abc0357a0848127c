"""What to do about a loss: the answer in one paragraph, and the ranked advice with its reasons.

It says no more than the diagnosis does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.report import format as fmt
from harness.report.content import loss
from harness.report.model import Cell, Column, Headline, Item, Section, Table, Tone, cells, join, left, number
from harness.text import decimals
from harness.text.decimals import finite
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
KINDS = {"tune": "tune", "change": "change a setting", "measure": "improve the test set", "leave": "leave it"}
NO_TRAINING = ("change", "measure", "leave")


# ---- the answer


def summarise(diagnosis: Diagnosis) -> Headline:
    """Return where the loss is, what to do first, its possible gain and cost, and how certain this is."""
    first = next((one for one in diagnosis.advice if not one.against), None)
    lost, also = _loss(diagnosis)
    done = _first(first, diagnosis.measures)
    doubtful = first is not None and first.kind == "measure"
    # Where the advice is to improve the test set, nothing else is reliable before that.
    opening, *rest = [*done, lost] if doubtful else [lost, *also, *done]
    tone: Tone = "inconclusive" if doubtful else ""
    return Headline(tone, opening, tuple(text for text in (*rest, *_certainty(diagnosis)) if text))


def _loss(diagnosis: Diagnosis) -> tuple[str, tuple[str, ...]]:
    """Return the largest loss as a sentence, and the next ones."""
    funnel = diagnosis.funnel("answers") or diagnosis.funnel("retrieval")
    if funnel is None:
        return "Nothing was counted: there are no queries.", ()
    losses = sorted(
        (place for place in funnel.places if place.count and not loss.is_good(place)),
        key=lambda place: -place.count,
    )
    if not losses:
        asked = sum(place.count for place in funnel.places)
        return f"Nothing is lost: {_all(asked)} end with the right result.", ()
    said = f"The largest loss is {WHERE[losses[0].name]}: {_counted(losses[0], funnel, with_share=True)}."
    after = [_counted(place, funnel) for place in losses[1:3]]
    return said, (f"Next: {fmt.listed(after)}.",) if after else ()


def _all(number: int) -> str:
    return f"all {fmt.count(number)} queries" if number != 1 else "the one query"


def _counted(place: FunnelPlace, funnel: Funnel, with_share: bool = False) -> str:
    """Return ``31 of 88 answerable queries (35 % [25, 46]) were answered wrongly ...``."""
    kind = "judged" if funnel.kind == "retrieval" else place.population
    whole = fmt.count(funnel.total(place.population))
    share = f" ({fmt.share(place.share, place.low, place.high)})" if with_share else ""
    asked = f"{fmt.count(place.count)} of {whole} {kind} queries"
    return f"{asked}{share} {loss.place_said(place, funnel)}"


def _first(advice: Advice | None, measures: Sequence[str]) -> tuple[str, ...]:
    if advice is None:
        return ("No rule gives advice about it.",)
    gains = [_worth(worth, advice) for worth in _deciding(advice.could_buy, measures)]
    could = f"{_gain_title(advice)}: {fmt.listed(gains)}." if gains else ""
    return tuple(filter(None, (f"Do first: {fmt.sentence(advice.action)}", could, _costs(advice))))


def _deciding(worths: Sequence[Worth], measures: Sequence[str]) -> Sequence[Worth]:
    """Return those on the gated measures, or all if there are none."""
    return [worth for worth in worths if worth.measure in measures] or worths


def _is_measured(advice: Advice) -> bool:
    """Whether the gain of an advice was measured: that of settings."""
    return advice.rule.startswith("settings-")


def _gain_title(advice: Advice) -> str:
    return "Measured gain" if _is_measured(advice) else "Possible gain"


def _worth(worth: Worth, advice: Advice) -> str:
    how = "" if _is_measured(advice) else "at most" if worth.bound else "about"
    return join(how, f"{decimals.difference(worth.difference, worth.low, worth.high)} in {worth.measure}")


def _costs(advice: Advice) -> str:
    free = "It needs no training." if advice.kind in NO_TRAINING else ""
    if advice.estimate is None:
        return free
    made = fmt.build_cost(advice.estimate.seconds_in_full, advice.estimate.dollars)
    guessed = [name for name, basis in advice.estimate.basis.items() if basis == "guessed"]
    how = f", with the speed of {fmt.listed(guessed)} guessed" if guessed else ""
    less = fmt.duration(advice.estimate.seconds)
    stored = f", of which {less} is not cached" if not made.startswith(less) else ""
    name, later = advice.estimate.candidate, _served(advice.estimate)
    return join(free, f"Building the candidate {name} takes about {made}{stored}{how}; {later}.")


def _served(estimate: CostEstimate) -> str:
    later = finite(estimate.added_p95_ms)
    if later is None:
        return "its added latency is not known"
    if not later:
        return "a query takes no longer than now"
    return f"a query then takes {fmt.milliseconds(abs(later))} ms {'longer' if later > 0 else 'less'} (p95)"


def _certainty(diagnosis: Diagnosis) -> tuple[str, ...]:
    asked = fmt.counted(diagnosis.answered, "query", "queries")
    answers = f"; answers to {asked}" if diagnosis.answered else ""
    judged = fmt.counted(diagnosis.judged, "judged query", "judged queries")
    return (
        f"Measured on {judged} in {fmt.counted(diagnosis.groups, 'group')} of the split {diagnosis.split}{answers}.",
        "An oracle gain is a bound or an estimate, no forecast of what tuning gains; the next run compares the two.",
    )


# ---- the advice


def advice(diagnosis: Diagnosis) -> Section:
    """Return the ranked advice as a table, and below it the possible gain, reasons, and what would change it."""
    rows = diagnosis.advice
    tables = (_table(rows, diagnosis.measures),) if rows else ()
    items = tuple(
        Item(f"{row.rank}. {fmt.sentence(row.action).rstrip('.')}", _lines(row, diagnosis.measures), row.paste)
        for row in rows
    )
    return Section("advice", "Advice", "What to do first", tables=tables, items=items)


def _table(rows: Sequence[Advice], measures: Sequence[str]) -> Table:
    names = dict.fromkeys(worth.measure for row in rows for worth in _deciding(row.could_buy, measures))
    named = sorted(names, key=lambda name: measures.index(name) if name in measures else len(measures))
    columns = (
        Column("rank"),
        Column("action", "left", wraps=True),
        *left("kind"),
        *map(Column, named),
        *(Column("one-time cost"), Column("added per query")),
    )
    gains = (
        f"Under {fmt.listed(named)}: the possible gain; a bound (at most) cannot be exceeded, an estimate (about) can."
    )
    costs = (
        "Costs are estimates: the whole build cost, though what is cached is not paid again; per query, latency at p95 "
        "and dollars per 1,000."
    )
    rows_of_cells = tuple(_row(row, named) for row in rows)
    return Table("Advice", columns, rows_of_cells, join(gains if named else "", costs))


def _row(row: Advice, measures: Sequence[str]) -> tuple[Cell, ...]:
    worths = {worth.measure: worth for worth in row.could_buy}
    kind = Cell("advised against", "inconclusive") if row.against else Cell(KINDS[row.kind])
    return cells(
        number(row.rank, "count"),
        " ".join(row.action.split()),
        kind,
        *(_worth_cell(worths.get(name)) for name in measures),
        *_cost_cells(row),
    )


def _worth_cell(worth: Worth | None) -> Cell:
    if worth is None:
        return Cell(decimals.NONE)
    return number(worth.difference, "difference")._replace(before="at most" if worth.bound else "about")


def _cost_cells(row: Advice) -> tuple[Cell, Cell]:
    estimate = row.estimate
    if estimate is None:
        # Judging takes people, whose time has no price here.
        free = row.kind in NO_TRAINING and row.kind != "measure"
        return Cell("none" if free else decimals.NONE), Cell(decimals.NONE)
    built = fmt.build_cost_cell(estimate.seconds_in_full, estimate.dollars)
    later = fmt.added(estimate.added_p95_ms, fmt.milliseconds)
    dearer = fmt.added(estimate.added_dollars_per_1000, fmt.dollars)
    if {later, dearer} <= {"none", decimals.NONE}:
        return built, Cell("none" if later == "none" else decimals.NONE)
    return built, number(estimate.added_p95_ms, "added ms", f" ms, {dearer}")


def _lines(row: Advice, measures: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    gains = fmt.listed([_worth(worth, row) for worth in _deciding(row.could_buy, measures)])
    parts = (
        (_gain_title(row), (gains,) if gains else ()),
        ("Why", row.why),
        ("What would change it", row.would_change),
    )
    lines = [(title, tuple(map(fmt.sentence, texts))) for title, texts in parts if texts]
    if row.candidates:
        about = "to leave out" if row.against or row.kind == "leave" else "that do this"
        lines.append((f"Candidates of the suite {about}", (", ".join(row.candidates),)))
    return tuple(lines)


# ---- in the report of an outcome


def again(diagnosis: Diagnosis) -> Section:
    """Return the diagnosis before an outcome in short: answer and advice, funnel and oracle gains folded."""
    answer = summarise(diagnosis)
    said = f"Diagnosed on {diagnosis.created}, on the split {diagnosis.split}."
    made = advice(diagnosis)
    return Section(
        "loss",
        "Loss",
        "Where the loss was",
        # The last sentence is about the next run, which is this one.
        sentences=(join(said, answer.first, *answer.rest[:-1]),),
        tables=made.tables,
        items=made.items,
        in_full=(*loss.funnel(diagnosis).tables, *loss.oracle_gains(diagnosis).tables),
        folded="Funnel and oracle gains as tables",
        brief=False,
    )


def notes(diagnosis: Diagnosis) -> Iterable[str]:
    """Return what to keep in mind, as sentences."""
    return map(fmt.sentence, diagnosis.notes)
