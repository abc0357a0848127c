"""Send an outcome, a learning curve or a diagnosis that is written to the trackers of its suite."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from harness.suite.tracking import Tracking
from harness.tracking.of_insights import of_curve, of_diagnosis
from harness.tracking.of_outcome import of_outcome
from harness.tracking.records import Tracked
from harness.tracking.sending import Sent, send
from harness.values.findings import Outcome
from harness.values.insights import Diagnosis, LearningCurve

log = logging.getLogger(__name__)


def send_outcome(outcome: Outcome, folder: Path, tracking: Tracking) -> list[Sent]:
    """Send an outcome that lies in a folder; return what each tracker did. Raises nothing that a tracker causes."""
    again = f"harness report {outcome.suite} --track {{tracker}}"
    return _sent(lambda: of_outcome(outcome, folder, tracking.artifacts), tracking, again)


def send_curve(curve: LearningCurve, folder: Path, tracking: Tracking) -> list[Sent]:
    """Send a learning curve that lies in a folder, as `send_outcome` does."""
    again = f"harness curve {curve.suite} {curve.candidate}"
    return _sent(lambda: of_curve(curve, folder, tracking.artifacts), tracking, again)


def send_diagnosis(diagnosis: Diagnosis, folder: Path, tracking: Tracking) -> list[Sent]:
    """Send a diagnosis that lies in a folder, as `send_outcome` does."""
    again = f"harness diagnose {diagnosis.suite}"
    return _sent(lambda: of_diagnosis(diagnosis, folder, tracking.artifacts), tracking, again)


def _sent(record: Callable[[], Tracked], tracking: Tracking, again: str) -> list[Sent]:
    if not tracking.named:
        return []
    try:
        return send(record(), tracking, again)
    except Exception as error:
        # A mistake of this package costs no more than a tracker that is down.
        log.warning("nothing was sent to %s (%s: %s)", ", ".join(tracking.named), type(error).__name__, error)
        return []
