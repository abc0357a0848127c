"""The time of a regular expression of the package grows with the text, not with its square, however hostile the text.

Documents are megabytes, and answers of models are what others wrote: an expression that is only quadratic hangs there.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NamedTuple

import pytest

import harness

SIZE = 16_000
FLOOR = 0.012
"""Seconds of the processor below which nothing at this size is quadratic; clocks of processes count in 4 ms."""
GROWTH = 3.0
"""Times as long for a text twice as long: 2 is linear, 4 is quadratic."""
SECONDS = 2.0
"""Of the processor: what backtracks without end needs more than all time."""
ALL = frozenset(("search", "fullmatch", "finditer"))
METHODS = {
    "match": "match", "fullmatch": "fullmatch", "search": "search", "split": "finditer", "sub": "finditer",
    "subn": "finditer", "findall": "finditer", "finditer": "finditer",
}  # fmt: skip
"""Methods of a pattern -> how they are tried."""
UNITS = (
    "a", "A", "0", " ", "\n", "\t", "-", "_", ".", ",", ":", "/", "\\", "'", '"', "(", "[", "{", "<", ">", "|", "#",
    "*", "`", "=", "&", "%", "é", "\u3042", "a ", "a\n", "\n ", "a1", "1.", "a.", "a,", "- ", "| ", "\\'", "\\\"",
    "', '", "'a'  ", "[[", "<a", "</", "<!--", "://", "a@", "a=", "[a](", "\r\n", "A. ", "?a=", "\u3002",
)  # fmt: skip
ENDS = ("", "!", "\n", "\x00x")
HEADS = 8


class TooLong(Exception):
    pass


class Used(NamedTuple):
    """An expression, and the methods by which it is asked."""

    pattern: re.Pattern[str]
    methods: frozenset[str]


def modules() -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(harness.__path__, "harness."):
        if "__main__" in info.name or info.name.startswith("harness._data"):
            continue
        try:
            yield importlib.import_module(info.name)
        except ImportError:
            # Of an extra that is not installed here.
            continue


@cache
def sources() -> Mapping[Path, ast.Module]:
    root = Path(harness.__file__).parent
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.py"))}


@cache
def calls() -> tuple[Mapping[str, frozenset[str]], Mapping[str, frozenset[str]]]:
    """The methods that are called on each name of a constant; and, where it is only mentioned, on any other name."""
    named: dict[str, set[str]] = {}
    nearby: dict[str, set[str]] = {}
    for tree in sources().values():
        local: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                owner = node.func.value
                name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
                if name.isupper():
                    named.setdefault(name, set()).add(METHODS[node.func.attr])
                elif node.func.attr not in ("split", "sub") and name != "re":
                    local.add(METHODS[node.func.attr])
        for node in ast.walk(tree):
            if isinstance(node, ast.Name | ast.alias):
                mentioned = node.id if isinstance(node, ast.Name) else node.name
                if mentioned.isupper():
                    nearby.setdefault(mentioned, set()).update(local)
    return {key: frozenset(found) for key, found in named.items()}, {
        key: frozenset(found) for key, found in nearby.items()
    }


def methods_of(name: str) -> frozenset[str]:
    named, nearby = calls()
    return named.get(name) or nearby.get(name) or ALL


def written_out() -> Iterator[Used]:
    """Expressions that stand in a call, as in ``re.sub("a+", ...)``."""
    for tree in sources().values():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            owner, first = node.func.value, node.args[0]
            written = isinstance(first, ast.Constant) and isinstance(first.value, str)
            if written and isinstance(owner, ast.Name) and owner.id == "re" and node.func.attr in METHODS:
                places = {"sub": 4, "split": 3}
                given = [word.value for word in node.keywords if word.arg == "flags"]
                given += node.args[places.get(node.func.attr, 2) :]
                flags = eval(compile(ast.Expression(given[0]), "flags", "eval"), {"re": re}) if given else 0
                yield Used(re.compile(first.value, flags), frozenset([METHODS[node.func.attr]]))


def patterns() -> list[Used]:
    """Every expression that a module of the package holds, also in a table of them, or writes into a call."""
    found: dict[tuple[str, int], Used] = {}

    def add(used: Used) -> None:
        key = (used.pattern.pattern, used.pattern.flags)
        found[key] = Used(used.pattern, used.methods | (found[key].methods if key in found else frozenset()))

    def look(name: str, value: Any, depth: int = 0) -> None:
        if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
            add(Used(value, methods_of(name)))
        elif depth < 3 and isinstance(value, dict):
            for inner in value.values():
                look(name, inner, depth + 1)
        elif depth < 3 and isinstance(value, list | tuple | set | frozenset):
            for inner in value:
                look(name, inner, depth + 1)

    for module in modules():
        for name, value in vars(module).items():
            look(name, value)
    for used in written_out():
        add(used)
    return list(found.values())


def literals(pattern: str) -> list[str]:
    """Words and signs of an expression, from all over it."""
    own = list(dict.fromkeys(re.findall(r"(?:[A-Za-z]{2,}|[^\w\\()\[\]{}?*+|^$.])", pattern)))
    return own[:: max(1, len(own) // HEADS)][:HEADS]


def attacks(pattern: str) -> Iterator[tuple[str, str, str]]:
    """What a hostile text begins with, repeats, and ends with; the literals of the expression are among it."""
    own = literals(pattern)
    for unit in (*UNITS, *own, *(f"{word} " for word in own)):
        for end in ENDS:
            yield "", unit, end
    for head in own:
        for unit in (" ", "a", *(f"{word} " for word in own)):
            yield head, unit, "!"
            yield f"{head} ", unit, "!"


def attack(head: str, unit: str, end: str, size: int) -> str:
    return head + unit * (size // len(unit)) + end


def asked(pattern: re.Pattern[str], method: str) -> Callable[[str], object]:
    if method == "finditer":
        return lambda text: sum(1 for _ in pattern.finditer(text))
    run: Callable[[str], object] = getattr(pattern, method)
    return run


def seconds(run: Callable[[str], object], text: str, times: int = 1) -> float:
    """The least time of the processor, in seconds, for a text."""
    taken = []
    for _ in range(times):
        before = time.process_time()
        run(text)
        taken.append(time.process_time() - before)
    return min(taken)


def is_slow(used: Used, limit: float = SECONDS) -> str:
    """The first kind of text whose time grows faster than it does; empty if there is none."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGPROF, interrupt)
    try:
        for parts in attacks(used.pattern.pattern):
            for method in sorted(used.methods):
                run = asked(used.pattern, method)
                signal.setitimer(signal.ITIMER_PROF, limit)
                try:
                    if seconds(run, attack(*parts, SIZE)) < FLOOR:
                        continue
                    signal.setitimer(signal.ITIMER_PROF, 20 * limit)
                    once, twice, again = (seconds(run, attack(*parts, size * SIZE), 2) for size in (1, 2, 4))
                    if twice > GROWTH * once and again > GROWTH * twice:
                        return f"{method} of {parts}: {once:.3f} s, then {twice:.3f} s and {again:.3f} s"
                except TooLong:
                    return f"{method} of {parts}: without end"
                finally:
                    signal.setitimer(signal.ITIMER_PROF, 0)
    finally:
        signal.signal(signal.SIGPROF, before)
    return ""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_expression_takes_more_than_its_time() -> None:
    found = patterns()
    assert len(found) > 300
    assert {used.pattern.pattern: why for used in found if (why := is_slow(used))} == {}


