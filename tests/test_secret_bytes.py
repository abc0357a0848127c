"""No secret is in any byte that the commands write: every file is unpacked and searched after a whole run.

Secrets are planted wherever a machine has some: in the environment, in addresses with passwords, in the settings of a
checkout and of other programs, in the name of the user and of the home folder.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drivers
import llm_server
import pocket
import pytest
import test_hostile_ids
from llm_server import Served, Server

from harness.cli import main as cli
from harness.execution import session

USER, HOME = "planted-user-name", "planted-home-name"
SECRETS = {
    "OPENAI_API_KEY": "sk-proj-plantedKey1Alpha2Bravo3Charlie", "TEAM_ROUTE": "planted-route-4f5a6b7c",
    "HF_TOKEN": "hf_PlantedTokenAbcDefGhiJklMnoPqr", "ANTHROPIC_API_KEY": "sk-ant-api03-plantedAnthropic0123",
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED012345678", "AWS_SECRET_ACCESS_KEY": "planted/aws+Secret0123456789abcdefghijkl",
    "AWS_SESSION_TOKEN": "plantedSessionToken0123456789", "QDRANT_API_KEY": "planted-qdrant-0123456789",
    "MLFLOW_TRACKING_PASSWORD": "planted-mlflow-password", "GITHUB_TOKEN": "ghp_plantedGithub0123456789abcdefghij",
    "WANDB_API_KEY": "0123plantedwandb456789abcdef0123456789ab", "SOME_UNKNOWN_THING": "planted-unknown-thing",
    "DATABASE_URL": "postgresql://planted-db-user:planted-db-password@127.0.0.1/db",
    "HTTPS_PROXY": "http://planted-proxy-user:planted-proxy-password@127.0.0.1:9",
    "HF_ENDPOINT": "http://planted-hub-user:planted-hub-password@127.0.0.1:9",
    "PIP_INDEX_URL": "https://planted-pip-user:planted-pip-password@127.0.0.1/simple",
}  # fmt: skip
REMOTE = "https://planted-git-user:planted-git-password@127.0.0.1/team/repository.git"
ACCEPTED_BY = f"toy/accepted.json: {USER}: {USER}"
"""The one place of a name: accepted scores say who accepted them."""


def sought() -> dict[str, bytes]:
    """Every secret as it could stand in a file: plain, as JSON and addresses write it, and in base64 at any place."""
    texts = {*SECRETS.values(), REMOTE, USER, HOME}
    texts |= {part for value in (*SECRETS.values(), REMOTE) for part in re.findall(r"planted-[a-z]+-[a-z]+", value)}
    found = {}
    for text in texts:
        forms = {text, json.dumps(text)[1:-1], urllib.parse.quote(text, safe="")}
        for shift in range(3):
            coded = base64.b64encode(b"\0" * shift + text.encode()).decode()
            forms.add(coded[4:-4])
        found |= {f"{text}: {form}": form.encode() for form in forms if len(form) >= 10}
    return found


def contents(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what they hold when they are unpacked."""
    raw = path.read_bytes()
    yield raw
    if raw[:2] == b"\x1f\x8b":
        yield gzip.decompress(raw)
    if raw[:4] == b"PAR1":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        yield repr(table.to_pylist()).encode() + repr(table.schema.metadata).encode()
    for packed in re.findall(rb"H4sI[A-Za-z0-9+/=]{20,}", raw):
        yield gzip.decompress(base64.b64decode(packed + b"=" * (-len(packed) % 4)))


