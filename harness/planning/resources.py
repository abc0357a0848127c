"""What calls in flight share, what one call needs of it, and whether a call fits beside others."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple


class Resources(NamedTuple):
    """What calls in flight share: places for `jobs` calls, `gpus` devices, and `memory_mb` of main memory in MB."""

    jobs: int = 1
    gpus: int = 1
    memory_mb: float = math.inf


class Needs(NamedTuple):
    """What a call needs beside a place: main memory in MB, a device of its own, an endpoint that nobody else asks.

    Where `memory_mb` is None, it may be all there is: only calls that wait for an endpoint run at the same time. Calls
    of one `kind` are taken to need about the same.
    """

    memory_mb: float | None = 0.0
    gpu: bool = False
    endpoint: str = ""
    kind: str = ""


WAITS_MB = 1024.0
"""A guess at the memory of a call that only waits for an endpoint: its child holds the libraries, and no model."""


def fits(needs: Needs, beside: Collection[Needs], resources: Resources) -> bool:
    """Return whether a call fits beside others; places are not counted. Alone, every call fits.

    One endpoint is asked by one call at a time, which keeps as many requests in flight as its role allows.
    """
    if not beside:
        return True
    if needs.gpu and sum(one.gpu for one in beside) >= max(1, resources.gpus):
        return False
    if needs.endpoint and any(one.endpoint == needs.endpoint for one in beside):
        return False
    together = [needs, *beside]
    if any(one.memory_mb is None for one in together):
        # Beside a call of unknown memory there is room only for those that hold next to nothing.
        return sum(one.memory_mb is None or (one.memory_mb > 0 and not one.endpoint) for one in together) == 1
    return math.fsum(one.memory_mb or 0.0 for one in together) <= resources.memory_mb
