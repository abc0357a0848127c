"""Stage calls that rank: first stages, fusion with bm25, rerankers and the blends of their scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from harness.errors import ConfigError, Problem
from harness.models.precision import dtype_here
from harness.planning.answering import Answering
from harness.planning.calls import TunedPipeline
from harness.planning.conversations import Conversations, ReadBy
from harness.planning.graph import ExpectedWork, Prompt, ServingKeys, serving_path
from harness.planning.indexes import Indexes
from harness.suite.pipeline import ON_DEV, Encoder, Reranker, Retriever

BLENDED: Literal["first"] = "first"
FUSED: Literal["union"] = "union"


class Rankings(Answering, Conversations, Indexes):
    """Calls that end in a run."""

    def depth_of(self, pipeline: TunedPipeline) -> int:
        """How many passages the runs of a pipeline have."""
        if pipeline.settings.chunking is not None:
            return pipeline.settings.depth
        return min(pipeline.settings.depth, len(self.dataset.documents))

    def rerank_depth_of(self, pipeline: TunedPipeline) -> int:
        """How many documents of a run its reranker reorders."""
        return min(pipeline.settings.rerank_depth, self.depth_of(pipeline))

    def corpus(self, pipeline: TunedPipeline) -> str:
        """Key of the passages that a pipeline searches: all, or those that are judged or that untuned runs find."""
        whole = super().corpus(pipeline)
        if not pipeline.pool:
            return whole
        plain, split = self.plain(replace(pipeline.whole, models={}, labels={})), self.split
        inputs = {
            "corpus": whole,
            "qrels": self.judgements(plain, split),
            "run0": self.retrieved(plain, split),
            "run1": self.retrieved_bm25(split, pipeline=plain),
        }
        work = ExpectedWork(self.size(pipeline))
        return self.call("pool", f"pool passages for {split}", {"depth": pipeline.pool}, inputs, work)

    def size(self, pipeline: TunedPipeline) -> int:
        """How many passages a pipeline searches; of chunks and pools a guess."""
        size = super().size(pipeline)
        if not pipeline.pool:
            return size
        # As if every query drew its judged passage and those of two runs at random.
        drawn = self._queries_in(self.split) * (1 + 2 * pipeline.pool)
        return max(1, round(size * -math.expm1(-drawn / max(size, 1))))

    def retrieved_bm25(
        self, split: str, queries: str | None = None, depth: int | None = None, pipeline: TunedPipeline | None = None
    ) -> str:
        """Lists of bm25 over the passages of a pipeline, asked as it asks; the suite's own pipeline unless given."""
        pipeline = pipeline or self.untuned
        depth = depth or self.depth_of(pipeline)
        spec = {"kind": "bm25", "depth": depth, "exclude_own": self.suite.evaluate.exclude_own}
        inputs = {"index": self.bm25_index(pipeline), "queries": self._queries(pipeline, split, queries, "bm25")}
        work = ExpectedWork(self.size_of(split, queries))
        label = f"retrieve {split} with bm25" + ("" if queries else self.asked_in_words(pipeline, split))
        return self.call("retrieve", label, spec, inputs, work)

    def retrieved(
        self, pipeline: TunedPipeline, split: str, queries: str | None = None, depth: int | None = None
    ) -> str:
        """Lists of the pipeline's first stage for a split, or for the `queries` of an artifact, then called `split`."""
        rule = pipeline.settings.retriever
        if rule.kind == "bm25":
            return self.retrieved_bm25(split, queries, depth or self.depth_of(pipeline), pipeline)
        first = self.searched(pipeline, split, queries, depth)
        if not rule.bm25_weight:
            return first
        words = self.retrieved_bm25(split, queries, depth or self.depth_of(pipeline), pipeline)
        weight: float | str = rule.bm25_weight
        if weight == ON_DEV:
            weight = self.fusion_weight(pipeline)
        label = f"fuse bm25 and {pipeline.label('retriever')} on {split}" + (f", {depth} deep" if depth else "")
        return self._blended(
            (first, words), weight, depth or self.depth_of(pipeline), FUSED, label, self.size_of(split, queries)
        )

    def searched(
        self, pipeline: TunedPipeline, split: str, queries: str | None = None, depth: int | None = None
    ) -> str:
        """Lists of the pipeline's encoder alone, without bm25."""
        rule = pipeline.settings.retriever
        searched = rule.model_dump(exclude={"bm25_weight", "kind", "endpoint"}) | {"dtype": dtype_here(rule.dtype)}
        # Quantized vectors are scored again by exact search alone; an index has `refine`.
        searched |= {"rescore": Retriever().rescore} if rule.index is not None else {}
        spec = {"kind": rule.kind, "depth": depth or self.depth_of(pipeline), "retriever": searched}
        spec["exclude_own"] = self.suite.evaluate.exclude_own
        inputs = {
            "index": self.index(pipeline),
            "queries": self._queries(pipeline, split, queries, "retriever"),
            "model": pipeline.model("retriever"),
            "built": self.built_index(pipeline),
        }
        label = f"retrieve {split} with {pipeline.label('retriever')}" + (f", {depth} deep" if depth else "")
        count = self.size_of(split, queries)
        if rule.endpoint is not None:
            return self.served_search(pipeline, inputs, depth or self.depth_of(pipeline), label, count)
        return self.call("retrieve", label, spec, inputs, ExpectedWork(count), models=[rule.model])

    def ranked(self, pipeline: TunedPipeline, split: str, queries: str | None = None) -> str:
        """The rankings of the pipeline, reranked if it has a reranker."""
        return self.reranked(pipeline, split, self.retrieved(pipeline, split, queries), queries)

    def reranked(
        self, pipeline: TunedPipeline, split: str, run: str, queries: str | None = None, source: str = ""
    ) -> str:
        """The rankings of `run` (which come from `source`) as the reranker orders them; unchanged if there is none."""
        rule = pipeline.settings.reranker
        if rule is None:
            return run
        scored = self._rescored(pipeline, rule, split, run, queries, source)
        weight: float | str | None = None if rule.blend is False else rule.blend
        if weight == ON_DEV:
            weight = self.blend_weight(pipeline, rule)
        if weight is None:
            return scored
        label = f"blend {self._who(pipeline)} on {split}" + (f" from {source}" if source else "")
        depth = self.rerank_depth_of(pipeline)
        return self._blended((run, scored), weight, depth, BLENDED, label, self.size_of(split, queries))

    def fusion_weight(self, pipeline: TunedPipeline) -> str:
        """The key of the weight of bm25 beside the first stage. Raises ConfigError without a judged dev split."""
        on, depth = self._weighing_split("pipeline.retriever.bm25_weight"), self.depth_of(pipeline)
        runs = (self.searched(pipeline, on), self.retrieved_bm25(on, None, depth, pipeline))
        return self._weighed(pipeline, runs, on, depth, FUSED, f"bm25 beside {pipeline.label('retriever')}")

    def blend_weight(self, pipeline: TunedPipeline, rule: Reranker) -> str | None:
        """The key of the weight of the reranker in the final score; None without a judged dev split."""
        on = self.weighing_split()
        if on is None:
            return None
        first = self.retrieved(pipeline, on)
        runs = (first, self._rescored(pipeline, rule, on, first))
        what = f"the reranker of {self._who(pipeline)}"
        return self._weighed(pipeline, runs, on, self.rerank_depth_of(pipeline), BLENDED, what)

    def _rescored(
        self,
        pipeline: TunedPipeline,
        rule: Reranker,
        split: str,
        run: str,
        queries: str | None = None,
        source: str = "",
    ) -> str:
        """The run in the order of the reranker's own scores."""
        encoder = reranker_encoder(rule, pipeline.settings.retriever)
        model = pipeline.model("reranker")
        depth = self.rerank_depth_of(pipeline)
        dtype = dtype_here(rule.dtype)
        spec: dict[str, Any] = {"kind": rule.kind, "depth": depth, "max_length": rule.max_length, "dtype": dtype}
        inputs = {
            "run": run,
            "queries": self._queries(pipeline, split, queries, "reranker"),
            "corpus": self.corpus(pipeline),
        }
        label = f"rerank {split} with {self._who(pipeline)}" + (f" from {source}" if source else "")
        count = self.size_of(split, queries)
        if rule.endpoint is not None:
            return self.served_scores(pipeline, inputs, depth, label, count)
        models = [name for name in [encoder.model if encoder else rule.model] if name is not None]
        if encoder is not None:
            spec |= encoder.model_dump()
            # Without a model of its own it is the retriever's, and gains as that is tuned.
            model = model or (pipeline.model("retriever") if rule.model is None else None)
            spec["model"] = None if model else encoder.model
            if rule.precision is not None:
                stored = {"precision": rule.precision, "dtype": dtype}
                inputs["tokens"] = self._vectors("tokens", encoder, stored, model, pipeline)
        elif rule.kind == "causal-lm":
            # What is tuned is an adapter: the model beneath it is the pipeline's.
            spec |= {"model": rule.model, "instruction": rule.instruction}
            inputs |= {"adapter": model} if model else {}
            model = self.converted(str(rule.model))
        else:
            spec["model"] = rule.model if model is None else None
            models = models if model is None else []
        work = ExpectedWork(count * depth)
        return self.call("rerank", label, spec, inputs | ({"model": model} if model else {}), work, models=models)

    def _who(self, pipeline: TunedPipeline) -> str:
        return pipeline.label("retriever", "reranker")

    def weighing_split(self) -> str | None:
        """The split that weights are chosen on: dev if it is judged; None without one."""
        dev = self.dataset.splits.get("dev")
        return "dev" if dev is not None and dev.judged else None

    def _weighing_split(self, where: str) -> str:
        on = self.weighing_split()
        if on is None:
            what = f"{where} is chosen on dev, and split 'dev' has no judged query"
            raise ConfigError(Problem(self.dataset.name, what, "judge some, or give the weight as a number"))
        return on

    def _weighed(
        self,
        pipeline: TunedPipeline,
        runs: tuple[str, str],
        split: str,
        depth: int,
        pool: Literal["first", "union"],
        what: str,
    ) -> str:
        """The key of the weight of the second run that is best on a split."""
        inputs = {"first": runs[0], "second": runs[1], "qrels": self.judgements(pipeline, split)}
        spec = {"depth": depth, "pool": pool}
        return self.call("weigh", f"weigh {what} on {split}", spec, inputs, ExpectedWork(self.size_of(split)))

    def _blended(
        self,
        runs: tuple[str, str],
        weight: float | str,
        depth: int,
        pool: Literal["first", "union"],
        label: str,
        size: int,
    ) -> str:
        """The blend of two runs; `weight` is a number, or the key of one that was chosen."""
        chosen = isinstance(weight, str)
        inputs = {"first": runs[0], "second": runs[1]} | ({"weight": str(weight)} if chosen else {})
        spec = {"depth": depth, "pool": pool, "weight": None if chosen else weight}
        return self.call("blend", label, spec, inputs, ExpectedWork(size))

    def fused(self, runs: Sequence[str], split: str) -> str:
        spec = {"depth": self.depth_of(self.untuned), "k": self.suite.pipeline.fuse_k}
        inputs = {f"run{number}": key for number, key in enumerate(runs)}
        return self.call("fuse", f"fuse bm25 and untuned on {split}", spec, inputs, ExpectedWork(self.size_of(split)))

    def serving(self, pipeline: TunedPipeline, run: str | None, answers: str | None, prompt: Prompt) -> ServingKeys:
        """What a system serves with: everything that its run is made of, its tuned models, and its generator."""
        path, artifacts, pool = serving_path(self.calls, run)
        generator = self.suite.generator_of(pipeline.settings)
        local = generator is not None and answers is not None and self.suite.answerer_of(pipeline.settings) is None
        converted = self.converted(generator.model) if generator is not None and local else None
        return ServingKeys(tuple(path), tuple(artifacts), pool, pipeline.models, converted, prompt)

    def _queries(self, pipeline: TunedPipeline, split: str, queries: str | None, by: ReadBy) -> str:
        return queries or self.asked(pipeline, split, by)

    def size_of(self, split: str, queries: str | None = None) -> int:
        """How many queries: those of a split, or at most those of the call that makes them."""
        if queries is not None and queries in self.calls:
            return self.calls[queries].work.units
        return len(self.dataset.splits[split].queries)


def reranker_encoder(rule: Reranker, retriever: Retriever) -> Encoder | None:
    """The encoder of a late-interaction reranker, the retriever's unless it names its own; None for other kinds."""
    if rule.kind != "late-interaction":
        return None
    own = {name: getattr(rule, name) for name in Encoder.model_fields}
    if rule.model is not None:
        return Encoder(**own)
    own.pop("model")
    return retriever.encoder.model_copy(update={name: own[name] for name in own if name in rule.model_fields_set})
