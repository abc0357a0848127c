"""Compute batches, and go on with smaller ones where the memory is short. Must not know what a batch holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
SIGNS = "out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED"
"""What libraries beneath torch write where memory is short; they raise no error of a type of its own."""


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that the memory of the device does not hold what was to be computed."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)


def batch_by_batch(
    batches: Iterable[Sequence[T]], compute: Callable[[Sequence[T]], R], tokens: Callable[[Sequence[T]], int], hint: str
) -> Iterator[tuple[Sequence[T], R]]:
    """Yield each batch with what `compute` returns for it.

    A batch that the memory does not hold is cut in two, and so are later ones until they have half as many `tokens`.
    Raises ValueError once an entry does not fit alone; `hint` says how to make it smaller.
    """
    most: int | None = None
    for batch in batches:
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            if most is None or len(part) == 1 or tokens(part) <= most:
                try:
                    result = compute(part)
                except Exception as error:
                    if not is_shortage(error):
                        raise
                else:
                    yield part, result
                    continue
                # Not before the error is gone: it holds what was computed.
                release()
                if len(part) == 1:
                    raise ValueError(too_large(f"a text of {tokens(part)} tokens", hint))
                most = max(1, tokens(part) // 2)
            waiting += [part[len(part) // 2 :], part[: len(part) // 2]]


def too_large(what: str, hint: str) -> str:
    """Return the sentence for something that does not fit into the memory even alone."""
    return f"out of memory: {what} does not fit even alone; {hint}, or use a device with more memory"


def release() -> None:
    """Give memory that torch holds and does not use back to the device."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
