"""`harness export --push`: upload an export, if nothing in it should stay on this machine."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.cli.export_source import MeasuredSuite
from harness.data.datasets import load_dataset
from harness.errors import ConfigError, Problem
from harness.suite.uses import reading_of


def check_repository(name: str) -> None:
    """Raise ConfigError if nothing could be uploaded to a repository of that name, before any work."""
    from harness.deploy.hub import check

    check(name)


def push_export(folder: Path, name: str, measured: MeasuredSuite, public: bool, with_questions: bool) -> str:
    """Upload an export and return the address of its repository.

    Raises ConfigError if a file holds a path of this machine, a secret or, without `with_questions`, a question of the
    dataset; and if the hub refuses.
    """
    from harness.deploy.hub import push
    from harness.deploy.revealing import revealing

    questions = [] if with_questions else list(_questions(measured))
    if found := revealing(folder, _places(folder, measured), questions):
        raise ConfigError([_problem(folder, one.file, one.kind) for one in found])
    outcome = measured.outcome
    return push(folder, name, f"Export of suite {outcome.suite}, measured {outcome.created}", public)


def _problem(folder: Path, file: str, kind: str) -> Problem:
    where = str(folder / file)
    if kind == "question":
        hint = "add --with-questions if it may be uploaded, or set pipeline.generator.shots to 0"
        return Problem(where, "holds a question of the dataset; nothing was uploaded", hint)
    what = "a path of this machine" if kind == "path" else "what looks like a secret"
    return Problem(where, f"holds {what}; nothing was uploaded", "remove it there, and upload the folder yourself")


def _questions(measured: MeasuredSuite) -> Iterator[str]:
    """The questions of every split, with the turns before them."""
    suite = measured.suite
    dataset = load_dataset(suite.dataset, suite.evaluate.split, reading_of(suite)._replace(splits=None))
    for split in dataset.splits.values():
        for query in split.queries.values():
            yield query.text
            yield from (turn.content for turn in query.history)


def _places(folder: Path, measured: MeasuredSuite) -> Iterator[Path]:
    """Folders whose paths say something about this machine."""
    package = Path(__file__).resolve().parent.parent
    named = [Path.cwd(), Path.home(), folder.resolve(), package.parent, Path(sys.prefix), Path(tempfile.gettempdir())]
    if measured.suite.dataset.path is not None:
        named.append(Path(measured.suite.dataset.path).resolve())
    # What lies right below the root, such as /tmp or /usr, names no machine; a home does.
    yield from (place for place in named if len(place.parts) > 2 or place == Path.home())
