"""The page of Python: what `harness` itself offers, and the public functions of the modules that users call."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from markup import GENERATED, page, prose, summary

import harness

MODULES = (
    "harness.experiments.benchmark",
    "harness.experiments.diagnose",
    "harness.experiments.curve",
    "harness.experiments.forgetting",
    "harness.experiments.calibrate",
    "harness.experiments.leaderboard",
    "harness.gates.commands",
    "harness.gates.ranking",
    "harness.results.outcomes",
    "harness.suite.files",
    "harness.data.datasets",
    "harness.data.imports",
    "harness.llm.scripted",
)
WIDTH = 100


class _Written:
    """An annotation as it is written in the source."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def offered(module: ModuleType) -> dict[str, Any]:
    """Return what a module offers by name: its ``__all__``, else what is defined in it without an underscore."""
    if names := getattr(module, "__all__", None):
        return {name: getattr(module, name) for name in names}
    found = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    }
    return dict(sorted(found.items(), key=lambda item: _line(item[1])))


def _line(value: Any) -> int:
    try:
        return inspect.getsourcelines(value)[1]
    except (OSError, TypeError):
        return 0


def signature(name: str, value: Any) -> str:
    """Return how a function or a class is called, with the annotations of the source; over several lines if long."""
    try:
        found = inspect.signature(value)
    except (ValueError, TypeError):
        return name
    parameters = [
        one.replace(annotation=_Written(one.annotation)) if isinstance(one.annotation, str) else one
        for one in found.parameters.values()
    ]
    returned = found.return_annotation
    if inspect.isclass(value):
        returned = inspect.Signature.empty
    elif isinstance(returned, str):
        returned = _Written(returned)
    whole = f"{name}{found.replace(parameters=parameters, return_annotation=returned)}"
    if len(whole) <= WIDTH:
        return whole
    inside, arrow = [str(one) for one in parameters], whole.rpartition(") -> ")
    stars = next((place for place, one in enumerate(parameters) if one.kind is one.KEYWORD_ONLY), None)
    if stars is not None and not any(one.kind is one.VAR_POSITIONAL for one in parameters):
        inside.insert(stars, "*")
    end = f" -> {arrow[2]}" if arrow[1] else ""
    return "\n".join([f"{name}(", *(f"    {one}," for one in inside), f"){end}"])


def _one(module: str, name: str, value: Any) -> Iterator[str]:
    yield f"### {module}.{name}"
    if callable(value):
        yield f"```python\n{signature(name, value)}\n```"
    yield prose(inspect.getdoc(value) if callable(value) else None)


def python_page() -> str:
    """Return the page: first `harness` itself if it offers something, then module by module."""
    parts: list[str] = []
    if getattr(harness, "__all__", None):
        parts.append("## harness")
        for name, value in offered(harness).items():
            parts += _one("harness", name, value)
    for path in MODULES:
        module = import_module(path)
        parts += [f"## {path}", prose(module.__doc__)]
        for name, value in offered(module).items():
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
        for path in MODULES
        for name, value in offered(import_module(path)).items()
    }
