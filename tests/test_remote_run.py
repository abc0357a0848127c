"""A suite that is run with its store at an address, by machines that have nothing else in common."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import drivers
import pytest

from harness.cli import main as cli
from harness.errors import ConfigError
from harness.execution import session
from harness.experiments import benchmark
from harness.remote.mirror import mirror_of, opened, shown
from harness.remote.objects import Objects
from harness.results import outcomes, sharing


class Shared(NamedTuple):
    """An address with one outcome of a suite, and what made it."""

    address: str
    suite: Path
    first: benchmark.Finished
    asked: list[str]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    folder = tmp_path_factory.mktemp("shared")
    suite, address, executor = drivers.write_suite(folder / "suite"), f"file://{folder}/a team", drivers.Here()
    with drivers.machine(folder / "first"):
        first = benchmark.run(suite, address, executor=executor)
    return Shared(address, suite, first, executor.asked)


@pytest.fixture(autouse=True)
def second_machine(tmp_path: Path) -> Iterator[None]:
    with drivers.machine(tmp_path / "cache"):
        yield


def run_cli(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["harness", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_a_second_machine_computes_nothing_and_says_the_same(shared: Shared) -> None:
    assert shared.asked
    executor = drivers.Here()
    again = benchmark.run(shared.suite, shared.address, executor=executor)
    assert (executor.asked, again.calls_made, again.scores_computed) == ([], 0, 0)
    assert again.outcome.summaries == shared.first.outcome.summaries
    assert again.outcome.comparisons == shared.first.outcome.comparisons
    assert again.outcome.times_scored == 1
    assert outcomes.read(again.folder) == again.outcome
    # Both outcomes are at the address, under names of their own.
    there = Objects(shared.address).list("outcomes/toy")
    folders = {name.split("/")[2] for name in there if name.endswith("/outcome.json")}
    assert {shared.first.folder.name, again.folder.name} == folders
    assert json.loads(Objects(shared.address).read("outcomes/toy/latest.json") or b"") == {"folder": again.folder.name}


def test_another_machine_reports_gates_accepts_compares_and_verifies(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at, baselines = ("--store", shared.address), ("--baselines", f"file://{tmp_path}/accepted")
    assert run_cli(monkeypatch, "report", shared.suite, *at, "--html", tmp_path / "page.html") == 0
    assert (tmp_path / "page.html").is_file()
    assert run_cli(monkeypatch, "gate", shared.suite, *at, *baselines) == 2
    assert "nothing is there" in capsys.readouterr().err
    assert run_cli(monkeypatch, "accept", shared.suite, *at, *baselines, "--reason", "first") == 0
    with drivers.machine(tmp_path / "third"):
        assert run_cli(monkeypatch, "gate", shared.suite, *at, *baselines) == 0
        assert run_cli(monkeypatch, "leaderboard", *baselines, "--reports", tmp_path / "reports") == 0
    address = f"{shared.address}/outcomes/toy/{shared.first.folder.name}"
    assert run_cli(monkeypatch, "compare", address, "toy", *at) == 0
    assert run_cli(monkeypatch, "gate", shared.suite, *at, *baselines, "--outcome", address) == 0
    assert run_cli(monkeypatch, "store", "verify", *at) == 0
    assert "as it was written" in capsys.readouterr().out


def test_an_acceptance_replaces_the_one_before_on_every_machine(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at, baselines = ("--store", shared.address), ("--baselines", f"file://{tmp_path}/accepted")
    for reason in ("first", "second"):
        with drivers.machine(tmp_path / reason):
            assert run_cli(monkeypatch, "accept", shared.suite, *at, *baselines, "--reason", reason) == 0
    assert "(first)" in capsys.readouterr().out.replace("\n", " ")
    with drivers.machine(tmp_path / "first"):
        assert run_cli(monkeypatch, "accept", shared.suite, *at, *baselines, "--reason", "third") == 0
    assert "(second)" in capsys.readouterr().out.replace("\n", " ")
    # A folder of baselines that was copied to an address as it is.
    with drivers.machine(tmp_path / "first"):
        copied = opened(f"file://{tmp_path}/accepted") / "toy"
    shutil.copytree(copied, tmp_path / "flat" / "toy")
    (tmp_path / "flat" / "toy" / ".version").unlink()
    assert run_cli(monkeypatch, "gate", shared.suite, *at, "--baselines", f"file://{tmp_path}/flat") == 0


def test_an_attempt_that_failed_is_seen_elsewhere(
    shared: Shared, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nowhere").mkdir()
    broken = tmp_path / "suite.yaml"
    broken.write_text(shared.suite.read_text().replace("fixture:pocket", str(tmp_path / "nowhere")))
    with pytest.raises(ConfigError):
        benchmark.run(broken, shared.address, executor=drivers.Here())
    with drivers.machine(tmp_path / "third"):
        assert run_cli(monkeypatch, "gate", shared.suite, "--store", shared.address) == 2
        assert "has not ended in an outcome" in capsys.readouterr().err
        benchmark.run(shared.suite, shared.address, executor=drivers.Here())
    assert run_cli(monkeypatch, "gate", shared.suite, "--store", shared.address) == 0


def results(address: str, name: str, text: str) -> Path:
    """A folder of results on this machine."""
    folder = opened(address) / "outcomes" / "toy" / name
    folder.mkdir(parents=True)
    (folder / "outcome.json").write_text(text)
    (folder / "rows").write_text(text)
    return folder


def test_results_of_one_second_do_not_mix(tmp_path: Path) -> None:
    address = f"file://{tmp_path}/shared"
    names = []
    for machine in ("one", "two", "three"):
        with drivers.machine(tmp_path / machine):
            names.append(sharing.publish(results(address, "20260101T000000Z", machine)).name)
    assert names == ["20260101T000000Z", "20260101T000000Z-1", "20260101T000000Z-2"]
    with drivers.machine(tmp_path / "four"):
        root = opened(address)
        sharing.refresh(root, "toy")
        latest = root / "outcomes" / "toy" / "latest"
        assert latest.resolve().name == names[-1]
        assert (latest / "rows").read_text() == (latest / "outcome.json").read_text() == "three"
        # Of the others, what is counted and ranked.
        assert (root / "outcomes" / "toy" / names[0] / "outcome.json").read_text() == "one"
        assert not (root / "outcomes" / "toy" / names[0] / "rows").exists()
        assert (sharing.folder_at(f"{address}/outcomes/toy/{names[0]}") / "rows").read_text() == "one"
        assert (sharing.folder_at(f"{address}/outcomes/toy/latest") / "rows").read_text() == "three"


@pytest.mark.parametrize("pointer", [b"{", b"[]", b'{"folder": "../.."}', b'{"folder": 1}', b'{"folder": "gone"}'])
def test_a_damaged_pointer_leads_nowhere(pointer: bytes, tmp_path: Path) -> None:
    address = f"file://{tmp_path}/shared"
    with drivers.machine(tmp_path / "one"):
        sharing.publish(results(address, "20260101T000000Z", "one"))
    Objects(address).write("outcomes/toy/latest.json", pointer)
    root = opened(address)
    sharing.refresh(root)
    assert not (root / "outcomes" / "toy" / "latest").exists()


@pytest.mark.parametrize("left", ["", "hal"])
def test_a_file_that_a_power_cut_left_short_is_fetched_again(left: str, tmp_path: Path) -> None:
    root = opened(f"file://{tmp_path}/shared")
    mirror = mirror_of(root)
    assert mirror is not None
    mirror.objects.write("outcomes/rows", b"whole")
    mirror.pull("outcomes")
    (root / "outcomes" / "rows").write_text(left)
    mirror.pull("outcomes")
    assert (root / "outcomes" / "rows").read_text() == "whole"


def test_a_plain_folder_has_no_mirror_and_is_left_alone(tmp_path: Path) -> None:
    assert opened(tmp_path) == opened(str(tmp_path)) == tmp_path
    assert mirror_of(tmp_path) is None
    assert shown(tmp_path) == str(tmp_path)
    sharing.refresh(tmp_path)
    assert sharing.publish(tmp_path) == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_is_shown_as_its_address(tmp_path: Path) -> None:
    root = opened(f"file://{tmp_path}/shared")
    assert shown(root) == f"file://{tmp_path}/shared"
    assert shown(root / "outcomes" / "toy") == f"file://{tmp_path}/shared/outcomes/toy"


@pytest.mark.parametrize("place", ["s3:/bucket/prefix", "file:/tmp/x"])
def test_an_address_that_became_a_path_is_refused(place: str) -> None:
    with pytest.raises(ConfigError, match="'://'"):
        opened(Path(place))


def test_the_example_of_the_docs_is_told_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "remote.md").read_text(encoding="utf-8")
    example = page.partition("## An example")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", example, re.DOTALL)
    assert len(blocks) == 2
    drivers.write_suite(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "executor_named", lambda name, jobs: drivers.Here())
    for number, block in enumerate(blocks):
        with drivers.machine(tmp_path / f"machine {number}"):
            for line in block.strip().splitlines():
                program, *arguments = shlex.split(line.replace("file:///tmp", f"file://{tmp_path}"))
                assert program == "harness"
                assert run_cli(monkeypatch, *arguments) == 0, capsys.readouterr().err
    assert (tmp_path / "report.html").is_file()
