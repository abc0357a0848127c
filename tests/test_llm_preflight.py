"""An endpoint is checked before any work, and its key is in nothing that is written."""

from __future__ import annotations

import gc
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llm_server
import pytest
from endpoint_chat import KEY, chat_of, echo, services, silently, texts
from llm_server import Served, Server

from harness.errors import LlmStopped
from harness.llm import preflight
from harness.llm.services import Services
from harness.suite.roles import Judge, Llm, Role


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(echo) as server:
        yield server


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "PAUSES", (0.0, 0.0))


def problem(server: Server, tmp_path: Path, **changes: Any) -> str:
    return str(preflight.check("judge", services(server, tmp_path, **changes)) or "")


def test_a_good_endpoint_has_no_problem_and_is_asked_one_small_question(server: Server, tmp_path: Path) -> None:
    assert problem(server, tmp_path) == ""
    assert [one.body["max_tokens"] for one in server.seen] == [1024], "the question is not that of the role"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("served", "sentence"),
    [
        (
            llm_server.error(401, f"Incorrect API key provided: {KEY}", "invalid_api_key"),
            "refuses the key (answers 401: Incorrect API key provided: ***); set OPENAI_API_KEY to a valid key",
        ),
        (
            llm_server.error(404, "The model `m` does not exist", "model_not_found"),
            "has no model 'm' (answers 404: The model `m` does not exist); correct the model's name",
        ),
        (
            Served(404, b"<h1>Not Found</h1>", {"content-type": "text/html"}),
            "has no such path (answers 404: <h1>Not Found</h1>); correct base_url (it usually ends in /v1)",
        ),
        (
            Served(200, b"<html>Welcome</html>", {"content-type": "text/html"}),
            "does not answer with a chat completion: <html>Welcome</html>; check that it is up and that base_url is "
            "right (it usually ends in /v1)",
        ),
        (
            Served(200, {"choices": []}),
            'does not answer with a chat completion: {"choices": []}; check that it is up and that base_url is '
            "right (it usually ends in /v1)",
        ),
        (llm_server.error(503, "loading"), "answers 503: loading; check that it is up"),
        (llm_server.error(400, "bad"), "answers 400: bad; correct the model or base_url as it says"),
        (Served(hang=True), "no answer within 0.5 s; raise timeout if the model is slow"),
        (Served(drop=True), "no connection (RemoteProtocolError); check that it is up"),
        (llm_server.error(429, "gone", "insufficient_quota"), "has no credit left (answers 429: gone); add credit"),
    ],
)
def test_what_is_wrong_with_an_endpoint_is_one_sentence(
    served: Served, sentence: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.answering = lambda body: served
    found = problem(server, tmp_path, timeout=0.5 if served.hang else 20.0)
    assert found.startswith(f"llm.judge: {server.url}: {sentence}")
    assert "\n" not in found
    # A 400 may mean the form of the answer: the role would ask once more without, and so does the check.
    may_pass = any(words in sentence for words in ("503", "no connection", "does not answer"))
    assert server.requests == 1 + ("400" in sentence) + may_pass * len(preflight.PAUSES)


@pytest.mark.parametrize("fault", ["500", "503", "dropped connection"])
def test_a_fault_that_passes_ends_no_run_before_it_begins(fault: str, server: Server, tmp_path: Path) -> None:
    left = iter(preflight.PAUSES)
    server.answering = lambda body: echo(body) if next(left, None) is None else llm_server.FAULTS[fault](echo(body))
    assert problem(server, tmp_path) == ""
    assert server.requests == 1 + len(preflight.PAUSES)


@pytest.mark.parametrize(
    "served", [llm_server.error(429, "slow down"), llm_server.says(""), llm_server.says(None, refusal="no")]
)
def test_an_endpoint_that_is_there_and_knows_the_key_is_no_problem(
    served: Served, server: Server, tmp_path: Path
) -> None:
    server.answering = lambda body: served
    assert problem(server, tmp_path) == ""


def test_what_is_configured_wrongly_is_told_without_a_request(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    missing = "llm.judge: no key for https://api.openai.com/v1: the environment variable OPENAI_API_KEY is not set"
    assert problem(server, tmp_path, base_url=None).startswith(missing)
    with pytest.raises(LlmStopped, match="the environment variable MY_KEY is not set"):
        chat_of(server, tmp_path, base_url=None, api_key_env="MY_KEY").ask_all(texts("a"), silently)
    assert "base_url is not a valid URL" in problem(server, tmp_path, base_url="localhost:8000/v1")
    refused = "llm.judge: http://127.0.0.1:1/v1: no connection (Connection refused); check that it is up"
    assert problem(server, tmp_path, base_url="http://127.0.0.1:1/v1").startswith(refused)
    monkeypatch.setenv("OPENAI_API_KEY", "schlüssel")
    assert "OPENAI_API_KEY holds characters that a key cannot have" in problem(server, tmp_path)
    assert server.requests == 0


def test_nothing_is_checked_of_what_is_not_asked(server: Server, tmp_path: Path) -> None:
    assert problem(server, tmp_path, base_url="http://127.0.0.1:1/v1", replay=True) == ""
    roles: dict[Role, Llm | Judge] = {"judge": Llm(model="embedded:smollm2-135m-instruct")}
    assert preflight.check("judge", Services(roles=roles, folder=tmp_path)) is None


# Keys


def test_keys_come_from_the_environment_and_local_servers_need_none(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OTHER_KEY", f"{KEY}\n")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    chat_of(server, tmp_path, base_url=None).ask_all(texts("a"), silently)
    chat_of(server, tmp_path, api_key_env="OTHER_KEY").ask_all(texts("b"), silently)
    assert [one.headers["authorization"] for one in server.seen] == ["bearer none", f"bearer {KEY}"]


def test_the_key_is_in_no_file_log_message_or_traceback(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    header = "header-sentinel-987"
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"X-Proxy: {header}")
    caplog.set_level(logging.DEBUG)
    everything = f"{KEY} {header}"
    served = [
        llm_server.says(f"your key is {everything}"), llm_server.error(400, f"bad {everything}"),
        llm_server.error(500, f"bad {everything}"), Served(200, everything.encode()), Served(drop=True),
        llm_server.says(None, refusal=everything), Served(302, b"", {"location": f"http://127.0.0.1:1/?{KEY}"}),
        llm_server.error(401, f"Incorrect API key provided: {everything}"),
    ]  # fmt: skip
    shown: list[str] = []
    for number, one in enumerate(served):
        server.answering = lambda body, one=one: one  # type: ignore[misc]
        monkeypatch.setenv("OPENAI_BASE_URL", server.url.replace("//", f"//me:{header}@"))
        endpoint = chat_of(server, tmp_path, retries=1, base_url=None)
        try:
            shown += [str(reply) for reply in endpoint.ask_all(texts(f"{number}"), silently)]
        except LlmStopped:
            shown.append(traceback.format_exc())
        shown += [repr(endpoint), endpoint.stopped, problem(server, tmp_path)]
        # What a traceback may show that prints local variables.
        assert KEY not in f"{vars(endpoint)} {vars(endpoint._sender)} {vars(endpoint._sender.client)}"
    assert all(header in one.headers.values() for one in server.seen)
    gc.collect()
    written = b"".join(place.read_bytes() for place in tmp_path.rglob("*") if place.is_file())
    captured = capfd.readouterr()
    for text in (*shown, caplog.text, captured.out, captured.err, written.decode("latin-1")):
        assert KEY not in text
        assert header not in text
    assert b"your key is *** ***" in written
