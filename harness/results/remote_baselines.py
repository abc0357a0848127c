"""Accepted scores at an address: every acceptance in a folder of its own, and a file that names the one that counts.

So a reader sees the old or the new scores, never a mixture, and earlier ones stay. A folder of baselines that was
copied to an address as it is, is read too. For a plain folder, nothing here does anything.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

from harness.provenance import now
from harness.remote.mirror import mirror_of
from harness.results import replacing

LATEST = "latest.json"
VERSION = ".version"
"""The acceptance that a local copy is of."""
NAME = re.compile(r"[A-Za-z0-9-]+")


def fetch(folder: Path) -> None:
    """Make the local folder of a suite's accepted scores the one at the address. Raises ConfigError."""
    mirror = mirror_of(folder)
    if mirror is None:
        return
    name = mirror.name_of(folder)
    version = _version(mirror.objects.read(f"{name}/{LATEST}") or b"")
    with replacing.locked(folder.parent, alone=True):
        if version and _copied(folder) == version:
            return
        above = f"{name}/{version}" if version else name
        files = [one.removeprefix(f"{above}/") for one in mirror.objects.list(above)]
        files = [file for file in files if "/" not in file and file != LATEST]
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            for file in files:
                mirror.objects.download(f"{above}/{file}", aside / file)
            (aside / VERSION).write_text(version, encoding="ascii")
            if files:
                replacing.swap(folder, aside)
            else:
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def fetch_all(folder: Path) -> None:
    """Fetch the accepted scores of every suite at an address."""
    mirror = mirror_of(folder)
    if mirror is not None:
        for suite in sorted({name.partition("/")[0] for name in mirror.objects.list("") if "/" in name}):
            fetch(folder / suite)


def publish(folder: Path) -> None:
    """Upload accepted scores that were written, and let them count. Raises ConfigError; then the old ones count."""
    mirror = mirror_of(folder)
    if mirror is None:
        return
    name, version = mirror.name_of(folder), f"{re.sub('[^0-9TZ]', '', now())}-{uuid.uuid4().hex[:8]}"
    for path in sorted(path for path in folder.iterdir() if path.is_file() and path.name != VERSION):
        mirror.objects.upload(path, f"{name}/{version}/{path.name}")
    mirror.objects.write(f"{name}/{LATEST}", json.dumps({"folder": version}).encode())
    # They count now; without this note, they are fetched once more.
    with suppress(OSError):
        (folder / VERSION).write_text(version, encoding="ascii")


def holds_nothing(folder: Path) -> bool:
    """Whether a folder is that of an address at which there is nothing at all."""
    mirror = mirror_of(folder)
    return mirror is not None and not mirror.objects.exists()


def _version(pointer: bytes) -> str:
    try:
        version = json.loads(pointer)["folder"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return ""
    return version if isinstance(version, str) and NAME.fullmatch(version) else ""


def _copied(folder: Path) -> str:
    try:
        return (folder / VERSION).read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
