"""Stage calls that make training data and tune the parts of a pipeline, each on what the pipeline so far produces."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import ConfigError, Problem
from harness.planning.calls import TunedPipeline
from harness.planning.graph import ExpectedWork
from harness.planning.rankings import reranker_encoder
from harness.planning.training_pairs import TrainingPairs
from harness.stages.shared.dev_answers import DevAnswering
from harness.stages.tune_retriever import DEV_DEPTH, DEV_QUERIES
from harness.suite.pipeline import Retriever
from harness.suite.recipes import PARTS, GeneratorRecipe, Part, RerankerRecipe, RetrieverRecipe
from harness.suite.training_data import Data as DataRule
from harness.suite.training_data import Mine
from harness.suite.uses import CandidateUses

CANDIDATE_SHARE = 2 / 3
"""A guess at how many synthetic queries pass the filters."""


@dataclass(frozen=True)
class Training:
    """A candidate with a seed, about to have a part tuned."""

    uses: CandidateUses
    seed: int

    @property
    def data(self) -> DataRule:
        """The section `data` with the candidate's changes."""
        return self.uses.data

    @property
    def label(self) -> str:
        return f"{self.uses.name}, seed {self.seed}"


class Trainings(TrainingPairs):
    """Calls that end in a tuned model."""

    def tuned(self, pipeline: TunedPipeline, part: Part, training: Training) -> TunedPipeline:
        """The pipeline with one more part tuned on what it produces so far."""
        make = {
            "retriever": self._tuned_retriever,
            "reranker": self._tuned_reranker,
            "generator": self._tuned_generator,
        }
        return pipeline.tuned(part, make[part](self.without_history(pipeline), training), training.label)

    def dev(self) -> str | None:
        """The split that choices are made on, if it is another than the one scored."""
        dev = self.dataset.splits.get("dev")
        return "dev" if dev is not None and dev.judged and self.split != "dev" else None

    def _dev_parts(self, evaluations: int, pipeline: TunedPipeline) -> dict[str, str]:
        """Inputs for choosing a checkpoint; none if dev is not used, so that no key depends on it."""
        name = "dev" if "dev" in self.dataset.splits and self.dataset.splits["dev"].judged else None
        if evaluations < 2 or name is None:
            return {}
        return {
            "dev_queries": self.artifacts.keys[f"{name}.queries"],
            "dev_qrels": self.judgements(pipeline, name),
        }

    def triplets(self, pipeline: TunedPipeline, data: DataRule) -> tuple[str, int]:
        """Triplets mined with the pipeline's retriever, and a guess at how many they are."""
        rule, which, keys = data.mine, data.pairs, self.artifacts.keys
        inputs: dict[str, str | None] = {"dense": self.dense_index(pipeline), "model": pipeline.model("retriever")}
        inputs["corpus"] = self.corpus(pipeline)
        guess, chunked = 0, pipeline.settings.chunking is not None
        if which != "judged":
            pairs = self.pairs(which, pipeline)
            inputs["pairs"] = pairs
            guess += round(self.calls[pairs].work.units * CANDIDATE_SHARE)
        if which in ("judged", "both"):
            self.needs_train(f"pairs: {which}", "use pairs: synthetic, or judge some")
            qrels = self.judgements(pipeline, "train", "qrels")
            inputs |= {"train_queries": keys["train.queries"], "train_qrels": qrels}
            if chunked:
                # Other chunks of a document that is judged as a whole may hold the answer too.
                inputs["train_known"] = self.judgements(pipeline, "train", "qrels", every=True)
            guess += sum(map(len, self.dataset.splits["train"].qrels.values()))
        encoder = pipeline.settings.retriever.encoder
        spec = {**rule.model_dump(), "pairs": which, "retriever": self.for_data(encoder)}
        spec |= {"llm_model": self._labeler if _asks_llm(rule) else None}
        spec |= {"local": self.suite.llm.labeler.local.model_dump()} if _asks_llm(rule) else {}
        spec |= {"exclude_own": self.suite.evaluate.exclude_own, "chunked": chunked}
        if _asks_llm(rule) and (endpoint := self.endpoint("labeler", "label")):
            spec["endpoint"] = endpoint
        inputs |= self._relabeler(rule)
        models = [encoder.model, *self._relabel_models(rule)]
        label = f"mine ({which} pairs)" + (
            "" if not pipeline.model("retriever") else f" with {pipeline.label('retriever')}"
        )
        return self.call("mine", label, spec, inputs, ExpectedWork(guess), data.data_seed, models), guess

    @property
    def _labeler(self) -> str:
        return self.suite.llm.labeler.model

    def _relabeler(self, rule: Mine) -> dict[str, str | None]:
        if not _asks_llm(rule):
            return {}
        return {"llm": self._converted_labeler()}

    def _converted_labeler(self) -> str | None:
        return self.converted(self._labeler) if self.local("labeler") else None

    def _relabel_models(self, rule: Mine) -> list[str]:
        if rule.relabel is None:
            return []
        return [rule.relabel.model] if rule.relabel.model else self.local("labeler")

    def labels(self, triplets: tuple[str, int], data: DataRule, pipeline: TunedPipeline, depth: int = 0) -> str:
        """Relevance of passages from 0 to 1; up to `depth` passages a query if the labeler finds more."""
        rule, encoder = data.label, pipeline.settings.retriever.encoder
        model = rule.model if rule.by == "cross-encoder" else self._labeler if rule.by == "llm" else None
        inputs: dict[str, str | None] = {"triplets": triplets[0], "corpus": self.corpus(pipeline)}
        if rule.by in ("bm25", "fusion") or depth:
            inputs |= {"bm25": self.bm25_index(pipeline), "dense": self.dense_index(self.untuned_like(pipeline))}
        endpoint = None
        if rule.by == "llm":
            inputs["model"], endpoint = self._converted_labeler(), self.endpoint("labeler", "label")
        spec = {**rule.model_dump(), "model": model, "retriever": self.for_data(encoder), "depth": depth}
        spec |= {"local": self.suite.llm.labeler.local.model_dump()} if rule.by == "llm" else {}
        count = triplets[1] * max(depth, 1 + data.mine.hard + data.mine.random)
        spec |= {"endpoint": endpoint} if endpoint else {}
        work = ExpectedWork(count)
        if rule.by == "llm":
            work = self.llm_work("labeler", count, 300 + rule.passage_tokens, rule.max_new_tokens)
        models = [encoder.model, *([model] if model and not endpoint else [])]
        # Two labels of one kind differ by what they were mined with; the triplets' label says so.
        label = self.calls[triplets[0]].label.replace("mine", f"label by {rule.by}", 1)
        label += f", {depth} deep" if depth else ""
        return self.call("label", label, spec, inputs, work, 0, models)

    def untuned_like(self, pipeline: TunedPipeline) -> TunedPipeline:
        """The suite's pipeline, nothing of it tuned, with the encoder and the chunking of another."""
        retriever = Retriever(**pipeline.settings.retriever.encoder.model_dump(exclude_defaults=True))
        update = {"retriever": retriever, "chunking": pipeline.settings.chunking}
        return TunedPipeline(self.suite.pipeline.model_copy(update=update))

    def _tuned_retriever(self, pipeline: TunedPipeline, training: Training) -> str:
        recipe, encoder = training.uses.retriever, pipeline.settings.retriever.encoder
        assert recipe is not None
        # Negatives are those of the untuned retriever: it is what this training starts from.
        untuned = self.plain(replace(pipeline, models={}, labels={}))
        triplets, guess = self.triplets(untuned, training.data)
        inputs = {"corpus": self.corpus(pipeline)}
        dev = self._dev_parts(recipe.checkpoints, pipeline)
        inputs |= {"dev_run": self.retrieved(untuned, "dev"), **dev} if dev else {}
        if rule := training.uses.labels_for("retriever"):
            data = training.data.model_copy(update={"label": rule})
            inputs["labels"] = self.labels((triplets, guess), data, pipeline, recipe.list_size)
        else:
            inputs["triplets"] = triplets
        spec = {"retriever": encoder.model_dump(), "recipe": recipe.model_dump()}
        work, label = _training(guess, recipe), f"tune retriever of {training.label}"
        work = replace(work, evaluations=self._dev_work(work, recipe, pipeline) if dev else 0)
        return self.call("tune_retriever", label, spec, inputs, work, training.seed, [encoder.model])

    def _dev_work(self, work: ExpectedWork, recipe: RetrieverRecipe | RerankerRecipe, pipeline: TunedPipeline) -> int:
        """Texts that all dev evaluations encode or score; a pool is taken to be as large as that of random runs."""
        times = min(recipe.checkpoints, work.units // recipe.batch_size)
        judged = len(self.dataset.splits["dev"].judged)
        if times < 2:
            return 0
        if isinstance(recipe, RerankerRecipe):
            # The start is evaluated too, unless its head is random.
            return (times + 1) * min(judged, recipe.dev_queries) * min(self.depth_of(pipeline), recipe.dev_depth)
        queries, size = min(judged, DEV_QUERIES), self.size(pipeline)
        return times * (queries + round(size * -math.expm1(-queries * (1 + DEV_DEPTH) / size)))

    def _tuned_reranker(self, pipeline: TunedPipeline, training: Training) -> str:
        recipe, rule = training.uses.reranker, pipeline.settings.reranker
        assert recipe is not None
        assert rule is not None
        retriever = pipeline.settings.retriever
        triplets = self.triplets(self.plain(pipeline), training.data)
        inputs: dict[str, str | None] = {"corpus": self.corpus(pipeline)}
        encoder = reranker_encoder(rule, retriever)
        if encoder is not None:
            inputs["triplets"], count = triplets
        else:
            inputs["labels"] = self.labels(triplets, training.data, pipeline)
            count = self.calls[str(inputs["labels"])].work.units
        dev = self._dev_parts(recipe.checkpoints, pipeline)
        inputs |= {"dev_run": self.retrieved(pipeline, "dev"), **dev} if dev else {}
        model = encoder.model if encoder else str(rule.model)
        spec: dict[str, Any] = {"kind": rule.kind, "recipe": recipe.model_dump(exclude={"model"})}
        spec |= {"model": model, "max_length": encoder.max_length if encoder else rule.max_length}
        if encoder is not None:
            spec |= encoder.model_dump()
            # It starts from the retriever's encoder as the pipeline has it.
            inputs["model"] = pipeline.model("retriever") if rule.model is None else None
        elif rule.kind == "causal-lm":
            spec["instruction"], inputs["model"] = rule.instruction, self.converted(model)
        work = _training(count, recipe)
        work = replace(work, evaluations=self._dev_work(work, recipe, pipeline) if dev else 0)
        label = f"tune reranker of {training.label}"
        return self.call("tune_reranker", label, spec, inputs, work, training.seed, [model])

    def _tuned_generator(self, pipeline: TunedPipeline, training: Training) -> str:
        recipe, generator = training.uses.generator, self.suite.generator_of(pipeline.settings)
        assert recipe is not None
        assert generator is not None
        shown_by = self._shown_by(pipeline, training.data)
        instructions, count = self.instructions(shown_by, training.data)
        inputs = {
            "instructions": instructions,
            "corpus": self.corpus(shown_by),
            "model": self.converted(generator.model),
        }
        kept = {"model", "instruction", "passage_tokens", "thinking", "shots"}
        shown = {**generator.model_dump(include=kept), "context_order": pipeline.settings.context_order}
        if generator.shots:
            shown["sentence"] = self.suite.abstention_sentence
            inputs |= self.example_inputs(generator.shots, shown_by)
        spec = {
            "generator": shown,
            "recipe": recipe.model_dump(),
            "language": self.dataset.language,
            "stop": self.suite.answer.stop,
        }
        work, label = _training(count, recipe), f"tune generator of {training.label}"
        dev = self.dataset.splits.get("dev")
        if recipe.checkpoints > 1 and dev is not None and dev.references:
            inputs["dev_queries"] = self.artifacts.keys["dev.queries"]
            inputs["dev_references"] = self.judgements(shown_by, "dev", "references")
            inputs["dev_run"] = self.ranked(shown_by, "dev")
            spec["dev"] = DevAnswering.of(self.suite, pipeline.settings).model_dump()
            times = min(recipe.checkpoints, work.units // recipe.batch_size)
            # The untuned start is evaluated too.
            answers = (times + 1) * min(len(dev.references), recipe.dev_queries) if times > 1 else 0
            work = replace(work, evaluations=answers)
        return self.call("tune_generator", label, spec, inputs, work, training.seed, [generator.model])

    def _shown_by(self, pipeline: TunedPipeline, data: DataRule) -> TunedPipeline:
        """The pipeline that retrieves the passages of examples: this one, or the untuned one with its generator."""
        if data.instruct.retrieved_by == "pipeline":
            return pipeline
        own = {name: getattr(pipeline.settings, name) for name in ("chunking", "generator", "context", "context_order")}
        return self.without_history(TunedPipeline(self.suite.pipeline.model_copy(update=own)))

    def instructions(self, pipeline: TunedPipeline, data: DataRule) -> tuple[str, int]:
        """Examples for the generator from the pipeline's own runs, and a guess at how many they are."""
        rule, keys = data.instruct, self.artifacts.keys
        written = rule.answers == "llm" and data.pairs == "synthetic"
        inputs: dict[str, str | None] = {"corpus": self.corpus(pipeline)}
        if written:
            pairs = self.pairs("synthetic", pipeline)
            inputs |= {"queries": pairs, "qrels": pairs, "run": self.ranked(pipeline, "pairs", pairs)}
            count = round(self.calls[pairs].work.units * CANDIDATE_SHARE)
        else:
            self.needs_train(f"instruct.answers: {rule.answers}", "use answers: llm with pairs: synthetic")
            train = self.dataset.splits["train"]
            if rule.answers == "references" and not any(one.answers for one in train.references.values()):
                said = "instruct.answers: references needs reference answers in split 'train', and there are none"
                raise ConfigError(Problem(self.dataset.name, said, "use answers: llm, or write some"))
            inputs["queries"] = keys["train.queries"]
            inputs |= {part: self.judgements(pipeline, "train", part) for part in ("qrels", "references")}
            inputs["run"] = self.ranked(pipeline, "train")
            count = len(train.references)
        model = self.suite.llm.synthesizer.model if rule.answers == "llm" else None
        endpoint = self.endpoint("synthesizer", "instruct") if model else None
        if model and not endpoint:
            inputs["model"] = self.converted(model)
        count = min(rule.examples or count, count)
        spec: dict[str, Any] = {**rule.model_dump(exclude={"retrieved_by"}), "model": model}
        spec |= {"endpoint": endpoint} if endpoint else {}
        spec |= {"local": self.suite.llm.synthesizer.local.model_dump()} if model else {}
        spec |= {"language": self.dataset.language, "sentence": self.suite.abstention_sentence}
        work = ExpectedWork(count)
        if model:
            work = self.llm_work("synthesizer", count, 250 + rule.passage_tokens, rule.max_new_tokens // 2)
        label = f"instruct with {pipeline.label(*PARTS)}"
        models = [model] if model and not endpoint else []
        return self.call("instruct", label, spec, inputs, work, data.data_seed, models), count


def _training(examples: int, recipe: RetrieverRecipe | RerankerRecipe | GeneratorRecipe) -> ExpectedWork:
    """The work of a training on the recipe's share of the examples that there are."""
    return ExpectedWork(round(examples * recipe.train_share) * recipe.epochs)


def _asks_llm(rule: Mine) -> bool:
    return rule.relabel is not None and rule.relabel.by == "llm"
