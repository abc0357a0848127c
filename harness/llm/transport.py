"""One HTTP request to an OpenAI-compatible endpoint: a completion or a fault, never an exception.

Exceptions of the client hold the request, and with it the key. None leaves this module, only sentences from which the
key is removed. Must not know caches, budgets or schemas, and does not retry.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
import weakref
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from harness.llm import completions, event_loop
from harness.llm.address import (
    COMPLETIONS,
    address_of,
    carries_key,
    headers_of,
    key_of,
    proxy_of,
    query_of,
    secrets_of,
    variables,
)
from harness.llm.completions import Redaction
from harness.llm.faults import Completion, Fault, RequestContext, ServerError, error_in, fault_of
from harness.suite import secrets
from harness.suite.roles import Llm

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

NO_KEY = "none"
"""Sent where no key is set: local servers need none, but the client requires one."""
SHOWN = 200
CONNECTING = 15.0
AZURE = (
    "check that the deployment exists, and write base_url as "
    "https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT?api-version=... or as .../openai/v1"
)
PROXIES = (403, 407, 502, 503, 504)
"""Statuses that a proxy may answer in place of the server."""
MOST_BYTES = 128 << 20
"""Most bytes of one reply when it is unpacked: thousands of vectors take some tens of megabytes."""
PACKED_IN = frozenset(("", "gzip", "x-gzip", "deflate", "identity"))
"""Encodings of replies, of which none unpacks a few kilobytes to gigabytes."""
_NOISY = ("openai", "httpx", "httpcore")
Read = Callable[[bytes, RequestContext, Redaction], Completion | Fault]


class ReplyTooLarge(Exception):
    """A reply that would fill the memory of this process."""


async def read_bounded(response: Any) -> None:
    """Read the body of a response of httpx. Raises ReplyTooLarge beyond `MOST_BYTES`."""
    # Of one that is packed twice, a few kilobytes could be gigabytes.
    if response.headers.get("content-encoding", "").strip().casefold() not in PACKED_IN:
        raise ReplyTooLarge("is packed in a way that was not asked for")
    parts, size = [], 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise ReplyTooLarge(f"answers with more than {MOST_BYTES >> 20} MiB")
    # What httpx itself would keep: there is no public way to read in parts and keep the whole.
    response._content = b"".join(parts)


class EndpointClient:
    """An HTTP client for the endpoint of a role; all but `problem` and `where` must run in the loop of `event_loop`."""

    def __init__(self, llm: Llm) -> None:
        self._llm = llm
        self._client: AsyncOpenAI | None = None
        self._address = address_of(llm)
        self._default = not (llm.base_url or os.environ.get("OPENAI_BASE_URL"))
        self._proxy = proxy_of(self._address)
        self._asked = RequestContext(llm.model, llm.api_key_env)
        self._clean = Redaction(self.scrub, self._short)
        self.where = self._address.shown

    def __repr__(self) -> str:
        return f"EndpointClient({self.where})"

    def problem(self) -> tuple[str, str] | None:
        """Return what is wrong with address or key before anything is asked, and what to do; None if nothing is."""
        llm, key = self._llm, key_of(self._llm)
        name = llm.api_key_env
        if not self.where:
            return "base_url is not a valid URL", "write it as http://host:port/v1"
        lacking = [
            name for name in variables([llm.headers, llm.parameters, llm.extra_body]) if not os.environ.get(name)
        ]
        if lacking:
            return f"the environment variable {lacking[0]} is not set, which the suite sends to {self.where}", (
                f"export {lacking[0]}=..., or leave it out of headers, query and extra_body"
            )
        if self._address.deployment and "api-version" not in query_of(llm):
            where = f"{self.where} is an Azure deployment, which needs an API version"
            return where, "add ?api-version=... to base_url, or query: {api-version: ...}"
        if not key and self._default and not carries_key(llm):
            advice = f"set {name}, or name a server of your own by base_url or OPENAI_BASE_URL"
            return f"no key for {self.where}: the environment variable {name} is not set", advice
        values = {**headers_of(llm, self._address), name: key}
        if not all(value.isascii() and value.isprintable() for value in values.values()):
            return f"the environment variable {name} holds characters that a key cannot have", "set it again"
        return None

    def scrub(self, text: str) -> str:
        """Return a text without the key and without what the environment adds to a request."""
        for secret in secrets_of(self._llm):
            if len(secret) > len(NO_KEY) and secret in text:
                text = text.replace(secret, secrets.MASK)
        return text

    def _open(self) -> AsyncOpenAI:
        if self._client is None:
            from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout

            for name in _NOISY:
                # They log addresses and headers of requests.
                logger = logging.getLogger(name)
                logger.setLevel(max(logger.level, logging.WARNING))
            # A connection more than this is a mistake in the address, and not a slow model.
            limit = Timeout(self._llm.timeout, connect=min(self._llm.timeout, CONNECTING))
            self._client = AsyncOpenAI(
                api_key=key_of(self._llm) or NO_KEY, base_url=self._address.base, max_retries=0, timeout=limit,
                default_headers={"Accept-Encoding": "gzip, deflate"},
                http_client=DefaultAsyncHttpxClient(timeout=limit, event_hooks={"response": [read_bounded]}),
            )  # fmt: skip
            weakref.finalize(self, _close, self._client, os.getpid())
        return self._client

    async def send(
        self,
        body: Mapping[str, Any],
        timeout: float | None = None,
        path: str = COMPLETIONS,
        read: Read = completions.read,
    ) -> Completion | Fault:
        """Make one request; `timeout` in seconds covers all of it, and defaults to that of the role.

        `read` makes the answer out of the body of a response of status 200.
        """
        from httpx import Response
        from openai import APIConnectionError, APIStatusError, APITimeoutError, Omit

        limit = timeout or self._llm.timeout
        headers: dict[str, Any] = dict(headers_of(self._llm, self._address))
        if headers and "authorization" not in {name.casefold() for name in headers}:
            # The client would send the key a second time, where Azure looks for a token.
            headers["Authorization"] = Omit()
        options: Any = {"headers": headers, "params": query_of(self._llm)}
        try:
            # What it takes to import and open the client is not the endpoint's time.
            client = self._open()
            async with asyncio.timeout(limit):
                raw = await client.post(path, cast_to=Response, body=dict(body), options=options)
            return read(raw.content, self._asked, self._clean)
        except (TimeoutError, APITimeoutError):
            return Fault("hung", f"no answer within {limit:g} s", "raise timeout if the model is slow")
        except APIStatusError as error:
            return self._refusal(error)
        except APIConnectionError as error:
            if isinstance(error.__cause__, ReplyTooLarge):
                return Fault("question", str(error.__cause__), "ask for less at once, or check the server")
            return self._unreached(error)
        except Exception as error:
            # Whatever else the client raises, at its own checks for example, may hold what was to be sent.
            return Fault("question", f"the request could not be made ({type(error).__name__})")

    def _unreached(self, error: Exception) -> Fault:
        """Return the fault of a failed connection: of the endpoint, or of the proxy."""
        cause = _cause(error)
        if not self._proxy:
            return Fault("dead", f"no connection ({cause})")
        status = _tunnel_status(error)
        message = f"it answers {status}" if status else cause
        local = self._address.local
        advice = (
            f"set NO_PROXY={self._address.host}, as the address is local"
            if local
            else ("check that the proxy is up and allows this address, or unset HTTP_PROXY and HTTPS_PROXY")
        )
        return Fault("dead", f"no connection through the proxy {self._proxy} of the environment ({message})", advice)

    def _refusal(self, error: APIStatusError) -> Fault:
        """Return the fault of a status other than 200."""
        status = error.status_code
        refusal = error_in(_body(error)) or ServerError("")
        message = self.scrub(refusal.message).replace("\u2019", "'")
        description = f"answers {status}" + (f": {self._short(message)}" if message else "")
        if self._proxy and status in PROXIES:
            description += f" (through the proxy {self._proxy} of the environment)"
            if self._address.local:
                return Fault("dead", description, f"set NO_PROXY={self._address.host}", status)
        retry_after = _retry_after(error.response.headers)
        fault = fault_of(status, refusal._replace(message=message), description, self._asked, retry_after)
        lost = status == 404 and self._address.azure and fault.what.startswith("has no such path")
        return fault._replace(advice=AZURE) if lost else fault

    def _short(self, text: str) -> str:
        text = " ".join(self.scrub(text).split())
        return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."

    async def close(self) -> None:
        """Close connections; a later request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def _close(client: AsyncOpenAI, process: int) -> None:
    if process == os.getpid():
        event_loop.submit(client.close())


