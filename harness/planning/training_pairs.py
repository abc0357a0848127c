"""Stage calls that make pairs of training queries and passages: written by an LLM, or taken from the corpus itself."""

from __future__ import annotations

from typing import Any

from harness.errors import ConfigError, Problem
from harness.models.precision import dtype_here
from harness.planning.calls import TunedPipeline
from harness.planning.graph import ExpectedWork
from harness.planning.rankings import Rankings
from harness.stages.shared.own_examples import EXAMPLES
from harness.suite.pipeline import Encoder
from harness.suite.training_data import Pairs

BUILT_IN_TOKENS = 250
"""A guess at the length of a prompt without its passages."""
PAIRS_A_PASSAGE = 2
"""The most pairs that the structure of a passage gives."""


class TrainingPairs(Rankings):
    """Calls that end in training pairs."""

    @staticmethod
    def for_data(encoder: Encoder) -> dict[str, Any]:
        """The encoder with the number type that its index has; see `dense_index`."""
        return {**encoder.model_dump(), "dtype": dtype_here("auto")}

    def pairs(self, which: Pairs, pipeline: TunedPipeline) -> str:
        """Pairs that passed the filters: synthetic ones, or those that the structure of the corpus gives.

        Synthetic queries are written about the passages of the suite's pipeline, once, and moved to the chunks of one
        that cuts in another way. The structure of passages costs nothing, and is read of its own ones.
        """
        if which == "structure":
            chunking = pipeline.settings.chunking
            own = TunedPipeline(self.suite.pipeline.model_copy(update={"chunking": chunking}))
            return self._sifted(which, own)
        return self.moved_pairs(self._sifted(which, self.untuned), pipeline)

    def _sifted(self, which: Pairs, pipeline: TunedPipeline) -> str:
        """Pairs about the passages of a pipeline, of which nothing is tuned."""
        rule, keys = self.suite.data.synthesize, self.artifacts.keys
        structure = which == "structure"
        made = self._extracted(pipeline) if structure else self._written(pipeline)
        encoder = self.suite.pipeline.retriever.encoder
        spec: dict[str, Any] = {
            "leakage": rule.leakage,
            "round_trip": rule.round_trip,
            "retriever": self.for_data(encoder),
        }
        spec["language"] = self.dataset.language
        dense = self.dense_index(pipeline)
        inputs: dict[str, str | None] = {
            "pairs": made,
            "corpus": self.corpus(pipeline),
            "bm25": self.bm25_index(pipeline),
            "dense": dense,
        }
        if rule.round_trip is not None and rule.round_trip.by == "late-interaction":
            inputs["tokens"] = self._vectors("tokens", encoder, {"dtype": dtype_here("auto")}, None, pipeline)
        for split in ("dev", "test"):
            inputs[f"heldout_{split}"] = keys.get(f"{split}.queries")
        count = self.calls[made].work.units * (PAIRS_A_PASSAGE if structure else 1)
        label = "sift" + (" (structure pairs)" if structure else "")
        return self.call("sift", label, spec, inputs, ExpectedWork(count), models=[encoder.model])

    def _passages_used(self, pipeline: TunedPipeline) -> tuple[dict[str, str | None], int]:
        """Inputs that say which passages training queries may be about, and how many they are."""
        rule, size = self.suite.data.synthesize, self.size(pipeline)
        inputs: dict[str, str | None] = {"corpus": self.corpus(pipeline)}
        if not rule.test_documents:
            inputs["excluded"] = self.judgements(pipeline, self.split, every=True)
        return inputs, min(rule.max_documents or size, size)

    def _extracted(self, pipeline: TunedPipeline) -> str:
        """Pairs that the structure of the corpus gives."""
        inputs, documents = self._passages_used(pipeline)
        spec = {"max_documents": self.suite.data.synthesize.max_documents, "language": self.dataset.language}
        return self.call("extract", "extract", spec, inputs, ExpectedWork(documents), self.suite.data.data_seed)

    def _written(self, pipeline: TunedPipeline) -> str:
        """Queries that an LLM writes about passages."""
        rule, role = self.suite.data.synthesize, self.suite.llm.synthesizer
        model = role.model
        seed, endpoint = self.suite.data.data_seed, self.endpoint("synthesizer", *rule.kinds)
        kept = {"round_trip", "test_documents", "leakage"}
        inputs, documents = self._passages_used(pipeline)
        inputs["model"] = None if endpoint else self.converted(model)
        prefix_tokens = BUILT_IN_TOKENS
        if rule.examples == "train":
            self.needs_train("data.synthesize.examples: train", "use examples: built-in, or judge some")
            qrels = self.judgements(pipeline, "train", "qrels")
            inputs |= {"train_queries": self.artifacts.keys["train.queries"], "train_qrels": qrels}
            prefix_tokens += EXAMPLES * rule.passage_tokens
        count = documents * rule.queries_per_document
        # An endpoint writes all queries of a kind about a passage at once.
        asked = documents * min(len(rule.kinds), rule.queries_per_document) if endpoint else count
        new_tokens = rule.max_new_tokens * count // (2 * asked)
        work = self.llm_work("synthesizer", asked, prefix_tokens + rule.passage_tokens, new_tokens, units=count)
        spec = {"model": model, "local": role.local.model_dump(), **rule.model_dump(exclude=kept)}
        spec |= {"endpoint": endpoint} if endpoint else {}
        return self.call("synthesize", "synthesize", spec, inputs, work, seed, self.local("synthesizer"))

    def needs_train(self, what: str, hint: str) -> None:
        """Raise ConfigError if the split train has no judged query."""
        if "train" not in self.dataset.splits or not self.dataset.splits["train"].judged:
            said = f"{what} needs judged queries in split 'train', and there are none"
            raise ConfigError(Problem(self.dataset.name, said, hint))
