"""Untrusted text made safe to look at: documents, queries, answers, names, reasons.

Templates escape; this module handles what escaping leaves: control characters and length.
"""

from __future__ import annotations

import re

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, what turns the direction of the text after it, and what no file can hold."""
_PICTURES = 0x2400
"""Where Unicode has pictures of the control characters."""
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def plain(text: str) -> str:
    """Return the text with a symbol for each control character but tab and line feed.

    Marks of text direction stay; overrides, which would reach into the words after them, do not.
    """
    return _UNSEEN.sub(_picture, text)


def _picture(found: re.Match[str]) -> str:
    code = ord(found.group())
    if code < 0x20:
        return "\n" if code == 0x0D else chr(_PICTURES + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"


def cut(text: str, most: int) -> str:
    """Return the text made plain, and cut after `most` characters."""
    return plain(text) if len(text) <= most else plain(text[:most].rstrip()) + ELLIPSIS
