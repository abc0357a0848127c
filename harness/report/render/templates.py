"""What files are made of beside tables: templates, style sheets and scripts, and values as YAML."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.report.untrusted import plain

_SPECIAL = re.compile(r"[\\`*|]|\](?=[(:])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


@cache
def source(name: str) -> str:
    """Return the text of a style sheet or script beside the templates."""
    return (files("harness.report") / "templates" / name).read_text(encoding="utf-8").strip()


def yaml_text(value: object) -> str:
    """Return a value as YAML, its keys in their order."""
    jsonable = json.loads(json.dumps(value, default=str))
    return yaml.safe_dump(jsonable, sort_keys=False, allow_unicode=True, width=100)


def page_environment() -> Environment:
    """Return the environment of pages: every text is escaped, and its control characters are shown."""
    return Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def _shown(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def markdown_environment() -> Environment:
    """Return the environment of Markdown: text is escaped only by the filter `text`."""
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(text=escaped, code=fenced)
    return environment


def escaped(text: object) -> str:
    """Return text that Markdown shows as it is, on one line: a reason may hold pipes, tags, stars or links."""
    line = " ".join(plain(str(text)).split())
    return _SPECIAL.sub(r"\\\g<0>", line).replace("&", "&amp;").replace("<", "&lt;")


def fenced(text: str, language: str = "") -> str:
    """Return a code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
