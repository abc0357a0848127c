"""Detect damage in the text of accepted files, with its line; a digest detects the rest.

These files are merged, checked out and edited like code, so conflict markers, byte order marks, other line ends and
truncated files occur. This module does not know what the files mean.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.data.formats import LFS
from harness.errors import Problem
from harness.files import read_whole
from harness.hashing import digest_of

HINT = "restore the folder from version control, or accept again"
CONFLICT_HINT = "resolve the merge conflict, or run 'harness accept' again"
BOM = b"\xef\xbb\xbf"
_MARKER = re.compile(r"(<{7}|>{7}|\|{7})( [^\t]*)?|={7}")
_KEY = re.compile(r'( *)"((?:[^"\\]|\\.)*)"\s*:')


class Unreadable(Exception):
    """A text is not an unambiguous JSON object; `problem` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def blocked(place: Path) -> Problem | None:
    """What lies where a folder belongs and is none: a file, or a link to nothing; None if there is no such thing."""
    if place.is_dir() or not os.path.lexists(place):
        return None
    what = "a link to nothing" if place.is_symlink() and not place.exists() else "a file where a folder belongs"
    return Problem(str(place), what, "restore it from version control, or remove it")


def conflict(path: Path, lines: Iterable[tuple[int, str]]) -> Problem | None:
    """Return the first conflict marker of a merge, or None."""
    for number, line in lines:
        if _MARKER.fullmatch(line.rstrip("\r\n")):
            what = f"an unresolved merge conflict ({line.strip()[:7]})"
            return Problem(f"{path}:{number}", what, CONFLICT_HINT)
    return None


def marked(path: Path) -> bool:
    """Return whether a file starts with the byte order mark of UTF-8, which some editors add."""
    try:
        with path.open("rb") as file:
            return file.read(3) == BOM
    except OSError:
        return False


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; raise Unreadable, with the line, if the text is not JSON or ambiguous.

    A byte order mark and other line ends are accepted. NaN, infinities and duplicate keys are refused.
    """
    try:
        raw = read_whole(path).removeprefix(BOM)
    except OSError as error:
        raise Unreadable(Problem(str(path), f"cannot be read ({error.strerror})", HINT)) from error
    if raw.startswith(LFS):
        raise Unreadable(Problem(str(path), "a pointer of Git LFS, not the file itself", "run 'git lfs pull'"))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise Unreadable(Problem(f"{path}:{line}", "damaged: not UTF-8", HINT)) from error
    marker = conflict(path, enumerate(text.split("\n"), start=1))
    if marker is not None:
        raise Unreadable(marker)
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        cut = "cut off" if not text[error.pos :].strip() else "not JSON"
        what = f"damaged: {cut} ({error.msg} at column {error.colno})"
        raise Unreadable(Problem(f"{path}:{error.lineno}", what, HINT)) from error
    except _Constant as error:
        line = _line_of(text, rf"(?<![\w\"])-?{error.args[0].lstrip('-')}(?![\w\"])")
        raise Unreadable(Problem(f"{path}:{line}", f"damaged: {error.args[0]} is not a number", HINT)) from error
    except _Twice as error:
        what = f"damaged: {error.args[0]!r} occurs twice, probably from a partial merge"
        line = _line_of_second(text)
        raise Unreadable(Problem(f"{path}:{line}" if line else str(path), what, HINT)) from error
    except (ValueError, RecursionError) as error:
        raise Unreadable(Problem(str(path), "damaged: not JSON", HINT)) from error
    if not isinstance(value, dict):
        raise Unreadable(Problem(str(path), "damaged: not the accepted scores of a suite", HINT))
    return value


def seal(value: dict[str, Any]) -> str:
    """Return the digest of a JSON object, independent of its layout; empty if it has no canonical form."""
    try:
        return digest_of(value)
    except ValueError:
        return ""


class _Constant(ValueError):
    """A constant that JSON does not have."""


class _Twice(ValueError):
    """A key that occurs twice in an object."""


def _refuse_constant(name: str) -> Any:
    raise _Constant(name)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise _Twice(key)
        members[key] = value
    return members


def _line_of(text: str, pattern: str) -> int:
    match = re.search(pattern, text)
    return text[: match.start()].count("\n") + 1 if match else 1


def _line_of_second(text: str) -> int:
    """The line of the first duplicate key of an object, judged by indentation; 0 if it is not found."""
    keys_at: dict[int, set[str]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        depth = len(line) - len(line.lstrip(" "))
        keys_at = {level: keys for level, keys in keys_at.items() if level <= depth}
        key = _KEY.match(line)
        if key is None:
            # The end of an object: the next one at this depth has keys of its own.
            keys_at.pop(depth + 1, None)
            continue
        if key[2] in keys_at.setdefault(depth, set()):
            return number
        keys_at[depth].add(key[2])
    return 0
