"""What a gate writes beside its verdict: JUnit XML, JSON, the summary of a CI job.

None of it changes the verdict: what cannot be written is told, and the exit code stays. A path that was typed and
cannot work is refused before anything is judged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.data.formats import write_atomically
from harness.errors import ConfigError, Problem
from harness.report.content import gates
from harness.report.render.junit import junit
from harness.statistics.verdicts import Gating

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""Names the file of a job's summary on GitHub, Gitea and Forgejo, and under `act`."""
MOST_BYTES = 1_000_000
"""GitHub drops a summary of more than 1 MiB whole."""


def check_places(places: Mapping[str, Path | None]) -> None:
    """Raise ConfigError, with every problem, if a file that an option asks for cannot be written there."""
    problems = []
    for option, path in places.items():
        what = _obstacle(path) if path is not None else ""
        if what:
            problems.append(Problem(f"{option} {path}", what, "give a file in a folder that can be written"))
    if problems:
        raise ConfigError(problems)


def _obstacle(path: Path) -> str:
    if path.is_dir():
        return "is a folder"
    above = path.parent
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir():
        return f"{above} is no folder"
    return "" if os.access(above, os.W_OK | os.X_OK) else f"{above} cannot be written"


def write_files(found: Gating, junit_file: Path | None, json_file: Path | None) -> list[str]:
    """Write what was asked for, and the summary of a CI job where there is one; return what could not be written."""
    told = []
    if junit_file is not None:
        told.append(_tried(str(junit_file), lambda: write_atomically(junit_file, junit(found))))
    if json_file is not None:
        told.append(_tried(str(json_file), lambda: write_atomically(json_file, _json(found))))
    summary = os.environ.get(STEP_SUMMARY, "").strip()
    if summary:
        told.append(_tried(f"{summary} ({STEP_SUMMARY})", lambda: _append(Path(summary), found)))
    return [line for line in told if line]


def _tried(name: str, write: Callable[[], object]) -> str:
    """Why something could not be written, in a sentence; empty if it was."""
    try:
        write()
    except OSError as error:
        why = error.strerror or str(error)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
    else:
        return ""
    return f"{name}: not written ({' '.join(why.split())}); the verdict stands without it"


def _json(found: Gating) -> str:
    return json.dumps(gates.as_json(found), indent=1, ensure_ascii=False) + "\n"


def _append(path: Path, found: Gating) -> None:
    from harness.report.render.markdown import render_gating

    text = render_gating(found)
    there = path.stat().st_size if path.exists() else 0
    if there + len(text.encode("utf-8", "replace")) > MOST_BYTES:
        text = render_gating(found, brief=True)
    with path.open("a", encoding="utf-8", errors="replace") as file:
        file.write(text)
