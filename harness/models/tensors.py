"""Read safetensors files without torch: which tensors a folder holds, their digest, whether they are finite.

A file begins with the length of its header (eight bytes, little-endian) and the header, a JSON object. Must not know
architectures.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import ConfigError, Problem
from harness.files import stays_inside
from harness.models.signatures import kept_while_unchanged

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
LONGEST_HEADER = 100_000_000
AGAIN = "copy or download the file again"
FLOAT_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
SAMPLED = 1024
MASKS = re.compile(r"(^|[._])masked_bias$|\.attn\.bias$|mask")


class Tensor(NamedTuple):
    """A tensor in a file: `dtype` as safetensors names it, its bytes from `start` to `end`."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(file: Path) -> list[Tensor]:
    """Return the tensors of a file; raises ConfigError if it is empty, cut short or no safetensors file."""
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(LONGEST_HEADER, size - 8):
                raise ValueError("no header")
            header = json.loads(stream.read(length))
        tensors = [_tensor(file, name, entry, 8 + length) for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        what = (
            "is empty" if size == 0 else "is a Git LFS pointer, not the weights" if _is_pointer(file) else "is damaged"
        )
        raise ConfigError(Problem(str(file), what, AGAIN)) from None
    if tensors and max(tensor.end for tensor in tensors) != size:
        raise ConfigError(Problem(str(file), "is cut short: some of its weights are missing", AGAIN))
    return tensors


def _tensor(file: Path, name: str, entry: Mapping[str, Any], begin: int) -> Tensor:
    """Return a tensor of a header; raises ValueError unless its shape, its type and its place are of one size."""
    first, last = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if not all(type(number) is int and number >= 0 for number in (first, last, *shape)) or first > last:
        raise ValueError("no place in a file")
    width = FLOAT_BYTES.get(str(entry["dtype"]))
    if width is not None and math.prod(shape) * width != last - first:
        raise ValueError("its shape is not that of its values")
    return Tensor(file, name, str(entry["dtype"]), shape, begin + first, begin + last)


def _is_pointer(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(7) == b"version"


def files_of(folder: Path) -> list[Path]:
    """Return the files with the weights of a folder, as transformers looks for them; empty if there are none.

    Raises ConfigError where a file that the index names is missing.
    """
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    index = folder / INDEX
    if not index.is_file():
        return []
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise ConfigError(Problem(str(index), "is damaged", AGAIN)) from None
    if outside := [name for name in names if not stays_inside(name)]:
        what = f"names weights outside of the folder ({outside[0]!r})"
        raise ConfigError(Problem(str(index), what, "use a model whose files are all in its folder"))
    lost = [name for name in names if not (folder / name).is_file()]
    if lost:
        shown = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
        what = f"{len(lost)} of {len(names)} files of weights are missing: {shown}"
        raise ConfigError(Problem(str(folder), what, "download the model again"))
    return [folder / name for name in names]


def tensors_of(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a folder of weights by name; raises ConfigError for files that are damaged or missing."""
    return {tensor.name: tensor for file in files_of(folder) for tensor in read_header(file)}


def not_finite(tensors: Iterable[Tensor]) -> str | None:
    """Return the name of the first tensor with NaN or an infinity among its first and last `SAMPLED` values, or None.

    A training that diverged leaves such values nearly everywhere, so that a sample of every tensor finds them without
    reading the weights. Masks, which hold infinities by design, are left out.
    """
    return next((tensor.name for tensor in tensors if not MASKS.search(tensor.name) and not _finite(tensor)), None)


def _finite(tensor: Tensor) -> bool:
    import numpy as np

    width = FLOAT_BYTES.get(tensor.dtype)
    if width is None:
        return True
    size = min(tensor.end - tensor.start, SAMPLED * width)
    starts = {tensor.start, tensor.end - size}
    parts = (part for start in starts for part in _bytes(tensor._replace(start=start, end=start + size)))
    return all(bool(np.isfinite(np.frombuffer(part, "<f4")).all()) for part in parts)


@kept_while_unchanged("weights-1")
def weights_digest(folder: Path) -> str:
    """Return a digest of the values of all weights, independent of file names and of how floats are stored.

    Floats of every width are compared as float32, so that a model in bfloat16 equals what it is saved as after loading.
    Prefixes that one way of saving adds (``model.``) make no difference.
    """
    parts = sorted(
        (tensor.name.removeprefix("model."), _digest(tensor))
        for path in folder.rglob("*.safetensors")
        for tensor in read_header(path)
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _digest(tensor: Tensor) -> str:
    digest = hashlib.sha256()
    kind = "F32" if tensor.dtype in ("BF16", *FLOATS) else tensor.dtype
    digest.update(f"{kind} {list(tensor.shape)}".encode())
    for part in _bytes(tensor):
        digest.update(part)
    return digest.hexdigest()


def _bytes(tensor: Tensor, step: int = 1 << 24) -> Iterator[bytes]:
    """Yield the values of a tensor in parts, floats as float32."""
    import numpy as np

    with tensor.file.open("rb") as stream:
        stream.seek(tensor.start)
        left = tensor.end - tensor.start
        while left:
            part = stream.read(min(step, left))
            if not part:
                raise OSError(f"{tensor.file}: ended early")
            left -= len(part)
            if tensor.dtype == "BF16":
                halves: NDArray[np.uint32] = np.frombuffer(part, "<u2").astype("<u4")
                yield (halves << 16).tobytes()
            elif tensor.dtype in FLOATS:
                yield np.frombuffer(part, FLOATS[tensor.dtype]).astype("<f4").tobytes()
            else:
                yield part
