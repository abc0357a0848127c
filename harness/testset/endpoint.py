"""A model at an endpoint as a writer: one request writes a question with its answer, others check it.

Answers are cached by `llm`, so that an interrupted run pays for nothing twice. Must not know where a model is served.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel

from harness.llm import Ask, Chat, Message
from harness.llm.prompt_templates import load, messages, rough_tokens
from harness.stages.shared.remote import sound
from harness.stages.shared.wording import clean_query
from harness.testset import reasons
from harness.testset.dealing import Job
from harness.testset.drafts import SHOWN_PASSAGES, Check, Draft, Requests
from harness.testset.passages import Passage
from harness.values.records import Progress

WRITTEN_TOKENS, CHECKED_TOKENS = 150, 40
"""About what a model writes."""


def _line(text: str) -> str:
    return " ".join(sound(text).split())


Line = Annotated[str, AfterValidator(_line)]


class Question(BaseModel):
    """What an endpoint is asked for where there is no answer."""

    question: Line


class Answered(Question):
    """What an endpoint is asked for: a question with its answer and the sentences that it rests on."""

    answer: Line
    quotes: list[Annotated[str, AfterValidator(sound)]] = []


class Checked(BaseModel):
    """What an endpoint says of a question, its answer and its passages."""

    answerable: bool
    supported: bool
    needed: bool = True
    title_enough: bool
    clear: bool

    @property
    def reason(self) -> str:
        """Return why the question is dropped; empty if it is fine."""
        if not self.clear:
            return reasons.UNCLEAR
        if not (self.answerable and self.supported):
            return reasons.UNSUPPORTED
        if self.title_enough:
            return reasons.TITLE
        return "" if self.needed else reasons.ONE_ENOUGH


class Found(BaseModel):
    """What an endpoint says of a question that should have no answer."""

    answered: bool
    clear: bool = True

    @property
    def reason(self) -> str:
        """Return why the question is dropped; empty if it is fine."""
        return reasons.ANSWERED if self.answered else "" if self.clear else reasons.UNCLEAR


class Elsewhere(BaseModel):
    """What an endpoint says of a question that other documents should not answer."""

    elsewhere: bool

    @property
    def reason(self) -> str:
        """Return why the question is dropped; empty if it is fine."""
        return reasons.ELSEWHERE if self.elsewhere else ""


class EndpointWriter:
    """Implements `Writer` by two chats: `author` writes, `examiner` checks; they may be the same."""

    capable = True

    def __init__(self, author: Chat, examiner: Chat) -> None:
        self.name = author.name
        self._author, self._examiner = author, examiner

    def lacks(self, passage: Passage) -> str:
        """See `Writer`; a capable model can ask about anything."""
        return ""

    def write(self, jobs: Sequence[Job], progress: Progress) -> list[Draft]:
        """See `Writer`."""
        asks = [Ask(_writing(job), Question if job.kind == "unanswerable" else Answered) for job in jobs]
        return [
            _draft(job, reply.value, reply.failure)
            for job, reply in zip(jobs, self._author.ask_all(asks, progress), strict=True)
        ]

    def check(self, checks: Sequence[Check], progress: Progress) -> list[str]:
        """See `Writer`. A check that fails is a reason of its own, and is asked again by the next run."""
        asks = [Ask(_checking(check), _form(check)) for check in checks]
        replies = self._examiner.ask_all(asks, progress)
        return [f"{reasons.UNCHECKED}: {one.failure}" if one.failure else one.value.reason for one in replies]

    def estimate(self, job: Job) -> Requests:
        """See `Writer`."""
        checks = [Check(job, Draft("?" * 80, "?" * 40), job.passages)]
        if job.kind != "unanswerable":
            checks.append(checks[0]._replace(passages=job.passages[:1] * SHOWN_PASSAGES, elsewhere=True))
        prompts = (_writing(job), *map(_checking, checks))
        tokens = sum(rough_tokens(message.content) for prompt in prompts for message in prompt)
        return Requests(len(prompts), tokens + WRITTEN_TOKENS + CHECKED_TOKENS * len(checks))


def _writing(job: Job) -> tuple[Message, ...]:
    first, second = job.passages[0], job.passages[-1]
    values = {"title": first.place, "passage": first.text}
    values |= {"second_title": second.place, "second": second.text} if job.kind == "several" else {}
    return messages(load(f"testset-{job.kind}"), **values)


def _checking(check: Check) -> tuple[Message, ...]:
    shown = "\n\n".join(_shown(number, passage) for number, passage in enumerate(check.passages, start=1))
    values = {"passage": shown, "question": check.draft.question}
    if check.elsewhere:
        return messages(load("testset-elsewhere"), answer=check.draft.answer, **values)
    if check.job.kind == "unanswerable":
        return messages(load("testset-answered"), **values)
    title = "; ".join(dict.fromkeys(passage.title for passage in check.passages))
    return messages(load("testset-check"), title=title, answer=check.draft.answer, **values)


def _form(check: Check) -> type[Checked | Found | Elsewhere]:
    if check.elsewhere:
        return Elsewhere
    return Found if check.job.kind == "unanswerable" else Checked


def _shown(number: int, passage: Passage) -> str:
    return f"[{number}] {passage.place}\n{passage.text}"


def _draft(job: Job, value: Question | None, failure: str) -> Draft:
    if value is None:
        return Draft("", failure=failure or "no answer")
    question = clean_query(value.question, job.passages[0].text)
    if isinstance(value, Answered):
        return Draft(question, value.answer, tuple(quote for quote in value.quotes if quote.strip()))
    return Draft(question)
