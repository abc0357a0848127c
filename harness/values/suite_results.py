"""What paid in a suite, as accepted: frozen values that compute nothing but what follows from their verdicts."""

from __future__ import annotations

from pydantic import Field

from harness.values.findings import Comparison, DatasetInfo, SystemInfo
from harness.values.frozen import Frozen


class SystemResult(Frozen):
    """A system that could be served, with what it gained, by measure: over `untuned`, `bm25`, the best untrained.

    `means` has the measures without a failed score. `p95_ms` is the latency of the whole, `retrieval_p95_ms` that of
    retrieval; `added` ones are the differences to `untuned`.
    """

    info: SystemInfo
    means: dict[str, float] = Field(default_factory=dict)
    gains: dict[str, Comparison] = Field(default_factory=dict)
    over_bm25: dict[str, Comparison] = Field(default_factory=dict)
    over_untrained: dict[str, Comparison] = Field(default_factory=dict)
    retrieval_p95_ms: float | None = None
    p95_ms: float | None = None
    added_retrieval_p95_ms: float | None = None
    added_p95_ms: float | None = None

    @property
    def paid(self) -> bool:
        """Whether it improved on a measure, and neither lost nor failed on another."""
        verdicts = {gain.verdict for gain in self.gains.values()}
        return "improved" in verdicts and not verdicts & {"regressed", "failed"} and not self.info.failed


class BestSystems(Frozen):
    """The best systems on one measure, by label; empty where none is known.

    `untrained` was chosen on dev when the suite was run. `trained` has the highest mean on the split `chosen_on`.
    """

    measure: str
    queries: int = 0
    groups: int = 0
    untrained: str = ""
    trained: str = ""
    chosen_on: str = ""


class SuiteResults(Frozen):
    """The accepted results of a suite; `best` has a row for each measure that was gated, retrieval first."""

    suite: str
    split: str
    created: str
    commit: str = ""
    dirty: bool = False
    machine: str = ""
    dataset: DatasetInfo
    best: tuple[BestSystems, ...] = ()
    systems: tuple[SystemResult, ...] = ()

    def system(self, label: str) -> SystemResult | None:
        """The system with this label; None if there is none."""
        return next((row for row in self.systems if row.info.label == label), None)

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures that were gated, retrieval first."""
        return tuple(row.measure for row in self.best)
