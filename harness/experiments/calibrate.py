"""`harness judge`: compares the judge of a suite with ratings by people, and stores the calibration for the suite."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Unpack

from harness import scoring
from harness.data.formats import write_jsonl
from harness.errors import ConfigError, Incomplete, Problem
from harness.execution import endpoints
from harness.execution.session import Options, Session
from harness.files import write_atomically
from harness.hashing import digest_file
from harness.judge import calibration, judges
from harness.judge.calibration import Calibration, CalibrationTerms
from harness.judge.labels import LabelledAnswer, read_labels, sample_rows, scale_of
from harness.llm import Chat
from harness.planning import requirements
from harness.planning.calls import conversion
from harness.remarks import endpoints as remarks_of_endpoints
from harness.remote.mirror import mirror_of
from harness.stages.shared.remote import FAILED_SHARE, remedy
from harness.suite.files import load_suite
from harness.suite.roles import Judge
from harness.suite.spec import Suite
from harness.values.findings import RolePayment
from harness.values.measures import Measure, parse

ROWS_FILE = "judged.jsonl"


class JudgeCalibration(NamedTuple):
    """A calibration, its file, the file of the single judgements, the cost, and remarks."""

    calibration: Calibration
    place: Path
    rows: Path
    paid: tuple[RolePayment, ...]
    seconds: float
    remarks: tuple[str, ...]


def judge(
    suite: str | Path, labels: Path, root: str | Path, measure: str = "faithfulness", sample: int | None = None,
    seed: int = 0, **options: Unpack[Options],
) -> JudgeCalibration:  # fmt: skip
    """Calibrate the judge of a suite for a measure on rated answers, `sample` of them if that is a number.

    `options` are those of a session. Raises HarnessError for anything wrong with the suite, its judge, its endpoint or
    the file of labels.
    """
    started = time.perf_counter()
    session = Session(load_suite(suite)[0], root, **options)
    judge, asked = _judge_of(session.suite, measure)
    rows = read_labels(labels, asked)
    scale = scale_of(rows)
    chosen = sample_rows(rows, sample, seed) if sample is not None else rows
    requirements.apply_device(session.suite)
    if not judge.in_process:
        session.check_roles(["judge"])
    spec = session.suite
    settings = judges.settings_of(spec, session.root)
    chat = judges.chat_of(spec, session.services, _converted(session))
    with session.display(f"judge {len(chosen)} answers") as progress:
        scores = calibration.judge_rows(chosen, asked, judges.asked_by(settings, chat), progress)
    session.share()
    _refuse_failures(chat, scores, session.root)
    terms = CalibrationTerms(scale, judge.accepted_from, judge.min_auroc, seed=seed)
    calibrated = calibration.calibrate(
        chosen, scores, scoring.measurement_settings(asked, settings), terms, digest_file(labels)
    )
    place = judges.place_of(session.root, asked, settings)
    _write(place, calibrated, chosen, scores)
    remarks = (*remarks_of_endpoints.dialects(session.written, session.services), *judges.kin(spec))
    seconds = time.perf_counter() - started
    return JudgeCalibration(calibrated, place, _rows_of(place), session.paid(), seconds, remarks)


def _judge_of(suite: Suite, measure: str) -> tuple[Judge, Measure]:
    if suite.llm.judge is None:
        raise ConfigError(Problem(f"suite {suite.name}", "no judge to calibrate", "add llm.judge"))
    try:
        asked = parse(measure)
    except ValueError as error:
        raise ConfigError(Problem("--measure", str(error))) from error
    if not asked.is_judged:
        raise ConfigError(Problem("--measure", f"no LLM judges {measure}", "name one such as faithfulness"))
    if asked.name == "rubric" and not suite.rubric:
        raise ConfigError(Problem(f"suite {suite.name}", "rubric needs a text", "add 'rubric: ...'"))
    return suite.llm.judge, asked


def _converted(session: Session) -> Path | None:
    """The folder of a judge that runs here and comes as GGUF, converted once; None for any other."""
    judge = session.suite.llm.judge
    planned = conversion(judge.model) if judge is not None and judge.in_process else None
    return session.make_one(planned) if planned is not None else None


def _write(
    place: Path, calibrated: Calibration, rows: Sequence[LabelledAnswer], scores: dict[str, scoring.QueryScore]
) -> None:
    """Write the calibration, and beside it every judgement with the ratings of people."""
    place.parent.mkdir(parents=True, exist_ok=True)
    lines = (
        {"id": row.row_id, "turn": row.turn, "ratings": list(row.ratings), **scores[row.row_id]._asdict()}
        for row in rows
    )
    write_jsonl(_rows_of(place), lines)
    write_atomically(place, calibrated.model_dump_json(indent=1))
    if mirror := mirror_of(place):
        mirror.push(_rows_of(place))
        mirror.push(place)


def _rows_of(place: Path) -> Path:
    return place.with_name(f"{place.stem}.{ROWS_FILE}")


def _refuse_failures(chat: Chat, scores: Mapping[str, scoring.QueryScore], root: Path) -> None:
    """Raise Incomplete if judging was stopped, or if more than half of it failed; only LLM responses are kept."""
    asked = [score for score in scores.values() if score.status != "not_applicable"]
    failed = Counter(score.reason for score in asked if score.status == "failed")
    if chat.stopped:
        raise Incomplete(f"judging was stopped, so nothing is calibrated: {chat.stopped}")
    if asked and failed.total() > FAILED_SHARE * len(asked):
        (reason, count), *_ = failed.most_common(1)
        raise Incomplete(
            f"{failed.total()} of {len(asked)} judgements failed, so nothing is calibrated; {count} of them: {reason}; "
            f"{remedy(reason)}. Judgements that succeeded are cached in {root / endpoints.FOLDER}"
        )
    if not asked:
        reasons = Counter(score.reason for score in scores.values())
        why = "; ".join(f"{count} of them: {reason}" for reason, count in reasons.most_common(3))
        raise Incomplete(f"the judge is asked about none of {len(scores)} answers, so nothing is calibrated; {why}")
