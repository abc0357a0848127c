"""Leases: notes at an address that say who is working on what, so that two machines rarely do the same work.

A lease only saves work. Its holder renews it; one that was not renewed for some minutes is taken over. Nothing depends
on it: clocks may differ, a lease may be lost, and then two machines do the same work, of which the first commit counts.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
import time
import uuid
from typing import Any

from harness.errors import HarnessError
from harness.remote.objects import Objects

STALE = 300.0
"""Seconds after which a lease that was not renewed is taken over."""
RENEWED_EVERY = 60.0
log = logging.getLogger(__name__)


class Leases:
    """The leases that this process holds at an address, by the name of the object that notes each.

    Whoever takes one holds the lock of its key in the folder of copies. So a lease of the same folder is one of a
    process that has ended, and is taken over at once; so is one of an earlier attempt at the same piece of work.
    """

    def __init__(self, objects: Objects, folder: str, sender: str = "") -> None:
        """`folder` is a name for the folder of copies that no other machine has, `sender` one that only the attempts at
        one piece of work have, which are never made at the same time; it may be empty.
        """
        self._objects, self._folder, self._sender, self._owner = objects, folder, sender, uuid.uuid4().hex
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._seen: dict[str, tuple[bytes, float]] = {}

    def acquire(self, name: str) -> bool:
        """Take a lease if it is free or stale; return whether it is held now."""
        content = self._content()
        if not self._objects.create(name, content):
            current = self._objects.read(name)
            if current is not None and self._is_of_another(name, current):
                return False
            self._objects.write(name, content)
            if self._objects.read(name) != content:
                return False
        with self._lock:
            self._held.add(name)
            if len(self._held) == 1:
                self._wake = threading.Event()
                threading.Thread(target=self._renew, args=(self._wake,), daemon=True, name="leases").start()
        return True

    def release(self, name: str) -> None:
        """Give a lease back. One that somebody else has taken over is left alone."""
        with self._lock:
            self._held.discard(name)
            if not self._held:
                self._wake.set()
        try:
            if self._is_own(name):
                self._objects.delete(name)
        except (HarnessError, OSError) as error:
            log.debug("lease %s is left to expire: %s", name, error)

    def _content(self) -> bytes:
        note = {
            "owner": self._owner,
            "folder": self._folder,
            "sender": self._sender,
            "host": platform.node(),
            "pid": os.getpid(),
            "renewed": time.time(),
        }
        return json.dumps(note, sort_keys=True).encode()

    def _is_of_another(self, name: str, content: bytes) -> bool:
        """Whether a lease is held by another machine, as far as can be told."""
        note = _note(content)
        of_dead = note.get("folder") == self._folder or (self._sender and note.get("sender") == self._sender)
        return not of_dead and not self._is_stale(name, content)

    def _is_stale(self, name: str, content: bytes) -> bool:
        """Whether a lease is old by its own time, or did not change while this process watched it."""
        before, since = self._seen.get(name, (b"", 0.0))
        now = time.monotonic()
        if before != content:
            self._seen[name] = content, now
            since = now
        return time.time() - _renewed(content) > STALE or now - since > STALE

    def _is_own(self, name: str) -> bool:
        return _note(self._objects.read(name) or b"").get("owner") == self._owner

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(RENEWED_EVERY):
            with self._lock:
                names = list(self._held)
            for name in names:
                try:
                    if self._is_own(name) and name in self._held:
                        self._objects.write(name, self._content())
                except (HarnessError, OSError) as error:
                    log.debug("lease %s was not renewed: %s", name, error)


def _renewed(content: bytes) -> float:
    renewed = _note(content).get("renewed")
    return float(renewed) if isinstance(renewed, int | float) else 0.0


def _note(content: bytes) -> dict[str, Any]:
    try:
        note = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}
