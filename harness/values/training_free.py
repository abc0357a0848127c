"""Training-free candidates as a diagnosis measures them: frozen values, without computation."""

from __future__ import annotations

from typing import Any, Literal

from harness.values.frozen import Frozen, Verdict


class SettingsGain(Frozen):
    """The gain of a training-free candidate over `untuned` on one measure, with a simultaneous interval.

    `mean` and `untuned` are over the same queries. `left` is what an oracle retriever would still gain in a rank
    measure after the change.
    """

    measure: str
    mean: float | None
    untuned: float | None
    margin: float = 0.0
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    n_queries: int = 0
    n_groups: int = 0
    detectable: float | None = None
    verdict: Verdict
    reason: str = ""
    left: float | None = None
    left_low: float | None = None
    left_high: float | None = None

    @property
    def is_sure(self) -> bool:
        """Whether the gain is significantly above the margin."""
        return self.low is not None and self.low > max(self.margin, 0.0)


class LostShare(Frozen):
    """A share of the judged queries with a 95 % interval by group."""

    share: float
    low: float
    high: float


class TrainingFree(Frozen):
    """A candidate that trains nothing, as measured: of the suite (`origin` ``suite``), or one that every suite has.

    `change` is its change of the pipeline as a mapping, `changes` the same as short texts. `weights` are those that
    were chosen on dev, by the setting that asks for them. `added_p95_ms` is the difference in the p95 latency of
    retrieval; `index_bytes` counts the indexes that serve it, `build_seconds` and `build_dollars` what they cost.
    `pool` and `context` are the shares of queries lost before the pool and between pool and context. `failed` says why
    it has no gains.
    """

    name: str
    origin: Literal["suite", "standard"]
    change: dict[str, Any]
    changes: tuple[str, ...]
    gains: tuple[SettingsGain, ...] = ()
    weights: dict[str, float] = {}
    added_p95_ms: float | None = None
    index_bytes: int | None = None
    build_seconds: float = 0.0
    build_dollars: float = 0.0
    pool: LostShare | None = None
    context: LostShare | None = None
    failed: str = ""

    def gain(self, measure: str | None) -> SettingsGain | None:
        """The gain on a measure; None if it was not measured on it."""
        return next((gain for gain in self.gains if gain.measure == measure), None)
