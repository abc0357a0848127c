"""Stage calls, added to a graph: each method returns the key of the call that makes what the method is named after.

Equal calls are added once. This module decides what a call depends on, and nothing about which systems there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from harness import provenance
from harness.data.datasets import Dataset
from harness.errors import ConfigError
from harness.hashing import digest_of
from harness.llm import prompt_templates
from harness.models.loaders import locate, model_digest
from harness.models.vllm_engine import PACKAGES as VLLM_PACKAGES
from harness.planning.contexts import GenerationSample
from harness.planning.dataset_artifacts import DatasetArtifacts
from harness.planning.graph import ExpectedWork, PlannedCall, SystemPlan
from harness.stages import load_stage
from harness.suite.pipeline import Pipeline
from harness.suite.recipes import Part
from harness.suite.roles import PromptName, Role
from harness.suite.spec import Suite
from harness.values.records import StageCall
from harness.values.systems import UNTUNED


@dataclass(frozen=True)
class TunedPipeline:
    """A pipeline as a system has it: its settings, the keys of tuned models, and what each part is called in words.

    `name` is what its settings are called; parts that are not tuned go by it. With a `pool`, only passages are searched
    that are judged, or among that many first ones of untuned runs (see `Rankings.corpus`).
    """

    settings: Pipeline
    models: Mapping[Part, str] = field(default_factory=dict)
    labels: Mapping[Part, str] = field(default_factory=dict)
    name: str = UNTUNED
    pool: int = 0

    @property
    def whole(self) -> TunedPipeline:
        """The pipeline that searches all passages."""
        return replace(self, pool=0)

    def model(self, part: Part) -> str | None:
        return self.models.get(part)

    def label(self, *parts: Part) -> str:
        """``untuned``, ``staged, seed 0``, or the labels of the parts that are tuned, each once."""
        labels = dict.fromkeys(self.labels[part] for part in parts if part in self.models)
        return " and ".join(labels) or self.name

    def tuned(self, part: Part, key: str, label: str) -> TunedPipeline:
        """The pipeline with one more part tuned."""
        return replace(self, models={**self.models, part: key}, labels={**self.labels, part: label})


def tuned_pipeline_of(system: SystemPlan) -> TunedPipeline:
    """The pipeline that a planned system has."""
    who = f"{system.name}, seed {system.seed}" if system.tunes else system.name
    return TunedPipeline(system.settings, system.models, dict.fromkeys(system.models, who), system.name)


class Calls:
    """A graph that calls are added to."""

    def __init__(self, suite: Suite, dataset: Dataset, generation_sample: GenerationSample) -> None:
        self.suite, self.dataset, self.generation_sample = suite, dataset, generation_sample
        self.split = suite.evaluate.split
        self.artifacts = DatasetArtifacts(dataset, self.split, generation_sample)
        self.calls: dict[str, PlannedCall] = {}
        self.untuned = TunedPipeline(suite.pipeline)

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
    needed = (*declared.packages, *declared.more_packages(checked, keys), *engine_packages(settings))
    packages = () if remote else needed
    call = StageCall(
        stage=stage,
        version=declared.version,
        spec=settings,
        inputs=keys,
        seed=seed,
        device=provenance.stage_device() if declared.heavy and not remote else "any",
        models={name: model_digest(name) for name in models},
        packages={name: provenance.package_version(name) for name in packages},
    )
    return PlannedCall(digest_of({**asdict(call), "spec": checked.key_settings()}), call, label, work)


def engine_packages(settings: Any) -> tuple[str, ...]:
    """Return the distributions that run a language model of these settings beside transformers."""
    if not isinstance(settings, Mapping):
        return ()
    if settings.get("engine") == "vllm":
        return VLLM_PACKAGES
    return next((found for value in settings.values() if (found := engine_packages(value))), ())


def conversion(model: str) -> PlannedCall | None:
    """Return the call that converts a GGUF model to its plain form; None for a folder, which needs none."""
    if locate(model).is_dir():
        return None
    return planned("convert", f"convert {model}", {"model": model}, {}, ExpectedWork(1), models=[model])
