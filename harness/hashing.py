"""Digests of content, and canonical JSON.

One hash (SHA-256, cut to 32 hex digits in keys) and one canonical JSON, so that two processes write the same key for
the same value. This module must not know stages, stores or datasets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

KEY_LENGTH = 32


def canonical_json(value: Any) -> str:
    """Serialise with sorted keys and no spaces. NaN and infinities raise ValueError: they have no one form."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """Return the key of a JSON-serialisable value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:KEY_LENGTH]


def digest_file(path: Path) -> str:
    """Return the full SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def by_hash(ids: Iterable[str]) -> list[str]:
    """Return the ids sorted by their digests: an arbitrary order that is the same on every machine."""
    return sorted(ids, key=lambda text: hashlib.sha256(text.encode()).digest())
