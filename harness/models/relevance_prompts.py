"""Prompts that ask a causal language model whether a passage is relevant to a query, and the tokens that answer.

The format is that of Qwen3-Reranker (Zhang et al. 2025, arXiv 2506.05176), whose models know no other: an instruction,
the query and the passage in one user turn, after a system turn that asks for yes or no. A chat template with roles
``query`` and ``document`` is filled as it wants to be; a base model without a template gets the same text as plain
lines. Must not know stages, runs or training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import ConfigError, Problem
from harness.models.chat_templates import NO_TEMPLATE, ChatTemplate, Turn, template_text
from harness.models.folders import ModelFolder
from harness.models.generation import tokenize

JUDGE = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)
INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
"""The instruction that Qwen3-Reranker was trained with most, where a suite gives none."""
SPELLINGS = (("yes", "no"), ("Yes", "No"))
LEAST = 16
"""Tokens that a model's window must leave for query and passage."""
_QUERY, _PASSAGE = "Q5uery", "P5assage"


class AnswerTokens(NamedTuple):
    """The ids of the tokens that say yes and no; without `no` the score is the logit of `yes` alone."""

    yes: int
    no: int | None


class Prompts(NamedTuple):
    """Prompts as token ids, in the order of the pairs, and how many of them had their passage or query cut."""

    coded: list[list[int]]
    cut: int


