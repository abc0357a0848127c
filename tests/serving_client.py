"""Requests to a server of systems on this machine."""

from __future__ import annotations

import http.client
import json
from typing import Any

from openai import OpenAI

from harness.serving.server import Server

ASK = [{"role": "user", "content": "Which valve closes the pump?"}]


class Response:
    """A response that was read to its end."""

    def __init__(self, raw: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.text = raw.status, raw.headers, raw.read().decode()

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def error(self) -> str:
        return str(self.json["error"]["message"])


def call(server: Server, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Response:
    """One request; a body that is no text is sent as JSON."""
    client = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    sent = body if isinstance(body, str | bytes | None) else json.dumps(body)
    kind = {"Content-Type": "application/json"} if body is not None else {}
    try:
        client.request(method, path, sent, {**kind, **(headers or {})})
        return Response(client.getresponse())
    finally:
        client.close()


def complete(server: Server, messages: Any = ASK, path: str = "/v1/chat/completions", **more: Any) -> Response:
    """A question by OpenAI's protocol."""
    return call(server, "POST", path, {"messages": messages, **more})


def client_of(server: Server, key: str = "none") -> OpenAI:
    """OpenAI's own client."""
    return OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/v1", api_key=key, max_retries=0)
