"""The models of an export: copied without the files of the store, and without paths that libraries write into them.

They are written for other readers, too; see `deploy.portable`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Literal

from harness.cli.export_pipeline import FOLDERS, is_causal, public_name
from harness.deploy.portable import write_portable
from harness.manifests import MANIFEST
from harness.models.inspection import inspect
from harness.planning.graph import SystemPlan
from harness.planning.rankings import reranker_encoder
from harness.suite.pipeline import Pipeline
from harness.suite.recipes import Part
from harness.suite.spec import Suite

CARD_FILE = "README.md"
NAMES_A_PATH = ("name_or_path", "_name_or_path", "base_model_name_or_path", "tokenizer_name_or_path")
"""Keys in which libraries store the path that a model was loaded from."""


def base_of(suite: Suite, settings: Pipeline, part: Part) -> str:
    """Return the model that the tuning of a part started from, as the suite names it."""
    generator = suite.generator_of(settings)
    if part == "generator" and generator is not None:
        return generator.model
    named = settings.reranker.model if part == "reranker" and settings.reranker is not None else None
    return named or settings.retriever.model


def form_of(settings: Pipeline, part: Part) -> str:
    """Return what kind of model a tuned part is."""
    return settings.reranker.kind if part == "reranker" and settings.reranker is not None else part


def copy_model(place: Path, out: Path, base: str) -> None:
    """Copy an artifact without the store's own files, for any reader; names of base models replace their paths."""
    shutil.copytree(place, out, ignore=shutil.ignore_patterns(MANIFEST, CARD_FILE), copy_function=shutil.copyfile)
    name_base(out, base)
    write_portable(out)


def name_base(folder: Path, base: str) -> None:
    """Replace the path of a base model by its name in every JSON file of a model folder."""
    for path in folder.rglob("*.json"):
        value = json.loads(path.read_text(encoding="utf-8"))
        named = [key for key in NAMES_A_PATH if isinstance(value, dict) and isinstance(value.get(key), str)]
        paths = [key for key in named if public_name(value[key])[1] == "folder"]
        if paths:
            path.write_text(json.dumps({**value, **dict.fromkeys(paths, base)}, indent=2), encoding="utf-8")


def lengths(planned: SystemPlan, out: Path) -> dict[Part, int]:
    """Return the tokens that each tuned encoder was measured with: the requested number, or the limit of the model."""
    settings, found = planned.settings, dict[Part, int]()
    asked: dict[Part, tuple[int, Literal["bi-encoder", "cross-encoder"]]] = {}
    if "retriever" in planned.models:
        asked["retriever"] = (settings.retriever.max_length, "bi-encoder")
    rule = settings.reranker
    if "reranker" in planned.models and rule is not None:
        encoder = reranker_encoder(rule, settings.retriever)
        asked["reranker"] = (encoder.max_length, "bi-encoder") if encoder else (rule.max_length, "cross-encoder")
        if is_causal(settings):
            found["reranker"] = asked.pop("reranker")[0]
    for part, (length, kind) in asked.items():
        found[part] = inspect(out / FOLDERS[part], kind).takes(length) or length
    return found
