"""Results of gates: frozen values, one for each system and gate. They decide what fails and the exit code."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.values.findings import Comparison
from harness.values.frozen import Frozen, Verdict
from harness.values.questions import SyntheticQuestions

Standing = Verdict | Literal["within bound", "over bound", "not compared"]
"""A verdict on a measure, or what became of a figure of the probe."""
About = Literal["system", "checkpoint", "recipe", "drift"]
FAILING: tuple[Standing, ...] = ("regressed", "missing", "failed", "over bound", "not comparable")


class Gated(Frozen):
    """One system under one gate.

    `about` says what the verdict holds for: a system that is not trained, one checkpoint, or the recipe. A measure has
    a `comparison` unless nothing was accepted; a figure of the probe has `value`, `accepted` (if it is
    bounded relative to it) and `bound`, each in milliseconds or dollars, from `n` single queries, and of a latency the
    interval from `low` to `high`. The ``drift`` of a served model has `value`, the difference of its mean to that of
    the model here, and `bound`, over `n` queries.
    """

    system: str
    seeds: tuple[int, ...]
    label: str
    gate: str
    verdict: Standing
    advisory: bool = False
    strict: bool = False
    about: About = "system"
    comparison: Comparison | None = None
    value: float | None = None
    accepted: float | None = None
    bound: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str = ""

    @property
    def fails(self) -> bool:
        """Whether the gate fails. An advisory gate never does."""
        return not self.advisory and (self.verdict in FAILING or (self.strict and self.verdict == "inconclusive"))


class Gating(Frozen):
    """The results of all gates on one outcome.

    `changed` names the systems whose identity is not the accepted one: the change under test. `differs` has, for each
    measure that cannot be compared, the differences in how it was measured. `accepted` and `why` are when and why the
    scores were accepted; both are empty if nothing was.
    """

    suite: str
    split: str
    created: str
    accepted: str = ""
    why: str = ""
    verdicts: tuple[Gated, ...]
    changed: tuple[str, ...] = ()
    differs: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    questions: SyntheticQuestions | None = None
    measured: bool = True
    """Whether any score of the outcome has a value."""
    command: str = ""
    """The command that accepts this outcome."""

    @property
    def failing(self) -> tuple[Gated, ...]:
        return tuple(gated for gated in self.verdicts if gated.fails)

    @property
    def exit_code(self) -> int:
        """The first that holds: 2 nothing was gated, 4 not comparable, 3 incomplete, 1 a gate failed; else 0.

        An outcome without a single value is incomplete even if all gates are advisory.
        """
        if not self.verdicts:
            return 2
        failing = {gated.verdict for gated in self.failing}
        incomplete = "failed" in failing or not self.measured
        return 4 if "not comparable" in failing else 3 if incomplete else 1 if failing else 0


def label_of(name: str, seeds: tuple[int, ...], *, trained: bool) -> str:
    """``untuned``, ``retriever (seed 0)``, ``retriever (seeds 0, 1, 2)``."""
    if not trained:
        return name
    return f"{name} (seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))})"
