"""What several stages need: the parts of a dataset as artifacts, seeding, and embedding with a bi-encoder."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.formats import load_jsonl, write_jsonl
from harness.models.loaders import load_bi_encoder, locate
from harness.models.packed_linear import to_trainable
from harness.models.precision import dtype_here, prepared
from harness.models.sparse_encoder import load_sparse_encoder
from harness.models.token_batches import Truncations, count_longer, token_batches
from harness.models.token_encoders import load_token_encoder
from harness.suite.pipeline import DataEncoder, Encoder, Retriever
from harness.suite.roles import EMBEDDED_PREFIX
from harness.values.grades import best_first
from harness.values.passages import Place, SpansOf
from harness.values.records import Answer, Document, Histories, Pair, Progress, Qrels, Reference, Turn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

HELD = 8
"""Batches whose vectors may wait on the device: a GPU then computes while the next texts are prepared."""


def write_corpus(folder: Path, documents: Mapping[str, Document]) -> None:
    """Write the part `corpus` of a dataset."""
    write_jsonl(folder / "corpus.jsonl", (document._asdict() for document in documents.values()))


def read_corpus(folder: Path) -> dict[str, Document]:
    """Read the part `corpus`: doc_id -> document, in file order."""
    return {row["doc_id"]: Document(**row) for row in load_jsonl(folder / "corpus.jsonl")}


def stream_corpus(folder: Path) -> Iterator[Document]:
    """Yield the documents of the part `corpus` in file order, one in memory at a time."""
    with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            yield Document(**json.loads(line))


def count_corpus(folder: Path) -> int:
    """Count the documents of the part `corpus`."""
    with (folder / "corpus.jsonl").open("rb") as lines:
        return sum(1 for _ in lines)


def write_queries(folder: Path, queries: Mapping[str, str]) -> None:
    """Write the part `queries`: query_id -> text."""
    rows = ({"query_id": query_id, "text": text} for query_id, text in queries.items())
    write_jsonl(folder / "queries.jsonl", rows)


def read_queries(folder: Path) -> dict[str, str]:
    """Read the part `queries`: query_id -> text, in file order."""
    return {row["query_id"]: row["text"] for row in load_jsonl(folder / "queries.jsonl")}


def write_histories(folder: Path, histories: Histories) -> None:
    """Write the part `history`: the turns before each query that has some."""
    rows = ({"query_id": key, "history": [turn._asdict() for turn in turns]} for key, turns in histories.items())
    write_jsonl(folder / "history.jsonl", rows)


def read_histories(folder: Path) -> dict[str, tuple[Turn, ...]]:
    """Read the part `history`: query_id -> turns, the oldest first."""
    rows = load_jsonl(folder / "history.jsonl")
    return {row["query_id"]: tuple(Turn(**turn) for turn in row["history"]) for row in rows}


def write_judgements(folder: Path, qrels: Qrels) -> None:
    """Write the part `qrels`."""
    rows = ({"query_id": query_id, "relevance": docs} for query_id, docs in qrels.items())
    write_jsonl(folder / "qrels.jsonl", rows)


def read_judgements(folder: Path) -> Qrels:
    """Read the part `qrels`."""
    return {row["query_id"]: row["relevance"] for row in load_jsonl(folder / "qrels.jsonl")}


def write_spans(folder: Path, spans: SpansOf) -> None:
    """Write the part `spans`."""
    write_jsonl(folder / "spans.jsonl", ({"query_id": query_id, "spans": docs} for query_id, docs in spans.items()))


def read_spans(folder: Path) -> dict[str, dict[str, tuple[Place, ...]]]:
    """Read the part `spans`: query_id -> {doc_id: spans}."""
    rows = load_jsonl(folder / "spans.jsonl")
    return {
        row["query_id"]: {doc_id: tuple(map(tuple, places)) for doc_id, places in row["spans"].items()} for row in rows
    }


def write_references(folder: Path, references: Mapping[str, Reference]) -> None:
    """Write the part `references`."""
    write_jsonl(folder / "references.jsonl", (reference._asdict() for reference in references.values()))


def read_references(folder: Path) -> dict[str, Reference]:
    """Read the part `references`."""
    rows = load_jsonl(folder / "references.jsonl")
    return {
        row["query_id"]: Reference(
            row["query_id"], tuple(row["answers"]), row["answerable"], tuple(row["source_passages"])
        )
        for row in rows
    }


def write_pairs(folder: Path, pairs: Sequence[Pair]) -> None:
    """Write training pairs."""
    write_jsonl(folder / "pairs.jsonl", (pair._asdict() for pair in pairs))


def read_pairs(folder: Path) -> list[Pair]:
    """Read training pairs."""
    return [Pair(**row) for row in load_jsonl(folder / "pairs.jsonl")]


def shown_passage(row: Mapping[str, Any], documents: Mapping[str, Document]) -> str:
    """What training shows of the document of a row: its content, unless the row has a `passage` (see `Pair`)."""
    return row.get("passage") or documents[row["doc_id"]].content


def write_answers(folder: Path, answers: Sequence[Answer]) -> None:
    """Write the answers of a system."""
    write_jsonl(folder / "answers.jsonl", (answer._asdict() for answer in answers))


def read_answers(folder: Path) -> dict[str, Answer]:
    """Read the answers of a system: query_id -> answer."""
    rows = load_jsonl(folder / "answers.jsonl")
    return {row["query_id"]: Answer(**{**row, "context": tuple(row["context"])}) for row in rows}


def write_contexts(folder: Path, contexts: Mapping[str, Sequence[str]]) -> None:
    """Write the part `contexts`: the ids of the passages that each query's prompt shows, in this order."""
    rows = ({"query_id": query_id, "context": list(doc_ids)} for query_id, doc_ids in contexts.items())
    write_jsonl(folder / "contexts.jsonl", rows)


