"""When a GPU's memory is too small for a batch: half of it at a time, as often as it takes, and said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Fitted(NamedTuple):
    """What a training gave, and how many examples were in memory at a time; `notes` is a note for the ledger."""

    value: Any
    micro_batch: int
    notes: dict[str, Any]


def until_it_fits(train: Callable[[int], Any], batch_size: int) -> Fitted:
    """Call ``train(micro_batch)``, beginning with the whole batch, with half of it after each shortage of GPU memory.

    `train` starts from the beginning each time and must give the same batch, computed in smaller parts. Raises the
    error of the library once a single example is too much.
    """
    import torch

    micro_batch = batch_size
    while True:
        try:
            value = train(micro_batch)
        except torch.OutOfMemoryError:
            if micro_batch == 1:
                raise
            micro_batch = max(1, micro_batch // 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        short = {"out of GPU memory": f"{batch_size} at a time were too many, trained {micro_batch} at a time"}
        return Fitted(value, micro_batch, short if micro_batch < batch_size else {})
