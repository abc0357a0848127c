"""A server on loopback that speaks `/v1/chat/completions`, answers by a function, and injects faults by a seeded share.

It serves for as long as its context lasts, in a thread of its own; as a program, until its input ends. What it was
asked and what it would bill is counted.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, NamedTuple

Body = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """What is sent back: after `delay` seconds, or never (`hang`), or nothing but a closed connection (`drop`).

    With `cut`, half of the content is sent before the connection closes. With `pause`, it is sent in pieces, so many
    seconds apart; with `endless`, the last piece never. With `down`, nobody listens for so many seconds.
    """

    status: int = 200
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    hang: bool = False
    drop: bool = False
    cut: bool = False
    pause: float = 0.0
    endless: bool = False
    down: float = 0.0


class Seen(NamedTuple):
    path: str
    headers: dict[str, str]
    body: Body


Answering = Callable[[Body], Served]


def says(text: str | None, ended: str = "stop", usage: bool = True, refusal: str | None = None) -> Served:
    """A chat completion."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    whole: dict[str, Any] = {
        "id": "chat-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": ended}],
    }  # fmt: skip
    if usage:
        whole["usage"] = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return Served(content=whole)


def error(status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None) -> Served:
    """What OpenAI's servers send with a status that is none of success."""
    return Served(status, {"error": {"message": message, "type": code, "code": code, "param": None}}, headers or {})


def asked(body: Body) -> str:
    """The text of the last message."""
    return str(body["messages"][-1]["content"])


def _cut(good: Served) -> Served:
    text = good.content["choices"][0]["message"]["content"]
    return says(text[: len(text) // 2], ended="length")


FAULTS: dict[str, Callable[[Served], Served]] = {
    "429 with Retry-After": lambda _: error(429, "slow down", headers={"retry-after": "1"}),
    "429 without Retry-After": lambda _: error(429, "slow down"),
    "500": lambda _: error(500, "oops"),
    "503": lambda _: Served(503, b"<html>down</html>", {"content-type": "text/html"}),
    "dropped connection": lambda _: Served(drop=True),
    "hang": lambda _: Served(hang=True),
    "empty content": lambda _: says(""),
    "truncated JSON": _cut,
    "JSON of the wrong shape": lambda _: says(json.dumps({"grade": "good", "items": [1]})),
    "a score out of range": lambda _: says(json.dumps({"score": 7.5, "why": "x"})),
    "NaN": lambda _: says('{"score": NaN, "why": "x"}'),
    "a truth value for a number": lambda _: says('{"score": true, "why": "x"}'),
    "refusal": lambda _: says(None, refusal="I would rather not."),
    "an answer of 100,000 tokens": lambda _: says("word " * 100_000, usage=False),
}
"""Each makes a fault out of the answer that would have been right."""
ON_THE_WAY: dict[str, Callable[[Served], Served]] = {
    "refused connection": lambda _: Served(down=0.02),
    "body that is cut": lambda good: replace(good, cut=True),
    "bytes that never end": lambda good: replace(good, pause=0.02, endless=True),
    "slow bytes": lambda good: replace(good, pause=0.001),
    "empty body": lambda _: Served(200, b"", {"content-type": "application/json"}),
    "no JSON": lambda _: Served(200, b"<html>Welcome</html>", {"content-type": "text/html"}),
    "half of the JSON": lambda good: replace(good, content=json.dumps(good.content).encode()[:40]),
    "wrong schema": lambda _: Served(content={"answer": "yes"}),
    "empty choices": lambda _: Served(content={"id": "x", "object": "chat.completion", "choices": []}),
    "choices of null": lambda _: Served(content={"choices": None}),
    "an error in a status of 200": lambda _: Served(content={"error": {"message": "overloaded", "code": 503}}),
    "502": lambda _: Served(502, b"<html>bad gateway</html>", {"content-type": "text/html"}),
    "408": lambda _: error(408, "took too long"),
    "another model's name": lambda good: replace(good, content={**good.content, "model": "other-2026-01-01"}),
}
"""As `FAULTS`: connections, bodies and gateways. Slow bytes and the name of another model spoil no answer."""
HARMLESS = ("slow bytes", "another model's name")


class Faulty:
    """Answers by a function, and injects a fault into a share of the answers."""

    def __init__(self, right: Answering, fault: str, share: float, seed: int = 0) -> None:
        self.right, self.make, self.share = right, FAULTS[fault], share
        self.dice = random.Random(seed)
        self.injected = 0

    def __call__(self, body: Body) -> Served:
        good = self.right(body)
        if self.dice.random() >= self.share:
            return good
        self.injected += 1
        return self.make(good)


class Server:
    """Serves in a thread for as long as its context lasts; what `gate` gives for a request is sent in its place."""

    def __init__(self, answering: Answering, gate: Callable[[Seen], Served | None] = lambda seen: None) -> None:
        self.answering, self.gate = answering, gate
        self.seen: list[Seen] = []
        self.completed: list[tuple[Seen, Served]] = []
        self.billed = 0
        self.in_flight = self.most_in_flight = 0
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False

    @property
    def requests(self) -> int:
        return len(self.seen)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Server:
        self.port = 0
        self._loop.run_until_complete(self._listen())
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, backlog=512)

    async def _be_down(self, seconds: float) -> None:
        """Refuse connections for a while."""
        if self._server.is_serving():
            self._server.close()
            await asyncio.sleep(seconds)
            if not self._closing:
                await self._listen()

    async def _close(self) -> None:
        self._closing = True
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.01)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) if ": " in line else (line, "") for line in head[1:-2])
        body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"{}")
        self.seen.append(Seen(head[0].split(" ")[1], headers, body))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            seen = self.seen[-1]
            served = self.gate(seen) or self.answering(body)
            if served.down:
                # A task of its own, as this connection ends at once.
                self._tasks.add(task := asyncio.ensure_future(self._be_down(served.down)))
                task.add_done_callback(self._tasks.discard)
                return False
            return await self._answer(served, seen, reader, writer)
        finally:
            self.in_flight -= 1

    async def _answer(
        self, served: Served, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if served.hang:
            # Ends when the other side gives up.
            await reader.read()
        if served.hang or served.drop:
            return False
        await asyncio.sleep(served.delay)
        content = served.content if isinstance(served.content, bytes) else json.dumps(served.content).encode()
        headers = {"content-type": "application/json", "content-length": str(len(content)), **served.headers}
        lines = [f"HTTP/1.1 {served.status} X", *(f"{name}: {value}" for name, value in headers.items())]
        head = "\r\n".join([*lines, "", ""]).encode()
        for piece in _pieces(served, content):
            writer.write(head + piece)
            await writer.drain()
            await asyncio.sleep(served.pause)
            head = b""
        if served.cut:
            return False
        if served.endless:
            await reader.read()
            return False
        if isinstance(served.content, dict):
            self.billed += (served.content.get("usage") or {}).get("total_tokens", 0)
        self.completed.append((seen, served))
        return True


def _pieces(served: Served, content: bytes) -> list[bytes]:
    """What is sent of a content, one after another."""
    if served.cut:
        return [content[: len(content) // 2]]
    if not served.pause:
        return [content]
    size = max(1, len(content) // 5)
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    return pieces[:-1] if served.endless else pieces


def main(delay: float) -> None:
    """Print the address, answer each question after so many seconds, and at the end print how many there were."""
    with Server(lambda body: Served(content=says(f"answer to {asked(body)}").content, delay=delay)) as server:
        print(server.url, flush=True)
        sys.stdin.read()
        print(server.requests, flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]))
