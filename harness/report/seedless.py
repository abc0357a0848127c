"""Names of systems as people read them: where all that is trained has one seed, it is left out of every name.

A report says such a seed once, where it says what was run. JSON, JUnit and the names of files keep it in every name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from harness.statistics.verdicts import Gating
from harness.values.boards import Board
from harness.values.findings import Outcome, SystemInfo
from harness.values.frozen import Frozen
from harness.values.suite_results import SuiteResults

Value = TypeVar("Value", bound=Frozen)
NAMED = re.compile(r" \(seed (\d+)\)")
"""How the seed follows the name of a system that is trained."""
AS_WRITTEN = ("spec", "provenance")
"""Fields of an outcome that are shown as they were written."""


class Labelled(Protocol):
    """A system of an outcome or of a plan."""

    @property
    def name(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def tunes(self) -> Sequence[str]: ...
    @property
    def label(self) -> str: ...


class _Seedless(SystemInfo):
    """A system whose label is its name."""

    @property
    def label(self) -> str:
        return self.name


def of_outcome(outcome: Outcome) -> Outcome:
    """Return an outcome without the one seed in its names and texts; one with several seeds as it is."""
    shown = _of_systems(outcome, outcome.systems)
    kept = {name: getattr(outcome, name) for name in AS_WRITTEN}
    return outcome if shown is outcome else shown.model_copy(update=kept)


def of_results(results: SuiteResults) -> SuiteResults:
    """Return the results of a suite without the one seed in its names; those with several seeds as they are."""
    return _of_systems(results, [system.info for system in results.systems])


def of_board(board: Board) -> Board:
    """Return a board without the one seed in its names; one with several seeds as it is."""
    if len(board.seeds) != 1:
        return board
    seed = f" (seed {board.seeds[0]})"
    rows = [row.model_copy(update={"label": row.label.removesuffix(seed)}) for row in board.rows]
    unranked = [label.removesuffix(seed) for label in board.unranked]
    return board.model_copy(update={"rows": tuple(rows), "unranked": tuple(unranked)})


def of_gating(found: Gating) -> Gating:
    """Return what gates found without the one seed in its names and texts; what is about several seeds as it is."""
    seeds = seeds_of(found)
    if len(seeds) != 1:
        return found
    names = {one.system for one in found.verdicts if one.label != one.system}
    return _without(found, names, seeds[0])


def seeds_of(found: Gating) -> tuple[int, ...]:
    """Return the seeds of the trained systems that gates judged."""
    return tuple(sorted({seed for one in found.verdicts if one.label != one.system for seed in one.seeds}))


def labels_shown(systems: Iterable[Labelled]) -> dict[str, str]:
    """Return how people read the label of each of these systems."""
    known = list(systems)
    several = len(trained_with(known)) > 1
    return {one.label: one.label if several else one.name for one in known}


def of_labels(labels: Iterable[str]) -> tuple[Callable[[str], str], tuple[int, ...]]:
    """Return what takes the one seed out of texts about systems of these labels, and all seeds that they have.

    Where there are several, or none, texts stay as they are.
    """
    seeds = tuple(sorted({int(seed) for label in labels for seed in NAMED.findall(label)}))
    told = f" (seed {seeds[0]})" if len(seeds) == 1 else ""
    return (lambda text: text.replace(told, "") if told else text), seeds


def seeds_told(seeds: Sequence[int]) -> str:
    """Return ``seed 0``, ``3 seeds``, or nothing where nothing is trained."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds" if seeds else ""


def trained_with(systems: Iterable[Labelled]) -> tuple[int, ...]:
    """Return the seeds of the systems that are trained."""
    return tuple(sorted({info.seed for info in systems if info.tunes}))


def _of_systems(value: Value, systems: Sequence[SystemInfo]) -> Value:
    seeds = trained_with(systems)
    return _without(value, {info.name for info in systems if info.tunes}, seeds[0]) if len(seeds) == 1 else value


def _without(value: Value, names: Iterable[str], seed: int) -> Value:
    """Return a value in which these names are nowhere followed by the seed."""
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    labelled = re.compile(rf"(?<![\w-])({longest_first})(?: \(seed {seed}\)|, seed {seed}(?!\d))")
    shown: Value = _mapped(value, lambda text: labelled.sub(r"\1", text) if "seed" in text else text)
    return shown


def _mapped(value: Any, write: Callable[[str], str]) -> Any:
    """Return a value with every text in it written anew; systems get their name as label."""
    if isinstance(value, str):
        return write(value)
    if isinstance(value, Frozen):
        fields = {name: _mapped(field, write) for name, field in value}
        return _Seedless.model_construct(**fields) if isinstance(value, SystemInfo) else value.model_copy(update=fields)
    if isinstance(value, tuple | list):
        return type(value)(_mapped(item, write) for item in value)
    if isinstance(value, dict):
        return {_mapped(key, write): _mapped(item, write) for key, item in value.items()}
    return value
