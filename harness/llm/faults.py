"""Classify what an endpoint answers in place of a completion: by its status, error code and words.

Gateways wrap errors of other servers in a status of 200, as numbers, texts or words. Must not make requests, and sees
no secrets: texts were cleaned before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

AGAIN = {408, 409, 425, 499}
NOISE = ("input", "url", "ctx", "body")
"""Keys of pydantic's details that repeat the request."""

Kind = Literal["again", "dead", "hung", "busy", "question", "refused", "stop"]
"""What a fault means.

again     temporary: ask again
dead      the endpoint does not work
hung      the endpoint does not answer
busy      the endpoint rate-limits
question  this question cannot be answered as it was asked
refused   the model declines
stop      no question will be answered (key, model, credit, budget)
"""


class Completion(NamedTuple):
    """The text of an answer, whether it was `cut` at `max_tokens`, and the tokens that the server counted.

    Of texts that were embedded or scored it is in `values` instead: one for each text, as it is cached.

    `cached_tokens` are a part of the prompt's; `thought_tokens` are a part of the new ones, and not in the text.
    `prompt_tokens` and `new_tokens` are None where the server did not count them.
    """

    text: str
    cut: bool = False
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    cached_tokens: int = 0
    thought_tokens: int = 0
    values: tuple[str, ...] = ()


class Fault(NamedTuple):
    """Why there is no answer: its kind, `what` happened, and `advice` for the user.

    `status` is that of the response, `retry_after` in seconds. `paid` holds an answer that was charged but cannot be
    used. `message` holds the words of the server in full, `about` the fields of the request that they name.
    """

    kind: Kind
    what: str
    advice: str = ""
    status: int = 0
    retry_after: float | None = None
    paid: Completion | None = None
    about: tuple[str, ...] = ()
    message: str = ""


class ServerError(NamedTuple):
    """An error in a response body: its message, its codes, the status if it names one, and the fields it is about."""

    message: str
    codes: frozenset[str] = frozenset()
    status: int = 0
    about: tuple[str, ...] = ()


CODES: Mapping[str, int] = {
    "rate_limit": 429, "too_many_requests": 429, "throttling": 429, "resource_exhausted": 429, "limit_requests": 429,
    "limit_burst_rate": 429, "engine_overloaded": 429, "ratelimit": 429,
    "insufficient_quota": 402, "insufficient_balance": 402, "insufficient_credits": 402, "billing": 402,
    "arrearage": 402, "payment_required": 402, "exceeded_current_quota": 402,
    "invalid_api_key": 401, "invalidapikey": 401, "unauthorized": 401, "unauthenticated": 401, "authentication": 401,
    "invalid_authentication": 401, "permission": 403, "access_denied": 403, "forbidden": 403,
    "model_not_found": 404, "model_not_exist": 404, "not_found": 404, "deploymentnotfound": 404,
    "invalid_request": 400, "invalid_argument": 400, "invalid_parameter": 400, "invalidparameter": 400,
    "bad_request": 400, "badrequest": 400, "unsupported_parameter": 400, "unsupported_value": 400,
    "unsupportedparams": 400, "context_length_exceeded": 400,
    "overloaded": 503, "unavailable": 503, "server_error": 500, "internal_error": 500, "internalerror": 500,
    "internal": 500, "api_error": 500, "timeout": 504, "deadline_exceeded": 504,
}  # fmt: skip
"""Prefixes of error codes, and the status that they stand for."""
WORDS: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), status)
    for pattern, status in (
        (r"insufficient (balance|credit|quota|funds)|out of credits|exceeded your current quota|no credit", 402),
        (r"rate.?limit|too many requests|throttl|qps|concurren\w{1,9} limit|quota exceeded|limit reached", 429),
        (r"(invalid|incorrect|missing|no) (api.?)?key|unauthori[sz]ed|authenticat|login fail", 401),
        (r"model .{0,60}(not found|not exist|does not exist|unknown)|no such model|unknown model|^not found", 404),
        (r"unsupported (parameter|value)|unknown (name|field|parameter)|unrecogni[sz]ed|extra inputs|not support", 400),
        (
            r"overloaded|unavailable|time.?d? ?out|try again|internal (server )?error|upstream|bad gateway",
            503,
        ),
    )
)


def error_in(body: Any) -> ServerError | None:
    """Return the error in the body of a response, in any of the shapes that servers use; None if there is none."""
    try:
        return _error_in(body)
    except RecursionError:
        return ServerError("an error whose details are nested too deeply")


