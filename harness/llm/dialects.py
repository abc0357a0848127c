"""The dialect of a server: which optional parts of a request it refuses, and what is sent instead.

Optional are temperature, seed, the schema of an answer, the name of the token limit, the system turn, and streaming. A
refusal is recognised by the words of the server, and believed only if the server then answers. Dialects are stored
beside the cache of answers. Plans depend on them: an answer at a server's own temperature is never taken for one at 0.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from harness.files import write_atomically
from harness.llm.address import address_of
from harness.llm.faults import Fault
from harness.suite.roles import Llm

FILE = "dialects.json"
LIMITS = ("max_tokens", "max_completion_tokens")
SMALLEST = 0.01
"""The temperature that is sent where 0 is refused and a number above it is wanted."""
NEVER = (401, 402, 403, 407, 408, 409, 413, 429)
"""Statuses that say nothing about parameters."""
NEAR = 90
SHOWN = 200
"""Characters between the name of a parameter and the words that refuse it, at most."""
_REFUSES = (
    r"unsupported|not\s+(?:be\s+|yet\s+|currently\s+)?support|n't\s+support|unknown|unrecogni[sz]ed|unexpected|"
    r"extra\s+(?:inputs?|fields?|parameters?)|extra_forbidden|"
    r"(?:not|n't)\s+(?:permitted|allowed|available|valid|accepted|recogni[sz]ed|implemented|enabled|compatible)|"
    r"(?:invalid|illegal|unsupported)\s+(?:field|param\w*|arg\w*|key|value|temperature|seed)|deprecated|unavailable|"
    r"can(?:not|'t)\s+(?:both\s+)?be|only\s.{0,40}(?:allowed|supported|accepted|support)|"
    r"does\s?n[o']t\s+(?:accept|have|allow|recogni[sz]e|take|know|support)|must\s+(?:not\s+)?be|no\s+longer|incompatible|"
    r"got\s+an\s+unexpected|no\s+endpoints?\s+found|(?:use|please use)\s+.{0,3}max_completion_tokens"
)
_TOO_MUCH = re.compile(
    r"context|too\s+(?:large|long|many|high|big)|at\s+(?:most|least)|maximum\s+(?:value|allowed|of|number)|exceed|"
    r"(?:greater|less|more)\s+than|reduce|lower|<=|>=|range|between|\bmax(?:imum)?\s+(?:is|tokens\s+is)", re.IGNORECASE
)  # fmt: skip
_RANGE = re.compile(
    r"between|range|(?:greater|less)[\s_]+than|positive|above\s+0|<=|>=|[<>]\s*\d|[\[(]\s*0(?:\.0)?\s*,", re.IGNORECASE
)
_ABOVE_0 = re.compile(
    r"positive|(?:greater|more|higher|larger)[\s_]+than\s+'?0|above\s+0|>\s*0|\(\s*0(?:\.0)?\s*,|not\s+be\s+(?:0|zero)",
    re.IGNORECASE,
)
_ONLY = re.compile(
    r"only\s+(?:the\s+)?(?:value\s+)?['\"(]?(\d(?:\.\d+)?)['\")]?\s+(?:value\s+)?(?:is|are)\b", re.IGNORECASE
)
_SYSTEM = re.compile(
    r"(?:system|developer)['\"`]?\s*+(?:role|messages?|turns?|prompts?|instructions?)?['\"`]?\s*+(?:is|are|was)?\s*+"
    r"(?:not|n't|un)\s?(?:currently\s+)?(?:supported|allowed|enabled|permitted|available|support|accepted)|"
    r"(?:not|n't)\s+(?:support|accept|allow|enable)\w*\s+(?:the\s+|a\s+|an\s+)?['\"`]?(?:system|developer)|"
    r"(?:unexpected|invalid|unknown|unsupported)\s+(?:message\s+)?role:?\s*['\"`]?(?:system|developer)|"
    r"roles?\s+must\s+alternate|only\s+['\"`]?user['\"`]?(?:,|\s+and)\s.{0,40}roles?",
    re.IGNORECASE,
)
_STREAM = re.compile(
    r"only\s+supports?\s+(?:the\s+)?stream|support\s+stream\s+mode|(?:must|should|need\w{0,9}\s+to)\s+be\s+stream|"
    r"stream['\"`]?\s+(?:must|should|has to|needs to)\s+be\s+(?:set\s+to\s+)?true|non-streaming\s+calls?|"
    r"(?:streaming|stream\s?=\s?true|stream mode)\s+(?:is\s+)?(?:required|only)|requires?\s+stream|"
    r"stream\s+parameter.{0,30}true",
    re.IGNORECASE,
)
log = logging.getLogger(__name__)


class Dialect(NamedTuple):
    """What is sent `instead` of each part of a request that a server refused (None: nothing), and its `reasons`.

    The reasons are the words of the server.
    """

    instead: Mapping[str, Any] = {}
    reasons: Mapping[str, str] = {}

    def with_refusal(self, name: str, instead: Any, message: str) -> Dialect:
        """Return the dialect with one more refusal, for which the server gave `message`."""
        return Dialect({**self.instead, name: instead}, {**self.reasons, name: message[:SHOWN]})

    def merged(self, other: Dialect) -> Dialect:
        """Return the dialect with the refusals of another one added."""
        return Dialect({**self.instead, **other.instead}, {**self.reasons, **other.reasons})

    def temperature(self, wanted: float | None) -> float | None:
        """Return the temperature to send where `wanted` is asked for; None to send none."""
        if wanted is None:
            return None
        if "temperature" in self.instead:
            value = self.instead["temperature"]
            return None if value is None else float(value)
        return float(self.instead.get("temperature of 0", wanted)) if wanted == 0 else wanted

    @property
    def limit(self) -> str | None:
        """The name of the parameter that limits new tokens; None if the server takes neither."""
        if LIMITS[0] not in self.instead:
            return LIMITS[0]
        return None if LIMITS[1] in self.instead else LIMITS[1]

    def adapted(self, llm: Llm) -> Llm:
        """Return the role as it is really asked. Cached answers and artifacts are keyed by this one."""
        changes: dict[str, Any] = {}
        if self.temperature(llm.temperature) != llm.temperature:
            changes["temperature"] = self.temperature(llm.temperature)
        if "seed" in self.instead and llm.seed is not None:
            changes["seed"] = None
        if "system" in self.instead and llm.system_turn:
            changes["system_turn"] = False
        return llm.model_copy(update=changes) if changes else llm

    def after_refusal(self, fault: Fault, body: Mapping[str, Any]) -> Dialect | None:
        """Return the dialect in which to ask again after a fault; None if the fault is about nothing optional.

        Only chats have optional parts.

        It always has more refusals than this one, so that retries end.
        """
        if "messages" not in body or not 400 <= fault.status < 600 or fault.status in NEVER:
            return None
        other = self._after_refusal(fault, body)
        return other if other is not None and other.instead != self.instead else None

    def _after_refusal(self, fault: Fault, body: Mapping[str, Any]) -> Dialect | None:
        settled = "stream" in self.instead
        if not settled and "stream" not in body and _STREAM.search(fault.message):
            return self.with_refusal("stream", True, fault.message)
        if body["messages"][0]["role"] == "system" and _SYSTEM.search(fault.message):
            return self.with_refusal("system", None, fault.message)
        if not settled and body.get("stream") and _names("stream", fault):
            return self.with_refusal("stream", False, fault.message)
        for name in ("stream_options", "response_format", "seed", "temperature", *LIMITS):
            if name in body and (changed := self._without(name, fault, body)) is not None:
                return changed
        return None

    def _without(self, name: str, fault: Fault, body: Mapping[str, Any]) -> Dialect | None:
        message = fault.message
        if not _names(name, fault):
            return None
        if name in LIMITS:
            renamed = name == LIMITS[0] and re.search(
                r"max_completion_tokens['\"`]?\s+instead|use\s+.{0,3}max_comp", message
            )
            return None if _TOO_MUCH.search(message) and not renamed else self.with_refusal(name, None, message)
        if name == "temperature":
            return self._with_other_temperature(message, body[name])
        if name == "response_format" and re.search(r"invalid.{0,3}schema|schema.{0,40}(?:invalid|must)", message, re.I):
            # One schema, and not all of them.
            return None
        return self.with_refusal(name, None, message)

    def _with_other_temperature(self, message: str, sent: float) -> Dialect | None:
        """Return the dialect without a temperature, or with the one that the server takes."""
        only = _ONLY.search(message)
        if only is not None and "temperature" not in self.instead:
            return self.with_refusal("temperature", float(only[1]), message)
        if _RANGE.search(message):
            wanted = sent == 0 and _ABOVE_0.search(message)
            return self.with_refusal("temperature of 0", SMALLEST, message) if wanted else None
        return self.with_refusal("temperature", None, message)


def _names(name: str, fault: Fault) -> bool:
    """Whether a fault refuses this parameter: by the field it names, or by a refusal near the name in its words."""
    message = fault.message
    about = {re.split(r"[.\[]", field)[0] for field in fault.about}
    if any(_snake(field) == name for field in about):
        return bool(re.search(rf"{_REFUSES}|invalid\s+(?:input|request)", message, re.IGNORECASE)) or name in LIMITS
    if about & {"messages", "contents", "prompt", "input", "model"}:
        return False
    spelled = {name, re.sub(r"_(\w)", lambda found: found[1].upper(), name)}
    if name == "response_format":
        spelled |= {"json_schema", "response format", "structured output", "structured outputs", "guided_json"}
    words = "|".join(sorted(map(re.escape, spelled), key=len, reverse=True))
    parameter = rf"(?<![\w-])(?:{words})(?![\w-])"
    near = rf"{parameter}.{{0,{NEAR}}}?(?:{_REFUSES})|(?:{_REFUSES}).{{0,{NEAR}}}?{parameter}"
    return bool(re.search(near, message, re.IGNORECASE | re.DOTALL))


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).casefold()


class KnownDialect:
    """The dialect of one model at one address, shared by all who ask it in this process and stored when it changes."""

    def __init__(self, path: Path, place: str) -> None:
        self.path, self.place = path, place
        self.dialect = _read(path).get(place, Dialect())

    def learn(self, dialect: Dialect) -> None:
        """Add the refusals of a dialect in which the server answered."""
        merged = self.dialect.merged(dialect)
        if merged != self.dialect:
            self.dialect = merged
            self.write()

    def now(self) -> Dialect:
        """Return the dialect, with what other processes have learned meanwhile."""
        return _read(self.path).get(self.place, Dialect()).merged(self.dialect)

    def replace(self, dialect: Dialect) -> None:
        """Replace the dialect, and forget earlier refusals."""
        if dialect != self.dialect:
            self.dialect = dialect
            self.write()

    def write(self) -> None:
        """Store the dialect. If it cannot be written, the next process learns it again."""
        if not self.dialect.instead and not self.path.exists():
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock")):
                whole = {**_read(self.path), self.place: self.dialect}
                # Files of earlier versions have the reasons under this name, too.
                entries = {
                    place: {"instead": dialect.instead, "said": dialect.reasons}
                    for place, dialect in whole.items()
                    if dialect.instead
                }
                write_atomically(self.path, json.dumps(entries, indent=1, sort_keys=True))
        except OSError as error:
            log.warning("%s: cannot be written (%s)", self.path, error.strerror)


def _read(path: Path) -> dict[str, Dialect]:
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        return {place: Dialect(dict(entry["instead"]), dict(entry["said"])) for place, entry in whole.items()}
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        # It is learned again from the servers.
        return {}


_known_dialects: dict[tuple[Path, str], KnownDialect] = {}
_lock = threading.Lock()


def known_dialect(llm: Llm, folder: Path) -> KnownDialect:
    """Return the shared dialect of the server of a role."""
    path, place = folder / FILE, f"{llm.model} at {address_of(llm).shown}"
    with _lock:
        known = _known_dialects.get((path, place))
        if known is None or (known.dialect.instead and not path.exists()):
            known = _known_dialects[path, place] = KnownDialect(path, place)
        return known
