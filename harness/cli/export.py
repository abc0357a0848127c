"""`harness export`: the tuned models of a candidate, its pipeline as YAML and a model card, in a folder of their own.

What is written speaks of no machine: models are copies, paths are relative, a base model that was a folder is named by
its last name. Computes no number and trains nothing: models come out of the store, figures out of the latest outcome.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from harness.data.datasets import load_dataset
from harness.errors import ConfigError, Problem, nearest
from harness.execution import endpoints
from harness.models.inspection import inspect
from harness.planning import requirements
from harness.planning.graph import Plan, SystemPlan
from harness.planning.plan import build_plan
from harness.report.card import Card, Place, TunedPart, render_card
from harness.results import outcomes
from harness.stages.prompts import question_turn
from harness.store import MANIFEST, FolderStore
from harness.suite.files import load_suite
from harness.suite.recipes import Part
from harness.suite.roles import EMBEDDED_PREFIX
from harness.suite.spec import Candidate, Suite
from harness.suite.uses import reading_of
from harness.values.findings import Outcome, SystemInfo

FOLDERS: dict[Part, str] = {"retriever": "retriever", "reranker": "reranker", "generator": "generator-adapter"}
PIPELINE_FILE, CARD_FILE = "pipeline.yaml", "README.md"
NAMES_A_PATH = ("name_or_path", "_name_or_path", "base_model_name_or_path", "tokenizer_name_or_path")
"""Keys under which libraries keep the place that a model was loaded from."""


class _Found(NamedTuple):
    """The latest outcome that has a candidate, and its suite as it can be read now."""

    outcome: Outcome
    suite: Suite


def export(
    candidate: str, folder: Path, store: Path, suite: str | None = None, seed: int | None = None
) -> tuple[str, ...]:
    """Write the export of a candidate into a new or empty folder; return the names of what lies in it.

    `suite` names the suite (a shipped name, a file or a folder), if the store has outcomes of several with that
    candidate; `seed` the training, if there are several. Raises ConfigError if the candidate is unknown or failed, if
    its models are no longer in the store, or if they are others than those measured.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(Problem(str(folder), "is not empty", "name a new folder"))
    found = _find(candidate, store, suite)
    found = found._replace(suite=endpoints.spoken(found.suite, store))
    system = _system(found.outcome, candidate, seed)
    plan, planned = _planned(found, system)
    models = _models(planned, FolderStore(store / "store"))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        _write(Path(aside), found, system, plan, planned, models)
        written = sorted(Path(aside).iterdir())
        for path in written:
            path.rename(folder / path.name)
    return tuple(path.name for path in written)


def _find(candidate: str, store: Path, suite: str | None) -> _Found:
    if suite is not None:
        return _named(store, suite)
    latest = _latest(store)
    having = {name: one for name, one in latest.items() if candidate in _candidates(one)}
    if not latest:
        raise ConfigError(Problem("", f"no outcome below {store}", "run a suite first, or give --store"))
    if not having:
        known = {name for one in latest.values() for name in _candidates(one)}
        what = f"no latest outcome below {store} has a candidate {candidate!r}"
        raise ConfigError(Problem("", what, nearest(candidate, known)))
    if len(having) > 1:
        what = f"the suites {', '.join(sorted(having))} have a candidate {candidate!r} each"
        raise ConfigError(Problem("", what, "say which with --suite"))
    (outcome,) = having.values()
    return _Found(outcome, _as_measured(outcome))


def _named(store: Path, suite: str) -> _Found:
    """The suite as its file says now; as it was measured, if only its outcome is known by that name."""
    base = store / "outcomes"
    try:
        spec, _ = load_suite(suite)
    except ConfigError:
        if Path(suite).exists() or not (base / suite / "latest").is_dir():
            raise
        outcome = outcomes.read(base / suite / "latest")
        return _Found(outcome, _as_measured(outcome))
    return _Found(outcomes.read(base / spec.name / "latest"), spec)


def _latest(store: Path) -> dict[str, Outcome]:
    """The latest outcome of every suite, but for those that this version cannot read."""
    found = {}
    for folder in sorted((store / "outcomes").glob("*/latest")):
        try:
            found[folder.parent.name] = outcomes.read(folder)
        except ConfigError:
            continue
    return found


def _as_measured(outcome: Outcome) -> Suite:
    hint = "give the suite file with --suite"
    try:
        suite = Suite.model_validate(outcome.spec)
    except ValidationError as error:
        what = f"the suite {outcome.suite} cannot be read out of its outcome"
        raise ConfigError(Problem("", what, hint)) from error
    path = suite.dataset.path
    if path is not None and not Path(path).is_dir():
        raise ConfigError(Problem("", f"the data set of the suite {outcome.suite} is not found from here", hint))
    return suite


