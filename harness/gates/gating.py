"""What the commands `accept`, `gate`, `compare` and `score` do: read, judge, print."""

from __future__ import annotations

import getpass
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness import provenance
from harness.errors import ConfigError, Problem
from harness.gates import standing, versus
from harness.gates.gate import GateTerms, acceptable, judge
from harness.gates.run_files import PLAIN, RunRules, RunScores, score_files
from harness.gates.side_outputs import STEP_SUMMARY as STEP_SUMMARY
from harness.gates.side_outputs import write_files as write_files
from harness.report import format as figures
from harness.report.content import gates
from harness.report.content.comparisons import compared
from harness.results import baselines, outcomes
from harness.results.baselines import Accepted, Baseline, Damaged, accepted_system
from harness.results.score_tables import Tables, scores_in, tables_of
from harness.statistics.verdicts import Gating
from harness.suite.files import load_suite
from harness.suite.spec import Suite
from harness.values.findings import Outcome
from harness.values.measures import Measure, parse
from harness.values.records import ScoreTable, SystemKey

if TYPE_CHECKING:
    from rich.console import Console

DEFAULT_MEASURE = "ndcg@10"


class MeasuredOutcome(NamedTuple):
    """An outcome with its scores, where they lie, and the suite as it is now."""

    suite: Suite
    suite_file: Path
    outcome: Outcome
    folder: Path
    tables: Tables


class Acceptance(NamedTuple):
    """What was accepted, where it was put, and what it replaced."""

    accepted: Accepted
    folder: Path
    before: Accepted | None


# ---- accept


