"""A gate on drift: whether a served model still scores as the same model here."""

from __future__ import annotations

from typing import Any

import outcomes
import pocket
import pytest

from harness.errors import ConfigError
from harness.gates.drift import judge_drift
from harness.gates.gate import evaluate
from harness.report.content.gates import heading, sentence, table
from harness.suite.bounds import Drift, Gate
from harness.values.findings import SystemInfo
from harness.values.measures import parse
from harness.values.records import ScoreTable

GROUPS = {f"q{number}": f"q{number}" for number in range(20)}
HERE: dict[str, float | None] = dict.fromkeys(GROUPS, 0.5)
NDCG = parse("ndcg@10")


def row(name: str) -> SystemInfo:
    return outcomes.system("retriever").model_copy(update={"name": name})


def gating(served: dict[str, float | None], tolerance: float = 0.005, **more: Any) -> Any:
    """The verdicts of a gate on an outcome with the rows `tuned` and `tuned-served`."""
    columns = {"tuned": HERE, "tuned-served": served}
    tables = {(name, 0): ScoreTable({"ndcg@10": column}, GROUPS) for name, column in columns.items()}
    systems = [row("tuned"), row("tuned-served")]
    outcome = outcomes.normal(systems=tuple(systems), **more)
    gates = [
        Gate(measure=NDCG, margin=0.02),
        Gate(served=Drift(candidate="tuned-served", of="tuned", tolerance=tolerance)),
    ]
    return evaluate(gates, outcome, tables, None)


def changed(**values: float | None) -> dict[str, float | None]:
    return HERE | values


@pytest.mark.parametrize(
    ("served", "tolerance", "verdict", "code"),
    [
        (HERE, 0.0, "within bound", 0),
        (changed(q1=0.58), 0.005, "within bound", 0),
        (changed(q1=0.38), 0.005, "over bound", 1),
        (changed(q1=0.62), 0.005, "over bound", 1),
        (changed(q1=None), 0.005, "failed", 3),
        (dict.fromkeys(list(GROUPS)[1:], 0.5), 0.005, "not comparable", 4),
        ({}, 0.005, "missing", 3),
    ],
)  # fmt: skip
def test_the_means_differ_by_more_than_the_tolerance_or_not(
    served: dict[str, float | None], tolerance: float, verdict: str, code: int
) -> None:
    found = gating(served, tolerance)
    (drift,) = [one for one in found.verdicts if one.gate == "drift from tuned"]
    assert (drift.system, drift.verdict) == ("tuned-served", verdict)
    assert found.exit_code == code


def test_the_verdict_is_a_sentence_and_a_row() -> None:
    found = gating(changed(q1=0.38))
    (drift,) = [one for one in found.verdicts if one.gate == "drift from tuned"]
    assert sentence(drift) == (
        "tuned-served, drift from tuned: -0.006 (20 queries) is over bound 0.0050; ndcg@10 -0.006, 1 query with "
        "another score."
    )
    assert heading(found).endswith(" failed: tuned-served (drift from tuned: over bound).")
    assert "Drift: the mean of the served row minus that of the row here, and the tolerance." in table(found).caption


def test_a_row_that_is_not_there_fails() -> None:
    tables = {("tuned", 0): ScoreTable({"ndcg@10": HERE}, GROUPS)}
    outcome = outcomes.normal(systems=(row("tuned"),))
    gate = Gate(served=Drift(candidate="tuned-served", of="tuned"))
    found = judge_drift(gate, outcome, tables, [NDCG])
    assert (found.verdict, found.reason) == ("missing", "tuned-served is not in the outcome; run the suite again")
    assert found.fails
    assert not judge_drift(gate.model_copy(update={"advisory": True}), outcome, tables, [NDCG]).fails


@pytest.mark.parametrize(
    ("gates", "sentence"),
    [
        ([{"served": {"candidate": "judgd", "of": "written"}}], "there is no row 'judgd'; did you mean 'judged'"),
        ([{"served": {"candidate": "judged", "of": "judged"}}], "is the served row itself; name the row with the same"),
        ([{"served": {"candidate": "judged", "of": "written"}}], "no measure is gated, so none is compared; gate one"),
        (
            [{"served": {"candidate": "judged", "of": "written", "measures": ["mrr@10"]}}],
            "mrr@10 is not measured; leave it out, or add it to 'measures'",
        ),
        (
            [{"served": {"candidate": "judged", "of": "written"}, "probe": "p95_ms", "ceiling": 1.0}],
            "give one of 'measure' with 'margin', 'probe' with 'relative' or 'ceiling', and 'served'",
        ),
        (
            [{"served": {"candidate": "judged", "of": "written", "measures": ["ndcg@10"]}}] * 2,
            "it has two gates; keep one",
        ),
    ],
)  # fmt: skip
def test_what_a_gate_may_not_say(gates: list[Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        pocket.suite({"gates": gates})
    assert sentence in "\n".join(map(str, caught.value.problems))
