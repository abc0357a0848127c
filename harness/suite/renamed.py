"""Keys of `harness/suite-1`, their names since `harness/suite-2`, and what an unknown key may stand for.

Values and meanings of the renamed keys are the same.

A reranker that was tuned where the pipeline had none was a cross-encoder; today it is late interaction, unless a
cross-encoder is named. A suite-1 that names none gets the name that was the default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.errors import nearest

SCHEMA, OLD_SCHEMA = "harness/suite-2", "harness/suite-1"
OLD_RERANKER_START = "embedded:all-minilm-l6-v2"
EACH = "*"
"""Stands for every key: the names of candidates."""
KeyPath = tuple[str | int, ...]
"""Keys and numbers from the top of a suite to a setting."""
_RETRIEVER = {"mini_batch": "micro_batch_size", "candidates": "list_size"}
RENAMED: Mapping[KeyPath, Mapping[str, str]] = {
    (): {"reference_rows": "baseline_rows"},
    ("recipes", "retriever"): _RETRIEVER,
    ("candidates", EACH, "retriever"): _RETRIEVER,
    ("limits",): {"max_usd": "max_build_usd"},
    ("llm", "judge"): {"bar": "min_auroc", "cut": "accepted_from"},
}
"""New names by old ones, by the section that they stand in."""
OTHER_WORDS = {"strategies": "candidates", "metrics": "measures", "data_set": "dataset", "corpus": "dataset"}
"""Keys at the top of a suite, by words that earlier versions or other tools have for them."""
MOST_LISTED = 12
"""Known keys that an error lists where none is near to an unknown one."""


def upgraded(suite: Any) -> tuple[Any, dict[KeyPath, KeyPath]]:
    """Return a suite with the keys of today, and which path of it was written as which; only suite-1 is changed.

    A key that is there under both names stays as it is, so that the old one is found to be unknown.
    """
    if not isinstance(suite, Mapping) or suite.get("schema") != OLD_SCHEMA:
        return suite, {}
    written: dict[KeyPath, KeyPath] = {}
    return _with_cross_encoder(_renamed({**suite, "schema": SCHEMA}, (), written)), written


def _with_cross_encoder(suite: dict[str, Any]) -> dict[str, Any]:
    """Return the suite with the default of suite-1 for what a reranker is tuned from, where that mattered."""
    pipeline, recipes = suite.get("pipeline"), suite.get("recipes", {})
    reranker = recipes.get("reranker", {}) if isinstance(recipes, Mapping) else None
    if not isinstance(reranker, Mapping) or (isinstance(pipeline, Mapping) and pipeline.get("reranker")):
        return suite
    return {**suite, "recipes": {**recipes, "reranker": {"model": OLD_RERANKER_START, **reranker}}}


def new_name(section: KeyPath, key: str) -> str | None:
    """Return the name that a key of suite-1 has today; None if it was not renamed."""
    return next((names[key] for at, names in RENAMED.items() if _matches(at, section) and key in names), None)


def suggestion(section: KeyPath, key: str, known: Iterable[str]) -> str:
    """Return what an unknown key may stand for: ``did you mean 'baseline_rows'?``; else how to see the known keys."""
    keys = sorted(known)
    with_word = [name for name in keys if key in name.split("_")]
    name = new_name(section, key) or (None if section else OTHER_WORDS.get(key))
    if name is None and len(with_word) == 1:
        (name,) = with_word
    if name is not None:
        return f"did you mean {name!r}?"
    near = nearest(key, keys)
    if near.startswith("known here") and len(keys) > MOST_LISTED:
        return "remove it, or see the suite that 'harness init DIR' writes: it explains every key"
    return near


def _renamed(value: Any, at: KeyPath, written: dict[KeyPath, KeyPath]) -> Any:
    if not isinstance(value, Mapping):
        return value
    return dict(_items(value, at, written))


def _items(value: Mapping[Any, Any], at: KeyPath, written: dict[KeyPath, KeyPath]) -> Iterator[tuple[Any, Any]]:
    for key, item in value.items():
        name = new_name(at, key) if isinstance(key, str) else None
        if name is not None and name not in value:
            written[(*at, name)] = (*at, key)
            yield name, item
        else:
            yield key, _renamed(item, (*at, key), written)


def _matches(pattern: Sequence[str | int], at: Sequence[str | int]) -> bool:
    return len(pattern) == len(at) and all(one in (EACH, key) for one, key in zip(pattern, at, strict=True))
