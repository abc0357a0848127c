"""Stage calls, added to a graph: each method returns the key of the call that makes what the method is named after.

Equal calls are added once. This module decides what a call depends on, and nothing about which systems there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from harness import provenance
from harness.data.datasets import Dataset
from harness.errors import ConfigError
from harness.hashing import digest_of
from harness.llm import prompt_templates
from harness.models.loaders import locate, model_digest
from harness.planning.contexts import GenerationSample
from harness.planning.dataset_artifacts import DatasetArtifacts
from harness.planning.graph import ExpectedWork, PlannedCall, SystemPlan
from harness.stages import load_stage
from harness.suite.recipes import Part
from harness.suite.roles import PromptName, Role
from harness.suite.spec import Retriever, Suite
from harness.suite.uses import CandidateUses
from harness.values.records import StageCall
from harness.values.systems import UNTUNED


@dataclass(frozen=True)
class TunedPipeline:
    """A pipeline some of whose parts are tuned: the keys of the tuned models, and what each part is called in words.

    A tuned reranker reads as many tokens as it was trained with.
    """

    models: Mapping[Part, str] = field(default_factory=dict)
    labels: Mapping[Part, str] = field(default_factory=dict)
    reranker_length: int | None = None

    def model(self, part: Part) -> str | None:
        return self.models.get(part)

    def label(self, part: Part) -> str:
        return self.labels.get(part, UNTUNED)

    def tuned(self, part: Part, key: str, label: str) -> TunedPipeline:
        """The pipeline with one more part tuned."""
        return replace(self, models={**self.models, part: key}, labels={**self.labels, part: label})


def tuned_pipeline_of(system: SystemPlan, suite: Suite) -> TunedPipeline:
    """The pipeline that a planned system has tuned."""
    who = system.name if system.role == "baseline" else f"{system.name}, seed {system.seed}"
    length = None
    if "reranker" in system.models and suite.pipeline.reranker is None:
        recipe = CandidateUses(suite, system.name, suite.all_candidates[system.name]).reranker
        length = recipe.max_length if recipe is not None else None
    return TunedPipeline(system.models, dict.fromkeys(system.models, who), length)


class Calls:
    """A graph that calls are added to."""

    def __init__(self, suite: Suite, dataset: Dataset, generation_sample: GenerationSample) -> None:
        self.suite, self.dataset, self.generation_sample = suite, dataset, generation_sample
        self.split = suite.evaluate.split
        self.artifacts = DatasetArtifacts(dataset, self.split, generation_sample)
        self.calls: dict[str, PlannedCall] = {}
        self.untuned = suite.pipeline.retriever
        self.depth = min(suite.pipeline.depth, len(dataset.documents))
        self.rerank_depth = min(suite.pipeline.rerank_depth, self.depth)

    def call(
        self,
        stage: str,
        label: str,
        spec: Mapping[str, Any],
        inputs: Mapping[str, str | None],
        work: ExpectedWork,
        seed: int = 0,
        models: Sequence[str] = (),
    ) -> str:
        """Add a call unless the same one is there already; return its key. See `planned`."""
        return self._add(planned(stage, label, spec, inputs, work, seed, models))

    def _add(self, call: PlannedCall) -> str:
        self.calls.setdefault(call.key, call)
        return call.key

    def converted(self, model: str) -> str | None:
        """Return the key of a GGUF model's plain form; None for a folder, which needs no conversion."""
        call = conversion(model)
        return None if call is None else self._add(call)

    def llm_work(
        self, role: Role, count: int, prompt_tokens: int, new_tokens: int, units: int | None = None
    ) -> ExpectedWork:
        """The work of asking an LLM `count` times, with the tokens that a prompt and an answer are guessed to have."""
        llm = self.suite.llm.roles.get(role)
        dollars = llm.dollars(count * prompt_tokens, count * new_tokens) if llm else 0.0
        return ExpectedWork(
            count if units is None else units, count, count * (prompt_tokens + new_tokens), dollars, role
        )

    def endpoint(self, role: Role, *prompts: PromptName) -> dict[str, Any] | None:
        """What of an endpoint can change its answers, with the texts it is asked by; None if the model runs here."""
        llm = self.suite.llm.roles[role]
        if llm.in_process:
            return None
        texts = {name: prompt_templates.load(name, self.suite.llm.prompts.get(name)) for name in prompts}
        problems = [problem for name, text in texts.items() if (problem := prompt_templates.check(name, text))]
        if problems:
            raise ConfigError(problems)
        return {**llm.identity, "prompts": texts}

    def local(self, role: Role) -> list[str]:
        """The model of a role, if it runs here."""
        llm = self.suite.llm.roles[role]
        return [llm.model] if llm.in_process else []

    def bm25_index(self) -> str:
        size = len(self.dataset.documents)
        inputs = {"corpus": self.artifacts.keys["corpus"]}
        spec = {"kind": "bm25", "language": self.dataset.language}
        return self.call("index", "index for bm25", spec, inputs, ExpectedWork(size))

    def dense_index(self, pipeline: TunedPipeline = TunedPipeline()) -> str:
        spec = {"kind": "dense", "retriever": self.untuned.model_dump()}
        inputs = {"corpus": self.artifacts.keys["corpus"], "model": pipeline.model("retriever")}
        work = ExpectedWork(len(self.dataset.documents))
        return self.call(
            "index", f"index with {pipeline.label('retriever')}", spec, inputs, work, models=self._retriever
        )

    @property
    def _retriever(self) -> list[str]:
        return models_of(self.untuned)

    def retrieved_bm25(self, split: str) -> str:
        spec = {"kind": "bm25", "depth": self.depth, "exclude_own": self.suite.evaluate.exclude_own}
        inputs = {"index": self.bm25_index(), "queries": self.artifacts.keys[f"{split}.queries"]}
        return self.call("retrieve", f"retrieve {split} with bm25", spec, inputs, ExpectedWork(self._size(split)))

    def retrieved(
        self, pipeline: TunedPipeline, split: str, queries: str | None = None, depth: int | None = None
    ) -> str:
        """Lists of the pipeline's retriever for a split, or for the `queries` of an artifact, then called `split`."""
        spec = {"kind": "dense", "depth": depth or self.depth, "retriever": self.untuned.model_dump()}
        spec["exclude_own"] = self.suite.evaluate.exclude_own
        key = queries or self.artifacts.keys[f"{split}.queries"]
        inputs = {"index": self.dense_index(pipeline), "queries": key, "model": pipeline.model("retriever")}
        label = f"retrieve {split} with {pipeline.label('retriever')}" + (f", {depth} deep" if depth else "")
        work = ExpectedWork(self._size(split, queries))
        return self.call("retrieve", label, spec, inputs, work, models=self._retriever)

    def ranked(self, pipeline: TunedPipeline, split: str, queries: str | None = None) -> str:
        """The rankings of the tuned pipeline, reranked if it or the suite's pipeline has a reranker."""
        return self.reranked(pipeline, split, self.retrieved(pipeline, split, queries), queries)

    def reranked(
        self, pipeline: TunedPipeline, split: str, run: str, queries: str | None = None, source: str = ""
    ) -> str:
        """The rankings of `run` (which come from `source`) as the reranker orders them; unchanged if there is none."""
        model, given = pipeline.model("reranker"), self.suite.pipeline.reranker
        length = pipeline.reranker_length or (given.max_length if given else None)
        if length is None:
            return run
        spec = {
            "depth": self.rerank_depth,
            "max_length": length,
            "model": given.model if given and model is None else None,
        }
        inputs = {
            "run": run,
            "queries": queries or self.artifacts.keys[f"{split}.queries"],
            "corpus": self.artifacts.keys["corpus"],
            "model": model,
        }
        work = ExpectedWork(self._size(split, queries) * self.rerank_depth)
        label = f"rerank {split} with {_joined(pipeline, ('retriever', 'reranker'))}" + (
            f" from {source}" if source else ""
        )
        return self.call("rerank", label, spec, inputs, work, models=[given.model] if spec["model"] and given else [])

    def _size(self, split: str, queries: str | None = None) -> int:
        """How many queries: those of a split, or at most those of the call that makes them."""
        if queries is not None and queries in self.calls:
            return self.calls[queries].work.units
        return len(self.dataset.splits[split].queries)

    def fused(self, runs: Sequence[str], split: str) -> str:
        spec = {"depth": self.depth, "k": self.suite.pipeline.fuse_k}
        inputs = {f"run{number}": key for number, key in enumerate(runs)}
        return self.call("fuse", f"fuse bm25 and untuned on {split}", spec, inputs, ExpectedWork(self._size(split)))

    def answered(
        self, source: Literal["run", "none", "relevant"], label: str, run: str | None = None, few_shot: bool = False,
        adapter: str | None = None, context: int | None = None,
    ) -> str | None:  # fmt: skip
        """Answers to the sampled questions; None if there is no generator, or nothing to ask.

        `context` passages are shown, the pipeline's number of them if not given.
        """
        generator, remote = self.suite.generator, self.suite.answerer is not None
        if generator is None or not self.generation_sample.query_ids:
            return None
        keys = self.artifacts.keys
        shown = "given" if source == "run" and self.generation_sample.contexts else source
        converted = None if remote else self.converted(generator.model)
        inputs = {"queries": keys["sample"], "corpus": keys["corpus"], "model": converted}
        inputs |= {"adapter": adapter} if adapter else {}
        if shown == "run":
            inputs["run"] = run
        if shown == "given":
            inputs["contexts"] = keys["contexts"]
        if shown == "relevant":
            inputs |= {"qrels": keys[f"{self.split}.qrels"], "references": keys[f"{self.split}.references"]}
        if few_shot:
            inputs |= {f"train_{part}": keys[f"train.{part}"] for part in ("queries", "qrels", "references")}
        spec = {
            "generator": generator.model_dump(exclude={"few_shot"}),
            "context": context or self.suite.pipeline.context,
            "source": shown,
            "few_shot": generator.few_shot if few_shot else 0,
            "stop": self.suite.answer.stop,
        }
        if few_shot:
            spec["sentence"] = self.suite.abstention_sentence
        if remote:
            spec["endpoint"] = self.endpoint("generator")
        passages = 0 if source == "none" else context or self.suite.pipeline.context
        prompt_tokens = 80 + passages * generator.passage_tokens
        work = self.llm_work(
            "generator", len(self.generation_sample.query_ids), prompt_tokens, generator.max_new_tokens // 2
        )
        models = [] if remote else [generator.model]
        return self.call("answer", f"answer as {label}", spec, inputs, work, models=models)


