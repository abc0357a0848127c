"""Load a learned sparse encoder (SPLADE) and encode texts: each becomes weights of terms of the model's vocabulary.

Must not know indexes or stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.models.inspection import inspect
from harness.models.loaders import prompted_encoder, quiet
from harness.models.token_batches import Truncations, count_longer, token_batches
from harness.values.records import Progress


def load_sparse_encoder(
    folder: Path, max_length: int, query_prompt: str = "", document_prompt: str = "", dtype: str = "float32"
) -> Any:
    """Load a sparse encoder that reads `max_length` tokens of a text, or as many as the model can.

    It carries ``prompts`` under the names ``query`` and ``document`` and ``similarity_fn_name`` as
    `loaders.load_bi_encoder` sets them. Raises ConfigError if the folder cannot be used as one.
    """
    inspection = inspect(folder, "sparse-encoder").check()
    quiet()
    from sentence_transformers import SparseEncoder

    return prompted_encoder(SparseEncoder, folder, inspection, max_length, (query_prompt, document_prompt), dtype)


def encode_sparse(
    model: Any,
    texts: Sequence[str],
    role: str,
    progress: Progress = lambda done, total: None,
    truncations: Truncations | None = None,
) -> Any:
    """Return the weights of texts as a scipy sparse matrix in float32, shape (texts, terms).

    `role` is ``query`` or ``document``: it chooses the prompt. Rows have length 1 if the model ranks by the cosine.
    Raises ValueError for weights that are no numbers.
    """
    import numpy as np
    import torch
    from scipy.sparse import csr_array, diags_array, vstack

    prompt, most = model.prompts.get(role) or "", getattr(model, "max_active_dims", None)
    limit = {} if most is None else {"max_active_dims": most}
    parts: list[Any] = []
    order: list[int] = []

    def compute(features: dict[str, Any]) -> Any:
        with torch.inference_mode():
            return _largest(model(features, **limit)["sentence_embedding"], most).float().cpu().numpy()

    model.eval()
    # No text at all is still encoded once: a model tells the number of its terms by what it returns.
    longer = count_longer(model, prompt)
    for numbers, weights in token_batches(model, texts or [""], compute, truncations, longer, prompt=prompt):
        if not np.isfinite(weights).all():
            raise ValueError("the sparse encoder gives weights that are no numbers; its weights are damaged")
        parts.append(csr_array(weights[: len(texts)]))
        order += numbers[: len(texts)]
        progress(len(order), len(texts))
    whole = vstack(parts, format="csr")
    if model.similarity_fn_name != "dot":
        lengths = np.sqrt((whole * whole).sum(axis=1))
        whole = diags_array(1 / np.maximum(lengths, 1e-12)) @ whole
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return whole[places].astype(np.float32)


def _largest(weights: Any, most: int | None) -> Any:
    """Return weights of which only the `most` largest of each text are left."""
    if most is None:
        return weights
    from sentence_transformers.util import select_max_active_dims

    return select_max_active_dims(weights, max_active_dims=most)
