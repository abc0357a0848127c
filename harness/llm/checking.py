"""Check a completion: remove its thoughts, and read its value where a schema was asked for.

Must not know how it was asked for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel

from harness.llm.protocol import Reply
from harness.llm.structured import is_mended, read
from harness.models.thoughts import split_thoughts


class CheckedAnswer(NamedTuple):
    """A usable answer with its value, or what is `wrong` with it.

    `text` is the whole completion, `answer` the text without its `thought`. `cut` says that it ended at `max_tokens`,
    `mended` that damage in its JSON was repaired.
    """

    text: str
    value: Any = None
    wrong: str = ""
    answer: str = ""
    thought: str = ""
    cut: bool = False
    mended: bool = False

    def reply(self) -> Reply:
        """Return it as a reply that cost nothing."""
        if self.wrong:
            return Reply("", failure=self.wrong)
        return Reply(self.answer, self.value, thought=self.thought, cut=self.cut, mended=self.mended)


def check_answer(text: str, cut: bool, schema: type[BaseModel] | None, limit: str) -> CheckedAnswer:
    """Check a completion that was `cut` at the setting named `limit`, or was not.

    The result keeps the whole text, as the cache stores it.
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
