"""Remarks on languages: how words were read, and whether bm25 is a fair baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.data.datasets import Dataset
from harness.planning.graph import Plan
from harness.stages.shared.wording import FAULTS
from harness.suite.spec import Suite
from harness.text import ENGLISH, Detected, name_of
from harness.text.decimals import percent
from harness.values.findings import LedgerRow

UNFOUND = 0.5
"""Share of queries without any word of the corpus above which bm25 is no fair baseline."""


def read_as(dataset: Dataset) -> list[str]:
    """Return how words are read, unless the suite sets the language or it is clearly English."""
    detected = dataset.detected
    if detected.named or (detected.language == ENGLISH and detected.certain):
        return []
    if not detected.certain:
        some = f"only {percent(detected.recognised)} of the documents show their language"
        found = some if detected.recognised else "no document shows its language"
        return [
            f"The language of the corpus is uncertain ({found}): its words are read as {name_of(detected.language)}; "
            "set dataset.language if that is wrong."
        ]
    shares = f" ({_by_language(detected)})" if detected.mixed else ""
    return [
        f"The corpus is read as {name_of(detected.language)}{shares}, for bm25, token_f1, exact_match, rouge_l, slices "
        "and the filters of synthetic queries; set dataset.language if that is wrong."
    ]


def setting(dataset: Dataset) -> str:
    """Return the language in words, for the settings of a report."""
    detected = dataset.detected
    how = "set by the suite" if detected.named else "detected from the corpus" if detected.certain else "uncertain"
    return f"{name_of(detected.language)}, {how}"


def unfair_bm25(suite: Suite, ledger: Iterable[LedgerRow]) -> list[str]:
    """Return a remark if most scored queries share no word with the corpus, so that bm25 finds nothing for them."""
    label = f"retrieve {suite.evaluate.split} with bm25"
    for row in ledger:
        queries, empty = row.notes.get("queries", 0), row.notes.get("empty lists", 0)
        if row.stage == "retrieve" and row.label == label and queries and empty > UNFOUND * queries:
            return [
                f"{empty} of {queries} queries share no word with the corpus, so bm25 finds nothing for them: it is no "
                "fair baseline here, nor is what rests on it (hybrid, fusion, the round trip of synthetic queries). If "
                "the corpus is in another language than its words are read as, set dataset.language."
            ]
    return []


def dropped_queries(plan: Plan, ledger: Mapping[str, LedgerRow]) -> list[str]:
    """Return a remark on the synthetic queries that were dropped as unusable, by reason, and one on structure pairs.

    Each is over all calls of its kind: titles and sentences of the corpus are not counted with what a model wrote.
    `ledger` has the rows by the keys of their calls.
    """
    kinds = {"synthetic queries": list[LedgerRow](), "titles and sentences of the corpus": list[LedgerRow]()}
    written, taken = kinds.values()
    for key, row in ledger.items():
        if row.stage == "sift":
            source = plan.calls[plan.calls[key].call.inputs["pairs"]].call.stage
            (taken if source == "extract" else written).append(row)
    return [remark for name, rows in kinds.items() for remark in _dropped(name, rows)]


def _dropped(name: str, rows: Sequence[LedgerRow]) -> list[str]:
    counts = {reason: sum(int(row.notes.get(reason, 0)) for row in rows) for reason in FAULTS}
    total, written = sum(counts.values()), sum(int(row.notes.get("written", 0)) for row in rows)
    if not total:
        return []
    reasons = "; ".join(f"{count:,} {_WORDS[reason]}" for reason, count in counts.items() if count)
    return [f"{total:,} of {written:,} {name} were dropped as unusable: {reasons}."]


_WORDS = dict(
    zip(
        FAULTS,
        ("JSON or code", "refusals", "lines about the queries", "that refer to the passage", "answers, not questions"),
        strict=True,
    )
)


def abstention_setting(sentences: Sequence[str]) -> dict[str, str]:
    """Return the suite's own sentences that count as abstaining, for the settings of a report."""
    if not sentences:
        return {}
    return {"counts as abstaining, beside common refusals": "; ".join(f"“{sentence}”" for sentence in sentences)}


def _by_language(detected: Detected) -> str:
    return ", ".join(f"{percent(detected.shares.get(code, 0.0))} {code}" for code in detected.language.split("+"))
