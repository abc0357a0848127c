"""Queries of a run that have no ranking because something failed: no empty list, which would score as a miss."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.data.formats import load_jsonl, write_jsonl

FILE = "failed_rankings.jsonl"


def write_failed(folder: Path, reasons: Mapping[str, str]) -> None:
    """Write the reasons by query beside a run, if there are any."""
    if reasons:
        write_jsonl(folder / FILE, [{"query_id": query_id, "reason": reason} for query_id, reason in reasons.items()])


def read_failed(folder: Path) -> dict[str, str]:
    """Return the reasons by query; none for a run of which nothing failed."""
    path = folder / FILE
    return {row["query_id"]: row["reason"] for row in load_jsonl(path)} if path.is_file() else {}
