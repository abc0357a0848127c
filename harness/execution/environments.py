"""The environment variables of a call. They belong to the request, not to the process that runs it.

A request holds the whole environment that its process had when the request was made, with the device of its suite. So
a key that is set between two runs reaches the second, and two suites of one process may ask for different devices. The
values may be secrets: they are sent through pipes, never shown and never written to disk.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from harness.provenance import DEVICE_VARIABLE
from harness.suite.secrets import revealed

DEFAULTS = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Variables of child processes, unless the environment sets them."""

_IMPORT_PREFIXES = (
    "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "SENTENCE_TRANSFORMERS_", "TOKENIZERS_", "PYTORCH_", "TORCH_",
)  # fmt: skip
_IMPORT_SUFFIX = "_NUM_THREADS"
_IMPORT_NAMES = {"XDG_CACHE_HOME"}
_OWN_PREFIX = "HARNESS_"
_SECRET_WORDS = {
    "ACCESSKEY", "APIKEY", "AUTH", "CREDENTIAL", "CREDENTIALS", "KEY", "KEYS", "PASS", "PASSPHRASE", "PASSWD",
    "PASSWORD", "PAT", "SECRET", "SECRETS", "TOKEN", "TOKENS",
}  # fmt: skip
_SECRET_ENDINGS = ("APIKEY", "PASS", "PASSPHRASE", "PASSWD", "PASSWORD", "SECRET", "TOKEN")
_swapping = threading.Lock()
_changing = threading.Lock()
"""Held while variables change, and while all are read."""
_own: dict[str, str] | None = None
"""The environment of this process while another one is in its place; see `applied`."""


class Environment(dict[str, str]):
    """Names and values of environment variables. Its `repr` and `str` leave out the values."""

    def __repr__(self) -> str:
        return f"<environment of {len(self)} variables>"

    __str__ = __repr__


def environment_now(device: str | None = None) -> Environment:
    """Return the environment of this process, with the `device` of a suite unless that is None.

    It is that of the process also while a thread has put that of a call in its place.
    """
    with _changing:
        own = dict(os.environ) if _own is None else _own
        return Environment({**own, **({DEVICE_VARIABLE: device} if device else {})})


def read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that heavy libraries read once, at import: caches, hubs, threads, allocators.

    All others (keys, proxies, devices, what the harness reads itself) are read when they are needed.
    """
    return {
        name: value
        for name, value in {**DEFAULTS, **environment}.items()
        if name.startswith(_IMPORT_PREFIXES) or name.endswith(_IMPORT_SUFFIX) or name in _IMPORT_NAMES
    }


def without_secrets(environment: Mapping[str, str]) -> Environment:
    """Return the variables that hold no key: by their names, and by their values, such as addresses with passwords."""
    return Environment(
        {name: value for name, value in environment.items() if not (_is_secret(name) or revealed(value))}
    )


def _is_secret(name: str) -> bool:
    # A second key may have a number: API_KEY2. PGPASSWORD has no word of its own.
    words = re.findall("[A-Z]+", name.upper())
    if not _SECRET_WORDS.isdisjoint(words) or any(word.endswith(_SECRET_ENDINGS) for word in words):
        return True
    # Alone it is the folder of a process.
    return "PWD" in words[1:]


def for_another_machine(environment: Mapping[str, str]) -> Environment:
    """Return the variables that mean the same on another machine: those of the harness, of model hubs, of threads.

    The others, such as paths and devices, are those of the worker. Keys stay here: what is sent to a batch system is
    written to disk.
    """
    return Environment(
        {
            name: value
            for name, value in without_secrets(environment).items()
            if (name.startswith(_OWN_PREFIX) or name in read_at_import(environment)) and name not in _IMPORT_NAMES
        }
    )


def apply(environment: Mapping[str, str]) -> None:
    """Make this the whole environment of this process; other variables are removed."""
    for name in [name for name in os.environ if name not in environment]:
        del os.environ[name]
    os.environ.update({**DEFAULTS, **environment})


@contextmanager
def applied(environment: Mapping[str, str]) -> Iterator[None]:
    """Replace the environment while a process is started. One thread at a time may do so.

    What other threads should read meanwhile is `environment_now`, not `os.environ`.
    """
    global _own
    with _swapping:
        if environment_now() == environment:
            yield
            return
        with _changing:
            before = _own = dict(os.environ)
            _replace(environment)
        try:
            yield
        finally:
            with _changing:
                _replace(before)
                _own = None


def _replace(environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    for name in [name for name in os.environ if name not in environment]:
        del os.environ[name]
