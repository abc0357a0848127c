"""`harness serve` as it is typed: what it says, what it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from served import Run, served

from harness.cli import serve as verb
from harness.cli.serve_source import choose
from harness.errors import ConfigError
from harness.serving.access import TOKEN_VARIABLE, Access

__all__ = ["served"]
LONG = "a-token-of-some-length"


def command(served: Run, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "harness", "serve", str(served.suite), *arguments, "--store", str(served.store)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", **more}


def refused(served: Run, *arguments: str) -> str:
    """The only line that a command prints, which ends with exit code 2."""
    done = subprocess.run(
        command(served, *arguments), capture_output=True, text=True, env=environment(), timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr.strip()


def test_it_serves_what_was_measured_until_it_is_interrupted(served: Run) -> None:
    names = ("untuned", "tuned")
    with subprocess.Popen(
        command(served, *names, "--port", "0", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        lines = []
        while (line := process.stdout.readline()).rstrip() != "}":
            assert line, process.stderr.read()
            lines.append(line)
        told: dict[str, Any] = json.loads("".join([*lines, "}"]))
        assert told["models"] == ["untuned", "tuned:0"]
        assert told["suite"] == "served"
        client = OpenAI(base_url=told["api"], api_key="none", max_retries=0)
        question: Any = [{"role": "user", "content": "what is the lime kiln?"}]
        answers = [client.chat.completions.create(model=name, messages=question) for name in told["models"]]
        client.close()
        process.send_signal(signal.SIGINT)
        rest, error = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, ""), error
    assert "Traceback" not in error
    found = [[one["id"] for one in answer.rag["passages"]] for answer in answers]  # type: ignore[attr-defined]
    assert len(found[0]) == len(found[1]) == 10
    assert found[0] != found[1]
    assert all(answer.usage.completion_tokens for answer in answers)  # type: ignore[union-attr]


def test_a_port_that_is_taken_is_said_before_anything_is_loaded(served: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(served, "--port", str(port))
    assert said == f"error: --port {port}: another program uses it; choose another one, or 0 for a free one"


def test_a_system_that_there_is_not(served: Run) -> None:
    said = "error: suite served: no system 'tunde' in the latest outcome; did you mean 'tuned'?"
    assert refused(served, "tunde") == said


# ---- addresses, tokens and origins


@pytest.mark.parametrize(("token", "said"), [
    ("", "--host 0.0.0.0: other machines could ask, and no token is set; set HARNESS_SERVE_TOKEN to 16 characters or "
     "more, or serve on 127.0.0.1"),
    ("short", "--host 0.0.0.0: other machines could guess the token; set HARNESS_SERVE_TOKEN to 16 characters or "
     "more, or serve on 127.0.0.1"),
])  # fmt: skip
def test_other_machines_may_ask_with_a_token_alone(token: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        verb.access_of("0.0.0.0", token, ())
    assert str(caught.value) == said


def test_a_warning_says_that_other_machines_can_ask(capsys: pytest.CaptureFixture[str]) -> None:
    assert verb.access_of("0.0.0.0", f" {LONG}\n", ()) == Access(LONG, any_name=True)
    said = " ".join(capsys.readouterr().err.split())
    assert said == (
        f"warning: other machines can reach this server; every request needs the token of {TOKEN_VARIABLE}, and "
        "nothing is encrypted"
    )
    assert LONG not in said
    assert verb.access_of("127.0.0.1", "", ()) == Access()
    assert verb.access_of("localhost", "short", ()) == Access("short")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("origin", ["*", "chat.example.org", "https://chat.example.org/path", "ftp://a", "null"])
def test_an_origin_is_the_beginning_of_an_address(origin: str) -> None:
    with pytest.raises(ConfigError, match=r"is no origin; write https://chat\.example\.org"):
        verb.access_of("127.0.0.1", "", [origin])
    assert verb.access_of("127.0.0.1", "", ["https://a.example/"]).origins == {"https://a.example"}


@pytest.mark.parametrize(("host", "said"), [
    ("no such host.invalid", "is no address; write one such as 127.0.0.1"),
    ("203.0.113.7", "is no address of this machine; use 127.0.0.1"),
])  # fmt: skip
def test_an_address_that_is_none_of_this_machine(host: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        verb.bound(host, 0, Access(), print)
    assert str(caught.value) == f"--host {host}: {said}"


def test_the_page_says_what_each_system_is(served: Run) -> None:
    about = verb.about(choose(str(served.suite), ["untuned", "tuned"], served.store))
    assert about.suite == "served"
    assert about.lines["untuned"].startswith("the pipeline as it is; ndcg@10 0.")
    assert about.lines["tuned:0"].startswith("tunes retriever")


def test_nothing_listens_until_the_systems_are_loaded() -> None:
    server = verb.bound("127.0.0.1", 0, Access(), print)
    try:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.server_port), timeout=5)
    finally:
        server.server_close()


def test_a_suite_without_an_outcome_or_of_no_name(served: Run, tmp_path: Path) -> None:
    for suite, said in ((str(served.suite), "no outcome here"), ("nosuch", "no suite 'nosuch'")):
        with pytest.raises(ConfigError, match=said):
            choose(suite, (), tmp_path)
