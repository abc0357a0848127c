"""How a gain is told further: by what it cost, by slice, on another data set. Frozen values that compute nothing."""

from __future__ import annotations

from harness.values.frozen import Frozen, Verdict


class Roi(Frozen):
    """What a system's gain in one measure costs; each ratio with the bounds that the gain's interval gives it.

    `break_even` is the number of queries after which the gains have paid the one-time cost; None where it never comes,
    or where the suite does not say what a gain is worth. `front`: no other system gains as much for less.
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
    """A tuned system on another data set against the untuned pipeline there; the interval holds for all of these."""

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
