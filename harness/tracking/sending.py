"""Sends results to trackers, each in a child process that may take so many seconds: nothing that a tracker does can
fail a run, keep it waiting, or leave something behind in this process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import harness
from harness.suite.secrets import mask
from harness.suite.tracking import Mlflow, Tracking
from harness.tracking.records import Tracked
from harness.tracking.sent import Reply, Request

PROGRAM = "import sys; sys.path.append(sys.argv.pop(1)); from harness.tracking.child import main; main()"
SILENT = {
    "DO_NOT_TRACK": "true", "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
}  # fmt: skip
"""Set for the child: a tracker is told what is sent, and nobody is told anything else."""
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""Set for the child unless they are set: MLflow itself tries for minutes if a server is down."""
log = logging.getLogger(__name__)


class Sent(NamedTuple):
    """What a tracker did with a result; `warning` is empty if it is there in full."""

    tracker: str
    made: int
    place: str
    warning: str


def send(tracked: Tracked, tracking: Tracking, again: str) -> list[Sent]:
    """Send a result to the trackers of a suite, and return what each did; raises nothing that a tracker causes.

    What could not be sent in full is logged as a warning. `again` is the command that sends it later, with
    ``{tracker}`` for the name of the tracker.
    """
    sent = []
    for name, tracker in tracking.named.items():
        group = tracker.experiment if isinstance(tracker, Mlflow) else tracker.project
        reply = _asked(
            Request(tracker=name, address=tracker.address, group=group, seconds=tracking.timeout, tracked=tracked)
        )
        warning = ""
        if reply.problem:
            where = f"{name} at {mask(tracker.address)}" if tracker.address else name
            warning = (
                f"{where}: the {tracked.parent.key} was not sent in full ({mask(reply.problem)}); it is written and "
                f"whole, and '{again.format(tracker=name)}' sends it again"
            )
            log.warning("%s", warning)
        sent.append(Sent(name, reply.made, mask(reply.place), warning))
    return sent


def _asked(request: Request) -> Reply:
    """Ask a child process, and end it with all that it started when its time is over."""
    try:
        with tempfile.TemporaryDirectory(prefix="harness-track-") as name:
            return _run(request, Path(name))
    except OSError as error:
        return Reply(problem=f"no process could be started for it: {error.strerror or type(error).__name__}")


def _run(request: Request, folder: Path) -> Reply:
    asked, answered = folder / "request.json", folder / "reply.json"
    asked.write_text(request.model_dump_json(), encoding="utf-8")
    # No module of the folder that the command is run in may pass for one of a tracker (-P).
    own = str(Path(harness.__file__).resolve().parent.parent)
    command = [sys.executable, "-P", "-c", PROGRAM, own, str(answered)]
    # What libraries print goes to a file: a pipe could be filled, or be held open by what they started.
    with asked.open("rb") as given, (folder / "printed.txt").open("wb") as printed:
        child = subprocess.Popen(
            command, stdin=given, stdout=printed, stderr=printed, env=_environment(), start_new_session=True
        )
        problem = ""
        try:
            code = child.wait(request.seconds)
            problem = f"its client ended with exit code {code}"
        except subprocess.TimeoutExpired:
            problem = f"it did not answer within {request.seconds:g} s, see track.timeout"
        except KeyboardInterrupt:
            # The result is written: what is interrupted is the sending, not the run.
            problem = "interrupted"
        finally:
            _end(child)
    with contextlib.suppress(OSError, ValueError):
        return Reply.model_validate(json.loads(answered.read_text(encoding="utf-8")))
    return Reply(problem=problem)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child and what it has started, if anything of it still runs."""
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _environment() -> dict[str, str]:
    return {**PATIENCE, **os.environ, **SILENT}
