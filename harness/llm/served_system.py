"""A whole RAG system at an address: asked a question, it gives passages by their ids, and an answer. See `served`.

A question is ``POST`` of ``question``, ``top_k``, ``answer`` and, of a conversation, ``history``. A response holds
``passages``, best first, each with an ``id``, and ``answer``. A question that cannot be answered is a failure with its
reason, and no other one fails with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from harness.hashing import digest_of
from harness.llm.address import filled
from harness.llm.breaker import RetryPolicy
from harness.llm.completions import Redaction, no_answer
from harness.llm.configuration import Services
from harness.llm.dialects import Dialect
from harness.llm.faults import Completion, Fault, RequestContext
from harness.llm.requests import rough_tokens
from harness.llm.served import Piece, ServedClient, shown, sound
from harness.llm.usage import token_counts
from harness.suite.roles import Llm
from harness.suite.served_models import SystemEndpoint
from harness.values.records import Progress, Turn

NO_TEXT = "its answer is no text"


class SystemReply(NamedTuple):
    """What a system gave for a question: ids of passages, best first, and an answer; or why it gave nothing.

    `answer` is None where it gave none.
    """

    passages: tuple[str, ...] = ()
    answer: str | None = None
    failure: str = ""


class SystemQuestion(NamedTuple):
    """A question to a system; see `requests.Sendable`. Its one value is a `SystemReply` as JSON."""

    text: str
    top_k: int
    answer: bool
    history: tuple[Turn, ...] = ()
    more: Mapping[str, Any] = {}
    path: str = ""
    schema: None = None
    max_tokens: int = 0

    @property
    def key(self) -> str:
        """See `Sendable`."""
        return digest_of(["question", self.text, self.top_k, self.answer, [list(turn) for turn in self.history]])

    def body(self, llm: Llm, dialect: Dialect, send_schema: bool) -> dict[str, Any]:
        """See `Sendable`."""
        turns = [{"role": turn.role, "content": turn.content} for turn in self.history]
        asked = {"question": self.text, "top_k": self.top_k, "answer": self.answer}
        return {**filled(self.more), **asked, **({"history": turns} if turns else {})}

    def prompt_tokens(self, body: dict[str, Any]) -> int:
        """See `Sendable`."""
        return rough_tokens(self.text) + sum(rough_tokens(turn.content) for turn in self.history)

    def read(self, content: bytes, asked: RequestContext, clean: Redaction) -> Completion | Fault:
        """See `Sendable`."""
        try:
            whole = json.loads(content)
        except (ValueError, RecursionError):
            whole = None
        if not isinstance(whole, Mapping) or not {"passages", "answer"} & whole.keys():
            return no_answer(content, asked, clean, "'passages' or an 'answer'", "passages")
        usage = token_counts(whole.get("usage"))
        paid = Completion("", prompt_tokens=usage.prompt or 0, new_tokens=usage.new or 0)
        ids = _ids(whole.get("passages"))
        answer = whole.get("answer")
        if isinstance(ids, str) or not isinstance(answer, str | None):
            return Fault("again", ids if isinstance(ids, str) else NO_TEXT, paid=paid)
        answer = clean.scrub(sound(answer)).strip() if answer is not None else None
        return paid._replace(values=(json.dumps({"passages": ids, "answer": answer}),))


def _ids(passages: Any) -> list[str] | str:
    """Return the ids of passages, or what is wrong with them."""
    if passages is None:
        return []
    if not isinstance(passages, list):
        return "its passages are no list"
    ids: list[Any] = [passage.get("id") if isinstance(passage, Mapping) else passage for passage in passages]
    if wrong := [one for one in ids if not isinstance(one, str) or not one.strip()]:
        return f"gives a passage whose id is {wrong[0]!r}, and no text"
    return [sound(one) for one in ids]


def parted(url: str) -> tuple[str, str]:
    """Return an address without the last part of its path, and that part: requests go to both together."""
    parts = urlsplit(url.strip())
    above, _, last = parts.path.rpartition("/")
    return urlunsplit((parts.scheme, parts.netloc, above, parts.query, "")), f"/{last}"


class SystemClient(ServedClient):
    """The system of an endpoint; see `SystemEndpoint`."""

    def __init__(self, endpoint: SystemEndpoint, services: Services, policy: RetryPolicy = RetryPolicy()) -> None:  # noqa: B008
        base, self._path = parted(endpoint.base_url or "")
        super().__init__("system", endpoint.model_copy(update={"base_url": base}), services, policy)
        self._endpoint = endpoint

    def ask(self, questions: Sequence[SystemQuestion], progress: Progress, fresh: bool = False) -> list[SystemReply]:
        """Return the reply to each question, in their order; one that failed says why.

        With `fresh`, no reply comes from the cache and none is put there. Raises LlmStopped where nothing more can be
        asked.
        """
        sent = [
            question._replace(text=sound(question.text), more=self._endpoint.extra_body, path=self._path)
            for question in questions
        ]
        pieces = [Piece(digest_of([self._endpoint.digest, one.key]), one, shown(one.text)) for one in sent]
        return [_reply(text) for text in self._obtained(pieces, progress, fresh)]

    def _requests(self, pieces: Sequence[Piece]) -> Iterable[Sequence[Piece]]:
        return ([piece] for piece in pieces)

    def _batch(self, pieces: Sequence[Piece]) -> SystemQuestion:
        (piece,) = pieces
        question: SystemQuestion = piece.content
        return question

    def _texts(self, pieces: Sequence[Piece], values: Sequence[str]) -> list[str]:
        return list(values)

    def _unanswered(self, fault: Fault, pieces: Sequence[Piece]) -> dict[str, str]:
        if self.stopped:
            raise self._failure(fault, pieces)
        self.spent = self.spent._replace(failed=self.spent.failed + len(pieces))
        return {piece.key: json.dumps({"failure": fault.what}) for piece in pieces}


def _reply(text: str) -> SystemReply:
    row = json.loads(text)
    return SystemReply(tuple(row.get("passages") or ()), row.get("answer"), row.get("failure", ""))
