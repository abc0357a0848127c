"""`harness export`: write the tuned models of a candidate, its pipeline as YAML and a model card to a folder.

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
from typing import Annotated, Any

import typer
import yaml

from harness.cli.export_source import MeasuredSuite, find, planned_now, system_of
from harness.cli.options import MOST_SEED, Common, print_json, say, takes
from harness.errors import ConfigError, Problem
from harness.execution import endpoints
from harness.models.inspection import inspect
from harness.planning.graph import Plan, SystemPlan
from harness.report.render.card import Card, Place, TunedPart, render_card
from harness.stages.shared.prompts import question_turn
from harness.store import MANIFEST, Store, store_in
from harness.suite.pipeline import OF_ONE_KIND, Pipeline
from harness.suite.recipes import Part
from harness.suite.roles import EMBEDDED_PREFIX
from harness.suite.spec import Candidate, Suite
from harness.suite.uses import CandidateUses
from harness.values.findings import SystemInfo

FOLDERS: dict[Part, str] = {"retriever": "retriever", "reranker": "reranker", "generator": "generator-adapter"}
RERANKER_ADAPTER = "reranker-adapter"
"""The folder of a tuned reranker that is an adapter for a causal language model."""
PIPELINE_FILE, CARD_FILE = "pipeline.yaml", "README.md"
NAMES_A_PATH = ("name_or_path", "_name_or_path", "base_model_name_or_path", "tokenizer_name_or_path")
"""Keys in which libraries store the path that a model was loaded from."""


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
    models = _models(planned, store_in(store))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        _write(Path(aside), measured, system, plan, planned, models)
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


def _write(
    out: Path, measured: MeasuredSuite, system: SystemInfo, plan: Plan, planned: SystemPlan, models: Mapping[Part, Path]
) -> None:
    suite = measured.suite
    candidate = suite.all_candidates[system.name]
    settings = planned.settings
    folders = {**FOLDERS, "reranker": RERANKER_ADAPTER} if _is_causal(settings) else FOLDERS
    for part, place in models.items():
        _copy_model(place, out / folders[part], _public(_base(settings, part))[0])
    lengths = _lengths(plan, planned, out)
    pipeline = _pipeline(settings, models, lengths)
    text = _pipeline_text(measured, system, settings, pipeline, models)
    (out / PIPELINE_FILE).write_text(text, encoding="utf-8")
    parts = []
    for part in models:
        base, kind = _public(_base(settings, part))
        recipe = _without_paths(suite.recipe(candidate, part).model_dump(mode="json"))
        form = "causal-lm" if part == "reranker" and _is_causal(settings) else ""
        parts.append(TunedPart(part, folders[part], base, kind, recipe, lengths.get(part), form))
    data = _without_paths(_data(suite, candidate))
    calls = frozenset(plan.upstream(list(planned.models.values())))
    card = Card(measured.outcome, system, tuple(parts), data, pipeline, calls)
    (out / CARD_FILE).write_text(render_card(card), encoding="utf-8")


def _data(suite: Suite, candidate: Candidate) -> dict[str, Any]:
    """How the training data was made: the sections that this candidate used."""
    uses = CandidateUses(suite, "", candidate)
    return uses.data.model_dump(mode="json", include={*uses.sections, "pairs", "data_seed"})


def _base(settings: Pipeline, part: Part) -> str:
    """The model that the tuning of a part started from; late interaction without a model takes the retriever's."""
    model: str | None = getattr(settings, part).model
    return model if model is not None else settings.retriever.model


def _is_causal(settings: Pipeline) -> bool:
    """Whether the reranker is a causal language model, of which only an adapter is tuned."""
    return settings.reranker is not None and settings.reranker.kind == "causal-lm"


def _public(model: str) -> tuple[str, Place]:
    """The name of a model on other machines, and its source; of a folder only the last part of its path."""
    if model.startswith(EMBEDDED_PREFIX):
        return model, "package"
    path = Path(model).expanduser()
    return (path.resolve().name, "folder") if path.is_dir() or path.is_absolute() else (model, "hub")


def _without_paths(value: Any, key: str = "") -> Any:
    """A section of a suite with the names of models on other machines."""
    if isinstance(value, Mapping):
        return {name: _without_paths(item, str(name)) for name, item in value.items()}
    return _public(value)[0] if key in ("model", "teacher_model") and isinstance(value, str) else value


