"""Who may ask a server: names, origins, the token; and what every response tells a browser."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from openai import AuthenticationError
from served import Pretended, serving
from serving_client import ASK, call, client_of, complete

from harness.serving.access import Access, is_local, is_loopback
from harness.serving.server import Server

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def systems() -> dict[str, Pretended]:
    return {"untuned": Pretended()}


@pytest.fixture(scope="module")
def server(systems: dict[str, Pretended]) -> Iterator[Server]:
    with serving(systems) as running:
        yield running


@pytest.mark.parametrize(("host", "local"), [
    ("localhost", True), ("LOCALHOST:8765", True), ("127.0.0.1:1", True), ("127.8.8.8", True), ("[::1]:8765", True),
    ("evil.example", False), ("127.0.0.1.evil.example", False), ("localhost.evil.example:80", False), ("", False),
    ("192.168.0.1", False), ("0.0.0.0", False), ("[::1", False), ("evil.example@127.0.0.1.x", False),
])  # fmt: skip
def test_names_of_this_machine(host: str, local: bool) -> None:
    assert is_local(host) == local


def test_addresses_of_this_machine_alone() -> None:
    assert [is_loopback(one) for one in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "example.org")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


def test_a_name_that_was_pointed_here_is_refused(server: Server) -> None:
    for path in ("/", "/v1/models"):
        answer = call(server, "GET", path, headers={"Host": "rebound.example:8765"})
        assert (answer.status, answer.error) == (
            403, "this server is not called 'rebound.example:8765'; use localhost or 127.0.0.1",
        )  # fmt: skip


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "file://"])
def test_a_page_of_another_origin_is_refused(origin: str, server: Server) -> None:
    answer = call(server, "POST", "/ask", {"question": "x"}, {"Origin": origin})
    assert answer.status == 403
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert f"start with --allow-origin {origin}" in answer.error
    preflight = call(server, "OPTIONS", "/v1/chat/completions", headers={"Origin": origin})
    assert preflight.status == 403


def test_its_own_page_may_ask_under_each_name(server: Server) -> None:
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{server.server_port}"
        asked = call(server, "POST", "/ask", {"question": "x"}, {"Host": host, "Origin": f"http://{host}"})
        assert asked.status == 200


def test_an_allowed_origin_gets_the_headers_that_browsers_want(systems: dict[str, Pretended]) -> None:
    page = "https://chat.example.org"
    with serving(systems, Access(origins=frozenset([page]))) as server:
        asked = {
            "Origin": page, "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
            "Access-Control-Request-Private-Network": "true",
        }  # fmt: skip
        preflight = call(server, "OPTIONS", "/v1/chat/completions", headers=asked)
        assert (preflight.status, preflight.text) == (204, "")
        assert preflight.headers["Access-Control-Allow-Origin"] == page
        assert preflight.headers["Access-Control-Allow-Headers"] == "authorization,content-type,x-stainless-lang"
        assert preflight.headers["Access-Control-Allow-Private-Network"] == "true"
        answer = call(server, "POST", "/v1/chat/completions", {"messages": ASK}, {"Origin": page})
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, page)
        assert answer.headers["Vary"] == "Origin"
        wrong = call(server, "POST", "/v1/chat/completions", {"messages": []}, {"Origin": page})
        assert (wrong.status, wrong.headers["Access-Control-Allow-Origin"]) == (400, page), "a page can read why"
        assert call(server, "GET", "/", headers={"Origin": "https://evil.example"}).status == 403


def test_a_token_is_asked_of_everybody(systems: dict[str, Pretended]) -> None:
    access = Access(TOKEN, any_name=True)
    assert TOKEN not in repr(access)
    with serving(systems, access) as server:
        basic = [base64.b64encode(text.encode()).decode() for text in (f"anybody:{TOKEN}", "anybody:wrong", TOKEN)]
        good = [f"Bearer {TOKEN}", f"bearer  {TOKEN}", f"Basic {basic[0]}"]
        bad = ["", "Bearer", "Bearer wrong", f"Basic {basic[1]}", f"Basic {basic[2]}", "Basic ???", f"Token {TOKEN}"]
        for path in ("/", "/v1/models"):
            for header in good:
                assert call(server, "GET", path, headers={"Authorization": header}).status == 200
            for header in bad:
                answer = call(server, "GET", path, headers={"Authorization": header} if header else {})
                assert answer.status == 401, header
                assert answer.headers["WWW-Authenticate"].startswith("Basic ")
                assert TOKEN not in answer.text
        # A server with a token is called by whatever name its network gives it.
        named = {"Host": "gpu-box.lan:8765", "Authorization": f"Bearer {TOKEN}"}
        assert call(server, "GET", "/v1/models", headers=named).status == 200
        for key in (TOKEN, "wrong"):
            client = client_of(server, key)
            if key == TOKEN:
                assert client.models.list().data
            else:
                with pytest.raises(AuthenticationError, match="send the token of HARNESS_SERVE_TOKEN"):
                    client.models.list()
            client.close()


def test_every_response_forbids_what_a_browser_would_allow(server: Server) -> None:
    for answer in (call(server, "GET", "/"), complete(server), call(server, "GET", "/nowhere")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Server"] == "harness"
    head = call(server, "HEAD", "/")
    assert (head.status, head.text) == (200, "")
    assert int(head.headers["Content-Length"]) > 1000
