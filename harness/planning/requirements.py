"""What a suite needs of this machine, checked before any work: models, a GPU, packages.

Everything that is missing is found at once. Must not know how anything is computed: it looks for files, devices and
distributions, inspects model folders, and loads no model.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from harness import extras, provenance
from harness.errors import ConfigError, ModelMissing, Problem, in_order
from harness.indexes import registry
from harness.models import loaders, template_checks
from harness.models.inspection import Inspection, inspect
from harness.models.precision import refusal
from harness.models.relevance_prompts import RelevancePrompt
from harness.models.template_checks import ThinkingSettings
from harness.models.token_batches import BUDGET_VARIABLE
from harness.models.vllm_engine import INSTALL as INSTALL_VLLM
from harness.scoring.ragas_measures import RAGAS_MEASURES
from harness.suite.local_models import LocalModel
from harness.suite.pipeline import Retriever
from harness.suite.roles import EMBEDDED_PREFIX
from harness.suite.spec import Suite
from harness.suite.uses import ModelUse, candidates_of, models_named, models_used
from harness.values.measures import Measure

PAGED = "paged_adamw_8bit"
BITSANDBYTES = "bitsandbytes"
VLLM = "vllm"


def apply_device(suite: Suite) -> None:
    """Let this process and its children see the device and the budget of tokens that the suite asks for.

    Call it before a plan is built.
    """
    os.environ[provenance.DEVICE_VARIABLE] = suite.device
    os.environ[BUDGET_VARIABLE] = str(suite.max_tokens_per_batch or "")


def check(suite: Suite) -> None:
    """Refuse what this machine cannot do, every problem at once, by its line in the suite; `apply_device` comes first.

    Models on a hub are fetched. Raises ModelMissing if all that is wrong is that packages or models cannot be found,
    else ConfigError.
    """
    try:
        check_values(suite)
    except (ConfigError, ModelMissing) as error:
        raise type(error)(in_order(suite.file.placed(error.problems))) from None


def check_values(suite: Suite) -> None:
    """As `check`, without the places in the suite's file: for a suite that was changed since it was read."""
    if packages := list(_packages(suite)):
        raise ModelMissing(packages)
    places, missing = _places(suite)
    there = {use: inspected(use, places[use.model]) for use in models_used(suite) if use.model in places}
    wrong = [*_device(suite), *_generator_recipes(suite), *_unusable(there), *_untrainable(suite, there)]
    wrong += _unservable(suite, there)
    unsound = {use.model for use, found in there.items() if found.problems}
    sound = {model: place for model, place in places.items() if model not in unsound}
    wrong += [*_unprompted(suite, sound), *_unanswering(suite, sound)]
    if wrong:
        raise ConfigError([*wrong, *missing])
    if missing:
        raise ModelMissing(missing)


def _packages(suite: Suite) -> Iterator[Problem]:
    """Yield the extras that the suite needs and this machine lacks; without them nothing else can be checked."""
    key = next((use.key for use in models_used(suite)), "")
    if key:
        yield from extras.lacking("local", key, "a model that runs on this machine")
    deciding = [Measure(suite.utility.right)] if Measure("utility") in suite.measures else []
    judged = suite.llm.judge is not None
    measures = [*suite.measures, *deciding]
    named = [one for one in measures if one.name in RAGAS_MEASURES or (one.is_judged and judged)]
    if named:
        yield from extras.lacking("ragas", "measures", str(named[0]))


def inspected(use: ModelUse, folder: Path | None = None) -> Inspection:
    """Return what the folder of a model holds; the weights of embedded models, which are pinned, are not compared."""
    deep = not use.model.startswith(EMBEDDED_PREFIX)
    return inspect(folder or loaders.locate(use.model), use.kind, deep=deep, headless_ok=not use.as_is)


def _places(suite: Suite) -> tuple[dict[str, Path], list[Problem]]:
    """Return the folder of each model that is found, and a problem for each other one."""
    places: dict[str, Path] = {}
    missing = [problem for model, keys in models_named(suite).items() for problem in _located(model, keys, places)]
    return places, missing


def _located(model: str, keys: list[str], places: dict[str, Path]) -> Iterator[Problem]:
    """Yield what is wrong with a model that is not found; the folder of one that is found goes into `places`."""
    try:
        places[model] = loaders.locate(model)
    except ModelMissing as error:
        for problem in error.problems:
            what = f"{problem.where}: {problem.what}" if problem.where else problem.what
            yield Problem(", ".join(keys), what, problem.hint)


def _device(suite: Suite) -> Iterator[Problem]:
    if suite.device == "cuda" and not _has_cuda(suite):
        yield Problem("device", "'cuda' is asked for and no CUDA device is found", "use device: auto")


