"""Results written first, their reports after: a report that raises loses no result.

The rows and the JSON of a result are on disk, and `latest` points at them, before anything is rendered. What fails
after that is noted in the result. Trackers come last: what they do is no part of a result.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.data import formats
from harness.data.datasets import Dataset
from harness.errors import HarnessError
from harness.experiments import query_details
from harness.files import link_to, write_atomically
from harness.planning.graph import Plan
from harness.report import PAGE_FILE, REPORT_FILE, write_html, write_learning_curve, write_reports
from harness.report import write_diagnosis as render_diagnosis
from harness.results import diagnoses, outcomes, sharing
from harness.results.outcomes import SCORE_COLUMNS, guarded, new_folder
from harness.store import Store
from harness.suite.tracking import Tracking
from harness.tracking.results import send_curve, send_diagnosis, send_outcome
from harness.values.evidence import Evidence
from harness.values.findings import Outcome
from harness.values.insights import Diagnosis, LearningCurve
from harness.values.records import Run, Score

CURVE_FILE = "curve.json"
NOWHERE = Tracking()
log = logging.getLogger(__name__)


def write_outcome(
    outcome: Outcome, root: Path, rows: Sequence[Score], runs: Mapping[str, Run],
    plan: Plan, dataset: Dataset, store: Store,
) -> tuple[Outcome, Path]:  # fmt: skip
    """Write an outcome below `root` with its details and its report; return it, and its folder.

    `runs` are those of its systems, by their labels. What fails after its scores are there is logged and noted in the
    outcome: `harness report` writes it again. It is sent to the trackers of the suite.
    """
    outcome, folder = outcomes.write(outcome, root, rows)
    details: list[Evidence] = []

    def gather() -> None:
        details.append(query_details.of_plan(rows, runs, plan, dataset, store))
        outcomes.write_details(folder, outcome, details[0])

    again = f"'harness report {outcome.suite}' writes it again."
    failures = [
        guarded(gather, "what the systems put out", folder),
        guarded(lambda: write_reports(outcome, folder, details[0] if details else None), "the report", folder, again),
    ]
    outcome = outcomes.with_notes(outcome, folder, [line for line in failures if line])
    folder = sharing.publish(folder)
    send_outcome(outcome, folder, plan.suite.track)
    return outcome, folder


def write_diagnosis(diagnosis: Diagnosis, root: Path, rows: Sequence[Score], track: Tracking = NOWHERE) -> Path:
    """Write a diagnosis below `root` with its report, send it to the trackers, and return its folder."""
    folder = diagnoses.write(diagnosis, root, rows)
    failure = guarded(lambda: render_diagnosis(diagnosis, folder), "the report", folder)
    if failure:
        diagnoses.add_note(diagnosis, folder, failure)
    folder = sharing.publish(folder)
    send_diagnosis(diagnosis, folder, track)
    return folder


def write_curve(curve: LearningCurve, root: Path, rows: Sequence[Score], track: Tracking = NOWHERE) -> Path:
    """Write a learning curve below `root` with its report, send it to the trackers, and return its folder."""
    base = root / "curves" / curve.suite / curve.candidate
    folder = new_folder(base, curve.created)
    formats.write_parquet(folder / "scores.parquet", [row._asdict() for row in rows], SCORE_COLUMNS)
    write_atomically(folder / CURVE_FILE, curve.model_dump_json(indent=1))
    link_to(base / "latest", folder)
    guarded(lambda: write_learning_curve(curve, folder), "the report", folder)
    folder = sharing.publish(folder)
    send_curve(curve, folder, track)
    return folder


def rewrite_reports(folder: Path, outcome: Outcome) -> list[Path]:
    """Write the report files of an outcome again, if one is not there; return what was written."""
    if (folder / REPORT_FILE).is_file() and (folder / PAGE_FILE).is_file():
        return []
    return write_reports(outcome, folder, _kept_evidence(folder, outcome))


def _kept_evidence(folder: Path, outcome: Outcome) -> Evidence | None:
    """What the page shows of single queries; None, and a warning, where the rows are no longer all there."""
    try:
        return query_details.of_files(folder, outcome)
    except (HarnessError, OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: the page has no single queries, for its rows cannot be read (%s)", folder, error)
        return None


def write_page(folder: Path, target: Path) -> Path:
    """Make the page of an outcome again out of its folder, and write it to `target`.

    Raises ConfigError if the folder holds no outcome that this version can read. Texts of documents and questions are
    left out, and the page says so, where the dataset cannot be read or is another one by now.
    """
    outcome = outcomes.read(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    return write_html(outcome, target, _kept_evidence(folder, outcome))
