"""Replies of an endpoint that were made to harm: memory is bounded, and what is wrong is said in a sentence."""

from __future__ import annotations

import gzip
import json
import resource
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.llm import event_loop, transport
from harness.llm.faults import Completion, Fault
from harness.llm.transport import EndpointClient
from harness.suite.roles import Llm

GOOD = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Ada."}, "finish_reason": "stop"}]}
BODY = json.dumps(GOOD).encode()
Reply = Callable[[BaseHTTPRequestHandler], None]


def send(body: bytes, encoding: str = "") -> Reply:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        if encoding:
            handler.send_header("Content-Encoding", encoding)
        handler.end_headers()
        handler.wfile.write(body)

    return reply


def endless(handler: BaseHTTPRequestHandler) -> None:
    """A body without a length that does not end, until the other side goes."""
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b" " * (1 << 20))
    except OSError:
        return


@contextmanager
def served(reply: Reply) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        asked_for = ""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            Handler.asked_for = self.headers.get("Accept-Encoding", "")
            reply(self)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def asked(reply: Reply, monkeypatch: pytest.MonkeyPatch, timeout: float = 20.0) -> Completion | Fault:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with served(reply) as url:
        client = EndpointClient(Llm(model="m", base_url=url, timeout=timeout))
        try:
            body = {"model": "m", "messages": [{"role": "user", "content": "Who?"}]}
            return event_loop.submit(client.send(body)).result(60)
        finally:
            event_loop.submit(client.close()).result(10)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(BODY, ""), (gzip.compress(BODY), "gzip"), (zlib.compress(BODY), "deflate"), (BODY, "identity")],
)  # fmt: skip
def test_usual_replies_are_read(body: bytes, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = asked(send(body, encoding), monkeypatch)
    assert isinstance(answer, Completion), answer
    assert answer.text == "Ada."


HARMS: dict[str, tuple[Reply, str]] = {
    "an endless body": (endless, "answers with more than 2 MiB"),
    "a large body": (send(b" " * (3 << 20) + BODY), "answers with more than 2 MiB"),
    "a body that unpacks to much": (send(gzip.compress(bytes(200 << 20)), "gzip"), "answers with more than 2 MiB"),
    "packed twice": (
        send(gzip.compress(gzip.compress(bytes(200 << 20))), "gzip, gzip"),
        "is packed in a way that was not asked for",
    ),
    "packed in another way": (send(b"x", "br"), "is packed in a way that was not asked for"),
    "packed in a newer way": (send(b"x", "gzip, zstd"), "is packed in a way that was not asked for"),
}


@pytest.mark.parametrize("name", HARMS)
def test_a_reply_fills_no_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MOST_BYTES", 2 << 20)
    reply, what = HARMS[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = asked(reply, monkeypatch)
    assert isinstance(answer, Fault)
    assert what in answer.what
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"choices":' * 100_000, b"data: " + b"[" * 100_000])
def test_a_reply_that_is_nested_deeply_is_a_fault(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = asked(send(body), monkeypatch)
    assert isinstance(answer, Fault)
    assert len(answer.what) < 500
