"""Check what a gate needs: the suite's own folder of accepted scores, and an outcome of the suite as it is now.

A gate passes systems without accepted scores. A folder that is mistyped, not checked out, or left under the old name of
a suite would therefore pass everything; these checks refuse it or warn about it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, Incomplete, Problem, nearest
from harness.remote.mirror import shown
from harness.results import remote_baselines
from harness.results.baselines import ACCEPTED_FILE
from harness.results.damage import Unreadable, read_object
from harness.statistics.verdicts import Gated, Gating
from harness.suite import builtin
from harness.suite.places import NAMED
from harness.suite.spec import Suite
from harness.text.decimals import percent
from harness.values.findings import Outcome
from harness.values.systems import BOUNDS

_SUITE = re.compile(r"^schema:\s*[\"']?harness/suite-\d", re.MULTILINE)
_NAME = re.compile(r"^name:\s*[\"']?([^\s\"'#]+)", re.MULTILINE)
MOST_NAMED = 5
AGAIN = "run the suite again"
NO_PART_OF_A_RUN = (
    "gates", "on_inconclusive", "require_baseline", "failure_limit", "published", "title", "seeds", "prices",
    "execution",
)  # fmt: skip
"""Sections of a suite that do not change an outcome, or that the command line may replace."""


def check_folder(folder: Path, name: str) -> None:
    """Raise ConfigError if the folder of accepted scores does not exist, or is the folder of a single suite."""
    if remote_baselines.holds_nothing(folder):
        raise ConfigError(
            Problem(f"--baselines {shown(folder)}", "nothing is there", "accept an outcome into it first")
        )
    if not folder.is_dir():
        what = "not a folder" if folder.exists() else "no such folder"
        known = [path.name for path in folder.parent.glob("*") if path.is_dir()] if folder.parent.is_dir() else []
        close = nearest(folder.name, known) if known else ""
        hint = "give the folder that has one folder per suite, or accept an outcome into it first"
        raise ConfigError(Problem(f"--baselines {folder}", what, close if close.startswith("did you") else hint))
    if (folder / ACCEPTED_FILE).is_file() and not (folder / name).exists():
        hint = f"give {folder.parent}, the folder above it"
        raise ConfigError(Problem(f"--baselines {folder}", "holds the accepted scores of one suite", hint))


def orphans(folder: Path, suite_file: Path, name: str) -> list[str]:
    """Return warnings about accepted scores that belong to no suite, for a suite without accepted scores."""
    claimed = {name, *_names_beside(suite_file), *builtin.suite_names()}
    mine, lost = [], []
    for path in sorted(folder.glob(f"[!.]*/{ACCEPTED_FILE}")):
        suite = _suite_in(path)
        if suite == name:
            mine.append(path.parent)
        elif suite and suite not in claimed:
            lost.append(path.parent)
    warnings = [
        f"Nothing is accepted for {name} in {folder / name}, but {place} holds accepted scores of {name}: "
        f"rename it to {folder / name}."
        for place in mine
    ]
    if lost:
        more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
        warnings.append(
            f"Nothing is accepted for {name}, and no suite file beside this one uses the accepted scores in "
            f"{', '.join(map(str, lost[:MOST_NAMED]))}{more}. If the suite was renamed, this gate compares nothing: "
            "restore its old name, or accept its outcome under the new name and remove the old folder."
        )
    return warnings


def _suite_in(accepted: Path) -> str:
    """The suite whose scores were accepted; the folder's name if the file cannot be read."""
    try:
        suite = read_object(accepted).get("suite")
    except Unreadable:
        return accepted.parent.name
    return suite if isinstance(suite, str) else accepted.parent.name


def _names_beside(suite_file: Path) -> Iterator[str]:
    """Yield the names of the suites in the folder of a suite file and in its sibling folders."""
    home = suite_file.resolve().parent
    for path in (*home.glob("*.y*ml"), *home.parent.glob("*/*.y*ml")):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")[:20_000]
        except OSError:
            continue
        name = _NAME.search(text) if _SUITE.search(text) else None
        if name is not None:
            yield name[1]


