"""Whether a plan answers enough queries to show a gain in utility, said before anything is run.

After a run, every verdict has the minimum detectable effect that its own scores give.
"""

from __future__ import annotations

import math

from harness.planning.graph import Plan
from harness.statistics.comparisons import ALPHA
from harness.statistics.intervals import expected_detectable
from harness.values.measures import Measure
from harness.values.systems import BOUNDS, UNTUNED

UTILITY = Measure("utility")
CHANGED = 1 / 6
"""Share of answers that turn from wrong to right, or back, between two systems: an assumption."""
WANTED = 0.3
"""A minimum detectable effect of utility above which there is a remark: good tuning gains about as much."""


def before(plan: Plan) -> list[str]:
    """Return a sentence if utility is gated and too few queries are answered; the same assumption holds for all."""
    suite, asked = plan.suite, len(plan.sample)
    others = sum(system.name not in (UNTUNED, *BOUNDS) for system in plan.systems)
    if UTILITY not in suite.margins or not asked or not others:
        return []
    deviation = math.sqrt(CHANGED) * (1 + suite.utility.wrong_cost)
    comparisons = others * len(suite.margins)
    effect = expected_detectable(deviation, asked, comparisons, ALPHA)
    if effect <= WANTED:
        return []
    enough = math.ceil(asked * (effect / WANTED) ** 2)
    more = "add queries with reference answers"
    if suite.evaluate.generation_queries == asked:
        more = "raise evaluate.generation_queries"
    return [
        f"With {asked} answers a system, the minimum detectable effect of utility is at best about {effect:.2f}, if "
        f"one answer in six turns from wrong to right or back. For {WANTED:g}, answer about {enough} queries: {more}, "
        "or name fewer candidates."
    ]
