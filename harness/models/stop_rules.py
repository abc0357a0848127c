"""Where an answer in a chat ends: tokens, stop strings outside of thoughts, and the thoughts that are split off.

Must not know prompts or batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from harness.models import thoughts

LONGEST_PIECE = 8
"""Tokens beyond the bytes of a stop string that are searched for it."""


class StopRules(NamedTuple):
    """Where an answer in a chat ends and begins.

    `ends` are ids of further tokens that end it, `stop` strings before which it ends. `opening` is the opening mark of
    the thought that the prompt began, if it did.
    """

    ends: frozenset[int] = frozenset()
    stop: tuple[str, ...] = ()
    opening: str = ""


def before_stop(text: str, stop: Sequence[str]) -> str:
    """Return the text before the stop string that ends first, without white space around it.

    The one that ends first, not the one that begins first: there a text that is generated token by token ends.
    """
    text = text.lstrip()
    places = [(place + len(string), place) for string in stop if (place := text.find(string)) >= 0]
    return text[: min(places)[1]].rstrip() if places else text.rstrip()


def split_answer(tokenizer: Any, tokens: Sequence[int], rules: StopRules | None) -> thoughts.SplitText:
    """Decode new tokens and split off thoughts; their marks may be special tokens, which plain decoding drops."""
    plain = str(tokenizer.decode(tokens, skip_special_tokens=True))
    if rules is None:
        return thoughts.SplitText(plain.strip())
    special = _specials(tokenizer) & set(tokens)
    with_marks = str(tokenizer.decode(tokens, skip_special_tokens=False)) if special else plain
    split = thoughts.split_thoughts(with_marks, rules.opening)
    answer = split.answer
    if not split.thought and not split.open:
        answer = plain
    else:
        for mark in tokenizer.convert_ids_to_tokens(sorted(special)):
            answer = answer.replace(mark, "")
    return split._replace(answer=before_stop(answer, rules.stop))


def _specials(tokenizer: Any) -> set[int]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {
        *tokenizer.all_special_ids,
        *(token for token, added_token in added.items() if getattr(added_token, "special", False)),
    }


def stop_check(tokenizer: Any, rules: StopRules | None) -> Callable[[list[int]], bool]:
    """Return a function that says whether the new tokens of an answer hold a stop string outside of thoughts."""
    if rules is None or not rules.stop:
        return lambda tokens: False
    stop = rules.stop
    window = max(len(string.encode()) for string in stop) + LONGEST_PIECE

    def over(tokens: list[int]) -> bool:
        # A stop string may be spread over tokens: the last ones are looked at first, as all would take long.
        end = str(tokenizer.decode(tokens[-window:], skip_special_tokens=True))
        if not any(string in end for string in stop):
            return False
        answer = split_answer(tokenizer, tokens, rules._replace(stop=())).answer
        # Space at the end was taken off, and may be what is looked for.
        whole = answer + end[len(end.rstrip()) :] if answer else ""
        return any(string in whole for string in stop)

    return over