def _candidates(outcome: Outcome) -> set[str]:
    return {system.name for system in outcome.systems if system.role == "candidate"}


def _system(outcome: Outcome, candidate: str, seed: int | None) -> SystemInfo:
    where = f"suite {outcome.suite}"
    rows = {one.seed: one for one in outcome.systems if one.name == candidate}
    if any(one.role == "baseline" for one in rows.values()):
        raise ConfigError(
            Problem(where, f"{candidate!r} is a reference row: nothing is tuned in it", "name a candidate")
        )
    if not rows:
        what = f"no candidate {candidate!r} in the latest outcome"
        raise ConfigError(Problem(where, what, nearest(candidate, _candidates(outcome)) or "run the suite first"))
    if seed is None and len(rows) > 1:
        seeds = ", ".join(map(str, sorted(rows)))
        raise ConfigError(Problem(where, f"{candidate!r} was trained with the seeds {seeds}", "say which with --seed"))
    if seed is not None and seed not in rows:
        what = f"{candidate!r} was not trained with seed {seed}"
        raise ConfigError(Problem(where, what, f"trained with: {', '.join(map(str, sorted(rows)))}"))
    system = rows[next(iter(rows)) if seed is None else seed]
    if system.failed:
        raise ConfigError(
            Problem(where, f"{system.label} failed: {system.failed}", "mend that and run the suite again")
        )
    return system


def _planned(found: _Found, system: SystemInfo) -> tuple[Plan, SystemPlan]:
    """The plan of this system as it would be made now; refused if it is another than the one measured."""
    suite = found.suite.model_copy(update={"seeds": (system.seed,)})
    differs = Problem(
        f"suite {suite.name}",
        f"{system.label} is no longer what was measured: its settings, data, models, libraries or device have changed",
        "run the suite again",
    )
    if system.name not in suite.all_candidates:
        raise ConfigError(differs)
    requirements.apply_device(suite)
    plan = build_plan(suite, load_dataset(suite.dataset, suite.evaluate.split, reading_of(suite)))
    planned = plan.system(system.label)
    if planned.identity != system.identity:
        raise ConfigError(differs)
    return plan, planned


def _models(planned: SystemPlan, store: FolderStore) -> dict[Part, Path]:
    """The folders of the tuned parts, in the order in which they were tuned."""
    places = {part: store.get(planned.models[part]) for part in planned.tunes}
    lost = [part for part, place in places.items() if place is None]
    if lost:
        what = f"the tuned {' and '.join(lost)} of {planned.label} {'is' if len(lost) == 1 else 'are'} not in the store"
        raise ConfigError(Problem("", what, "run the suite again"))
    return {part: place for part, place in places.items() if place is not None}


def _write(
    out: Path, found: _Found, system: SystemInfo, plan: Plan, planned: SystemPlan, models: Mapping[Part, Path]
) -> None:
    suite = found.suite
    candidate = suite.all_candidates[system.name]
    for part, place in models.items():
        _copy_model(place, out / FOLDERS[part], _public(_base(suite, candidate, part))[0])
    lengths = _lengths(plan, planned, out)
    pipeline = _pipeline(suite, models, lengths)
    (out / PIPELINE_FILE).write_text(_pipeline_text(found, system, pipeline, models), encoding="utf-8")
    parts = []
    for part in models:
        base, kind = _public(_base(suite, candidate, part))
        recipe = _without_paths(suite.recipe(candidate, part).model_dump(mode="json"))
        parts.append(TunedPart(part, FOLDERS[part], base, kind, recipe, lengths.get(part)))
    data = _without_paths(_data(suite, candidate))
    calls = frozenset(plan.upstream(list(planned.models.values())))
    card = Card(found.outcome, system, tuple(parts), data, pipeline, calls)
    (out / CARD_FILE).write_text(render_card(card), encoding="utf-8")


def _data(suite: Suite, candidate: Candidate) -> dict[str, Any]:
    """How the training data was made: the sections that this candidate used."""
    making, tune = suite.making(candidate), set(candidate.tune)
    distills = "retriever" in tune and suite.recipe(candidate, "retriever").recipe == "distill"
    used = {
        "synthesize": requirements.synthesizes(suite, candidate),
        "mine": bool({"retriever", "reranker"} & tune),
        "label": "reranker" in tune or distills,
        "instruct": "generator" in tune,
    }
    return making.model_dump(mode="json", exclude={name for name, wanted in used.items() if not wanted})


