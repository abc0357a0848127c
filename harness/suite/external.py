"""A whole RAG system as a candidate: files that it wrote, or an address that answers questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import model_validator

from harness.files import is_file
from harness.suite.fields import Place, Spec
from harness.suite.served_models import SystemEndpoint

FILES = ("run", "answers")


class External(Spec):
    """What stands for the whole pipeline of a candidate.

    `run` is a TREC run of the scored split, `answers` JSON Lines with ``query_id`` and ``answer``; either may be left
    out. `endpoint` is asked every query of the split instead.
    """

    run: Place | None = None
    answers: Place | None = None
    endpoint: SystemEndpoint | None = None

    @model_validator(mode="after")
    def _one(self) -> External:
        files = self.run is not None or self.answers is not None
        if files == (self.endpoint is not None):
            raise ValueError("give either files ('run', 'answers', or both) or an 'endpoint'")
        if self.endpoint is not None and self.endpoint.base_url is None:
            raise ValueError("'endpoint' of an external system needs 'base_url', the address that is asked")
        return self

    @property
    def files(self) -> dict[str, Path]:
        """The files that are given, by what they hold."""
        return {name: Path(path) for name in FILES if (path := getattr(self, name)) is not None}

    @property
    def words(self) -> str:
        """``theirs.trec and theirs.jsonl``, or ``service``: what it is, without a place."""
        if self.endpoint is not None:
            return f"service ({self.endpoint.revision})" if self.endpoint.revision else "service"
        return " and ".join(path.name for path in self.files.values())

    def named(self, name: str) -> SystemEndpoint | None:
        """The endpoint under the name of its candidate, by which its results are kept."""
        return None if self.endpoint is None else self.endpoint.model_copy(update={"model": name})


def place_files(value: Any, folder: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Make the files of external systems in a suite as written relative to a folder; yield the keys of missing ones."""
    candidates = value.get("candidates") if isinstance(value, Mapping) else None
    for name, candidate in candidates.items() if isinstance(candidates, Mapping) else ():
        external = candidate.get("external") if isinstance(candidate, Mapping) else None
        if not isinstance(external, dict):
            continue
        for key in FILES:
            if isinstance(external.get(key), str) and external[key].strip():
                place = folder / external[key]
                external[key] = str(place)
                if not is_file(place):
                    yield ("candidates", str(name), "external", key), place
