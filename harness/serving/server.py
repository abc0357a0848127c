"""HTTP: routes, limits and headers. A request is answered in a thread of its own; models work in another one.

Every refusal is a sentence in the form of OpenAI's errors. Must not know how a question is answered.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from harness.serving import chat, page
from harness.serving.access import Access
from harness.serving.app import App, Refused
from harness.serving.worker import Gone

LINGER = 0.5
"""Seconds to wait for the rest of a request that was refused."""
LIMIT = 1 << 20
"""Bytes of a request's body."""
SKIPPED = 16 * LIMIT
"""Bytes of a body that is too long which are read all the same: a client that is cut off while it sends sees no
response."""
IDLE = 60.0
"""Seconds that a connection may wait for its next bytes."""
HEADERS = {
    "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}  # fmt: skip
HEADER_NAMES = re.compile(r"[A-Za-z0-9, -]{1,1000}")
JSON, HTML, EVENTS = "application/json; charset=utf-8", "text/html; charset=utf-8", "text/event-stream; charset=utf-8"


class Answer(NamedTuple):
    """A response: its body, what that is, its status, and headers beside the common ones."""

    body: bytes
    kind: str = JSON
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


def as_json(value: Any, status: int = 200, *headers: tuple[str, str]) -> Answer:
    """Return a value as a response. Half of a surrogate pair becomes a question mark."""
    return Answer(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"), JSON, status, headers)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE
    server: Server
    read = False

    def do_GET(self) -> None:
        """Answer a request, whatever its method."""
        started = time.perf_counter()
        self.read = False
        try:
            answer = self._routed()
        except Refused as refused:
            answer = error(refused)
        except (Gone, ConnectionError, TimeoutError):
            self.close_connection = True
            return
        except Exception:
            sys.stderr.write(traceback.format_exc())
            answer = error(Refused(500, "this is a bug in the harness; its terminal shows more", "internal"))
        try:
            self._send(answer)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        self.server.log(f"{self.command} {self.path} {answer.status} {1000 * (time.perf_counter() - started):.0f} ms")

    do_POST = do_HEAD = do_OPTIONS = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def _routed(self) -> Answer:
        headers = {name.title(): value for name, value in self.headers.items()}
        self.server.access.check(headers, preflight=self.command == "OPTIONS")
        if self.command == "OPTIONS":
            return self._preflight(headers)
        place = [unquote(part) for part in urlsplit(self.path).path.split("/") if part]
        # A base URL with /v1, without it, and with two of them is taken, as clients differ in what they add to it.
        while place[:1] == ["v1"]:
            place = place[1:]
        if place == [] and not urlsplit(self.path).path.startswith("/v1"):
            return self._only("GET", self._page)
        if place == ["chat", "completions"]:
            return self._only("POST", self._complete)
        if place == ["ask"]:
            return self._only("POST", self._ask)
        if place == ["models"]:
            return self._only("GET", lambda: as_json(chat.models(self.server.app, self.server.started)))
        if place[:1] == ["models"]:
            name = "/".join(place[1:])
            return self._only("GET", lambda: as_json(chat.model(name, self.server.app, self.server.started)))
        sentence = f"nothing is at {self.path[:200]}; there are /, /v1/models and /v1/chat/completions"
        raise Refused(404, sentence, "not_found")

    def _only(self, method: str, route: Callable[[], Answer]) -> Answer:
        if self.command != method and (method, self.command) != ("GET", "HEAD"):
            raise Refused(405, f"{self.command} is not possible here; use {method}", "method")
        return route()

    def _page(self) -> Answer:
        text, policy = page.render(self.server.app)
        return Answer(text.encode(), HTML, headers=(("Content-Security-Policy", policy),))

    def _ask(self) -> Answer:
        return as_json(page.ask(self._body(), self.server.app, self._gone))

    def _complete(self) -> Answer:
        app = self.server.app
        request = chat.parse(self._body(), app)
        served = app.ask(request.system, request.question, request.turns, self._gone)
        if served.reply is not None and served.reply.failure:
            raise Refused(502, f"the generator did not answer: {served.reply.failure}", "no_answer")
        identifier = f"chatcmpl-{uuid.uuid4().hex}"
        response = chat.Response(request, served, app.systems[request.system].label, identifier, int(time.time()))
        if request.stream:
            return Answer("".join(response.events()).encode("utf-8", "replace"), EVENTS)
        return as_json(response.whole())

    def _body(self) -> Any:
        """The body as JSON. Raises Refused if it is too long, or none."""
        if self.headers.get_content_type() != "application/json":
            raise Refused(415, "the body is not announced as JSON; send Content-Type: application/json", "content_type")
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,18}", length):
            raise Refused(411, "the length of the body is not known; send Content-Length", "length")
        if int(length) > LIMIT:
            self._skip(int(length))
            raise Refused(413, f"the body has {int(length):,} bytes; send at most {LIMIT:,}", "too_long")
        raw = self.rfile.read(int(length))
        if len(raw) < int(length):
            raise ConnectionAbortedError
        self.read = True
        try:
            return json.loads(raw.decode("utf-8-sig"))
        except (ValueError, RecursionError) as wrong:
            raise Refused(400, f"the body is not JSON in UTF-8: {wrong}", "not_json") from wrong

    def _skip(self, length: int) -> None:
        left = min(length, SKIPPED)
        while left > 0 and (piece := self.rfile.read(min(left, LIMIT))):
            left -= len(piece)

    def _gone(self) -> bool:
        """Whether the client has closed its connection."""
        try:
            ready, _, _ = select.select([self.connection], [], [], 0)
            return bool(ready) and not self.connection.recv(1, socket.MSG_PEEK)
        except (OSError, ValueError):
            return True

    def _preflight(self, headers: dict[str, str]) -> Answer:
        """What a browser asks before a page of another origin may send a request."""
        asked = headers.get("Access-Control-Request-Headers", "")
        allowed = asked if HEADER_NAMES.fullmatch(asked) else "authorization, content-type"
        more = [("Access-Control-Allow-Methods", "GET, POST"), ("Access-Control-Allow-Headers", allowed)]
        more += [("Access-Control-Max-Age", "600"), ("Allow", "GET, POST, OPTIONS")]
        if headers.get("Access-Control-Request-Private-Network") == "true":
            more.append(("Access-Control-Allow-Private-Network", "true"))
        return Answer(b"", JSON, 204, tuple(more))

    def _send(self, answer: Answer) -> None:
        if not self.read and (self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers):
            # What is left of the body would be read as the next request.
            self.close_connection = True
        self.send_response(answer.status)
        more = {**HEADERS, **dict(answer.headers), "Content-Type": answer.kind}
        origin = self.headers.get("Origin", "")
        if origin in self.server.access.origins:
            more |= {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
            more |= {"Cross-Origin-Resource-Policy": "cross-origin"}
        if answer.status != HTTPStatus.NO_CONTENT:
            more["Content-Length"] = str(len(answer.body))
        more |= {"Connection": "close"} if self.close_connection else {}
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        if self.close_connection and not self.read:
            self._let_go()

    def _let_go(self) -> None:
        """Read for a moment what the client still sends: closing at once would throw away the answer on its way."""
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(LINGER)
            left = LIMIT
            while left > 0 and (piece := self.connection.recv(65_536)):
                left -= len(piece)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request of HTTP."""
        self.close_connection = True
        self.command = getattr(self, "command", None) or "GET"
        self.headers = getattr(self, "headers", None) or self.MessageClass()
        self._send(error(Refused(code, message or HTTPStatus(code).phrase, "http")))

    def version_string(self) -> str:
        """Return the name of the server, without versions."""
        return "harness"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: `do_GET` tells of every request."""


def error(refused: Refused) -> Answer:
    """Return a refusal in the form of OpenAI's errors."""
    kind = "invalid_request_error" if refused.status < 500 else "server_error"
    said = {
        "message": refused.sentence, "type": kind, "param": refused.param or None, "code": refused.code or None,
    }  # fmt: skip
    headers = {401: ("WWW-Authenticate", 'Basic realm="harness serve", charset="UTF-8"'), 503: ("Retry-After", "10")}
    more = (headers[refused.status],) if refused.status in headers else ()
    return as_json({"error": said}, refused.status, *more)


class Server(ThreadingHTTPServer):
    """A server whose port is taken before models are loaded, and which listens once `open` has given it the systems."""

    daemon_threads = True
    app: App

    def __init__(self, host: str, port: int, access: Access, log: Callable[[str], None]) -> None:
        """Raises OSError if the port is taken, or if the host is no address of this machine."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.access, self.log, self.started = access, log, int(time.time())
        super().__init__((host, port), Handler, bind_and_activate=False)
        try:
            self.server_bind()
        except BaseException:
            self.server_close()
            raise

    def server_bind(self) -> None:
        """Bind without asking a name server how this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def open(self, app: App) -> None:
        """Listen, and serve these systems from the next `serve_forever` on."""
        self.app = app
        self.server_activate()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away; show any other error."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)
