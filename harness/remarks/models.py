"""Remarks on the models: how they are used, what they lack, and what they truncate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from harness.models.inspection import Inspection
from harness.models.precision import HALF, dtype_here, weights_in
from harness.models.stored_vectors import QUANTIZED
from harness.planning import requirements
from harness.stages.index import TERMS, TERMS_OF_MODEL
from harness.suite.local_models import DType
from harness.suite.pipeline import Retriever
from harness.suite.spec import Suite
from harness.suite.uses import ModelUse, models_used
from harness.values.findings import LedgerRow

MUCH = 0.2
"""Share of truncated passages or pairs above which there is a remark."""
MANY_TERMS = 0.1
"""Share of a model's terms above which a passage has weights for too many; trained SPLADE models use about 1 %."""
STORED = {"BF16": "bfloat16", "F16": "float16", "F64": "float64"}
CUT_PAIRS = re.compile(r"pairs cut at (\d+) tokens")


def settings(suite: Suite) -> dict[str, str]:
    """Return how the models that run here are used, in words, by the name of the setting."""
    words = {}
    rule, reranker = suite.pipeline.retriever, suite.pipeline.reranker
    for use in models_used(suite):
        seen = requirements.inspected(use)
        if use.key == "pipeline.retriever.model":
            prompts = (rule.query_prompt or seen.prompts.query, rule.document_prompt or seen.prompts.document)
            words["retriever"] = ", ".join(
                [
                    f"reads {_tokens(seen, rule.max_length)} of a text",
                    "ranks by dot product" if seen.similarity == "dot" else "ranks by cosine",
                    *_prompted(*prompts),
                    *_computed(seen, rule.dtype),
                    *_served(rule),
                ]
            )
        elif use.key == "pipeline.reranker.model" and reranker is not None:
            read = f"reads {_tokens(seen, reranker.max_length)} of query and passage"
            words["reranker"] = ", ".join([read, *_computed(seen, reranker.dtype)])
    return words


def _tokens(seen: Inspection, asked: int) -> str:
    taken = seen.takes(asked)
    return "all tokens" if taken is None else f"{taken:,} tokens"


def _prompted(query: str, document: str) -> Iterator[str]:
    """Yield what stands before the texts, or that nothing does."""
    if not (query or document):
        yield "no prompts"
        return
    for kind, text in (("query", query), ("document", document)):
        yield f"{repr(text) if text else 'nothing'} before every {kind}"


def _computed(seen: Inspection, setting: DType) -> Iterator[str]:
    """Yield what a model computes in, where that is not the type of its weights, or not float32."""
    dtype = dtype_here(setting)
    if seen.dtype in STORED and STORED[seen.dtype] != dtype:
        yield f"weights stored in {STORED[seen.dtype]}, used in {weights_in(dtype)}"
    if dtype in HALF:
        yield f"computes in {dtype}"


def _served(rule: Retriever) -> Iterator[str]:
    """Yield how vectors are stored, and that layers run in int8, where that is not the default."""
    if rule.dimensions is not None:
        yield f"vectors are cut after {rule.dimensions:,} dimensions"
    if rule.precision is not None:
        rescored = rule.precision in QUANTIZED and rule.kind == "dense" and rule.rescore
        yield f"vectors are stored in {rule.precision}" + (
            f" and {rule.rescore} for each result are scored again" if rescored else ""
        )
    if rule.dtype == "int8":
        yield "linear layers run in int8"


def before(suite: Suite) -> list[str]:
    """Return the remarks on models that need no run."""
    return list(dict.fromkeys(_before(suite)))


def _before(suite: Suite) -> Iterator[str]:
    rule = suite.pipeline.retriever
    for use in models_used(suite):
        seen = requirements.inspected(use)
        yield from (f"{use.key}: {remark}." for remark in seen.remarks)
        if use.kind == "bi-encoder":
            used = seen.prompts.query or seen.prompts.document or rule.query_prompt or rule.document_prompt
            if seen.wants_prompts and not used:
                yield (
                    f"{use.key}: {seen.wants_prompts}, and no prompts are used; "
                    "set pipeline.retriever.query_prompt and document_prompt."
                )
        for key, asked in _asked(suite, use):
            taken = seen.takes(asked)
            if taken is not None and taken < asked:
                yield f"{key}: {asked:,} tokens are set, but the model takes at most {taken:,}."


def _asked(suite: Suite, use: ModelUse) -> Iterator[tuple[str, int]]:
    """Yield the lengths that a suite sets for a model, with their keys."""
    pipeline, recipes = suite.pipeline, suite.recipes
    if use.key == "pipeline.retriever.model" and "max_length" in pipeline.retriever.model_fields_set:
        yield "pipeline.retriever.max_length", pipeline.retriever.max_length
    if (
        use.key == "pipeline.reranker.model"
        and pipeline.reranker
        and "max_length" in pipeline.reranker.model_fields_set
    ):
        yield "pipeline.reranker.max_length", pipeline.reranker.max_length
    if use.key == "recipes.reranker.model" and "max_length" in recipes.reranker.model_fields_set:
        yield "recipes.reranker.max_length", recipes.reranker.max_length


def cut(rows: Iterable[LedgerRow]) -> list[str]:
    """Return a sentence on truncated passages and one on truncated pairs, if more than a fifth are."""
    passages: dict[int, tuple[int, int]] = {}
    pairs: dict[int, tuple[int, int]] = {}
    for row in rows:
        if row.stage == "index" and isinstance(limit := row.notes.get("tokens read of a passage"), int):
            _keep(passages, limit, row.notes.get("cut at max_length", 0), row.notes.get("passages", 0))
        for key, count in row.notes.items() if row.stage == "rerank" else ():
            if match := CUT_PAIRS.fullmatch(key):
                _keep(pairs, int(match[1]), count, row.notes.get("pairs scored", 0))
    return [
        *_sentences(passages, "passages", "a retriever", "max_length"),
        *_sentences(pairs, "pairs of query and passage", "a reranker", "max_length"),
    ]


def sparse_terms(rows: Iterable[LedgerRow]) -> list[str]:
    """Return a sentence on a learned sparse index whose passages have weights for far too many terms, or for none."""
    found = {(row.notes.get(TERMS), row.notes.get(TERMS_OF_MODEL)) for row in rows if row.stage == "index"}
    remarks = []
    for terms, of in sorted((terms, of) for terms, of in found if isinstance(terms, int) and isinstance(of, int)):
        what = f"The sparse retriever gives a passage weights for {terms:,} of {of:,} terms (mean)"
        if terms > MANY_TERMS * of:
            remarks.append(
                f"{what}: it was hardly trained to be sparse, so its index is large and slow. Use a SPLADE model."
            )
        elif not terms:
            remarks.append(f"{what}, so it finds nothing. Use another model, or kind: dense.")
    return remarks


def _keep(largest: dict[int, tuple[int, int]], limit: int, count: int, of: int) -> None:
    """Keep the largest share for each limit."""
    before = largest.get(limit, (0, 1))
    if of and count / of > max(MUCH, before[0] / before[1]):
        largest[limit] = (count, of)


def _sentences(largest: dict[int, tuple[int, int]], what: str, whose: str, key: str) -> Iterator[str]:
    for limit, (count, of) in sorted(largest.items()):
        yield (
            f"{count:,} of {of:,} {what} are longer than the {limit:,} tokens that {whose} reads, and are truncated. "
            f"Raise {key} if the model takes more, or index shorter passages."
        )