def check_required(judged: Gating, folder: Path) -> None:
    """Raise ConfigError unless scores are accepted for the suite and every gate compares something with them."""
    if not judged.accepted:
        hint = "accept an outcome and commit the folder, or check that the right folder is checked out"
        raise ConfigError(
            Problem(str(folder), f"nothing is accepted for {judged.suite}, and a baseline is required", hint)
        )
    what = "nothing is compared with accepted scores, and a baseline is required"
    problems = [
        Problem(f"gate {gate}", what, "accept an outcome that has this measure")
        for gate, verdicts in _by_gate(judged.verdicts).items()
        if all(verdict.verdict == "new" for verdict in verdicts)
    ]
    if not problems and all(each.verdict in ("new", "not compared") for each in judged.verdicts):
        hint = "run on a machine of the class that was accepted, or give a gate a ceiling"
        problems.append(Problem(f"suite {judged.suite}", what, hint))
    if problems:
        raise ConfigError(problems)


def _by_gate(verdicts: Sequence[Gated]) -> dict[str, list[Gated]]:
    by_gate: dict[str, list[Gated]] = {}
    for verdict in verdicts:
        by_gate.setdefault(verdict.gate, []).append(verdict)
    return by_gate


def named(suite: Suite) -> dict[str, tuple[int, ...]]:
    """The systems that every outcome of a suite has, trained candidates with their seeds.

    Left out are bounds, and `few-shot`, which is there only where the dataset has examples to show.
    """
    rows = [name for name in suite.baseline_rows if name not in (*BOUNDS, "few-shot")]
    candidates = {name: suite.seeds if one.tune else () for name, one in suite.all_candidates.items()}
    return {**dict.fromkeys(rows, ()), **candidates}


def check_complete(suite: Suite, outcome: Outcome, folder: Path) -> None:
    """Raise Incomplete for an outcome that must not be accepted: something failed, was not run or not measured."""
    limit, problems = suite.failure_limit, []
    for info in outcome.systems:
        if info.failed:
            problems.append(Problem(info.label, f"failed ({info.failed})", AGAIN))
    # Of a candidate that a search stopped, there need not be scores.
    there = {*(info.name for info in outcome.systems), *(row.candidate for row in outcome.rounds if not row.kept)}
    lacking = [name for name in named(suite) if name not in there] if there else []
    problems += [Problem(name, "in the suite, but not in this outcome", AGAIN) for name in lacking]
    failed = {info.label for info in outcome.systems if info.failed}
    labels = {(info.name, info.seed): info.label for info in outcome.systems}
    for row in outcome.summaries:
        label = labels.get((row.system, row.seed), row.system)
        if label not in failed and row.failed and (not row.n or row.failed / (row.n + row.failed) > limit):
            failures = f"{row.failed} of {row.n + row.failed} scores of {row.measure} failed"
            what = f"{failures} (failure_limit {percent(limit, 1)})"
            problems.append(Problem(label, what, AGAIN))
    if not problems and not any(row.n for row in outcome.summaries):
        problems.append(Problem(str(folder), "nothing was measured", AGAIN))
    if problems:
        raise Incomplete(problems)


def stale(suite: Suite, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a warning if the suite file has changed since an outcome was made; `spec` is the suite of the outcome.

    Keys that were added to the harness since then do not count if they have their defaults.
    """
    now, then = suite.model_dump(mode="json", by_alias=True), spec
    with contextlib.suppress(ValueError):
        then = Suite.model_validate(spec).model_dump(mode="json", by_alias=True)
    changed = [
        name
        for name in now
        if name not in NO_PART_OF_A_RUN and _portable(now[name], name) != _portable(then.get(name), name)
    ]
    if not changed:
        return ()
    return (f"The suite file has changed since this outcome was made ({', '.join(changed)}): run the suite again.",)


def _is_local_source(key: str, item: Any) -> bool:
    """Whether a setting is where data of another tool lies on a machine; names of hubs are the same everywhere."""
    return key == "source" and isinstance(item, str) and not item.startswith(NAMED)


def _portable(value: Any, at: str) -> Any:
    """A section without paths of this machine, at any depth."""
    if isinstance(value, Mapping):
        return {
            key: _portable(item, f"{at}.{key}")
            for key, item in value.items()
            if key != "path" and f"{at}.{key}" != "llm.prompts" and not _is_local_source(key, item)
        }
    return [_portable(item, at) for item in value] if isinstance(value, list | tuple) else value
