"""Requests through the harness's chat against a bare client with a semaphore, at a server that answers in 200 ms.

Run ``python tests/perf/llm.py``. The two alternate within one run, each time with questions of their own; the ratio of
the medians should not exceed 1.25. Then the questions of one round are asked again: the cache has all of them.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

REQUESTS, IN_FLIGHT, ROUNDS, DELAY = 2000, 64, 3, 0.2
BAR = 1.25
SERVER = Path(__file__).parents[1] / "llm_server.py"


@contextmanager
def served() -> Iterator[tuple[str, list[int]]]:
    """The address of a server in a process of its own; when it has ended, the list holds its count of requests."""
    counted: list[int] = []
    command = [sys.executable, str(SERVER), str(DELAY)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), counted
        out, _ = process.communicate("")
        counted.append(int(out))


def bare(url: str, texts: list[str]) -> None:
    """As one would write it without the harness: no retries, no cache, no checks."""
    from openai import AsyncOpenAI

    async def ask_all() -> None:
        slots = asyncio.Semaphore(IN_FLIGHT)
        async with AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:

            async def ask(text: str) -> None:
                async with slots:
                    reply = await client.chat.completions.create(
                        model="m", messages=[{"role": "user", "content": text}], temperature=0, max_tokens=64, seed=0
                    )
                assert reply.choices[0].message.content == f"answer to {text}"

            await asyncio.gather(*(ask(text) for text in texts))

    asyncio.run(ask_all())


def ours(url: str, folder: Path, texts: list[str]) -> int:
    """The number of requests that were made."""
    from harness.llm import Ask, Message
    from harness.llm.endpoint import EndpointChat
    from harness.llm.services import Services
    from harness.suite.roles import Llm

    role = Llm(model="m", base_url=url, max_tokens=64, max_concurrency=IN_FLIGHT)
    chat = EndpointChat("judge", Services(roles={"judge": role}, folder=folder))
    replies = chat.ask_all([Ask((Message("user", text),)) for text in texts], lambda done, total: None)
    assert [reply.text for reply in replies] == [f"answer to {text}" for text in texts]
    return chat.spent.requests


def main() -> None:
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    requests = 0
    with tempfile.TemporaryDirectory() as folder, served() as (url, counted):
        bare(url, ["warm"])
        ours(url, Path(folder), ["warm"])
        for number in range(ROUNDS):
            texts = [f"question {number}-{place}" for place in range(REQUESTS)]
            for name in ("bare", "ours") if number % 2 else ("ours", "bare"):
                started = time.perf_counter()
                requests += bare(url, texts) or REQUESTS if name == "bare" else ours(url, Path(folder), texts)
                times[name].append(time.perf_counter() - started)
        started = time.perf_counter()
        again = ours(url, Path(folder), texts)
        cached = time.perf_counter() - started
    assert counted == [requests + 2]
    table = Table("what", "seconds", title=f"{REQUESTS} requests, {IN_FLIGHT} in flight, {DELAY} s each")
    for name, seconds in times.items():
        table.add_row(f"{name}, median of {ROUNDS}", f"{median(seconds):.2f}")
    table.add_row(f"from the cache, {again} requests", f"{cached:.2f}")
    table.add_row(f"ratio ours to bare, at most {BAR}", f"{median(times['ours']) / median(times['bare']):.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
