"""Suite files: YAML in, a checked `Suite` out, and every mistake of a file at once.

Knows the shape of specs and nothing of what they mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from harness.errors import ConfigError, DatasetMissing, Problem, in_order
from harness.files import read_text
from harness.suite import builtin, secrets
from harness.suite.conflicts import conflicts
from harness.suite.places import expand_places
from harness.suite.problems import problems_of
from harness.suite.renamed import SCHEMA, KeyPath, upgraded
from harness.suite.spec import Suite
from harness.suite.written import SuiteFile
from harness.suite.yaml_text import TOO_DEEP, NotYaml, parsed

STAND_INS = {"schema": SCHEMA, "name": "x", "dataset": {"path": "."}, "measures": ["ndcg@1"]}
MAX_DEPTH = 20


def load_suite(name_or_path: str | Path, with_data: bool = True) -> tuple[Suite, Path]:
    """Return the suite and its file, from a path (file or folder) or the name of a shipped suite.

    Without data, its datasets need not be on this machine: what was measured is reported and judged anywhere. Raises
    ConfigError with every problem of the file.
    """
    path = builtin.find_suite(name_or_path)
    try:
        text = read_text(path)
    except OSError as error:
        what = f"cannot be read ({error.strerror or type(error).__name__})"
        raise ConfigError(Problem(str(path), what, "name a readable file")) from error
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(str(path), f"not UTF-8 at byte {error.start}", "save the file as UTF-8")) from error
    return parse_suite(text, path, with_data), path


def parse_suite(text: str, path: Path, with_data: bool = True) -> Suite:
    """Read a suite from text; `path` is where relative data paths start and what problems name."""
    try:
        node, value = parsed(text)
    except NotYaml as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise ConfigError(Problem(where, f"not YAML: {secrets.mask(error.what)}")) from error
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(Problem(str(path), "a suite is a mapping", f"start it with 'schema: {SCHEMA}'"))
    value, written = upgraded(value)
    file = SuiteFile(path, written)
    problems: list[Problem] = []
    repeated = {file.key_today(at): what for at, what in _repeated(node, (), file)}
    problems += [Problem(file.where(at), what, "keep one") for at, what in repeated.items()]
    items = {at for at in repeated if isinstance(at[-1], int)}
    wrong = set(items)
    no_data, no_file = expand_places(value, file)
    problems += [*(no_data if with_data else ()), *no_file]
    given_away = list(_secrets(node, (), file))
    suite, details = _readable(value, wrong)
    problems += problems_of(details, file)
    for conflict in conflicts(suite):
        at, *read = (_as_written(key, wrong, value) for key in (conflict.at, *conflict.read))
        if not any(_overlap(key, other) for key in (at, *read) for other in wrong - items):
            problems.append(Problem(file.where(at), conflict.what, conflict.hint))
    # Of a key that its spec refuses, the spec says more.
    told = {problem.where for problem in problems}
    problems = [*(problem for problem in given_away if problem.where not in told), *problems]
    if problems:
        masked = [Problem(*(secrets.mask(text) for text in (one.where, one.what, one.hint))) for one in problems]
        raise (DatasetMissing if problems == no_data else ConfigError)(in_order(masked))
    return suite.read_from(file)


def _secrets(node: yaml.Node, at: KeyPath, file: SuiteFile) -> Iterator[Problem]:
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


def _repeated(node: yaml.Node, at: KeyPath, file: SuiteFile) -> Iterator[tuple[KeyPath, str]]:
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
            detail["loc"] = _as_written(_without_tags(detail["loc"], rest), wrong, value)
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


def _as_written(at: KeyPath, wrong: set[KeyPath], value: Any) -> KeyPath:
    """Return the path in the file, which holds `value`, of what stands at `at` once wrong list items are left out.

    A whole number may also be a key of a mapping.
    """
    written: KeyPath = ()
    for part in at:
        if isinstance(value, list) and isinstance(part, int):
            numbers = (number for number in count() if (*written, number) not in wrong)
            part = next(islice(numbers, part, None))
            value = value[part] if part < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
        written = (*written, part)
    return written


def _overlap(one: KeyPath, other: KeyPath) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
