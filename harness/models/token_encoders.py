"""Load models that give a vector for each token of a text, and encode texts with them.

Two kinds of folders serve: models that were trained for late interaction (ColBERT; Khattab and Zaharia 2020, arXiv
2004.12832), as sentence-transformers, PyLate or the first ColBERT code saved them, and bi-encoders, whose pooling is
left out. Must not know stages; torch is imported inside the functions that need it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.models.folders import ModelFolder
from harness.models.inspection import Inspection, inspect
from harness.models.loaders import limit_length, load_bi_encoder, quiet, torch_device
from harness.models.precision import weights_in
from harness.models.token_batches import Truncations, count_longer, token_batches
from harness.values.records import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

ROLES = ("query", "document")


def load_token_encoder(
    folder: Path, max_length: int, query_prompt: str = "", document_prompt: str = "", dtype: str = "float32"
) -> Any:
    """Load a MultiVectorEncoder that reads `max_length` tokens of a text, or as many as the model can.

    It carries ``prompts`` under the names ``query`` and ``document``: those given, else the model's own. A model that
    was trained for late interaction keeps its projection, markers, query expansion and skipped tokens, and its own
    limits where they are lower. Raises ConfigError if the folder cannot be used as one.
    """
    inspection = inspect(folder, "multi-vector").check()
    if not ModelFolder(folder).is_multi_vector:
        return token_view(load_bi_encoder(folder, max_length, query_prompt, document_prompt, dtype))
    quiet()
    import torch
    from sentence_transformers import MultiVectorEncoder

    model: MultiVectorEncoder = MultiVectorEncoder(
        str(folder),
        device=torch_device(),
        trust_remote_code=False,
        local_files_only=True,
        # SDPA on every device: FlashAttention knows no tokens that are scored and not attended to.
        model_kwargs={"torch_dtype": weights_in(dtype), "use_safetensors": True},
    )
    model.to(getattr(torch, weights_in(dtype)))
    own = inspection.prompts
    for role, text, configured in zip(ROLES, (query_prompt, document_prompt), own, strict=True):
        # Markers of earlier formats are among the model's prompts only, not in the configuration of prompts.
        model.prompts[role] = text or model.prompts.get(role) or configured
    model.default_prompt_name = None
    limit_token_length(model, inspection, max_length)
    model.eval()
    return model


def limit_token_length(model: Any, inspection: Inspection, max_length: int) -> None:
    """Limit a loaded model to `max_length` tokens of a text, or its own limits."""
    limit_length(model, inspection, max_length)
    own = model[0].document_length
    if own is not None:
        model.max_seq_length = model[0].document_length = min(own, model.max_seq_length)


def token_view(bi_encoder: Any) -> Any:
    """Return a MultiVectorEncoder over the weights of a loaded bi-encoder: its token vectors, scaled to length 1.

    The weights are shared. Pooling and what follows it are left out, apart from linear projections, which are applied
    to every token. Tokens that the tokenizer adds to a text ([CLS], [SEP]) have no vector; those of a prompt have one.
    """
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Normalize
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    modules = [bi_encoder[0]]
    for module in list(bi_encoder)[1:]:
        if type(module).__name__ == "Dense":
            # A copy of the module around the same weights: the bi-encoder still projects its pooled vectors.
            projection = copy.copy(module)
            projection.module_input_name = projection.module_output_name = "token_embeddings"
            modules.append(projection)
    mask = MultiVectorMask(skiplist_words=_added_tokens(bi_encoder.tokenizer), skiplist_tasks=list(ROLES))
    prompts = {role: bi_encoder.prompts.get(role) or "" for role in ROLES}
    view = MultiVectorEncoder(
        modules=[*modules, mask, Normalize(module_input_name="token_embeddings")],
        device=str(bi_encoder.device),
        prompts=prompts,
    )
    view.eval()
    return view


def _added_tokens(tokenizer: Any) -> list[str]:
    """The special tokens that a tokenizer puts around a text, and the one that it pads with."""
    added = {*tokenizer("")["input_ids"], tokenizer.pad_token_id} & {*tokenizer.all_special_ids}
    words: list[str] = tokenizer.convert_ids_to_tokens(sorted(added))
    return words


def token_chunks(
    model: Any,
    texts: Sequence[str],
    role: str,
    progress: Progress = lambda done, total: None,
    truncations: Truncations | None = None,
) -> Iterator[tuple[list[int], list[Floats]]]:
    """Encode texts batch by batch, the longest first; yield their numbers, and for each an array (tokens, dim).

    Vectors are in float32 and of length 1. `role` is ``query`` or ``document``: it chooses the prompt. A text of which
    no token is left has one vector of zeros, so that its score is 0. Raises ValueError for vectors that are no numbers.
    """
    import numpy as np
    import torch

    # Even an empty prompt: without it the model's default prompt would be put before the text.
    prompt, done = model.prompts.get(role) or "", 0

    def compute(features: dict[str, Any]) -> tuple[Any, Any]:
        with torch.inference_mode():
            read = model(features, task=role)
            return read["attention_mask"].bool().cpu().numpy(), read["token_embeddings"].float().cpu().numpy()

    model.eval()
    longer = count_longer(model, prompt)
    for numbers, (masks, vectors) in token_batches(
        model, texts, compute, truncations, longer, prompt=prompt, task=role
    ):
        if not np.isfinite(vectors[masks]).all():
            raise ValueError(
                "the encoder gives token vectors that are no numbers; its weights are damaged, or training diverged: "
                "lower the rate"
            )
        kept = [vector[mask] for vector, mask in zip(vectors, masks, strict=True)]
        yield numbers, [item if len(item) else np.zeros((1, item.shape[1]), np.float32) for item in kept]
        done += len(numbers)
        progress(done, len(texts))


def encode_tokens(
    model: Any, texts: Sequence[str], role: str, progress: Progress = lambda done, total: None
) -> list[Floats]:
    """Return an array (tokens, dim) for each text, in the order of the texts; see `token_chunks`."""
    vectors: dict[int, Floats] = {}
    for numbers, arrays in token_chunks(model, texts, role, progress):
        vectors |= zip(numbers, arrays, strict=True)
    return [vectors[number] for number in range(len(texts))]
