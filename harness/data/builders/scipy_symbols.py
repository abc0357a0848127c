"""The public symbols of the installed SciPy that a question can be asked about, read from its docstrings."""

from __future__ import annotations

import importlib
import inspect
import os
import platform
import re
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.builders.docstrings import Docstring, entries, parse_docstring, prose
from harness.data.builders.questions import argument_question, question
from harness.data.builders.signatures import signature_of
from harness.errors import ConfigError
from harness.hashing import digest_file, digest_of
from harness.provenance import package_version
from harness.remembered import keep, recall

# What SciPy itself calls public, less the wrappers of BLAS and LAPACK, whose documentation is generated, less
# scipy.stats.distributions, which repeats scipy.stats, and less the deprecated scipy.odr.
_PUBLIC = """cluster.hierarchy cluster.vq constants datasets differentiate fft fftpack integrate interpolate io io.arff
    io.matlab io.wavfile linalg linalg.interpolative ndimage optimize optimize.elementwise signal signal.windows
    sparse sparse.csgraph sparse.linalg spatial spatial.distance spatial.transform special stats stats.contingency
    stats.mstats stats.qmc stats.sampling"""
MODULES = tuple(f"scipy.{name}" for name in _PUBLIC.split())

# Sentences that stand in every distribution's documentation and say nothing about the one at hand.
_BOILERPLATE = ("As an instance of the", 'The probability density above is defined in the "standardized"',
                'The probability mass function above is defined in the "standardized"')  # fmt: skip


class Symbol(NamedTuple):
    """A usable symbol. `identity` is the same for two names of one object, in this process only."""

    name: str
    answer: str
    summary: str
    question: str
    body: str
    arguments: tuple[str, ...]
    identity: int

    @property
    def bare(self) -> str:
        return self.name.rsplit(".", 1)[1]

    @property
    def module(self) -> str:
        return self.name.removeprefix("scipy.").rsplit(".", 1)[0]

    @property
    def package(self) -> str:
        return self.name.split(".")[1]


@cache
def usable() -> tuple[tuple[Symbol, ...], str]:
    """All usable symbols by name, and the version of SciPy: kept for the next process, as to read them takes seconds.

    What is kept depends on the packages that signatures and docstrings come from, and on the code that reads them.
    """
    code = [digest_file(path) for path in sorted(Path(__file__).parent.glob("*.py"))]
    packages = [package_version(name) for name in ("scipy", "numpy")]
    key = digest_of([code, packages, platform.python_version(), os.environ.get("SCIPY_ARRAY_API"), MODULES])
    kept = recall("scipy-api", key)
    if kept is None:
        symbols, version = read_symbols()
        first = {symbol.identity: number for number, symbol in reversed([*enumerate(symbols)])}
        kept = [[symbol._replace(identity=first[symbol.identity]) for symbol in symbols], version]
        keep("scipy-api", key, kept)
    return tuple(Symbol._make([*texts, tuple(arguments), same]) for *texts, arguments, same in kept[0]), kept[1]


def read_symbols() -> tuple[tuple[Symbol, ...], str]:
    """Read the usable symbols and the version of SciPy; raises ConfigError if it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            version = str(importlib.import_module("scipy").__version__)
        except ImportError as error:
            raise ConfigError("the builder 'scipy-api' needs SciPy, which is not installed") from error
        symbols = (_symbol(module, bare, obj) for module in MODULES for bare, obj in _public(module))
        return tuple(sorted(symbol for symbol in symbols if symbol)), version


def _public(module: str) -> Iterator[tuple[str, Any]]:
    """Functions, classes and documented instances that a module exports. A module that SciPy lacks has none."""
    try:
        imported = importlib.import_module(module)
    except ImportError:
        return
    for bare in sorted(set(getattr(imported, "__all__", ()))):
        obj = getattr(imported, bare, None)
        if not bare.startswith("_") and obj is not None and _is_documented_kind(obj):
            yield bare, obj


def _is_documented_kind(obj: Any) -> bool:
    if inspect.isclass(obj):
        return not issubclass(obj, BaseException)
    return not inspect.ismodule(obj) and (callable(obj) or type(obj).__module__.startswith("scipy."))


def _symbol(module: str, bare: str, obj: Any) -> Symbol | None:
    text = vars(obj).get("__doc__") if inspect.isclass(obj) else getattr(obj, "__doc__", None)
    if not isinstance(text, str) or ".. deprecated::" in text.split("Parameters\n")[0]:
        return None
    doc = parse_docstring(text, bare)
    asked, name, signature = question(doc.summary), f"{module}.{bare}", signature_of(obj, doc)
    body = _body(doc, name)
    if asked is None or signature is None or not body or name in asked or "deprecated" in asked:
        return None
    return Symbol(name, name + signature, doc.summary, asked, body, _arguments(body), id(obj))


def _arguments(body: str) -> tuple[str, ...]:
    """Questions about the arguments that a passage explains."""
    meanings = re.findall(r"^ {4}(\S.*)$", body.partition("Parameters\n")[2], re.MULTILINE)
    return tuple(dict.fromkeys(filter(None, map(argument_question, meanings))))


def _body(doc: Docstring, name: str) -> str:
    """Description and parameters; the notes where there are no parameters. The summary and the name stand elsewhere."""
    paragraphs = [part for part in doc.description.split("\n\n") if not part.startswith(_BOILERPLATE)]
    parameters = entries(doc.sections.get("Parameters", ""))
    if parameters:
        paragraphs.append(f"Parameters\n{parameters}")
    else:
        notes = prose(doc.sections.get("Notes", "")).split("\n\n")
        paragraphs += [part for part in notes if part and not part.startswith(_BOILERPLATE)]
    text = "\n\n".join(paragraphs)
    return re.sub(rf"{re.escape(name)}\b", name.rsplit(".", 1)[1], text).strip()
