"""Effects of factors, and gains of recipes over their seeds. Frozen values that compute nothing."""

from __future__ import annotations

from typing import Literal

from harness.values.frozen import Frozen, Verdict

Finding = Literal[
    "adds", "takes away", "too small to matter", "changes nothing",  # of one part
    "absorb", "reinforce", "add up",  # of two
    "could not tell", "not computed",
]  # fmt: skip


class Estimated(Frozen):
    """A difference with its simultaneous interval and its adjusted p value; None if they were not computed."""

    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    margin: float = 0.0
    n_queries: int = 0
    n_groups: int = 0
    failed: int = 0
    reason: str = ""


class Effect(Estimated):
    """The effect of factors in a factorial, averaged over all levels of the factors that are not named.

    `parts` are factors and `levels` theirs, against the first level of each (the reference); without `levels`, the
    parts are tuned. ``main``: one factor; ``simple``: one factor, with those in `given` at `given_levels` and those in
    `without` at their reference; ``interaction``: the gain of two levels together beyond the sum of their gains.
    `absorbed` is the share of the gain without the other factor that is lost once it is at its level. Exploratory: no
    gate rests on an effect.
    """

    kind: Literal["main", "interaction", "simple"]
    parts: tuple[str, ...]
    levels: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    given_levels: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    measure: str
    finding: Finding = "not computed"
    absorbed: float | None = None


class RecipeClaim(Estimated):
    """The gain of a recipe, from several seeds; without a verdict if there are too few.

    `gains` has the mean gain of each of `seeds`, `between_seeds` their standard deviation. The interval includes the
    variance between queries and between trainings; it holds for all claims of the outcome together, as `p_value` does.
    """

    system: str
    measure: str
    seeds: tuple[int, ...]
    gains: tuple[float, ...] = ()
    between_seeds: float | None = None
    detectable: float | None = None
    verdict: Verdict | None = None
