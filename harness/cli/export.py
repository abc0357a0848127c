"""`harness export`: write the tuned models of a candidate, its pipeline as YAML and a card to a folder.

A candidate that trains nothing has no models: its pipeline, with the weights that were chosen on dev, is all of it.

The export names no path of this machine: models are copied, paths are relative, and a base model that is a folder is
named by the last part of its path. Nothing is trained: models come from the store, numbers from the latest outcome.
Only what converted encoders lose is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
import yaml

from harness.cli import export_forms
from harness.cli.export_forms import PLAIN, TOLERANCE, Forms, Wanted
from harness.cli.export_models import CARD_FILE, base_of, copy_model, form_of, lengths, name_base
from harness.cli.export_pipeline import (
    FOLDERS,
    MERGED,
    RERANKER_ADAPTER,
    chosen_weights,
    exported_pipeline,
    folder_of,
    is_causal,
    public_name,
    without_paths,
)
from harness.cli.export_prompt import exported_prompt, exported_rewriter, told
from harness.cli.export_push import check_repository, push_export
from harness.cli.export_source import MeasuredSuite, find, planned_now, system_of
from harness.cli.options import MOST_SEED, Common, print_json, say, takes
from harness.errors import ConfigError, Problem
from harness.execution import endpoints
from harness.files import can_be_replaced, written_folder
from harness.planning.graph import Plan, SystemPlan
from harness.remote.places import store_in
from harness.report.render.card import Card, TunedPart, render_card
from harness.report.render.model_index import EVAL_RESULTS, eval_results
from harness.store import Store
from harness.suite.pipeline import Pipeline
from harness.suite.recipes import Part
from harness.suite.spec import Candidate, Suite
from harness.suite.uses import CandidateUses
from harness.values.exported import FORMS
from harness.values.findings import SystemInfo

PIPELINE_FILE = "pipeline.yaml"


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
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="Name of a candidate.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; new or empty.")],
    suite: Annotated[
        str | None, typer.Option("--suite", help="Suite of the candidate, if several suites have one of that name.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=MOST_SEED, help="Training seed, if the candidate has several."),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="NAME", help=f"Also write: {', '.join(FORMS)}; may be repeated."),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option("--tolerance", min=0.0, max=1.0, help="Loss of a measure above which an encoder is refused."),
    ] = TOLERANCE,
    push: Annotated[
        str | None, typer.Option("--push", metavar="OWNER/NAME", help="Upload the export to a repository of the hub.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Make a new repository public; it is private otherwise.")
    ] = False,
    with_questions: Annotated[
        bool, typer.Option("--with-questions", help="Allow questions of the dataset in what is uploaded.")
    ] = False,
    *,
    common: Common,
) -> None:
    """Write the tuned models of a candidate, its pipeline and a model card to a folder."""
    asked = export_forms.wanted(formats or (), tolerance)
    if push is not None:
        check_repository(push)
    written = export(candidate, folder, common.store, suite, seed, asked)
    address = push_export(folder, push, find(candidate, common.store, suite), public, with_questions) if push else ""
    if common.as_json:
        print_json({"folder": str(folder), "files": written, **({"repository": address} if address else {})})
        return
    say(f"Wrote {', '.join(written)} to {folder}.")
    if address:
        say(f"Uploaded it to {address}.")


def export(
    candidate: str, folder: Path, store: Path, suite: str | None = None, seed: int | None = None,
    asked: Wanted = PLAIN,
) -> tuple[str, ...]:  # fmt: skip
    """Write the export of a candidate as a new or empty folder; return the names of the files and folders in it.

    The folder is there whole or not at all. `suite` (a shipped name, a file or a folder) and `seed` choose among
    several suites or trainings with that candidate. Raises ConfigError if the candidate is unknown or failed, if its
    models are no longer in the store or not the measured ones, or if a converted model loses too much.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(Problem(str(folder), "is not empty", "choose a new folder"))
    if not can_be_replaced(folder):
        what = "is the current folder or a mount point, and an export is put in place as a whole"
        raise ConfigError(Problem(str(folder), what, "name a new folder in it"))
    measured = find(candidate, store, suite)
    measured = measured._replace(suite=endpoints.spoken(measured.suite, store))
    system = system_of(measured.outcome, candidate, seed)
    plan, planned = planned_now(measured, system)
    export_forms.check(asked, planned)
    kept = store_in(store)
    weights, prompt = chosen_weights(plan, planned, kept), exported_prompt(plan, planned, kept)
    made = _Made(measured, system, plan, planned, _models(planned, kept), weights, prompt)
    with written_folder(folder.resolve()) as out:
        _write(out, made, kept, asked)
        return tuple(sorted(path.name for path in out.iterdir()))


def _models(planned: SystemPlan, store: Store) -> dict[Part, Path]:
    """The folders of the tuned parts, in the order of tuning."""
    places = {part: store.get(planned.models[part]) for part in planned.tunes}
    lost = [part for part, place in places.items() if place is None]
    if lost:
        what = f"the tuned {' and '.join(lost)} of {planned.label} {'is' if len(lost) == 1 else 'are'} not in the store"
        raise ConfigError(Problem("", what, "run the suite again"))
    return {part: place for part, place in places.items() if place is not None}


def _write(out: Path, made: _Made, store: Store, asked: Wanted) -> None:
    suite, settings = made.measured.suite, made.planned.settings
    for part, place in made.models.items():
        copy_model(place, out / folder_of(settings, part), public_name(base_of(suite, settings, part))[0])
    measured_with = lengths(made.planned, out)
    forms = export_forms.write(out, made.measured, made.planned, store, measured_with.get("retriever"), asked)
    if forms.merged is not None:
        name_base(out / MERGED, public_name(base_of(suite, settings, "generator"))[0])
    pipeline = exported_pipeline(settings, made.models, measured_with, made.weights)
    (out / PIPELINE_FILE).write_text(_pipeline_text(made, pipeline), encoding="utf-8")
    (out / CARD_FILE).write_text(render_card(_card(made, pipeline, measured_with, forms)), encoding="utf-8")
    if entries := eval_results(made.measured.outcome, made.system):
        (out / EVAL_RESULTS).mkdir()
        text = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
        (out / EVAL_RESULTS / f"{made.measured.outcome.suite}.yaml").write_text(text, encoding="utf-8")


def _card(made: _Made, pipeline: Mapping[str, Any], measured_with: Mapping[Part, int], forms: Forms) -> Card:
    suite, planned = made.measured.suite, made.planned
    candidate = suite.all_candidates[made.system.name]
    parts = []
    for part in made.models:
        base, kind = public_name(base_of(suite, planned.settings, part))
        recipe = without_paths(suite.recipe(candidate, part).model_dump(mode="json"))
        form, folder = form_of(planned.settings, part), folder_of(planned.settings, part)
        parts.append(TunedPart(part, folder, base, kind, recipe, measured_with.get(part), form))
    data = without_paths(_data(suite, candidate))
    # Where nothing was trained, what was made is the index and the weights.
    behind = list(planned.models.values()) or list(planned.serving.artifacts)
    calls = frozenset(made.plan.upstream(behind))
    return Card(
        made.measured.outcome, made.system, tuple(parts), data, pipeline, calls, planned.changes,
        encoders=forms.encoders, merged=forms.merged,
    )  # fmt: skip


def _data(suite: Suite, candidate: Candidate) -> dict[str, Any]:
    """How the training data was made: the sections that this candidate used."""
    uses = CandidateUses(suite, "", candidate)
    return uses.data.model_dump(mode="json", include={*uses.sections, "pairs", "data_seed"})


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
