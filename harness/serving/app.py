"""The systems that are served, by their names in requests, and questions to them. Knows nothing of HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from harness.errors import LlmStopped, nearest
from harness.execution.served_system import Served, ServedSystem
from harness.hashing import digest_of
from harness.serving.worker import Busy, Worker
from harness.text.decimals import finite
from harness.values.records import Turn

PASSAGES = 10
"""Passages that are returned of each ranking, or more if the generator is shown more."""
QUESTION = 20_000
"""Characters that a question may have."""


class Refused(Exception):
    """A request that is refused: the status of the response, a sentence, and OpenAI's names for the kind and place."""

    def __init__(self, status: int, sentence: str, code: str = "", param: str = "", close: bool = False) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.code, self.param, self.close = status, sentence, code, param, close


class About(NamedTuple):
    """What a page says of the systems: the suite, its title, when it was measured, and a line on each system."""

    suite: str
    title: str
    measured: str
    lines: Mapping[str, str] = {}


class App:
    """Systems, the thread that works with their models, and what is known of them."""

    def __init__(self, systems: Mapping[str, ServedSystem], about: About, worker: Worker, most: int = PASSAGES) -> None:
        self.systems, self.about, self.worker, self.most = systems, about, worker, most

    @property
    def first(self) -> str:
        """The name of the system that is asked where a request names none."""
        return next(iter(self.systems))

    def named(self, name: str) -> str:
        """Return the name of the system that is meant; its seed may be left out. Raises Refused if none is served."""
        if name in self.systems:
            return name
        seeds = [one for one in self.systems if one.rpartition(":")[0] == name]
        if name and len(seeds) == 1:
            return seeds[0]
        raise Refused(404, f"no system {name!r} is served; {nearest(name, self.systems)}", "model_not_found", "model")

    def ask(self, name: str, text: str, turns: Sequence[Turn] = (), gone: Callable[[], bool] = lambda: False) -> Served:
        """Ask a system. Raises Refused if it is not served, if the question is none, or if there is no answer.

        `gone` says that nobody waits any more; see `Worker.run`.
        """
        system = self.systems[self.named(name)]
        question = checked(text)
        try:
            return self.worker.run(lambda: system.ask(question, turns, self.most), gone)
        except Busy:
            raise Refused(503, f"{self.worker.room} questions wait already; ask again later", "busy") from None
        except LlmStopped as error:
            raise Refused(502, str(error), "endpoint_stopped") from error
        except ValueError as error:
            raise Refused(400, str(error), "context_length_exceeded", "messages") from error


def checked(text: str) -> str:
    """Return a question without white space around it. Raises Refused if it is empty or too long."""
    question = text.encode("utf-8", "replace").decode("utf-8").strip()
    if not question:
        raise Refused(400, "the question is empty; send some text", "empty_question", "messages")
    if len(question) > QUESTION:
        sentence = f"the question has {len(question):,} characters; send at most {QUESTION:,}"
        raise Refused(400, sentence, "question_too_long", "messages")
    return question


def question_id(text: str, turns: Sequence[Turn] = ()) -> str:
    """Return the id of a question as a new query of a dataset.

    Equal questions after equal questions have equal ids, whatever was answered before.
    """
    before = [turn.content for turn in turns if turn.role == "user"]
    return f"asked-{digest_of([*before, text] if before else text)[:12]}"


def passages(served: Served) -> list[dict[str, Any]]:
    """Return the passages as JSON; `document`, `start` and `end` say what a chunk is a part of."""
    rows = []
    for rank, passage in enumerate(served.passages, start=1):
        span = passage.span
        rows.append({
            "id": passage.passage_id, "rank": rank, "score": finite(passage.score), "shown": passage.shown,
            "document": span.doc_id if span else passage.passage_id, "start": span.start if span else None,
            "end": span.end if span else None, "title": passage.title, "text": passage.text,
        })  # fmt: skip
    return rows


def milliseconds(served: Served) -> dict[str, float]:
    """Return the time of each part and the total, in milliseconds."""
    times: dict[str, float] = {part: round(spent, 1) for part, spent in served.milliseconds.items()}
    return {**times, "total": round(sum(served.milliseconds.values()), 1)}
