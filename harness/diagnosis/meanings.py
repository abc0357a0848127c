"""The names of facts, their meanings, and how their numbers are written in sentences.

This module must not know a diagnosis or a rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from harness.text import decimals

Facts = Mapping[str, float | None]
"""A value by the name of the fact; None, or no name, where it is not known."""
Unit = Literal["share", "difference", "size", "count", "ms", "dollars", "yes"]


class Meaning(NamedTuple):
    """What a fact says, as words that stand in a sentence, and the unit of its number.

    A fact with the unit ``yes`` is 1 or 0: `about` is a clause that holds for 1, and `negated` one that holds for 0.
    """

    about: str
    unit: Unit
    interval: bool = False
    negated: str = ""


MEANINGS: dict[str, Meaning] = {
    "n.judged": Meaning("the number of judged queries", "count"),
    "n.groups": Meaning("the number of groups of queries", "count"),
    "n.groups.answers": Meaning("the number of groups of answered queries", "count"),
    "answers.uncalibrated": Meaning("the number of answer measures that rest on an uncalibrated judge", "count"),
    "n.unshown": Meaning("the number of answerable queries whose context held no relevant passage", "count"),
    "train.judged": Meaning("the number of judged queries in the train split", "count"),
    "lost.pool": Meaning("the share of queries with no relevant document in the pool", "share", True),
    "lost.context": Meaning(
        "the share of queries whose relevant documents are in the pool and not shown", "share", True
    ),
    "lost.wrong": Meaning("the share of queries answered wrongly with a relevant passage shown", "share", True),
    "lost.abstained": Meaning("the share of queries not answered with a relevant passage shown", "share", True),
    "lost.format": Meaning("the share of queries with correct content in the wrong format", "share", True),
    "lost.generator": Meaning("the share of queries that the generator lost", "share"),
    "right": Meaning("the share of queries answered correctly", "share", True),
    "invented": Meaning("the share of unanswerable queries that got an answer", "share", True),
    "right_without": Meaning("the share of correct answers among queries with no relevant passage shown", "share"),
    "oracle_gain.known": Meaning("the number of oracles that were measured", "count"),
    "oracle_gain.clear": Meaning("the number of oracle gains significantly above the margin", "count"),
    "oracle_gain.possible": Meaning("the number of oracle gains that could be above the margin", "count"),
    **{
        f"oracle_gain.{part}{suffix}": Meaning(f"the {gain}{of}", "difference", True)
        for part, gain in (
            *((part, f"oracle gain of the {part}") for part in ("retriever", "reranker", "generator")),
            ("retrieval", "oracle gain of retrieval"),
            ("without_reranker", "gain without the reranker"),
        )
        for suffix, of in (("", " in retrieval"), (".answers", " in answers"))
    },
    "margin.rank": Meaning("the margin in retrieval", "size"),
    "margin.answers": Meaning("the margin in answers", "size"),
    "mde": Meaning("the minimum detectable effect in retrieval", "size"),
    "mde.margins": Meaning("the ratio of the minimum detectable effect in retrieval to the margin", "count"),
    "mde.answers": Meaning("the minimum detectable effect in answers", "size"),
    "mde.answers.margins": Meaning("the ratio of the minimum detectable effect in answers to the margin", "count"),
    "depth": Meaning("the depth of the pool", "count"),
    "pool.share": Meaning("the share of all documents that a pool holds", "share"),
    "gain.depth": Meaning("the gain of a deeper pool in queries with a relevant document in it", "difference", True),
    "gain.depth.to": Meaning("the depth of the deeper pool", "count"),
    "gain.depth.since": Meaning("the depth that the gain is measured from", "count"),
    "gain.depth.measured": Meaning("the deeper pool was measured", "yes", negated="the deeper pool was not measured"),
    "rerank.depth": Meaning("the number of documents that a reranker orders", "count"),
    "gain.rerank_depth": Meaning("the share of queries whose documents rank too low to be reranked", "share", True),
    "context": Meaning("the number of passages shown", "count"),
    "context.best": Meaning("the number of passages at which answers are best", "count"),
    "gain.context": Meaning("the gain in answers at the best number of passages", "difference", True),
    "gain.context.half": Meaning("half the width of the interval of that gain", "size"),
    "free.known": Meaning("the number of training-free candidates that were measured", "count"),
    "free.gain": Meaning("the gain of the best training-free candidate in retrieval", "difference", True),
    "free.gain.answers": Meaning("the gain of the best training-free candidate in answers", "difference", True),
    "free.added": Meaning("the p95 latency that it adds to retrieval", "ms"),
    "conversation.turns": Meaning("the share of judged queries with earlier turns", "share"),
    "concatenate.open": Meaning(
        "earlier turns are not searched with, and no candidate of the suite joins them",
        "yes",
        negated="earlier turns are searched with, or a candidate of the suite joins them",
    ),
    "rewrite.open": Meaning(
        "the role rewriter is at an endpoint, earlier turns are not searched with, and no candidate of the suite "
        "rewrites queries",
        "yes",
        negated="the role rewriter is not at an endpoint, earlier turns are searched with, or a candidate of the suite "
        "rewrites queries",
    ),
    "gain.concatenate": Meaning("the gain in retrieval of joining earlier turns and the query", "difference", True),
    "left.gain": Meaning("the oracle gain of the retriever after the training-free change", "difference", True),
    "left.pool": Meaning(
        "the share of queries with no relevant document in the pool after the training-free change", "share", True
    ),
    "left.context": Meaning(
        "the share of queries whose relevant documents are in the pool and not shown after the training-free change",
        "share",
        True,
    ),
    "p95_ms": Meaning("the p95 latency", "ms"),
    "added.p95.reranker": Meaning("the p95 latency that a reranker adds", "ms"),
    "added.p95.reranker.guessed": Meaning(
        "the latency of a reranker is a guess", "yes", negated="the latency of a reranker was measured"
    ),
    "p95.reranker": Meaning("the p95 latency with a reranker", "ms"),
    "encoder.reads": Meaning("the number of tokens that the retriever reads of a passage", "count"),
    "limit.p95_ms": Meaning("the limit max_p95_ms", "ms"),
    "limit.usd": Meaning("the limit max_build_usd", "dollars"),
    "generator.remote": Meaning(
        "the generator is at an endpoint, where it cannot be tuned",
        "yes",
        negated="the generator is not at an endpoint",
    ),
    "reranker.real": Meaning("the pipeline has a reranker", "yes", negated="the pipeline has no reranker"),
    "reranker.planned": Meaning(
        "the pipeline or a candidate has a reranker",
        "yes",
        negated="neither the pipeline nor a candidate has a reranker",
    ),
    "reranker.tuned": Meaning("a candidate tunes a reranker", "yes", negated="no candidate tunes a reranker"),
    "reranker.untrained": Meaning(
        "the reranker starts from a model without a trained ranking head",
        "yes",
        negated="the reranker starts from a model with a trained ranking head",
    ),
}
"""Every fact but ``sign.<name>``, with ``.bar`` and ``.worrying``, and ``share.p95.<part>``.

