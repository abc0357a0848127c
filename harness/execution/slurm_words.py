"""What Slurm says of jobs: their states, why they wait, what its commands answer, and what that means here."""

from __future__ import annotations

import re
from typing import NamedTuple

LOST = {"BOOT_FAIL", "FAILED", "NODE_FAIL", "PREEMPTED", "REVOKED"}
"""States of a job that ended without an answer and may be submitted again."""
ADVICE = {
    "CANCELLED": "somebody cancelled it",
    "DEADLINE": "its deadline has passed",
    "OUT_OF_MEMORY": "raise execution.slurm.memory_mb, or use smaller batches",
    "TIMEOUT": "raise execution.slurm.minutes",
}
ENDED = {*LOST, *ADVICE, "COMPLETED"}
HOPELESS = {
    "AccountNotAllowed", "BadConstraints", "InvalidAccount", "InvalidQOS", "PartitionNodeLimit", "PartitionTimeLimit",
    "QOSMaxWallDurationPerJobLimit", "QOSNotAllowed", "AssocMaxWallDurationPerJobLimit",
}  # fmt: skip
"""Reasons for which a job waits that no waiting removes."""
BUSY = re.compile(
    r"timed out|temporarily|unable to contact|zero bytes|not connected|connection (?:refused|reset|fail)|standby"
    r"|MaxSubmitJob",
    re.IGNORECASE,
)
"""What sbatch says if its controller is busy or starts again, or holds as many jobs of a user as it may."""


class Queued(NamedTuple):
    """A job as the queue shows it."""

    number: str
    name: str
    state: str
    reason: str


def raised(text: str) -> str:
    """The last exception that a text with a traceback names."""
    named = re.findall(r"^([A-Za-z_][\w.]*(?:Error|Exception): .*)$", text, re.MULTILINE)
    return named[-1].rstrip(".") if named else last_line(text)


def last_line(text: str | None) -> str:
    return ((text or "").strip().splitlines() or ["no reason given"])[-1].strip().rstrip(".")
