"""Stage calls that write answers, from retrieved or relevant passages or from none."""

from __future__ import annotations

from typing import Literal

from harness.errors import ConfigError, Problem
from harness.planning.calls import TunedPipeline
from harness.planning.corpora import Corpora


class Answering(Corpora):
    """Calls that end in answers."""

    def answered(
        self,
        source: Literal["run", "none", "relevant"],
        label: str,
        pipeline: TunedPipeline,
        run: str | None = None,
        few_shot: bool = False,
    ) -> str | None:
        """Answers to the sampled questions; None if there is no generator, or nothing to ask.

        With `few_shot` as many solved examples are shown as the row of that name has, else the pipeline's shots.
        """
        settings = pipeline.settings
        generator, remote = self.suite.generator_of(settings), self.suite.answerer_of(settings) is not None
        if generator is None or not self.generation_sample.query_ids:
            return None
        keys = self.artifacts.keys
        shown = "given" if source == "run" and self.generation_sample.contexts else source
        converted = None if remote else self.converted(generator.model)
        # Passages that the suite chose are documents.
        corpus = keys["corpus"] if shown == "given" else self.corpus(pipeline)
        inputs = {"queries": keys["sample"], "corpus": corpus, "model": converted}
        inputs |= {"adapter": pipeline.model("generator")}
        if shown == "run":
            inputs["run"] = run
        if shown == "given":
            inputs["contexts"] = keys["contexts"]
        if shown == "relevant":
            for part in ("qrels", "references"):
                inputs[part] = self.judgements(pipeline, self.split, part)
        if generator.history_tokens and "sample.history" in keys:
            inputs["history"] = keys["sample.history"]
        shots = generator.few_shot if few_shot else generator.shots
        inputs |= self.example_inputs(shots, pipeline)
        # Without earlier turns it changes nothing how many of them would be shown.
        unused = {"few_shot", "shots"} | (set() if "history" in inputs else {"history_tokens"})
        spec = {
            "generator": generator.model_dump(exclude=unused),
            "context": settings.context,
            "source": shown,
            "few_shot": shots,
            "context_order": settings.context_order,
            "stop": self.suite.answer.stop,
        }
        if shots:
            spec["sentence"] = self.suite.abstention_sentence
        if remote:
            spec["endpoint"] = self.endpoint("generator")
        passages = 0 if source == "none" else settings.context
        prompt_tokens = 80 + (passages + shots) * generator.passage_tokens
        work = self.llm_work(
            "generator", len(self.generation_sample.query_ids), prompt_tokens, generator.max_new_tokens // 2
        )
        models = [] if remote else [generator.model]
        return self.call("answer", f"answer as {label}", spec, inputs, work, models=models)

    def example_inputs(self, shots: int, pipeline: TunedPipeline) -> dict[str, str]:
        """Inputs that solved examples are drawn from. Raises ConfigError if some are to be shown and there are none."""
        if not shots:
            return {}
        if not self.has_examples():
            said = "pipeline.generator.shots needs answered queries in split 'train', with judgements; there are none"
            raise ConfigError(Problem(self.dataset.name, said, "set shots: 0, or add some"))
        return {
            "train_queries": self.artifacts.keys["train.queries"],
            "train_qrels": self.judgements(pipeline, "train", "qrels"),
            "train_references": self.judgements(pipeline, "train", "references"),
        }

    def has_examples(self) -> bool:
        """Whether the train split has an answered question with a relevant passage to show."""
        train = self.dataset.splits.get("train")
        return train is not None and any(
            key in train.references and train.references[key].answers for key in train.judged
        )