def _copy_model(place: Path, out: Path, base: str) -> None:
    """Copy an artifact without the store's own files; names of base models replace their paths."""
    shutil.copytree(place, out, ignore=shutil.ignore_patterns(MANIFEST, CARD_FILE), copy_function=shutil.copyfile)
    for path in out.rglob("*.json"):
        value = json.loads(path.read_text(encoding="utf-8"))
        named = [key for key in NAMES_A_PATH if isinstance(value, dict) and isinstance(value.get(key), str)]
        paths = [key for key in named if _public(value[key])[1] == "folder"]
        if paths:
            path.write_text(json.dumps({**value, **dict.fromkeys(paths, base)}, indent=2), encoding="utf-8")


def _lengths(plan: Plan, planned: SystemPlan, out: Path) -> dict[Part, int]:
    """Tokens that each tuned encoder was measured with: the requested number, or the limit of the model."""
    asked: dict[Part, int] = {"retriever": planned.settings.retriever.max_length}
    reranker = planned.models.get("reranker")
    for planned_call in plan.calls.values():
        if (
            planned_call.call.stage == "rerank"
            and reranker is not None
            and reranker in (planned_call.call.inputs.get(name) for name in ("model", "adapter"))
        ):
            asked["reranker"] = planned_call.call.spec["max_length"]
    lengths: dict[Part, int] = {}
    for part, length in asked.items():
        if part == "reranker" and _is_causal(planned.settings):
            lengths[part] = length
            continue
        inspection = inspect(out / FOLDERS[part], "bi-encoder" if part == "retriever" else "cross-encoder")
        lengths[part] = inspection.takes(length) or length
    return lengths


def _pipeline(settings: Pipeline, models: Mapping[Part, Path], lengths: Mapping[Part, int]) -> dict[str, Any]:
    """The section `pipeline` with the folders of tuned models; an adapter leaves the name of its base."""
    section: dict[str, Any] = _without_paths(settings.model_dump(mode="json"))
    if settings.reranker is not None:
        other = {name for name, kind in OF_ONE_KIND.items() if kind != settings.reranker.kind}
        section["reranker"] = {name: value for name, value in section["reranker"].items() if name not in other}
    for part in ("retriever", "reranker"):
        if part in models and not (part == "reranker" and _is_causal(settings)):
            section[part] = {**(section[part] or {}), "model": f"./{FOLDERS[part]}", "max_length": lengths[part]}
    return section


def _pipeline_text(
    measured: MeasuredSuite,
    system: SystemInfo,
    settings: Pipeline,
    pipeline: Mapping[str, Any],
    models: Mapping[Part, Path],
) -> str:
    generator = settings.generator
    value: dict[str, Any] = {"pipeline": dict(pipeline)}
    if "reranker" in models and _is_causal(settings):
        value["reranker_adapter"] = f"./{RERANKER_ADAPTER}"
    if generator is not None:
        user = question_turn("{question}", ["{passages}"]).replace("[1] {passages}", "{passages}")
        value["adapter"] = f"./{FOLDERS['generator']}" if "generator" in models else None
        value["prompt"] = {
            "system": generator.instruction,
            "user": user,
            "abstention": measured.suite.abstention_sentence,
        }
    folders = [part for part in ("retriever", "reranker", "generator") if _is_folder(settings, part, models)]
    lines = [
        f"The pipeline of {system.label}. Suite {measured.outcome.suite} measured it on {measured.outcome.created}.",
        "`pipeline` is the section of a suite; paths are relative to this file. `adapter` belongs to the model of the",
        "generator. In `prompt`, {passages} are the first `context` passages as `[1] text`, separated by empty lines.",
        *(f"The model of the {part} was a folder on the machine of the measurement: set its path." for part in folders),
    ]
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return "".join(f"# {line}\n" for line in lines) + text


def _is_folder(settings: Pipeline, part: Part, models: Mapping[Part, Path]) -> bool:
    """Whether the pipeline names a folder that is not written here; the base of an adapter never is."""
    spec = getattr(settings, part)
    adapted = part == "generator" or (part == "reranker" and _is_causal(settings))
    named = spec is not None and spec.model is not None
    return named and (adapted or part not in models) and _public(spec.model)[1] == "folder"
