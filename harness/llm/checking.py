"""What an endpoint said, as it can be used: without its thoughts, with its value where a form was asked for.

Must not know how anything was asked.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel

from harness.llm.protocol import Reply
from harness.llm.structured import is_mended, read
from harness.models.thoughts import split_thoughts


class CheckedAnswer(NamedTuple):
    """A text that can be used, with its value; or what is wrong with it.

    `answer` is the text without its thought; `cut` says that it was cut at `max_tokens`, `mended` that its JSON had
    damage with one reading.
    """

    text: str
    value: Any = None
    wrong: str = ""
    answer: str = ""
    thought: str = ""
    cut: bool = False
    mended: bool = False

    def reply(self) -> Reply:
        """What is told of it where nothing was paid."""
        if self.wrong:
            return Reply("", failure=self.wrong)
        return Reply(self.answer, self.value, thought=self.thought, cut=self.cut, mended=self.mended)


def check_answer(text: str, cut: bool, schema: type[BaseModel] | None, limit: str) -> CheckedAnswer:
    """Return an answer without its thoughts, and its value; `text` stays whole, as it is what the cache keeps.

    `limit` names the setting at which it was cut, if it was.
    """
    try:
        text.encode()
        if schema is not None:
            value, mended = read(text, schema), is_mended(text, schema)
            return CheckedAnswer(text.strip(), value, answer=text.strip(), cut=cut, mended=mended)
        parted = split_thoughts(text)
        if wrong := parted.fault(cut, limit):
            return CheckedAnswer("", wrong=wrong)
        return CheckedAnswer(text.strip(), answer=parted.answer, thought=parted.thought, cut=cut)
    except UnicodeEncodeError:
        return CheckedAnswer("", wrong="the answer holds half of a surrogate pair")
    except ValueError as error:
        return CheckedAnswer("", wrong=str(error))
