"""What the commands `accept`, `gate`, `compare` and `score` do: read files, evaluate them, return values."""

from __future__ import annotations

import getpass
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from harness import provenance
from harness.errors import ConfigError, Problem
from harness.gates import compare as comparison
from harness.gates import preconditions
from harness.gates.asked import named_measures, rank_measures
from harness.gates.counterparts import GateTerms
from harness.gates.gate import evaluate
from harness.gates.pairing import compare_systems
from harness.gates.reasons import acceptable
from harness.gates.run_files import PLAIN, RunRules, RunScores, score_files
from harness.remote.mirror import shown
from harness.report import format
from harness.report.seedless import labels_shown, seeds_told, trained_with
from harness.results import baselines, outcomes, sharing
from harness.results.baselines import Accepted, Baseline, Damaged, accepted_system
from harness.results.score_tables import Tables, as_accepted, scores_in, tables_of
from harness.statistics.comparisons import DEV
from harness.statistics.verdicts import Gating
from harness.suite.builtin import YAML
from harness.suite.files import load_suite
from harness.suite.spec import Suite
from harness.values.findings import Comparison, Outcome
from harness.values.records import ScoreTable, SystemKey
from harness.values.systems import BM25


class MeasuredOutcome(NamedTuple):
    """An outcome with its scores and its folder, and the suite as its file is now.

    `on_dev` has the scores on dev, unless dev is the split of the outcome.
    """

    suite: Suite
    suite_file: Path
    outcome: Outcome
    folder: Path
    tables: Tables
    on_dev: Tables


class Acceptance(NamedTuple):
    """What was accepted, the folder it was written to, and what it replaced."""

    accepted: Accepted
    folder: Path
    before: Accepted | None


# ---- accept