def _has_cuda(suite: Suite) -> bool:
    return suite.device != "cpu" and provenance.stage_device() != "cpu"


def _generator_recipes(suite: Suite) -> Iterator[Problem]:
    """Yield each setting that this machine cannot follow, once however many candidates share it."""
    found: dict[str, Problem] = {}
    for one in candidates_of(suite):
        recipe = one.generator
        if recipe is None:
            continue
        paged = getattr(recipe, "optimizer", "auto") == PAGED
        if paged and not _has_cuda(suite):
            where = one.key("generator", "optimizer")
            found[where] = Problem(where, f"{PAGED!r} needs a CUDA device, and none is used", "use optimizer: auto")
        if (recipe.recipe == "qlora" or paged) and not _installed(BITSANDBYTES):
            where = one.key("generator", "recipe" if recipe.recipe == "qlora" else "optimizer")
            what = f"needs the package {BITSANDBYTES}, which is not installed"
            found.setdefault(where, Problem(where, what, f"run: pip install {BITSANDBYTES}"))
    yield from found.values()


def _unusable(there: Mapping[ModelUse, Inspection]) -> Iterator[Problem]:
    """Yield models whose folders cannot be used as the suite asks, once, with every key that names them."""
    keys: dict[Problem, list[str]] = {}
    for use, found in there.items():
        problems = list(found.problems)
        if not problems and use.kind == "cross-encoder" and use.as_is and not found.trained_head:
            hint = "name a trained cross-encoder, or take it as recipes.reranker.model and tune it"
            what = f"{use.model!r} has no trained head, so it may be tuned but not used untuned"
            problems.append(Problem("", what, hint))
        for problem in problems:
            named = keys.setdefault(problem, [])
            named += [use.key] if use.key not in named else []
    for problem, named in keys.items():
        what = f"{problem.where}: {problem.what}" if problem.where else problem.what
        yield Problem(", ".join(named), what, problem.hint)


def _untrainable(suite: Suite, there: Mapping[ModelUse, Inspection]) -> Iterator[Problem]:
    """Yield recipes that do not fit the kind of retriever, once however many candidates share them."""
    retriever = next((seen for use, seen in there.items() if use.key == "pipeline.retriever.model"), None)
    if retriever is None or retriever.problems:
        return
    found: dict[str, Problem] = {}
    made_of = ", ".join(retriever.modules) + (f" ({', '.join(retriever.pooling)})" if retriever.pooling else "")
    for one in candidates_of(suite):
        recipe = one.retriever
        if recipe is None:
            continue
        if recipe.recipe == "raw" and not retriever.raw_trains:
            where = one.key("retriever", "recipe")
            what = f"raw supports a transformer with mean or cls pooling, and the retriever consists of {made_of}"
            found[where] = Problem(where, what, "use recipe: mnrl")
        for setting in ("lora_rank", "micro_batch_size"):
            if retriever.static and getattr(recipe, setting):
                where = one.key("retriever", setting)
                what = "is not possible with static embeddings, which have no layers"
                found[where] = Problem(where, what, "leave it out")
        if retriever.dimensions is not None and max(recipe.matryoshka, default=0) > retriever.dimensions:
            where = one.key("retriever", "matryoshka")
            what = f"{max(recipe.matryoshka)} is more than the {retriever.dimensions} dimensions of the retriever"
            found[where] = Problem(where, what, "leave it out")
    yield from found.values()


def _unservable(suite: Suite, there: Mapping[ModelUse, Inspection]) -> Iterator[Problem]:
    """Yield settings of parts that their models or this machine cannot follow, once for each key."""
    encoders = {use.model: seen for use, seen in there.items() if use.kind == "bi-encoder"}
    pipelines = [
        ("", suite.pipeline, None),
        *((f"candidates.{one.name}.", one.pipeline, one.candidate.pipeline) for one in candidates_of(suite)),
    ]
    found: dict[str, Problem] = {}
    for prefix, pipeline, change in pipelines:
        wrong = [("retriever", *problem) for problem in _unfit(suite, pipeline.retriever, encoders)]
        if pipeline.reranker is not None and (refused := refusal(pipeline.reranker.dtype, _has_cuda(suite))):
            wrong.append(("reranker", "dtype", *refused))
        if pipeline.generator is not None:
            wrong += [("generator", *problem) for problem in _uncomputable(suite, pipeline.generator)]
        for part, setting, what, hint in wrong:
            own = setting in getattr(getattr(change, part, None), "model_fields_set", ())
            where = f"{prefix if own else ''}pipeline.{part}.{setting}"
            found[where] = Problem(where, what, hint)
    for role, llm in suite.llm.roles.items():
        for setting, what, hint in _uncomputable(suite, llm) if llm.in_process else ():
            found[f"llm.{role}.{setting}"] = Problem(f"llm.{role}.{setting}", what, hint)
    yield from found.values()


