"""Answer measures of ragas that need no LLM.

An exception of a metric, and a value that is no number, becomes a failure with its reason: never a zero, and never a
NaN that is dropped from a mean. This module must not know suites, abstentions or who wrote the answers.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from harness.models.signatures import while_unchanged
from harness.scoring.values import NO_REFERENCE, QueryScore, failed
from harness.text import ENGLISH, OtherTexts, Texts, text_of
from harness.values.measures import Measure

RAGAS_MEASURES = ("exact_match", "rouge_l", "string_similarity", "semantic_similarity")
T = TypeVar("T")
# The embedding of a text depends in its 7th digit on the texts that share its batch; a score must not.
DIGITS = 6


class Case(NamedTuple):
    """An answer and the references that it is compared with; the best score counts."""

    answer: str
    references: tuple[str, ...]


class Metric(Protocol):
    """The part of a ragas metric that is used."""

    async def ascore(self, reference: str, response: str) -> Any: ...


def score_cases(
    measure: Measure, cases: Mapping[str, Case], embedder: Path | None, language: str = ENGLISH
) -> dict[str, QueryScore]:
    """Score every case by the ragas metric of a measure: case -> the best score over its references.

    In languages other than English, exact match compares canonical forms, and ROUGE uses the words of the language.
    `embedder` is the folder of the untuned bi-encoder; only `semantic_similarity` reads it.
    """
    if not cases:
        return {}
    try:
        metric = make_metric(measure.name, cases.values(), embedder, language)
    except Exception as error:  # a broken model fails its scores, not the outcome
        return dict.fromkeys(cases, failed(sentence(error)))
    return score_with(metric, measure, cases)


def score_with(metric: Metric, measure: Measure, cases: Mapping[str, Case]) -> dict[str, QueryScore]:
    """Score every case by a metric."""

    async def all_cases() -> dict[str, QueryScore]:
        return {query_id: await _score_case(metric, measure, case) for query_id, case in cases.items()}

    return run_apart(all_cases())


def run_apart(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, in a thread of its own if the caller's thread has a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _score_case(metric: Metric, measure: Measure, case: Case) -> QueryScore:
    try:
        values = [
            checked((await metric.ascore(reference=reference, response=case.answer)).value, measure)
            for reference in case.references
        ]
    except Exception as error:  # whatever a metric raises is the reason of a failure
        return failed(sentence(error))
    return QueryScore(max(values)) if values else failed(NO_REFERENCE)


def checked(value: Any, measure: Measure) -> float:
    """Return the value rounded; raise ValueError if it is outside of the range of the measure."""
    number = float(value)
    if math.isnan(number):
        raise ValueError(f"{measure} is not a number")
    low, high = measure.kind.low, measure.kind.high
    if not low - 1e-6 <= number <= high + 1e-6:
        raise ValueError(f"{measure} is {number}, outside of {low} to {high}")
    return min(max(round(number, DIGITS), low), high)


def sentence(error: Exception) -> str:
    """Return the type and message of an exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def make_metric(name: str, cases: Iterable[Case], embedder: Path | None, language: str = ENGLISH) -> Metric:
    """Build the ragas metric of a measure; for `semantic_similarity`, with every distinct text embedded already."""
    os.environ["RAGAS_DO_NOT_TRACK"] = "true"  # read by ragas when it is imported
    # What bitsandbytes warns of at import (see `execution.preload`) would stand amid the progress of a run.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    from ragas.metrics import collections

    metric: Metric
    if name == "exact_match":
        metric = Canonical(collections.ExactMatch(), text_of(language))
    elif name == "rouge_l":
        metric = Rouge(collections.RougeScore(rouge_type="rougeL", mode="fmeasure"), language)
    elif name == "string_similarity":
        metric = collections.NonLLMStringSimilarity()
    elif name == "semantic_similarity" and embedder is not None:
        embeddings = load_embedder(embedder)
        semantic: Any = collections.SemanticSimilarity(embeddings=embeddings)
        texts = (text for case in cases for text in (case.answer, *case.references))
        # ragas takes no other class than its own when it builds a metric, and asks the metric's attribute afterwards.
        semantic.embeddings = KnownEmbeddings(embed_all(embeddings, texts))
        metric = semantic
    elif name == "semantic_similarity":
        raise ValueError("semantic_similarity needs the untuned bi-encoder")
    else:
        raise ValueError(f"{name!r} is not a measure of ragas; these are: {', '.join(RAGAS_MEASURES)}")
    return metric


class Canonical(NamedTuple):
    """A ragas metric that is given texts in canonical form."""

    metric: Metric
    texts: Texts

    async def ascore(self, reference: str, response: str) -> Any:
        return await self.metric.ascore(reference=self.texts.exact(reference), response=self.texts.exact(response))


class Valued(NamedTuple):
    """A value in the interface of a ragas result."""

    value: float


class Rouge:
    """ROUGE-L: that of ragas for English, and with the words of the language, by the same library, for others.

    ragas' own reads only ASCII: a text without an ASCII word is read by its own script in English suites too.
    """

    def __init__(self, english: Metric, language: str) -> None:
        from rouge_score import tokenizers
        from rouge_score.rouge_scorer import RougeScorer

        self._english, self._of_english = english, language == ENGLISH
        self._words = OtherTexts(language).stems
        self._scorer = RougeScorer(["rougeL"], tokenizer=self)
        self._ascii = tokenizers.DefaultTokenizer(use_stemmer=True).tokenize

    def tokenize(self, text: str) -> list[str]:
        """Return the words that the library compares."""
        return self._words(text)

    async def ascore(self, reference: str, response: str) -> Any:
        if self._of_english and all(self._ascii(text) or not self._words(text) for text in (reference, response)):
            return await self._english.ascore(reference=reference, response=response)
        return Valued(self._scorer.score(reference, response)["rougeL"].fmeasure)


class KnownEmbeddings(NamedTuple):
    """Precomputed embeddings, in the interface of ragas."""

    vectors: Mapping[str, Sequence[float]]

    def embed_text(self, text: str) -> Sequence[float]:
        return self.vectors[text]


class Embeddings(Protocol):
    """The part of ragas' embeddings that is used."""

    def embed_text(self, text: str, **kwargs: Any) -> Sequence[float]: ...

    def embed_texts(self, texts: list[str], **kwargs: Any) -> Sequence[Sequence[float]]: ...


def embed_all(embeddings: Embeddings, texts: Iterable[str]) -> dict[str, Sequence[float]]:
    """Embed distinct texts in one batch. ragas refuses blanks in a batch, and embeds a space for an empty text."""
    distinct = sorted({text or " " for text in texts})
    batch = [text for text in distinct if text.strip()]
    known = dict(zip(batch, embeddings.embed_texts(batch, show_progress_bar=False), strict=True)) if batch else {}
    return known | {text: embeddings.embed_text(text, show_progress_bar=False) for text in distinct if not text.strip()}


def load_embedder(folder: Path) -> Embeddings:
    """Load the bi-encoder in float32 on the CPU, so that a score does not depend on the machine."""
    if not folder.is_dir():
        raise FileNotFoundError(f"no bi-encoder at {folder}")
    return _load_embedder(folder)


@while_unchanged
def _load_embedder(folder: Path) -> Embeddings:
    from ragas.embeddings import HuggingFaceEmbeddings

    with _quiet():
        embeddings: Embeddings = HuggingFaceEmbeddings(
            model=str(folder), device="cpu", model_kwargs={"torch_dtype": "float32"}
        )
    return embeddings


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch off the progress bar of loading weights: the harness has its own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
