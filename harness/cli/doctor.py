"""What `harness doctor` checks: devices, memory, disk, models, endpoints, and what a suite needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness import provenance
from harness.data.datasets import Dataset, load_dataset
from harness.errors import HarnessError
from harness.execution import endpoints
from harness.models.loaders import EMBEDDED, locate
from harness.planning import requirements
from harness.planning.plan import build_plan
from harness.remarks import data
from harness.remarks import models as told
from harness.suite.files import load_suite
from harness.suite.roles import EMBEDDED_PREFIX
from harness.suite.secrets import mask
from harness.suite.sources import DatasetSource as Rule
from harness.suite.sources import ReadingRule
from harness.suite.spec import Suite
from harness.suite.uses import endpoint_roles, models_named, reading_elsewhere, reading_of

LEAST_DISK = 3.0
LEAST_MEMORY = 4.0
IMPORTS = ("torch", "transformers", "sentence-transformers", "peft", "trl", "bm25s", "ranx", "ragas")
OPTIONAL = {"bitsandbytes": "needed by recipe qlora alone"}


class Finding(NamedTuple):
    """One check: fine, worth knowing, or in the way."""

    what: str
    state: str
    said: str


def examine(suite: str | None, store: Path, console: Console) -> bool:
    """Print every finding; return False if something is in the way."""
    findings = list(_findings(suite, store))
    table = Table(title="harness doctor", box=SIMPLE_HEAD)
    for column in ("check", "state", "finding"):
        table.add_column(column, overflow="fold")
    colours = {"ok": "green", "note": "yellow", "missing": "red"}
    for finding in findings:
        table.add_row(escape(finding.what), f"[{colours[finding.state]}]{finding.state}[/]", escape(finding.said))
    console.print(table)
    return all(finding.state != "missing" for finding in findings)


def _findings(suite: str | None, store: Path) -> Iterator[Finding]:
    yield Finding("machine", "ok", provenance.machine_class())
    yield _device()
    free = shutil.disk_usage(_existing(store)).free / 2**30
    state = "ok" if free >= LEAST_DISK else "missing"
    yield Finding("disk", state, f"{free:.0f} GiB free where {store} lies; {LEAST_DISK:.0f} are wanted")
    memory = psutil.virtual_memory().available / 2**30
    yield Finding("memory", "ok" if memory >= LEAST_MEMORY else "note", f"{memory:.0f} GiB free now")
    for name in IMPORTS:
        found = provenance.package_version(name)
        yield Finding(name, "missing" if found == "absent" else "ok", found)
    for name, use in OPTIONAL.items():
        found = provenance.package_version(name)
        yield Finding(name, "note" if found == "absent" else "ok", f"{found}; {use}")
    for model in EMBEDDED:
        yield _asked(f"model {EMBEDDED_PREFIX}{model}", lambda model=model: locate(EMBEDDED_PREFIX + model))  # type: ignore[misc]
    url, key = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
    said = f"{mask(url) if url else 'the default endpoint'}, {'with a key' if key else 'without a key'}"
    there = bool(url or key)
    yield Finding("LLM endpoint", "ok" if there else "note", said if there else "none configured in the environment")
    if suite is not None:
        yield from _suite(suite, store)


def _device() -> Finding:
    name = provenance.device_class()
    return Finding("device", "ok" if name != "cpu" else "note", name if name != "cpu" else "no GPU: training is slow")


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _asked(what: str, question: Callable[[], object]) -> Finding:
    try:
        question()
    except HarnessError as error:
        return Finding(what, "missing", str(error))
    return Finding(what, "ok", "found")


def _suite(name: str, store: Path) -> Iterator[Finding]:
    """What `harness run` would refuse about a suite, and the models that it found."""
    what = f"suite {name}"
    try:
        suite, path = load_suite(name)
    except HarnessError as error:
        yield from _refused(what, error)
        return
    dataset, found = _dataset(what, path.name, suite.dataset, reading_of(suite))
    yield from found
    if suite.forgetting is not None:
        yield from _dataset(what, "forgetting", suite.forgetting.dataset, reading_elsewhere(suite.forgetting))[1]
    requirements.apply_device(suite)
    try:
        requirements.check(suite)
        if dataset is not None:
            build_plan(suite, dataset)
    except HarnessError as error:
        yield from _refused(what, error)
        return
    for model, keys in models_named(suite).items():
        yield Finding(f"model {model}", "ok", f"found; named by {', '.join(keys)}")
    for seen in requirements.prompted(suite):
        yield Finding(f"model {seen.model}", "ok", seen.placed)
        yield from (Finding(f"model {seen.model}", "note", said) for said in seen.notes)
    for name, used in told.settings(suite).items():
        yield Finding(name, "ok", used)
    for remark in told.before(suite):
        yield Finding(what, "note", remark)
    yield from _endpoints(suite, store)


def _dataset(what: str, where: str, rule: Rule, reading: ReadingRule) -> tuple[Dataset | None, list[Finding]]:
    """The data set, if it can be read, and what is said of it."""
    split = reading.scored or "test"
    try:
        dataset = load_dataset(rule, split, reading)
    except HarnessError as error:
        return None, list(_refused(what, error))
    found = [Finding(what, "ok", f"{where}: {len(dataset.documents):,} documents")]
    return dataset, found + [Finding(what, "note", line) for line in data.told(dataset, split)]


def _endpoints(suite: Suite, store: Path) -> Iterator[Finding]:
    """Every role that asks an endpoint, asked one small question."""
    from harness.llm import preflight
    from harness.llm.dialects import known_dialect
    from harness.remarks import endpoints as remarks

    services, seen = endpoints.services_of(suite, store), set[str]()
    for role in endpoint_roles(suite):
        what, llm = f"llm.{role}", services.roles[role]
        known = known_dialect(llm, services.folder)
        problem = preflight.check(role, services, endpoints.shape_of(role, suite), known.place not in seen)
        seen.add(known.place)
        told = [*remarks.changed(llm, known.dialect), *remarks.quiet(llm, known.dialect)]
        said = str(problem) if problem else "; ".join([f"{llm.model} answers", *told])
        kept = dict.fromkeys(known.dialect.reasons.values()) if told and not problem else {}
        said += f" (the server said: {'; '.join(kept)})" if kept else ""
        yield Finding(what, "missing" if problem else "note" if told else "ok", said)
    if any(measure.is_judged for measure in suite.measures) and suite.llm.judge is None:
        yield Finding("llm.judge", "note", "none configured: LLM-judged measures are not run")


def _refused(what: str, error: HarnessError) -> Iterator[Finding]:
    for problem in error.problems:
        yield Finding(what, "missing", str(problem))
