"""Render conversations with the chat template of a tokenizer, the same in training and in serving.

A template is tested once with a conversation of marker texts. If it refuses or drops the system turn, instructions are
put before the first user turn instead, with a blank line between. Today's date is pinned, so that a prompt is the same
every day. Must not know stages, datasets or endpoints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.errors import ConfigError, Problem
from harness.models import thoughts

Turn = tuple[Literal["system", "user", "assistant"], str]
Shape = Literal["text", "parts"]
PINNED = datetime(2024, 7, 26)
"""The date for templates that ask for today's; Llama 3 names this day itself where there is no clock."""
CLOCK = "strftime_now"
SWITCHES: Mapping[str, tuple[Sequence[object], Sequence[object]]] = {
    "enable_thinking": ((False,), (True,)),
    "thinking": ((False,), (True,)),
    "enable_reasoning": ((False,), (True,)),
    "reasoning": ((False,), (True,)),
    "reasoning_effort": (("low", "none"), ("medium", "high")),
    "thinking_budget": ((0,), (-1,)),
}
"""Variables by which templates switch thinking: values for off and for on; the first accepted one is used."""
_SYSTEM, _ASKED, _ANSWERED, _LAST = "S5ystem", "A5ked", "A5nswered", "L5ast"
NO_TEMPLATE = Problem(
    "", "has no chat template: it is a base model, not an instruct model",
    "name its instruct version, or put a chat_template.jinja beside its tokenizer",
)  # fmt: skip


class TemplateFacts(NamedTuple):
    """Properties of a template that hold for every prompt.

    `system` is ``native``, or ``user`` where instructions stand in the first user turn. `switch` is the variable that
    switches thinking, empty if there is none; `thinks` says that a prompt with the template's own default begins a
    thought or leaves it to the model.
    """

    system: Literal["native", "user"]
    dated: bool
    switch: str
    thinks: bool
    closed: bool


