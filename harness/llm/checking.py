"""What an endpoint said, as it can be used: without its thoughts, with its value where a form was asked for.

Must not know how anything was asked.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel

from harness.llm.protocol import Reply
from harness.llm.structured import is_mended, read
from harness.models.thoughts import part


class Checked(NamedTuple):
    """A text that can be used, with its value; or what is wrong with it.

    `said` is the text without its thought; `cut` says that it was cut at `max_tokens`, `mended` that its JSON had
    damage with one reading.
    """

    text: str
    value: Any = None
    wrong: str = ""
    said: str = ""
    thought: str = ""
    cut: bool = False
    mended: bool = False

    def reply(self) -> Reply:
        """What is told of it where nothing was paid."""
        if self.wrong:
            return Reply("", failure=self.wrong)
        return Reply(self.said, self.value, thought=self.thought, cut=self.cut, mended=self.mended)


def checked_answer(text: str, cut: bool, form: type[BaseModel] | None, limit: str) -> Checked:
    """Return an answer without its thoughts, and its value; `text` stays whole, as it is what the cache keeps.

    `limit` names the setting at which it was cut, if it was.
    """
    try:
        text.encode()
        if form is not None:
            value, mended = read(text, form), is_mended(text, form)
            return Checked(text.strip(), value, said=text.strip(), cut=cut, mended=mended)
        parted = part(text)
        if wrong := parted.fault(cut, limit):
            return Checked("", wrong=wrong)
        return Checked(text.strip(), said=parted.answer, thought=parted.thought, cut=cut)
    except UnicodeEncodeError:
        return Checked("", wrong="the answer holds half of a surrogate pair")
    except ValueError as error:
        return Checked("", wrong=str(error))
