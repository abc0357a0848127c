"""Gains in more detail: ROI, by slice, on another dataset. Frozen values that compute nothing."""

from __future__ import annotations

from pydantic import Field

from harness.values.frozen import Frozen, Verdict


class BestUntrained(Frozen):
    """The best system without training: the one with the highest mean of `measure` on dev.

    `means` has the means of all systems that train nothing and could be served. `system` is empty where none is named,
    and `reason` says why.
    """

    system: str = ""
    measure: str = ""
    means: dict[str, float] = Field(default_factory=dict)
    reason: str = ""


class Roi(Frozen):
    """The ROI of a system on one measure; each ratio has the bounds that follow from the gain's interval.

    `break_even` is the number of queries after which the gains have paid the one-time cost; None if they never do, or
    if the suite has no price of a right answer. `front`: no other system dominates it. `beyond` is the verdict of a
    trained system against the best one without training.
    """

    system: str
    seed: int
    measure: str
    gain: float
    low: float | None = None
    high: float | None = None
    build_dollars: float = 0.0
    added_p95_ms: float | None = None
    added_dollars_per_1000: float | None = None
    per_dollar: float | None = None
    per_dollar_low: float | None = None
    per_dollar_high: float | None = None
    per_ms: float | None = None
    per_ms_low: float | None = None
    per_ms_high: float | None = None
    break_even: float | None = None
    break_even_low: float | None = None
    break_even_high: float | None = None
    beyond: Verdict | None = None
    front: bool = False
    dominated_by: tuple[str, ...] = ()
    reason: str = ""


class SliceGain(Frozen):
    """The gain of a system on the questions of one slice; its interval holds for all slices of the outcome together."""

    system: str
    seed: int
    measure: str
    field: str
    value: str
    baseline: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    n_queries: int = 0
    n_groups: int = 0
    verdict: Verdict
    reason: str = ""


class Forgotten(Frozen):
    """A tuned system on another dataset against the untuned pipeline there; the interval holds for all of these."""

    dataset: str
    split: str
    system: str
    seed: int
    measure: str
    untuned: float | None
    tuned: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    n_queries: int = 0
    n_groups: int = 0
    verdict: Verdict
    reason: str = ""
