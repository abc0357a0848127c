"""The turns before a query under a budget: what of them is searched with, and what a prompt shows.

The newest turns say what a query refers to, so the oldest are dropped first. Whoever calls counts tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import dropwhile, groupby
from typing import NamedTuple

from harness.values.records import Turn

Count = Callable[[str], int]
Cut = Callable[[str, int], str]
"""Shortens a text to so many tokens."""


class Shown(NamedTuple):
    """Turns that alternate, the user's first and an answer last; `asked` is what the user said after them."""

    turns: list[Turn]
    asked: str = ""


def concatenated(turns: Sequence[Turn], query: str, limit: int | None, count: Count) -> str:
    """Return what the user said, and the query as the last line.

    A turn is left out, with all before it, if the text would have more than `limit` tokens. The query is always whole:
    one that is longer than the limit stands alone. Answers are left out: they are long, and their words lead the search
    to what was found before.
    """
    text = query
    for turn in reversed(turns):
        if turn.role == "user":
            longer = f"{' '.join(turn.content.split())}\n{text}"
            if limit is not None and count(longer) > limit:
                break
            text = longer
    return text


def recent(turns: Sequence[Turn], budget: int, count: Count, cut: Cut) -> list[Turn]:
    """Return the newest turns of at most `budget` tokens together, in order.

    A turn has at most half of the budget, so that a long answer does not take the place of its question.
    """
    kept: list[Turn] = []
    most, left = budget // 2, budget
    for turn in reversed(turns) if most else ():
        text = turn.content if count(turn.content) <= most else cut(turn.content, most)
        left -= count(text)
        if left < 0:
            break
        kept.append(turn._replace(content=text))
    return kept[::-1]


def alternating(turns: Sequence[Turn]) -> Shown:
    """Return the turns as chat templates want them: neighbours of one role are joined.

    Answers before the first turn of the user are left out; many templates refuse them.
    """
    begun = dropwhile(lambda turn: turn.role != "user", turns)
    of_one = [list(same) for _, same in groupby(begun, key=lambda turn: turn.role)]
    joined = [same[-1]._replace(content="\n\n".join(turn.content for turn in same)) for same in of_one]
    if joined and joined[-1].role == "user":
        return Shown(joined[:-1], joined[-1].content)
    return Shown(joined)


def written(turns: Sequence[Turn]) -> str:
    """Return the turns as lines, each with who says it."""
    return "\n".join(f"{turn.role.capitalize()}: {' '.join(turn.content.split())}" for turn in turns)