class ChatTemplate:
    """The chat template of a tokenizer; `thinking` switches thoughts on or off, None keeps the template's default.

    Where thinking is off and a prompt would still begin a thought, the thought is closed at once. Raises ConfigError if
    there is no template, or if it takes no question.
    """

    def __init__(self, tokenizer: Any, thinking: bool | None = False) -> None:
        self.tokenizer = tokenizer
        self._text = template_text(tokenizer)
        known = variables_of(self._text)
        self.switch = next((name for name in SWITCHES if name in known), "")
        self._thinking = thinking
        self.dated = CLOCK in known
        if self.dated:
            self._text = pinned_clock() + self._text
        self._options: dict[str, Any] = {}
        if thinking is not None:
            for name in (name for name in SWITCHES if name in known):
                self._options[name] = self._setting(name, SWITCHES[name][thinking])
        self._folds, self._shape = self._manner()
        self._header = self._missing_header()

    def prompt(self, turns: Sequence[Turn]) -> str:
        """Return the prompt that the model continues with its answer to the last turn, a user's."""
        text = self._render(turns, generate=True) + self._header
        opening = thoughts.begun_by(text) if self._thinking is False else ""
        return f"{text.rstrip()}\n\n{thoughts.closing_of(opening)}\n\n" if opening else text

    def completion(self, turns: Sequence[Turn], answer: str) -> str:
        """Return the text that the model should generate after the prompt: the answer, and the end of its turn.

        Where a template puts something between prompt and answer (a space, an empty thought), that comes first; a
        thought that the prompt began is closed.
        """
        prompt = self.prompt(turns)
        whole = self._render([*turns, ("assistant", _ANSWERED)], generate=False)
        before, _, _ = whole.rpartition(_ANSWERED)
        opening = thoughts.begun_by(prompt)
        if opening:
            between = f"\n{thoughts.closing_of(opening)}\n\n"
        else:
            # Some templates show the instruction only while the question is the last turn.
            between = before.removeprefix(prompt) if before.startswith(prompt) else self._between
        return between + answer + self.end_of_turn

    @cached_property
    def _between(self) -> str:
        """The text between the prompt of a question and its answer, without an instruction."""
        prompt = self.prompt([("user", _LAST)])
        before = self._render([("user", _LAST), ("assistant", _ANSWERED)], generate=False).rpartition(_ANSWERED)[0]
        return before.removeprefix(prompt) if before.startswith(prompt) else ""

    @cached_property
    def end_of_turn(self) -> str:
        """The text after an answer, up to the first token that ends generation."""
        after = self.after_answer()
        places = [place + len(mark) for mark in map(self._string, self.ends) if (place := after.find(mark)) >= 0]
        return after[: min(places)] if places else str(self.tokenizer.eos_token or "")

    @cached_property
    def ends(self) -> set[int]:
        """Ids of tokens that end an answer: that of the tokenizer, and those that end a turn in the template."""
        own = {self.tokenizer.eos_token_id} - {None}
        after = self.after_answer()
        return own | {token for token in self._specials() if after.lstrip().startswith(self._string(token))}

    def after_answer(self) -> str:
        """Return the text that the template writes after the last answer of a conversation."""
        whole = self._render([("user", _LAST), ("assistant", _ANSWERED)], generate=False)
        return whole.rpartition(_ANSWERED)[2]

    def facts(self) -> TemplateFacts:
        """Return the properties of the template; see `TemplateFacts`."""
        default = ChatTemplate(self.tokenizer, None) if self._thinking is not None else self
        plain = default.prompt([("user", _LAST)])
        thinks = bool(thoughts.begun_by(plain)) or (
            bool(default.switch) and plain != ChatTemplate(self.tokenizer, False).prompt([("user", _LAST)])
        )
        closed = self._thinking is False and bool(thoughts.begun_by(self._render([("user", _LAST)], generate=True)))
        return TemplateFacts("user" if self._folds else "native", self.dated, self.switch, thinks, closed)

    def check(self, instruction: str) -> None:
        """Raise ConfigError if prompts lose the instruction or the question, or differ from one call to the next."""
        turns: list[Turn] = [("system", instruction), ("user", _ASKED), ("assistant", _ANSWERED), ("user", _LAST)]
        wanted = [_squeezed(instruction), _LAST]
        for some in (turns, [turns[0], turns[3]]):
            text = self.prompt(some)
            lost = [part for part in wanted if part not in _squeezed(text)]
            if lost:
                what = "the instruction" if lost[0] != _LAST else "the question"
                reason = f"the chat template leaves out {what}, or changes it"
                raise ConfigError(Problem("", reason, "correct the template beside the model's tokenizer"))
            if text != self.prompt(some):
                reason = "the chat template renders another text each time, so results cannot be repeated"
                raise ConfigError(Problem("", reason, "correct the template beside the model's tokenizer"))

    def _render(self, turns: Sequence[Turn], generate: bool, folds: bool | None = None, shape: Shape = "") -> str:  # type: ignore[assignment]
        shown = _folded(turns) if (self._folds if folds is None else folds) else turns
        parts = (shape or self._shape) == "parts"
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}] if parts else text} for role, text in shown
        ]
        return str(
            self.tokenizer.apply_chat_template(
                messages, chat_template=self._text, tokenize=False, add_generation_prompt=generate, **self._options
            )
        )

    def _manner(self) -> tuple[bool, Shape]:
        """Return whether instructions go into the user turn, and the shape of texts: the first pair that loses no text.

        Tried with one question and with an example before it, as some templates treat the first turn alone.
        """
        short: list[Turn] = [("system", _SYSTEM), ("user", _LAST)]
        long: list[Turn] = [("system", _SYSTEM), ("user", _ASKED), ("assistant", _ANSWERED), ("user", _LAST)]
        reason = ""
        manners: tuple[tuple[bool, Shape], ...] = ((False, "text"), (True, "text"), (False, "parts"), (True, "parts"))
        for folds, shape in manners:
            try:
                rendered = [(turns, self._render(turns, True, folds, shape)) for turns in (short, long)]
            except Exception as error:
                # Templates are code: they raise what they like.
                reason = " ".join(str(error).split())
                continue
            if all(mark in text for turns, text in rendered for _, mark in turns):
                return folds, shape
        what = "the chat template cannot render a conversation of an instruction, a question, an answer and a question"
        raise ConfigError(
            Problem("", f"{what} ({reason or 'it leaves texts out'})", "correct the template beside the tokenizer")
        )

    def _setting(self, name: str, choices: Sequence[object]) -> object:
        """Return the first of several values of a variable that the template accepts."""
        for value in choices:
            try:
                self.tokenizer.apply_chat_template(
                    [{"role": "user", "content": _LAST}], chat_template=self._text, tokenize=False, **{name: value}
                )
            except Exception:
                continue
            return value
        return choices[0]

    def _missing_header(self) -> str:
        """Return the header of an answer where prompts lack it; empty if it is only white space."""
        turns: list[Turn] = [("user", _LAST)]
        prompt = self._render(turns, generate=True)
        if prompt != self._render(turns, generate=False):
            return ""
        whole = self._render([*turns, ("assistant", _ANSWERED)], generate=False)
        before = whole.rpartition(_ANSWERED)[0]
        header = before.removeprefix(prompt) if before.startswith(prompt) else ""
        return header if header.strip() else ""

    def _specials(self) -> list[int]:
        added = getattr(self.tokenizer, "added_tokens_decoder", {})
        return [token for token, added_token in added.items() if getattr(added_token, "special", False)]

    def _string(self, token: int) -> str:
        return str(self.tokenizer.convert_ids_to_tokens(token))


