"""The signature of a symbol on one line, the same in every process: ``(x, type=2, n=None, axis=-1)``."""

from __future__ import annotations

import inspect
import re
from typing import Any

from harness.data.builders.docstrings import Docstring, entry_names

MAX_LENGTH = 200

_VARIADIC = re.compile(r"\(\*\w+(, \*\*\w+)?\)")


def signature_of(obj: Any, doc: Docstring) -> str | None:
    """Return the signature on one line: of the object, or from its docstring if the object has none."""
    signature = _told(obj)
    if signature is None or _VARIADIC.fullmatch(signature) or type(obj).__name__ == "ufunc":
        names = entry_names(doc.sections.get("Parameters", ""))
        signature = doc.signature or _shapes(obj) or (f"({', '.join(names)})" if names else signature)
    if signature is None or len(signature) <= MAX_LENGTH:
        return signature
    return f"{signature[: signature.rindex(',', 0, MAX_LENGTH - 5)]}, ...)"


def _told(obj: Any) -> str | None:
    try:
        signature = inspect.signature(obj)
    except (TypeError, ValueError):
        return None
    bare = [
        parameter.replace(annotation=parameter.empty, default=_Default(parameter.default))
        if parameter.default is not parameter.empty
        else parameter.replace(annotation=parameter.empty)
        for parameter in signature.parameters.values()
        if not parameter.name.startswith("_")
    ]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


def _shapes(obj: Any) -> str | None:
    """The call of a univariate distribution, ``(a, loc=0, scale=1)``."""
    if not (hasattr(obj, "shapes") and hasattr(obj, "freeze")):
        return None
    scale = ["scale=1"] if hasattr(obj, "pdf") else []
    return f"({', '.join([*filter(None, [obj.shapes]), 'loc=0', *scale])})"


class _Default:
    """A default value as a reader would write it: no memory address, no module path, one line."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __repr__(self) -> str:
        if inspect.isclass(self.value) or inspect.isroutine(self.value):
            return str(self.value.__name__)
        shown = " ".join(repr(self.value).split())
        return "..." if shown.startswith("<") or " at 0x" in shown else shown
