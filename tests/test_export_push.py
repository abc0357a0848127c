"""`harness export --push`: what reaches a hub, byte by byte, and what is refused. The hub is a double on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hub_server
import pocket
import pytest
import yaml
from command import runner
from trials import Trial, device  # noqa: F401

from harness.deploy.revealing import Revealed, revealing
from harness.report.render.model_index import eval_results, model_index
from harness.suite import builtin

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "hf" + "_" + "t0ken" * 5
REPOSITORY = "someone/tuned"


@pytest.fixture
def hub() -> Iterator[hub_server.Hub]:
    with hub_server.hub() as running:
        yield running


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    made = Trial(tmp_path_factory.mktemp("trial"))
    made.tell()
    return made


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A trial whose generator is shown solved examples: questions of the train split."""
    made = Trial(tmp_path_factory.mktemp("shown"), {"candidates": {"whole": {
        "tune": ["retriever", "reranker", "generator"], "pipeline": {"generator": {"shots": 2}},
    }}})  # fmt: skip
    made.tell()
    return made


def command(hub_url: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `harness export` as a user does: the library of the hub reads its variables when it is imported."""
    values = {
        **os.environ, "HF_ENDPOINT": hub_url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "COLUMNS": "300", **environment,
    }  # fmt: skip
    line = [sys.executable, "-W", "ignore", "-m", "harness", "export", *arguments]
    return subprocess.run(line, capture_output=True, text=True, env=values, cwd=ROOT, timeout=200)


def pushed(trial: Trial, hub: hub_server.Hub, out: Path, *more: str, **environment: str) -> Any:
    arguments = ["whole", str(out), "--store", str(trial.store), "--suite", str(trial.file), "--push", REPOSITORY]
    return command(hub.url, *arguments, *more, **environment)


def test_all_files_and_nothing_of_this_machine(trial: Trial, hub: hub_server.Hub, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = pushed(trial, hub, out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"Uploaded it to {hub.url}/{REPOSITORY}."
    written = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert hub.pushed == written
    assert hub.large, "no file was large enough for the other way of uploading"
    assert hub.repositories[f"models/{REPOSITORY}"].private
    assert hub.tokens == {TOKEN}
    dataset = pocket.dataset()
    questions = [query.text for split in dataset.splits.values() for query in split.queries.values()]
    assert len(questions) > 30
    places = [trial.root, pocket.FOLDER, builtin.CHECKOUT, Path.home(), tmp_path, Path(sys.prefix)]
    for name, data in hub.pushed.items():
        for place in places:
            assert f"{place}/".encode() not in data, f"{name} names {place}"
        for question in questions:
            assert question.encode() not in data, f"{name} holds {question}"
        assert TOKEN.encode() not in data


def test_a_repository_that_is_there_gets_the_new_files(trial: Trial, hub: hub_server.Hub, tmp_path: Path) -> None:
    hub.add(REPOSITORY, {"README.md": b"old", "notes.txt": b"kept"})
    done = pushed(trial, hub, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    repository = hub.repositories[f"models/{REPOSITORY}"]
    newest = repository.commits[repository.names["main"]]
    assert newest == {**hub.pushed, "notes.txt": b"kept"}
    assert newest["README.md"] != b"old"
    assert not repository.private


def test_questions_are_pushed_only_if_asked(shown: Trial, hub: hub_server.Hub, tmp_path: Path) -> None:
    refused = pushed(shown, hub, tmp_path / "first")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: {tmp_path}/first/pipeline.yaml: holds a question of the dataset;")
    assert "add --with-questions if it may be uploaded" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert hub.pushed == {}
    done = pushed(shown, hub, tmp_path / "second", "--with-questions", "--public")
    assert done.returncode == 0, done.stderr
    examples = yaml.safe_load(hub.pushed["pipeline.yaml"])["prompt"]["examples"]
    assert len(examples) == 2
    assert not hub.repositories[f"models/{REPOSITORY}"].private


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "the hub refuses the token (status 401); set HF_TOKEN to a token that may write there"),
        (507, "the hub answered with status 507"),
    ],
)
def test_a_hub_that_refuses_is_a_sentence(
    status: int, said: str, trial: Trial, hub: hub_server.Hub, tmp_path: Path
) -> None:
    hub.status = status
    done = pushed(trial, hub, tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: --push {REPOSITORY}: {said}")
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "out" / "README.md").is_file()
    assert TOKEN not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("name", "token", "offline", "said"),
    [
        ("tuned", TOKEN, False, "'tuned' names no owner; write OWNER/NAME"),
        ("a/b/c", TOKEN, False, "'a/b/c' is no name that a repository can have; write OWNER/NAME"),
        (REPOSITORY, TOKEN, True, "HF_HUB_OFFLINE is set, so nothing is uploaded; unset it"),
        (REPOSITORY, "", False, "there is no token for the hub; set HF_TOKEN"),
    ],
)
def test_what_cannot_succeed_is_refused_before_any_work(
    name: str, token: str, offline: bool, said: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    left = runner(monkeypatch, capsys, tmp_path, columns=300)("export", "whole", "out", "--push", name)
    assert left == (2, "", f"error: --push: {said}\n")
    assert not (tmp_path / "out").exists()


# ---- what a folder would give away


QUESTION = "Which valve closes first when the boiler is cold, and why does it?"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.md", f"# Page\n\n{QUESTION}\n"),
        ("a.yaml", yaml.safe_dump({"examples": [{"user": QUESTION}]}, width=30)),
        ("a.json", json.dumps({"x": [QUESTION]})),
        ("a.txt", QUESTION.replace(" ", "\n  ")),
        ("b.md", "---\n" + yaml.safe_dump({"x": QUESTION}, width=30) + "---\n\ntext\n"),
    ],
)
def test_questions_are_found_however_they_are_written(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert revealing(tmp_path, [], [QUESTION, "short?"]) == [Revealed(name, "question", QUESTION)]
    assert revealing(tmp_path, [], ["Another question that nobody has written down?", "short?"]) == []


def test_questions_in_other_scripts_are_found(tmp_path: Path) -> None:
    question = "Wie groß ist der Kessel für 日本の駅?"
    (tmp_path / "a.json").write_text(json.dumps([question]), encoding="utf-8")
    (tmp_path / "b.yaml").write_text(yaml.safe_dump([question]), encoding="utf-8")
    assert {one.file for one in revealing(tmp_path, [], [question])} == {"a.json", "b.yaml"}


def test_paths_are_found_in_every_kind_of_file(tmp_path: Path) -> None:
    place = Path("/data/team/models")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "weights.bin").write_bytes(b"\0" * 100 + b"/data/team/models/base\0")
    (tmp_path / "other.bin").write_bytes(b"/data/team/models2 /data/team")
    assert revealing(tmp_path, [place], []) == [Revealed("deep/weights.bin", "path", str(place))]


def test_a_path_across_two_pieces_of_a_large_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.deploy.revealing.PIECE", 7)
    (tmp_path / "a.bin").write_bytes(b"xxxxx/data/team/models\0xxxxxxxxx")
    assert revealing(tmp_path, [Path("/data/team/models")], [])


def test_secrets_in_pages_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(f"key: {TOKEN}\n", encoding="utf-8")
    assert [one.kind for one in revealing(tmp_path, [], [])] == ["secret"]


# ---- results that hubs read


def test_the_card_has_a_model_index_that_the_library_of_the_hub_reads(trial: Trial) -> None:
    from huggingface_hub import ModelCard

    out = trial.root / "carded"
    from harness.cli.export import export

    export("whole", out, trial.store, str(trial.file))
    data = ModelCard.load(out / "README.md").data
    assert data.model_name == "whole"
    by_name = {result.metric_name: result for result in data.eval_results}
    assert by_name["ndcg@10"].metric_type == "ndcg_at_10"
    assert by_name["ndcg@10"].dataset_split == "test"
    outcome = trial.tell()
    means = {row.measure: row.mean for row in outcome.summaries if row.system == "whole"}
    assert {name: result.metric_value for name, result in by_name.items()} == pytest.approx(means, abs=1e-5)
    assert not (out / ".eval_results").exists()


def from_hub(trial: Trial, source: dict[str, Any]) -> Any:
    outcome = trial.tell()
    dataset = outcome.dataset.model_copy(update={"source": source})
    return outcome.model_copy(update={"dataset": dataset})


def test_a_dataset_of_the_hub_has_results_for_its_leaderboard(trial: Trial) -> None:
    from huggingface_hub import EvalResultEntry
    from huggingface_hub._eval_results import parse_eval_result_entries

    outcome = from_hub(trial, {"from": "hf://mteb/scifact@v2/corpus", "revision": "a" * 40})
    system = next(one for one in outcome.systems if one.name == "whole")
    (entry,) = parse_eval_result_entries(yaml.safe_load(yaml.safe_dump(eval_results(outcome, system))))
    mean = next(row.mean for row in outcome.summaries if (row.system, row.measure) == ("whole", "ndcg@10"))
    assert entry == EvalResultEntry(
        dataset_id="mteb/scifact", task_id="corpus", value=pytest.approx(mean), dataset_revision="a" * 40,
        date=outcome.created, notes=entry.notes,
    )  # fmt: skip
    assert entry.notes.startswith("ndcg@10 on the split test")
    index = model_index(outcome, system, "text-ranking")["model-index"][0]["results"][0]["dataset"]
    assert index == {
        "type": "mteb/scifact", "name": outcome.title or outcome.dataset.name, "config": "corpus", "split": "test",
        "revision": "a" * 40,
    }  # fmt: skip


@pytest.mark.parametrize("source", [{}, {"from": "corpus.csv"}, {"from": "hf://squad"}, {"from": "ir_datasets:x"}])
def test_other_datasets_have_none(source: dict[str, Any], trial: Trial) -> None:
    outcome = from_hub(trial, source)
    assert eval_results(outcome, next(one for one in outcome.systems if one.name == "whole")) == []


def test_a_mean_without_its_failures_is_no_result(trial: Trial) -> None:
    outcome = trial.tell()
    failed = tuple(row.model_copy(update={"failed": 1}) for row in outcome.summaries)
    outcome = outcome.model_copy(update={"summaries": failed})
    assert model_index(outcome, outcome.systems[0], "x") == {}


# ---- models and datasets by name, with a revision


FETCH = """
import sys
from harness.models import hub, loaders
try:
    place = loaders.locate(sys.argv[1])
    sys.stdout.write(f"{loaders.model_digest(sys.argv[1])} {hub.commits()[sys.argv[1]]}")
except Exception as error:
    sys.stdout.write(str(error))
"""
DATASET = """
import json, sys
from harness.data.imports import read_import
read = read_import(sys.argv[1])
sys.stdout.write("\\n" + json.dumps([read.source, len(read.documents)]))
"""


def in_process(code: str, hub: hub_server.Hub, cache: Path, name: str) -> str:
    environment = {
        **os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0",
        "HF_DATASETS_OFFLINE": "0", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "XDG_CACHE_HOME": str(cache),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, name], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_model_by_name_is_pinned_by_its_revision(trial: Trial, hub: hub_server.Hub, tmp_path: Path) -> None:
    folder = trial.tuned["retriever"]
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    first = hub.add("team/encoder", files)
    other = {**files, "config_sentence_transformers.json": b'{"prompts": {"query": "ask: "}}'}
    second = hub.add("team/encoder", other)
    newest = in_process(FETCH, hub, tmp_path / "cache", "team/encoder").split()
    pinned = in_process(FETCH, hub, tmp_path / "cache", f"team/encoder@{first}").split()
    assert newest[1] == second
    assert pinned[1] == first
    assert newest[0] != pinned[0]
    said = in_process(FETCH, hub, tmp_path / "cache", "team/encoder@v9")
    assert said.startswith("no model 'team/encoder@v9': the hub has no such revision of it; name a commit, a branch")


def test_a_dataset_by_name_is_read_at_one_commit(hub: hub_server.Hub, tmp_path: Path) -> None:
    rows = [{"question": f"What is {name}?", "context": f"{name} is a word.", "answer": name} for name in ("a", "b")]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    first = hub.add("team/questions", {"test.jsonl": lines}, "datasets")
    hub.add("team/questions", {"test.jsonl": lines + lines.replace(b"word", b"letter")}, "datasets")
    read = in_process(DATASET, hub, tmp_path / "cache", f"hf://team/questions@{first[:40]}")
    source, documents = json.loads(read.splitlines()[-1])
    assert (source["revision"], documents) == (first, 2)
    newest = in_process(DATASET, hub, tmp_path / "cache", "hf://team/questions")
    source, documents = json.loads(newest.splitlines()[-1])
    assert source["revision"] != first
    assert documents == 4
