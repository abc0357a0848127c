"""Names and values as MLflow's servers accept them, of every version since 1.28.

A name may hold letters, digits, ``_ - . /`` and spaces, and must be a path that is its own shortest form; ``@`` is
refused. Values of parameters were bounded by 500 characters before they were by 6,000, those of tags by 5,000.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

MOST_NAME, MOST_PARAM, MOST_TAG = 250, 500, 5000
DIGITS = 6
CUT = " [...]"
_REFUSED = re.compile(r"[^A-Za-z0-9_\-./ ]")


def accepted(names: Iterable[str]) -> dict[str, str]:
    """Return the name that each name is sent under: ``ndcg_at_10`` for ``ndcg@10``.

    Different names stay different: where two would become one, or too long, digits that depend on the name follow it.
    """
    sent: dict[str, str] = {}
    for name in dict.fromkeys(names):
        # Names may be kept as files, on disks that take upper and lower case for the same.
        taken = {other.casefold() for other in sent.values()}
        plain = _plain(name)
        sent[name] = plain if plain.casefold() not in taken and len(plain) <= MOST_NAME else _marked(plain, name)
    return sent


def _plain(name: str) -> str:
    parts = (_REFUSED.sub("_", part).strip(" ") for part in name.replace("@", "_at_").split("/"))
    return "/".join("_" * len(part) if part in (".", "..") else part for part in parts if part) or "_"


def _marked(plain: str, name: str) -> str:
    digits = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
    return f"{plain[: MOST_NAME - DIGITS - 1].rstrip('/ ')}_{digits}"


def renamed(values: Mapping[str, str], most: int) -> dict[str, str]:
    """Return values under accepted names, each cut to at most `most` characters."""
    names = accepted(values)
    return {names[name]: cut(value, most) for name, value in values.items()}


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` characters, with a mark where it was cut; what is no Unicode is replaced."""
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")
    return text if len(text) <= most else text[: most - len(CUT)] + CUT