def accept(
    suite: str | Path, reason: str, store: Path, baselines_folder: Path | None = None, outcome: Path | None = None
) -> Acceptance:
    """Accept the latest outcome of a suite (or the one in a folder) in place of what was accepted.

    Raises ConfigError without a reason, and Incomplete if more failed than the suite's failure_limit allows; nothing is
    written then.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise ConfigError(Problem("--reason", "empty", "say why these scores are the ones to hold on to"))
    found = measured(suite, store, outcome)
    standing.check_complete(found.suite, found.outcome, found.folder)
    folder = _folder(found, baselines_folder)
    try:
        before = baselines.read(folder, found.suite.name)
    except Damaged:
        before = None
    accepted = _accepted(found, reason)
    try:
        baselines.write(folder, accepted, _tables(found))
    except OSError as error:
        what = f"accepted scores cannot be written ({error.strerror or error})"
        hint = "see that the folder can be written; what was accepted before is as it was"
        raise ConfigError(Problem(str(folder), what, hint)) from error
    return Acceptance(accepted, folder, before.accepted if before else None)


def _tables(found: MeasuredOutcome) -> dict[SystemKey, ScoreTable]:
    """A table for every system, also one that nothing was measured of."""
    keys = [(info.name, info.seed) for info in found.outcome.systems]
    return {key: found.tables.get(key, ScoreTable({}, {})) for key in keys}


def _accepted(found: MeasuredOutcome, reason: str) -> Accepted:
    outcome, tables = found.outcome, _tables(found)
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
        margins={row.measure: row.margin for row in outcome.comparisons if row.family == "gain"},
        times_scored=outcome.times_scored,
        served=baselines.answers_elsewhere(outcome),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def what_changed(done: Acceptance) -> list[str]:
    """What accepting changed, in sentences."""
    new, old = done.accepted, done.before
    labels = {one.info.label: one for one in new.systems}
    scores = f"{figures.counted(len(labels), 'system')} on {figures.counted(len(new.measures), 'measure')}"
    told = [f"Accepted the outcome of {new.created}: {scores}, in {done.folder}."]
    if old is None:
        return told
    told.append(f"It replaces what was accepted on {old.accepted} ({old.reason}).")
    were = {one.info.label: one for one in old.systems}
    moved = [label for label, one in labels.items() if label in were and one.rows != were[label].rows]
    gone, come = [label for label in were if label not in labels], [label for label in labels if label not in were]
    for words, names in (("Scores changed", moved), ("New", come), ("No longer accepted", gone)):
        if names:
            told.append(f"{words}: {figures.listed(names)}.")
    odd = [name for name, digest in new.identities.items() if old.identities.get(name, digest) != digest]
    if odd:
        told.append(f"Measured in another way than before: {figures.listed(odd)}.")
    return told


# ---- gate


def gate(
    suite: str | Path, store: Path, baselines_folder: Path | None = None, outcome: Path | None = None,
    require_baseline: bool = False,
) -> Gating:  # fmt: skip
    """Judge the latest outcome of a suite (or the one in a folder) by the suite's gates as they are written now.

    Raises ConfigError for a folder of baselines that there is not; also, if the suite or `require_baseline` says so,
    while nothing is accepted to compare with.
    """
    found = measured(suite, store, outcome)
    if baselines_folder is not None:
        standing.check_folder(baselines_folder, found.suite.name)
    folder = _folder(found, baselines_folder)
    baseline = baselines.read(folder, found.suite.name)
    judged = gated(found, baseline)
    if require_baseline or found.suite.require_baseline:
        standing.check_required(judged, folder)
    told = (
        baselines.remarks_on(folder, baseline.accepted)
        if baseline
        else standing.orphans(folder.parent, found.suite_file, found.suite.name)
    )
    return judged.model_copy(
        update={
            "command": _command(suite, store, baselines_folder) if acceptable(judged) else "",
            "notes": (*standing.stale(found.suite, found.outcome.spec), *told),
        }
    )


def gated(found: MeasuredOutcome, baseline: Baseline | None) -> Gating:
    """Judge an outcome that was read against what was accepted."""
    terms = GateTerms(found.suite.on_inconclusive, found.suite.failure_limit, expected=standing.named(found.suite))
    return judge(found.suite.gates, found.outcome, found.tables, baseline, terms)


def measured(suite: str | Path, store: Path, outcome: Path | None = None) -> MeasuredOutcome:
    """Read a suite with its latest outcome, or the one in a folder. Raises ConfigError for what cannot be used."""
    spec, path = load_suite(suite)
    folder = outcome or store / "outcomes" / spec.name / "latest"
    if outcome is None:
        outcomes.check_latest(folder.parent)
    found = outcomes.read(folder)
    if found.suite != spec.name:
        what = f"an outcome of the suite {found.suite!r}, not of {spec.name!r}"
        raise ConfigError(Problem(str(folder), what, "give an outcome of this suite"))
    tables = tables_of(scores_in(folder / versus.SCORES_FILE), found.split)
    return MeasuredOutcome(spec, path, found, folder, tables)


def _folder(found: MeasuredOutcome, baselines_folder: Path | None) -> Path:
    return (baselines_folder or baselines.folder_for(found.suite_file)) / found.suite.name


def _command(suite: str | Path, store: Path, baselines_folder: Path | None) -> str:
    stored = "" if str(store) == ".harness" else f" --store {store}"
    where = f" --baselines {baselines_folder}" if baselines_folder else ""
    return f'harness accept {suite}{stored}{where} --reason "..."'


def show(found: Gating, console: Console, verbose: bool = True) -> None:
    """Print the heading, the table and a sentence for each verdict."""
    from rich.text import Text

    from harness.report.render.terminal import print_lines, print_table

    console.print(Text(gates.heading(found), style="bold"), soft_wrap=True)
    console.print(Text(gates.subject(found), style="dim"), soft_wrap=True)
    print_table(gates.table(found), console)
    console.print()
    shown = found.verdicts if verbose else found.failing
    print_lines([*gates.sentences(shown), *gates.remarks(found)], console)


# ---- compare and score


def compare(
    first: str, second: str, store: Path, qrels: Path | None, measures: Sequence[str], margin: float | None,
    rules: RunRules = PLAIN,
) -> versus.Compared:  # fmt: skip
    """Compare two outcomes, two systems, or two run files with judgements: B minus A."""
    if margin is not None and not math.isfinite(margin):
        raise ConfigError(Problem("--margin", f"should be a finite number, not {margin}"))
    files = [Path(text) for text in (first, second) if Path(text).is_file()]
    if qrels is None and files:
        raise ConfigError(Problem(str(files[0]), "a run file needs judgements", "add --qrels FILE"))
    if qrels is None:
        sides = versus.side(first, store), versus.side(second, store)
        return versus.compare(*sides, margin)
    return versus.compare_runs(Path(first), Path(second), versus.Judging(qrels, _measures(measures), rules, margin))


def score(run: Path, qrels: Path, measures: Sequence[str], rules: RunRules = PLAIN) -> RunScores:
    """Judge a TREC run of any system."""
    return score_files(run, qrels, _measures(measures), rules)


def _measures(names: Sequence[str]) -> list[Measure]:
    problems, found = [], []
    for name in names or (DEFAULT_MEASURE,):
        try:
            found.append(parse(name))
        except ValueError as error:
            problems.append(Problem("--measure", str(error)))
            continue
        if not found[-1].is_rank:
            problems.append(Problem("--measure", f"{name} needs answers", f"take one such as {DEFAULT_MEASURE}"))
    if problems:
        raise ConfigError(problems)
    return list(dict.fromkeys(found))


def show_compared(found: versus.Compared, console: Console, as_json: bool) -> None:
    """Print differences with intervals, or JSON."""
    if as_json:
        rows = [{"label": found.labels[row.system, row.seed], **row.model_dump(mode="json")} for row in found.rows]
        value = {"first": found.first, "second": found.second, "rows": rows, "remarks": found.remarks}
        value["repairs"] = [repair.model_dump(mode="json") for repair in found.repairs]
        sys.stdout.write(json.dumps(value, indent=1) + "\n")
        return
    from harness.report.render.terminal import print_lines, print_table

    title = f"{found.second} minus {found.first} (exploratory)"
    # What was applied stands above the verdicts, which cannot be read without it.
    print_lines(found.remarks, console)
    print_table(compared(found.rows, found.labels, title), console)


def show_scores(found: RunScores, console: Console, as_json: bool) -> None:
    """Print means, or JSON with every score."""
    if as_json:
        sys.stdout.write(json.dumps(found.as_json(), indent=1) + "\n")
        return
    for line in found.lines():
        console.print(line, highlight=False, markup=False, soft_wrap=True)
