"""Words and sentences of earlier versions that have a standard term, and must not come back in docs or code.

The dictionary is short: what readers stumbled over. Identifiers count too, as their words are read by everybody who
changes the code.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORDS = {
    r"ideal parts?\b": "oracle",
    r"ideal (retriever|reranker|generator)s?\b": "oracle retriever, ...",
    r"headroom": "oracle gain",
    r"smallest (detectable|difference)": "minimum detectable effect",
    r"shatter": "subword fertility",
    r"unproven": "uncalibrated",
    r"\btwins\b": "duplicates, no-op",
    r"\breference rows?\b": "baseline rows",
    r"\blook(s|ed)? at dev\b": "dev evaluation",
    r"\bquoted (at|over|to)\b|\bquotes? of (a|the|each) candidate": "cost estimate",
    r"\bsurely\b": "significantly",
    r"\bstraw man\b": "say it plainly",
    r"\bcost to make\b": "build cost",
    r"\bdata sets?\b": "dataset",
    r"\bnothing behind it\b|\bbehind it can mend\b": "later stages cannot recover",
}
"""A pattern, without regard to case, and what to write instead."""
SENTENCES = (
    "has to learn from nothing", "takes everything out of the store", "what they would drag in",
    "the places that they may truly have", "how the ladder is meant", "Few are chance. If they are many",
    "stands in the place of the real one", "leaves with one exit code", "two as much as those seen",
    "A difference of exactly nothing", "No value but a lower bound means", "the last half of those you have bought",
    "from which nothing comes back", "surely gains more than the margin, and", "what the pool lacks nothing behind it",
    "the model hardly knows this vocabulary", "makes nothing of a better pool",
    "what its cache of answers lacks fails, and is named", "Judge so many, each kind of them by its share",
    "'margin' belongs to a measure", "has not what it needs", "the same command goes on from there",
    "no '_id' in words", "its process was ended by", "say why these scores are the ones to hold on to",
    "what is chosen on test is not unseen",
)  # fmt: skip
"""Beginnings of sentences that a review found hard to read."""
EXCEPTIONS = {
    ("harness/values/upgrades.py", r"headroom"),
    ("harness/values/upgrades.py", r"shatter"),
    ("harness/values/upgrades.py", r"unproven"),
}
"""Files that read what earlier versions wrote."""
SUFFIXES = {".md", ".py", ".yaml", ".txt", ".j2"}


def pages() -> list[Path]:
    inside = [path for path in (ROOT / "harness").rglob("*") if "__pycache__" not in path.parts]
    outside = [path for folder in ("docs", "suites") for path in (ROOT / folder).rglob("*")]
    every = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *outside, *inside]
    return sorted(path for path in every if path.suffix in SUFFIXES)


def words_of(path: Path) -> str:
    """The text of a file in one line, with string literals that stand below each other joined."""
    return " ".join(re.sub(r'"\s*\n\s*f?"', "", path.read_text(encoding="utf-8")).split())


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_word_or_sentence_of_the_house_comes_back(path: Path) -> None:
    name, text = path.relative_to(ROOT).as_posix(), words_of(path)
    for pattern, better in WORDS.items():
        if (name, pattern) not in EXCEPTIONS:
            match = re.search(pattern, text, re.IGNORECASE)
            assert match is None, f"{name}: {match[0]!r}; write {better!r}"
    for sentence in SENTENCES:
        assert sentence.lower() not in text.lower(), f"{name}: {sentence!r}"


def test_shares_are_written_in_one_way() -> None:
    """``57 %``, as `text.decimals.percent` writes it."""
    other = re.compile(r"\.\d%\}|\b\d+% (?=of|simultaneous|are|is)")
    found = {path.name: other.findall(path.read_text(encoding="utf-8")) for path in pages()}
    assert {name: hits for name, hits in found.items() if hits} == {}