def _error_in(body: Any) -> ServerError | None:
    if isinstance(body, list):
        return next((error for item in body if (error := _error_in(item)) is not None), None)
    if isinstance(body, str):
        return ServerError(body) if body.strip() else None
    if not isinstance(body, Mapping):
        return None
    inner = body.get("error") or body.get("errors") or body.get("base_resp")
    if isinstance(inner, list):
        inner = inner[0] if inner else None
    source = inner if isinstance(inner, Mapping) else body
    if isinstance(source.get("message"), Mapping):
        # Mistral wraps the details of pydantic once more.
        source = {**source, **source["message"]}
    message = inner if isinstance(inner, str) and inner else _words(source)
    if message.startswith("{") and (wrapped := _wrapped(message)) is not None:
        return wrapped
    both = (source, body) if source is not body else (body,)
    codes = [
        value for mapping in both for name in ("code", "type", "status", "error_code") if (value := mapping.get(name))
    ]
    if not message and not inner:
        return None
    numbers = [mapping.get(name) for mapping in both for name in ("code", "status_code", "status", "http_status")]
    return ServerError(
        message or json.dumps(inner, default=str),
        frozenset(_plain(code) for code in codes if isinstance(code, str)),
        next((status for number in numbers if (status := _status(number))), 0),
        tuple(dict.fromkeys(_about(source))),
    )


def _wrapped(message: str) -> ServerError | None:
    """Return the error of another server that a gateway passes on as a text."""
    try:
        body = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return _error_in(body) if isinstance(body, Mapping) and body.get("error") else None


def _words(source: Mapping[str, Any]) -> str:
    """Return the message of an error; pydantic's details without what repeats the request."""
    for name in ("message", "detail", "details", "error_msg", "status_msg", "msg", "title"):
        value = source.get(name)
        if isinstance(value, str) and value.strip():
            metadata = source.get("metadata")
            raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
            return f"{value}: {raw}" if isinstance(raw, str) and raw else value
        if isinstance(value, list | Mapping) and value:
            return json.dumps(_without_noise(value), default=str, ensure_ascii=False)
    return ""


def _without_noise(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_noise(item) for item in value]
    if isinstance(value, Mapping):
        return {name: item for name, item in value.items() if name not in NOISE}
    return value


def _about(source: Mapping[str, Any]) -> Iterator[str]:
    """Yield the fields of the request that an error names: OpenAI's `param`, pydantic's `loc`, Gemini's `field`."""
    if isinstance(param := source.get("param"), str) and param:
        yield param
    for name in ("detail", "details", "errors"):
        details = source.get(name)
        for detail in details if isinstance(details, list) else []:
            if not isinstance(detail, Mapping):
                continue
            if isinstance(detail.get("loc"), list) and detail["loc"]:
                yield ".".join(str(part) for part in detail["loc"] if part != "body")
            violations = detail.get("fieldViolations")
            for violation in violations if isinstance(violations, list) else []:
                if isinstance(violation, Mapping) and violation.get("field"):
                    yield str(violation["field"])


def _plain(code: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", code).casefold()


def _status(value: Any) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600 else 0


def status_of(error: ServerError) -> int:
    """Return the status that an error in a response of 200 stands for; 0 if neither code nor words tell."""
    if error.status:
        return error.status
    for code in sorted(error.codes):
        for beginning, status in CODES.items():
            if code.startswith(beginning) or code.replace("_", "").startswith(beginning.replace("_", "")):
                return status
    return next((status for pattern, status in WORDS if pattern.search(error.message)), 0)


def _names(model: str, message: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(model)}(?![\w-])", message) is not None


class RequestContext(NamedTuple):
    """Names for sentences about faults: the model, and the environment variable that holds the key."""

    model: str
    key: str


def fault_of(
    status: int, error: ServerError, description: str, asked: RequestContext, retry_after: float | None = None
) -> Fault:
    """Return the fault that a status stands for; `description` says what the server answered, for people."""
    about, message = error.about, error.message
    if status in (401, 403):
        return Fault("stop", f"refuses the key ({description})", f"set {asked.key} to a valid key", status)
    if status == 404:
        if any("model" in code for code in error.codes) or _names(asked.model, message):
            what = f"has no model {asked.model!r} ({description})"
            return Fault("stop", what, "correct the model's name", status, about=about, message=message)
        advice = "correct base_url (it usually ends in /v1)"
        return Fault("stop", f"has no such path ({description})", advice, status, about=about, message=message)
    if status == 402 or any(code.startswith("insufficient") for code in error.codes):
        return Fault("stop", f"has no credit left ({description})", "add credit", status)
    if status == 429:
        return Fault("busy", description, "lower max_concurrency", status, retry_after)
    if status in AGAIN or not status:
        return Fault("again", description, "", status, retry_after)
    if status >= 500 or status < 400:
        return Fault("dead", description, "", status, retry_after, about=about, message=message)
    return Fault("question", description, "", status, about=about, message=message)
