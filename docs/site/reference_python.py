"""The page of Python: what `harness` itself offers, and the public functions of the modules that users call."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ForwardRef

from markup import GENERATED, page, prose, summary

import harness

MODULES: dict[str, tuple[str, ...]] = {
    "harness.experiments.benchmark": ("run", "Finished"),
    "harness.experiments.diagnose": ("diagnose", "Diagnosed"),
    "harness.experiments.curve": ("curve", "CurveResult"),
    "harness.experiments.calibrate": ("judge", "JudgeCalibration"),
    "harness.experiments.leaderboard": ("stored_boards", "baseline_boards"),
    "harness.gates.commands": ("accept", "gate", "compare", "score", "Acceptance"),
    "harness.gates.ranking": ("rank_files", "RankedFiles"),
    "harness.results.outcomes": ("read",),
    "harness.suite.files": ("load_suite", "parse_suite"),
    "harness.data.datasets": ("load_dataset", "Dataset", "Split"),
    "harness.data.imports": (),
    "harness.llm.scripted": ("ScriptedChat",),
}
"""What users call, by module; of a module without names, all that it offers."""
WIDTH = 100


class _Written:
    """An annotation as it is written in the source."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def offered(module: ModuleType, names: Iterable[str] = ()) -> dict[str, Any]:
    """Return functions and classes of a module by name: these, or all that the module says are public."""
    wanted = names or getattr(module, "__all__", None) or getattr(module, "PUBLIC", ())
    found = {name: getattr(module, name) for name in wanted}
    return {name: value for name, value in found.items() if inspect.isfunction(value) or inspect.isclass(value)}


def signature(name: str, value: Any) -> str:
    """Return how a function or a class is called, with the annotations of the source; over several lines if long."""
    try:
        found = inspect.signature(value)
    except (ValueError, TypeError):
        return name
    parameters = [_as_written(one) for one in found.parameters.values()]
    returned = inspect.Signature.empty if inspect.isclass(value) else _annotation(found.return_annotation)
    whole = f"{name}{found.replace(parameters=parameters, return_annotation=returned)}"
    if len(whole) <= WIDTH:
        return whole
    inside, arrow = [str(one) for one in parameters], whole.rpartition(") -> ")
    stars = next((place for place, one in enumerate(parameters) if one.kind is one.KEYWORD_ONLY), None)
    if stars is not None and not any(one.kind is one.VAR_POSITIONAL for one in parameters):
        inside.insert(stars, "*")
    end = f" -> {arrow[2]}" if arrow[1] else ""
    return "\n".join([f"{name}(", *(f"    {one}," for one in inside), f"){end}"])


def _as_written(parameter: inspect.Parameter) -> inspect.Parameter:
    default = parameter.default
    if isinstance(default, Path):
        default = _Written(f"Path({str(default)!r})")
    return parameter.replace(annotation=_annotation(parameter.annotation), default=default)


def _annotation(value: Any) -> Any:
    """An annotation without the quotation marks that a text or a forward reference would have."""
    text = value.__forward_arg__ if isinstance(value, ForwardRef) else value
    return _Written(text) if isinstance(text, str) else value


def _one(module: str, name: str, value: Any) -> Iterator[str]:
    yield f"### {module}.{name}"
    yield f"```python\n{signature(name, value)}\n```"
    yield prose(inspect.getdoc(value))


def python_page() -> str:
    """Return the page: first `harness` itself if it offers something, then module by module."""
    parts: list[str] = []
    if own := offered(harness):
        parts.append("## harness")
        for name, value in own.items():
            parts += _one("harness", name, value)
    for path, names in MODULES.items():
        module = import_module(path)
        parts += [f"## {path}", prose(module.__doc__)]
        for name, value in offered(module, names).items():
            parts += _one(path.rpartition(".")[2], name, value)
    lead = (
        "What you can call from Python, with the types and the docstrings of the source. Heavy libraries are imported "
        f"when a function needs them, so importing is cheap. {GENERATED}"
    )
    return page("Python", lead, *parts)


def described() -> dict[str, str]:
    """Return the summary of everything on the page by its dotted name."""
    return {
        f"{path}.{name}": summary(inspect.getdoc(value))
        for path, names in MODULES.items()
        for name, value in offered(import_module(path), names).items()
    }
