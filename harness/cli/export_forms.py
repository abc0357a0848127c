"""The other forms that an export writes of its tuned models: a merged generator, and encoders for other runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from harness.cli.export_pipeline import FOLDERS, MERGED
from harness.cli.export_source import MeasuredSuite
from harness.data.datasets import load_dataset
from harness.errors import ConfigError, Problem, nearest
from harness.hashing import by_hash
from harness.models.loaders import locate
from harness.planning.graph import SystemPlan
from harness.store import Store
from harness.suite.uses import reading_of
from harness.values.exported import FORMS, ConvertedEncoder, Form, MergedGenerator
from harness.values.measures import Measure, parse

TOLERANCE = 0.01
"""Of a measure from 0 to 1: half of what most suites call a difference."""
RETRIEVAL = "ndcg@10"


class Forms(NamedTuple):
    """What was converted, with what it lost."""

    encoders: tuple[ConvertedEncoder, ...] = ()
    merged: MergedGenerator | None = None


class Wanted(NamedTuple):
    """The forms to write, and the loss of a measure that an encoder may have."""

    forms: tuple[Form, ...] = ()
    tolerance: float = TOLERANCE


PLAIN = Wanted()
"""Models as they were tuned, and nothing else."""


def wanted(names: Sequence[str], tolerance: float = TOLERANCE) -> Wanted:
    """Return the forms of some names, each once; raise ConfigError for a name that is none."""
    if unknown := [name for name in names if name not in FORMS]:
        raise ConfigError(Problem("--format", f"no format {unknown[0]!r}", nearest(unknown[0], FORMS)))
    return Wanted(tuple(form for form in FORMS if form in names), tolerance)


def check(asked: Wanted, planned: SystemPlan) -> None:
    """Raise ConfigError, or ModelMissing, if a system has no model for a form, or something is not installed."""
    from harness.deploy.graphs import check_installed

    for form in asked.forms:
        if form == "merged":
            if "generator" not in planned.tunes:
                raise ConfigError(Problem(f"--format {form}", f"{planned.label} tunes no generator", "leave it out"))
            continue
        if "retriever" not in planned.tunes:
            raise ConfigError(Problem(f"--format {form}", f"{planned.label} tunes no retriever", "leave it out"))
        kind = planned.settings.retriever.kind
        if kind != "dense":
            what = f"the retriever of {planned.label} is of kind {kind}, and only dense ones are converted"
            raise ConfigError(Problem(f"--format {form}", what, "leave it out"))
        check_installed(form)


def write(
    out: Path, measured: MeasuredSuite, planned: SystemPlan, store: Store, max_length: int | None, asked: Wanted
) -> Forms:
    """Write the forms into an export whose tuned models are there; `max_length` is that of its retriever.

    Raises ConfigError if a form loses too much.
    """
    suite = measured.suite
    if not asked.forms:
        return Forms()
    dataset = load_dataset(suite.dataset, suite.evaluate.split, reading_of(suite))
    converted: list[ConvertedEncoder] = []
    merged = None
    if encoders := [form for form in asked.forms if form != "merged"]:
        from harness.deploy.encoders import Conversion, convert
        from harness.deploy.losses import sample_of

        retriever = planned.settings.retriever
        sample = sample_of(dataset, _measure(measured), suite.evaluate.split)
        length = max_length or retriever.max_length
        converted = convert(
            Conversion(out / FOLDERS["retriever"], retriever, length, sample, asked.tolerance), encoders
        )
    if "merged" in asked.forms:
        from harness.deploy.merging import write_merged

        texts = [dataset.documents[doc_id].content for doc_id in by_hash(dataset.documents)]
        base = _base(measured, planned, store)
        merged = write_merged(base, out / FOLDERS["generator"], out / MERGED, texts)
    return Forms(tuple(converted), merged)


def _measure(measured: MeasuredSuite) -> Measure:
    """The first gated rank measure of the suite that counts documents."""
    gated = (measure for measure in measured.suite.margins if measure.is_rank and not measure.in_words)
    return next(gated, parse(RETRIEVAL))


def _base(measured: MeasuredSuite, planned: SystemPlan, store: Store) -> Path:
    """The folder of the model that the generator's adapter goes on: of a GGUF model, its plain form."""
    if planned.serving.generator is not None:
        place = store.get(planned.serving.generator)
        if place is None:
            what = f"the converted base of {planned.label} is not in the store"
            raise ConfigError(Problem("", what, "run the suite again"))
        return place
    generator = measured.suite.generator_of(planned.settings)
    assert generator is not None
    return locate(generator.model)
