"""Four processes work on one suite in one store and are killed at random: the same scores, and no work is done twice.

The three tests of a store in a folder, and those at an address, work for ten minutes together.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import drivers
import pytest
import smallsuite
import test_run_faults as endpoints
from llm_server import Server
from test_crash_loop import ENVIRONMENT, scores, tiny_suite, whole_run
from test_s3 import bucket, server  # noqa: F401
from writers import Note, Writers, makings, notes_in

from harness.data import formats
from harness.remote.mirror import opened
from harness.remote.places import store_in
from harness.results import sharing

NUMBER = 4
SECONDS = 200.0
"""How long each test works, a third of ten minutes; the last store is worked on to its end."""
SEEDS = (1, 2, 3)


class Reference(NamedTuple):
    """A suite, the scores of a run that was left alone, and how long that took."""

    suite: Path
    scores: list[dict[str, Any]]
    seconds: float


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("alone")
    suite = tiny_suite(folder / "suite")
    seconds = whole_run(suite, folder / "store")
    return Reference(suite, scores(folder / "store"), seconds)


@pytest.mark.parametrize(
    ("more", "begun", "after_a_kill", "double"),
    [
        ([], 2, 0, ()),
        ([Note("kill", 1), Note("begin", 2, "b")], 3, 1, ()),
        ([Note("begin", 2, "b")], 3, 0, ("b",)),
        ([Note("begin", 2, "b"), Note("kill", 1)], 3, 0, ("b",)),
        ([Note("kill", 1), Note("begin", 2, "b"), Note("begin", 3, "b")], 4, 1, ("b",)),
    ],
)
def test_work_is_double_where_an_earlier_one_was_not_killed(
    more: list[Note], begun: int, after_a_kill: int, double: tuple[str, ...]
) -> None:
    notes = [Note("begin", 1, "a"), Note("end", 1, "a"), Note("begin", 1, "b"), *more]
    assert makings(notes) == (2, begun, after_a_kill, double)


def worked(
    alone: Reference, place: str, environments: list[Mapping[str, str]], log: Path, until: float, dice: random.Random
) -> Writers:
    """Let four processes work on a store; check how they ended, and that nothing was done twice."""
    arguments = ["run", str(alone.suite), "--store", place, "--quiet"]
    writers = Writers(arguments, environments, log, 2 * alone.seconds, dice)
    writers.work(until)
    assert {*writers.codes} <= {0, -9}, writers.said
    assert writers.codes.count(0) == NUMBER
    assert makings(notes_in(log)).double == ()
    return writers


def check_store(alone: Reference, place: str, outcomes: Path) -> None:
    """Nothing in the store is damaged, and each process has written the scores of one that was left alone."""
    assert [where for where, why in store_in(place).verify() if why] == []
    written = sorted(outcomes.glob("2*/scores.parquet"))
    assert len(written) >= NUMBER
    for path in written:
        assert formats.read_parquet(path) == alone.scores


def summary(seed: int, worked_on: list[tuple[Writers, Path]]) -> str:
    counted = [makings(notes_in(log)) for _, log in worked_on]
    kills, keys, begun, again = (
        sum(numbers)
        for numbers in (
            [writers.kills for writers, _ in worked_on], [one.keys for one in counted],
            [one.begun for one in counted], [one.after_a_kill for one in counted],
        )
    )  # fmt: skip
    return (
        f"seed {seed}: {len(worked_on)} stores, {kills} kills, {keys} keys, begun {begun} times, {again} after a kill"
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SEEDS)
def test_four_writers_of_a_folder_agree_and_share_the_work(
    seed: int, alone: Reference, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dice, until, done = random.Random(seed), time.monotonic() + SECONDS, list[tuple[Writers, Path]]()
    while time.monotonic() < until:
        root, log = tmp_path / f"store-{len(done)}", tmp_path / f"{len(done)}.log"
        done.append((worked(alone, str(root), [ENVIRONMENT] * NUMBER, log, until, dice), log))
        check_store(alone, str(root), root / "outcomes" / "toy")
        assert not list((root / "store").glob("quarantine/*"))
    assert any(writers.kills for writers, _ in done)
    with capsys.disabled():
        print(f"folder, {summary(seed, done)}")


@pytest.mark.s3
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("seed", SEEDS)
def test_four_machines_at_an_address_agree_and_share_the_work(
    seed: int, alone: Reference, bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]  # noqa: F811
) -> None:  # fmt: skip
    dice, until, done = random.Random(seed), time.monotonic() + SECONDS, list[tuple[Writers, Path]]()
    while time.monotonic() < until:
        address, log = f"s3://{bucket}/store-{len(done)}", tmp_path / f"{len(done)}.log"
        machines = [tmp_path / f"machine-{len(done)}-{number}" for number in range(NUMBER)]
        environments = [{**drivers.environment(folder), "OMP_NUM_THREADS": "1"} for folder in machines]
        done.append((worked(alone, address, environments, log, until, dice), log))
        with drivers.machine(tmp_path / f"reader-{len(done)}"):
            root = opened(address)
            sharing.refresh(root)
            check_store(alone, address, root / "outcomes" / "toy")
    assert any(writers.kills for writers, _ in done)
    with capsys.disabled():
        print(f"address, {summary(seed, done)}")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_writers_at_once_pay_an_endpoint_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries, labels, answers, judgements and timed requests: what one process pays for, the others wait for."""
    model = smallsuite.bi_encoder(tmp_path / "model")
    environment = {**ENVIRONMENT, "OPENAI_API_KEY": "none"}
    paid = []
    for number in (1, 3):
        folder = tmp_path / str(number)
        with Server(endpoints.right) as double:
            suite = endpoints.write_suite(folder, model, double)
            arguments = ["run", str(suite), "--store", str(folder / "store"), "--quiet"]
            writers = Writers(arguments, [environment] * number, folder / "log", 0, random.Random(0))
            writers.work(until=0)
            assert writers.codes == [0] * number, writers.said
            endpoints.assert_paid_once(double, folder / "store")
            paid.append(len(endpoints.paid(double)))
    assert paid[0] == paid[1]