def _body(error: APIStatusError) -> Any:
    """The body of a response, parsed if it is JSON."""
    try:
        return error.response.json()
    except (ValueError, RecursionError):
        return error.response.text


def _tunnel_status(error: BaseException) -> int:
    """The status by which a proxy refused to let a connection through; 0 if it did not answer."""
    inner: BaseException | None = error
    while inner is not None:
        if type(inner).__name__ == "ProxyError" and (text := str(inner)[:3]).isdecimal():
            return int(text)
        inner = inner.__cause__ or inner.__context__
    return 0


def _cause(error: BaseException) -> str:
    """What the system said; other messages may hold what was sent."""
    while not (isinstance(error, OSError) and error.strerror):
        inner = error.__cause__ or error.__context__
        if inner is None:
            return type(error).__name__
        error = inner
    # asyncio writes the address in place of the plain words; other modules have numbers of their own.
    numbered = type(error).__module__ == "builtins" and error.errno is not None
    return os.strerror(error.errno) if numbered and error.errno else error.strerror


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After` (a number or a date, RFC 9110 10.2.3) or `retry-after-ms`; None if there is none."""
    in_ms, text = headers.get("retry-after-ms"), headers.get("retry-after", "")
    try:
        seconds = float(in_ms) / 1000 if in_ms else float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
