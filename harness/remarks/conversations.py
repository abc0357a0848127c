"""Remarks on queries with earlier turns: what was done with the turns, and what a suite makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.data.datasets import Dataset, Split
from harness.remarks import systems
from harness.stages.concatenate import LEFT_OUT, WITH_TURNS
from harness.stages.rewrite import ASKED, DROPPED, SAME, USED
from harness.suite.spec import Suite
from harness.suite.uses import candidates_of
from harness.values.findings import LedgerRow

FIELDS = ("conversation", "conversation_id", "conv_id", "dialog_id", "dialogue_id", "session", "session_id", "thread")
"""Fields of metadata that may hold the id of a conversation."""


def before(suite: Suite, dataset: Dataset) -> list[str]:
    """Return what users should know before a run: groups, and settings that fit or do not."""
    split = suite.evaluate.split
    part = dataset.splits[split]
    asked = {"pipeline": suite.pipeline.conversation}
    asked |= {f"candidates.{one.name}.pipeline": one.pipeline.conversation for one in candidates_of(suite)}
    other = {f"{key}.conversation": how for key, how in asked.items() if how != "last"}
    if not part.histories:
        return _without_effect(list(other), split)
    return [*_alone(part), *([] if other else _ignored(part))]


def _without_effect(keys: Sequence[str], split: str) -> list[str]:
    if not keys:
        return []
    verb = "changes" if len(keys) == 1 else "change"
    return [f"No query of split {split!r} has earlier turns ('history'), so {systems.named(keys)} {verb} nothing."]


def _alone(part: Split) -> Iterator[str]:
    """Yield a sentence if the turns of one conversation count as independent."""
    if any(query.group != query.query_id for query in part.queries.values()):
        return
    fields = {field for query in part.queries.values() for field in query.metadata}
    known = next((field for field in FIELDS if field in fields), None)
    hint = "the id of its conversation in a field of its metadata, and that field in dataset.group.metadata"
    yield (
        f"{_count(part)} have earlier turns, and each counts as independent. Queries of one conversation are alike: "
        + (f"set dataset.group: {{metadata: {known}}}." if known else f"give each query {hint}.")
    )


def _ignored(part: Split) -> list[str]:
    return [
        f"{_count(part)} have earlier turns, and every system searches with the last query alone. Candidates with "
        "pipeline.conversation: concatenate and rewrite show what the turns add."
    ]


def _count(part: Split) -> str:
    return f"{len(part.histories):,} of {len(part.queries):,} queries"


def made(ledger: Iterable[LedgerRow]) -> Iterator[str]:
    """Yield what was done with the turns before queries."""
    for row in ledger:
        notes = row.notes
        if row.stage == "rewrite" and notes.get(ASKED):
            yield f"{row.label}: {_rewritten(notes)}"
        if row.stage == "concatenate" and notes.get(LEFT_OUT):
            yield (
                f"{row.label}: for {notes[LEFT_OUT]:,} of {notes[WITH_TURNS]:,} queries with earlier turns the oldest "
                "turns were left out, so that the model reads the whole query."
            )


def _rewritten(notes: dict[str, object]) -> str:
    counts = {name: notes.get(name, 0) for name in (ASKED, USED, SAME, DROPPED)}
    said = f"of {counts[ASKED]:,} queries with earlier turns {counts[USED]:,} were rewritten"
    said += f", {counts[SAME]:,} were left as they are" if counts[SAME] else ""
    if not counts[DROPPED]:
        return f"{said}."
    reasons = {
        name.removeprefix(f"{DROPPED}: "): count for name, count in notes.items() if name.startswith(f"{DROPPED}: ")
    }
    why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
    return f"{said}, and {counts[DROPPED]:,} rewrites were dropped ({why}): these queries are searched as they are."
