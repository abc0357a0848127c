"""Results of a system as hubs read them: `model-index` in the front matter of a card, and files in `.eval_results`."""

from __future__ import annotations

import re
from typing import Any

from harness.text.decimals import finite
from harness.values.findings import Outcome, Summary, SystemInfo

EVAL_RESULTS = ".eval_results"
HUB = re.compile(
    r"hf://(?:datasets/)?(?P<id>[^@]+?/[^/@]+)"
    r"(?:@(?P<revision>refs/convert/\w+|refs/pr/\d+|[^/]+))?(?:/(?P<config>[^/@]+))?"
)
DIGITS = 5
"""Decimals of a score: more would say nothing."""
TASK = "default"
"""The task of a benchmark that has no configurations."""


def model_index(outcome: Outcome, system: SystemInfo, task: str) -> dict[str, Any]:
    """Return the key `model-index` with the means of a system on its split; nothing if it has none."""
    metrics = [
        {"type": row.measure.replace("@", "_at_"), "name": row.measure, "value": round(mean, DIGITS)}
        for row in outcome.summaries
        if _is_whole(row, system) and (mean := finite(row.mean)) is not None
    ]
    if not metrics:
        return {}
    result = {"task": {"type": task}, "dataset": _dataset(outcome), "metrics": metrics}
    return {"model-index": [{"name": system.name, "results": [result]}]}


def _is_whole(row: Summary, system: SystemInfo) -> bool:
    """Whether a mean is of this system, and not of what was left after failures."""
    return (row.system, row.seed, row.failed) == (system.name, system.seed, 0)


def _dataset(outcome: Outcome) -> dict[str, Any]:
    """The dataset by its name on the hub, or by its own name; with a digest where there is no revision."""
    name = hub_dataset(outcome)
    value: dict[str, Any] = {"type": name or outcome.dataset.name, "name": outcome.title or outcome.dataset.name}
    found = HUB.fullmatch(str(outcome.dataset.source.get("from") or ""))
    if name and found is not None and found["config"]:
        value["config"] = found["config"]
    revision = outcome.dataset.source.get("revision") if name else ""
    return {**value, "split": outcome.split, **({"revision": revision} if revision else {})}


def hub_dataset(outcome: Outcome) -> str:
    """Return the name of the dataset on the hub, ``owner/name``; empty if it does not come from there."""
    found = HUB.fullmatch(str(outcome.dataset.source.get("from") or ""))
    return found["id"] if found else ""


def eval_results(outcome: Outcome, system: SystemInfo) -> list[dict[str, Any]]:
    """Return the entries of a file in `.eval_results`: the first gated measure, as an entry has one value.

    There are none for a dataset that is not on the hub, which is the only kind that an entry can name.
    """
    dataset = hub_dataset(outcome)
    gated = [row.measure for row in outcome.comparisons if row.family == "gain"]
    first = next(iter([*gated, *outcome.measures]), "")
    rows = [row for row in outcome.summaries if _is_whole(row, system) and row.measure == first]
    means = [mean for row in rows if (mean := finite(row.mean)) is not None]
    if not dataset or not means:
        return []
    of_hub: dict[str, Any] = {"id": dataset, "task_id": _dataset(outcome).get("config", TASK)}
    if revision := outcome.dataset.source.get("revision"):
        of_hub["revision"] = revision
    notes = f"{first} on the split {outcome.split}, measured by rag-tuning-harness with {system.label}"
    return [{"dataset": of_hub, "value": round(means[0], DIGITS), "date": outcome.created, "notes": notes}]
