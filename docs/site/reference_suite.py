"""The page of the suite: every key with its type, its default and what it is for.

Types and defaults are those of the pydantic models, the text above a table is their docstring, and what a key is for
is its comment in `suites/template/suite.yaml`, which a test holds complete.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml
from markup import GENERATED, code, page, prose, summary, table
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from harness.suite import builtin
from harness.suite.spec import Suite
from harness.values.measures import Measure

Key = tuple[str, ...]
NOT_SET = re.compile(r"^(\s*)#((?:- |(?:  )*)(?:[a-z0-9_]+|\"[a-z_.]+\"):)")
"""A key of the template that is commented out."""
NAMED: tuple[Key, ...] = (("candidates",), ("published",), ("search", "sample", "space"))
"""Sections whose keys are names that a user chooses."""
WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", Measure: "measure", Any: "any value"}
LONGEST_DEFAULT = 60


class Section(NamedTuple):
    """A spec class where it first occurs in a suite; keys of a user's own are ``*``."""

    path: Key
    spec: type[BaseModel]

    @property
    def title(self) -> str:
        """``pipeline.retriever``, or ``top level``."""
        return ".".join(self.path).replace("*", "NAME") or "top level"

    @property
    def anchor(self) -> str:
        return re.sub(r"[^\w-]", "", self.title.lower().replace(" ", "-"))


# ---- the walk


@cache
def sections() -> tuple[Section, ...]:
    """Return every spec class of a suite once, in the order of the schema."""
    found: dict[type[BaseModel], Section] = {}
    for section in _walk(Suite, ()):
        found.setdefault(section.spec, section)
    return tuple(found.values())


def _walk(spec: type[BaseModel], at: Key) -> Iterator[Section]:
    yield Section(at, spec)
    for name, info in spec.model_fields.items():
        key = (*at, info.alias or name)
        if get_origin(info.annotation) is dict:
            key = (*key, "*")
        for inner in specs_inside(info.annotation):
            # What a candidate changes is the section that it names; levels of a factor are candidates.
            if not inner.__name__.endswith("Change") and key[0] != "factorial":
                yield from _walk(inner, key)


def specs_inside(annotation: Any) -> list[type[BaseModel]]:
    """Return the spec classes in something like ``Relabel | None`` or ``tuple[Gate, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in specs_inside(inner)]


# ---- types and defaults


def type_text(annotation: Any, metadata: Iterable[Any] = (), path: Key = ()) -> str:
    """Return a type in words, with its bounds, and a link where it is a section."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_text(inner[0], [*inner[1:], *metadata], path)
    if origin in (Union, UnionType):
        every = [type_text(one, metadata, path) for one in inner if one is not NoneType]
        return " or ".join([*dict.fromkeys(every), *(["`null`"] if NoneType in inner else [])])
    if origin is Literal:
        return ", ".join(code("false" if one is False else one) for one in inner)
    if origin in (tuple, list):
        return f"list of {type_text(inner[0], path=path)}"
    if origin is dict:
        return f"mapping of {type_text(inner[0])} to {type_text(inner[1], path=path)}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _link(annotation, path)
    word = WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))
    bounds = list(_bounds(metadata))
    return f"{word}, {' and '.join(bounds)}" if bounds else word


def _link(spec: type[BaseModel], path: Key) -> str:
    name = path[-1] if path else ""
    places = [section for section in sections() if section.spec is spec]
    if not places:
        named = [section for section in sections() if section.path[-1:] == (name,)]
        # Of two sections of one name, a candidate's key of training data or of a recipe is meant.
        places = [one for one in named if one.path[0] in ("recipes", "data")] or named
    return f"[{places[0].title}](#{places[0].anchor})" if places else "section"


def _bounds(metadata: Iterable[Any]) -> Iterator[str]:
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from _bounds(one.metadata)
        for name, words in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
            bound = getattr(one, name, None)
            if bound is not None:
                yield f"{words} {bound:,}" if bound < 2**31 else f"{words} {bound}"


