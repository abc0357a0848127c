"""The review as one HTML page: opened from disk, it asks no network; it saves a CSV that `review` applies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.files import write_atomically
from harness.hashing import digest_of
from harness.report.render.html import STYLES, page
from harness.testset import review
from harness.testset.items import Contents, Item
from harness.testset.review import Shown
from harness.values.questions import in_words

CHOICES = (("accept", "Accept"), ("edit", "Edit"), ("reject", "Reject"), ("", "Not decided"))


def render(rows: Sequence[Shown], name: str) -> str:
    """Return the page for these questions; `name` is that of the folder."""
    items = [row.item for row in rows]
    by = ", ".join(sorted({item.by for item in items if item.by}))
    return page(
        "review.html.j2",
        ("review.js",),
        (*STYLES, "review.css"),
        rows=rows,
        name=name,
        folder=name,
        key=digest_of([name, [[item.query_id, item.text, item.answer, item.reviewed] for item in items]]),
        sentence=in_words(len(items), len(items), sum(item.reviewed for item in items), by),
        choices=CHOICES,
        decided=decided,
    )


def decided(item: Item) -> str:
    """Return the decision that a person has made on a question; empty if none."""
    return "" if not item.reviewed else "edit" if item.edited else "accept"


def write(place: Path, contents: Contents) -> Path:
    """Write the page into a folder; return its path."""
    path = place / "review.html"
    write_atomically(path, render(review.shown(contents), place.resolve().name))
    return path
