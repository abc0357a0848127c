"""Servers of this process on loopback, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from typing import TypeVar

Running = TypeVar("Running", bound=BaseServer)
POLL_SECONDS = 0.02
"""How often a server looks whether it shall stop: half a second, as the library has it, adds up over many tests."""


@contextmanager
def running(server: Running) -> Iterator[Running]:
    """Serve until the block ends; then close the server and wait for its thread."""
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
