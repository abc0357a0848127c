"""What docs/serve.md shows is what the command takes and the server answers."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from served import Pretended, found, serving
from serving_client import call, complete

from harness.cli import main as cli
from harness.cli.serve import HOST, PORT, TOKEN_LENGTH
from harness.cli.serve_source import MOST
from harness.data.datasets import load_dataset
from harness.execution.served_system import PARTS
from harness.llm import Reply
from harness.serving.access import TOKEN_VARIABLE
from harness.serving.app import PASSAGES, QUESTION
from harness.serving.server import LIMIT
from harness.serving.worker import ROOM
from harness.suite.sources import DatasetSource

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
ADDRESS = f"http://{HOST}:{PORT}"


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def systems() -> dict[str, Any]:
    staged = Pretended("staged (seed 0)", lambda text: Reply(text), found(12, chunks=True))
    return {"untuned": Pretended(), "staged:0": staged}


def test_the_commands_can_be_typed() -> None:
    lines = [line for block in examples("sh") for line in block.splitlines() if "harness serve" in line]
    command = cli.load("serve")
    seen = set()
    for line in lines:
        words = shlex.split(line.partition("#")[0].partition("harness serve ")[2])
        values = command.make_context("serve", words).params
        assert values["suite"] == "suites/support"
        assert len(values["systems"] or ()) <= MOST
        seen |= {name for name, value in values.items() if value not in (None, False, [], ())}
    assert {"port", "host", "origins", "systems"} <= seen
    for option in ("--port", "--host", "--passages", "--allow-origin", "--store", "--json"):
        assert f"`{option}`" in PAGE


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = examples("python")
    assert ADDRESS in example
    with serving(systems()) as server:
        space: dict[str, Any] = {}
        exec(example.replace(ADDRESS, f"http://127.0.0.1:{server.server_port}"), space)
        space["client"].close()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Which valve closes the pump?"
    assert said[1] == "manual-0#0-9 3.5 True"


def test_the_curl_example_is_answered() -> None:
    (line,) = [block.replace("\\\n", " ") for block in examples("sh") if block.startswith("curl")]
    words = shlex.split(line)
    path = words[1].removeprefix(ADDRESS)
    name, _, value = words[words.index("-H") + 1].partition(": ")
    with serving(systems()) as server:
        assert call(server, "POST", path, words[words.index("-d") + 1], {name: value}).status == 200


def test_the_field_has_what_the_page_says() -> None:
    (example,) = map(json.loads, examples("json"))
    with serving(systems()) as server:
        rag = complete(server, model="staged:0", temperature=1).json["rag"]
    assert rag.keys() == example.keys()
    assert rag["passages"][0].keys() == example["passages"][0].keys()
    assert rag["milliseconds"].keys() == example["milliseconds"].keys()
    assert rag["ignored"] == example["ignored"]
    for name in ("searched", "answered", "ignored", "passages"):
        assert f"| `{name}` |" in PAGE


def test_numbers_and_names_are_those_of_the_code() -> None:
    for said in (
        f"({PASSAGES})", f"more than {QUESTION:,} characters", f"more than {ROOM} questions",
        f"more than {LIMIT >> 20} MiB", f"`{TOKEN_VARIABLE}`", f"{TOKEN_LENGTH} characters or more",
        *(f"`{part}`" for part in PARTS),
    ):  # fmt: skip
        assert said in PAGE, said


def test_saved_questions_become_queries_of_a_dataset(tmp_path: Path) -> None:
    """The files as the page's script writes them, appended as the docs say; see `test_serve_browser`."""
    data = tmp_path / "data"
    shutil.copytree(ROOT / "fixtures" / "pocket", data)
    before = load_dataset(DatasetSource(path=str(data)), "test")
    known = next(iter(before.documents))
    texts = {"asked-1": "Which valve?", "asked-2": "And which pump?"}
    told = {"source": "harness serve", "conversation": "asked-1"}
    rows: list[dict[str, Any]] = [{"_id": key, "text": text, "metadata": told} for key, text in texts.items()]
    rows[1]["history"] = [{"role": "user", "content": "Which valve?"}, {"role": "assistant", "content": "The ball."}]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "qrels.tsv").write_text(
        f"query-id\tcorpus-id\tscore\nasked-1\t{known}\t1\nasked-2\t{known}\t1\n", encoding="utf-8"
    )
    (block,) = [block for block in examples("sh") if "tail -n +2" in block]
    _shell(block.replace("my-data", "data"), tmp_path)
    after = load_dataset(DatasetSource(path=str(data)), "test")
    assert not after.repairs
    new = after.splits["test"].queries.keys() - before.splits["test"].queries.keys()
    assert new == {"asked-1", "asked-2"}
    assert [turn.content for turn in after.splits["test"].queries["asked-2"].history] == ["Which valve?", "The ball."]
    assert after.splits["test"].qrels["asked-1"] == {known: 1}


def _shell(block: str, folder: Path) -> None:
    subprocess.run(["sh", "-ec", block], cwd=folder, check=True)
