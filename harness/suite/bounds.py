"""Bounds for verdicts and advice: a suite's `gates`, `limits`, `prices` and `diagnose`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.suite.fields import Above0, MeasureField, Name, Positive, Spec, Unique

Probed = Literal["p50_ms", "p95_ms", "cost_per_1000"]
"""What the probe gives: two quantiles of the time for one query, and the dollars for 1,000."""
OnInconclusive = Literal["pass", "fail"]


class Drift(Spec):
    """How far the scores of the row `candidate` may be from those of the row `of`, which has the same model here.

    `tolerance` bounds the absolute difference of the means of every gated measure, or of `measures` if they are given.
    """

    candidate: Name
    of: Name
    tolerance: Annotated[float, Field(ge=0)] = 0.005
    measures: Annotated[tuple[MeasureField, ...], Unique] = ()


LATENCIES = ("p50_ms", "p95_ms")


class Gate(Spec):
    """A bound on a measure, on a figure of the probe, or on the drift of a `served` model.

    A measure has a `margin`: the absolute difference to the accepted scores that nobody would care about. A probe has
    either a `relative` bound, 0.25 for a quarter more than accepted, or an absolute `ceiling`, in milliseconds or in
    dollars. An `advisory` gate is shown and never fails; `on_inconclusive` is the suite's if not given.
    """

    measure: MeasureField | None = None
    margin: Annotated[float, Field(ge=0)] | None = None
    probe: Probed | None = None
    served: Drift | None = None
    relative: Annotated[float, Field(ge=0)] | None = None
    ceiling: Above0 | None = None
    advisory: bool = False
    on_inconclusive: OnInconclusive | None = None

    @model_validator(mode="after")
    def _one(self) -> Gate:
        if [self.measure, self.probe, self.served].count(None) != 2:
            raise ValueError("give one of 'measure' with 'margin', 'probe' with 'relative' or 'ceiling', and 'served'")
        bounded = self.relative is not None or self.ceiling is not None
        if (self.measure is None) != (self.margin is None) or (self.probe is None) == bounded:
            raise ValueError("a gate on a measure needs 'margin'; on a probe, 'relative' or 'ceiling'")
        if self.relative is not None and self.ceiling is not None:
            raise ValueError("a probe has either 'relative' or 'ceiling'; write two gates")
        if self.measure is None and self.probe not in LATENCIES and self.on_inconclusive is not None:
            raise ValueError("'on_inconclusive' is for measures and latencies: a cost or a drift is never inconclusive")
        return self

    @property
    def bounds(self) -> tuple[str, ...]:
        """What is bounded and how; no two gates of a suite may be equal in it."""
        if self.served is not None:
            return "served", self.served.candidate, self.served.of
        return (str(self.measure),) if self.measure else (str(self.probe), "relative" if self.ceiling is None else "")

    @property
    def name(self) -> str:
        """``ndcg@10``, ``p95_ms``, ``p95_ms ceiling``, or ``drift from tuned``."""
        if self.served is not None:
            return f"drift from {self.served.of}"
        if self.measure is not None:
            return str(self.measure)
        return f"{self.probe} ceiling" if self.ceiling is not None else str(self.probe)


class Limits(Spec):
    """What a user can afford: `max_p95_ms` for one query from end to end, `max_build_usd` once for a candidate."""

    max_p95_ms: Above0 | None = None
    max_build_usd: Above0 | None = None


class Prices(Spec):
    """Dollars an hour of a machine with and without a GPU, and what one right answer is worth to the owner.

    `right_answer` prices one unit of `utility`: a right answer in the place of none. In the place of a wrong one it is
    worth as much more as the suite's `wrong_cost` says.
    """

    gpu_hour: Annotated[float, Field(ge=0)] = 2.5
    cpu_hour: Annotated[float, Field(ge=0)] = 0.05
    right_answer: Above0 | None = None


class Diagnose(Spec):
    """Settings of `harness diagnose`: `generation_queries` answers for each number of passages in `contexts`.

    The report names `examples` queries for each place in the funnel. Training-free candidates are measured as long
    as they take at most `candidate_minutes` together, the cheapest first.
    """

    generation_queries: Positive = 100
    contexts: Annotated[tuple[Positive, ...], Unique, Field(min_length=1)] = (1, 3, 5)
    examples: Positive = 3
    candidate_minutes: Annotated[float, Field(ge=0)] = 10.0
