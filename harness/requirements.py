"""What a suite needs of this machine, asked for before any work: models, a GPU, packages.

Everything that is missing is found at once. Must not know how anything is computed: it looks for files, devices and
distributions, and loads no model.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness import provenance
from harness.errors import ConfigError, ModelMissing, Problem
from harness.models import loaders, prompting
from harness.models.prompting import Prompting
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
    lost = {model: tuple(_located(model, keys)) for model, keys in models_named(suite).items()}
    missing = [problem for problems in lost.values() for problem in problems]
    wrong = [*_device(suite), *_generator_recipes(suite)]
    gone = {model for model, problems in lost.items() if problems}
    wrong += [*_headless(suite, gone), *_unprompted(suite, gone)]
    if wrong:
        raise ConfigError([*wrong, *missing])
    if missing:
        raise ModelMissing(missing)


def models_named(suite: Suite) -> dict[str, list[str]]:
    """Models that this suite will use, each with the keys that name it."""
    found: dict[str, list[str]] = {}
    for key, model in _named(suite):
        if key not in found.setdefault(model, []):
            found[model].append(key)
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
    return [_Strategy(suite, name, one, suite.making(one)) for name, one in suite.strategies.items()]


def _named(suite: Suite) -> Iterator[tuple[str, str]]:
    pipeline, strategies, generator = suite.pipeline, _strategies(suite), suite.generator
    yield "pipeline.retriever.model", pipeline.retriever.model
    if pipeline.reranker is not None:
        yield "pipeline.reranker.model", pipeline.reranker.model
    answers = any(not measure.is_rank for measure in suite.measures)
    served = suite.answerer is not None
    if generator is not None and not served and (answers or any(one.recipe("generator") for one in strategies)):
        yield "pipeline.generator.model", generator.model
    for one in strategies:
        for role in ("synthesizer", "labeler"):
            llm = suite.llm.roles[role]
            if one.asks(role) and llm.in_process:
                yield f"llm.{role}.model", llm.model
        if one.recipe("reranker") and pipeline.reranker is None:
            yield one.key("reranker", "model"), one.recipe("reranker").model
        yield from one.judges()
    if _judged(suite) and suite.llm.judge is not None and suite.llm.judge.in_process:
        yield "llm.judge.model", suite.llm.judge.model


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


def _located(model: str, keys: list[str]) -> Iterator[Problem]:
    try:
        loaders.locate(model)
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


def _headless(suite: Suite, lost: set[str]) -> Iterator[Problem]:
    """Cross-encoders that are used as they are and have no trained head; `lost` ones cannot be looked at."""
    used = {key: model for one in _strategies(suite) for key, model in one.judges()}
    if suite.pipeline.reranker is not None:
        used["pipeline.reranker.model"] = suite.pipeline.reranker.model
    for key, model in used.items():
        if model not in lost and not loaders.has_trained_head(loaders.locate(model)):
            hint = "name a trained cross-encoder, or take it as recipes.reranker.model and tune it"
            yield Problem(key, f"{model!r} has no trained head, so it may be tuned but not used untuned", hint)


JUDGE_INSTRUCTION = "Judge by these rules."
"""What stands for the texts of a judge, which are another for each measure."""


def _chatting(suite: Suite) -> Iterator[tuple[str, str, str, Prompting]]:
    """Models that answer chats here: the key that names each, its name, its instruction, and how it is prompted.

    Embedded ones are left out: their templates are known, and reading them takes long.
    """
    used, generator, judge = models_named(suite), suite.generator, suite.llm.judge
    found = []
    if generator is not None and "pipeline.generator.model" in used.get(generator.model, []):
        rule = Prompting(generator.thinking, generator.max_new_tokens, "pipeline.generator")
        found.append((generator.model, generator.instruction, rule))
    if judge is not None and "llm.judge.model" in used.get(judge.model, []):
        found.append((judge.model, JUDGE_INSTRUCTION, Prompting(False, judge.max_tokens, "llm.judge")))
    for model, instruction, rule in found:
        if not model.startswith(EMBEDDED_PREFIX):
            yield f"{rule.where}.model", model, instruction, rule


def _unprompted(suite: Suite, lost: set[str]) -> Iterator[Problem]:
    """Models whose prompts cannot be made, or would not hold the instruction; `lost` ones cannot be looked at."""
    for key, model, instruction, rule in _chatting(suite):
        if model not in lost:
            try:
                prompting.look(loaders.locate(model), instruction, rule.thinking)
            except ConfigError as error:
                yield from (Problem(key, f"{model!r}: {one.what}", one.hint) for one in error.problems)


def prompt_notes(suite: Suite) -> Iterator[tuple[str, str]]:
    """What is worth knowing of the prompts of models that answer here, with the model's name; `check` comes first."""
    for _, model, instruction, rule in _chatting(suite):
        facts = prompting.look(loaders.locate(model), instruction, rule.thinking)
        yield from ((model, said) for said in prompting.told(facts, rule))


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
