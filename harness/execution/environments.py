"""The environment of a call: it belongs to the request, not to the process that happens to run it.

A request holds the whole environment that its process had when the request was made, with the device of its suite. So
a key that is set between two runs reaches the second, and two suites of one process may ask for different devices. The
values may be secrets: they are sent through pipes, never shown and never written down.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from harness.provenance import DEVICE_VARIABLE

DEFAULTS = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""What child processes set where nobody else does."""

_IMPORT_PREFIXES = (
    "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "SENTENCE_TRANSFORMERS_", "TOKENIZERS_", "PYTORCH_", "TORCH_",
)  # fmt: skip
_IMPORT_SUFFIX = "_NUM_THREADS"
_IMPORT_NAMES = {"XDG_CACHE_HOME"}
_swapping = threading.Lock()


class Environment(dict[str, str]):
    """Names and values of environment variables; shown without the values."""

    def __repr__(self) -> str:
        return f"<environment of {len(self)} variables>"

    __str__ = __repr__


def environment_now(device: str | None = None) -> Environment:
    """The environment of this process, with the `device` of a suite if one is given."""
    return Environment({**os.environ, **({DEVICE_VARIABLE: device} if device else {})})


def read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that the heavy libraries read once, when they are imported: caches, hubs, threads, allocators.

    All others (keys, proxies, devices, what the harness reads itself) are read when they are needed.
    """
    return {
        name: value
        for name, value in {**DEFAULTS, **environment}.items()
        if name.startswith(_IMPORT_PREFIXES) or name.endswith(_IMPORT_SUFFIX) or name in _IMPORT_NAMES
    }


def apply(environment: Mapping[str, str]) -> None:
    """Make this the whole environment of this process: what it lacks is removed."""
    for name in [name for name in os.environ if name not in environment]:
        del os.environ[name]
    os.environ.update({**DEFAULTS, **environment})


@contextmanager
def applied(environment: Mapping[str, str]) -> Iterator[None]:
    """Let this be the environment for as long as it takes to start a process; one thread at a time."""
    with _swapping:
        before = dict(os.environ)
        if before == environment:
            yield
            return
        os.environ.update(environment)
        for name in [name for name in before if name not in environment]:
            del os.environ[name]
        try:
            yield
        finally:
            os.environ.update(before)
            for name in [name for name in os.environ if name not in before]:
                del os.environ[name]
