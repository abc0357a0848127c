"""What a suite needs of this machine, asked for before any work: models, a GPU, packages.

Everything that is missing is found at once. Must not know how anything is computed: it looks for files, devices and
distributions, inspects model folders, and loads no model.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness import provenance
from harness.errors import ConfigError, ModelMissing, Problem
from harness.models import loaders, template_checks
from harness.models.architecture import Role as ModelRole
from harness.models.inspection import Inspection, inspect
from harness.models.template_checks import ThinkingSettings
from harness.suite.recipes import PARTS, Data, Part
from harness.suite.roles import EMBEDDED_PREFIX, Role
from harness.suite.spec import Candidate, Suite

PAGED = "paged_adamw_8bit"
BITSANDBYTES = "bitsandbytes"


def apply_device(suite: Suite) -> None:
    """Let this process and its children see the device that the suite asks for; call it before a plan is built."""
    os.environ[provenance.DEVICE_VARIABLE] = suite.device


def check(suite: Suite) -> None:
    """Refuse what this machine cannot do, every problem at once; `apply_device` comes first.

    Models on a hub are fetched. Raises ModelMissing if all that is wrong is that models cannot be found, else
    ConfigError.
    """
    places: dict[str, Path] = {}
    missing = [problem for model, keys in models_named(suite).items() for problem in _located(model, keys, places)]
    there = {use: use.inspected(places[use.model]) for use in uses(suite) if use.model in places}
    wrong = [*_device(suite), *_generator_recipes(suite), *_unusable(there), *_untrainable(suite, there)]
    unsound = {use.model for use, found in there.items() if found.problems}
    wrong += _unprompted(suite, {model: place for model, place in places.items() if model not in unsound})
    if wrong:
        raise ConfigError([*wrong, *missing])
    if missing:
        raise ModelMissing(missing)


class Use(NamedTuple):
    """A model that a suite names under a key, for a role; `as_is` says that it is used without being tuned first."""

    key: str
    model: str
    role: ModelRole
    as_is: bool = True

    def inspected(self, folder: Path | None = None) -> Inspection:
        """What its folder holds; the weights of embedded models, which are pinned, are not compared again."""
        deep = not self.model.startswith(EMBEDDED_PREFIX)
        return inspect(folder or loaders.locate(self.model), self.role, deep=deep, headless_ok=not self.as_is)


def models_named(suite: Suite) -> dict[str, list[str]]:
    """Models that this suite will use, each with the keys that name it."""
    found: dict[str, list[str]] = {}
    for use in uses(suite):
        if use.key not in found.setdefault(use.model, []):
            found[use.model].append(use.key)
    return found


@dataclass(frozen=True)
class _Strategy:
    """A candidate and its data as resolved, with the places where its settings are written."""

    suite: Suite
    name: str
    candidate: Candidate
    data: Data

    def recipe(self, part: Part) -> Any:
        """The recipe; None if the part is not tuned."""
        return self.suite.recipe(self.candidate, part) if part in self.candidate.tune else None

    def key(self, section: str, setting: str) -> str:
        if setting in getattr(self.candidate, section).model_fields_set:
            return f"candidates.{self.name}.{section}.{setting}"
        return f"{'recipes' if section in PARTS else 'data'}.{section}.{setting}"

    @property
    def mines(self) -> bool:
        return bool({"retriever", "reranker"} & set(self.candidate.tune))

    @property
    def distills(self) -> bool:
        recipe = self.recipe("retriever")
        return recipe is not None and recipe.recipe == "distill"

    @property
    def synthesizes(self) -> bool:
        writes = "generator" in self.candidate.tune and self.data.instruct.answers == "llm"
        return writes or (self.mines and self.data.pairs != "judged")

    def asks(self, role: Role) -> bool:
        """Whether its data is made by the LLM of a role."""
        return {"synthesizer": self.synthesizes, "labeler": self._asks_labeler}.get(role, False)

    @property
    def _asks_labeler(self) -> bool:
        relabel = self.data.mine.relabel
        teaches = self.distills and self.recipe("retriever").teacher == "llm"
        labels = "reranker" in self.candidate.tune and self.data.label.by == "llm"
        return teaches or labels or (self.mines and relabel is not None and relabel.by == "llm")

    def judges(self) -> Iterator[tuple[str, str]]:
        """Cross-encoders that judge training data, used as they are."""
        if self.distills and self.recipe("retriever").teacher == "cross-encoder":
            yield self.key("retriever", "teacher_model"), self.recipe("retriever").teacher_model
        if "reranker" in self.candidate.tune and self.data.label.by == "cross-encoder":
            yield self.key("label", "model"), str(self.data.label.model)
        if self.mines and self.data.mine.relabel is not None and self.data.mine.relabel.by == "cross-encoder":
            yield f"{self.key('mine', 'relabel')}.model", str(self.data.mine.relabel.model)


def synthesizes(suite: Suite, candidate: Candidate) -> bool:
    """Whether a candidate trains on what an LLM writes about passages."""
    return _Strategy(suite, "", candidate, suite.making(candidate)).synthesizes


def _strategies(suite: Suite) -> list[_Strategy]:
    return [_Strategy(suite, name, one, suite.making(one)) for name, one in suite.all_candidates.items()]


def uses(suite: Suite) -> list[Use]:
    """Every use of a model that runs here, each key and role once."""
    return list(dict.fromkeys(_uses(suite)))


def _uses(suite: Suite) -> Iterator[Use]:
    pipeline, all_candidates, generator = suite.pipeline, _strategies(suite), suite.generator
    yield Use("pipeline.retriever.model", pipeline.retriever.model, "bi-encoder")
    if pipeline.reranker is not None:
        yield Use("pipeline.reranker.model", pipeline.reranker.model, "cross-encoder")
    answers = any(not measure.is_rank for measure in suite.measures)
    served = suite.answerer is not None
    if generator is not None and not served and (answers or any(one.recipe("generator") for one in all_candidates)):
        yield Use("pipeline.generator.model", generator.model, "generator")
    for one in all_candidates:
        for role in ("synthesizer", "labeler"):
            llm = suite.llm.roles[role]
            if one.asks(role) and llm.in_process:
                yield Use(f"llm.{role}.model", llm.model, "generator")
        if one.recipe("reranker") and pipeline.reranker is None:
            yield Use(one.key("reranker", "model"), one.recipe("reranker").model, "cross-encoder", as_is=False)
        for key, model in one.judges():
            yield Use(key, model, "cross-encoder")
    if _judged(suite) and suite.llm.judge is not None and suite.llm.judge.in_process:
        yield Use("llm.judge.model", suite.llm.judge.model, "generator")


def endpoints(suite: Suite) -> list[Role]:
    """The roles of this suite that ask an endpoint."""
    asked: dict[Role, bool] = {
        "synthesizer": any(one.asks("synthesizer") for one in _strategies(suite)),
        "labeler": any(one.asks("labeler") for one in _strategies(suite)),
        "judge": _judged(suite),
        "generator": suite.answerer is not None,
    }
    return [role for role, llm in suite.llm.roles.items() if asked[role] and not llm.in_process]


def _judged(suite: Suite) -> bool:
    return any(measure.is_judged for measure in suite.measures)


def _located(model: str, keys: list[str], places: dict[str, Path]) -> Iterator[Problem]:
    """What is said of a model that is not found; the folder of one that is, is put into `places`."""
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
    return suite.device != "cpu" and provenance.device_class() != "cpu"


def _generator_recipes(suite: Suite) -> Iterator[Problem]:
    """Each setting that this machine cannot follow, told once however many candidates share it."""
    found: dict[str, Problem] = {}
    for one in _strategies(suite):
        recipe = one.recipe("generator")
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


def _unusable(there: Mapping[Use, Inspection]) -> Iterator[Problem]:
    """Models whose folders cannot be used as the suite asks, each told once with every key that names it."""
    keys: dict[Problem, list[str]] = {}
    for use, found in there.items():
        problems = list(found.problems)
        if not problems and use.role == "cross-encoder" and use.as_is and not found.trained_head:
            hint = "name a trained cross-encoder, or take it as recipes.reranker.model and tune it"
            what = f"{use.model!r} has no trained head, so it may be tuned but not used untuned"
            problems.append(Problem("", what, hint))
        for problem in problems:
            named = keys.setdefault(problem, [])
            named += [use.key] if use.key not in named else []
    for problem, named in keys.items():
        what = f"{problem.where}: {problem.what}" if problem.where else problem.what
        yield Problem(", ".join(named), what, problem.hint)


def _untrainable(suite: Suite, there: Mapping[Use, Inspection]) -> Iterator[Problem]:
    """Recipes that do not fit the kind of the retriever, told once however many candidates share them."""
    retriever = next((seen for use, seen in there.items() if use.key == "pipeline.retriever.model"), None)
    if retriever is None or retriever.problems:
        return
    found: dict[str, Problem] = {}
    made_of = ", ".join(retriever.modules) + (f" ({', '.join(retriever.pooling)})" if retriever.pooling else "")
    for one in _strategies(suite):
        recipe = one.recipe("retriever")
        if recipe is None:
            continue
        if recipe.recipe == "raw" and not retriever.raw_trains:
            where = one.key("retriever", "recipe")
            what = f"raw knows a transformer with mean or cls pooling, and the retriever is made of {made_of}"
            found[where] = Problem(where, what, "use recipe: mnrl")
        for setting in ("lora_rank", "micro_batch_size"):
            if retriever.static and getattr(recipe, setting):
                where = one.key("retriever", setting)
                what = "does not go with static embeddings, which are one table without layers"
                found[where] = Problem(where, what, "leave it out")
    yield from found.values()


JUDGE_INSTRUCTION = "Judge by these rules."
"""What stands for the texts of a judge, which are another for each measure."""


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


def prompt_notes(suite: Suite) -> Iterator[tuple[str, str]]:
    """What is worth knowing of the prompts of models that answer here, with the model's name; `check` comes first."""
    for _, model, instruction, rule in _chatting(suite):
        facts = template_checks.template_facts(loaders.locate(model), instruction, rule.thinking)
        yield from ((model, said) for said in template_checks.template_remarks(facts, rule))


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
