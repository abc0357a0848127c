"""No regular expression of the package backtracks without end: some kilobytes take it seconds at most."""

from __future__ import annotations

import importlib
import pkgutil
import re
import signal
from collections.abc import Iterator
from types import FrameType, ModuleType
from typing import Any

import pytest

import harness

SIZE = 4000
SECONDS = 2.0
"""Of the processor: what backtracks without end needs more than all time, and what is quadratic some tenths."""
UNITS = (
    "a", "A", "0", " ", "\n", "\t", "-", "_", ".", ",", ":", "/", "\\", "'", '"', "(", "[", "{", "<", ">", "|", "#",
    "*", "`", "=", "&", "%", "é", "ß", "\u3042", "a ", "a\n", "\n ", " \n", "a1", "1.", "a.", "a,", "- ", "* ", "| ",
    "\\'", "\\\"", "', '", "[[", "{{", "<a", "</", "<!--", "&a", "://", "a@", "a=", "[a](", "  \n", "\r\n", "\n\n",
    "A.",
    "A. ",
)  # fmt: skip
ENDS = ("", "!", "\n", "\x00", "x")


class TooLong(Exception):
    pass


def modules() -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(harness.__path__, "harness."):
        if "__main__" in info.name or info.name.startswith("harness._data"):
            continue
        try:
            yield importlib.import_module(info.name)
        except ImportError:
            # Of an extra that is not installed here.
            continue


def patterns() -> dict[str, re.Pattern[str]]:
    """Every compiled expression that a module or a class of the package has, also in a table of them."""
    found: dict[str, re.Pattern[str]] = {}

    def look(at: str, value: Any, depth: int = 0) -> None:
        if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
            found.setdefault(value.pattern, value)
        elif depth < 3 and isinstance(value, dict):
            for inner in value.values():
                look(at, inner, depth + 1)
        elif depth < 3 and isinstance(value, list | tuple | set | frozenset):
            for inner in value:
                look(at, inner, depth + 1)

    for module in modules():
        for name, value in vars(module).items():
            look(f"{module.__name__}.{name}", value)
    return found


def attacks(pattern: re.Pattern[str]) -> Iterator[str]:
    """Texts of one repeated unit; the literals of the expression are units, too."""
    own = set(re.findall(r"(?:[A-Za-z]{2,}|[^\w\\()\[\]{}?*+|^$])", pattern.pattern)[:6])
    for unit in (*UNITS, *sorted(own)):
        body = unit * (SIZE // len(unit))
        for end in ENDS:
            yield body + end


def is_slow(pattern: re.Pattern[str], seconds: float = SECONDS) -> str:
    """The unit of the first text that takes too long; empty if none does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGPROF, interrupt)
    try:
        for text in attacks(pattern):
            signal.setitimer(signal.ITIMER_PROF, seconds)
            try:
                pattern.search(text)
                pattern.fullmatch(text)
            except TooLong:
                return repr(text[:12] + "..." + text[-3:])
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
    finally:
        signal.signal(signal.SIGPROF, before)
    return ""


@pytest.mark.slow
def test_no_expression_backtracks_without_end() -> None:
    found = patterns()
    assert len(found) > 100
    assert {text: why for text, pattern in found.items() if (why := is_slow(pattern))} == {}


@pytest.mark.parametrize("text", [r"(a+)+$", r"(\w|\w\w)+!", r"^(\s*\S+\s*)*;"])
def test_an_expression_that_does_is_found(text: str) -> None:
    assert is_slow(re.compile(text), 0.2)
