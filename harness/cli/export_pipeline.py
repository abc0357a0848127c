"""The section `pipeline` of an exported system: its own settings, its tuned models as folders, its weights as numbers.

No path of this machine is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, Problem
from harness.planning.graph import Plan, SystemPlan
from harness.planning.rankings import reranker_encoder
from harness.report.render.card import Place
from harness.stages.shared.blending import Weight
from harness.store import Store
from harness.suite.pipeline import OF_ONE_KIND, ON_DEV, Pipeline, Reranker
from harness.suite.recipes import Part
from harness.suite.roles import EMBEDDED_PREFIX

FOLDERS: dict[Part, str] = {"retriever": "retriever", "reranker": "reranker", "generator": "generator-adapter"}
MERGED = "generator"
"""The folder of a generator whose adapter is merged into its base."""
RERANKER_ADAPTER = "reranker-adapter"
"""The folder of a tuned reranker that is an adapter for a causal language model."""
WEIGHTS = {"union": "retriever.bm25_weight", "first": "reranker.blend"}
"""The setting that a weight belongs to, by what is blended."""


def is_causal(settings: Pipeline) -> bool:
    """Whether the reranker is a causal language model, of which only an adapter is tuned."""
    return settings.reranker is not None and settings.reranker.kind == "causal-lm"


def folder_of(settings: Pipeline, part: Part) -> str:
    """The folder of a tuned part in the export."""
    return RERANKER_ADAPTER if part == "reranker" and is_causal(settings) else FOLDERS[part]


def chosen_weights(plan: Plan, planned: SystemPlan, store: Store) -> dict[str, float]:
    """Return the weights that a system chose on dev, by setting. Raises ConfigError if one is not in the store."""
    weights = {}
    for key in planned.serving.artifacts:
        call = plan.calls[key].call
        if call.stage == "weigh":
            place, name = store.get(key), WEIGHTS[call.spec["pool"]]
            if place is None:
                what = f"the weight {name} of {planned.label} is not in the store"
                raise ConfigError(Problem("", what, "run the suite again"))
            weights[name] = Weight.read(place).weight
    return weights


def exported_pipeline(
    settings: Pipeline, models: Mapping[Part, Path], lengths: Mapping[Part, int], weights: Mapping[str, float]
) -> dict[str, Any]:
    """Return the section `pipeline` that serves a system: folders of tuned models, and numbers for chosen weights.

    An adapter leaves the name of its base.
    """
    section: dict[str, Any] = without_paths(settings.model_dump(mode="json"))
    # A default above the depth is no mistake until it is written.
    section |= {name: min(section[name], settings.depth) for name in ("rerank_depth", "context")}
    retriever = section["retriever"]
    if "retriever" in models:
        retriever |= {"model": f"./{FOLDERS['retriever']}", "max_length": lengths["retriever"]}
    if settings.retriever.bm25_weight == ON_DEV:
        retriever["bm25_weight"] = weights[WEIGHTS["union"]]
    if settings.reranker is not None:
        section["reranker"] = _reranker(settings, models, lengths, weights)
    return section


def _reranker(
    settings: Pipeline, models: Mapping[Part, Path], lengths: Mapping[Part, int], weights: Mapping[str, float]
) -> dict[str, Any]:
    rule = settings.reranker
    assert rule is not None
    section: dict[str, Any] = without_paths(_meaningful(rule))
    encoder = reranker_encoder(rule, settings.retriever)
    if encoder is not None:
        # With a model of its own, it no longer takes lengths and prompts from the retriever.
        section |= {name: value for name, value in encoder.model_dump(mode="json").items() if name != "model"}
        if rule.model is None and "reranker" not in models and "retriever" in models:
            section["max_length"] = min(encoder.max_length, lengths["retriever"])
    if "reranker" in models and not is_causal(settings):
        section |= {"model": f"./{FOLDERS['reranker']}", "max_length": lengths["reranker"]}
    if rule.blend == ON_DEV:
        # Without a judged dev split, the reranker's score is used alone.
        section["blend"] = weights.get(WEIGHTS["first"], False)
    return section


def _meaningful(rule: Reranker) -> dict[str, Any]:
    """The settings that have a meaning for a reranker of this kind."""
    names = (name for name in type(rule).model_fields if OF_ONE_KIND.get(name, rule.kind) == rule.kind)
    return {name: getattr(rule, name) for name in names}


def public_name(model: str) -> tuple[str, Place]:
    """The name of a model on other machines, and its source; of a folder only the last part of its path."""
    if model.startswith(EMBEDDED_PREFIX):
        return model, "package"
    path = Path(model).expanduser()
    return (path.resolve().name, "folder") if path.is_dir() or path.is_absolute() else (model, "hub")


def without_paths(value: Any, key: str = "") -> Any:
    """A section of a suite with the names of models on other machines."""
    if isinstance(value, Mapping):
        return {name: without_paths(item, str(name)) for name, item in value.items()}
    return public_name(value)[0] if key in ("model", "teacher_model") and isinstance(value, str) else value
