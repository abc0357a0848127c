"""Measures as values: ``parse("ndcg@10")`` and ``str`` are inverses.

A measure has a name, a cutoff, the queries that it is defined on, and a range. `scoring` computes it; this module must
not know ranx or ragas.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Literal

from harness.errors import nearest

Population = Literal["judged", "answerable", "all"]
"""Queries with qrels; queries with a reference answer; every query."""
Reads = Literal["abstention", "format", "language", "embedder"]
"""The rule of abstention; the answer format; the words of the language; the untuned bi-encoder."""


@dataclass(frozen=True)
class MeasureKind:
    """The properties of all measures of one name.

    `judged`: an LLM judges it. `graded`: it reads grades as gains, so the relevance level does not change it. Where
    `better` is lower, less is better: a gain is a negative difference. `reads` names what an answer measure reads
    beside answers and references, which is then part of its identity. `zero_if_abstained`: an abstention scores 0.
    `in_words`: the cutoff counts words of the passages in their order, and the dataset needs `spans.jsonl`.
    """

    family: Literal["rank", "answer"]
    population: Population
    version: int
    about: str
    low: float = 0.0
    high: float = 1.0
    judged: bool = False
    graded: bool = False
    better: Literal["higher", "lower"] = "higher"
    reads: tuple[Reads, ...] = ()
    zero_if_abstained: bool = False
    in_words: bool = False


_BY_RULE = partial(MeasureKind, family="answer", population="answerable", version=1)
_JUDGED = partial(MeasureKind, family="answer", version=1, judged=True)

KINDS: dict[str, MeasureKind] = {
    "ndcg": MeasureKind(
        "rank",
        "judged",
        1,
        "discounted cumulative gain, linear in relevance, over the ideal (Jarvelin 2002)",
        graded=True,
    ),
    "recall": MeasureKind("rank", "judged", 1, "share of the relevant documents found"),
    "mrr": MeasureKind("rank", "judged", 1, "one over the rank of the first relevant document"),
    "map": MeasureKind("rank", "judged", 1, "mean of the precision at each relevant document"),
    "precision": MeasureKind("rank", "judged", 1, "share of the documents found that are relevant"),
    "hit_rate": MeasureKind("rank", "judged", 1, "1 if any relevant document is found"),
    "evidence": MeasureKind(
        "rank",
        "judged",
        1,
        "share of the judged documents whose span is read within so many words of the passages, in their order",
        in_words=True,
    ),
    "exact_match": _BY_RULE(
        about="ragas ExactMatch, best over the reference answers",
        reads=("abstention", "language"),
        zero_if_abstained=True,
    ),
    "key_match": _BY_RULE(
        about="the key (say, a qualified name) of the answer format, exactly",
        reads=("abstention", "format"),
        zero_if_abstained=True,
    ),
    "token_f1": _BY_RULE(
        about="overlap of normalised tokens as in SQuAD, best over the references",
        reads=("abstention", "language"),
        zero_if_abstained=True,
    ),
    "rouge_l": _BY_RULE(
        about="ragas RougeScore (rougeL F-measure), best over the references",
        reads=("language",),
    ),
    "string_similarity": _BY_RULE(about="ragas NonLLMStringSimilarity, best over the references"),
    "semantic_similarity": _BY_RULE(
        about="ragas SemanticSimilarity under the untuned bi-encoder", low=-1.0, reads=("embedder",)
    ),
    "faithfulness": _JUDGED(
        population="all", about="ragas Faithfulness: share of the answer's statements that the passages shown support"
    ),
    "factual_correctness": _JUDGED(
        population="answerable",
        about="ragas FactualCorrectness: F1 of the claims of the answer and the first reference",
    ),
    "answer_relevancy": _JUDGED(
        population="all",
        about="ragas AnswerRelevancy: likeness of the question to three questions made from the answer",
        low=-1.0,
        reads=("embedder",),
    ),
    "context_recall": _JUDGED(
        population="answerable",
        about="ragas ContextRecall: share of the first reference that the passages shown support",
    ),
    "context_precision": _JUDGED(
        population="answerable", about="ragas ContextPrecision: average precision of the passages shown, judged useful"
    ),
    "noise_sensitivity": _JUDGED(
        population="answerable",
        about="ragas NoiseSensitivity: share of wrong statements that useful passages led to; less is better",
        better="lower",
    ),
    "rubric": _JUDGED(population="all", about="how well the answer meets the rubric that the suite words"),
    "utility": _BY_RULE(
        population="all",
        about="right 1, abstained 0, wrong -c; unanswerable: abstained 1",
        low=-1.0,
        reads=("abstention",),
    ),
    "abstention": _BY_RULE(
        population="all",
        about="1 if it abstained exactly where the question has no answer",
        reads=("abstention",),
    ),
    "format": _BY_RULE(
        population="all",
        about="1 if the answer has the format of the suite, or is an abstention",
        reads=("abstention", "format"),
    ),
}


@dataclass(frozen=True, order=True)
class Measure:
    """A named number per query, such as ``ndcg@10`` or ``token_f1``."""

    name: str
    cutoff: int | None = None

    def __str__(self) -> str:
        return self.name if self.cutoff is None else f"{self.name}@{self.cutoff}"

    @property
    def kind(self) -> MeasureKind:
        return KINDS[self.name]

    @property
    def is_rank(self) -> bool:
        return self.kind.family == "rank"

    @property
    def in_words(self) -> bool:
        """Whether its cutoff counts words instead of passages, and it needs judged spans."""
        return self.kind.in_words

    @property
    def is_judged(self) -> bool:
        """Whether an LLM judges it."""
        return self.kind.judged

    @property
    def population(self) -> Population:
        return self.kind.population


def parse(text: str) -> Measure:
    """Return the measure of a name; raise ValueError, with the nearest known name, if there is none."""
    match = re.fullmatch(r"([a-z0-9_]+)(?:@([1-9][0-9]*))?", text)
    name, cutoff = match.groups() if match else (text.partition("@")[0], None)
    if name not in KINDS:
        # With the cutoff as it was written, so that the hint can be copied.
        written = text.partition("@")[2]
        at = f"@{written}" if written.isdecimal() else ""
        known = [f"{other}{at}" if kind.family == "rank" else other for other, kind in KINDS.items()]
        raise ValueError(f"unknown measure {text!r}; {nearest(name.lower() + at, known)}")
    if match is None or (KINDS[name].family == "rank") != (cutoff is not None):
        wanted = f"{name}@10" if KINDS[name].family == "rank" else name
        raise ValueError(f"measure {text!r} should be written like {wanted!r}")
    return Measure(name, int(cutoff) if cutoff else None)
