"""Compare two sides, system by system and measure by measure: outcomes, accepted scores, systems, or run files.

Only scores with the same measurement identity are compared: a measure with another one is left out and named, and if
nothing is left, the two are not comparable. All results are exploratory; only `gate` decides what fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from harness.errors import ConfigError, NotComparable, Problem, nearest
from harness.gates.published import AS_PUBLISHED, ScoreFile, read_score_file, unknown_in_words
from harness.gates.run_files import OWN_GROUPS, PLAIN, QrelsFile, RunRules, read_all, read_qrels_file, score
from harness.gates.run_lines import read_run
from harness.hashing import digest_of
from harness.results import baselines, outcomes, sharing
from harness.results.score_tables import Tables, scores_in, tables_of
from harness.statistics import stats
from harness.suite.builtin import find_suite
from harness.values.findings import Comparison
from harness.values.measures import Measure, parse
from harness.values.questions import SyntheticQuestions
from harness.values.records import ScoreTable, SystemKey
from harness.values.repairs import Repair

SCORES_FILE = "scores.parquet"
OWN_FAMILY = (
    "The intervals hold for the rows of this table; a report or a gate corrects for all of its own comparisons, so its "
    "verdict on the same pair may differ."
)
RUN: SystemKey = ("run", 0)


class Side(NamedTuple):
    """One side: its name, scores, measurement identities and margins.

    `labels` are the printed names of systems; `chosen` is the requested system, if any. `made` is the identity of each
    system: equal identities mean equal output. If an endpoint writes the answers (`served`), or may do so, that holds
    for rankings only. `questions` says which of its queries are synthetic, where that is known.
    """

    name: str
    tables: Tables
    identities: Mapping[str, str]
    margins: Mapping[str, float]
    labels: Mapping[SystemKey, str]
    chosen: SystemKey | None = None
    made: Mapping[SystemKey, str] = {}
    served: bool = False
    questions: SyntheticQuestions | None = None


class Compared(NamedTuple):
    """Differences B minus A, as one family, with remarks; `repairs` were made in run files.

    `questions` says that questions are synthetic, if they are.
    """

    first: str
    second: str
    rows: list[Comparison]
    labels: Mapping[SystemKey, str]
    remarks: list[str]
    repairs: Sequence[Repair] = ()
    questions: Sequence[str] = ()


def compare(first: Side, second: Side, margin: float | None = None, measures: Sequence[Measure] = ()) -> Compared:
    """Compare two sides on `measures`, or on every measure they share.

    Without `margin`, that of the gates of the second side counts, or else 0. Raises NotComparable if no measure has the
    same identity on both sides, and ConfigError if they share no system.
    """
    matched = _matched(first, second)
    pairs, remarks, changed = [], [], set()
    for ours, theirs in matched.items():
        table, other = second.tables[ours], first.tables[theirs]
        for measure in table.values:
            kind = parse(measure)
            if measure not in other.values or (measures and kind not in measures):
                continue
            if first.identities.get(measure) != second.identities.get(measure):
                changed.add(measure)
                continue
            bound = second.margins.get(measure, 0.0) if margin is None else margin
            pair, left_out = _pair(ours, kind, bound, table, other)
            alike = second.made.get(ours) is not None and second.made.get(ours) == first.made.get(theirs)
            pair = replace(pair, same=alike and (kind.is_rank or not (first.served or second.served)))
            if left_out:
                label = second.labels[ours]
                remarks.append(
                    f"{label}, {measure}: {left_out} queries have a score on one side only and are left out."
                )
            if pair.values:
                pairs.append(pair)
    if changed:
        remarks.append(f"Not comparable, because the measurement has changed: {', '.join(sorted(changed))}.")
    if not pairs:
        what = (
            "every shared measure was measured in different ways"
            if changed
            else f"no shared measure{' of those asked for' if measures else ''} with a shared query"
        )
        raise NotComparable(Problem(f"{first.name} and {second.name}", what, "run both on the same data"))
    rows = stats.compare("exploratory", pairs, failure_limit=1.0)
    labels = {key: _label(second, key, first, other) for key, other in matched.items()}
    return Compared(first.name, second.name, rows, labels, remarks, questions=_synthetic(first, second))


def _synthetic(first: Side, second: Side) -> list[str]:
    """Return that questions are synthetic: one sentence if both sides say the same, else one for each side."""
    if first.questions == second.questions:
        return [first.questions.sentence] if first.questions else []
    return [f"{one.name}: {one.questions.sentence}" for one in (first, second) if one.questions]


def side(text: str, store: Path) -> Side:
    """Return the side that a text names: folder of an outcome or of accepted scores, suite; or ``X:system[:seed]``."""
    whole, whole_side = text, _whole(text, store)
    parts: list[str] = []
    while whole_side is None and ":" in whole:
        whole, _, last = whole.rpartition(":")
        parts.insert(0, last)
        whole_side = _whole(whole, store)
    if whole_side is None:
        what = f"{text!r} names no outcome, no accepted scores and no suite with an outcome"
        raise ConfigError(Problem("", what, "give a folder or a suite, with ':system' for one of its systems"))
    whole_side = whole_side._replace(name=whole)
    return _choose(whole_side, ":".join(parts)) if parts else whole_side


class ScoringSettings(NamedTuple):
    """How run files are scored and compared: the file of judgements, measures, rules of relevance and a margin."""

    qrels: Path
    measures: Sequence[Measure]
    rules: RunRules = PLAIN
    margin: float | None = None


def compare_runs(first: Path, second: Path, by: ScoringSettings) -> Compared:
    """Compare two run files by the same judgements; every query is its own group.

    Raises DataError with the problems of all files, and what `compare` raises.
    """
    files = read_all((read_qrels_file, by.qrels), (read_run, first), (read_run, second))
    judged: QrelsFile = files[0]
    sides, remarks, repairs = [], list[str](), list(judged.repairs)
    for path, file in ((first, files[1]), (second, files[2])):
        scores = score(file, judged, by.measures, path, by.qrels, by.rules)
        values = {str(measure): column for measure, column in scores.values.items()}
        groups = {query: query for column in values.values() for query in column}
        made = {RUN: digest_of(["run", sorted(file.run.items())])}
        table, about = ScoreTable(values, groups), scores.questions
        sides.append(Side(str(path), {RUN: table}, {}, {}, {RUN: path.name}, made=made, questions=about))
        remarks = remarks or scores.judged.remarks(by.rules)
        remarks += [f"{path}: {line}" for line in scores.run_remarks()]
        repairs += file.repairs
    remarks.append(OWN_GROUPS)
    compared = compare(sides[0], sides[1], by.margin)
    return compared._replace(remarks=[*compared.remarks, *remarks], repairs=repairs)


def compare_scores(
    first: Path, second: Path, measures: Sequence[Measure] = (), margin: float | None = None
) -> Compared:
    """Compare two files of scores by query on `measures`, or on every measure they share; see `read_score_file`.

    Groups are those of the first file that names some. Raises DataError with the problems of both files, and what
    `compare` raises.
    """
    files: list[ScoreFile] = read_all((read_score_file, first), (read_score_file, second))
    groups = next((file.table.groups for file in files if file.grouped), {})
    sides = []
    for path, file in zip((first, second), files, strict=True):
        chosen = {name: column for name, column in file.table.values.items() if not measures or parse(name) in measures}
        own = {query: groups.get(query, query) for query in file.table.groups}
        sides.append(Side(str(path), {RUN: ScoreTable(chosen, own)}, {}, {}, {RUN: path.name}))
    compared = compare(sides[0], sides[1], margin)
    told = [AS_PUBLISHED, *unknown_in_words(dict(zip((str(first), str(second)), files, strict=True)))]
    return compared._replace(remarks=[*compared.remarks, *told, *([] if groups else [OWN_GROUPS])])


def _whole(text: str, store: Path) -> Side | None:
    folder = sharing.folder_at(text)
    if not folder.exists():
        sharing.refresh(store, text)
    if (folder / baselines.ACCEPTED_FILE).is_file():
        return _of_accepted(folder)
    latest = store / "outcomes" / text / "latest"
    for place in (folder, latest, *_of_suite(text, store)):
        if text and (place / outcomes.OUTCOME_FILE).is_file():
            return _of_outcome(place)
    return None


def _of_suite(text: str, store: Path) -> Iterator[Path]:
    """Yield the latest outcome of the suite that a path names, if it names one."""
    try:
        find_suite(text)
    except ConfigError:
        return
    yield sharing.latest_of(store, text)


def _of_outcome(folder: Path) -> Side:
    outcome = outcomes.read(folder)
    tables = tables_of(scores_in(folder / SCORES_FILE), outcome.split)
    gates = outcome.spec.get("gates") or ()
    margins = {gate["measure"]: gate["margin"] for gate in gates if gate.get("measure")}
    labels = {(info.name, info.seed): info.label for info in outcome.systems}
    made = {(info.name, info.seed): info.identity for info in outcome.systems}
    served = baselines.answers_elsewhere(outcome)
    about = outcome.dataset.questions
    return Side(str(folder), tables, outcome.identities, margins, labels, made=made, served=served, questions=about)


def _of_accepted(folder: Path) -> Side:
    baseline = baselines.read(folder)
    assert baseline is not None
    infos = [system.info for system in baseline.accepted.systems]
    labels = {(info.name, info.seed): info.label for info in infos}
    made = {(info.name, info.seed): info.identity for info in infos}
    # Older accepted scores do not say whether an endpoint answered.
    served = baseline.accepted.served is not False
    accepted = baseline.accepted
    about = accepted.dataset.questions
    return Side(
        str(folder), baseline.tables, accepted.identities, {}, labels, made=made, served=served, questions=about
    )


def _choose(side: Side, system: str) -> Side:
    """The side with one system chosen: ``name``, or ``name:seed`` if it has several seeds."""
    keys = [key for key in side.tables if system in (key[0], f"{key[0]}:{key[1]}")]
    if len(keys) == 1:
        return side._replace(name=f"{side.name}:{system}", chosen=keys[0])
    names = {name for name, _ in side.tables}
    hint = f"write {system}:{keys[0][1]}" if keys else nearest(system, names)
    what = f"{system!r} has {len(keys)} seeds" if keys else f"no system {system!r}"
    raise ConfigError(Problem(side.name, what, hint))


def _matched(first: Side, second: Side) -> dict[SystemKey, SystemKey]:
    """System of the second side -> system of the first side that it is compared with."""
    if first.chosen and second.chosen:
        return {second.chosen: first.chosen}
    chosen = first.chosen or second.chosen
    matched = {key: key for key in second.tables if key in first.tables and chosen in (None, key)}
    if not matched:
        theirs = {name for name, _ in first.tables}
        hint = f"known in {first.name}: {', '.join(sorted(theirs))}; choose one on each side with ':system'"
        raise ConfigError(Problem(f"{first.name} and {second.name}", "no system of the same name and seed", hint))
    return matched


def _label(second: Side, key: SystemKey, first: Side, other: SystemKey) -> str:
    ours, theirs = second.labels[key], first.labels[other]
    return ours if ours == theirs else f"{ours} minus {theirs}"


def _pair(
    key: SystemKey, measure: Measure, margin: float, table: ScoreTable, other: ScoreTable
) -> tuple[stats.Paired, int]:
    """The pair on the shared queries, and the number of other queries; values are turned so that more is better."""
    values, baseline = table.values[str(measure)], other.values[str(measure)]
    common = [query for query in values if query in baseline]
    kind = measure.kind

    def better(value: float | None) -> float | None:
        return kind.low + kind.high - value if value is not None and kind.better == "lower" else value

    mine, theirs = ({query: better(column[query]) for query in common} for column in (values, baseline))
    name, seed = key
    pair = stats.Paired(
        system=name, seed=seed, measure=measure, margin=margin, values=mine, baseline=theirs, groups=table.groups
    )
    return pair, len(values.keys() ^ baseline.keys())