A fact with an interval has its bounds in ``.low`` and ``.high``.
"""
ENDS = (".low", ".high")
NAMES = tuple(base + end for base, one in MEANINGS.items() for end in ("", *(ENDS if one.interval else ())))


def meaning(name: str) -> Meaning | None:
    """Return the meaning of a fact; None if there is no fact of that name."""
    base, _, end = name.rpartition(".")
    if name in NAMES:
        return MEANINGS.get(name) or _of_end(MEANINGS[base], end)
    if name.startswith("share.p95."):
        return Meaning(f"the share of the part {name.removeprefix('share.p95.')!r} in the p95 latency", "share")
    if not name.startswith("sign."):
        return None
    if end == "worrying":
        sign = repr(base.removeprefix("sign."))
        return Meaning(f"the sign {sign} is worrying", "yes", negated=f"the sign {sign} is not worrying")
    return Meaning(f"the {'threshold of the ' * (end == 'bar')}sign {name.split('.')[1]!r}", "share")


def _of_end(whole: Meaning, end: str) -> Meaning:
    return Meaning(f"{whole.about} ({'lower' if end == 'low' else 'upper'} bound)", whole.unit)


def in_words(name: str, known: Facts) -> str | None:
    """Return a fact with its unit and, if it has one, its interval: ``12 % [8, 17]``; None if it is not known."""
    value, fact = known.get(name), meaning(name)
    if value is None or fact is None:
        return None
    ends = [end for part in ENDS if (end := known.get(name + part)) is not None]
    if fact.unit == "share":
        return decimals.percent(value) + (f" [{100 * ends[0]:.0f}, {100 * ends[1]:.0f}]" if len(ends) == 2 else "")
    if fact.unit == "difference":
        low, high = (known.get(name + end) for end in ENDS)
        return decimals.difference(value, low, high)
    return number(value, fact.unit)


def number(value: float, unit: Unit) -> str:
    """Return a number with its unit: ``12.5 %``, ``+0.042``, ``1,200``, ``812 ms``, ``$0.30``."""
    return {
        "share": f"{round(100 * value, 1):g} %",
        "difference": decimals.signed(value),
        "size": decimals.fixed(value),
        "count": f"{value:,.{0 if value == int(value) else 1}f}",
        "ms": f"{value:,.0f} ms",
        "dollars": f"${value:,.2f}",
        "yes": "yes" if value else "no",
    }[unit]
