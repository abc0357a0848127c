"""Check the prompts of a generator before any work, by its tokenizer alone.

Must not know suites.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import ConfigError, Problem
from harness.models.bounded import TookTooLong, bounded
from harness.models.chat_templates import PINNED, ChatTemplate, TemplateFacts
from harness.models.loaders import quiet

SECONDS, MEGABYTES = 10.0, 512
"""Most that all trials of a template may take, which are some dozen of short texts."""
SHORT_FOR_A_THOUGHT = 512
"""New tokens below which a thinking model often ends before it answers."""


class ThinkingSettings(NamedTuple):
    """The switch for thinking of a generator and its limit of new tokens; `where` is the suite's section."""

    thinking: bool | None
    max_new_tokens: int
    where: str


def template_facts(folder: Path, instruction: str, thinking: bool | None) -> TemplateFacts:
    """Return the properties of a model's chat template.

    Raises ConfigError if its tokenizer cannot be read, has no chat template, or one that loses the instruction, or that
    takes more time or memory than a text of some lines can need.
    """
    tokenizer = tokenizer_of(folder)
    try:
        # A template is a program of its author.
        with bounded(SECONDS, MEGABYTES):
            template = ChatTemplate(tokenizer, thinking)
            template.check(instruction)
            return template.facts()
    except (TookTooLong, MemoryError) as error:
        what = f"its chat template cannot be used on a few lines of text ({str(error) or 'it needs too much memory'})"
        raise ConfigError(Problem("", what, "correct the template beside the model's tokenizer")) from None


def tokenizer_of(folder: Path) -> Any:
    """Load the tokenizer of a model folder; raises ConfigError if it cannot be read."""
    quiet()
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        # Whatever is wrong with its files is told in the words of many libraries.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        hint = "save the tokenizer beside the weights"
        raise ConfigError(Problem("", f"its tokenizer cannot be read ({reason})", hint)) from error


def placement(facts: TemplateFacts) -> str:
    """Return where prompts hold the instruction, for a template that `template_facts` accepted."""
    where = "in the user turn" if facts.system == "user" else "as its chat template writes a system turn"
    return f"its prompts hold the instruction, {where}"


def template_remarks(facts: TemplateFacts, rule: ThinkingSettings) -> Iterator[str]:
    """Yield sentences about a template that users should know before a run."""
    if facts.system == "user":
        yield "its chat template has no system turn: the instruction goes into the user turn, in every system alike"
    if facts.dated:
        yield f"its chat template writes today's date: prompts say {PINNED:%d %B %Y} instead, so that they never change"
    short = rule.max_new_tokens < SHORT_FOR_A_THOUGHT
    if facts.closed:
        yield f"its chat template always begins a thought, which is closed at once ({rule.where}.thinking: false)"
    elif rule.thinking is False and facts.thinks:
        yield f"it thinks by default, which is switched off ({rule.where}.thinking: false)"
    elif rule.thinking is not False and (facts.thinks or rule.thinking) and short:
        yield (
            f"it thinks before it answers, and {rule.where}.max_new_tokens ({rule.max_new_tokens}) may end it before "
            f"it has an answer: raise that, or set {rule.where}.thinking: false"
        )
    if rule.thinking and not facts.switch:
        yield f"its chat template has no switch for thinking: {rule.where}.thinking: true changes nothing"
