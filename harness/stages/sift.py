"""sift: the filter of synthetic queries. Queries in, training pairs out; dropped ones are kept apart with the reason.

Filters in this order: no query at all (see `wording`), too short, copied from the passage's title, asked about several
passages, written twice, too near a dev or test query (the leakage audit), not found again (the round-trip filter). A
query that was written about several passages has no single answer, and is dropped everywhere; `wanted_of` says which
queries are equal. Words are those of the dataset's language.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.data.formats import write_jsonl
from harness.models.search import Bm25Index, DenseIndex, Hits
from harness.models.token_encoders import encode_tokens
from harness.models.token_vectors import TokenIndex
from harness.stages import Inputs, SpeedRule, Stage, Takes
from harness.stages.shared.common import (
    bi_encoder,
    encode,
    read_corpus,
    read_pairs,
    read_queries,
    token_encoder,
    write_judgements,
    write_pairs,
    write_queries,
)
from harness.stages.shared.wording import FAULTS, fault_of
from harness.suite.fields import Spec
from harness.suite.pipeline import ServedEncoder
from harness.suite.training_data import RoundTrip
from harness.text import ENGLISH, Texts, text_of
from harness.training.batches import text_key
from harness.values.records import Document, Pair, Progress, Usage

MIN_WORDS = 2
COPIED_SHARE = 0.6
COMMON_SHARE = 0.1
COMMON_LEAST = 20
HEADING = "heading"
"""The kind of a pair whose query is the title itself, which training then does not show."""
SEVERAL = "asked about several passages"
REASONS = (
    "too short", "copied from the title", SEVERAL, "written twice", "too near a dev or test query", "not found again",
)  # fmt: skip
APOSTROPHE = re.compile(r"['\u2019]s\b|\b\w['\u2019](?=\w)")
"""A possessive, or an elided article."""
ENGLISH_TEXTS = text_of(ENGLISH)


class SiftSpec(Spec):
    """`leakage` and `round_trip` as in `spec.Synthesize`; `retriever` is the untuned one."""

    leakage: float
    round_trip: RoundTrip | None
    retriever: ServedEncoder
    language: str = ENGLISH


def sift(spec: SiftSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Decide on every pair of the input `pairs`; inputs named ``heldout...`` hold dev and test queries."""
    pairs = read_pairs(inputs["pairs"])
    heldout = [text for name in sorted(inputs) if name.startswith("heldout") for text in _texts(inputs[name])]
    documents, texts = read_corpus(inputs["corpus"]), text_of(spec.language)
    reasons = _first_reasons(pairs, documents, LeakageAudit(heldout, spec.leakage, texts), texts)
    going = [number for number in range(len(pairs)) if number not in reasons]
    if spec.round_trip is not None and going:
        found = _found_again([pairs[number] for number in going], spec, spec.round_trip, inputs, progress)
        reasons.update({number: "not found again" for number, ok in zip(going, found, strict=True) if not ok})
    going = [number for number in range(len(pairs)) if number not in reasons]
    kept = [pairs[number]._replace(query_id=f"synthetic-{number}") for number in going]
    write_pairs(out, kept)
    # The same as queries with judgements, for those who retrieve with them.
    write_queries(out, {pair.query_id: pair.query for pair in kept})
    write_judgements(out, {pair.query_id: {pair.doc_id: 1} for pair in kept})
    write_jsonl(out / "dropped.jsonl", ({**pairs[n]._asdict(), "reason": reasons[n]} for n in sorted(reasons)))
    counts = Counter(reason.split(":")[0] for reason in reasons.values())
    forms = {reason: counts[reason] for reason in FAULTS if counts[reason]}
    notes = {"written": len(pairs), **forms, **{reason: counts[reason] for reason in REASONS}, "kept": len(kept)}
    return Usage(units=len(pairs), notes=notes)


def _texts(folder: Path) -> Iterable[str]:
    return read_queries(folder).values()


def _first_reasons(
    pairs: Sequence[Pair], documents: Mapping[str, Document], audit: LeakageAudit, texts: Texts
) -> dict[int, str]:
    reasons: dict[int, str] = {}
    written: set[str] = set()
    wanted = wanted_of([(pair.query, pair.kind) for pair in pairs], texts)
    passages: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for asked, pair in zip(wanted, pairs, strict=True):
        # Passages of equal text are one: each holds the answer.
        passages[asked].add(text_key(documents[pair.doc_id].content))
    for number, pair in enumerate(pairs):
        words = " ".join(texts.words(pair.query))
        near = audit.nearest(pair.query)
        if fault := fault_of(pair.query, pair.kind):
            reasons[number] = fault
        elif texts.length(pair.query) < MIN_WORDS:
            reasons[number] = "too short"
        elif pair.kind != HEADING and copies(pair.query, documents[pair.doc_id].title, texts):
            reasons[number] = "copied from the title"
        elif len(passages[wanted[number]]) > 1:
            reasons[number] = SEVERAL
        elif words in written:
            reasons[number] = "written twice"
        elif near is not None:
            reasons[number] = f"too near a dev or test query: {near}"
        written.add(words)
    return reasons


