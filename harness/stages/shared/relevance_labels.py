"""What `mine` and `label` share: asking a model how relevant passages are to queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from harness.llm import services
from harness.models.generation import Sampling
from harness.models.language_models import load_generator
from harness.models.loaders import locate
from harness.stages import Inputs
from harness.stages.shared import relevance_models
from harness.stages.shared.common import model_folder, read_corpus
from harness.stages.shared.relevance_models import RelevanceLabel, RelevanceLabels
from harness.stages.shared.remote import Endpoint
from harness.suite.local_models import LocalModel, ServedDType
from harness.values.records import Progress

CROSS_ENCODER_LENGTH = 256


class RelevanceModel(NamedTuple):
    """The model that labels: a cross-encoder, an LLM in process, or the one of the role `labeler` behind `endpoint`.

    `input_name` is the input that holds the plain form of an LLM that comes as GGUF. The three numbers are for LLMs in
    process; at an endpoint only `passage_tokens` counts. `dtype` is that of a cross-encoder.
    """

    by: Literal["cross-encoder", "llm"]
    model: str
    input_name: str = "model"
    endpoint: Endpoint | None = None
    local: LocalModel = LocalModel()
    passage_tokens: int = 160
    max_new_tokens: int = 80
    batch_size: int | None = None
    dtype: ServedDType = "float32"


def label_pairs(
    labeler: RelevanceModel, pairs: Sequence[tuple[str, str]], inputs: Inputs, progress: Progress
) -> RelevanceLabels:
    """Label pairs of a query's text and a document's id, in their order."""
    documents = read_corpus(inputs["corpus"])
    texts = [(query, documents[doc_id].content) for query, doc_id in pairs]
    if labeler.by == "cross-encoder":
        folder = locate(labeler.model)
        scores = relevance_models.by_cross_encoder(folder, texts, CROSS_ENCODER_LENGTH, progress, labeler.dtype)
        return RelevanceLabels([RelevanceLabel(score, "", "", "") for score in scores])
    if labeler.endpoint is not None:
        chat, prompt = services.chat("labeler"), labeler.endpoint.prompts["label"]
        return relevance_models.by_chat(chat, prompt, texts, labeler.passage_tokens, progress)
    generator, tokenizer = load_generator(model_folder(labeler.model, inputs, labeler.input_name), local=labeler.local)
    sampling = Sampling(
        labeler.max_new_tokens, labeler.batch_size, one_line=True,
        max_tokens_per_batch=labeler.local.max_tokens_per_batch,
    )  # fmt: skip
    return relevance_models.by_llm(generator, tokenizer, texts, labeler.passage_tokens, sampling, progress)
