"""One request to an OpenAI-compatible endpoint: what came back, or which kind of fault it was. Nothing is raised.

Exceptions of the client hold the request, and with it the key: none leaves this module, only sentences from which the
key is removed. Must not know caches, budgets or forms, and does not ask twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import time
import weakref
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from harness.llm import background
from harness.suite.roles import Llm

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

DEFAULT_URL = "https://api.openai.com/v1"
NO_KEY = "none"
"""Sent where no key is set: servers of one's own need none, and the client wants one."""
SHOWN = 200
CONNECTING = 15.0
AGAIN = {408, 409, 425}
_NOISY = ("openai", "httpx", "httpcore")

Kind = Literal["again", "dead", "hung", "busy", "question", "refused", "stop"]
"""What a fault says: ask again; the endpoint does not work; does not answer at all; is asked too often; this question
cannot be asked so; the model declines; no question will be answered."""


class Answer(NamedTuple):
    """A text, whether it was cut at `max_tokens`, and the tokens that the server counted, where it did."""

    text: str
    cut: bool = False
    prompt_tokens: int | None = None
    new_tokens: int | None = None


class Fault(NamedTuple):
    """Why there is no answer. `paid` holds the counts of an answer that cannot be used, `advice` what a user can do."""

    kind: Kind
    what: str
    advice: str = ""
    status: int = 0
    retry_after: float | None = None
    paid: Answer | None = None


class Line:
    """The way to the endpoint of a role. Usable in the loop of `background` only, except for `problem` and `where`."""

    def __init__(self, llm: Llm) -> None:
        self._llm = llm
        self._client: AsyncOpenAI | None = None
        url = llm.base_url or os.environ.get("OPENAI_BASE_URL") or ""
        self._default = not url
        self.where = _shown_url(url or DEFAULT_URL)

    def __repr__(self) -> str:
        return f"Line({self.where})"

    def problem(self) -> tuple[str, str] | None:
        """What is wrong with address or key before anything is asked, and what to do about it."""
        name, key = self._llm.api_key_env, self._key()
        if not self.where:
            return "base_url is no address", "write it as http://host:port/v1"
        if not key and self._default:
            advice = f"set {name}, or name a server of your own by base_url or OPENAI_BASE_URL"
            return f"no key for {self.where}: the environment variable {name} is not set", advice
        if not (key.isascii() and key.isprintable()):
            return f"the environment variable {name} holds characters that no key has", "set it anew"
        return None

    def _key(self) -> str:
        # Keys read out of files often end in a newline, which no header may hold.
        return os.environ.get(self._llm.api_key_env, "").strip()

    def scrub(self, text: str) -> str:
        """The text without the key, and without headers that the environment adds."""
        lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()
        for secret in (self._key(), *(line.partition(":")[2].strip() for line in lines)):
            if len(secret) > len(NO_KEY) and secret in text:
                text = text.replace(secret, "***")
        return text

    def _open(self) -> AsyncOpenAI:
        if self._client is None:
            from openai import AsyncOpenAI, Timeout

            for name in _NOISY:
                # They log addresses and headers of requests.
                logger = logging.getLogger(name)
                logger.setLevel(max(logger.level, logging.WARNING))
            # A connection more than this is a mistake in the address, and not a slow model.
            limit = Timeout(self._llm.timeout, connect=min(self._llm.timeout, CONNECTING))
            self._client = AsyncOpenAI(
                api_key=self._key() or NO_KEY, base_url=self._llm.base_url or None, max_retries=0, timeout=limit
            )
            weakref.finalize(self, _close, self._client, os.getpid())
        return self._client

    async def send(self, body: Mapping[str, Any], timeout: float | None = None) -> Answer | Fault:
        """Make one request; `timeout` (seconds, for all of it) defaults to that of the role."""
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        limit = timeout or self._llm.timeout
        try:
            # What it takes to import and open the client is not the endpoint's time.
            create = self._open().chat.completions.with_raw_response.create
            async with asyncio.timeout(limit):
                raw = await create(**body)
            return self._read(raw.content)
        except (TimeoutError, APITimeoutError):
            return Fault("hung", f"no answer within {limit:g} s", "raise its timeout if the model is slow")
        except APIStatusError as error:
            return self._refusal(error)
        except APIConnectionError as error:
            return Fault("dead", f"no connection ({_cause(error)})")
        except Exception as error:
            # Whatever else the client raises, at its own checks for example, may hold what was to be sent.
            return Fault("question", f"the request cannot be made ({type(error).__name__})")

    def _read(self, content: bytes) -> Answer | Fault:
        """The answer in the body of a response that says it is one."""
        try:
            whole = json.loads(content)
            choice = whole["choices"][0]
            message = choice["message"]
            text, refusal = message.get("content"), message.get("refusal")
            usage, ended = whole.get("usage"), choice.get("finish_reason")
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return Fault("dead", f"answers what is no chat completion: {self._short(content.decode(errors='replace'))}")
        usage = usage if isinstance(usage, dict) else {}
        text = self.scrub(text) if isinstance(text, str) else ""
        answer = Answer(
            text, ended == "length", _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
        )
        if refusal or ended == "content_filter":
            why = self._short(refusal) if isinstance(refusal, str) and refusal else "by a filter of content"
            return Fault("refused", f"refused: {why}", paid=answer)
        if text.strip():
            return answer
        if answer.cut:
            return Fault("question", "no text within max_tokens", "raise max_tokens", paid=answer)
        return Fault("again", "the answer is empty", paid=answer)

    def _refusal(self, error: APIStatusError) -> Fault:
        """What a status other than 200 says."""
        status, said = error.status_code, self._said(error)
        retry_after = _retry_after(error.response.headers)
        told = f"answers {status}" + (f": {said}" if said else "")
        if status in (401, 403):
            return Fault("stop", f"refuses the key ({told})", f"set {self._llm.api_key_env} to a valid key", status)
        if status == 404:
            model = self._llm.model
            if error.code == "model_not_found" or model in said:
                return Fault("stop", f"knows no model {model!r} ({told})", "correct the model's name", status)
            return Fault("stop", f"knows no such path ({told})", "correct base_url (it usually ends in /v1)", status)
        if status == 402 or "insufficient_quota" in (error.code, error.type):
            return Fault("stop", f"has no credit left ({told})", "top it up", status)
        if status == 429:
            return Fault("busy", told, "lower max_concurrency", status, retry_after)
        if status in AGAIN:
            return Fault("again", told, "", status, retry_after)
        if status >= 500 or status < 400:
            return Fault("dead", told, "", status, retry_after)
        return Fault("question", told, "", status)

    def _said(self, error: APIStatusError) -> str:
        body = error.body
        said = body.get("message") or body.get("detail") if isinstance(body, dict) else body
        return self._short(said if isinstance(said, str) else "" if said is None else json.dumps(said, default=str))

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
        background.submit(client.close())


def _shown_url(url: str) -> str:
    """An address without user, password and query; empty if it is none."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


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


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
    return value if whole else None


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