def wanted_of(queries: Sequence[tuple[str, str]], texts: Texts) -> list[tuple[str, ...]]:
    """What each query (its text and kind) asks for: equal for queries that differ in function words and endings only.

    The stems that a search uses, in their order, and the single letters and digits that it leaves out ("vitamin C").
    Order counts, as "converts A to B" is not "converts B to A", save in a list of keywords. Of 6,622 questions by
    people in four datasets, 22 are equal to one about another passage, and all of these want the same.
    """
    plain = [APOSTROPHE.sub(" ", query) for query, _ in queries]
    wanted: list[tuple[str, ...]] = []
    for text, (_, kind), stems in zip(plain, queries, texts.search(plain), strict=True):
        words = texts.words(text)
        single = sorted(word for word in words if len(word) == 1 and word.isascii() and word != "a")
        ordered = sorted(stems) if kind == "keyword" else stems
        wanted.append((*ordered, *single) if stems else tuple(words))
    return wanted


def copies(query: str, title: str, texts: Texts) -> bool:
    """Whether a query repeats the title of its passage: such a pair has nothing to teach.

    It does if all of it stands in the title word for word, however short it is, if it has the same words, or if most
    of its shingles are the title's.
    """
    words, known = texts.words(query), texts.words(title)
    if words and (f" {' '.join(words)} " in f" {' '.join(known)} " or set(words) == set(known)):
        return True
    grams = texts.shingles(query)
    return bool(grams) and len(grams & texts.shingles(title)) >= COPIED_SHARE * len(grams)


class LeakageAudit:
    """Finds held-out queries that a training query repeats.

    Near means: the share of the shorter text's word trigrams that stand in the other is at least `threshold`; texts
    under three words must have the same words. Of scripts without spaces, four characters stand for three words.
    Trigrams that stand in more than a tenth of the held-out queries (where there are 20 or more) are a way of asking,
    not a matter asked, and do not count.
    """

    def __init__(self, heldout: Sequence[str], threshold: float, texts: Texts = ENGLISH_TEXTS) -> None:
        self.heldout = list(heldout)
        self.threshold, self.texts = threshold, texts
        counts = Counter(gram for text in self.heldout for gram in texts.shingles(text))
        limit = COMMON_SHARE * len(self.heldout) if len(self.heldout) >= COMMON_LEAST else len(self.heldout)
        self._common = {gram for gram, count in counts.items() if count > limit}
        self._grams = [texts.shingles(text) - self._common for text in self.heldout]
        self._bags = {frozenset(texts.words(text)) for text in self.heldout}
        self._where: Mapping[tuple[str, ...], list[int]] = defaultdict(list)
        for number, grams in enumerate(self._grams):
            for gram in grams:
                self._where[gram].append(number)

    def nearest(self, query: str) -> str | None:
        """Return the held-out query that this one repeats, None if there is none."""
        grams = self.texts.shingles(query) - self._common
        if frozenset(self.texts.words(query)) in self._bags:
            return query
        shared = Counter(number for gram in grams for number in self._where.get(gram, ()))
        for number, count in shared.most_common():
            if count >= self.threshold * min(len(grams), len(self._grams[number])):
                return self.heldout[number]
        return None


def _found_again(
    pairs: Sequence[Pair], spec: SiftSpec, rule: RoundTrip, inputs: Inputs, progress: Progress
) -> list[bool]:
    """Whether each pair's document is among the first k of the retrievers that the rule names."""
    texts = [pair.query for pair in pairs]
    runs: list[list[Hits]] = []
    if rule.by in ("bm25", "either"):
        runs.append(Bm25Index(inputs["bm25"]).search(texts, rule.k))
    if rule.by in ("untuned", "either"):
        vectors = encode(bi_encoder(spec.retriever, inputs), texts, "query", progress)
        runs.append(DenseIndex(inputs["dense"]).search(vectors, rule.k))
    if rule.by == "late-interaction":
        tokens = encode_tokens(token_encoder(spec.retriever, inputs), texts, "query", progress)
        runs.append(TokenIndex(inputs["tokens"]).search(tokens, rule.k))
    return [
        any(pair.doc_id == doc_id for run in runs for doc_id, _ in run[number]) for number, pair in enumerate(pairs)
    ]


STAGE = Stage(
    run=sift,
    spec=SiftSpec,
    version=5,
    takes=Takes(("pairs", "corpus", "bm25", "dense"), ("heldout_dev", "heldout_test", "tokens")),
    heavy=True,
    packages=("sentence-transformers", "torch", "bm25s"),
    rate=150.0,
    unit="queries",
    speed=SpeedRule(kind=("round_trip.by",), size=("retriever.max_length",)),
)
