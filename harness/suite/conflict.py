"""What a conflict between settings of a suite is."""

from __future__ import annotations

from typing import NamedTuple

from harness.suite.renamed import KeyPath


class Conflict(NamedTuple):
    """A conflict: the key it is reported at, what it is, what to do, and the other keys it was read from."""

    at: KeyPath
    what: str
    hint: str
    read: tuple[KeyPath, ...] = ()
