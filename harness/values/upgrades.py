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
    "ideal": "oracle",
}
"""Field names of `outcome-2`, `diagnosis-1` and `accepted-2`, and what they are called since."""
RENAMED_VALUES: Mapping[str, Mapping[str, str]] = {
    "role": {"reference": "baseline"},
    "oracle": {f"ideal-{part}": f"oracle-{part}" for part in ("retriever", "reranker", "generator")},
    "rule": {"generator-served": "generator-remote"},
    "name": {"shattered": "high_fertility"},
}
"""Values of fields that are names, by the field's name of today."""
RENAMED_FACTS: Mapping[str, str] = {
    "room.": "oracle_gain.",
    "detectable": "mde",
    "answers.unproven": "answers.uncalibrated",
    "sign.shattered": "sign.high_fertility",
    "generator.served": "generator.remote",
}
"""How names of facts began in `diagnosis-1`, and how they begin since."""
OWN_NAMES = frozenset(
    {"spec", "provenance", "settings", "source", "facts", "queries", "digests", "identities", "missing_lists"}
    | {"queries_without_run", "reasons", "notes", "basis", "margins", "measured", "not_run", "means", "on_dev"}
)
"""Fields whose keys are names of users, measures, stages or packages: nothing below them is renamed."""


def upgraded(value: Any) -> Any:
    """Return a value read from JSON with today's field names; a value that has them already is returned equal."""
    if isinstance(value, list):
        return [upgraded(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {RENAMED.get(key, key): _upgraded_item(key, item) for key, item in value.items()}
    for key, names in RENAMED_VALUES.items():
        # Only signs have a name of ours; a system may be called anything.
        if isinstance(name := renamed.get(key), str) and (key != "name" or "worrying" in renamed):
            renamed[key] = names.get(name, name)
    if renamed.get("schema_version") == "harness/diagnosis-1":  # within an outcome
        renamed["schema_version"] = "harness/diagnosis-2"
    return renamed


def _upgraded_item(key: str, item: Any) -> Any:
    if key == "facts" and isinstance(item, dict):
        return {_fact_name(name): value for name, value in item.items()}
    return item if key in OWN_NAMES else upgraded(item)


def _fact_name(name: str) -> str:
    old = next((start for start in RENAMED_FACTS if name.startswith(start)), "")
    return RENAMED_FACTS.get(old, "") + name.removeprefix(old)
