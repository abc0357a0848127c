"""Vectors of a large corpus, encoded part by part into files: memory is bounded, and a crash loses one part.

A part is a file with its digest beside it. They lie in the folder of the store's claim that the next claim of the same
key is given again: equal keys have equal inputs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import write_atomically
from harness.hashing import digest_file
from harness.models.token_batches import Truncations
from harness.values.records import Document, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Encode = Callable[[list[str], Progress, Truncations], Floats]

PART = 4096
"""Passages of a part: what is lost at most when a run is killed."""


class EncodedParts:
    """The parts in a folder. `doc_ids` are those of all of them, `cut` counts texts longer than the encoder reads.

    With `resumed=False`, parts that are there already are encoded again, by an encoder whose answers are cached.
    `reused` counts parts that were there already, and `before` the seconds that these took when they were encoded.
    """

    def __init__(self, folder: Path, resumed: bool = True) -> None:
        self._folder, self._resumed = folder, resumed
        self.doc_ids: list[str] = []
        self.cut = self.reused = 0
        self.before = 0.0

    def encode(self, documents: Iterable[Document], total: int, encode: Encode, progress: Progress) -> None:
        """Encode documents, `PART` at a time; parts that are there already, and intact, are not encoded again."""
        self._folder.mkdir(parents=True, exist_ok=True)
        waiting = iter(documents)
        for number, batch in enumerate(iter(lambda: list(islice(waiting, PART)), [])):
            start = len(self.doc_ids)
            self.doc_ids += [document.doc_id for document in batch]
            known, begun = self._known(number), time.perf_counter()
            if known is None:
                truncations = Truncations()
                vectors = encode(
                    [document.content for document in batch], _further(progress, start, total), truncations
                )
                known = self._write(number, vectors, truncations.count, begun)
            else:
                self.reused += 1
                self.before += known.get("seconds", 0.0)
                progress(len(self.doc_ids), total)
            self.cut += known["cut"]

    def arrays(self) -> Iterator[Floats]:
        """Yield the vectors of one part after the other."""
        import numpy as np

        for number in range(-(-len(self.doc_ids) // PART)):
            yield np.load(self._file(number))

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:06}.npy"

    def _note(self, number: int) -> Path:
        return self._folder / f"{number:06}.json"

    def _known(self, number: int) -> dict[str, Any] | None:
        """Return the note of a part; None unless it is there and its file has the digest of the note."""
        if not self._resumed:
            return None
        try:
            note: dict[str, Any] = json.loads(self._note(number).read_text(encoding="utf-8"))
            return note if digest_file(self._file(number)) == note["digest"] else None
        except (OSError, ValueError, RecursionError, KeyError):
            return None

    def _write(self, number: int, vectors: Floats, cut: int, begun: float) -> dict[str, Any]:
        import numpy as np

        np.save(self._file(number), vectors)
        digest = digest_file(self._file(number))
        note = {"digest": digest, "cut": cut, "seconds": time.perf_counter() - begun}
        # Written last: a part without its note is not finished.
        write_atomically(self._note(number), json.dumps(note))
        return note


def _further(progress: Progress, start: int, total: int) -> Progress:
    return lambda done, of_part: progress(start + done, total)