def default_text(info: FieldInfo) -> str:
    """Return the default of a key as YAML; empty for a section."""
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple | list):
        return code(f"[{', '.join(map(str, value))}]")
    if value is None or isinstance(value, bool):
        return code("null" if value is None else str(value).lower())
    if isinstance(value, dict):
        return code(value)
    text = str(value)
    return code(textwrap.shorten(text, LONGEST_DEFAULT, placeholder=" ...") if text else '""')


# ---- what keys are for


@cache
def comments() -> dict[Key, str]:
    """Return the comment of every key of the template."""
    text = (builtin.folder("suites") / "template" / builtin.SUITE_FILE).read_text(encoding="utf-8")
    lines = text.splitlines()
    whole = yaml.compose("\n".join(NOT_SET.sub(r"\1\2", line) for line in lines), Loader=yaml.SafeLoader)
    return {key: comment for key, line in _places(whole) if (comment := _comment(lines, line))}


def _places(node: yaml.Node, at: Key = ()) -> Iterator[tuple[Key, int]]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _places(item, at)
    if isinstance(node, yaml.MappingNode):
        for name, item in node.value:
            key = (*at, "*" if at in NAMED else name.value)
            yield key, name.start_mark.line
            yield from _places(item, key)


def _comment(lines: Sequence[str], number: int) -> str:
    """The comment in a line and in those that go on with it, or the sentences right above it."""
    inline = re.search(r"\s#\s(\S.*)$", lines[number].lstrip().removeprefix("#"))
    if inline:
        rest = []
        for line in lines[number + 1 :]:
            more = re.match(r"^\s*#?\s{10,}#\s(\S.*)$", line)
            if more is None:
                break
            rest.append(more[1])
        return " ".join([inline[1], *rest])
    above: list[str] = []
    for line in reversed(lines[:number]):
        sentence = re.match(r"^\s*# (\S.*[^-])$", line)
        if sentence is None:
            break
        above.insert(0, sentence[1])
    return " ".join(above)


@cache
def attribute_docs(spec: type[BaseModel]) -> dict[str, str]:
    """Return the docstrings below the fields of a class."""
    body = ast.parse(textwrap.dedent(inspect.getsource(spec))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for before, node in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(before, ast.AnnAssign)
            and isinstance(before.target, ast.Name)
            and isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
        ):
            found[before.target.id] = str(node.value.value)
    return found


def about(section: Section, name: str) -> str:
    """Return what the key of a field is for."""
    path = (*section.path, section.spec.model_fields[name].alias or name)
    of_role = ("llm", "synthesizer", *path[2:]) if path[0] == "llm" else path
    known = comments()
    text = known.get(path) or known.get(of_role) or known.get(tuple(part for part in path if part != "*"), "")
    if not text and path[0] == "candidates":
        text = known.get(("data", name), "")
    if not text and path[-2:-1] == ("endpoint",):
        # What all endpoints of served models have is explained once.
        text = known.get(("pipeline", "retriever", "endpoint", name), "")
    text = re.sub(r"\s*\(default [^)]*\)", "", text)
    inside = specs_inside(section.spec.model_fields[name].annotation)
    own = prose(text or attribute_docs(section.spec).get(name, ""))
    return own or _told_above(section, name) or (summary(inside[0].__doc__) or "The section below." if inside else "")


def _told_above(section: Section, name: str) -> str:
    """The sentences on a key in the comment above its section."""
    above = comments().get(tuple(part for part in section.path if part != "*"), "")
    sentences = re.split(r"(?<=\.) ", above)
    return prose(" ".join(one for one in sentences if f"`{name}`" in one))


# ---- the page


def _section(section: Section) -> Iterator[str]:
    yield f"## {section.title}"
    yield prose(section.spec.__doc__)
    rows = []
    for name, info in section.spec.model_fields.items():
        key = info.alias or name
        kind = type_text(info.annotation, info.metadata, (*section.path, key))
        rows.append((code(key), kind, default_text(info), about(section, name)))
    if rows:
        yield table(("key", "type", "default", "what it is for"), rows)


def suite_page() -> str:
    """Return the page, a section for each part of a suite."""
    lead = (
        "Every key of `suite.yaml`, section by section. An unknown key is an error that names the nearest one. "
        f"`harness init DIR` writes a suite in which every key has a comment. {GENERATED}"
    )
    return page("Suite keys", lead, *(part for section in sections() for part in _section(section)))
