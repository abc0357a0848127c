"""How often a split of some data was looked at for a suite, from what earlier outcomes, diagnoses and curves left.

Each outcome leaves a small file beside it for that, so that a run does not read all that ran before it whole.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from harness.data import formats
from harness.values.findings import Outcome

LOOK_FILE = "look.json"
OUTCOME_FILE = "outcome.json"


class Look(NamedTuple):
    """What was looked at, and which systems were: equal looks count once."""

    split: str
    queries: str | None
    systems: frozenset[str]


def count(root: Path, base: Path, outcome: Outcome) -> int:
    """How often this split of this data was scored for the suite: once for every other set of systems, and now.

    Every diagnosis and every curve that asked it counts too. What cannot be read counts for nothing.
    """
    now = _of(outcome)
    evaluations: set[object] = {now}
    for place in sorted(base.glob("*")):
        look = _earlier(place) if place.is_dir() and not place.is_symlink() else None
        if look is not None and look[:2] == now[:2]:
            evaluations.add(look)
    curves = f"curves/{outcome.suite}/*/*"
    # Earlier versions wrote `growth.json`.
    for pattern in (f"diagnoses/{outcome.suite}/*/diagnosis.json", f"{curves}/curve.json", f"{curves}/growth.json"):
        evaluations |= {
            path for path in root.glob(pattern) if not path.parent.is_symlink() and _split(path) == outcome.split
        }
    return len(evaluations)


def note(folder: Path, outcome: Outcome) -> None:
    """Leave in an outcome's folder what `count` asks of it; without it, the outcome itself is read."""
    look = _of(outcome)
    with contextlib.suppress(OSError):
        value = {"split": look.split, "queries": look.queries, "systems": sorted(look.systems)}
        formats.write_atomically(folder / LOOK_FILE, json.dumps(value))


def _of(outcome: Outcome) -> Look:
    queries = outcome.dataset.digests.get(f"{outcome.split}.queries")
    return Look(outcome.split, queries, frozenset(system.identity for system in outcome.systems))


def _earlier(folder: Path) -> Look | None:
    """What an outcome looked at, of whatever version it is; None if that cannot be read."""
    if not (folder / OUTCOME_FILE).is_file():
        return None
    value = _object(folder / LOOK_FILE)
    look = _checked(value.get("split"), value.get("queries"), value.get("systems"))
    if look is not None:
        return look
    value = _object(folder / OUTCOME_FILE)
    dataset, systems, split = value.get("dataset"), value.get("systems"), value.get("split")
    digests = dataset.get("digests") if isinstance(dataset, dict) else None
    names = [one.get("identity") for one in systems if isinstance(one, dict)] if isinstance(systems, list) else None
    return _checked(split, (digests if isinstance(digests, dict) else {}).get(f"{split}.queries"), names)


def _checked(split: Any, queries: Any, systems: Any) -> Look | None:
    known = isinstance(systems, list) and all(isinstance(name, str) for name in systems)
    if not isinstance(split, str) or not isinstance(queries, str | None) or not known:
        return None
    return Look(split, queries, frozenset(systems))


def _split(path: Path) -> str | None:
    """The split that a diagnosis or a curve asked; None if the file cannot be read."""
    split = _object(path).get("split")
    return split if isinstance(split, str) else None


def _object(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one where the file holds none that can be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
