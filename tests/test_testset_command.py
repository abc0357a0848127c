"""`harness testset` as its user types it: an endpoint on loopback, a budget, a review, and its page of docs."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command import Leave, runner
from llm_server import Body, Served, Server, asked, says
from testset_author import Author, rows_of, write_corpus

from harness.cli.testset import shares
from harness.errors import ConfigError
from harness.stages.shared.wording import FAULTS
from harness.testset import folder as files
from harness.testset import reasons
from harness.testset.roles import Asked, author_of

DOCS = (Path(__file__).resolve().parent.parent / "docs" / "testset.md").read_text(encoding="utf-8")


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Leave:
    """Run the command in an empty folder at 80 columns."""
    monkeypatch.setenv("TEAM_LLM_KEY", "k")
    return runner(monkeypatch, capsys, tmp_path, columns=80)


def served(author: Author) -> Callable[[Body], Served]:
    return lambda body: says(author.answer(asked(body)) if "<" in asked(body) else '{"answer": "yes"}')


def test_an_endpoint_writes_is_paid_once_and_a_review_is_applied(leave: Leave, tmp_path: Path) -> None:
    write_corpus(tmp_path / "my-data", 40)
    with Server(served(Author(0.3))) as server:
        endpoint = ("--model", "m", "--base-url", server.url, "--api-key-env", "TEAM_LLM_KEY")
        code, out, _ = leave("testset", "my-data", "--dry-run", "-n", "20", *endpoint)
        assert (code, server.requests) == (0, 0)
        assert re.search(r"If no question is dropped: 58 requests, about [0-9,]+ tokens", out)
        assert not (tmp_path / "my-data" / "testset").exists()
        code, out, error = leave("testset", "my-data", "-n", "20", "-q", *endpoint)
        assert code == 0, error
        assert "Questions written by m" in out
        assert "20 questions added" in out
        assert "a person has seen 0 of 20" in out
        assert max(map(len, out.splitlines())) <= 80
        before = server.requests
        for name in ("queries.jsonl", "answers.jsonl", "spans.jsonl", "splits.tsv"):
            (tmp_path / "my-data" / name).unlink()
        code, out, _ = leave("testset", "my-data", "-n", "20", "-q", "--json", *endpoint)
        assert code == 0
        assert json.loads(out)["added"] == 20
        # Only the small questions before any work are asked again, and what had failed.
        assert server.requests - before <= 2 + 2 * Author(0.3).made["failed"] + 6
    review = tmp_path / "my-data" / "review.csv"
    text = review.read_text(encoding="utf-8")
    first = files.read(tmp_path / "my-data").items[0].query_id
    review.write_text(text.replace(f'"{first}",""', f'"{first}","accept"'), encoding="utf-8")
    code, out, _ = leave("testset", "my-data", "--apply", "my-data/review.csv")
    assert (code, "1 accepted, 0 edited, 0 rejected, 19 not decided; 1 question changed." in out) == (0, True)
    assert "a person has seen 1 of 20" in out
    code, out, _ = leave("testset", "my-data", "--apply", "my-data/review.csv", "--json")
    assert (code, json.loads(out)["changed"]) == (0, 0)
    review.write_text("id,decision\nsyn-x,accept\n", encoding="utf-8")
    code, out, _ = leave("testset", "my-data", "--apply", "my-data/review.csv")
    assert (code, "no synthetic question 'syn-x'" in " ".join(out.split())) == (3, True)


def test_a_budget_ends_the_run_and_the_next_one_pays_for_nothing_twice(leave: Leave, tmp_path: Path) -> None:
    write_corpus(tmp_path / "my-data", 40)
    author = Author()
    with Server(
        lambda body: says(served(author)(body).content["choices"][0]["message"]["content"], usage=False)
    ) as server:
        endpoint = ("-n", "20", "-q", "--model", "m", "--base-url", server.url, "--api-key-env", "TEAM_LLM_KEY")
        code, _, error = leave("testset", "my-data", "--max-tokens", "9000", *endpoint)
        assert code == 3
        assert "budget" in error or "max_tokens" in error
        assert server.requests > 2
        code, out, _ = leave("testset", "my-data", *endpoint)
        assert code == 0
        assert "20 questions added" in out
    asked_for = Counter(asked(seen.body) for seen in server.seen if "<" in asked(seen.body))
    assert max(asked_for.values()) == 1


def test_a_dead_endpoint_and_a_wrong_command_line_are_a_sentence(leave: Leave, tmp_path: Path) -> None:
    write_corpus(tmp_path / "my-data", 4)
    code, _, error = leave("testset", "my-data", "--model", "m", "--base-url", "http://127.0.0.1:9/v1")
    assert code == 2
    assert "127.0.0.1:9" in error
    code, _, error = leave("testset", "nowhere")
    assert (code, "no such folder" in error) == (2, True)
    code, _, error = leave("testset", "my-data", "--kinds", "singel=1,several=x")
    assert code == 2
    assert "unknown name 'singel'; did you mean 'single'?" in error
    assert "gives no share" in error


@pytest.mark.parametrize("text", ["single", "single=-1", "single=nan", "single=0", "=1", "single=inf"])
def test_shares_that_make_no_sense(text: str) -> None:
    with pytest.raises(ConfigError):
        shares("--kinds", text, {}, ("single", "several"))
    assert shares("--kinds", " several=1, single=3", {}, ("single", "several")) == {"single": 0.75, "several": 0.25}


def test_the_model_comes_from_the_command_line_or_from_a_suite(tmp_path: Path) -> None:
    assert author_of(Asked()).author.in_process
    served_one = author_of(Asked("m", "http://127.0.0.1:1/v1", None, None, 9))
    assert (served_one.author.model, served_one.examiner.model, served_one.max_tokens) == ("m", "m", 9)
    suite = (Path(__file__).resolve().parent.parent / "suites" / "quickstart" / "suite.yaml").read_text(
        encoding="utf-8"
    )
    llm = "\nllm:\n  synthesizer: {model: big, base_url: 'http://127.0.0.1:1/v1'}\n  labeler: {model: other}\n"
    llm += "  max_tokens: 77\n"
    (tmp_path / "suite.yaml").write_text(suite + llm, encoding="utf-8")
    author = author_of(Asked(suite=str(tmp_path / "suite.yaml")))
    assert (author.author.model, author.examiner.model, author.max_tokens) == ("big", "other", 77)
    with pytest.raises(ConfigError, match="add --model"):
        author_of(Asked(base_url="http://127.0.0.1:1/v1"))
    with pytest.raises(ConfigError, match="runs in process"):
        author_of(Asked("embedded:smollm2-135m-instruct", "http://127.0.0.1:1/v1"))


def test_every_command_of_the_page_is_taken(monkeypatch: pytest.MonkeyPatch, leave: Leave, tmp_path: Path) -> None:
    """Each command runs: against an endpoint on loopback in place of the one that the page names."""
    write_corpus(tmp_path / "my-data", 30)
    suite = (Path(__file__).resolve().parent.parent / "suites" / "quickstart" / "suite.yaml").read_text(
        encoding="utf-8"
    )
    commands = [shlex.split(line)[1:] for line in re.findall(r"^    (harness testset .*)$", DOCS, re.MULTILINE)]
    assert len(commands) >= 5
    with Server(served(Author())) as server:
        llm = f"\nllm:\n  synthesizer: {{model: m, base_url: '{server.url}'}}\n"
        (tmp_path / "suite.yaml").write_text(suite + llm, encoding="utf-8")
        endpoint = ["--model", "gpt-4o-mini", "--base-url", server.url]
        for command in commands:
            options = [server.url if word.startswith("https:") else word for word in command]
            applies, told = "--apply" in options, {"--model", "--suite"} & set(options)
            options += [] if applies or told or "--dry-run" in options else endpoint
            if applies:
                (tmp_path / "review.csv").write_bytes((tmp_path / "my-data" / "review.csv").read_bytes())
            code, _, error = leave(*options)
            assert code == 0, (options, error)
    for kind in ("single", "several", "unanswerable", "paraphrased"):
        assert f"| `{kind}` |" in DOCS
    for name in re.findall(r"^\| `([a-z./]+)`", DOCS, re.MULTILINE):
        if "/" in name or name.endswith((".jsonl", ".tsv", ".csv")):
            assert (tmp_path / "my-data" / name).exists() or name.startswith("qrels"), name
    sentence = re.search(r"^    (Questions are synthetic .*)$", DOCS, re.MULTILINE)
    assert sentence is not None
    assert {row["metadata"]["by"] for row in rows_of(tmp_path / "my-data" / "queries.jsonl")} == {"gpt-4o-mini"}


def test_every_reason_that_is_printed_is_on_the_page() -> None:
    printed = set(reasons.ORDER) - set(FAULTS)
    assert {reason for reason in printed if f"`{reason}`" not in DOCS} == set()


@pytest.mark.parametrize(("capable", "share"), [(True, 0.2), (False, 0.0)])
def test_a_small_model_writes_no_paraphrased_questions_unless_asked(
    capable: bool, share: float, leave: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, float]] = []

    def maker(folder: Path, wishes: Any, *_: object) -> Any:
        seen.append(dict(wishes.kinds))
        raise ConfigError("seen")

    monkeypatch.setattr("harness.cli.testset.roles.author_of", lambda asked: SimpleNamespace(capable=capable))
    monkeypatch.setattr("harness.cli.testset.roles.services_of", lambda *_: SimpleNamespace(folder=Path()))
    monkeypatch.setattr("harness.cli.testset.roles.writer_of", lambda *_, **__: None)
    monkeypatch.setattr("harness.cli.testset.roles.similarity", lambda author: None)
    monkeypatch.setattr("harness.cli.testset.shared_answers.exchange", lambda folder: None)
    monkeypatch.setattr("harness.cli.testset.Maker", maker)
    assert leave("testset", "my-data")[0] == 2
    assert leave("testset", "my-data", "--kinds", "paraphrased=1")[0] == 2
    assert [kinds["paraphrased"] for kinds in seen] == [share, 1.0]
    assert all(sum(kinds.values()) == pytest.approx(1) for kinds in seen)