def leaks(root: Path) -> list[str]:
    wanted = sought()
    found = []
    for path in sorted(root.rglob("*")):
        names = path.relative_to(root).as_posix().encode()
        pieces = [names, *(contents(path) if path.is_file() and not path.is_symlink() else ())]
        found += [
            f"{path.relative_to(root)}: {name}" for name, form in wanted.items() if any(form in one for one in pieces)
        ]
    return found


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in the home of the user, in which the commands run."""
    home = tmp_path / HOME
    folder = home / "work"
    folder.mkdir(parents=True)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    for name in ("USER", "LOGNAME", "USERNAME", "GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"):
        monkeypatch.setenv(name, USER)
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.setenv(name, f"{USER}@example.org")
    for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, SECRETS["HTTPS_PROXY"])
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("NUMBA_CACHE_DIR", drivers.COMPILED)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (home / ".netrc").write_text(f"machine 127.0.0.1 login x password {SECRETS['SOME_UNKNOWN_THING']}\n")
    (home / ".aws").mkdir()
    (home / ".aws" / "credentials").write_text(
        f"[default]\naws_secret_access_key = {SECRETS['AWS_SECRET_ACCESS_KEY']}\n"
    )
    (home / ".cache" / "huggingface").mkdir(parents=True)
    (home / ".cache" / "huggingface" / "token").write_text(SECRETS["HF_TOKEN"])
    for arguments in (
        ["init", "-q"],
        ["remote", "add", "origin", REMOTE],
        ["add", "."],
        ["commit", "-qm", USER, "--allow-empty"],
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)
    monkeypatch.chdir(folder)
    return folder


def answering(body: llm_server.Body) -> Served:
    return llm_server.says("The answer is as the passage says.")


def suite(url: str, more: dict[str, Any]) -> str:
    role = {
        "model": "m", "base_url": url, "headers": {"x-route": "${TEAM_ROUTE}"},
        "query": {"token": "${SOME_UNKNOWN_THING}"}, "extra_body": {"metadata": {"key": "${WANDB_API_KEY}"}},
    }  # fmt: skip
    changes = {
        **drivers.CHANGES, "pipeline.generator": {"model": "llm:generator"}, "llm": {"generator": role},
        "measures": ["ndcg@10", "recall@10", "token_f1"], "baseline_rows": ["bm25", "untuned"],
        "track": {"mlflow": {"address": "http://127.0.0.1:9"}, "timeout": 5}, **more,
    }  # fmt: skip
    return pocket.suite_text(changes)


SAMPLE: list[list[str]] = [
    ["run", "-q"], ["report", "--html", "page.html", "--svg", "page.svg"], ["accept", "--reason", "first"],
    ["gate", "--junit", "gate.xml", "--json-file", "gate.json"],
]  # fmt: skip
COMMANDS = [["doctor"], ["plan"], *SAMPLE, ["diagnose"]]


def written(work: Path) -> list[str]:
    """What is in the checkout and in the caches of the user, but for what the test itself has planted there."""
    cache = work.parent / ".cache"
    beside = [f"{path.name}: {what}" for path in work.glob("*.*") if path.is_file() for what in of_file(path)]
    return [*leaks(work / ".harness"), *leaks(work / "baselines"), *leaks(cache / "rag-tuning-harness"), *beside]


def of_file(path: Path) -> list[str]:
    return [name for name, form in sought().items() if any(form in one for one in contents(path))]


def called(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["harness", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_no_byte_that_is_written_or_shown_holds_a_secret(
    work: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "executor_named", lambda name, jobs: drivers.Here())
    with Server(answering) as server:
        # One run for this and for ids that look like paths.
        test_hostile_ids.dataset(work / "data")
        hostile = {"dataset": {"path": "data"}, "candidates": {}, "pipeline.depth": 10}
        (work / "suite.yaml").write_text(suite(server.url, hostile), encoding="utf-8")
        codes = {name: called(monkeypatch, name, "suite.yaml", *more) for name, *more in SAMPLE}
        seen = str(server.seen)
    told = capfd.readouterr()
    assert codes == dict.fromkeys(codes, 0), told.err
    for name in ("TEAM_ROUTE", "SOME_UNKNOWN_THING", "WANDB_API_KEY"):
        assert SECRETS[name] in seen, "they were used"
    assert (work / "page.html").stat().st_size > 10_000
    assert len(list((work / ".harness").rglob("*.parquet"))) > 0
    assert written(work) == [ACCEPTED_BY]
    test_hostile_ids.check(work)
    shown = (told.out + told.err).replace("\n", "")
    assert [text for text in (*SECRETS.values(), REMOTE, "planted-proxy-password") if text in shown] == []


@pytest.mark.slow
def test_no_byte_of_a_run_in_processes_of_its_own_holds_a_secret(work: Path) -> None:
    tuned = {
        "candidates": {"judged": {"tune": ["retriever"], "pairs": "judged"}}, "pipeline.retriever": {"max_length": 64},
        "recipes": {"retriever": {"epochs": 1, "batch_size": 8, "checkpoints": 1}},
    }  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, drivers._paths()))}
    export = ["export", "judged", "out", "--suite", "suite.yaml"]
    more = [
        export,
        ["leaderboard", "--baselines", "baselines", "--reports", "reports"],
        ["store", "verify"],
        ["store", "du"],
    ]
    with Server(answering) as server:
        (work / "suite.yaml").write_text(suite(server.url, tuned), encoding="utf-8")
        for command in [*([name, "suite.yaml", *rest] for name, *rest in COMMANDS), *more]:
            program = [sys.executable, "-P", "-m", "harness", *command]
            done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=900, env=environment)
            assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
            assert not [text for text in (*SECRETS.values(), REMOTE) if text in done.stdout + done.stderr], command
    assert [*written(work), *leaks(work / "out"), *leaks(work / "reports")] == [ACCEPTED_BY]


def test_a_secret_is_found_in_whatever_it_is_packed(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = f"before {SECRETS['AWS_SECRET_ACCESS_KEY']} after"
    (tmp_path / "plain").write_text(text)
    (tmp_path / "a.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "page.html").write_text(f"<script>{base64.b64encode(gzip.compress(text.encode())).decode()}</script>")
    (tmp_path / "coded").write_text(base64.b64encode(b"ab" + text.encode()).decode())
    (tmp_path / "address").write_text(urllib.parse.quote(text, safe=""))
    (tmp_path / SECRETS["QDRANT_API_KEY"]).touch()
    pq.write_table(pa.table({"a": [text]}), tmp_path / "t.parquet", compression="zstd")
    found = {line.split(":")[0] for line in leaks(tmp_path)}
    assert found == {path.name for path in tmp_path.iterdir()}
