"""Compare two sides, system by system and measure by measure: outcomes, accepted scores, systems, or run files.

Only scores with the same measurement identity are compared: a measure with another one is left out and named, and if
nothing is left, the two are not comparable. All results are exploratory; only `gate` decides what fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.errors import ConfigError, NotComparable, Problem, nearest
from harness.gates.run_files import DEFAULT_RULES, QrelsFile, RelevanceRules, read_all, read_qrels_file, score
from harness.gates.run_lines import read_run
from harness.hashing import digest_of
from harness.results import baselines, outcomes
from harness.results.score_tables import Key, Table, Tables, scores_in, tables_of
from harness.statistics import stats
from harness.values.findings import Comparison
from harness.values.measures import Measure, parse
from harness.values.repairs import Repair

SCORES_FILE = "scores.parquet"
RUN: Key = ("run", 0)


class Side(NamedTuple):
    """One side: what it is called, its scores, what measured them, and the margins that its suite sets.

    `labels` says how systems are written; `chosen` is the one system that was asked for, if one was. `made` tells of
    each system what it was made from, as far as that says what it puts out: where it is equal, the output is. Where
    the answers are `served` by an endpoint, or may be, that holds for its lists and not for its answers.
    """

    name: str
    tables: Tables
    identities: Mapping[str, str]
    margins: Mapping[str, float]
    labels: Mapping[Key, str]
    chosen: Key | None = None
    made: Mapping[Key, str] = {}
    served: bool = False


class Compared(NamedTuple):
    """Differences of B minus A, as one family, and what a reader must know; `repairs` were made in run files."""

    first: str
    second: str
    rows: list[Comparison]
    labels: Mapping[Key, str]
    remarks: list[str]
    repairs: Sequence[Repair] = ()


def compare(first: Side, second: Side, margin: float | None = None) -> Compared:
    """Compare two sides on every measure that both have; `margin` holds where no gate sets one.

    Raises NotComparable if no measure was taken in the same way, and ConfigError if no system is on both sides.
    """
    matched = _matched(first, second)
    pairs, remarks, odd = [], [], set()
    for ours, theirs in matched.items():
        table, other = second.tables[ours], first.tables[theirs]
        for measure in table.values:
            if measure not in other.values:
                continue
            if first.identities.get(measure) != second.identities.get(measure):
                odd.add(measure)
                continue
            bound, kind = second.margins.get(measure, margin or 0.0), parse(measure)
            pair, left_out = _pair(ours, kind, bound, table, other)
            alike = second.made.get(ours) is not None and second.made.get(ours) == first.made.get(theirs)
            pair = pair._replace(same=alike and (kind.is_rank or not (first.served or second.served)))
            if left_out:
                label = second.labels[ours]
                remarks.append(f"{label}, {measure}: {left_out} queries have it on one side only, and are left out.")
            if pair.values:
                pairs.append(pair)
    if odd:
        remarks.append(f"Not comparable, for it was measured in another way: {', '.join(sorted(odd))}.")
    if not pairs:
        what = "no measure was taken in the same way" if odd else "no measure with a query in common"
        raise NotComparable(Problem(f"{first.name} and {second.name}", what, "run both on the same data"))
    rows = stats.compare("exploratory", pairs, failure_limit=1.0)
    labels = {key: _label(second, key, first, other) for key, other in matched.items()}
    return Compared(first.name, second.name, rows, labels, remarks)


def side(text: str, store: Path) -> Side:
    """What a user means: an outcome's folder, a folder of accepted scores, or a suite's latest; ``X:system[:seed]``."""
    whole, found = text, _whole(text, store)
    parts: list[str] = []
    while found is None and ":" in whole:
        whole, _, last = whole.rpartition(":")
        parts.insert(0, last)
        found = _whole(whole, store)
    if found is None:
        what = f"no outcome, accepted scores or suite with an outcome: {text!r}"
        raise ConfigError(Problem("", what, "give a folder, a name, or either with ':system'"))
    found = found._replace(name=whole)
    return _choose(found, ":".join(parts)) if parts else found


class ScoringSettings(NamedTuple):
    """How run files are scored and compared: the file of judgements, measures, rules of relevance and a margin."""

    qrels: Path
    measures: Sequence[Measure]
    rules: RelevanceRules = DEFAULT_RULES
    margin: float | None = None


def compare_runs(first: Path, second: Path, by: ScoringSettings) -> Compared:
    """Compare two run files judged by the same judgements; every query stands for itself.

    Raises DataError with what is wrong in any of the files, and as `compare` does.
    """
    files = read_all((read_qrels_file, by.qrels), (read_run, first), (read_run, second))
    judged: QrelsFile = files[0]
    sides, remarks, repairs = [], list[str](), list(judged.repairs)
    for path, file in ((first, files[1]), (second, files[2])):
        found = score(file, judged, by.measures, path, by.qrels, by.rules)
        values = {str(measure): column for measure, column in found.values.items()}
        groups = {query: query for column in values.values() for query in column}
        made = {RUN: digest_of(["run", sorted(file.run.items())])}
        sides.append(Side(str(path), {RUN: Table(values, groups)}, {}, {}, {RUN: path.name}, made=made))
        remarks = remarks or found.judged.remarks(by.rules)
        remarks += [f"{path}: {line}" for line in found.run_remarks()]
        repairs += file.repairs
    remarks.append("Every query stands for itself: where several belong together, the intervals are too narrow.")
    compared = compare(sides[0], sides[1], by.margin)
    return compared._replace(remarks=[*compared.remarks, *remarks], repairs=repairs)


def _whole(text: str, store: Path) -> Side | None:
    folder = Path(text)
    if (folder / baselines.ACCEPTED_FILE).is_file():
        return _of_accepted(folder)
    latest = store / "outcomes" / text / "latest"
    for place in (folder, latest):
        if text and (place / outcomes.OUTCOME_FILE).is_file():
            return _of_outcome(place)
    return None


def _of_outcome(folder: Path) -> Side:
    outcome = outcomes.read(folder)
    tables = tables_of(scores_in(folder / SCORES_FILE), outcome.split)
    gates = outcome.spec.get("gates") or ()
    margins = {gate["measure"]: gate["margin"] for gate in gates if gate.get("measure")}
    labels = {(info.name, info.seed): info.label for info in outcome.systems}
    made = {(info.name, info.seed): info.identity for info in outcome.systems}
    served = baselines.answers_elsewhere(outcome)
    return Side(str(folder), tables, outcome.identities, margins, labels, made=made, served=served)


def _of_accepted(folder: Path) -> Side:
    found = baselines.read(folder)
    assert found is not None
    infos = [one.info for one in found.accepted.systems]
    labels = {(info.name, info.seed): info.label for info in infos}
    made = {(info.name, info.seed): info.identity for info in infos}
    # What an older version accepted does not say who answered.
    served = found.accepted.served is not False
    return Side(str(folder), found.tables, found.accepted.identities, {}, labels, made=made, served=served)


def _choose(side: Side, system: str) -> Side:
    """The side with one system chosen: ``name``, or ``name:seed`` where it has several seeds."""
    found = [key for key in side.tables if system in (key[0], f"{key[0]}:{key[1]}")]
    if len(found) == 1:
        return side._replace(name=f"{side.name}:{system}", chosen=found[0])
    names = {name for name, _ in side.tables}
    hint = f"write {system}:{found[0][1]}" if found else nearest(system, names)
    what = f"{system!r} has {len(found)} seeds" if found else f"no system {system!r}"
    raise ConfigError(Problem(side.name, what, hint))


def _matched(first: Side, second: Side) -> dict[Key, Key]:
    """System of the second side -> the one of the first that it is compared with."""
    if first.chosen and second.chosen:
        return {second.chosen: first.chosen}
    asked = first.chosen or second.chosen
    found = {key: key for key in second.tables if key in first.tables and asked in (None, key)}
    if not found:
        theirs = {name for name, _ in first.tables}
        hint = f"known there: {', '.join(sorted(theirs))}; name one on each side with ':system'"
        raise ConfigError(Problem(f"{first.name} and {second.name}", "no system of the same name and seed", hint))
    return found


def _label(second: Side, key: Key, first: Side, other: Key) -> str:
    ours, theirs = second.labels[key], first.labels[other]
    return ours if ours == theirs else f"{ours} minus {theirs}"


def _pair(key: Key, measure: Measure, margin: float, table: Table, other: Table) -> tuple[stats.Paired, int]:
    """The pair on the queries that both sides have, and how many only one has; better is always more."""
    values, baseline = table.values[str(measure)], other.values[str(measure)]
    common = [query for query in values if query in baseline]
    kind = measure.kind

    def better(value: float | None) -> float | None:
        return kind.low + kind.high - value if value is not None and kind.better == "lower" else value

    mine, theirs = ({query: better(column[query]) for query in common} for column in (values, baseline))
    pair = stats.Paired(*key, measure, margin, mine, theirs, table.groups)
    return pair, len(values.keys() ^ baseline.keys())