def read_contexts(folder: Path) -> dict[str, list[str]]:
    """Read the part `contexts`: query_id -> doc_ids in the order shown."""
    return {row["query_id"]: row["context"] for row in load_jsonl(folder / "contexts.jsonl")}


def relevant_passages(query_id: str, qrels: Qrels, references: Mapping[str, Reference]) -> list[str]:
    """Relevant passages, the most relevant first; else those that the question was written against."""
    relevant = best_first(qrels.get(query_id, {}))
    reference = references.get(query_id)
    return relevant or list(reference.source_passages if reference else ())


def model_folder(spec_model: str, inputs: Mapping[str, Path], name: str = "model") -> Path:
    """The folder of a model: an input artifact of this name if there is one, else what the spec names."""
    return inputs[name] if name in inputs else locate(spec_model)


def base_name(model: str) -> str:
    """The name of a model without the path of this machine: of a folder, its last part."""
    if model.startswith(EMBEDDED_PREFIX):
        return model
    folder = Path(model).expanduser()
    return folder.resolve().name if folder.is_dir() else model


def encode(
    model: Any,
    texts: Sequence[str],
    role: str,
    progress: Progress = lambda done, total: None,
    truncations: Truncations | None = None,
) -> Floats:
    """Embed texts, float32, shape (len(texts), dims): as unit vectors, unless the model ranks by dot product.

    `role` is ``query`` or ``document``: it chooses the prompt. Texts of like length are encoded together; see
    `token_batches`. Into `truncations` goes how many are longer than the model reads.
    """
    import numpy as np
    import torch

    # Even an empty prompt: without it the model's default prompt would be put before the text.
    prompt, width, done = model.prompts.get(role) or "", model.get_embedding_dimension(), 0
    vectors = np.zeros((len(texts), width), dtype=np.float32)
    waiting: list[tuple[list[int], Any]] = []

    def take() -> int:
        for numbers, rows in waiting:
            vectors[numbers] = rows.cpu().numpy()
        count = sum(len(numbers) for numbers, _ in waiting)
        waiting.clear()
        return count

    def compute(features: dict[str, Any]) -> Any:
        with torch.inference_mode():
            rows = model(features)["sentence_embedding"][:, :width].float()
            return rows if model.similarity_fn_name == "dot" else torch.nn.functional.normalize(rows, dim=1)

    model.eval()
    longer = count_longer(model, prompt)
    for numbers, rows in token_batches(model, texts, compute, truncations, longer, prompt=prompt):
        waiting.append((numbers, rows))
        if len(waiting) >= HELD or not done:
            done += take()
            progress(done, len(texts))
    if waiting:
        progress(done + take(), len(texts))
    if not np.isfinite(vectors).all():
        raise ValueError(
            "the bi-encoder gives vectors that are no numbers; its weights are damaged, or training diverged: lower "
            "the rate"
        )
    return vectors


def bi_encoder(spec: Encoder, inputs: Mapping[str, Path]) -> Any:
    """Load the bi-encoder of a spec to serve with: in its `dtype`, or in float32 if it has none."""
    return _loaded(load_bi_encoder, spec, inputs)


def sparse_encoder(spec: Encoder, inputs: Mapping[str, Path]) -> Any:
    """Load the learned sparse encoder of a spec, as `bi_encoder` does."""
    return _loaded(load_sparse_encoder, spec, inputs)


def token_encoder(spec: Encoder, inputs: Mapping[str, Path]) -> Any:
    """Load the token encoder of a spec, as `bi_encoder` does."""
    return _loaded(load_token_encoder, spec, inputs)


def _loaded(load: Callable[..., Any], spec: Encoder, inputs: Mapping[str, Path]) -> Any:
    dtype = dtype_here(spec.dtype) if isinstance(spec, Retriever | DataEncoder) else "float32"
    folder = model_folder(spec.model, inputs)
    model = load(folder, spec.max_length, spec.query_prompt, spec.document_prompt, dtype)
    return prepared(model, dtype)


def trainable_bi_encoder(spec: Encoder, inputs: Mapping[str, Path]) -> Any:
    """Load the bi-encoder of a spec to train it, in float32."""
    folder = model_folder(spec.model, inputs)
    return to_trainable(load_bi_encoder(folder, spec.max_length, spec.query_prompt, spec.document_prompt))


def reads(model: Any) -> int | str:
    """How many tokens of a text a model reads: a number, or ``all``."""
    limit = model.max_seq_length
    return int(limit) if limit is not None and math.isfinite(limit) else "all"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators for libraries that know no other, and put them back afterwards."""
    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
