"""How often a split was evaluated for a suite, counted from earlier outcomes, diagnoses and curves.

Each outcome has a small file beside it for that, so that a run does not read all earlier outcomes whole.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from harness.files import write_atomically
from harness.values.findings import Outcome

EVALUATION_FILE = "look.json"
OUTCOME_FILE = "outcome.json"


class Evaluation(NamedTuple):
    """An evaluation: the split, its queries and the systems. Equal evaluations count once."""

    split: str
    queries: str | None
    systems: frozenset[str]


def count(root: Path, base: Path, outcome: Outcome) -> int:
    """Return how often this split of this data was evaluated for the suite, this outcome included.

    Each set of systems counts once, each diagnosis and each curve on the split too. Unreadable files are left out.
    """
    now = _of(outcome)
    evaluations: set[object] = {now}
    for place in sorted(base.glob("*")):
        evaluation = _earlier(place) if place.is_dir() and not place.is_symlink() else None
        if evaluation is not None and evaluation[:2] == now[:2]:
            evaluations.add(evaluation)
    curves = f"curves/{outcome.suite}/*/*"
    # Earlier versions wrote `growth.json`.
    for pattern in (f"diagnoses/{outcome.suite}/*/diagnosis.json", f"{curves}/curve.json", f"{curves}/growth.json"):
        evaluations |= {
            path for path in root.glob(pattern) if not path.parent.is_symlink() and _split(path) == outcome.split
        }
    return len(evaluations)


def note(folder: Path, outcome: Outcome) -> None:
    """Write the evaluation of an outcome beside it, for `count`; without this file, the outcome itself is read."""
    evaluation = _of(outcome)
    with contextlib.suppress(OSError):
        value = {"split": evaluation.split, "queries": evaluation.queries, "systems": sorted(evaluation.systems)}
        write_atomically(folder / EVALUATION_FILE, json.dumps(value))


def _of(outcome: Outcome) -> Evaluation:
    queries = outcome.dataset.digests.get(f"{outcome.split}.queries")
    return Evaluation(outcome.split, queries, frozenset(system.identity for system in outcome.systems))


def _earlier(folder: Path) -> Evaluation | None:
    """Return the evaluation of an earlier outcome, of any version; None if it cannot be read."""
    if not (folder / OUTCOME_FILE).is_file():
        return None
    value = _object(folder / EVALUATION_FILE)
    evaluation = _checked(value.get("split"), value.get("queries"), value.get("systems"))
    if evaluation is not None:
        return evaluation
    value = _object(folder / OUTCOME_FILE)
    dataset, systems, split = value.get("dataset"), value.get("systems"), value.get("split")
    digests = dataset.get("digests") if isinstance(dataset, dict) else None
    names = [one.get("identity") for one in systems if isinstance(one, dict)] if isinstance(systems, list) else None
    return _checked(split, (digests if isinstance(digests, dict) else {}).get(f"{split}.queries"), names)


def _checked(split: Any, queries: Any, systems: Any) -> Evaluation | None:
    known = isinstance(systems, list) and all(isinstance(name, str) for name in systems)
    if not isinstance(split, str) or not isinstance(queries, str | None) or not known:
        return None
    return Evaluation(split, queries, frozenset(systems))


def _split(path: Path) -> str | None:
    """Return the split of a diagnosis or a curve; None if the file cannot be read."""
    split = _object(path).get("split")
    return split if isinstance(split, str) else None


def _object(path: Path) -> dict[str, Any]:
    """Return a JSON object; an empty one if the file holds none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
