"""Halve the micro-batch after each shortage of memory, until a training fits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from harness.models.shortage import is_shortage, release, too_large


class Fitted(NamedTuple):
    """The result of a training, the micro-batch that fitted, and notes for the ledger."""

    value: Any
    micro_batch: int
    notes: dict[str, Any]


def until_it_fits(train: Callable[[int], Any], batch_size: int) -> Fitted:
    """Call ``train(micro_batch)`` with the whole batch, and with half as much after each shortage of memory.

    `train` starts from the beginning each time and must give the same batch, computed in smaller parts. Raises
    ValueError once a single example is too much.
    """
    micro_batch = batch_size
    while True:
        try:
            value = train(micro_batch)
        except Exception as error:
            if not is_shortage(error):
                raise
        else:
            short = {"out of memory": f"a micro-batch of {batch_size} did not fit, trained with {micro_batch}"}
            return Fitted(value, micro_batch, short if micro_batch < batch_size else {})
        # Not before the error is gone: it holds what was computed.
        release()
        if micro_batch == 1:
            raise ValueError(too_large("a training example", "lower max_length or passage_tokens"))
        micro_batch = max(1, micro_batch // 2)
