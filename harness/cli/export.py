"""`harness export`: write the tuned models of a candidate, its pipeline as YAML and a card to a folder.

A candidate that trains nothing has no models: its pipeline, with the weights that were chosen on dev, is all of it.

The export names no path of this machine: models are copied, paths are relative, and a base model that is a folder is
named by the last part of its path. Nothing is computed or trained: models come from the store, numbers from the latest
outcome.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer
import yaml

from harness.cli.export_pipeline import (
    FOLDERS,
    RERANKER_ADAPTER,
    chosen_weights,
    exported_pipeline,
    folder_of,
    is_causal,
    public_name,
    without_paths,
)
from harness.cli.export_prompt import exported_prompt, exported_rewriter, told
from harness.cli.export_source import MeasuredSuite, find, planned_now, system_of
from harness.cli.options import MOST_SEED, Common, print_json, say, takes
from harness.errors import ConfigError, Problem
from harness.execution import endpoints
from harness.manifests import MANIFEST
from harness.models.inspection import inspect
from harness.planning.graph import Plan, SystemPlan
from harness.planning.rankings import reranker_encoder
from harness.remote.places import store_in
from harness.report.render.card import Card, TunedPart, render_card
from harness.store import Store
from harness.suite.pipeline import Pipeline
from harness.suite.recipes import Part
from harness.suite.spec import Candidate, Suite
from harness.suite.uses import CandidateUses
from harness.values.findings import SystemInfo

PIPELINE_FILE, CARD_FILE = "pipeline.yaml", "README.md"
NAMES_A_PATH = ("name_or_path", "_name_or_path", "base_model_name_or_path", "tokenizer_name_or_path")
"""Keys in which libraries store the path that a model was loaded from."""


class _Made(NamedTuple):
    """A measured system as it is planned now: the folders of its tuned parts, its weights chosen on dev, its prompt."""

    measured: MeasuredSuite
    system: SystemInfo
    plan: Plan
    planned: SystemPlan
    models: Mapping[Part, Path]
    weights: Mapping[str, float]
    prompt: Mapping[str, Any] | None


@takes("store", "as_json")
def verb(
    candidate: Annotated[str, typer.Argument(help="Name of a candidate.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; new or empty.")],
    suite: Annotated[
        str | None, typer.Option("--suite", help="Suite of the candidate, if several suites have one of that name.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=MOST_SEED, help="Training seed, if the candidate has several."),
    ] = None,
    *,
    common: Common,
) -> None:
    """Write the tuned models of a candidate, its pipeline and a model card to a folder."""
    written = export(candidate, folder, common.store, suite, seed)
    if common.as_json:
        print_json({"folder": str(folder), "files": written})
    else:
        say(f"Wrote {', '.join(written)} to {folder}.")


def export(
    candidate: str, folder: Path, store: Path, suite: str | None = None, seed: int | None = None
) -> tuple[str, ...]:
    """Write the export of a candidate into a new or empty folder; return the names of the files and folders in it.

    `suite` (a shipped name, a file or a folder) and `seed` choose among several suites or trainings with that
    candidate. Raises ConfigError if the candidate is unknown or failed, if its models are no longer in the store, or
    if they are not the measured ones.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(Problem(str(folder), "is not empty", "choose a new folder"))
    measured = find(candidate, store, suite)
    measured = measured._replace(suite=endpoints.spoken(measured.suite, store))
    system = system_of(measured.outcome, candidate, seed)
    plan, planned = planned_now(measured, system)
    kept = store_in(store)
    weights, prompt = chosen_weights(plan, planned, kept), exported_prompt(plan, planned, kept)
    made = _Made(measured, system, plan, planned, _models(planned, kept), weights, prompt)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        _write(Path(aside), made)
        written = sorted(Path(aside).iterdir())
        for path in written:
            path.rename(folder / path.name)
    return tuple(path.name for path in written)


def _models(planned: SystemPlan, store: Store) -> dict[Part, Path]:
    """The folders of the tuned parts, in the order of tuning."""
    places = {part: store.get(planned.models[part]) for part in planned.tunes}
    lost = [part for part, place in places.items() if place is None]
    if lost:
        what = f"the tuned {' and '.join(lost)} of {planned.label} {'is' if len(lost) == 1 else 'are'} not in the store"
        raise ConfigError(Problem("", what, "run the suite again"))
    return {part: place for part, place in places.items() if place is not None}


