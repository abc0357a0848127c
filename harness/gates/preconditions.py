"""Whether a gate has what it needs: a folder of accepted scores that is the suite's own, and an outcome of the suite as
it is now.

A gate lets through what was never accepted. So a folder that was mistyped, not checked out, or left under the old name
of a suite would let everything through; here it is refused, or told.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, Problem, nearest
from harness.results.baselines import ACCEPTED_FILE
from harness.results.damage import Unreadable, read_object
from harness.statistics.verdicts import Gated, Gating
from harness.suite import builtin
from harness.suite.spec import Suite

_SUITE = re.compile(r"^schema:\s*[\"']?harness/suite-\d", re.MULTILINE)
_NAME = re.compile(r"^name:\s*[\"']?([^\s\"'#]+)", re.MULTILINE)
MOST_NAMED = 5
NO_PART_OF_A_RUN = (
    "gates", "on_inconclusive", "require_baseline", "failure_limit", "published", "title", "seeds", "prices",
)  # fmt: skip
"""Sections of a suite that an outcome does not depend on, or that a command line may have replaced."""


def check_folder(folder: Path, name: str) -> None:
    """Raise ConfigError for a folder given for accepted scores that there is not, or that is one suite's own."""
    if not folder.is_dir():
        what = "not a folder" if folder.exists() else "no such folder"
        known = [path.name for path in folder.parent.glob("*") if path.is_dir()] if folder.parent.is_dir() else []
        close = nearest(folder.name, known) if known else ""
        hint = "give the folder that holds one for each suite, or accept an outcome into it first"
        raise ConfigError(Problem(f"--baselines {folder}", what, close if close.startswith("did you") else hint))
    if (folder / ACCEPTED_FILE).is_file() and not (folder / name).exists():
        hint = f"give {folder.parent}, the folder above it"
        raise ConfigError(Problem(f"--baselines {folder}", "holds the accepted scores of one suite", hint))


def orphans(folder: Path, suite_file: Path, name: str) -> list[str]:
    """What a reader must know where nothing is accepted for a suite: scores that belong to no suite any more."""
    claimed = {name, *_names_beside(suite_file), *builtin.suite_names()}
    mine, lost = [], []
    for path in sorted(folder.glob(f"[!.]*/{ACCEPTED_FILE}")):
        suite = _suite_in(path)
        if suite == name:
            mine.append(path.parent)
        elif suite and suite not in claimed:
            lost.append(path.parent)
    told = [
        f"Nothing is accepted for {name} in {folder / name}, but {place} holds accepted scores of {name}: "
        f"rename it to {folder / name}."
        for place in mine
    ]
    if lost:
        more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
        told.append(
            f"Nothing is accepted for {name}, and no suite file beside this one claims the accepted scores in "
            f"{', '.join(map(str, lost[:MOST_NAMED]))}{more}. If the suite was renamed, this gate compares nothing: "
            "give it its old name, or accept its outcome under the new one and remove the old folder."
        )
    return told


def _suite_in(accepted: Path) -> str:
    """The suite whose scores were accepted; the folder's name where the file cannot be read."""
    try:
        suite = read_object(accepted).get("suite")
    except Unreadable:
        return accepted.parent.name
    return suite if isinstance(suite, str) else accepted.parent.name


def _names_beside(suite_file: Path) -> Iterator[str]:
    """Names of the suites that lie in the folder of a suite file, or in the folders beside that."""
    home = suite_file.resolve().parent
    for path in (*home.glob("*.y*ml"), *home.parent.glob("*/*.y*ml")):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")[:20_000]
        except OSError:
            continue
        found = _NAME.search(text) if _SUITE.search(text) else None
        if found is not None:
            yield found[1]


def check_required(found: Gating, folder: Path) -> None:
    """Raise ConfigError unless scores were accepted for a suite and every gate compares something with them."""
    if not found.accepted:
        hint = "accept an outcome and commit the folder, or see that it was checked out and is the suite's own"
        raise ConfigError(
            Problem(str(folder), f"nothing is accepted for {found.suite}, and a baseline is required", hint)
        )
    what = "nothing that was accepted is compared, and a baseline is required"
    problems = [
        Problem(f"gate {gate}", what, "accept an outcome that has this measure")
        for gate, verdicts in _by_gate(found.verdicts).items()
        if all(one.verdict == "new" for one in verdicts)
    ]
    if not problems and all(one.verdict in ("new", "not compared") for one in found.verdicts):
        hint = "run on a machine of the class that was accepted, or give a gate a ceiling"
        problems.append(Problem(f"suite {found.suite}", what, hint))
    if problems:
        raise ConfigError(problems)


def _by_gate(verdicts: Sequence[Gated]) -> dict[str, list[Gated]]:
    found: dict[str, list[Gated]] = {}
    for one in verdicts:
        found.setdefault(one.gate, []).append(one)
    return found


def stale(suite: Suite, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """A warning if the suite file is no longer what an outcome was made of; `spec` is the suite as it was then.

    Keys that the harness has got since then do not count, where they have their defaults.
    """
    now, then = suite.model_dump(mode="json", by_alias=True), spec
    with contextlib.suppress(ValueError):
        then = Suite.model_validate(spec).model_dump(mode="json", by_alias=True)
    odd = [
        name
        for name in now
        if name not in NO_PART_OF_A_RUN and _portable(now[name], name) != _portable(then.get(name), name)
    ]
    if not odd:
        return ()
    return (f"The suite file has changed since this outcome was made ({', '.join(odd)}): run the suite again.",)


def _portable(value: Any, at: str) -> Any:
    """A section without where things lie on this machine, at any depth."""
    if isinstance(value, Mapping):
        return {
            key: _portable(item, f"{at}.{key}")
            for key, item in value.items()
            if key != "path" and f"{at}.{key}" != "llm.prompts"
        }
    return [_portable(item, at) for item in value] if isinstance(value, list | tuple) else value
