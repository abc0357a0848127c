"""Who writes into the folder of a claim is told by its name, and whether he still lives."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import claims

GONE, HOST = 2**31 - 1, socket.gethostname()


def folder_of(aside: Path, name: str, *files: str) -> Path:
    folder = aside / f"key.{name}.abc_123"
    for file in files:
        (folder / file).mkdir(parents=True)
    folder.mkdir(exist_ok=True)
    return folder


def test_the_folder_of_a_process_that_lives_is_not_abandoned(tmp_path: Path) -> None:
    script = "import sys, pathlib; from harness import claims; claims.new_folder(pathlib.Path(sys.argv[1]), 'key')\n"
    command = [sys.executable, "-c", f"{script}print('made', flush=True); sys.stdin.read()", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "made\n"
        (folder,) = tmp_path.iterdir()
        assert not claims.is_abandoned(folder, locked=True)
        writer.kill()
    assert claims.is_abandoned(folder, locked=True)


def test_a_folder_of_this_process_is_abandoned_once_it_holds_finished_parts_alone(tmp_path: Path) -> None:
    folder = claims.new_folder(tmp_path, "key")
    assert not claims.is_abandoned(folder, locked=True)
    (folder / claims.PARTS).mkdir()
    assert claims.is_abandoned(folder, locked=True)
    (folder / "written").touch()
    assert not claims.is_abandoned(folder, locked=True)


@pytest.mark.parametrize("host", [HOST, "another-container", "node.with.dots"], ids=["own", "other", "dots"])
def test_on_one_machine_a_number_that_another_process_has_now_is_none(host: str, tmp_path: Path) -> None:
    for process in (f"{GONE}-7", f"{os.getpid()}-7", "1-999999999999"):
        assert claims.is_abandoned(folder_of(tmp_path, f"{host}.{claims._boot()}.{process}", "half"), locked=True)


def test_without_locks_a_process_in_another_container_may_live(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, f"another-container.{claims._boot()}.{GONE}-7", "half")
    assert not claims.is_abandoned(folder, locked=False)
    own = folder_of(tmp_path, f"{HOST}.{claims._boot()}.{GONE}-7", "half")
    assert claims.is_abandoned(own, locked=False)


def test_what_was_written_before_the_machine_was_started_again_is_abandoned(tmp_path: Path) -> None:
    assert claims.is_abandoned(folder_of(tmp_path, f"{HOST}.0123456789ab.{os.getpid()}-7", "half"), locked=True)


@pytest.mark.parametrize("name", ["elsewhere.0123456789ab.1-7", "before.17", "x"])
def test_of_another_machine_or_version_an_hour_of_silence_decides(name: str, tmp_path: Path) -> None:
    folder = folder_of(tmp_path, name, "half")
    assert not claims.is_abandoned(folder, locked=True)
    for path in (folder / "half", folder):
        os.utime(path, (time.time() - claims.SILENCE - 1,) * 2)
    assert claims.is_abandoned(folder, locked=True)


def test_the_name_says_who_writes(tmp_path: Path) -> None:
    folder = claims.new_folder(tmp_path, "key")
    found = claims.NAMED.fullmatch(folder.name)
    assert found is not None
    assert (found["host"], int(found["process"]), int(found["start"])) == (
        HOST, os.getpid(), claims._started(os.getpid())
    )  # fmt: skip
    assert re.fullmatch(r"[0-9a-f]{1,12}", found["boot"])
