"""What `mine` and `label` share: asking a model how relevant passages are to queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from harness.llm import services
from harness.models.loaders import load_generator, locate
from harness.stages import Inputs
from harness.stages.shared import relevance_models
from harness.stages.shared.common import model_folder, read_corpus
from harness.stages.shared.relevance_models import Judged, Labelled
from harness.stages.shared.remote import Endpoint
from harness.values.records import Progress

PASSAGE_TOKENS, NEW_TOKENS, BATCH = 160, 80, 16
CROSS_ENCODER_LENGTH = 256


def judge(
    by: Literal["cross-encoder", "llm"], model: str, items: Sequence[tuple[str, str]], inputs: Inputs, name: str,
    progress: Progress, passage_tokens: int = PASSAGE_TOKENS, max_new_tokens: int = NEW_TOKENS, batch_size: int = BATCH,
    endpoint: Endpoint | None = None,
) -> Labelled:  # fmt: skip
    """Judge pairs of a query's text and a document's id; `name` is the input that holds the unpacked LLM, if any.

    With `endpoint`, the LLM is the one of the role `labeler`, asked by the prompt `label`.
    """
    documents = read_corpus(inputs["corpus"])
    texts = [(query, documents[doc_id].content) for query, doc_id in items]
    if by == "cross-encoder":
        scores = relevance_models.by_cross_encoder(locate(model), texts, CROSS_ENCODER_LENGTH, progress)
        return Labelled([Judged(score, "", "", "") for score in scores])
    if endpoint is not None:
        chat = services.chat("labeler")
        return relevance_models.by_chat(chat, endpoint.prompts["label"], texts, passage_tokens, progress)
    generator, tokenizer = load_generator(model_folder(model, inputs, name))
    return relevance_models.by_llm(generator, tokenizer, texts, passage_tokens, max_new_tokens, batch_size, progress)