def pinned_clock() -> str:
    """Return a macro that replaces the clock of templates with one fixed day.

    transformers gives templates plain data alone, and no function in the place of its own.
    """
    days = "".join(
        f" | replace('{code}', '{PINNED.strftime(code)}')"
        for code in [*(f"%-{letter}" for letter in "dmHIMSyj"), *(f"%{letter}" for letter in "YmdBbAaHMSyjpIFTDecxXZz")]
    )
    return f"{{% macro {CLOCK}(format) -%}}{{{{ format{days} }}}}{{%- endmacro %}}{{{{ '' }}}}"


def _folded(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns with the system text put before the first user text, a blank line between."""
    system = "\n\n".join(text for role, text in turns if role == "system")
    rest = [turn for turn in turns if turn[0] != "system"]
    if not system or not rest or rest[0][0] != "user":
        return rest
    return [("user", f"{system}\n\n{rest[0][1]}"), *rest[1:]]


def template_text(tokenizer: Any) -> str:
    """Return the chat template of a tokenizer; of several, the one named ``default``.

    Raises ConfigError if there is none, or none for plain chats.
    """
    template = getattr(tokenizer, "chat_template", None) or _beside(getattr(tokenizer, "name_or_path", ""))
    if isinstance(template, list):
        template = {str(entry["name"]): entry["template"] for entry in template}
    if isinstance(template, dict):
        chosen = template.get("default") or (next(iter(template.values())) if len(template) == 1 else None)
        if chosen is None and template:
            names = ", ".join(map(repr, sorted(template)))
            raise ConfigError(
                Problem("", f"has chat templates {names} and none named 'default'", "name one of them so")
            )
        template = chosen
    if not template:
        raise ConfigError(NO_TEMPLATE)
    return str(template)


def _beside(folder: str) -> str:
    """Return the template that multimodal processors keep in a file of their own; empty if there is none."""
    path = Path(folder) / "chat_template.json"
    if not folder or not path.is_file():
        return ""
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ConfigError(Problem(str(path), "is no JSON", "download it again")) from None
    return str(whole.get("chat_template") or "") if isinstance(whole, dict) else ""


@lru_cache(maxsize=16)
def variables_of(template: str) -> frozenset[str]:
    """Return the names of the variables of a template; none if it cannot be parsed. Nothing of it is computed."""
    from jinja2 import TemplateSyntaxError, meta, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # Jinja computes constant expressions as it compiles, such as a text times a billion, but for operators that are
    # intercepted, and filters where the context is volatile.
    environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
    environment.intercepted_binops = frozenset(environment.default_binop_table)
    environment.intercepted_unops = frozenset(environment.default_unop_table)
    volatile = nodes.EvalContextModifier([nodes.Keyword("volatile", nodes.Const(True))])
    # transformers marks what an assistant says by a block of its own.
    plain = re.sub(r"\{%-?\s*(?:end)?generation\s*-?%\}", "", template)
    try:
        tree = environment.parse(plain)
        tree.body.insert(0, volatile.set_lineno(1))
        return frozenset(meta.find_undeclared_variables(tree))
    except (TemplateSyntaxError, RecursionError):
        return frozenset()


def _squeezed(text: str) -> str:
    return " ".join(text.split())
