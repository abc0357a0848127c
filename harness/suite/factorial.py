"""The section `factorial`: factors with levels, and the candidates that their combinations are.

A level is a set of changes like a candidate: parts that are tuned, settings, or both. The first level of a factor is
what the pipeline has, so the combination of all first levels is the row `untuned`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from harness.suite.recipes import PARTS

TUNED = "tuned"
FIRST = ("untuned", "none", "as-is")
"""Names of a level that changes nothing."""
_RETRIEVERS: Mapping[str, dict[str, Any]] = {
    "dense": {"kind": "dense"},
    "late-interaction": {"kind": "late-interaction"},
    "bm25": {"kind": "bm25"},
    "hybrid": {"bm25_weight": "dev"},
}
_CHUNKS = re.compile(r"(?:(?P<by>tokens|sentences|headings)-)?(?P<tokens>[0-9]+)(?:-(?P<overlap>[0-9]+))?")
_RERANKERS: Mapping[str, dict[str, Any] | None] = {"late-interaction": {"kind": "late-interaction"}, "none": None}


class Level(NamedTuple):
    """A level of a factor, as the mapping of a candidate."""

    name: str
    change: Mapping[str, Any]


@dataclass(frozen=True)
class Design:
    """The systems of a factorial: its factors with the names of their levels, and the levels of each system.

    The first level of a factor is its reference. The row `untuned` has the reference of every factor.
    """

    factors: Mapping[str, tuple[str, ...]]
    systems: Mapping[str, Mapping[str, str]]


def factors_of(value: Any) -> Any:
    """Return the factors with each level as a mapping; what cannot be read is returned as it is, for pydantic to say.

    A list of parts stands for factors with the levels ``untuned`` and ``tuned``. A list of levels holds names that are
    known for a part or for `chunking`, or values of another key of the pipeline.
    """
    if isinstance(value, list | tuple):
        if any(part not in PARTS for part in value) or len({*value}) < len(value):
            raise ValueError(f"a list names parts, each once: {', '.join(PARTS)}; or write factors with their levels")
        return {part: {"untuned": {}, TUNED: {"tune": [part]}} for part in value}
    if not isinstance(value, Mapping):
        return value
    return {factor: _levels(str(factor), levels) for factor, levels in value.items()}


def _levels(factor: str, levels: Any) -> Any:
    if isinstance(levels, Mapping):
        return levels
    if not isinstance(levels, list | tuple):
        raise ValueError(f"factor {factor!r} needs a list of levels, such as [untuned, tuned], or a mapping of them")
    if len(levels) < 2:
        raise ValueError(f"factor {factor!r} needs two levels or more, the first as the pipeline has it")
    named: dict[str, Any] = {}
    for level in levels:
        name = str(level).lower() if isinstance(level, bool) else str(level)
        if name in named:
            raise ValueError(f"factor {factor!r} names the level {name!r} twice")
        named[name] = _change(factor, level, first=not named)
    return named


def _written_out(factor: str) -> str:
    return f"write other levels out instead of a list: {{first: {{}}, second: {{pipeline: {{{factor}: ...}}}}}}"


def _change(factor: str, level: Any, first: bool) -> dict[str, Any]:
    """The change that a short level stands for."""
    if level is None or (isinstance(level, str) and level in FIRST and first):
        return {}
    if level == TUNED and factor in PARTS:
        return {"tune": [factor]}
    known: Mapping[str, Any] = {"retriever": _RETRIEVERS, "reranker": _RERANKERS}.get(factor, {})
    if factor in PARTS:
        if not isinstance(level, str) or level not in known:
            names = ", ".join([*(FIRST[:2] if first else ()), TUNED, *known])
            raise ValueError(f"{level!r} is no level of {factor!r} by name ({names}); {_written_out(factor)}")
        return {"pipeline": {factor: known[level]}}
    if factor == "chunking":
        return {"pipeline": {factor: _chunking(level)}}
    return {"pipeline": {factor: level}}


def _chunking(level: Any) -> Any:
    """The section that a level such as ``128``, ``256-32`` (32 of them repeated) or ``headings-256`` stands for."""
    if level == FIRST[1]:
        return None
    match = _CHUNKS.fullmatch(str(level))
    if match is None or isinstance(level, bool):
        forms = "none, 256, 256-32 or headings-256"
        raise ValueError(f"{level!r} is no level of 'chunking' by name ({forms}); {_written_out('chunking')}")
    numbers = {name: int(value) for name in ("tokens", "overlap") if (value := match[name])}
    if 2 * numbers.get("overlap", 0) > numbers["tokens"]:
        least = f"{numbers['tokens']}-{numbers['tokens'] // 2}"
        what = f"the level {level!r} of 'chunking' repeats more than half of its {numbers['tokens']} tokens"
        raise ValueError(f"{what}; write {least} at most")
    return {"by": match["by"] or "tokens", **numbers}


def combinations_of(factors: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> tuple[dict[str, Any], Design]:
    """Return the changes of every combination but that of all first levels, by its name, and the design.

    A name joins the factors that are not at their first level: ``retriever`` where it is tuned,
    ``reranker-late-interaction`` for any other level.
    """
    names = {factor: tuple(levels) for factor, levels in factors.items()}
    changes, systems = dict[str, Any](), dict[str, dict[str, str]]()
    for chosen in sorted(product(*names.values()), key=lambda levels: _order(levels, names)):
        at = dict(zip(names, chosen, strict=True))
        other = [factor for factor, level in at.items() if level != names[factor][0]]
        if other:
            name = "-".join(factor if at[factor] == TUNED else f"{factor}-{at[factor]}" for factor in other)
            name = name.lower().replace("_", "-").replace(".", "-")
            changes[name] = _merged([factors[factor][at[factor]] for factor in other])
            systems[name] = at
    return changes, Design(names, systems)


def _order(levels: Sequence[str], names: Mapping[str, tuple[str, ...]]) -> tuple[Any, ...]:
    """Few changes come first, then the order of the factors, then that of their levels."""
    places = [known.index(level) for known, level in zip(names.values(), levels, strict=True)]
    changed = [number for number, place in enumerate(places) if place]
    return len(changed), changed, places


def _merged(changes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the changes as one: sections are merged at every depth, parts are tuned in the order of the pipeline."""
    whole: dict[str, Any] = {}
    for change in changes:
        whole = _deep(whole, change)
    if "tune" in whole:
        whole["tune"] = sorted(whole["tune"], key=PARTS.index)
    return whole


def _deep(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(one)
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(whole.get(key), Mapping):
            whole[key] = _deep(whole[key], value)
        elif key == "tune" and key in whole:
            whole[key] = [*whole[key], *value]
        else:
            whole[key] = value
    return whole