@pytest.mark.parametrize(("text", "methods"), [
    (r"(a+)+$", ALL), (r"(\w|\w\w)+!", ALL), (r"^(\s*\S+\s*)*;", ALL), (r"say(?:[ \t]*(?:als|als))*;", ALL),
    pytest.param(r"\s*;", {"search"}, marks=pytest.mark.slow),
    (r"<!--.*?-->", {"finditer"}), (r"(.+?)\s*#*\n", {"match"}), (r"[.!]\W*$", {"search"}),
])  # fmt: skip
def test_an_expression_that_does_is_found(text: str, methods: frozenset[str]) -> None:
    assert is_slow(Used(re.compile(text), frozenset(methods)), 0.3)


@pytest.mark.parametrize(("text", "methods"), [
    (r"\s*;", {"match"}), (r"\w+", {"finditer"}), (r"(?<!\s)\s+;", {"search"}), (r"[^.]*\.", {"fullmatch"}),
])  # fmt: skip
def test_an_expression_that_does_not_is_none(text: str, methods: frozenset[str]) -> None:
    assert not is_slow(Used(re.compile(text), frozenset(methods)))


@pytest.mark.slow
def test_how_an_expression_is_asked_is_read_from_the_source() -> None:
    named, _ = calls()
    assert named["_HEADING"] >= {"match"}
    assert methods_of("NAME_OF_NOTHING") == ALL
    assert any(used.pattern.pattern == r"\n{3,}" and used.methods == {"finditer"} for used in written_out())


@pytest.mark.slow
def test_no_alternative_stands_twice_in_a_group() -> None:
    """One that is repeated doubles the ways to read each word, and with them the time."""
    twice = {}
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "(?:" in node.value:
                for group in re.findall(r"\((?:\?:)?([^()]*)\)\)*[*+{]", node.value):
                    counts = Counter(filter(None, group.split("|")))
                    same = sorted(one for one, count in counts.items() if count > 1)
                    twice |= {f"{path.name}: {group[:60]}": same} if same else {}
    assert twice == {}
