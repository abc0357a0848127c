"""Invented boards of a leaderboard."""

from __future__ import annotations

from typing import Any

from harness.values.boards import Board, Past, Placed


def placed(label: str, place: int, best: int, worst: int, **changes: Any) -> Placed:
    return Placed(label=label, role="candidate", mean=1 / place, place=place, best=best, worst=worst, **changes)


def a_board(**changes: Any) -> Board:
    """Three systems; the first has another recipe since its last outcome, the last has no history."""
    past = [Past(created=f"2026-11-{day:02}T10:00:00Z", mean=0.5 + day / 100, identity="old") for day in (1, 2)]
    now = Past(created="2026-11-03T10:00:00Z", mean=0.54, identity="new")
    bounds: Any = {"gain": 0.041, "low": 0.012, "high": 0.07, "verdict": "improved"}
    rows = (
        placed("first", 1, 1, 2, history=(*past, now), build_dollars=0.012, build_seconds=75.0, **bounds),
        placed("untuned", 2, 1, 3, history=(now.model_copy(update={"mean": 0.4}),)),
        placed("last", 3, 2, 3),
    )
    values: dict[str, Any] = {
        "suite": "toy", "title": "Does it pay?", "split": "test", "measure": "ndcg@10", "margin": 0.01, "queries": 80,
        "groups": 40, "created": "2026-11-03T10:00:00Z", "commit": "0123456789abcdef", "machine": "a machine",
        "rows": rows,
    }  # fmt: skip
    return Board(**values | changes)