def planned(
    stage: str,
    label: str,
    spec: Mapping[str, Any],
    inputs: Mapping[str, str | None],
    work: ExpectedWork,
    seed: int = 0,
    models: Sequence[str] = (),
) -> PlannedCall:
    """Return a call with its key, checked against what its stage declares; inputs that are None are left out.

    The key holds the settings that differ from their defaults (see `Spec.key_settings`). Raises ValueError for an input
    that the stage does not take, or that is missing.
    """
    declared = load_stage(stage)
    checked = declared.spec.model_validate(spec)
    settings = checked.model_dump(mode="json")
    keys = {name: key for name, key in inputs.items() if key is not None}
    if problem := declared.takes.problem(keys):
        raise ValueError(f"stage {stage} {problem}")
    remote = declared.is_remote(settings)
    packages = () if remote else (*declared.packages, *declared.more_packages(checked, keys))
    call = StageCall(
        stage=stage,
        version=declared.version,
        spec=settings,
        inputs=keys,
        seed=seed,
        device=provenance.device_class() if declared.heavy and not remote else "any",
        models={name: model_digest(name) for name in models},
        packages={name: provenance.package_version(name) for name in packages},
    )
    return PlannedCall(digest_of({**asdict(call), "spec": checked.key_settings()}), call, label, work)


def conversion(model: str) -> PlannedCall | None:
    """Return the call that converts a GGUF model to its plain form; None for a folder, which needs none."""
    if locate(model).is_dir():
        return None
    return planned("convert", f"convert {model}", {"model": model}, {}, ExpectedWork(1), models=[model])


def models_of(*retrievers: Retriever) -> list[str]:
    """Names of the models that these sections name, each once."""
    return sorted({retriever.model for retriever in retrievers})


def _joined(pipeline: TunedPipeline, parts: Sequence[Part]) -> str:
    """``untuned``, ``staged, seed 0``, or the labels of the parts that are tuned, each once."""
    labels = list(dict.fromkeys(pipeline.label(part) for part in parts if part in pipeline.models))
    return " and ".join(labels) or UNTUNED
