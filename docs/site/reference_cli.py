"""The page of the command line: every verb with its arguments and options, as they are declared for typer."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from markup import GENERATED, code, page, prose, table
from typer.models import ArgumentInfo, OptionInfo

from harness.cli.main import VERBS

WORDS = {int: "N", float: "NUMBER", Path: "PATH", str: "TEXT"}


class Parameter(NamedTuple):
    """An argument or an option: how it is written, its default as text, and what it does."""

    written: str
    default: str
    about: str
    is_option: bool
    required: bool


def parameters(verb: str) -> list[Parameter]:
    """Return the arguments and the options of a verb, in the order of its help."""
    function = import_module(f"harness.cli.{verb}").verb
    hints = get_type_hints(function, include_extras=True)
    declared = inspect.signature(function).parameters
    found = [_parameter(name, hints[name], one.default) for name, one in declared.items()]
    return sorted(found, key=lambda parameter: parameter.is_option)


def _parameter(name: str, hint: Any, default: Any) -> Parameter:
    kind, *metadata = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    info = next(one for one in metadata if isinstance(one, ArgumentInfo | OptionInfo))
    required = default is inspect.Parameter.empty
    plain, repeats = _plain(kind)
    bounds = [text for text in (_least(info.min), _most(info.max)) if text]
    about = prose(info.help) + (f" {'; '.join(bounds).capitalize()}." if bounds else "")
    if isinstance(info, ArgumentInfo):
        metavar = info.metavar or name.upper()
        return Parameter(code(metavar), _shown(default, required), about, False, required)
    # Inside of Annotated, the first name stands where a default would.
    named = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str)]
    names = named or [f"--{name.replace('_', '-')}"]
    value = "" if plain is bool else f" {info.metavar or _word(plain)}"
    about += " May be repeated." if repeats and "repeated" not in about else ""
    return Parameter(", ".join(code(one + value) for one in names), _shown(default, required), about, True, required)


def _plain(kind: Any) -> tuple[Any, bool]:
    """The type of one value, and whether several may be given."""
    inner = [one for one in get_args(kind) if one is not NoneType]
    if get_origin(kind) is Literal:
        return kind, False
    if get_origin(kind) is list:
        return _plain(inner[0])[0], True
    return _plain(inner[0]) if inner else (kind, False)


def _word(kind: Any) -> str:
    if get_origin(kind) is Literal:
        # Without bars, which would end the cell of a table.
        return f"{{{','.join(map(str, get_args(kind)))}}}"
    return WORDS.get(kind, "VALUE")


def _least(value: float | None) -> str:
    return f"at least {value:,}" if value is not None else ""


def _most(value: float | None) -> str:
    return f"at most {value:,}" if value is not None else ""


def _shown(default: Any, required: bool) -> str:
    if required:
        return "required"
    return "" if default is None or default is False else code(default)


def usage(verb: str) -> str:
    """Return how a verb is called: ``harness export CANDIDATE DIR [OPTIONS]``."""
    arguments = [one.written.strip("`") for one in parameters(verb) if not one.is_option]
    return " ".join(["harness", verb, *arguments, "[OPTIONS]"])


def _verb(verb: str) -> Iterator[str]:
    function = import_module(f"harness.cli.{verb}").verb
    yield f"### harness {verb}"
    yield prose(function.__doc__)
    yield f"```text\n{usage(verb)}\n```"
    found = parameters(verb)
    for is_option, head in ((False, "argument"), (True, "option")):
        rows = [(one.written, one.default, one.about) for one in found if one.is_option is is_option]
        if rows:
            yield table((head, "default", "what it does"), rows)


def cli_page() -> str:
    """Return the page, with the verbs under their headings in the order of use."""
    parts = [
        table(
            ("command", "what it does"), [(f"[`harness {verb}`](#harness-{verb})", VERBS[verb][1]) for verb in VERBS]
        ),
        "`harness --help` and `harness VERB --help` print the same. An option that several commands take means the "
        "same in all of them. [Exit codes](exit-codes.md) have a page of their own.",
    ]
    heading = ""
    for verb, (panel, _) in VERBS.items():
        if panel != heading:
            heading = panel
            parts.append(f"## {panel}")
        parts += _verb(verb)
    return page("Command line", f"Every command with every argument and option. {GENERATED}", *parts)
