"""What an advice adds to the suite, as YAML to paste: settings of the pipeline, or a candidate."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from harness.diagnosis.meanings import Facts
from harness.values.training_free import TrainingFree


def as_yaml(value: Mapping[str, Any]) -> str:
    """Return a mapping as YAML in the order of its keys; short sections stand on one line."""
    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=76, default_flow_style=None)


def of_settings(template: Mapping[str, Any], facts: Facts) -> str:
    """Return settings with the facts in braces as numbers; empty if one is not known."""
    try:
        return as_yaml(_filled(template, facts))
    except KeyError:
        return ""


def _filled(value: Any, facts: Facts) -> Any:
    if isinstance(value, Mapping):
        return {name: _filled(item, facts) for name, item in value.items()}
    if not isinstance(value, str) or not value.startswith("{"):
        return value
    number = facts.get(value[1:-1])
    if number is None:
        raise KeyError(value)
    return int(number) if number == int(number) else number


def of_training_free(candidate: TrainingFree) -> str:
    """Return how a training-free candidate gets into the suite.

    One of the suite replaces settings of its pipeline; a standard one becomes a candidate.
    """
    if candidate.origin == "suite":
        return as_yaml({"pipeline": candidate.change})
    return as_yaml({"candidates": {candidate.name: {"pipeline": candidate.change}}})


def of_tuning(parts: Sequence[str], on: TrainingFree | None, taken: Collection[str]) -> str:
    """Return a candidate that tunes parts, on the settings of a training-free one if there is one."""
    name = "-".join(["tuned", *parts, *(["on", on.name] if on is not None else [])])
    while name in taken:
        name += "-2"
    settings = {"pipeline": on.change} if on is not None else {}
    return as_yaml({"candidates": {name: {"tune": list(parts), **settings}}})
