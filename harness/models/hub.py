"""Fetch models from a hub, and say in a sentence why one was not given.

A name is ``owner/name`` or ``owner/name@revision``; a revision is a commit, a branch or a tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import ModelMissing, Problem

PATTERNS = ["*.json", "*.txt", "*.model", "*.jinja", "*.safetensors", "README.md"]
"""Files that are fetched: no pickled weights and no code."""
SNAPSHOTS = "snapshots"
"""In a cache of the hub, the folder of the folders that are named by their commits."""
_FETCHED: dict[str, Path] = {}


def has_weights(folder: Path) -> bool:
    """Whether a folder has weights that may be loaded."""
    return any(folder.rglob("*.safetensors"))


def snapshot(name: str, instead: Sequence[str] = ()) -> Path:
    """Return the folder of a model on a hub; the hub is asked once, as long as the folder has weights.

    Raises ModelMissing if it is not given, with models that may be named `instead`.
    """
    known = _FETCHED.get(name)
    if known is None or not has_weights(known):
        known = _FETCHED[name] = _fetched(name, instead)
    return known


def commits() -> dict[str, str]:
    """Return the commit of each model that this process took from a hub, by the name it was asked for."""
    return {name: place.name for name, place in sorted(_FETCHED.items()) if place.parent.name == SNAPSHOTS}


def _fetched(name: str, instead: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    repository, _, revision = name.partition("@")
    pinned = {"revision": revision} if revision else {}
    try:
        return Path(snapshot_download(repository, allow_patterns=PATTERNS, **pinned))
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        what, hint = _refusal(error)
        hint += f", or name one of {', '.join(instead)}" if instead else ""
        raise ModelMissing(Problem("", f"no model {name!r}: {what}", hint)) from error


def _refusal(error: Exception) -> tuple[str, str]:
    """Return why the hub gave no model, and what to do."""
    from huggingface_hub import errors

    # A gated repository is a kind of one that is not found.
    if isinstance(error, errors.HFValidationError):
        return "no such folder, and no name that a hub can have", "name a folder"
    if isinstance(error, errors.GatedRepoError):
        return "its owner grants access to it on the hub", "ask for it there and set HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "the hub does not show it", "correct the name, or set HF_TOKEN if it is private"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the hub has no such revision of it", "name a commit, a branch or a tag after the @"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return "no such folder, and the hub cannot be reached", "download it to a folder and name that"
    return f"the hub failed ({type(error).__name__})", "try again later"
