"""Load a learned sparse encoder (SPLADE) and encode texts: each becomes weights of terms of the model's vocabulary.

Must not know indexes or stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.models.inspection import inspect
from harness.models.loaders import prompted_encoder, quiet
from harness.values.records import Progress

ENCODE_BATCH, ENCODE_CHUNK = 16, 128
"""Texts a forward pass, and texts whose weights are dense in memory at once: a vocabulary wide each."""


def load_sparse_encoder(folder: Path, max_length: int, query_prompt: str = "", document_prompt: str = "") -> Any:
    """Load a sparse encoder in float32 that reads `max_length` tokens of a text, or as many as the model can.

    It carries ``prompts`` under the names ``query`` and ``document`` and ``similarity_fn_name`` as
    `loaders.load_bi_encoder` sets them. Raises ConfigError if the folder cannot be used as one.
    """
    inspection = inspect(folder, "sparse-encoder").check()
    quiet()
    from sentence_transformers import SparseEncoder

    return prompted_encoder(SparseEncoder, folder, inspection, max_length, (query_prompt, document_prompt))


def encode_sparse(model: Any, texts: Sequence[str], role: str, progress: Progress = lambda done, total: None) -> Any:
    """Return the weights of texts as a scipy sparse matrix in float32, shape (texts, terms).

    `role` is ``query`` or ``document``: it chooses the prompt. Rows have length 1 if the model ranks by the cosine.
    Raises ValueError for weights that are no numbers.
    """
    import numpy as np
    from scipy.sparse import csr_array, diags_array, vstack

    order = sorted(range(len(texts)), key=lambda number: (-len(texts[number]), number))
    parts = []
    # No text at all is still encoded once: a model tells the number of its terms by what it returns.
    for start in range(0, max(len(order), 1), ENCODE_CHUNK):
        chunk = [texts[number] for number in order[start : start + ENCODE_CHUNK]]
        weights = model.encode(
            chunk or [""],
            prompt=model.prompts.get(role) or "",
            batch_size=ENCODE_BATCH,
            convert_to_sparse_tensor=False,
            save_to_cpu=True,
            show_progress_bar=False,
        ).numpy()
        if not np.isfinite(weights).all():
            raise ValueError("the sparse encoder gives weights that are no numbers; its weights are damaged")
        parts.append(csr_array(weights[: len(chunk)]))
        progress(min(start + ENCODE_CHUNK, len(order)), len(order))
    whole = vstack(parts, format="csr")
    if model.similarity_fn_name != "dot":
        lengths = np.sqrt((whole * whole).sum(axis=1))
        whole = diags_array(1 / np.maximum(lengths, 1e-12)) @ whole
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return whole[places].astype(np.float32)
