"""The boards of a leaderboard: systems of each suite, ranked, from the outcomes of a store or from accepted scores.

A board shows the latest outcome of a suite, or what was accepted. It ranks the deployable systems without a failed
score by one gated measure. Earlier outcomes appear only as history, and only if they measured the same thing. Boards of
accepted scores have no history, because they must follow from the committed files alone. Nothing is rendered here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import ConfigError, HarnessError
from harness.gates.pairing import compare_systems
from harness.report.seedless import trained_with
from harness.results import baselines, outcomes, sharing
from harness.results.baselines import Accepted, Baseline
from harness.results.score_tables import Tables, scores_in, tables_of
from harness.statistics.ranks import RankInterval, ranks
from harness.values.boards import Board, Past, Placed
from harness.values.findings import Comparison, Outcome, ServingCost, SystemInfo
from harness.values.measures import parse
from harness.values.records import ScoreColumn, SystemKey
from harness.values.systems import BOUNDS, UNTUNED, System

SCORES_FILE = "scores.parquet"
log = logging.getLogger(__name__)


class Ranking(NamedTuple):
    """The inputs of a suite's boards; `history` has all its outcomes, oldest first."""

    made: Outcome | Accepted
    systems: tuple[SystemInfo, ...]
    tables: Tables
    gains: Sequence[Comparison]
    history: Sequence[Outcome] = ()

    @property
    def measures(self) -> list[str]:
        """The gated measures that this version knows, in the order of the suite."""
        gated = {row.measure for row in self.gains}
        return [name for name in self.made.measures if name in gated and _is_known(name)]


def _is_known(measure: str) -> bool:
    try:
        parse(measure)
    except ValueError:
        return False
    return True


def stored_boards(store: Path) -> list[Board]:
    """Return the boards of the outcomes in a store. Raises ConfigError if none of them can be ranked."""
    sharing.refresh(store)
    boards = [board for history in _suites(store) for board in boards_of(history)]
    if not boards:
        raise ConfigError(f"{store}: no outcome with a gated measure to rank systems by; run a suite first")
    return boards


def baseline_boards(folder: Path) -> list[Board]:
    """Return the boards of accepted scores, in a folder with one folder per suite.

    Raises ConfigError if none of them can be ranked, and DataError if they cannot be read.
    """
    boards = [board for baseline in baselines.read_all(folder) for board in accepted_boards(baseline)]
    if not boards:
        raise ConfigError(f"{folder}: nothing is accepted that can be ranked; run a suite and accept its outcome first")
    return boards


# ---- out of a store


def _suites(store: Path) -> Iterator[list[tuple[Path, Outcome]]]:
    """The readable outcomes of each suite, oldest first."""
    for base in sorted(path for path in (store / "outcomes").glob("*") if path.is_dir()):
        history = []
        for place in sorted(base.glob(f"*/{outcomes.OUTCOME_FILE}")):
            if place.parent.is_symlink():
                continue
            try:
                history.append((place.parent, outcomes.read(place.parent)))
            except HarnessError as error:
                log.warning("%s is left out of the leaderboard", error)
        if history:
            yield history


def boards_of(history: Sequence[tuple[Path, Outcome]]) -> list[Board]:
    """A board for every gated measure of the latest outcome; `history` is of one suite, the latest last."""
    folder, outcome = history[-1]
    gains = [row for row in outcome.comparisons if row.family == "gain"]
    if not gains:
        return []
    try:
        tables = tables_of(scores_in(folder / SCORES_FILE), outcome.split)
    except HarnessError as error:
        log.warning("%s is left out of the leaderboard", error)
        return []
    return _boards(Ranking(outcome, outcome.systems, tables, gains, [past for _, past in history]))


# ---- out of accepted scores


def accepted_boards(baseline: Baseline) -> list[Board]:
    """A board for every measure that was gated when the scores were accepted."""
    systems = tuple(system.info for system in baseline.accepted.systems)
    return _boards(Ranking(baseline.accepted, systems, baseline.tables, gains_of(baseline)))


