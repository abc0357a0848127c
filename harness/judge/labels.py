"""Answers that people rated: reading them from a file, and drawing a stratified sample.

This module must not know who judges, or how the ratings are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from harness.data.formats import read_jsonl
from harness.errors import DataError, Problem
from harness.text.decimals import is_finite
from harness.values.measures import Measure


class LabelledAnswer(NamedTuple):
    """An answer that people rated; rows of one `turn` answer the same question. `ratings` are of one measure."""

    row_id: str
    turn: str
    question: str
    answer: str
    passages: tuple[str, ...]
    ratings: tuple[float, ...]
    model: str = ""
    reference: str = ""

    def rescaled(self, scale: tuple[float, float]) -> list[float]:
        """The ratings as shares of the scale, 0 to 1."""
        return [(rating - scale[0]) / (scale[1] - scale[0]) for rating in self.ratings]


def read_labels(path: Path, measure: Measure) -> tuple[LabelledAnswer, ...]:
    """Read rated answers from a JSON Lines file: ``id, question, answer, context, history, ratings, model, reference``.

    `context` is a text or a list of passages, and may be empty; `history` (earlier turns, a line each) becomes part of
    the question. `ratings` holds a list of numbers under the name of the measure. A row's turn is its `turn`,
    or its id without ``-<model>`` at the end. Raises DataError with every invalid line.
    """
    problems: list[Problem] = []
    rows: dict[str, LabelledAnswer] = {}
    for number, value in read_jsonl(path, problems):
        where = f"{path}:{number}"
        faults = list(_faults(value, measure))
        problems += [Problem(where, *fault) for fault in faults]
        if not faults:
            row = _labelled(value, measure)
            if row.row_id in rows:
                problems.append(Problem(where, f"id {row.row_id!r} is used twice", "give each row its own"))
            rows[row.row_id] = row
    if not rows and not problems:
        problems.append(Problem(str(path), "no rated answers", "write one on each line"))
    if problems:
        raise DataError(problems)
    return tuple(rows.values())


def _faults(value: Mapping[str, Any], measure: Measure) -> Iterator[tuple[str, str]]:
    """Yield each problem of a line and its hint."""
    for field in ("id", "question", "answer"):
        if not isinstance(value.get(field), str) or not value[field].strip():
            yield f"{field!r} must be a non-empty string", f'write "{field}": "..."'
    if any(not isinstance(value.get(field) or "", str) for field in ("model", "reference", "turn")):
        yield "'model', 'reference' and 'turn' must be strings", "write them in quotes"
    if not isinstance(value.get("context") or "", str) and not _is_texts(value["context"]):
        yield "'context' must be a string or a list of strings", 'write "context": "..."'
    if not _is_texts(value.get("history") or []):
        yield "'history' must be a list of strings", 'write "history": ["user: ...", "agent: ..."]'
    ratings = value.get("ratings")
    known = ratings if isinstance(ratings, dict) else {}
    own = known.get(measure.name)
    if not isinstance(own, list) or not own or not all(map(is_finite, own)):
        rated = f"rated here: {', '.join(map(str, known))}" if known else "nothing is rated here"
        yield f"no numeric ratings of {measure.name!r}", f'write "ratings": {{"{measure.name}": [1, 2]}}; {rated}'


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _labelled(value: Mapping[str, Any], measure: Measure) -> LabelledAnswer:
    model, context, history = value.get("model") or "", value.get("context") or [], value.get("history") or []
    passages = [context] if isinstance(context, str) else context
    return LabelledAnswer(
        row_id=value["id"],
        turn=value.get("turn") or value["id"].removesuffix(f"-{model}" if model else ""),
        question="\n".join([*history, f"user: {value['question']}"]) if history else value["question"],
        answer=value["answer"],
        passages=tuple(passage for passage in passages if passage.strip()),
        ratings=tuple(map(float, value["ratings"][measure.name])),
        model=model,
        reference=value.get("reference") or "",
    )


def scale_of(rows: Sequence[LabelledAnswer]) -> tuple[float, float]:
    """Return the lowest and the highest rating; raise DataError if they are equal."""
    ratings = [rating for row in rows for rating in row.ratings]
    low, high = min(ratings), max(ratings)
    if low == high:
        raise DataError(Problem("", f"every rating is {low:g}", "a calibration needs good and bad answers"))
    return low, high


def sample_rows(rows: Sequence[LabelledAnswer], size: int, seed: int) -> tuple[LabelledAnswer, ...]:
    """Draw a sample stratified by context (with or without), rating and model.

    The rows are sorted by these, randomly among equals, and taken at equal steps; they are returned in file order.
    """
    if size >= len(rows):
        return tuple(rows)
    generator = np.random.default_rng(seed)
    chance = generator.permutation(len(rows))
    kinds = [(bool(row.passages), round(fmean(row.ratings)), row.model) for row in rows]
    order = sorted(range(len(rows)), key=lambda number: (kinds[number], chance[number]))
    taken = np.floor((np.arange(size) + generator.random()) * len(rows) / size).astype(int)
    return tuple(rows[number] for number in sorted(order[place] for place in taken))