def _write(out: Path, made: _Made) -> None:
    suite, planned = made.measured.suite, made.planned
    candidate = suite.all_candidates[made.system.name]
    for part, place in made.models.items():
        _copy_model(
            place, out / folder_of(planned.settings, part), public_name(_base(suite, planned.settings, part))[0]
        )
    lengths = _lengths(planned, out)
    pipeline = exported_pipeline(planned.settings, made.models, lengths, made.weights)
    (out / PIPELINE_FILE).write_text(_pipeline_text(made, pipeline), encoding="utf-8")
    parts = []
    for part in made.models:
        base, kind = public_name(_base(suite, planned.settings, part))
        recipe = without_paths(suite.recipe(candidate, part).model_dump(mode="json"))
        form = _form(planned.settings, part)
        folder = folder_of(planned.settings, part)
        parts.append(TunedPart(part, folder, base, kind, recipe, lengths.get(part), form))
    data = without_paths(_data(suite, candidate))
    # Where nothing was trained, what was made is the index and the weights.
    behind = list(planned.models.values()) or list(planned.serving.artifacts)
    calls = frozenset(made.plan.upstream(behind))
    card = Card(made.measured.outcome, made.system, tuple(parts), data, pipeline, calls, planned.changes)
    (out / CARD_FILE).write_text(render_card(card), encoding="utf-8")


def _data(suite: Suite, candidate: Candidate) -> dict[str, Any]:
    """How the training data was made: the sections that this candidate used."""
    uses = CandidateUses(suite, "", candidate)
    return uses.data.model_dump(mode="json", include={*uses.sections, "pairs", "data_seed"})


def _base(suite: Suite, settings: Pipeline, part: Part) -> str:
    """The model that the tuning of a part started from, as the suite names it."""
    generator = suite.generator_of(settings)
    if part == "generator" and generator is not None:
        return generator.model
    named = settings.reranker.model if part == "reranker" and settings.reranker is not None else None
    return named or settings.retriever.model


def _form(settings: Pipeline, part: Part) -> str:
    """What kind of model a tuned part is."""
    return settings.reranker.kind if part == "reranker" and settings.reranker is not None else part


def _copy_model(place: Path, out: Path, base: str) -> None:
    """Copy an artifact without the store's own files; names of base models replace their paths."""
    shutil.copytree(place, out, ignore=shutil.ignore_patterns(MANIFEST, CARD_FILE), copy_function=shutil.copyfile)
    for path in out.rglob("*.json"):
        value = json.loads(path.read_text(encoding="utf-8"))
        named = [key for key in NAMES_A_PATH if isinstance(value, dict) and isinstance(value.get(key), str)]
        paths = [key for key in named if public_name(value[key])[1] == "folder"]
        if paths:
            path.write_text(json.dumps({**value, **dict.fromkeys(paths, base)}, indent=2), encoding="utf-8")


def _lengths(planned: SystemPlan, out: Path) -> dict[Part, int]:
    """Tokens that each tuned encoder was measured with: the requested number, or the limit of the model."""
    settings, lengths = planned.settings, dict[Part, int]()
    asked: dict[Part, tuple[int, Literal["bi-encoder", "cross-encoder"]]] = {}
    if "retriever" in planned.models:
        asked["retriever"] = (settings.retriever.max_length, "bi-encoder")
    rule = settings.reranker
    if "reranker" in planned.models and rule is not None:
        encoder = reranker_encoder(rule, settings.retriever)
        asked["reranker"] = (encoder.max_length, "bi-encoder") if encoder else (rule.max_length, "cross-encoder")
        if is_causal(settings):
            lengths["reranker"] = asked.pop("reranker")[0]
    for part, (length, kind) in asked.items():
        lengths[part] = inspect(out / FOLDERS[part], kind).takes(length) or length
    return lengths


def _pipeline_text(made: _Made, pipeline: Mapping[str, Any]) -> str:
    models, system = made.models, made.system
    generator, rewriter = made.planned.settings.generator, exported_rewriter(made.plan, made.planned)
    value: dict[str, Any] = {"pipeline": dict(pipeline)}
    value |= {"rewriter": without_paths(rewriter)} if rewriter else {}
    if "reranker" in models and is_causal(made.planned.settings):
        value["reranker_adapter"] = f"./{RERANKER_ADAPTER}"
    if generator is not None:
        value["adapter"] = f"./{FOLDERS['generator']}" if "generator" in models else None
        value["prompt"] = made.prompt
    folders = [
        part for part in ("retriever", "reranker", "generator") if _is_folder(made.planned.settings, part, models)
    ]
    lines = [
        f"The pipeline of {system.label}. Suite {made.measured.outcome.suite} measured it on "
        f"{made.measured.outcome.created}.",
        "`pipeline` is the section of a suite; paths are relative to this file. `adapter` belongs to the model of the",
        f"generator. {told(made.plan, made.planned)}",
        *(["`rewriter` writes a query with earlier turns so that it is understood alone."] if rewriter else []),
        *(f"{name}: the weight {weight:g} was chosen on dev." for name, weight in made.weights.items()),
        *(f"The model of the {part} was a folder on the machine of the measurement: set its path." for part in folders),
    ]
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return "".join(f"# {line}\n" for line in lines) + text


def _is_folder(settings: Pipeline, part: str, models: Mapping[Part, Path]) -> bool:
    """Whether the pipeline names a folder that is not written here; the base of an adapter never is."""
    spec = getattr(settings, part)
    adapted = part == "generator" or (part == "reranker" and is_causal(settings))
    if spec is None or spec.model is None or (part in models and not adapted):
        return False
    return public_name(spec.model)[1] == "folder"
