"""Suite files: YAML in, a checked `Suite` out, and every mistake of a file at once.

Each problem names the file with its line, the key as a dotted path, and the nearest right name. Knows the shape of
specs and nothing of what they mean.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.errors import ConfigError, DatasetMissing, Problem, nearest
from harness.suite import builtin, secrets
from harness.suite.conflicts import Path_, conflicts
from harness.suite.spec import SCHEMA, Suite

SHAPES = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "too_short": "a list that is not empty",
    "none_required": "null",
}
STAND_INS = {"schema": SCHEMA, "name": "x", "dataset": {"path": "."}, "measures": ["ndcg@1"]}
MAX_DEPTH = 20


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
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(Problem(where, f"not YAML: {secrets.mask(what)}")) from error
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(Problem(str(path), "a suite is a mapping", f"start it with 'schema: {SCHEMA}'"))
    lines: dict[Path_, int] = {}
    problems: list[Problem] = []
    repeated = dict(_repeated(node, (), lines, path))
    problems += [Problem(_where(at, lines, path), what, "keep one") for at, what in repeated.items()]
    items = {at for at in repeated if isinstance(at[-1], int)}
    wrong = set(items)
    no_data = [*_expand(value, lines, path), *_expand(value, lines, path, ("forgetting", "dataset"))]
    problems += no_data
    problems += _expand_prompts(value, lines, path)
    given_away = list(_secrets(node, (), lines, path))
    suite, details = _readable(value, wrong)
    problems += [_problem(detail, lines, path) for detail in details]
    for conflict in conflicts(suite):
        at, *read = (_as_written(key, wrong) for key in (conflict.at, *conflict.read))
        if not any(_overlap(key, other) for key in (at, *read) for other in wrong - items):
            problems.append(Problem(_where(at, lines, path), conflict.what, conflict.hint))
    problems = [*given_away, *problems]
    if problems:
        masked = [Problem(*(secrets.mask(text) for text in (one.where, one.what, one.hint))) for one in problems]
        raise (DatasetMissing if problems == no_data else ConfigError)(masked)
    return suite


def _secrets(node: yaml.Node, at: Path_, lines: dict[Path_, int], path: Path) -> Iterator[Problem]:
    """Every text of the file, a key or a value, that gives a secret away: what a suite says is printed and kept."""
    hint = "take it out, and name the environment variable that holds it (llm.<role>.api_key_env)"
    # Of these two keys of a role the specs say more.
    known = at[:1] == ("llm",) and at[-1:] in (("api_key_env",), ("base_url",))
    if isinstance(node, yaml.ScalarNode) and not known and (wrong := secrets.revealed(node.value)):
        yield Problem(_where(at, lines, path), f"{wrong}, which would be written into reports and caches", hint)
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _secrets(item, (*at, number), lines, path)
    if isinstance(node, yaml.MappingNode):
        for key, item in node.value:
            yield from _secrets(key, at, lines, path)
            yield from _secrets(item, (*at, key.value), lines, path)


def _repeated(node: yaml.Node, at: Path_, lines: dict[Path_, int], path: Path) -> Iterator[tuple[Path_, str]]:
    """Note the line of every key; yield keys and list items given twice (of keys, YAML loaders keep one in silence)."""
    if len(at) > MAX_DEPTH:
        raise ConfigError(Problem(_where(at[:3], lines, path), "nested too deeply, or holds itself", "write it flat"))
    lines.setdefault(at, node.start_mark.line + 1)
    parts: list[tuple[str | int, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.SequenceNode):
        parts = [(number, item, item) for number, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        parts = [(key.value, key, item) for key, item in node.value]
    seen: dict[str, int] = {}
    for part, name, item in parts:
        line = lines[(*at, part)] = name.start_mark.line + 1
        if isinstance(name, yaml.ScalarNode):
            if name.value in seen:
                yield (*at, part), f"{name.value!r} is named twice (first in line {seen[name.value]})"
            seen.setdefault(name.value, line)
        yield from _repeated(item, (*at, part), lines, path)


def _readable(value: dict[str, Any], wrong: set[Path_]) -> tuple[Suite, list[ErrorDetails]]:
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
            detail["loc"] = _as_written(tuple(part for part in detail["loc"] if part != "[key]"), wrong)
        found = details if found is None else found
        faults = {at[:-1] or at if kind == "missing" else at for at, kind in ((d["loc"], d["type"]) for d in details)}
        if faults <= wrong:
            return Suite.model_validate(STAND_INS), found
        wrong |= faults


def _without(value: Any, wrong: set[Path_], at: Path_ = ()) -> Any:
    """Return the value without the keys and list items at these paths."""
    if isinstance(value, dict):
        return {key: _without(item, wrong, (*at, key)) for key, item in value.items() if (*at, key) not in wrong}
    if isinstance(value, list):
        kept = [number for number in range(len(value)) if (*at, number) not in wrong]
        return [_without(value[number], wrong, (*at, number)) for number in kept]
    return value


def _as_written(at: Path_, wrong: set[Path_]) -> Path_:
    """Return the path in the file of what stands at `at` once the wrong list items are left out."""
    written: Path_ = ()
    for part in at:
        if isinstance(part, int):
            numbers = (number for number in count() if (*written, number) not in wrong)
            part = next(islice(numbers, part, None))
        written = (*written, part)
    return written


def _overlap(one: Path_, other: Path_) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _expand(value: Any, lines: dict[Path_, int], path: Path, at: Path_ = ("dataset",)) -> list[Problem]:
    """Replace ${VARIABLES} in the path of the data set that stands at `at`, and make it relative to the suite file."""
    dataset = value
    for key in at:
        dataset = dataset.get(key) if isinstance(dataset, dict) else None
    if not isinstance(dataset, dict) or not isinstance(dataset.get("path"), str):
        return []
    text: str = dataset["path"]
    missing = [name for name in re.findall(r"\$\{(\w+)\}", text) if name not in os.environ]
    where = _where((*at, "path"), lines, path)
    if missing:
        return [Problem(where, f"the environment variable {name} is not set", f"export {name}=...") for name in missing]
    text = re.sub(r"\$\{(\w+)\}", lambda match: os.environ[match[1]], text)
    folder = builtin.find_fixture(text) or (path.parent / text)
    dataset["path"] = str(folder)
    if not folder.is_dir():
        return [Problem(where, f"no folder {folder}", "give a folder in BEIR layout, relative to the suite file")]
    return []


def _expand_prompts(value: Any, lines: dict[Path_, int], path: Path) -> Iterator[Problem]:
    """Make the paths of prompts relative to the suite file."""
    llm = value.get("llm")
    given = llm.get("prompts") if isinstance(llm, dict) else None
    prompts: dict[Any, Any] = given if isinstance(given, dict) else {}
    for name, text in prompts.items():
        if isinstance(text, str):
            prompts[name] = str(path.parent / text)
            if not (path.parent / text).is_file():
                where = _where(("llm", "prompts", name), lines, path)
                yield Problem(where, f"no file {path.parent / text}", "give a text file, relative to the suite file")


def _dotted(at: Path_) -> str:
    return ".".join(str(part) for part in at)


def _where(at: Path_, lines: dict[Path_, int], path: Path) -> str:
    known = at
    while known and known not in lines:
        known = known[:-1]
    return f"{path}:{lines.get(known, 1)}: {_dotted(at)}" if at else f"{path}"


def _problem(detail: ErrorDetails, lines: dict[Path_, int], path: Path) -> Problem:
    at, kind, given = detail["loc"], detail["type"], detail.get("input")
    where = _where(at, lines, path)
    if kind == "extra_forbidden":
        return Problem(where, "unknown key", nearest(str(at[-1]), _keys_at(at[:-1])))
    if kind == "missing":
        return Problem(where, "missing", f"add '{at[-1]}:'")
    if kind == "literal_error":
        expected = re.findall(r"'([^']*)'", detail["msg"])
        return Problem(where, f"{_shown(given, at)} is not allowed", nearest(str(given), expected))
    if kind == "value_error":
        return Problem(where, detail["msg"].removeprefix("Value error, "))
    wanted = f"should be {SHAPES[kind]}" if kind in SHAPES else detail["msg"].removeprefix("Input ")
    return Problem(where, f"{wanted[0].lower()}{wanted[1:]}, not {_shown(given, at)}")


def _shown(given: Any, at: Path_) -> str:
    """What was given, as it may be printed: of a role neither a whole section nor what may be a key."""
    if at[:1] == ("llm",) and isinstance(given, dict | list):
        return "a list" if isinstance(given, list) else "a mapping"
    if at[:1] == ("llm",) and isinstance(given, str) and secrets.looks_like_key(given):
        return f"{given[: secrets.SHOWN]}{secrets.MASK}"
    return repr(given)


def _keys_at(at: Path_) -> list[str]:
    """The keys that are known at a path of a suite."""
    kind: Any = Suite
    for part in at:
        kind = _kind_inside(kind, part)
    return list(_fields_of(kind))


def _kind_inside(kind: Any, part: str | int) -> Any:
    """The type of what stands at a key or at a number of a value of this type."""
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
