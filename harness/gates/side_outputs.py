"""Write what a gate reports besides its verdict: JUnit XML, JSON, the summary of a CI job.

None of it changes the verdict: a file that cannot be written is a warning, and the exit code stays. A path from the
command line that cannot work is refused before anything is judged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.errors import ConfigError, Problem
from harness.files import write_atomically
from harness.report.content import gates
from harness.report.render.junit import junit
from harness.statistics.verdicts import Gating

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""Environment variable with the file of a job's summary on GitHub, Gitea and Forgejo, and under `act`."""
MOST_BYTES = 1_000_000
"""GitHub drops a summary of more than 1 MiB entirely."""


def check_places(places: Mapping[str, Path | None]) -> None:
    """Raise ConfigError, with every problem, if the file of an option cannot be written."""
    problems = []
    for option, path in places.items():
        what = _obstacle(path) if path is not None else ""
        if what:
            problems.append(Problem(f"{option} {path}", what, "choose a file in a writable folder"))
    if problems:
        raise ConfigError(problems)


def _obstacle(path: Path) -> str:
    if path.is_dir():
        return "is a folder"
    above = path.parent
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir():
        return f"{above} is not a folder"
    return "" if os.access(above, os.W_OK | os.X_OK) else f"{above} is not writable"


def write_files(judged: Gating, junit_file: Path | None, json_file: Path | None) -> list[str]:
    """Write the requested files, and the summary of a CI job if there is one; return warnings about failed writes."""
    warnings = []
    if junit_file is not None:
        warnings.append(_tried(str(junit_file), lambda: write_atomically(junit_file, junit(judged))))
    if json_file is not None:
        warnings.append(_tried(str(json_file), lambda: write_atomically(json_file, _json(judged))))
    summary = os.environ.get(STEP_SUMMARY, "").strip()
    if summary:
        warnings.append(_tried(f"{summary} ({STEP_SUMMARY})", lambda: _append(Path(summary), judged)))
    return [line for line in warnings if line]


def _tried(name: str, write: Callable[[], object]) -> str:
    """Write a file; return why that failed, in a sentence, or an empty string."""
    try:
        write()
    except OSError as error:
        why = error.strerror or str(error)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
    else:
        return ""
    return f"{name}: not written ({' '.join(why.split())}); the verdict is not affected"


def _json(judged: Gating) -> str:
    return json.dumps(gates.as_json(judged), indent=1, ensure_ascii=False) + "\n"


def _append(path: Path, found: Gating) -> None:
    from harness.report.render.markdown import render_gating

    text = render_gating(found)
    there = path.stat().st_size if path.exists() else 0
    if there + len(text.encode("utf-8", "replace")) > MOST_BYTES:
        text = render_gating(found, brief=True)
    with path.open("a", encoding="utf-8", errors="replace") as file:
        file.write(text)
