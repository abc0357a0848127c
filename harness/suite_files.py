"""Suite files: YAML in, a checked `Suite` out, and every mistake of a file at once.

Each problem names the file with its line, the key as a dotted path, and the nearest right name. Knows the shape of
specs and nothing of what they mean.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness import builtin
from harness.errors import ConfigError, Problem, nearest
from harness.spec import REFERENCE_ROWS, SCHEMA, Suite

Path_ = tuple[str | int, ...]


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
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(Problem(where, f"not YAML: {getattr(error, 'problem', error)}")) from error
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(Problem(str(path), "a suite is a mapping", f"start it with 'schema: {SCHEMA}'"))
    lines: dict[Path_, int] = {}
    problems: list[Problem] = []
    _walk(node, (), lines, problems, path)
    value = yaml.safe_load(text)
    problems += _expand(value, lines, path)
    try:
        suite = Suite.model_validate(value)
    except ValidationError as error:
        problems += [_problem(detail, lines, path) for detail in error.errors(include_url=False)]
        raise ConfigError(problems) from error
    problems += _cross_checks(suite, lines, path)
    if problems:
        raise ConfigError(problems)
    return suite


def _walk(node: yaml.Node, at: Path_, lines: dict[Path_, int], problems: list[Problem], path: Path) -> None:
    """Note the line of every key, and find keys given twice (which YAML loaders merge in silence)."""
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _walk(item, (*at, number), lines, problems, path)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, item in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                dotted = _dotted((*at, key.value))
                problems.append(
                    Problem(f"{path}:{line}: {dotted}", f"named twice (first in line {seen[key.value]})", "rename one")
                )
            seen.setdefault(key.value, line)
            lines[(*at, key.value)] = line
            _walk(item, (*at, key.value), lines, problems, path)


def _expand(value: Any, lines: dict[Path_, int], path: Path) -> list[Problem]:
    """Replace ${VARIABLES} in the data set's path, and make it relative to the suite file."""
    dataset = value.get("dataset") if isinstance(value, dict) else None
    if not isinstance(dataset, dict) or not isinstance(dataset.get("path"), str):
        return []
    text: str = dataset["path"]
    missing = [name for name in re.findall(r"\$\{(\w+)\}", text) if name not in os.environ]
    where = _where(("dataset", "path"), lines, path)
    if missing:
        return [Problem(where, f"the environment variable {name} is not set", f"export {name}=...") for name in missing]
    text = re.sub(r"\$\{(\w+)\}", lambda match: os.environ[match[1]], text)
    folder = builtin.find_fixture(text) or (path.parent / text)
    dataset["path"] = str(folder)
    if not folder.is_dir():
        return [Problem(where, f"no folder {folder}", "give a folder in BEIR layout, relative to the suite file")]
    return []


def _dotted(at: Path_) -> str:
    return ".".join(str(part) for part in at)


def _where(at: Path_, lines: dict[Path_, int], path: Path) -> str:
    known = at
    while known and known not in lines:
        known = known[:-1]
    return f"{path}:{lines.get(known, 1)}: {_dotted(at)}" if at else f"{path}"


def _problem(detail: ErrorDetails, lines: dict[Path_, int], path: Path) -> Problem:
    at = tuple(part for part in detail["loc"] if part != "[key]")
    where = _where(at, lines, path)
    kind, given = detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        return Problem(where, "unknown key", nearest(str(at[-1]), _keys_at(at[:-1])))
    if kind == "missing":
        return Problem(where, "missing", f"add '{at[-1]}:'")
    if kind == "literal_error":
        expected = re.findall(r"'([^']*)'", detail["msg"])
        return Problem(where, f"{given!r} is not allowed", nearest(str(given), expected))
    message = detail["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return Problem(where, message)
    return Problem(where, f"{message[0].lower()}{message[1:]}, not {given!r}")


def _keys_at(at: Path_) -> list[str]:
    """The keys that are known at a path of a suite."""
    model: Any = Suite
    for part in at:
        if isinstance(model, type) and issubclass(model, BaseModel):
            fields = {info.alias or name: info for name, info in model.model_fields.items()}
            annotation: Any = fields[str(part)].annotation if part in fields else None
            model = _model_in(annotation)
    return [info.alias or name for name, info in model.model_fields.items()] if model is not None else []


def _model_in(annotation: Any) -> Any:
    """Find the spec class inside an annotation such as ``dict[str, Candidate]`` or ``RoundTrip | None``.

    A mapping or a sequence costs a path component that is no field, which `_keys_at` passes over.
    """
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [_model_in(inner) for inner in get_args(annotation)]
    return next((model for model in found if model is not None), None)


def _cross_checks(suite: Suite, lines: dict[Path_, int], path: Path) -> list[Problem]:
    problems = []
    for number, measure in enumerate(suite.measures):
        where = _where(("measures", number), lines, path)
        if measure.cutoff is not None and measure.cutoff > suite.pipeline.depth:
            problems.append(
                Problem(where, f"{measure} looks deeper than pipeline.depth {suite.pipeline.depth}", "raise the depth")
            )
        if not measure.is_rank and suite.pipeline.generator is None:
            problems.append(Problem(where, f"{measure} needs a generator", "add pipeline.generator"))
        if measure.name in ("key_match", "format") and suite.answer_format is None:
            problems.append(Problem(where, f"{measure} needs a pattern", "add answer_format: {pattern: ...}"))
    if suite.pipeline.context > suite.pipeline.depth:
        where = _where(("pipeline", "context"), lines, path)
        problems.append(Problem(where, f"more than pipeline.depth {suite.pipeline.depth}", "raise the depth"))
    for number, gate in enumerate(suite.gates):
        if gate.measure is not None and gate.measure not in suite.measures:
            where = _where(("gates", number, "measure"), lines, path)
            problems.append(Problem(where, f"{gate.measure} is not measured", "add it to 'measures'"))
    rule = suite.data.synthesize
    if rule.temperature == 0 and rule.queries_per_document > len(rule.kinds):
        where = _where(("data", "synthesize", "queries_per_document"), lines, path)
        what = f"{rule.queries_per_document} queries of {len(rule.kinds)} kinds would be alike at temperature 0"
        problems.append(Problem(where, what, "add kinds or raise the temperature"))
    for name in suite.candidates:
        if name in REFERENCE_ROWS:
            where = _where(("candidates", name), lines, path)
            problems.append(Problem(where, f"'{name}' is the name of a reference row", "rename the candidate"))
    if suite.utility.right == "key_match" and "utility" in map(str, suite.measures) and suite.answer_format is None:
        where = _where(("utility", "right"), lines, path)
        problems.append(Problem(where, "key_match needs a pattern", "add answer_format: {pattern: ...}"))
    if "untuned" not in suite.reference_rows:
        where = _where(("reference_rows",), lines, path)
        problems.append(Problem(where, "'untuned' is missing: gains are measured against it", "add it"))
    return problems
