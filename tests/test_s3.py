"""A store on a server of S3: `moto`, in this process, over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drivers
import pytest

from harness.errors import ConfigError
from harness.experiments import benchmark
from harness.remote.mirror import opened
from harness.remote.objects import Objects
from harness.remote.places import store_in
from harness.results import outcomes, sharing
from harness.store import Store

pytestmark = [pytest.mark.s3, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
KEY = "ab" + "0" * 30


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": server, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "XDG_CACHE_HOME": str(tmp_path / "own"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return name


def machine_store(folder: Path, address: str) -> Store:
    with drivers.machine(folder):
        return store_in(address)


def put(store: Store, text: str) -> str:
    with store.claim(KEY) as folder:
        (folder / "a file [22] of 100% #1?.txt").write_text(text)
        return (store.commit(KEY, folder, {"stage": "toy"}) / "a file [22] of 100% #1?.txt").read_text()


def test_an_object_is_created_once(bucket: str) -> None:
    objects = [Objects(f"s3://{bucket}/a prefix") for _ in range(8)]
    created: list[bool] = []
    barrier = threading.Barrier(len(objects))

    def create(one: Objects, content: bytes) -> None:
        barrier.wait()
        created.append(one.create("name", content))

    threads = [threading.Thread(target=create, args=(one, f"{n}".encode())) for n, one in enumerate(objects)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(created) == {True: 1, False: 7}


def test_a_store_keeps_its_promises_on_s3(bucket: str, tmp_path: Path) -> None:
    address = f"s3://{bucket}/team/a prefix"
    one, two = (machine_store(tmp_path / name, address) for name in ("one", "two"))
    assert not two.has(KEY)
    assert put(one, "first") == "first"
    assert put(two, "second") == "first"
    assert [entry.facts for entry in two.entries()] == [{"stage": "toy"}]
    assert dict(two.verify()) == {f"{address}/store/ab/{KEY}": ""}
    one.discard(KEY)
    assert put(machine_store(tmp_path / "three", address), "third") == "third"
    # Nothing but the making that counts and its manifest is left: no lease, no file of a lost race.
    assert len(Objects(address).list("")) == 2


def test_a_listing_is_never_one_of_before(bucket: str) -> None:
    one, two = Objects(f"s3://{bucket}/prefix"), Objects(f"s3://{bucket}/prefix")
    assert list(one.list("")) == []
    two.write("name", b"content")
    assert list(one.list("")) == ["name"]
    two.delete("name")
    assert list(one.list("")) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot be reached"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "no usable credentials"),
        ({"AWS_PROFILE": "nobody"}, "no usable credentials"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(
    changes: dict[str, str | None], words: str, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in changes.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    run = _command("store", "verify", "--store", f"s3://{bucket}/prefix", folder=tmp_path)
    assert run.returncode == 2, run.stderr
    assert words in " ".join(run.stderr.split())
    assert "Traceback" not in run.stderr


def test_a_bucket_that_does_not_exist_is_not_made(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such bucket"):
        opened("s3://no-such-bucket-at-all/prefix")


def _command(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *map(str, arguments)]
    environment = {**drivers.environment(folder), "COLUMNS": "1000", "HOME": os.environ.get("HOME", str(folder))}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)


def test_a_suite_is_run_on_s3_and_a_second_machine_computes_nothing(bucket: str, tmp_path: Path) -> None:
    address, suite = f"s3://{bucket}/team", drivers.write_suite(tmp_path / "suite")
    with drivers.machine(tmp_path / "one"):
        first = benchmark.run(suite, address, executor=(executor := drivers.Here()))
    assert executor.asked
    with drivers.machine(tmp_path / "two"):
        again = benchmark.run(suite, address, executor=(idle := drivers.Here()))
    assert (idle.asked, again.calls_made, again.scores_computed) == ([], 0, 0)
    assert again.outcome.summaries == first.outcome.summaries


def test_two_machines_at_once_agree_and_share_the_work(bucket: str, tmp_path: Path) -> None:
    address, suite = f"s3://{bucket}/team", drivers.write_suite(tmp_path / "suite")
    runs: list[subprocess.CompletedProcess[str]] = []

    def work(name: str) -> None:
        (tmp_path / name).mkdir()
        runs.append(_command("run", suite, "--store", address, "--json", folder=tmp_path / name))

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.returncode for run in runs] == [0, 0], [run.stderr for run in runs]
    told: list[dict[str, Any]] = [json.loads(run.stdout) for run in runs]
    assert told[0]["summaries"] == told[1]["summaries"]
    made = Counter(row["key"] for one in told for row in one["ledger"] if not row["reused"])
    assert made
    sys.stderr.write(f"made: {len(made)} calls, {made.total()} makings\n")
    # A call is made twice only in the race window: both looked before either had noted a lease.
    assert made.total() <= len(made) + 2
    root = opened(address)
    sharing.refresh(root)
    assert len({path.parent.name for path in (root / "outcomes" / "toy").glob("2*/outcome.json")}) == 2
    assert outcomes.read(root / "outcomes" / "toy" / "latest").suite == "toy"