def gains_of(baseline: Baseline) -> list[Comparison]:
    """Compare every deployable accepted system with `untuned`, as one family, as in the outcome it comes from.

    There is no limit of failures here: `harness accept` has applied the one of the suite.
    """
    infos = [system.info for system in baseline.accepted.systems]
    untuned = System(UNTUNED, 0, "baseline", ())
    return compare_systems("gain", infos, untuned, baseline.tables, baseline.accepted.margins)


def _column(tables: Tables, key: SystemKey, measure: str) -> ScoreColumn:
    return tables[key].column(measure) if key in tables else {}


# ---- boards


def _boards(ranking: Ranking) -> list[Board]:
    boards = (board(ranking, measure) for measure in ranking.measures)
    return [ranked for ranked in boards if ranked is not None]


def board(ranking: Ranking, measure: str) -> Board | None:
    """Systems ranked by one measure; None if fewer than two can be."""
    values = {}
    groups: dict[str, str] = {}
    for info in ranking.systems:
        column = _column(ranking.tables, (info.name, info.seed), measure)
        if info.name not in BOUNDS and column:
            values[info.label] = column
            of_all = ranking.tables[info.name, info.seed].groups
            groups |= {query: of_all[query] for query in column}
    whole = {
        label: scores
        for label, scores in values.items()
        if scores.keys() == groups.keys() and None not in scores.values()
    }
    if len(whole) < 2:
        return None
    made = ranking.made
    git = made.provenance.get("git", {})
    return Board(
        suite=made.suite,
        title=made.title,
        split=made.split,
        measure=measure,
        margin=next(row.margin for row in ranking.gains if row.measure == measure),
        queries=len(groups),
        groups=len(set(groups.values())),
        created=made.created,
        commit=text_or_nothing(git.get("commit")),
        dirty=bool(git.get("dirty")),
        machine=text_or_nothing(made.provenance.get("machine")),
        times_scored=made.times_scored,
        accepted=made.accepted if isinstance(made, Accepted) else "",
        reason=made.reason if isinstance(made, Accepted) else "",
        questions=made.dataset.questions,
        rows=tuple(_placed(ranking, measure, ranked) for ranked in ranks(whole, groups, parse(measure))),
        unranked=tuple(sorted(values.keys() - whole.keys())),
        seeds=trained_with(ranking.systems),
    )


def text_or_nothing(value: object) -> str:
    """Return a value of a provenance if it is a text, else an empty text."""
    return value if isinstance(value, str) else ""


def _placed(ranking: Ranking, measure: str, ranked: RankInterval) -> Placed:
    info = next(info for info in ranking.systems if info.label == ranked.name)
    gain = next(
        (row for row in ranking.gains if (row.system, row.seed, row.measure) == (info.name, info.seed, measure)), None
    )
    return Placed(
        label=ranked.name,
        role=info.role,
        tunes=info.tunes,
        mean=ranked.mean,
        place=ranked.place,
        best=ranked.best,
        worst=ranked.worst,
        gain=gain.difference if gain else None,
        low=gain.low if gain else None,
        high=gain.high if gain else None,
        verdict=gain.verdict if gain else None,
        build_dollars=info.build_dollars,
        build_seconds=info.build_seconds,
        p95_ms=_p95(info.serving, measure),
        dollars_per_1000=info.serving.dollars_per_1000 if info.serving else None,
        history=tuple(_past(ranking, measure, ranked.name)),
    )


def _p95(serving: ServingCost | None, measure: str) -> float | None:
    """Latency of the parts that the measure judges."""
    timing = getattr(serving, "retrieval" if parse(measure).is_rank else "total", None)
    return timing.p95_ms if timing else None


def _past(ranking: Ranking, measure: str, label: str) -> Iterator[Past]:
    """Means of the system of this name, wherever the same was measured; also of an earlier recipe of that name."""
    for past in ranking.history:
        if past.identities.get(measure) != ranking.made.identities.get(measure):
            continue
        info = next((info for info in past.systems if info.label == label), None)
        if info is None:
            continue
        for row in past.summaries:
            if (row.system, row.seed, row.measure) == (info.name, info.seed, measure) and row.mean is not None:
                yield Past(created=past.created, mean=row.mean, identity=info.identity)
