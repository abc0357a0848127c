"""Results at an address: fetched before they are read, published after they were written.

Outcomes, diagnoses and curves lie at an address as they do in a folder, but for `latest`, which is a small file there
that names the latest folder. Of earlier results only the JSON files are fetched, of the latest one everything. For a
plain folder, nothing here does anything.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path, PurePosixPath

from harness.errors import ConfigError, Problem
from harness.files import link_to
from harness.remote.mirror import Mirror, mirror_of, opened
from harness.remote.objects import is_address
from harness.results.outcomes import ATTEMPT_FILE
from harness.suite.files import load_suite

KINDS = ("outcomes", "diagnoses", "curves")
LATEST = "latest.json"
"""Names the latest folder beside it; at an address there are no links."""
RESERVED = ".reserved"
MOST_AT_ONCE = 1000
NAME = re.compile(r"[^/\\:]+")
"""A suite may be given by its file, which is the name of no folder."""


def refresh(root: Path, suite: str | None = None) -> None:
    """Fetch the results of a suite, or of all suites, that other machines have published. Raises ConfigError."""
    mirror = mirror_of(root)
    if mirror is None or (suite is not None and not NAME.fullmatch(suite)):
        return
    for kind in KINDS:
        names = mirror.pull(f"{kind}/{suite}" if suite else kind, lambda name: name.endswith(".json"))
        for base in {PurePosixPath(name).parent for name in names if name.endswith(f"/{LATEST}")}:
            _fetch_latest(mirror, base, names)
        for note in (mirror.folder / kind).glob(f"{suite or '*'}/{ATTEMPT_FILE}"):
            if mirror.name_of(note) not in names:
                note.unlink(missing_ok=True)


def latest_of(root: Path, suite: str) -> Path:
    """Return the folder of the latest outcome of a suite, given by its name, its file or its folder; fetch it first.

    Raises ConfigError for a suite that has no outcome here and cannot be found.
    """
    refresh(root, suite)
    folder = root / "outcomes" / suite / "latest"
    if folder.is_dir():
        return folder
    name = load_suite(suite, with_data=False)[0].name
    refresh(root, name)
    return root / "outcomes" / name / "latest"


def _fetch_latest(mirror: Mirror, base: PurePosixPath, names: list[str]) -> None:
    """Fetch the folder that is called the latest, and that with the last name, which differ after a race."""
    named = _named(mirror.folder / base / LATEST)
    last = max((PurePosixPath(name).relative_to(base).parts[0] for name in names if _is_deep(name, base)), default="")
    for name in {named, last} - {""}:
        mirror.pull(str(base / name))
    if named and (mirror.folder / base / named).is_dir():
        link_to(mirror.folder / base / "latest", mirror.folder / base / named)


def _is_deep(name: str, base: PurePosixPath) -> bool:
    path = PurePosixPath(name)
    return base in path.parents and len(path.relative_to(base).parts) > 1


def _named(path: Path) -> str:
    try:
        name = json.loads(path.read_text(encoding="utf-8"))["folder"]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return ""
    return name if isinstance(name, str) and name not in ("", ".", "..") and "/" not in name else ""


def publish(folder: Path) -> Path:
    """Upload a folder of results, and call it the latest; return it, renamed if another machine took its name.

    Raises ConfigError, which says where the results are, if that fails.
    """
    mirror = mirror_of(folder)
    if mirror is None:
        return folder
    try:
        folder = _reserved(mirror, folder)
        mirror.push_folder(folder, last=lambda path: path.suffix == ".json")
        pointer = json.dumps({"folder": folder.name}).encode()
        mirror.objects.write(mirror.name_of(folder.parent / LATEST), pointer)
    except ConfigError as error:
        problems = [
            Problem(one.where, one.what, f"{one.hint}; the results are in {folder}, and finished work is cached")
            for one in error.problems
        ]
        raise ConfigError(problems) from error
    return folder


def _reserved(mirror: Mirror, folder: Path) -> Path:
    """Take the name of a folder at the address, or a name like it that is free here and there."""
    for number in range(MOST_AT_ONCE):
        place = folder if number == 0 else folder.with_name(f"{folder.name}-{number}")
        if place != folder and place.exists():
            continue
        if mirror.objects.create(mirror.name_of(place / RESERVED), uuid.uuid4().hex.encode()):
            if place != folder:
                folder.rename(place)
                link_to(place.parent / "latest", place)
            return place
    raise ConfigError(f"{folder.parent}: too many results of one second; remove some")


def folder_at(place: str | Path) -> Path:
    """Return the local folder of results that a user named, fetched whole if it is an address below a store.

    ``latest`` may be its last part. Raises ConfigError for an address that holds no result.
    """
    if not is_address(place):
        return Path(place)
    text = str(place).rstrip("/")
    for kind in KINDS:
        above, found, name = text.rpartition(f"/{kind}/")
        if found:
            root = opened(above)
            mirror = mirror_of(root)
            assert mirror is not None
            if name.endswith("/latest"):
                refresh(root, name.split("/")[0])
            else:
                mirror.pull(f"{kind}/{name}")
            return root / kind / name
    raise ConfigError(Problem(text, "not the address of a result", "give STORE/outcomes/SUITE/FOLDER"))
