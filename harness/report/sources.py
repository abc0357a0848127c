"""What files are made of beside tables: style sheets and scripts as text, and values as YAML."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import yaml


@cache
def source(name: str) -> str:
    """The text of a style sheet or script beside the templates."""
    return (files("harness.report") / "templates" / name).read_text(encoding="utf-8").strip()


def yaml_text(value: object) -> str:
    """A value as YAML, its keys in their order."""
    plain = json.loads(json.dumps(value, default=str))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)
