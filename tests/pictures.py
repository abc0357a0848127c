"""Pictures of reports as SVG: what holds for every one of them."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from harness.report.charts.draw import draw
from harness.report.charts.values import Chart


def clean(picture: Chart, prefix: str) -> Element:
    """Return a picture as SVG; checks that it is the same each time, has no styles, and that its ids are its own."""
    text = draw(picture)
    assert text == draw(picture)
    assert "style" not in text
    root = ElementTree.fromstring(text)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert all(one and one.startswith(prefix) for one in ids)
    return root


def marks_of(root: Element) -> list[Element]:
    """Return the marks of a picture, in their order."""
    return [element for element in root.iter() if element.get("class") == "mark"]


def labels_of(root: Element) -> list[str | None]:
    """Return what the marks of a picture say."""
    return [mark.get("aria-label") for mark in marks_of(root)]
