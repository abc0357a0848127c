"""What facts are called and mean, and how their numbers are written in sentences. Knows no diagnosis and no rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

Facts = Mapping[str, float | None]
"""A value by the name of the fact; None, or no name, where it is not known."""
Unit = Literal["share", "difference", "size", "count", "ms", "dollars", "yes"]


class Meaning(NamedTuple):
    """What a fact says, as words that stand in a sentence, and the unit of its number. ``yes`` is 1 for yes, else 0."""

    about: str
    unit: Unit
    interval: bool = False


MEANINGS: dict[str, Meaning] = {
    "n.judged": Meaning("the number of judged questions", "count"),
    "n.groups": Meaning("the number of groups of questions", "count"),
    "n.groups.answers": Meaning("the number of groups of questions that answers were written to", "count"),
    "answers.unproven": Meaning("the number of measures of answers that rest on a judge not calibrated", "count"),
    "n.unshown": Meaning("the number of answerable questions that were shown no relevant passage", "count"),
    "train.judged": Meaning("the number of judged questions to train on", "count"),
    "lost.pool": Meaning("the share of questions whose relevant documents are not in the pool", "share", True),
    "lost.context": Meaning("the share of questions whose relevant documents are found and not shown", "share", True),
    "lost.wrong": Meaning("the share of questions answered wrongly from the right passages", "share", True),
    "lost.abstained": Meaning("the share of questions not answered in spite of the right passages", "share", True),
    "lost.format": Meaning("the share of questions with the right content in the wrong format", "share", True),
    "lost.generator": Meaning("the share of questions that the generator lost", "share"),
    "right": Meaning("the share of questions answered rightly", "share", True),
    "invented": Meaning("the share of unanswerable questions that got an answer", "share", True),
    "right_without": Meaning("the share with the right content of the questions shown no relevant passage", "share"),
    "room.known": Meaning("the number of ideal parts that were tried", "count"),
    "room.clear": Meaning("the number of parts that surely could buy more than the margin", "count"),
    "room.possible": Meaning("the number of parts that might buy more than the margin", "count"),
    **{
        f"room.{part}{suffix}": Meaning(f"what {of_part} would gain{of}", "difference", True)
        for part, of_part in (
            *((part, f"an ideal {part}") for part in ("retriever", "reranker", "retrieval", "generator")),
            ("without_reranker", "leaving the reranker out"),
        )
        for suffix, of in (("", " in ranks"), (".answers", " in answers"))
    },
    "margin.rank": Meaning("the margin in ranks", "size"),
    "margin.answers": Meaning("the margin in answers", "size"),
    "detectable": Meaning("the smallest difference in ranks that the questions could show", "size"),
    "detectable.margins": Meaning("the smallest difference in ranks that they could show, in margins,", "count"),
    "detectable.answers": Meaning("the smallest difference in answers that the questions could show", "size"),
    "detectable.answers.margins": Meaning("the smallest difference in answers, in margins,", "count"),
    "depth": Meaning("the depth of the pool", "count"),
    "pool.share": Meaning("the share of all documents that a pool holds", "share"),
    "gain.depth": Meaning("what a deeper pool gains in questions with a relevant document in it", "difference", True),
    "gain.depth.to": Meaning("the depth that this is told for", "count"),
    "gain.depth.since": Meaning("the depth since which this was gained", "count"),
    "gain.depth.measured": Meaning("the greater depth was measured", "yes"),
    "rerank.depth": Meaning("the number of documents that a reranker orders", "count"),
    "gain.rerank_depth": Meaning("the share of questions whose documents stand too deep to be reranked", "share", True),
    "context": Meaning("the number of passages shown", "count"),
    "context.best": Meaning("the number of passages at which answers are best", "count"),
    "gain.context": Meaning("what showing that number of passages gains in answers", "difference", True),
    "gain.context.half": Meaning("half the width of the interval of that gain", "size"),
    "p95_ms": Meaning("the time of the slowest twentieth of queries", "ms"),
    "added.p95.reranker": Meaning("the time that a reranker adds", "ms"),
    "added.p95.reranker.guessed": Meaning("the time that a reranker adds is a guess", "yes"),
    "p95.reranker": Meaning("the time of the slowest twentieth of queries with a reranker", "ms"),
    "limit.p95_ms": Meaning("the limit max_p95_ms", "ms"),
    "limit.usd": Meaning("the limit max_build_usd", "dollars"),
    "generator.served": Meaning("the generator is served at an endpoint, where it cannot be tuned", "yes"),
    "reranker.real": Meaning("the pipeline has a reranker", "yes"),
    "reranker.planned": Meaning("the pipeline or a candidate has a reranker", "yes"),
    "reranker.tuned": Meaning("a candidate tunes a reranker", "yes"),
    "reranker.untrained": Meaning("the reranker starts from a model without a trained head", "yes"),
}  # fmt: skip
"""Every fact but ``sign.<name>``, with ``.bar`` and ``.worrying``, and ``share.p95.<part>``.

A fact with an interval has its ends beside it: ``.low`` and ``.high``.
"""
ENDS = (".low", ".high")
NAMES = tuple(base + end for base, one in MEANINGS.items() for end in ("", *(ENDS if one.interval else ())))


def meaning(name: str) -> Meaning | None:
    """What a fact means; None if there is no fact of that name."""
    base, _, end = name.rpartition(".")
    if name in NAMES:
        return MEANINGS.get(name) or _of_end(MEANINGS[base], end)
    if name.startswith("share.p95."):
        return Meaning(f"the share of the part {name.removeprefix('share.p95.')!r} in the time", "share")
    if not name.startswith("sign."):
        return None
    if end == "worrying":
        return Meaning(f"the sign {base.removeprefix('sign.')!r} is worrying", "yes")
    return Meaning(f"the {'bar of the ' * (end == 'bar')}sign {name.split('.')[1]!r}", "share")


def _of_end(whole: Meaning, end: str) -> Meaning:
    return Meaning(f"{whole.about}, at the {end} end of its interval,", whole.unit)


def in_words(name: str, known: Facts) -> str | None:
    """A fact with its unit and, if it has one, its interval: ``12 % [8, 17]``; None if it is not known."""
    value, found = known.get(name), meaning(name)
    if value is None or found is None:
        return None
    ends = [end for part in ENDS if (end := known.get(name + part)) is not None]
    if found.unit == "share":
        share = "<1 %" if 0 < value < 0.005 else f"{100 * value:.0f} %"
        return share + (f" [{100 * ends[0]:.0f}, {100 * ends[1]:.0f}]" if len(ends) == 2 else "")
    if found.unit == "difference":
        return f"{value:+.3f}" + (f" [{ends[0]:+.3f}, {ends[1]:+.3f}]" if len(ends) == 2 else "")
    return number(value, found.unit)


def number(value: float, unit: Unit) -> str:
    """A number with its unit: ``12.5 %``, ``+0.042``, ``1,200``, ``812 ms``, ``$0.30``."""
    return {
        "share": f"{round(100 * value, 1):g} %",
        "difference": f"{value:+.3f}",
        "size": f"{value:.3f}",
        "count": f"{value:,.{0 if value == int(value) else 1}f}",
        "ms": f"{value:,.0f} ms",
        "dollars": f"${value:,.2f}",
        "yes": "yes" if value else "no",
    }[unit]
