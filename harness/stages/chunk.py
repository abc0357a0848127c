"""chunk: documents in, chunks out: the passages that are indexed, retrieved and shown.

A chunk is a document of its own, whose id names the span that it covers (see `values.passages`). `tokens` counts the
whole passage as an encoder reads it: its title with the headings above it, and the two tokens that an encoder adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from harness.data.formats import write_jsonl
from harness.data.passages import passage, titled
from harness.models.loaders import locate
from harness.stages import Inputs, SpeedRule, Stage, Takes
from harness.stages.shared.common import read_corpus
from harness.suite.pipeline import Chunking
from harness.text.chunks import LEAST, Piece, Tokenize, split, words
from harness.values.records import Document, Progress, Usage

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ADDED = 2
"""Tokens that an encoder puts around a text."""


class ChunkSpec(Chunking):
    """See `pipeline.Chunking`. `model` is the encoder whose tokens are counted; None: words."""

    model: str | None = None


def chunk(spec: ChunkSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write the corpus of chunks, in the order of the documents; a document without text is a chunk of its title.

    Raises ValueError if a chunk would have the id of a document, which rankings could not tell apart.
    """
    documents = read_corpus(inputs["corpus"])
    count = _counter(spec.model)
    lengths: list[int] = []
    done = 0

    def rows() -> Iterator[Mapping[str, str]]:
        nonlocal done
        for done, document in enumerate(documents.values(), start=1):
            for piece in pieces(document, spec, count):
                made = passage(document, piece.start, piece.end)
                if made.doc_id in documents:
                    raise ValueError(
                        f"a chunk of {document.doc_id!r} would have the id of the document {made.doc_id!r}"
                    )
                lengths.append(piece.end - piece.start)
                yield made._asdict()
            if done % 100 == 0:
                progress(done, len(documents))

    write_jsonl(out / "corpus.jsonl", rows())
    progress(done, len(documents))
    notes = {"documents": len(documents), "chunks": len(lengths)}
    notes |= {"characters of a chunk, median": round(median(lengths))} if lengths else {}
    return Usage(units=len(lengths), notes=notes)


def pieces(document: Document, spec: Chunking, tokenize: Tokenize) -> list[Piece]:
    """The chunks of one document. A title takes part of the tokens, at most half of them."""
    room = spec.tokens - ADDED
    cut = _split(document, spec, room, tokenize)
    if len(cut) == 1 and not document.title:
        return cut
    titles = {titled(document.title, piece.headings) for piece in cut}
    used = max(len(tokenize(title)) for title in titles)
    return _split(document, spec, room - min(used, spec.tokens // 2), tokenize) if used else cut


def _split(document: Document, spec: Chunking, room: int, tokenize: Tokenize) -> list[Piece]:
    room = max(LEAST, room)
    return split(document.text, spec.by, room, min(spec.overlap, room // 2), tokenize)


def _counter(model: str | None) -> Tokenize:
    """What gives the spans of the tokens that an encoder reads; of words without one."""
    if model is None:
        return words
    tokenizer = load_tokenizer(locate(model))

    def spans(text: str) -> list[tuple[int, int]]:
        offsets: list[tuple[int, int]] = tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets

    return spans


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model's folder, which neither cuts nor pads; without its file, transformers makes one.

    Raises ValueError if the model has none that knows where its tokens stand.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if path.is_file():
        tokenizer = Tokenizer.from_file(str(path))
    else:
        from transformers import AutoTokenizer

        made = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if not made.is_fast:
            raise ValueError(
                f"the tokenizer of {folder.name} does not say where its tokens stand; chunk by another model"
            )
        tokenizer = made.backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


STAGE = Stage(
    run=chunk,
    spec=ChunkSpec,
    version=1,
    takes=Takes(("corpus",)),
    heavy=False,
    packages=("tokenizers",),
    rate=2000.0,
    unit="chunks",
    speed=SpeedRule(kind=("by",)),
)