def _base(suite: Suite, candidate: Candidate, part: Part) -> str:
    """The name of the model that the tuning of a part started from, as the suite has it."""
    given = getattr(suite.pipeline, part)
    model: str = given.model if given is not None else getattr(suite.recipe(candidate, part), "model")  # noqa: B009
    return model


def _public(model: str) -> tuple[str, Place]:
    """What a model is called away from this machine, and where it is to be had: of a folder the last name only."""
    if model.startswith(EMBEDDED_PREFIX):
        return model, "package"
    path = Path(model).expanduser()
    return (path.resolve().name, "folder") if path.is_dir() or path.is_absolute() else (model, "hub")


def _without_paths(value: Any, key: str = "") -> Any:
    """A section of a suite with models named as they are called away from this machine."""
    if isinstance(value, Mapping):
        return {name: _without_paths(item, str(name)) for name, item in value.items()}
    return _public(value)[0] if key in ("model", "teacher_model") and isinstance(value, str) else value


def _copy_model(place: Path, out: Path, base: str) -> None:
    """Copy an artifact without what the store added to it; names of base models take the place of paths."""
    shutil.copytree(place, out, ignore=shutil.ignore_patterns(MANIFEST, CARD_FILE), copy_function=shutil.copyfile)
    for path in out.rglob("*.json"):
        value = json.loads(path.read_text(encoding="utf-8"))
        named = [key for key in NAMES_A_PATH if isinstance(value, dict) and isinstance(value.get(key), str)]
        paths = [key for key in named if _public(value[key])[1] == "folder"]
        if paths:
            path.write_text(json.dumps({**value, **dict.fromkeys(paths, base)}, indent=2), encoding="utf-8")


def _lengths(plan: Plan, planned: SystemPlan, out: Path) -> dict[Part, int]:
    """Tokens that each tuned encoder was measured with: as asked for, and at most what the model can take."""
    asked: dict[Part, int] = {"retriever": plan.suite.pipeline.retriever.max_length}
    reranker = planned.models.get("reranker")
    for one in plan.calls.values():
        if one.call.stage == "rerank" and reranker is not None and one.call.inputs.get("model") == reranker:
            asked["reranker"] = one.call.spec["max_length"]
    found: dict[Part, int] = {}
    for part, length in asked.items():
        seen = inspect(out / FOLDERS[part], "bi-encoder" if part == "retriever" else "cross-encoder")
        found[part] = seen.takes(length) or length
    return found


def _pipeline(suite: Suite, models: Mapping[Part, Path], lengths: Mapping[Part, int]) -> dict[str, Any]:
    """The section `pipeline` with tuned models by their folders; a reranker that the suite lacked is there if tuned."""
    section: dict[str, Any] = _without_paths(suite.pipeline.model_dump(mode="json"))
    for part in ("retriever", "reranker"):
        if part in models:
            section[part] = {**(section[part] or {}), "model": f"./{FOLDERS[part]}", "max_length": lengths[part]}
    return section


def _pipeline_text(found: _Found, system: SystemInfo, pipeline: Mapping[str, Any], models: Mapping[Part, Path]) -> str:
    generator = found.suite.pipeline.generator
    value: dict[str, Any] = {"pipeline": dict(pipeline)}
    if generator is not None:
        user = question_turn("{question}", ["{passages}"]).replace("[1] {passages}", "{passages}")
        value["adapter"] = f"./{FOLDERS['generator']}" if "generator" in models else None
        value["prompt"] = {"system": generator.instruction, "user": user, "abstention": found.suite.abstention_sentence}
    folders = [part for part in ("retriever", "reranker", "generator") if _is_folder(found.suite, part, models)]
    lines = [
        f"The pipeline of {system.label} as the suite {found.outcome.suite} measured it on {found.outcome.created}.",
        "`pipeline` has the form of a suite's section; paths start where this file lies. `adapter` goes on the model",
        "of the generator. In `prompt`, {passages} are the first `context` ones as `[1] text`, an empty line between.",
        *(f"The model of the {part} was a folder where this was measured: put its path." for part in folders),
    ]
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return "".join(f"# {line}\n" for line in lines) + text


def _is_folder(suite: Suite, part: str, models: Mapping[Part, Path]) -> bool:
    """Whether the pipeline names a folder that is not written here; a generator's base never is."""
    given = getattr(suite.pipeline, part)
    return given is not None and (part == "generator" or part not in models) and _public(given.model)[1] == "folder"
