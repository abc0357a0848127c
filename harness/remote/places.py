"""The store of artifacts of a place that a user named with `--store`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.remote.bounded_cache import bound
from harness.remote.makings import FOLDER
from harness.remote.mirror import mirror_of, opened
from harness.remote.objects import is_address
from harness.remote.store import RemoteStore
from harness.store import FolderStore, Store

SMALL = ("calibrations", "llm/dialects.json")
"""What decides on keys and verdicts, and is fetched whenever an address is opened."""


def root_of(place: str | Path) -> Path:
    """Return the folder of a place that a user named with `--store`; for an address, a local folder that follows it.

    Raises ConfigError, with what to install or to set, if an address cannot be used.
    """
    root = opened(place)
    mirror = mirror_of(root) if is_address(place) else None
    if mirror is not None:
        for name in SMALL:
            mirror.pull(name)
    return root


def store_in(place: str | Path, sender: str = "") -> Store:
    """Return the store of artifacts below a folder or an address. Raises ConfigError for an address without use.

    For `sender` see `Leases`.
    """
    root = opened(place)
    mirror, folder = mirror_of(root), FolderStore(root / FOLDER)
    return folder if mirror is None else RemoteStore(mirror.objects, folder, bound(), sender)


@contextmanager
def opened_store(place: str | Path, sender: str = "") -> Iterator[Store]:
    """Give `store_in` for a piece of work of a process that goes on: its copies may be dropped after that."""
    store = store_in(place, sender)
    try:
        yield store
    finally:
        if isinstance(store, RemoteStore):
            store.release()
