"""A drawing made fit to stand in a page: no style of its own, colours by class, marks that a keyboard reaches.

A page that lets nothing but its own style sheet and script run refuses `style` attributes, and two drawings in one
page must not share ids. Knows nothing of what is drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
COLOURS = {
    "#1b2030": "ink",
    "#5a6272": "muted",
    "#e3e6ec": "grid",
    "#fefefe": "paper",
    "#116f3c": "improved",
    "#b3261e": "regressed",
    "#8a5a00": "inconclusive",
    "#47566b": "equivalent",
    "#2f5bd3": "front",
}
"""What a drawing may be coloured with: the light colour, and the name under which the style sheet knows it."""
_NAMES = {name: colour for colour, name in COLOURS.items()}
_REFERENCE = re.compile(r"#(?=[\w-])")
_DROPPED = ("metadata", "style")


def colour(name: str) -> str:
    """The colour of that name, to be drawn with."""
    return _NAMES[name]


def fit(drawing: str, name: str, title: str, marks: Mapping[str, str], style: str = "") -> str:
    """Return the SVG that `drawing` is (as matplotlib writes it) with its marks named and its colours as classes.

    `name` sets its ids apart from those of other drawings, `title` says what it shows; `marks` maps the id of a group
    to what is read out for it. With `style`, it stands alone as a file.
    """
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    root = ElementTree.fromstring(drawing)
    for parent in list(root.iter()):
        for child in [one for one in parent if one.tag.split("}")[-1] in _DROPPED]:
            parent.remove(child)
    for element in root.iter():
        _attributes(element, name)
    for element in list(root.iter(f"{{{SVG}}}g")):
        mark = element.get("id", "").removeprefix(f"{name}-")
        if mark in marks:
            _name(element, marks[mark])
        elif mark.startswith("label-"):
            element.set("class", "name")
    _drop_ids(root)
    _as_root(root, title, style)
    return ElementTree.tostring(root, encoding="unicode")


def _attributes(element: Element, name: str) -> None:
    """Turn the style into attributes and classes, and put the name before every id."""
    classes = []
    for part in filter(None, map(str.strip, element.attrib.pop("style", "").split(";"))):
        key, value = (text.strip() for text in part.split(":", 1))
        if key == "font-family":
            continue
        element.set(key, value)
        if key in ("fill", "stroke") and value in COLOURS:
            classes.append(f"{key[0]}-{COLOURS[value]}")
    if classes:
        element.set("class", " ".join(classes))
    for key, value in list(element.items()):
        if key == "id":
            element.set(key, f"{name}-{value}")
        elif key.endswith("href") or value.startswith("url("):
            element.set(key, _REFERENCE.sub(f"#{name}-", value, count=1))


def _name(element: Element, text: str) -> None:
    element.set("class", "mark")
    element.set("tabindex", "0")
    element.set("role", "img")
    element.set("aria-label", text)
    label = Element(f"{{{SVG}}}title")
    label.text = text
    element.insert(0, label)


def _drop_ids(root: Element) -> None:
    """Keep only ids that something points to."""
    wanted = set(_pointed(root))
    for element in root.iter():
        if element.get("id") not in (None, *wanted):
            del element.attrib["id"]


def _pointed(root: Element) -> Iterator[str]:
    for element in root.iter():
        for key, value in element.items():
            if key.endswith("href"):
                yield value.removeprefix("#")
            elif value.startswith("url(#"):
                yield value[5:-1]


def _as_root(root: Element, title: str, style: str) -> None:
    root.set("role", "group")
    root.set("aria-label", title)
    root.set("class", "chart")
    if style:
        sheet = Element(f"{{{SVG}}}style")
        sheet.text = style
        root.insert(0, sheet)
    else:
        for key in ("width", "height"):
            root.attrib.pop(key, None)
