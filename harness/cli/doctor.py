"""`harness doctor`: check devices, memory, disk, packages, models and endpoints, and what a suite needs."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import psutil
import typer
from rich.console import Console
from rich.text import Text

from harness import extras, provenance
from harness.cli import layout
from harness.cli.options import Common, console, print_json, takes
from harness.data.datasets import Dataset, load_dataset
from harness.errors import DatasetMissing, HarnessError, ModelMissing
from harness.execution import endpoints
from harness.llm.dialects import known_dialect
from harness.models import precision
from harness.models.loaders import EMBEDDED, locate
from harness.planning import requirements
from harness.planning.plan import build_plan
from harness.remarks import conversations, data, models, passages, sample_size
from harness.report import format
from harness.suite.files import load_suite
from harness.suite.roles import EMBEDDED_PREFIX
from harness.suite.secrets import mask
from harness.suite.served_uses import served_uses
from harness.suite.sources import DatasetSource as Rule
from harness.suite.sources import ReadingRule
from harness.suite.spec import Suite
from harness.suite.uses import endpoint_roles, models_named, reading_elsewhere, reading_of, shows_examples

LEAST_DISK = 3.0
LEAST_MEMORY = 4.0
IMPORTS = {
    "torch": "local", "transformers": "local", "sentence-transformers": "local", "peft": "local", "trl": "local",
    "bm25s": "", "ranx": "", "ragas": "ragas",
}  # fmt: skip
"""Distribution -> the extra that brings it; none for the base install."""
USES = {"local": "to run models on this machine", "ragas": "for measures of ragas"}
OPTIONAL = {"bitsandbytes": "only for the recipe qlora"}


State = Literal["ok", "note", "missing", "error"]
COLOURS: dict[State, str] = {"ok": "green", "note": "yellow", "missing": "red", "error": "red"}
FAILING: tuple[State, ...] = ("missing", "error")
PROBLEMS = "To fix first"
MACHINE, PACKAGES, MODELS, ENDPOINTS = "Machine", "Packages", "Models", "Endpoints"


class Finding(NamedTuple):
    """One check. Findings of a group are printed together.

    `missing` is what is not on this machine, such as a model or a dataset; `error` is what is wrong, such as a suite.
    """

    group: str
    what: str
    state: State
    detail: str


@takes("store", "as_json")
def verb(
    suite: Annotated[str | None, typer.Argument(metavar="SUITE", help="Also check what this suite needs.")] = None,
    *,
    common: Common,
) -> None:
    """Check models, endpoints, disk and devices; exit with 2 if something is missing or wrong."""
    if common.as_json:
        findings = list(find(suite, common.store))
        print_json([finding._asdict() for finding in findings])
        complete = all(finding.state not in FAILING for finding in findings)
    else:
        complete = examine(suite, common.store, console())
    if not complete:
        raise typer.Exit(2)


def examine(suite: str | None, store: Path, screen: Console) -> bool:
    """Print what is missing or wrong, then every other finding by group; return False if something is."""
    findings = list(find(suite, store))
    failing = [finding for finding in findings if finding.state in FAILING]
    others = [finding for finding in findings if finding.state not in FAILING]
    groups = {
        group: [one for one in others if one.group == group] for group in dict.fromkeys(one.group for one in others)
    }
    for title, group in {PROBLEMS: failing, **groups}.items():
        if group:
            screen.print(Text(title, style="bold"))
            layout.fields(_rows(group), screen)
            screen.print()
    screen.print(_summary(findings), highlight=False)
    return not failing


def _summary(findings: Sequence[Finding]) -> str:
    """Return a sentence such as ``Nothing missing, 2 notes.`` or ``1 missing, 3 errors, 2 notes.``."""
    many = Counter(finding.state for finding in findings)
    errors = [format.counted(many["error"], "error")] if many["error"] else []
    missing = [f"{many['missing'] or 'Nothing'} missing"] if many["missing"] or not errors else []
    return f"{', '.join([*missing, *errors, format.counted(many['note'], 'note')])}."


def _rows(findings: Sequence[Finding]) -> list[layout.Row]:
    """A row for each finding; packages that are installed share one."""
    installed = [f"{one.what} {one.detail}" for one in findings if (one.group, one.state) == (PACKAGES, "ok")]
    rows: list[layout.Row] = [(Text("ok", style=COLOURS["ok"]), Text(", ".join(installed)))] if installed else []
    for finding in findings:
        if finding.group != PACKAGES:
            rows.append((Text(finding.state, style=COLOURS[finding.state]), Text(f"{finding.what}: {finding.detail}")))
        elif finding.state != "ok":
            rows.append((Text(finding.state, style=COLOURS[finding.state]), Text(f"{finding.what} {finding.detail}")))
    return rows


def find(suite: str | None, store: Path) -> Iterator[Finding]:
    """Yield every finding about this machine and, if one is named, about a suite."""
    yield Finding(MACHINE, "hardware", "ok", provenance.machine_class())
    yield _device()
    yield Finding(MACHINE, "encoding", "ok", precision.summary())
    free = shutil.disk_usage(_existing(store)).free / 2**30
    state: State = "ok" if free >= LEAST_DISK else "missing"
    yield Finding(MACHINE, "disk", state, f"{free:.0f} GiB free at {store}; at least {LEAST_DISK:.0f} needed")
    memory = psutil.virtual_memory().available / 2**30
    yield Finding(MACHINE, "memory", "ok" if memory >= LEAST_MEMORY else "note", f"{memory:.0f} GiB free")
    yield from _packages()
    for name, use in OPTIONAL.items():
        version = provenance.package_version(name)
        yield Finding(PACKAGES, name, "note" if version == "absent" else "ok", f"{version} ({use})")
    for model in EMBEDDED:
        found = _tried(MODELS, EMBEDDED_PREFIX + model, lambda model=model: locate(EMBEDDED_PREFIX + model))  # type: ignore[misc]
        # Without what runs models, nobody misses one.
        yield found._replace(state="note") if found.state == "missing" and extras.absent("local") else found
    url, key = os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")
    if url or key:
        detail = f"{mask(url) if url else 'the default URL'}, {'with a key' if key else 'without a key'}"
        yield Finding(ENDPOINTS, "LLM endpoint", "ok", detail)
    else:
        yield Finding(ENDPOINTS, "LLM endpoint", "note", "none configured in the environment")
    if suite is not None:
        yield from _suite(suite, store)


def _packages() -> Iterator[Finding]:
    """Yield the packages that are here, and for each extra, in one finding, those that are not."""
    versions = {name: provenance.package_version(name) for name in IMPORTS}
    for name, version in versions.items():
        if version != "absent" or not IMPORTS[name]:
            yield Finding(PACKAGES, name, "missing" if version == "absent" else "ok", version)
    for extra, use in USES.items():
        absent = [name for name, own in IMPORTS.items() if own == extra and versions[name] == "absent"]
        if absent:
            yield Finding(PACKAGES, format.listed(absent), "note", f"absent; {use}: {extras.install(extra)}")


def _device() -> Finding:
    name = provenance.device_class()
    if name == "cpu":
        return Finding(MACHINE, "device", "note", "no GPU: training is slow")
    return Finding(MACHINE, "device", "ok", name)


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _tried(group: str, what: str, check: Callable[[], object]) -> Finding:
    try:
        check()
    except HarnessError as error:
        return Finding(group, what, "missing", str(error))
    return Finding(group, what, "ok", "found")


def _suite(name: str, store: Path) -> Iterator[Finding]:
    """What `harness run` would refuse about a suite, and the models it uses."""
    group = f"Suite {name}"
    try:
        suite, path = load_suite(name)
    except HarnessError as error:
        yield from _refused(group, error)
        return
    dataset, findings = _dataset(group, path.name, suite.dataset, reading_of(suite))
    yield from findings
    if suite.forgetting is not None:
        elsewhere = reading_elsewhere(suite.forgetting, shows_examples(suite))
        yield from _dataset(group, "forgetting", suite.forgetting.dataset, elsewhere)[1]
    requirements.apply_device(suite)
    small, long = list[str](), list[str]()
    try:
        requirements.check(suite)
        if dataset is not None:
            long = passages.told(suite, dataset)
            small = sample_size.before(build_plan(suite, dataset))
    except HarnessError as error:
        yield from _refused(group, error)
        return
    trained = sum(bool(candidate.tune) for candidate in suite.all_candidates.values())
    settings = len(suite.all_candidates) - trained
    if settings:
        yield Finding(group, "candidates", "ok", f"{trained} trained, {settings} with other settings and no training")
    for model, keys in models_named(suite).items():
        yield Finding(group, model, "ok", f"found; named by {', '.join(keys)}")
    for prompts in requirements.prompted(suite):
        yield Finding(group, prompts.model, "ok", prompts.placed)
        yield from (Finding(group, prompts.model, "note", note) for note in prompts.notes)
    for setting, value in models.settings(suite).items():
        yield Finding(group, setting, "ok", value)
    for remark in models.before(suite):
        yield Finding(group, "models", "note", remark)
    talking = conversations.before(suite, dataset) if dataset is not None else []
    for about, remarks in (("conversations", talking), ("passages", long), ("answers", small)):
        yield from (Finding(group, about, "note", remark) for remark in remarks)
    yield from _endpoints(group, suite, store)


def _dataset(group: str, where: str, rule: Rule, reading: ReadingRule) -> tuple[Dataset | None, list[Finding]]:
    """The dataset, if it can be read, and the findings about it."""
    split = reading.scored or "test"
    try:
        dataset = load_dataset(rule, split, reading)
    except HarnessError as error:
        return None, list(_refused(group, error))
    findings = [Finding(group, where, "ok", format.counted(len(dataset.documents), "document"))]
    return dataset, findings + [Finding(group, where, "note", line) for line in data.told(dataset, split)]


def _endpoints(group: str, suite: Suite, store: Path) -> Iterator[Finding]:
    """Each role and each part of a pipeline that uses an endpoint, checked with one small request."""
    from harness.llm import preflight, served_preflight
    from harness.remarks import endpoints as remarks

    services, checked = endpoints.services_of(suite, store), set[str]()
    for role in endpoint_roles(suite):
        llm = services.roles[role]
        known = known_dialect(llm, services.folder)
        problem = preflight.check(role, services, endpoints.shape_of(role, suite), known.place not in checked)
        checked.add(known.place)
        notes = [*remarks.changed(llm, known.dialect), *remarks.quiet(llm, known.dialect)]
        detail = str(problem) if problem else "; ".join([f"{llm.model} answers", *notes])
        replies = dict.fromkeys(known.dialect.reasons.values()) if notes and not problem else {}
        detail += f" (the server said: {'; '.join(replies)})" if replies else ""
        yield Finding(group, f"llm.{role}", "error" if problem else "note" if notes else "ok", detail)
    for use in served_uses(suite):
        problem = served_preflight.check(use.key, use.part, use.endpoint, services)
        detail = f"{problem.what}; {problem.hint}" if problem else f"{use.endpoint.label} answers"
        yield Finding(group, use.key, "error" if problem else "ok", detail)
    if any(measure.is_judged for measure in suite.measures) and suite.llm.judge is None:
        yield Finding(group, "llm.judge", "note", "not configured: LLM-judged measures are skipped")


def _refused(group: str, error: HarnessError) -> Iterator[Finding]:
    state: State = "missing" if isinstance(error, DatasetMissing | ModelMissing) else "error"
    for problem in error.problems:
        detail = f"{problem.what}; {problem.hint}" if problem.hint else problem.what
        yield Finding(group, problem.where or "suite", state, detail)
