"""Docstrings in numpydoc form, read into plain text: leading signatures, summary, description, sections.

This module works on strings alone; it must not know the object that a docstring belongs to.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from itertools import pairwise
from typing import NamedTuple

_UNDERLINE = re.compile(r"[-=]{3,}\s*$")
_DIRECTIVE = re.compile(r"^(\s*)\.\. ([\w-]+)::(.*)$")
_COMMENT = re.compile(r"^(\s*)\.\. (?![\w-]+::)")
_OPTION = re.compile(r"^\s+:[\w-]+:( \S+)?\s*$")
_BULLET = re.compile(r"([-*+•]|\d+[.)]|\(\w\))\s")
_LEAVE_OUT = {"versionadded", "versionchanged", "deprecated", "plot", "seealso", "jupyterlite", "only", "image"}
_SENTENCE = re.compile(r"(?<!\s[A-Z])(?<!e\.g)(?<!i\.e)(?<!a\.k\.a)(?<!\bvs)(?<!\betc)\.\s+(?=[A-Z])")

_INLINE = [
    (re.compile(r":(?:[\w-]+:)?[\w-]+:`([^`<](?:[^`<]*[^`<\s])?)\s*<[^`>]*>`"), r"\1"),
    (re.compile(r":(?:[\w-]+:)?(?:func|meth|class|obj|mod|attr|data|ref|doc):`~(?:[\w]+\.)*(\w+)`"), r"\1"),
    (re.compile(r":(?:[\w-]+:)?[\w-]+:`([^`]+)`"), r"\1"),
    (re.compile(r"``([^`]+)``"), r"\1"),
    (re.compile(r"`([^`<](?:[^`<]*[^`<\s])?)\s*<[^`>]*>`_{1,2}"), r"\1"),
    (re.compile(r"`~(?:[\w]+\.)*(\w+)`"), r"\1"),
    (re.compile(r"`([^`]+)`_{0,2}"), r"\1"),
    (re.compile(r"(?<!\s)\s*\[[\w.-]+\]_(?!\w)"), ""),
    (re.compile(r"\*\*(\w[^*]*\w)\*\*"), r"\1"),
    (re.compile(r"(?<![\w*])\*(\w(?:[^*]*\w)?)\*(?![\w*])"), r"\1"),
    (re.compile(r"\\([*_`|])"), r"\1"),
    (re.compile(r"::(?=\s*$)"), ":"),
    (re.compile(r"`"), ""),
]


class Docstring(NamedTuple):
    """`signature` is what stands in front of the summary, ``(x, out=None)``; sections keep their markup."""

    signature: str
    summary: str
    description: str
    sections: dict[str, str]


def parse_docstring(text: str, name: str) -> Docstring:
    """Split the docstring of the symbol `name` (its bare name)."""
    head, sections = _split_sections(inspect.cleandoc(text))
    paragraphs = [part for part in re.split(r"\n\s*\n", head) if part.strip()]
    signature = ""
    starts = re.compile(rf"\s*+(?:[\w., ]+=\s*+)?{re.escape(name)}(\(.*\))\s*$", re.DOTALL)
    while paragraphs and (match := starts.match(paragraphs[0])):
        signature = " ".join(match[1].replace("\\", "").split())
        del paragraphs[0]
    if not paragraphs:
        return Docstring(signature, "", "", sections)
    summary, rest = _first_sentence(plain(paragraphs[0]))
    description = "\n\n".join(part for part in (rest, prose("\n\n".join(paragraphs[1:]))) if part)
    return Docstring(signature, summary, description, sections)


def plain(text: str) -> str:
    """One line without rst markup; formulas stay as they are."""
    line = " ".join(text.split())
    for pattern, by in _INLINE:
        line = pattern.sub(by, line)
    return " ".join(line.split())


def prose(text: str) -> str:
    """Paragraphs of one line each; directives about versions and pictures are left out."""
    return "\n\n".join(filter(None, (_flow(part) for part in re.split(r"\n\s*\n", _directives(text)))))


def entries(section: str) -> str:
    """A section of numpydoc entries: ``name : type``, and below it, indented, what it means on one line."""
    lines: list[str] = []
    body: list[str] = []
    for line in [*_directives(textwrap.dedent(section)).split("\n"), "."]:
        if not line[:1].strip():
            body.append(line)
            continue
        if meaning := plain("\n".join(body)):
            lines.append(f"    {meaning}")
        lines.append(plain(line))
        body = []
    return "\n".join(lines[:-1])


def entry_names(section: str) -> list[str]:
    """The names that a section of numpydoc entries explains, in order."""
    heads = [line.split(":")[0] for line in textwrap.dedent(section).split("\n") if line[:1].strip()]
    names = [name.strip().replace("\\", "").strip("`") for head in heads for name in head.split(",")]
    return [name for name in names if re.fullmatch(r"\*{0,2}[A-Za-z]\w*", name)]


def _split_sections(text: str) -> tuple[str, dict[str, str]]:
    lines = text.split("\n")
    starts = [
        at
        for at in range(len(lines) - 1)
        if lines[at][:1].strip() and _UNDERLINE.match(lines[at + 1]) and not _UNDERLINE.match(lines[at])
    ]
    head = "\n".join(lines[: starts[0]] if starts else lines)
    sections: dict[str, str] = {}
    for at, end in pairwise([*starts, len(lines)]):
        sections.setdefault(lines[at].strip().rstrip(":"), "\n".join(lines[at + 2 : end]).strip("\n"))
    return head, sections


def _first_sentence(summary: str) -> tuple[str, str]:
    parts = _SENTENCE.split(summary, maxsplit=1)
    return parts[0].strip(), parts[1].strip() if len(parts) > 1 else ""


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _directives(text: str) -> str:
    """Take the directive lines out; of those in `_LEAVE_OUT`, and of comments, the block below as well."""
    left: list[str] = []
    skip_below: int | None = None
    for line in text.split("\n"):
        if skip_below is not None and (not line.strip() or _indent(line) > skip_below):
            continue
        skip_below = None
        if match := _DIRECTIVE.match(line):
            if match[2] in _LEAVE_OUT:
                skip_below = len(match[1])
            else:
                left += ["", match[1] + match[3].strip() if match[2] in ("math", "note", "warning") else ""]
        elif match := _COMMENT.match(line):
            skip_below = len(match[1])
        elif not _OPTION.match(line):
            left.append(line)
    return "\n".join(left)


def _flow(paragraph: str) -> str:
    """Join the lines of a paragraph, one line a bullet; rows of tables are left out."""
    items: list[list[str]] = [[]]
    for line in paragraph.split("\n"):
        bare = line.strip()
        if re.fullmatch(r"[-=+| ]{4,}", bare) or (bare.startswith("|") and bare.endswith("|")):
            continue
        if _BULLET.match(bare):
            items.append([])
        items[-1].append(bare)
    return "\n".join(filter(None, (plain("\n".join(item)) for item in items)))
