"""Which prompts a bi-encoder expects before its texts: by its configuration, its model card and its name.

Reads configurations and cards; loads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

QUERY_NAMES = (
    "query", "queries", "search_query", "retrieval_query", "query_retrieval", "s2p_query", "web_search_query",
    "question",
)  # fmt: skip
DOCUMENT_NAMES = (
    "document", "documents", "passage", "passages", "corpus", "search_document", "retrieval_document",
    "retrieval_passage", "document_retrieval", "doc",
)  # fmt: skip
"""Names under which models keep the prompt of a role, the most usual first; case and separators do not matter."""

CARD_PROMPTS: tuple[tuple[str, str], ...] = (
    (r"""["'`]search_query:""", "search_query: "),
    (r"""["'`]query:""", "query: "),
    (r"represent this sentence for searching relevant passages", "Represent this sentence for searching ...: "),
    (r"""["'`]represent the (?:\w+ )?(?:question|query|document)""", "Represent the ...: "),
    (r"""["'`]instruct:""", "Instruct: ... Query: "),
)
"""Patterns in model cards of models that were trained with prompts, and the prompt to report."""

FAMILIES: tuple[tuple[str, str], ...] = (
    (r"(?:^|[-_/])e5(?:[-_]|$)", "query: / passage: "),
    (r"(?:^|[-_/])nomic-embed-text", "search_query: / search_document: "),
    (r"(?:^|[-_/])bge-(?:small|base|large)-en", "Represent this sentence for searching relevant passages: "),
    (r"(?:^|[-_/])instructor-(?:base|large|xl)", "Represent the ...: "),
)
"""Families of models by their names, with the prompts that their authors ask for."""


class EncoderPrompts(NamedTuple):
    """The texts that are put before every query and every document; empty for none."""

    query: str = ""
    document: str = ""


class ConfiguredPrompts(NamedTuple):
    """The prompts for queries and documents, and the names of prompts for other tasks."""

    prompts: EncoderPrompts
    others: tuple[str, ...] = ()


def configured_prompts(config: Mapping[str, Any]) -> ConfiguredPrompts:
    """Resolve the prompts of a ``config_sentence_transformers.json``.

    A name of a role that is given with an empty text means none. Where no name speaks of a role, the default prompt is
    taken, as the model's own `encode` does, unless it is the one of the other role. Raises ValueError for what is not
    a mapping of names to texts.
    """
    prompts_by_name = config.get("prompts") or {}
    if not isinstance(prompts_by_name, Mapping) or not all(
        isinstance(text, str | None) for text in prompts_by_name.values()
    ):
        raise ValueError("'prompts' is not a mapping of names to texts")
    default = config.get("default_prompt_name")
    if default is not None and default not in prompts_by_name:
        raise ValueError(f"'default_prompt_name' is {default!r}, and there is no prompt of that name")
    texts = {_plain(name): text or "" for name, text in prompts_by_name.items()}
    fallback = _plain(default) if default is not None else ""
    query = _of_role(texts, QUERY_NAMES, "" if fallback in DOCUMENT_NAMES else fallback)
    document = _of_role(texts, DOCUMENT_NAMES, "" if fallback in QUERY_NAMES else fallback)
    known = {*QUERY_NAMES, *DOCUMENT_NAMES, fallback}
    others = tuple(name for name, text in prompts_by_name.items() if text and _plain(name) not in known)
    return ConfiguredPrompts(EncoderPrompts(query, document), others)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_")


def _of_role(texts: Mapping[str, str], names: tuple[str, ...], default: str) -> str:
    return next((texts[name] for name in (*names, default) if name in texts), "")


def wanted_prompts(card: str, name: str) -> str:
    """Return a sentence if a model's card or name asks for prompts; empty if neither does."""
    for pattern, text in CARD_PROMPTS:
        if re.search(pattern, card, re.IGNORECASE):
            return f"its card shows texts that begin with {text!r}"
    for pattern, text in FAMILIES:
        if re.search(pattern, name, re.IGNORECASE):
            return f"models of this name are used with {text!r}"
    return ""
