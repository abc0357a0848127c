"""The way in from Python: `run`, `diagnose`, `compare` and `load_outcome`, each with what it returns as an object.

`harness` has the same names. They do what the commands of the same name do, raise `HarnessError` with the sentence that
the command would print, and print nothing themselves. The results show themselves in a notebook, and give their tables
as frames; see `results`. What a function needs is imported when it is called.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from harness.api.results import ComparisonResult, DiagnosisResult, OutcomeResult, RunResult

if TYPE_CHECKING:
    from harness.execution.making import Display

__all__ = ["compare", "diagnose", "load_outcome", "run"]
STORE = ".harness"


class Relevance(TypedDict, total=False):
    """Relevance in run files: the lowest relevant grade, and whether the document with its query's id is left out."""

    relevance_level: int
    exclude_own: bool


def run(
    suite: str | Path,
    store: str | Path = STORE,
    seeds: Sequence[int] = (),
    *,
    executor: Literal["child", "ray", "slurm"] = "child",
    jobs: int | Literal["auto"] | None = None,
    replay: bool = False,
    progress: bool = False,
) -> RunResult:
    """Run a suite (a shipped name, a file or a folder) and return its outcome, which is also written below `store`.

    `seeds` replaces those of the suite; `jobs` stage calls run side by side; with `replay`, answers of LLMs come from
    the cache alone; with `progress`, each finished step is a line on standard error. Finished work is cached.
    Raises HarnessError for anything wrong with the suite, its data, its models or its endpoints. A stage that fails is
    part of the outcome: see `RunResult.complete`.
    """
    from harness.experiments import benchmark

    with _display(progress) as display:
        done = benchmark.run(suite, store, seeds, display=display, executor=executor, jobs=jobs, replay=replay)
    return RunResult(
        outcome=done.outcome,
        folder=done.folder.resolve(),
        calls_made=done.calls_made,
        calls_failed=done.calls_failed,
        failed_share=done.failed_share,
        failure_limit=done.limit,
        seconds=done.seconds,
    )


def diagnose(
    suite: str | Path,
    store: str | Path = STORE,
    split: Literal["dev", "test"] = "dev",
    *,
    executor: Literal["child", "ray", "slurm"] = "child",
    jobs: int | Literal["auto"] | None = None,
    replay: bool = False,
    progress: bool = False,
) -> DiagnosisResult:
    """Diagnose where the untuned pipeline of a suite loses, and return what to try first; options are those of `run`.

    Raises HarnessError as `run` does, and also if the untuned pipeline itself failed.
    """
    from harness.experiments import diagnose as experiment

    with _display(progress) as display:
        done = experiment.diagnose(suite, store, split, display=display, executor=executor, jobs=jobs, replay=replay)
    return DiagnosisResult(done.diagnosis, done.folder.resolve())


def compare(
    first: str | Path | OutcomeResult,
    second: str | Path | OutcomeResult,
    store: str | Path = STORE,
    *,
    qrels: str | Path | None = None,
    measures: Sequence[str] = (),
    margin: float | None = None,
    **relevance: Unpack[Relevance],
) -> ComparisonResult:
    """Compare two sides, the second minus the first, with simultaneous intervals.

    A side is an outcome, a suite with an outcome in `store`, the folder of an outcome or of accepted scores, any of
    these as a text with ``:system``, or, with `qrels` (a file of judgements), a TREC run file. The options of relevance
    are for run files. Without `margin`, that of the gates of the second side counts. Raises HarnessError if the sides
    share nothing that compares.
    """
    from harness.errors import ConfigError, Problem
    from harness.gates import commands
    from harness.gates.run_files import RunRules
    from harness.remote.places import root_of

    if qrels is None and relevance:
        names = ", ".join(relevance)
        raise ConfigError(Problem(names, "is for run files, which need judgements", "add qrels=FILE, or leave it out"))
    rules = RunRules(relevance.get("relevance_level", 1), relevance.get("exclude_own", False))
    sides = [str(side.folder if isinstance(side, OutcomeResult) else side) for side in (first, second)]
    judgements = None if qrels is None else Path(qrels)
    compared = commands.compare(sides[0], sides[1], root_of(store), judgements, measures, margin, rules)
    # A notebook should not keep the path of a machine.
    return ComparisonResult(
        compared._replace(first=_name(first, compared.first), second=_name(second, compared.second))
    )


def load_outcome(place: str | Path, store: str | Path = STORE) -> OutcomeResult:
    """Read an outcome: the latest of a suite in `store`, or the one in a folder or at an address.

    Raises HarnessError if there is none that this version can read.
    """
    from harness.remote.places import root_of
    from harness.results import outcomes, sharing

    named = sharing.folder_at(place)
    folders = (folder for folder in (named, named / "latest") if (folder / outcomes.OUTCOME_FILE).is_file())
    folder = next(folders, None) or sharing.latest_of(root_of(store), str(place))
    # `latest` may point to another outcome before its rows are read.
    folder = folder.resolve()
    return OutcomeResult(outcomes.read(folder), folder)


def _name(side: str | Path | OutcomeResult, name: str) -> str:
    return f"{side.outcome.suite} of {side.outcome.created}" if isinstance(side, OutcomeResult) else name


@contextmanager
def _display(progress: bool) -> Iterator[Display]:
    """Show progress while this lasts, if it is wanted; in a notebook as lines, which need no ipywidgets."""
    from harness.execution.making import no_display

    with warnings.catch_warnings():
        # Libraries import the bars of tqdm, which nobody sees here.
        warnings.filterwarnings("ignore", message="IProgress not found")
        if not progress:
            yield no_display
            return
        from rich.console import Console

        from harness.report.render.progress import Steps

        with Steps(Console(stderr=True, force_jupyter=False)) as steps:
            yield steps
