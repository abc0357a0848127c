"""What is damaged in a store is moved out of the way and kept, with a note of what was expected and found.

Must not know when to look for damage.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path

from harness.files import write_atomically
from harness.manifests import Damage
from harness.provenance import now

QUARANTINE = "quarantine"
"""The folder in a store; what it holds is never used."""
DAMAGE_FILE = "damage.json"
ADDED = "added"
"""Where files are that were added to an artifact, whose own files are right."""


def put_away(root: Path, place: Path, damage: Damage, names: Sequence[str] = ()) -> Path:
    """Move an artifact at `place`, or only some of its files, into the quarantine of the store at `root`.

    Return where it is now.
    """
    kept = root / QUARANTINE / f"{place.name}.{uuid.uuid4().hex[:8]}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    if not names:
        place.rename(kept)
    for name in names:
        (kept / ADDED / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).rename(kept / ADDED / name)
    expected, found = damage.expected, damage.found
    note = {"key": place.name, "found_at": now(), "file": damage.file, "expected": expected, "found": found}
    write_atomically(kept / DAMAGE_FILE, json.dumps(note, indent=1))
    return kept