def _uncomputable(suite: Suite, local: LocalModel) -> Iterator[tuple[str, str, str]]:
    """Yield settings of a language model in this process that this machine cannot follow, as `_unfit` does."""
    if local.engine == VLLM:
        if not _installed(VLLM):
            yield "engine", f"needs the package {VLLM}, which is not installed", INSTALL_VLLM
        if local.dtype == "int8":
            yield "dtype", f"engine: {VLLM} does not compute in int8", "use dtype: auto, or engine: transformers"
    # Some CPUs compute bfloat16, and a language model in it is faster there.
    elif local.dtype != "bfloat16" and (refused := refusal(local.dtype, _has_cuda(suite))):
        yield "dtype", *refused


def _unfit(suite: Suite, rule: Retriever, encoders: Mapping[str, Inspection]) -> Iterator[tuple[str, str, str]]:
    """Yield settings of a retriever that cannot be followed: the setting, what is wrong, and what to do."""
    encoder = encoders.get(rule.model) if rule.endpoint is None else None
    width = encoder.dimensions if encoder is not None else None
    if rule.dimensions is not None and width is not None and rule.dimensions > width:
        what = f"{rule.dimensions} is more than the {width} dimensions of {rule.model!r}"
        yield "dimensions", what, "ask for fewer, or leave it out"
    if rule.index is not None and (unusable := registry.unusable(rule.index, rule.dimensions or width)):
        yield "index", *unusable
    if refused := refusal(rule.dtype, _has_cuda(suite)):
        yield "dtype", *refused
    elif rule.dtype == "int8" and encoder is not None and encoder.static:
        yield "dtype", "is not possible with static embeddings, which have no layers", "leave it out"


JUDGE_INSTRUCTION = "Judge by these rules."
"""Stands for the texts of a judge, which differ by measure."""


def _chatting(suite: Suite) -> Iterator[tuple[str, str, str, ThinkingSettings]]:
    """Models that answer chats here: the key that names each, its name, its instruction, and how it is prompted.

    Embedded ones are left out: their templates are known, and reading them takes long.
    """
    used, generator, judge = models_named(suite), suite.generator, suite.llm.judge
    found = []
    if generator is not None and "pipeline.generator.model" in used.get(generator.model, []):
        rule = ThinkingSettings(generator.thinking, generator.max_new_tokens, "pipeline.generator")
        found.append((generator.model, generator.instruction, rule))
    if judge is not None and "llm.judge.model" in used.get(judge.model, []):
        found.append((judge.model, JUDGE_INSTRUCTION, ThinkingSettings(False, judge.max_tokens, "llm.judge")))
    for model, instruction, rule in found:
        if not model.startswith(EMBEDDED_PREFIX):
            yield f"{rule.where}.model", model, instruction, rule


def _unprompted(suite: Suite, sound: Mapping[str, Path]) -> Iterator[Problem]:
    """Those of the `sound` models, by their places, whose prompts cannot be made or would lack the instruction."""
    for key, model, instruction, rule in _chatting(suite):
        if model in sound:
            try:
                template_checks.template_facts(sound[model], instruction, rule.thinking)
            except ConfigError as error:
                yield from (Problem(key, f"{model!r}: {one.what}", one.hint) for one in error.problems)


def _unanswering(suite: Suite, sound: Mapping[str, Path]) -> Iterator[Problem]:
    """Yield those of the `sound` models that are to rerank as causal-lm and cannot answer yes or no in a token."""
    for use in models_used(suite):
        if use.kind != "generator" or not use.key.endswith("reranker.model") or use.model.startswith(EMBEDDED_PREFIX):
            continue
        if use.model in sound:
            try:
                RelevancePrompt(template_checks.tokenizer_of(sound[use.model])).answers(sound[use.model])
            except ConfigError as error:
                yield from (Problem(use.key, f"{use.model!r}: {one.what}", one.hint) for one in error.problems)


class Prompted(NamedTuple):
    """What was found of the prompts of a model that answers here: where the instruction is, and what else to know."""

    model: str
    placed: str
    notes: tuple[str, ...]


def prompted(suite: Suite) -> Iterator[Prompted]:
    """What the prompts of models that answer here hold; `check` comes first, and refuses those that lack something."""
    for _, model, instruction, rule in _chatting(suite):
        facts = template_checks.template_facts(loaders.locate(model), instruction, rule.thinking)
        yield Prompted(model, template_checks.placement(facts), tuple(template_checks.template_remarks(facts, rule)))


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
