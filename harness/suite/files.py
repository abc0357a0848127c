"""Suite files: YAML in, a checked `Suite` out, and every mistake of a file at once.

Each problem names the file with its line, the key as a dotted path, and the nearest right name. Knows the shape of
specs and nothing of what they mean.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.errors import ConfigError, DatasetMissing, Problem, nearest
from harness.files import exists, is_file, is_folder
from harness.suite import builtin, secrets
from harness.suite.conflicts import conflicts
from harness.suite.external import place_files
from harness.suite.renamed import SCHEMA, KeyPath, suggestion, upgraded
from harness.suite.spec import Suite
from harness.suite.yaml_text import TOO_DEEP, NotYaml, parsed

SHAPES = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "too_short": "a list that is not empty",
    "none_required": "null",
}
STAND_INS = {"schema": SCHEMA, "name": "x", "dataset": {"path": "."}, "measures": ["ndcg@1"]}
MAX_DEPTH = 20
NAMED = ("hf://", "ir_datasets:")
"""Sources of a dataset that are names, and no places on this machine."""


def load_suite(name_or_path: str | Path) -> tuple[Suite, Path]:
    """Return the suite and its file, from a path (file or folder) or the name of a shipped suite.

    Raises ConfigError with every problem of the file.
    """
    path = builtin.find_suite(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(str(path), f"not UTF-8 at byte {error.start}", "save the file as UTF-8")) from error
    return parse_suite(text, path), path


def parse_suite(text: str, path: Path) -> Suite:
    """Read a suite from text; `path` is where relative data paths start and what problems name."""
    try:
        node, value = parsed(text)
    except NotYaml as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise ConfigError(Problem(where, f"not YAML: {secrets.mask(error.what)}")) from error
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(Problem(str(path), "a suite is a mapping", f"start it with 'schema: {SCHEMA}'"))
    value, written = upgraded(value)
    file = _File(path, written)
    problems: list[Problem] = []
    repeated = {file.key_today(at): what for at, what in _repeated(node, (), file)}
    problems += [Problem(file.where(at), what, "keep one") for at, what in repeated.items()]
    items = {at for at in repeated if isinstance(at[-1], int)}
    wrong = set(items)
    no_data = [*_expand(value, file), *_expand(value, file, ("forgetting", "dataset"))]
    problems += [*no_data, *_expand_prompts(value, file), *_expand_external(value, file)]
    given_away = list(_secrets(node, (), file))
    suite, details = _readable(value, wrong)
    problems += [_problem(detail, file) for detail in details]
    for conflict in conflicts(suite):
        at, *read = (_as_written(key, wrong) for key in (conflict.at, *conflict.read))
        if not any(_overlap(key, other) for key in (at, *read) for other in wrong - items):
            problems.append(Problem(file.where(at), conflict.what, conflict.hint))
    problems = [*given_away, *problems]
    if problems:
        masked = [Problem(*(secrets.mask(text) for text in (one.where, one.what, one.hint))) for one in problems]
        raise (DatasetMissing if problems == no_data else ConfigError)(masked)
    return suite


@dataclass
class _File:
    """A suite file: its path, which key is written under which name there, and the line of each key as written."""

    path: Path
    written: Mapping[KeyPath, KeyPath]
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def where(self, at: KeyPath) -> str:
        """``suite.yaml:7: candidates.staged.tune``, as the file has it."""
        key = next((old + at[len(new) :] for new, old in self.written.items() if at[: len(new)] == new), at)
        known = key
        while known and known not in self.lines:
            known = known[:-1]
        return f"{self.path}:{self.lines.get(known, 1)}: {_dotted(key)}" if key else f"{self.path}"

    def key_today(self, at: KeyPath) -> KeyPath:
        """The path in the suite as it is read of what the file has at `at`."""
        return next((new + at[len(old) :] for new, old in self.written.items() if at[: len(old)] == old), at)


def _secrets(node: yaml.Node, at: KeyPath, file: _File) -> Iterator[Problem]:
    """Every text of the file, a key or a value, that gives a secret away: what a suite says is printed and kept."""
    hint = "take it out, and name the environment variable that holds it (llm.<role>.api_key_env)"
    # Of these two keys of a role the specs say more.
    known = at[:1] == ("llm",) and at[-1:] in (("api_key_env",), ("base_url",))
    if isinstance(node, yaml.ScalarNode) and not known and (wrong := secrets.revealed(node.value)):
        yield Problem(file.where(at), f"{wrong}, which would be written into reports and caches", hint)
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _secrets(item, (*at, number), file)
    if isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            yield from _secrets(key, at, file)
            yield from _secrets(item, (*at, key.value), file)


def _repeated(node: yaml.Node, at: KeyPath, file: _File) -> Iterator[tuple[KeyPath, str]]:
    """Note the line of every key; yield keys and list items given twice (of keys, YAML loaders keep one in silence)."""
    if len(at) > MAX_DEPTH:
        raise ConfigError(Problem(file.where(at[:3]), TOO_DEEP, "write it flat"))
    file.lines.setdefault(at, node.start_mark.line + 1)
    parts: list[tuple[str | int, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.SequenceNode):
        parts = [(number, item, item) for number, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        parts = [(key.value, key, item) for key, item in node.value]
    seen: dict[str, int] = {}
    for part, name, item in parts:
        line = file.lines[(*at, part)] = name.start_mark.line + 1
        if isinstance(name, yaml.ScalarNode):
            if name.value in seen:
                yield (*at, part), f"{name.value!r} is named twice (first in line {seen[name.value]})"
            seen.setdefault(name.value, line)
        yield from _repeated(item, (*at, part), file)


def _readable(value: dict[str, Any], wrong: set[KeyPath]) -> tuple[Suite, list[ErrorDetails]]:
    """Return what can be read of a suite, and what is wrong with it; the paths left out are added to `wrong`.

    What is left out can break other rules in its turn, so only what the whole file breaks is returned.
    """
    found: list[ErrorDetails] | None = None
    while True:
        rest = _without(value, wrong)
        try:
            return Suite.model_validate(rest if found is None else STAND_INS | rest), found or []
        except ValidationError as error:
            details = error.errors(include_url=False)
        for detail in details:
            detail["loc"] = _as_written(_without_tags(detail["loc"], rest), wrong)
        found = details if found is None else found
        faults = {at[:-1] or at if kind == "missing" else at for at, kind in ((d["loc"], d["type"]) for d in details)}
        if faults <= wrong:
            return Suite.model_validate(STAND_INS), found
        wrong |= faults


def _without(value: Any, wrong: set[KeyPath], at: KeyPath = ()) -> Any:
    """Return the value without the keys and list items at these paths."""
    if isinstance(value, dict):
        return {key: _without(item, wrong, (*at, key)) for key, item in value.items() if (*at, key) not in wrong}
    if isinstance(value, list):
        kept = [number for number in range(len(value)) if (*at, number) not in wrong]
        return [_without(value[number], wrong, (*at, number)) for number in kept]
    return value


SCALARS = ("int", "float", "str", "bool")


def _without_tags(at: KeyPath, value: Any) -> KeyPath:
    """Return a path without what a type adds between its keys: ``[key]``, the names of a union of mappings."""
    at = tuple(part for part in at if part != "[key]")
    kept: KeyPath = ()
    for place, part in enumerate(at):
        if isinstance(value, dict) and part not in value and any(inner in value for inner in at[place + 1 :]):
            continue
        if part in SCALARS and isinstance(value, str | int | float):
            continue
        kept = (*kept, part)
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            value = None
    return kept


def _as_written(at: KeyPath, wrong: set[KeyPath]) -> KeyPath:
    """Return the path in the file of what stands at `at` once the wrong list items are left out."""
    written: KeyPath = ()
    for part in at:
        if isinstance(part, int):
            numbers = (number for number in count() if (*written, number) not in wrong)
            part = next(islice(numbers, part, None))
        written = (*written, part)
    return written


def _overlap(one: KeyPath, other: KeyPath) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _expand(value: Any, file: _File, at: KeyPath = ("dataset",)) -> list[Problem]:
    """Replace ${VARIABLES} in path and source of the dataset at `at`, and make them relative to the suite file."""
    dataset = value
    for key in at:
        dataset = dataset.get(key) if isinstance(dataset, dict) else None
    if not isinstance(dataset, dict):
        return []
    return [problem for key in ("path", "source") for problem in _expand_place(dataset, key, file, (*at, key))]


def _expand_place(dataset: dict[str, Any], key: str, file: _File, at: KeyPath) -> list[Problem]:
    text, where = dataset.get(key), file.where(at)
    if not isinstance(text, str):
        return []
    missing = [name for name in re.findall(r"\$\{(\w+)\}", text) if name not in os.environ]
    if missing:
        return [Problem(where, f"the environment variable {name} is not set", f"export {name}=...") for name in missing]
    text = dataset[key] = re.sub(r"\$\{(\w+)\}", lambda match: os.environ[match[1]], text)
    if not text.strip() or (key == "source" and text.startswith(NAMED)):
        # Beside the suite file, an empty text would be that file's own folder; its type refuses it.
        return []
    place = builtin.find_fixture(text) or (file.path.parent / text)
    dataset[key] = str(place)
    if key == "path" and not is_folder(place):
        return [Problem(where, f"no folder {place}", "give a folder in BEIR layout, relative to the suite file")]
    if not exists(place):
        hint = "give a file or folder, relative to the suite file, hf://owner/name, or ir_datasets:ID"
        return [Problem(where, f"no file or folder {place}", hint)]
    return []


def _expand_prompts(value: Any, file: _File) -> Iterator[Problem]:
    """Make the paths of prompts relative to the suite file."""
    llm = value.get("llm")
    given = llm.get("prompts") if isinstance(llm, dict) else None
    prompts: dict[Any, Any] = given if isinstance(given, dict) else {}
    for name, text in prompts.items():
        if isinstance(text, str):
            prompts[name] = str(file.path.parent / text)
            if not is_file(file.path.parent / text):
                where = file.where(("llm", "prompts", name))
                yield Problem(
                    where, f"no file {file.path.parent / text}", "give a text file, relative to the suite file"
                )


def _expand_external(value: Any, file: _File) -> Iterator[Problem]:
    """Make the paths of external systems relative to the suite file."""
    for at, place in place_files(value, file.path.parent):
        yield Problem(file.where(at), f"no file {place}", "give a file, relative to the suite file")


def _dotted(at: KeyPath) -> str:
    return ".".join(str(part) for part in at)


def _problem(detail: ErrorDetails, file: _File) -> Problem:
    at, kind, given = detail["loc"], detail["type"], detail.get("input")
    where = file.where(at)
    if kind == "extra_forbidden":
        return Problem(where, "unknown key", suggestion(at[:-1], str(at[-1]), _keys_at(at[:-1])))
    if kind == "missing":
        return Problem(where, "missing", f"add 'schema: {SCHEMA}'" if at == ("schema",) else f"add '{at[-1]}:'")
    if kind == "literal_error":
        expected = re.findall(r"'([^']*)'", detail["msg"])
        return Problem(where, f"{_shown(given, at)} is not allowed", nearest(str(given), expected))
    if kind == "value_error":
        return Problem(where, detail["msg"].removeprefix("Value error, "))
    wanted = f"should be {SHAPES[kind]}" if kind in SHAPES else detail["msg"].removeprefix("Input ")
    return Problem(where, f"{wanted[0].lower()}{wanted[1:]}, not {_shown(given, at)}")


def _shown(given: Any, at: KeyPath) -> str:
    """What was given, as it may be printed: of a role neither a whole section nor what may be a key."""
    if at[:1] == ("llm",) and isinstance(given, dict | list):
        return "a list" if isinstance(given, list) else "a mapping"
    if at[:1] == ("llm",) and isinstance(given, str) and secrets.looks_like_key(given):
        return f"{given[: secrets.SHOWN]}{secrets.MASK}"
    return repr(given)


def _keys_at(at: KeyPath) -> list[str]:
    """The keys that are known at a path of a suite."""
    kind: Any = Suite
    for part in at:
        kind = _kind_inside(kind, part)
    return list(_fields_of(kind))


def _kind_inside(kind: Any, part: str | int) -> Any:
    """The type of what stands at a key or at a number of a value of this type."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    if get_origin(kind) is tuple:
        return get_args(kind)[0]
    return _fields_of(kind).get(str(part))


def _fields_of(kind: Any) -> dict[str, Any]:
    """The keys and their types of a spec class, also if it stands in something like ``RoundTrip | None``."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {info.alias or name: info.annotation for name, info in kind.model_fields.items()}
    return next((fields for inner in get_args(kind) if (fields := _fields_of(inner))), {})
