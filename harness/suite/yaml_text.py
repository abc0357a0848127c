"""YAML in, within bounds: a few lines of aliases can stand for more values than memory holds.

Knows no suites.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

MOST_VALUES = 100_000
TOO_DEEP = "nested too deeply, or holds itself"


class NotYaml(ValueError):
    """A text that is no YAML, or too much of it: what is wrong, and in which line (counted from 1, 0 if unknown)."""

    def __init__(self, what: str, line: int = 0) -> None:
        self.what, self.line = what, line
        super().__init__(what)


class Parsed(NamedTuple):
    """A text as nodes, which know their lines, and as the value that it stands for; both are None for an empty one."""

    node: yaml.Node | None
    value: Any


def parsed(text: str) -> Parsed:
    """Parse a text of plain values: no object of a program is made. Raises NotYaml."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            return Parsed(None, None)
        if _values(node, {}, set()) > MOST_VALUES:
            raise NotYaml(f"its aliases stand for more than {MOST_VALUES:,} values", node.start_mark.line + 1)
        # Parsed again, as keys that are merged into a mapping are moved into its node.
        return Parsed(node, yaml.safe_load(text))
    except NotYaml:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise NotYaml(error.problem or "damaged", mark.line + 1 if mark else 0) from error
    except RecursionError:
        raise NotYaml(TOO_DEEP) from None
    except (yaml.YAMLError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        # What a value with a tag that does not fit it makes of the parser.
        raise NotYaml(_first_line(error)) from error


def _values(node: yaml.Node, known: dict[int, int], above: set[int]) -> int:
    """Count the values that a node stands for, those of an alias at each place where it stands."""
    if isinstance(node, yaml.ScalarNode) or id(node) in above:
        return 1
    if id(node) not in known:
        above.add(id(node))
        inner = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
        known[id(node)] = 1 + sum(_values(part, known, above) for part in inner)
        above.discard(id(node))
    return known[id(node)]


def _first_line(error: Exception) -> str:
    said = str(error).splitlines()[:1] if isinstance(error, yaml.YAMLError | ValueError) else []
    return said[0] if said else "a value does not fit its tag"
