"""Recognise answers that abstain, leniently: the sentences of the suite, their paraphrases, and empty answers.

The first sentence with content decides; apologies and remarks on what the passages are about are skipped. So "Use f.
The passages do not mention others" is an answer, and "I do not know, but perhaps f" an abstention. This module must not
know references or measures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from harness.scoring.sentences import LABEL, declines, stands_first
from harness.text import ENGLISH

RULE_VERSION = 1
"""Raise it when a pattern changes: the scores of every measure that asks `is_abstention` change with it."""
PHRASES_VERSION = 1
"""Raise it when a phrase of another language changes."""


class AbstentionRule(NamedTuple):
    """What counts as an abstention beside the English patterns.

    `sentences` are the suite's own; clear refusals in other languages count where `language` is not English.
    """

    sentences: tuple[str, ...] = ()
    language: str = ENGLISH

    @property
    def identity(self) -> Any:
        """The part of the rule that decides scores: only the version for the plain rule."""
        if self == AbstentionRule():
            return RULE_VERSION
        parts: dict[str, Any] = {"version": RULE_VERSION}
        if self.sentences:
            parts["sentences"] = list(self.sentences)
        if self.language != ENGLISH:
            parts |= {"language": self.language, "phrases": PHRASES_VERSION}
        return parts


PLAIN = AbstentionRule()
"""The English patterns alone."""

_WORDS = r"(?:passages?|excerpts?|snippets?)"
_LOOSE = r"(?:contexts?|documents?|documentation|texts?|articles?|sources?|materials?|information)"
_QUALIFIED = r"(?:given|provided|above|supplied|retrieved|available|following)"
_ARTICLE = r"(?:the |these |this |those |any of the |your )?"
_AFTER = rf"(?: (?:{_QUALIFIED}|here|(?:that (?:is|are|was|were) )?(?:given|provided)))?"
# What can only be the passages of the prompt, and what could as well be a thing that the answer is about.
_PASSAGES = rf"{_ARTICLE}(?:(?:{_QUALIFIED} )+(?:{_WORDS}|{_LOOSE})|{_WORDS}{_AFTER}|{_LOOSE} {_QUALIFIED})"
# The same where anything may stand before it: of several qualities, the last one tells as much as all of them.
_PASSAGES_ANYWHERE = rf"(?:{_QUALIFIED} (?:{_WORDS}|{_LOOSE})|{_WORDS}{_AFTER}|{_LOOSE} {_QUALIFIED})"
_SOURCE = rf"(?:{_PASSAGES}|{_ARTICLE}{_LOOSE})"
_INSIDE = rf"(?:in|from|within|by|with|on|using) (?:any of )?{_SOURCE}"
_NOT = r"(?:do not|does not|did not|don't|doesn't|didn't|cannot|can't|fails? to|never)(?: \w+ly)?"
_SAY = (
    r"(?:mention|state|specify|say|address|discuss|describe|indicate|answer|explain|tell|reveal|identify|name|define|"
    r"detail|clarify)"
)
_HOLD = r"(?:contain|provide|include|give|have|hold|offer|list|cover|show|present|supply|help)"
_NEWS = r"(?:answers?|information|info|details?|mention|reference|anything|enough|sufficient|explanation|description)"
_KNOWN = (
    r"(?:mentioned|specified|stated|provided|given|available|found|included|discussed|described|contained|present|"
    r"defined|listed|answered|covered|addressed|indicated|explained|known|clear)"
)
_TELL = r"(?:answered|determined|found|known|established|inferred|derived|concluded|ascertained|identified|given)"
_FIND = r"(?:answer|determine|tell|say|know|identify|give an answer|provide an answer|find (?:the|an|any) \w+)"
_IS_NOT = r"(?:is|are|was|were|has|have)(?: been)?(?: not|n't)(?: been)?(?: \w+ly)?"
_NOT_ENOUGH = r"(?:not enough|not sufficient|insufficient|not any|too little)"
_END = r"\W*$"

_APOLOGY = r"(?:sorry|i'm sorry|i am sorry|i apologi[sz]e|apologies|unfortunately)"

_PREAMBLE = re.compile(
    rf"(?:{_APOLOGY}|hmm|well)\b.{{0,20}}"
    rf"|(?P<source>{_SOURCE}) (?:only |mainly |mostly )?"
    r"(?:discuss|describe|talk|are about|is about|focus|cover|deal|mention)(?:es|s)?\b.*"
)
_LEAD_IN = re.compile(
    rf"(?:(?:the )?(?:answer|response)\s*:|a\s*:|{_APOLOGY}|however|but|as an ai(?: language)?(?: model)?|therefore|so|"
    rf"(?:based (?:only |solely )?(?:on|upon)|according to|from|given|in|after reading) {_SOURCE})\s*[,;]?\s+"
)
_ABSTAINS = tuple(
    re.compile(pattern)
    for pattern in (
        # The passages do not say it.
        rf"{_PASSAGES} {_NOT} (?:{_SAY}|{_HOLD})\b",
        rf"{_SOURCE} {_NOT} {_SAY}\b",
        rf"{_SOURCE} {_NOT} {_HOLD} (?:\w+ ){{0,3}}?{_NEWS}\b",
        rf"(?:none|neither|no one) of {_SOURCE}(?: \w+ly)? (?:{_SAY}|{_HOLD})",
        rf"(?:no|neither) (?:\w+ )?(?:{_WORDS}|document|source)(?: \w+ly)? (?:{_SAY}|{_HOLD})",
        rf"(?:nothing|nowhere) in {_SOURCE}\b",
        rf"{_SOURCE} (?:is|are) (?:not relevant|irrelevant|{_NOT_ENOUGH})\b",
        rf"{_SOURCE} (?:lacks?|has no|have no|contains? no|provides? no|gives? no|makes? no|includes? no|offers? no) "
        rf"(?:\w+ )?{_NEWS}\b",
        # It is not in the passages.
        rf"(?:the |this |that |such |any |no |requested |required |relevant |specific |exact |correct |an )*"
        rf"(?:information|info|answer|details?)(?: \w+){{0,8}}? (?:{_IS_NOT} |not ){_KNOWN}(?:{_END}| here| {_INSIDE})",
        rf"(?:the )?(?:information|answer)(?: to \w+ question)? (?:is|are) (?:not|nowhere) {_INSIDE}",
        r"(?:the )?(?:correct |exact )?answer(?: to (?:this|the|that|your) question)? is "
        r"(?:unknown|unclear|unavailable|not clear|not known)",
        rf"(?!.*\b(?:that|which|who) (?:is|are|was|were)\b).*\b{_IS_NOT} (?:{_KNOWN} )?(?:anywhere )?"
        rf"(?:in|from|within|by) (?:{_PASSAGES}|the (?:context|text|documents?)){_END}",
        # There is no such information.
        rf"there (?:is|are|was|were|seems to be) no(?: \w+)? (?:information|mention|info|details?)"
        rf"(?:{_END}| (?:about|on|regarding|concerning|of|for|to answer|given|provided|available|here|that|{_INSIDE}))",
        rf"there (?:is|are|was|were) no(?: \w+)? (?:answer|reference|evidence|indication)\b.* {_INSIDE}",
        rf"there(?: is|'s| are| isn't| is not)(?: {_NOT_ENOUGH}| enough| sufficient) (?:\w+ )?"
        r"(?:information|context|details?)"
        rf"(?:{_END}| (?:about|on|regarding|to|given|provided|available|for|{_INSIDE}))",
        rf"{_NOT_ENOUGH} (?:\w+ )?(?:information|context|details?|data|evidence)"
        rf"(?:{_END}| (?:to|in|about|on|is|was|given|provided))",
        rf"no (?:\w+ )?(?:information|answer|mention|details?)(?: (?:is|was|are|were))?"
        rf"(?:{_END}| (?:available|provided|given|found|mentioned)(?:{_END}| {_INSIDE}| (?:about|on|regarding|for))"
        rf"| (?:about|on|regarding|concerning)\b| of\b.* {_INSIDE}| {_INSIDE})",
        # I, or one, cannot tell.
        r"(?:i|we)(?: really| honestly| simply)? (?:do not|don't) know\b",
        r"(?:i'm|i am|we are|we're) (?:not sure|unsure|not certain|unable to|not able to)\b",
        rf"(?:i|we) (?:cannot|can't|can not|could not|couldn't|am unable to|was unable to) "
        rf"(?:{_FIND}|answer|find|locate|see|provide|give)\b",
        r"(?:i|we) (?:do not|don't) (?:have|see|find) (?:\w+ ){0,3}?"
        r"(?:information|context|knowledge|details?|answer|data)\b",
        r"(?:i|we) have (?:no|insufficient) (?:information|idea|knowledge|context)\b",
        rf"(?:it|this|that|(?:the|this|that|your) question|(?:the|an) answer|(?:the|this) information)"
        rf"(?: to (?:this|the|that|your) question)? "
        rf"(?:cannot|can't|can not|could not|couldn't) be {_TELL}\b",
        rf".*\b(?:cannot|can't|can not|could not) be {_TELL} {_INSIDE}{_END}",
        r"(?:this|the|that|your) question (?:is|was) (?:unanswerable|not answerable|not answered)",
        rf"it(?: is|'s)(?: not possible| impossible| not clear| unclear) (?:to {_FIND}\b)?"
        rf"(?:{_END}|.*\b(?:question|{_PASSAGES_ANYWHERE}|the (?:context|text|documents?))\b)",
        rf"unable to {_FIND}\b",
        r"(?:cannot|can't|can not|could not) (?:be )?(?:answered?|determined?)\b"
        r"(?: (?:from|based|with|using|the question)|\W*$)",
        rf"(?:unknown|n/?a|unanswerable|not answerable|no idea|don't know|do not know|not known|"
        rf"not (?:available|mentioned|provided|specified|stated|given)(?: {_INSIDE})?){_END}",
        rf"not {_KNOWN} {_INSIDE}{_END}",
    )
)


def is_abstention(text: str, rule: AbstentionRule = PLAIN) -> bool:
    """Return whether a text declines to answer, by the English patterns or by what the rule adds."""
    return _by_sentence(text, rule.sentences) or declines(text, rule.language) or _in_english(text)


def _by_sentence(text: str, sentences: Sequence[str]) -> bool:
    """Return whether a text begins with one of the sentences, possibly after an apology or "Answer:"."""
    if not sentences:
        return False
    folded = text.casefold()
    rests = [folded, *(folded[match.end() :] for lead_in in (_LEAD_IN, LABEL) if (match := lead_in.match(folded)))]
    return any(stands_first(sentence, rest) for sentence in sentences for rest in rests)


def _in_english(text: str) -> bool:
    plain = re.sub(r"\s+", " ", text.casefold().translate(_TYPOGRAPHY)).strip(" '")
    if not any(character.isalnum() for character in plain):
        return True
    they = "they"
    for sentence in re.split(r"(?<=[.!?;:])\s+", plain):
        statement = re.sub(r"^they\b", they, _without_lead_in(sentence))
        if any(pattern.match(statement) for pattern in _ABSTAINS):
            return True
        preamble = _PREAMBLE.fullmatch(statement)
        if statement and not preamble:
            return False
        if preamble and preamble["source"]:
            they = "the passages"
    return False


_TYPOGRAPHY = {ord("\N{RIGHT SINGLE QUOTATION MARK}"): "'", ord('"'): None, ord("*"): None, ord("`"): None}


def _without_lead_in(sentence: str) -> str:
    """Remove "Sorry, but", "Based on the passages," and the like from the beginning of a sentence."""
    at = 0
    while match := _LEAD_IN.match(sentence, at):
        at = match.end()
    rest = sentence[at:]
    return "" if re.fullmatch(r"(?:(?:the )?(?:answer|response)|a):", rest) else rest
