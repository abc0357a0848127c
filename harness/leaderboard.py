"""The leaderboard: over suites, systems and time, from the outcomes that a store holds.

Each suite is shown as its latest outcome saw it. Systems are ranked on every gated measure, among those that could be
served and have no failed score. Earlier outcomes enter only as history, and only where they measured the same thing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness import outcomes
from harness.boards import Board, Past, Placed
from harness.errors import ConfigError, HarnessError
from harness.findings import Outcome
from harness.formats import read_parquet, write_atomically
from harness.measures import parse
from harness.ranks import Ranked, ranks
from harness.report.boards import render_boards

FILE = "LEADERBOARD.md"
SCORES_FILE = "scores.parquet"
BOUNDS = ("closed-book", "oracle-context")
log = logging.getLogger(__name__)


def write(store: Path, folder: Path) -> tuple[Path, int]:
    """Write `LEADERBOARD.md` into a folder; return its path and how many boards it has.

    Raises ConfigError if the store holds no outcome that can be read.
    """
    boards = [board for suite in _suites(store) for board in boards_of(suite)]
    if not boards:
        raise ConfigError(f"{store}: no outcome with a gated measure to rank systems by; run a suite first")
    path = folder / FILE
    write_atomically(path, render_boards(boards))
    return path, len(boards)


def _suites(store: Path) -> Iterator[list[tuple[Path, Outcome]]]:
    """The readable outcomes of each suite, oldest first."""
    for base in sorted(path for path in (store / "outcomes").glob("*") if path.is_dir()):
        found = []
        for place in sorted(base.glob(f"*/{outcomes.OUTCOME_FILE}")):
            if place.parent.is_symlink():
                continue
            try:
                found.append((place.parent, outcomes.read(place.parent)))
            except HarnessError as error:
                log.warning("%s is left out of the leaderboard", error)
        if found:
            yield found


def boards_of(history: Sequence[tuple[Path, Outcome]]) -> list[Board]:
    """A board for every gated measure of the latest outcome; `history` is of one suite, the latest last."""
    folder, outcome = history[-1]
    gated = list(dict.fromkeys(row.measure for row in outcome.comparisons if row.family == "gain"))
    rows = read_parquet(folder / SCORES_FILE) if gated else []
    found = (board(outcome, rows, measure, [past for _, past in history]) for measure in gated)
    return [one for one in found if one is not None]


def board(
    outcome: Outcome, rows: Sequence[Mapping[str, object]], measure: str, history: Sequence[Outcome]
) -> Board | None:
    """Systems ranked by one measure; None if fewer than two can be."""
    of_measure = [row for row in rows if row["measure"] == measure and row["split"] == outcome.split]
    groups = {str(row["query_id"]): str(row["group"]) for row in of_measure if row["status"] != "not_applicable"}
    kind = parse(measure)
    values = _values(outcome, of_measure)
    asked = max(map(len, values.values()), default=0)
    whole = {label: found for label, found in values.items() if len(found) == asked and None not in found.values()}
    if len(whole) < 2:
        return None
    placed = ranks(whole, groups, kind)
    return Board(
        suite=outcome.suite,
        title=outcome.title,
        split=outcome.split,
        measure=measure,
        queries=asked,
        groups=len(set(groups.values())),
        created=outcome.created,
        commit=str(outcome.provenance.get("git", {}).get("commit", "")),
        machine=str(outcome.provenance.get("machine", "")),
        times_scored=outcome.times_scored,
        rows=tuple(_placed(outcome, measure, one, history) for one in placed),
        unranked=tuple(sorted(values.keys() - whole.keys())),
    )


def _values(outcome: Outcome, rows: Sequence[Mapping[str, object]]) -> dict[str, dict[str, float | None]]:
    """Values by query of every system that could be served."""
    labels = {(info.name, info.seed): info.label for info in outcome.systems if info.name not in BOUNDS}
    found: dict[str, dict[str, float | None]] = {}
    for row in rows:
        label = labels.get((str(row["system"]), int(str(row["seed"]))))
        if label is not None and row["status"] != "not_applicable":
            value = row["value"]
            found.setdefault(label, {})[str(row["query_id"])] = float(str(value)) if value is not None else None
    return found


def _placed(outcome: Outcome, measure: str, one: Ranked, history: Sequence[Outcome]) -> Placed:
    info = next(info for info in outcome.systems if info.label == one.name)
    gain = next(
        (
            row
            for row in outcome.comparisons
            if (row.family, row.system, row.seed, row.measure) == ("gain", info.name, info.seed, measure)
        ),
        None,
    )
    serving = info.serving
    return Placed(
        label=one.name,
        role=info.role,
        mean=one.mean,
        place=one.place,
        best=one.best,
        worst=one.worst,
        gain=gain.difference if gain else None,
        verdict=gain.verdict if gain else None,
        make_dollars=info.make_dollars,
        make_seconds=info.make_seconds,
        p95_ms=serving.total.p95_ms if serving and serving.total else None,
        dollars_per_1000=serving.dollars_per_1000 if serving else None,
        history=tuple(_past(outcome, measure, one.name, history)),
    )


def _past(outcome: Outcome, measure: str, label: str, history: Sequence[Outcome]) -> Iterator[Past]:
    """Means of the system of this name, wherever the same was measured; also of an earlier recipe of that name."""
    for past in history:
        if past.identities.get(measure) != outcome.identities.get(measure):
            continue
        info = next((info for info in past.systems if info.label == label), None)
        if info is None:
            continue
        for row in past.summaries:
            if (row.system, row.seed, row.measure) == (info.name, info.seed, measure) and row.mean is not None:
                yield Past(created=past.created, mean=row.mean, identity=info.identity)