class RelevancePrompt:
    """The prompt of a tokenizer's model, with one instruction for all queries.

    Raises ConfigError if the chat template loses the query or the passage.
    """

    def __init__(self, tokenizer: Any, instruction: str = "") -> None:
        self.tokenizer = tokenizer
        rendered, self._leads = _rendered(tokenizer, instruction)
        if rendered.count(_QUERY) != 1 or rendered.count(_PASSAGE) != 1:
            what = "the chat template leaves out the query or the passage, or repeats it"
            raise ConfigError(Problem("", what, "correct the template beside the model's tokenizer"))
        self._query_first = rendered.index(_QUERY) < rendered.index(_PASSAGE)
        self._pieces = re.split(f"{_QUERY}|{_PASSAGE}", rendered)

    def text(self, query: str, passage: str) -> str:
        """Return the prompt of a query and a passage, whole, without the white space around them."""
        first, second = (query, passage) if self._query_first else (passage, query)
        start, between, end = self._pieces
        return f"{start}{first.strip()}{between}{second.strip()}{end}"

    def prompts(self, pairs: Sequence[tuple[str, str]], max_length: int, window: int | None = None) -> Prompts:
        """Return the prompts of pairs of query and passage.

        `max_length` counts the tokens of both texts, as for a cross-encoder; the template comes on top of it. The
        passage is cut, and a query that takes more than half; the end of the prompt, which asks for the answer, always
        stays. Raises ValueError if the model's window of `window` tokens leaves no room for the texts.
        """
        budget = max_length
        if window is not None:
            frame = len(tokenize(self.tokenizer, [self.text("", "")])[0])
            budget = min(max_length, window - frame)
            if budget < min(LEAST, max_length):
                raise ValueError(
                    f"the instruction and the template take {frame} tokens of the model's window of {window}; write a "
                    "shorter pipeline.reranker.instruction, or name a model with a longer window"
                )
        texts = list(dict.fromkeys(text.strip() for pair in pairs for text in pair))
        sizes = dict(zip(texts, map(len, tokenize(self.tokenizer, texts)), strict=True))
        shown, cut = [], 0
        for query, passage in pairs:
            lengths = sizes[query.strip()], sizes[passage.strip()]
            shown.append(self._shortened(query, passage, lengths, budget))
            cut += sum(lengths) > budget
        coded = tokenize(self.tokenizer, [self.text(*pair) for pair in shown])
        return Prompts([self._fitted(pair, row, window) for pair, row in zip(shown, coded, strict=True)], cut)

    def answers(self, folder: Path | None = None) -> AnswerTokens:
        """Return the tokens that answer: those that the model's `folder` names, else the first spelling in one token.

        They are looked for behind a prompt, as a tokenizer may join a word with the space before it. ``yes`` and ``no``
        come before ``Yes`` and ``No``. Raises ConfigError if no spelling is a single token each.
        """
        named = named_answers(folder) if folder is not None else None
        if named is not None:
            return named
        prompt = self.text("query", "passage")
        before = tokenize(self.tokenizer, [prompt])[0]
        for spelling in SPELLINGS:
            for lead in self._leads:
                tokens = [self._only_token(before, prompt + lead + word) for word in spelling]
                if tokens[0] is not None and tokens[1] is not None and tokens[0] != tokens[1]:
                    return AnswerTokens(tokens[0], tokens[1])
        what = "the tokenizer has no single token for 'yes' and for 'no', with which a causal-lm reranker answers"
        raise ConfigError(Problem("", what, "name another model"))

    def _only_token(self, before: list[int], text: str) -> int | None:
        """Return the one token that a text has after the tokens `before`; None if it has another number of them."""
        coded = tokenize(self.tokenizer, [text])[0]
        if coded[:-1] != before or coded[-1] == self.tokenizer.unk_token_id:
            return None
        return coded[-1]

    def _shortened(self, query: str, passage: str, lengths: tuple[int, int], budget: int) -> tuple[str, str]:
        if sum(lengths) <= budget:
            return query, passage
        kept = min(lengths[0], max(budget // 2, budget - lengths[1]))
        return first_tokens(self.tokenizer, query, kept), first_tokens(self.tokenizer, passage, budget - kept)

    def _fitted(self, pair: tuple[str, str], coded: list[int], window: int | None) -> list[int]:
        """Return the tokens of a prompt; texts whose cut made new tokens are cut again until the window holds them.

        The passage is cut first, then the query. Every step takes a character away, so there is an end.
        """
        query, passage = (text.strip() for text in pair)
        while window is not None and len(coded) > window and (query or passage):
            if passage:
                passage = self._shorter(passage, len(coded) - window)
            else:
                query = self._shorter(query, len(coded) - window)
            coded = tokenize(self.tokenizer, [self.text(query, passage)])[0]
        return coded

    def _shorter(self, text: str, tokens: int) -> str:
        """Return a text without its last `tokens` tokens, and without one character at least."""
        size = len(tokenize(self.tokenizer, [text])[0])
        return min(first_tokens(self.tokenizer, text, size - tokens), text[:-1], key=len).strip()


def first_tokens(tokenizer: Any, text: str, count: int) -> str:
    """Return the beginning of a text that makes its first `count` tokens, as it is written."""
    text = text.strip()
    if count <= 0 or not text:
        return ""
    if not tokenizer.is_fast:
        coded = tokenizer(text, add_special_tokens=False)["input_ids"]
        return text if len(coded) <= count else str(tokenizer.decode(coded[:count], skip_special_tokens=True))
    ends = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return text if len(ends) <= count else text[: ends[count - 1][1]]


def named_answers(folder: Path) -> AnswerTokens | None:
    """Return the tokens that the module ``LogitScore`` of sentence-transformers names; None without such a module."""
    files = ModelFolder(folder)
    module = next((module for module in files.modules if module.name == "LogitScore"), None)
    if module is None:
        return None
    path = module.folder / "config.json"
    config = files.read(path)
    yes, no = config.get("true_token_id"), config.get("false_token_id")
    if not isinstance(yes, int) or not (no is None or isinstance(no, int)):
        raise ConfigError(Problem(str(path), "names no true_token_id", "download it again"))
    return AnswerTokens(yes, no)


def _rendered(tokenizer: Any, instruction: str) -> tuple[str, tuple[str, ...]]:
    """Return the prompt with marks for the texts, and what may stand between its end and the answer, best first."""
    content = f"<Instruct>: {instruction or INSTRUCTION}\n<Query>: {_QUERY}\n<Document>: {_PASSAGE}"
    try:
        template = template_text(tokenizer)
    except ConfigError as error:
        if error.problems != (NO_TEMPLATE,):
            raise
        return f"{_opening(tokenizer)}{JUDGE}\n\n{content}\n\nAnswer:", (" ", "")
    if all(re.search(f"(['\"]){role}\\1", template) for role in ("query", "document")):
        rendered = _by_roles(tokenizer, template, instruction)
        return rendered, ("", " ") if rendered[-1:].isspace() else (" ", "")
    chat = ChatTemplate(tokenizer, thinking=False)
    turns: list[Turn] = [("system", JUDGE), ("user", content)]
    prompt, between = chat.prompt(turns), chat.completion(turns, "").removesuffix(chat.end_of_turn)
    if between.strip():
        # A thought that the model would begin by itself: the answer comes after it.
        return prompt + between, ("", " ")
    return prompt, tuple(dict.fromkeys((between, "", " ")))


def _by_roles(tokenizer: Any, template: str, instruction: str) -> str:
    """Fill a template that has roles of its own for query and document; its own instruction is the default."""
    texts = [("system", instruction), ("query", _QUERY), ("document", _PASSAGE)]
    messages = [{"role": role, "content": text} for role, text in texts if text]
    try:
        return str(
            tokenizer.apply_chat_template(
                messages, chat_template=template, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        )
    except Exception as error:
        # Templates are code: they raise what they like.
        reason = " ".join(str(error).split())
        what = f"the chat template cannot render a query and a document ({reason})"
        raise ConfigError(Problem("", what, "correct the template beside the model's tokenizer")) from None


def _opening(tokenizer: Any) -> str:
    """Return the mark that a tokenizer puts before every text, which plain prompts begin with too."""
    coded = tokenizer("")["input_ids"]
    opens = bool(coded) and tokenizer.bos_token_id is not None and coded[0] == tokenizer.bos_token_id
    return str(tokenizer.bos_token) if opens else ""
