"""Answers of servers that embed and rerank, for `llm_server.Server`: right ones, in every form, and faults."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import llm_server
import numpy as np
from llm_server import Body, Served

WIDTH = 8
Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]
Score = Callable[[str, Sequence[str]], Sequence[float]]


def vector(text: str) -> list[float]:
    """A vector that only depends on the text."""
    numbers: list[float] = (
        np.random.default_rng(zlib.crc32(text.encode())).normal(size=WIDTH).astype(np.float32).tolist()
    )
    return numbers


def vectors(texts: Sequence[str]) -> list[list[float]]:
    return [vector(text) for text in texts]


def similarity(query: str, passages: Sequence[str]) -> list[float]:
    """The share of the words of a query that a passage has."""
    words = set(query.lower().split())
    return [len(words & set(passage.lower().split())) / max(len(words), 1) for passage in passages]


def tokens(texts: Sequence[str]) -> int:
    return sum(len(text.split()) for text in texts)


def embeddings(body: Body, embed: Embed = vectors) -> Served:
    """A response of ``/v1/embeddings``, the last text first: only `index` says which is which."""
    rows = [{"object": "embedding", "index": n, "embedding": list(v)} for n, v in enumerate(embed(body["input"]))]
    used = tokens(body["input"])
    return Served(content={
        "object": "list", "data": rows[::-1], "model": body["model"],
        "usage": {"prompt_tokens": used, "total_tokens": used},
    })  # fmt: skip


def _ranked(scores: Sequence[float], name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"index": place, name: score} for place, score in enumerate(scores)]
    return sorted(rows, key=lambda row: -float(row[name]))


def cohere(body: Body, score: Score = similarity) -> Served:
    """Cohere's response of ``/v2/rerank``, best first."""
    rows = _ranked(score(body["query"], body["documents"]), "relevance_score")
    return Served(content={"id": "x", "results": rows, "meta": {"billed_units": {"search_units": 1}}})


def jina(body: Body, score: Score = similarity) -> Served:
    """The response of Jina, vLLM and Infinity, with the documents."""
    rows = _ranked(score(body["query"], body["documents"]), "relevance_score")
    for row in rows:
        row["document"] = {"text": body["documents"][row["index"]]}
    return Served(content={"model": body["model"], "usage": {"total_tokens": 7}, "results": rows})


def voyage(body: Body, score: Score = similarity) -> Served:
    rows = _ranked(score(body["query"], body["documents"]), "relevance_score")
    return Served(content={"object": "list", "data": rows, "usage": {"total_tokens": 7}})


def tei(body: Body, score: Score = similarity) -> Served:
    """The response of Text Embeddings Inference: a list."""
    if "texts" not in body:
        return Served(
            422, b"Failed to deserialize the JSON body: missing field `texts`", {"content-type": "text/plain"}
        )
    return Served(content=_ranked(score(body["query"], body["texts"]), "score"))


def right(body: Body) -> Served:
    """The right answer to any of these requests."""
    return embeddings(body) if "input" in body else tei(body) if "texts" in body else jina(body)


def _rows(served: Served) -> list[dict[str, Any]]:
    content = served.content
    rows: list[dict[str, Any]] = content if isinstance(content, list) else content.get("data") or content["results"]
    return rows


def _value(row: dict[str, Any]) -> str:
    return next(name for name in ("embedding", "relevance_score", "score") if name in row)


def _changed(change: Callable[[list[dict[str, Any]]], None]) -> Callable[[Served], Served]:
    def made(served: Served) -> Served:
        change(_rows(served))
        return served

    return made


def _first_is(value: Any) -> Callable[[list[dict[str, Any]]], None]:
    def change(rows: list[dict[str, Any]]) -> None:
        name = _value(rows[0])
        rows[0][name] = [value] * WIDTH if name == "embedding" else value

    return change


WRONG: dict[str, Callable[[Served], Served]] = {
    "one result too few": _changed(lambda rows: rows.pop() and None),
    "one result too many": _changed(lambda rows: rows.append(dict(rows[0]))),
    "an index twice": _changed(lambda rows: rows[0].update(index=rows[-1]["index"]) if len(rows) > 1 else rows.clear()),
    "an index from 1": _changed(lambda rows: [row.update(index=row["index"] + 1) for row in rows] and None),
    "an index as text": _changed(lambda rows: rows[0].update(index="0")),
    "NaN": _changed(_first_is(float("nan"))),
    "null": _changed(_first_is(None)),
    "infinity": _changed(_first_is(1e300)),
    "no value": _changed(lambda rows: rows[0].pop(_value(rows[0])) and None),
    "no results": _changed(lambda rows: rows.clear()),
}  # fmt: skip
"""Each makes what cannot be used out of a right answer."""
BROKEN: dict[str, Callable[[Served], Served]] = {
    name: llm_server.FAULTS[name]
    for name in ("429 with Retry-After", "429 without Retry-After", "500", "503", "dropped connection", "hang")
} | {
    "no JSON": lambda _: Served(200, b"<html>Welcome</html>", {"content-type": "text/html"}),
    "half of the JSON": lambda _: Served(200, b'{"data": [{"index": 0, "embedding": [0.1,', {}),
    "an empty body": lambda _: Served(200, b"", {}),
    "an error in a status of 200": lambda _: Served(200, {"error": {"message": "overloaded", "code": 503}}),
}
"""Each is a fault of a server, whatever was asked."""


class Sometimes:
    """Answers rightly, and at random with a fault."""

    def __init__(self, fault: Callable[[Served], Served], share: float, seed: int = 0) -> None:
        self.fault, self.share, self.dice, self.injected = fault, share, np.random.default_rng(seed), 0

    def __call__(self, body: Body) -> Served:
        if self.dice.random() >= self.share:
            return right(body)
        self.injected += 1
        return self.fault(right(body))
