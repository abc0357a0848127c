"""Rename the fields of values that earlier versions wrote. No number changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED: Mapping[str, str] = {
    "said": "conclusion",
    "make_seconds": "build_seconds",
    "make_dollars": "build_dollars",
    "same_as": "same_run_as",
    "missing_lists": "queries_without_run",
    "returns": "roi",
    "headroom": "oracle_gains",
    "quote": "estimate",
    "quotes": "estimates",
    "quoted_seconds": "estimated_seconds",
    "quoted_dollars": "estimated_dollars",
}
"""Field names of `outcome-2`, `diagnosis-1` and `accepted-2`, and what they are called since."""
OWN_NAMES = frozenset({"spec", "provenance", "settings", "source", "facts", "queries", "digests", "identities"})
"""Fields whose keys are names of users, measures or packages: nothing below them is renamed."""


def upgraded(value: Any) -> Any:
    """Return a value read from JSON with today's field names; a value that has them already is returned equal."""
    if isinstance(value, list):
        return [upgraded(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {RENAMED.get(key, key): item if key in OWN_NAMES else upgraded(item) for key, item in value.items()}
    if renamed.get("role") == "reference":
        renamed["role"] = "baseline"
    if renamed.get("schema_version") == "harness/diagnosis-1":  # within an outcome
        renamed["schema_version"] = "harness/diagnosis-2"
    return renamed
