"""A leaderboard as frozen values that compute nothing."""

from __future__ import annotations

from harness.values.frozen import Frozen, Verdict
from harness.values.questions import SyntheticQuestions
from harness.values.systems import Role


class Past(Frozen):
    """An earlier mean of a system of this name, and the identity that it had then."""

    created: str
    mean: float
    identity: str


class Placed(Frozen):
    """A system on a board: its rank by the mean, and the confidence interval of its rank, from `best` to `worst`.

    `low` and `high` bound its gain over `untuned`, simultaneously with all gains of the outcome. `p95_ms` is the
    latency of the parts that the measure judges.
    """

    label: str
    role: Role
    tunes: tuple[str, ...] = ()
    mean: float
    place: int
    best: int
    worst: int
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: Verdict | None = None
    build_dollars: float = 0.0
    build_seconds: float = 0.0
    p95_ms: float | None = None
    dollars_per_1000: float | None = None
    history: tuple[Past, ...] = ()

    @property
    def top(self) -> bool:
        """Whether no other system is significantly better."""
        return self.best == 1


class Board(Frozen):
    """Systems of a suite ranked by one measure; `unranked` have failed scores, `seeds` are those of trained systems.

    `accepted` and `reason` say when and why the scores were accepted; both are empty for a board of an outcome.
    """

    suite: str
    title: str
    split: str
    measure: str
    margin: float = 0.0
    queries: int
    groups: int
    created: str
    commit: str
    dirty: bool = False
    machine: str
    times_scored: int = 1
    accepted: str = ""
    reason: str = ""
    questions: SyntheticQuestions | None = None
    rows: tuple[Placed, ...]
    unranked: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()


class RankedFile(Frozen):
    """A run file, or a file of scores, on a board of files: its rank, and the confidence interval of its rank."""

    label: str
    mean: float
    place: int
    best: int
    worst: int

    @property
    def top(self) -> bool:
        """Whether no other file is significantly better."""
        return self.best == 1


class FileBoard(Frozen):
    """Files ranked by one measure over the queries that all of them have; `unranked` have failed scores."""

    measure: str
    queries: int
    groups: int
    rows: tuple[RankedFile, ...]
    unranked: tuple[str, ...] = ()