def accept(
    suite: str | Path, reason: str, store: Path, baselines_folder: Path | None = None, outcome: Path | None = None
) -> Acceptance:
    """Accept the latest outcome of a suite (or the one in a folder) as the baseline of its gate.

    Raises ConfigError without a reason, and Incomplete if more scores failed than the suite's failure_limit allows;
    then nothing is written.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise ConfigError(Problem("--reason", "must not be empty", "say why these scores become the baseline"))
    measured = read_measured(suite, store, outcome)
    preconditions.check_complete(measured.suite, measured.outcome, measured.folder)
    folder = _folder(measured, baselines_folder)
    try:
        before = baselines.read(folder, measured.suite.name)
    except Damaged:
        before = None
    accepted = _accepted(_trained_to_the_end(measured), reason)
    try:
        baselines.write(folder, accepted, _tables(measured))
    except OSError as error:
        what = f"accepted scores cannot be written ({error.strerror or error})"
        hint = "check the permissions of the folder; the scores accepted before are unchanged"
        raise ConfigError(Problem(str(folder), what, hint)) from error
    return Acceptance(accepted, folder, before.accepted if before else None)


def _trained_to_the_end(measured: MeasuredOutcome) -> MeasuredOutcome:
    """What was measured, without candidates that a search stopped: nobody would serve them."""
    outcome = measured.outcome
    stopped = {info.name for info in outcome.systems if info.stopped}
    kept = {
        "systems": tuple(info for info in outcome.systems if info.name not in stopped),
        "summaries": tuple(row for row in outcome.summaries if row.system not in stopped),
        "comparisons": tuple(row for row in outcome.comparisons if row.system not in stopped),
    }
    return measured._replace(outcome=outcome.model_copy(update=kept)) if stopped else measured


def _tables(measured: MeasuredOutcome) -> dict[SystemKey, ScoreTable]:
    """The score table of every system; an empty one for a system without scores."""
    keys = [(info.name, info.seed) for info in measured.outcome.systems]
    return {key: measured.tables.get(key, ScoreTable({}, {})) for key in keys}


def _accepted(measured: MeasuredOutcome, reason: str) -> Accepted:
    outcome, tables = measured.outcome, _tables(measured)
    margins = {row.measure: row.margin for row in outcome.comparisons if row.family == "gain"}
    return Accepted(
        suite=outcome.suite,
        title=outcome.title,
        split=outcome.split,
        reason=reason,
        accepted=provenance.now(),
        by=_user(),
        created=outcome.created,
        provenance=outcome.provenance,
        dataset=outcome.dataset,
        measures=outcome.measures,
        identities=outcome.identities,
        measured=outcome.measured,
        systems=tuple(accepted_system(info, tables[info.name, info.seed]) for info in outcome.systems),
        summaries=outcome.summaries,
        margins=margins,
        times_scored=outcome.times_scored,
        served=baselines.answers_elsewhere(outcome),
        on_dev=_means_on_dev(measured),
        best_untrained=outcome.best_untrained,
        over_untrained=tuple(row for row in outcome.comparisons if row.family == "untrained"),
        over_bm25=tuple(_over_bm25(measured, margins)),
    )


def _means_on_dev(measured: MeasuredOutcome) -> dict[str, dict[str, float]]:
    """Means on dev by measure and label, of the systems with a score for every dev query."""
    means: dict[str, dict[str, float]] = {}
    for measure in measured.outcome.measures:
        columns = {key: table.column(measure) for key, table in measured.on_dev.items()}
        queries = set().union(*columns.values())
        for info in measured.outcome.systems:
            column = columns.get((info.name, info.seed), {})
            values = [value for value in column.values() if value is not None]
            if queries and len(values) == len(queries):
                means.setdefault(measure, {})[info.label] = as_accepted(fmean(values))
    return means


def _over_bm25(measured: MeasuredOutcome, margins: Mapping[str, float]) -> list[Comparison]:
    """Compare candidates and the best system without training with the row `bm25`, as a family of their own."""
    systems, best = measured.outcome.systems, measured.outcome.best_untrained
    row = next((info for info in systems if info.name == BM25), None)
    if row is None:
        return []
    named = best.system if best else ""
    others = [info for info in systems if info.role == "candidate" or info.name == named]
    return compare_systems("bm25", others, row, measured.tables, margins, measured.suite.failure_limit)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def what_changed(done: Acceptance) -> list[str]:
    """Return what accepting changed, in sentences."""
    new, old = done.accepted, done.before
    systems = {system.info.label: system for system in new.systems}
    known = [system.info for made in (new, old) if made for system in made.systems]
    read_as, seeds = labels_shown(known), trained_with(known)
    scores = f"{format.counted(len(systems), 'system')} on {format.counted(len(new.measures), 'measure')}"
    trained = f", {seeds_told(seeds)}" if len(seeds) == 1 else ""
    lines = [f"Accepted the outcome of {new.created}: {scores}{trained}, in {shown(done.folder)}."]
    if old is None:
        return lines
    lines.append(f"It replaces the scores accepted on {old.accepted} ({old.reason}).")
    before = {system.info.label: system for system in old.systems}
    changed = [label for label, system in systems.items() if label in before and system.rows != before[label].rows]
    gone = [label for label in before if label not in systems]
    added = [label for label in systems if label not in before]
    for words, labels in (("Scores changed", changed), ("New", added), ("No longer accepted", gone)):
        if labels:
            lines.append(f"{words}: {format.listed([read_as[label] for label in labels])}.")
    moved = [name for name, digest in new.identities.items() if old.identities.get(name, digest) != digest]
    if moved:
        lines.append(f"Measurement changed since the last acceptance: {format.listed(moved)}.")
    return lines


# ---- gate


def gate(
    suite: str | Path, store: Path, baselines_folder: Path | None = None, outcome: Path | None = None,
    require_baseline: bool = False,
) -> Gating:  # fmt: skip
    """Judge the latest outcome of a suite (or the one in a folder) by the gates in the suite file as it is now.

    Raises ConfigError if the folder of baselines does not exist, and also if nothing is accepted although the suite or
    `require_baseline` requires it.
    """
    measured = read_measured(suite, store, outcome)
    if baselines_folder is not None:
        preconditions.check_folder(baselines_folder, measured.suite.name)
    folder = _folder(measured, baselines_folder)
    baseline = baselines.read(folder, measured.suite.name)
    judged = evaluate_measured(measured, baseline)
    if require_baseline or measured.suite.require_baseline:
        preconditions.check_required(judged, folder)
    notes = (
        baselines.remarks_on(folder, baseline.accepted)
        if baseline
        else preconditions.orphans(folder.parent, measured.suite_file, measured.suite.name)
    )
    return judged.model_copy(
        update={
            "command": _command(suite, store, baselines_folder) if acceptable(judged) else "",
            "notes": (*preconditions.stale(measured.suite, measured.outcome.spec), *notes),
        }
    )


def evaluate_measured(measured: MeasuredOutcome, baseline: Baseline | None) -> Gating:
    """Return the verdicts on an outcome that was read, against accepted scores."""
    suite = measured.suite
    terms = GateTerms(suite.on_inconclusive, suite.failure_limit, expected=preconditions.named(suite))
    return evaluate(suite.gates, measured.outcome, measured.tables, baseline, terms)


def read_measured(suite: str | Path, store: Path, outcome: Path | None = None) -> MeasuredOutcome:
    """Read a suite with its latest outcome, or the one in a folder. Raises ConfigError if they cannot be used."""
    spec, path = load_suite(suite, with_data=False)
    folder = outcome or store / "outcomes" / spec.name / "latest"
    if outcome is None:
        sharing.refresh(store, spec.name)
        outcomes.check_latest(folder.parent)
    measured = outcomes.read(folder)
    if measured.suite != spec.name:
        what = f"an outcome of the suite {measured.suite!r}, not of {spec.name!r}"
        raise ConfigError(Problem(str(folder), what, "give an outcome of this suite"))
    rows = scores_in(folder / comparison.SCORES_FILE)
    on_dev = tables_of(rows, DEV) if measured.split != DEV else {}
    return MeasuredOutcome(spec, path, measured, folder, tables_of(rows, measured.split), on_dev)


def _folder(measured: MeasuredOutcome, baselines_folder: Path | None) -> Path:
    return (baselines_folder or baselines.folder_for(measured.suite_file)) / measured.suite.name


def _command(suite: str | Path, store: Path, baselines_folder: Path | None) -> str:
    stored = "" if str(store) == ".harness" else f" --store {shown(store)}"
    where = f" --baselines {shown(baselines_folder)}" if baselines_folder else ""
    return f'harness accept {suite}{stored}{where} --reason "..."'


# ---- compare and score


def compare(
    first: str, second: str, store: Path, qrels: Path | None, measures: Sequence[str], margin: float | None,
    rules: RunRules = PLAIN,
) -> comparison.Compared:  # fmt: skip
    """Compare two outcomes, two systems, two run files with judgements, or two files of scores: B minus A."""
    if margin is not None and not math.isfinite(margin):
        raise ConfigError(Problem("--margin", f"should be a finite number, not {margin}"))
    files = [path for path in map(Path, (first, second)) if path.is_file() and path.suffix not in YAML]
    if qrels is None and len(files) == 2:
        return comparison.compare_scores(files[0], files[1], named_measures(measures), margin)
    if qrels is None and files:
        raise ConfigError(Problem(str(files[0]), "a run file needs judgements", "add --qrels FILE"))
    if qrels is None:
        sides = comparison.side(first, store), comparison.side(second, store)
        compared = comparison.compare(*sides, margin, named_measures(measures))
        return compared._replace(remarks=[*compared.remarks, comparison.OWN_FAMILY])
    return comparison.compare_runs(
        Path(first), Path(second), comparison.ScoringSettings(qrels, rank_measures(measures), rules, margin)
    )


def score(run: Path, qrels: Path, measures: Sequence[str], rules: RunRules = PLAIN) -> RunScores:
    """Score a TREC run of any system."""
    return score_files(run, qrels, rank_measures(measures), rules)
