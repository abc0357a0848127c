"""What was done to training data is told once, with its count, however many trainings it was done in."""

from __future__ import annotations

from typing import Any

import pytest

from harness.remarks.training import RULES, training_remarks
from harness.training.batches import KNOWN_MASKED, NO_NEGATIVE, ROWS
from harness.values.findings import LedgerRow


def row(label: str, **notes: Any) -> LedgerRow:
    return LedgerRow(key=label, stage="s", label=label, seconds=1.0, device="cpu", peak_memory_mb=1.0, notes=notes)


def test_nothing_done_is_nothing_told() -> None:
    assert training_remarks([]) == []
    assert training_remarks([row("tune", **{KNOWN_MASKED: 0, ROWS: 40, "checkpoint": "step 4"})]) == []


def test_one_sentence_counts_all_trainings() -> None:
    notes = {KNOWN_MASKED: 1200, NO_NEGATIVE: 5, ROWS: 100}
    told = training_remarks([row("tune a", **notes), row("tune b", **notes), row("tune c", **{ROWS: 7})])
    assert len(told) == 2
    assert told[0].startswith("2,400 times in training")
    assert "2 stage calls, the first: tune a" in told[0]
    assert told[1].startswith("10 of 200 training rows had no negative")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.note)
def test_every_rule_is_a_whole_sentence_with_its_count(rule: Any) -> None:
    (told,) = training_remarks([row("tune a", **{rule.note: 7, **({rule.whole: 9} if rule.whole else {})})])
    assert "7" in told
    assert ("9" in told) == bool(rule.whole)
    assert "tune a" in told
    assert told.endswith(".")
    assert "{" not in told
