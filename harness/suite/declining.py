"""How a generator may decline: the suite's own sentences, and the one that an instruction tells it to write.

Must not know how an answer is told to be one of them; see `scoring.sentences`.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from harness.suite.fields import Spec, Unique

LABELS = frozenset(
    [
        "yes",
        "no",
        "true",
        "false",
        "correct",
        "incorrect",
        "right",
        "wrong",
        "supported",
        "refuted",
        "contradicted",
        "entailment",
        "contradiction",
        "neutral",
        "positive",
        "negative",
        "ja",
        "nein",
        "wahr",
        "falsch",
        "oui",
        "non",
        "vrai",
        "faux",
        "sí",
        "si",
        "no",
        "verdadero",
        "falso",
        "да",
        "нет",
        "是",
        "否",
        "不是",
        "对",
        "错",
        "正确",
        "错误",
        "はい",
        "いいえ",
        "نعم",
        "لا",
        "예",
        "아니요",
        "아니오",
    ]
)
"""Answers of their own, also where an instruction names them for what is not so."""
LONGEST = 200
"""Characters of a sentence that an instruction can mean by it."""
NEAR, AROUND = 100, 500
"""Characters before what is quoted, and after it, that say whether it is meant."""

_QUOTED = (
    r"[\"“”„«»]\s?(?P<a>[^\"“”„«»\n]{1,400}?)\s?[\"“”«»]|[‚‘'](?P<b>[^\n]{1,400}?)['’‘](?!\w)|`(?P<c>[^`\n]{1,400})`"
    r"|「(?P<d>[^」\n]{1,400})」|『(?P<e>[^』\n]{1,400})』|\*\*(?P<f>[^*\n]{1,400})\*\*"
)
_VERB = (
    r"\b(?:your|the) (?:answer|reply|response) (?:must be|should be|is|shall be)\b|"
    r"\b(?:write|say|reply|respond|answer|output|return|state|use|print|give|schreib(?:e|en)?|antworte(?:n)?|sag(?:e|en)?|"
    r"gib|geben|erwider(?:e|n)|écri(?:s|vez|re)|répond(?:s|ez|re)|di(?:s|tes)|escrib[ea]n?|escribir|respond[ea]n?|"
    r"conteste?|contesta|di|scrivi|rispondi|escreva|responda|напиши(?:те)?|ответь(?:те)?|skriv|svara|svar|schrijf|antwoord)\b"
    r"|(?:请|就|则|应)?(?:直接)?(?:准确地?|只)?(?:回答|写|回复|输出|说|答|回覆)|(?:と|を)(?:正確に)?(?:書|答え|回答|出力|返答)\w*"
    r"|(?:اكتب|أجب|اجب|قل|رد)|(?:라고|로) (?:쓰|답|대답)\w*"
)
_FILL = (
    r"(?:[ \t]*(?:with|only|just|exactly|simply|literally|verbatim|precisely|back|out|that|this|the|these|following|sentence|"
    r"words?|phrase|text|string|token|message|in|your|answer|answers|response|mit|nur|genau|exakt|wörtlich|wortwörtlich|"
    r"diesen|dem|den|einfach|lediglich|stattdessen|satz|folgenden|folgendes|als|antwort|exactement|simplement|seulement|par|"
    r"la|le|uniquement|exactamente|solo|simplemente|frase|con|esattamente|exatamente|точно|только|это|так|"
    r"precis|exact|instead|then|always|stets|ausschließlich|dann|dan|met|med|bara|alleen|：|准确地?|以下|句子|这句话|一句|下面|أن|بالضبط|فقط|الجملة|التالية|ما|يلي)){0,20}"
)
_NEGATION = (
    r"\b(?:not|no|n't|cannot|can't|don't|doesn't|isn't|aren't|without|lacks?|missing|unable|unanswerable|insufficient|unknown|"
    r"unsure|nothing|none|nicht|keine?[nrs]?|nichts|fehlt|ne|n|pas|aucune?|sans|sin|ningun[ao]?|non|não|не|нет|inte|ikke|"
    r"niet|geen|otherwise|else|sonst|andernfalls|sinon)\b|n['’]t\b|没有|不|无|未|ない|ません|なけれ|لا|لم|ليس|غير|없"
)
_FORBIDDEN = re.compile(
    r"(?:\b(?:not|never|don['’]t|avoid|nicht|nie|niemals|ne|jamais|nunca|no|не|never ever)|不要|别|勿|لا)\W*$",
    re.IGNORECASE,
)
"""In front of a verb: what follows must not be written."""
_EXACTLY = re.compile(
    r"exact|genau|wörtlich|verbatim|literal|just|only|nur|准确|正確|точно|بالضبط|esatt|exat", re.IGNORECASE
)
_IF = re.compile(
    r"\W*(?:if|when|whenever|where|unless|wenn|falls|sofern|si|cuando|se|если|als|om|hvis)\b[^,;\"“„]*", re.IGNORECASE
)
_CONDITION = re.compile(_NEGATION, re.IGNORECASE)
_WHEN = re.compile(r"\b(?:if|when|wenn|falls|si|cuando)\b", re.IGNORECASE)
_CUE = re.compile(
    rf"(?:{_VERB}){_FILL}[ \t]*+(?::|：)?[ \t]*+\n?[ \t]*+(?:{_QUOTED})"
    rf"|(?:{_VERB}){_FILL}[ \t]*(?::|：)[ \t]*+\n?[ \t]*+(?P<rest>[^\n]+)"
    rf"|(?:{_VERB}){_FILL}[ \t]+(?-i:(?P<token>[A-Z][A-Z0-9]*(?:[_/ -][A-Z0-9]+)*))(?![\w'’-])"
    r"|\b(?:if|when|wenn|falls)\b[^.:\n]{0,80}:[ \t]*(?-i:(?P<alone>[A-Z][A-Z0-9]+(?:[_/ -][A-Z0-9]+)*))(?![\w'’-])",
    re.IGNORECASE,
)
_BEFORE = re.compile(rf"(?:{_QUOTED})(?:と|라고|を|로)[^。.\n]{{0,12}}(?:書|答え|回答|出力|返|쓰|답|대답)")
"""Japanese and Korean put the verb behind what is to be written."""
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])(?:\s+|(?=[^\x00-\x7f]))")


def _worded(text: str) -> str:
    if not any(map(str.isalnum, text)):
        raise ValueError("a sentence needs a letter or a digit")
    return " ".join(text.split())


class AbstentionSentences(Spec):
    """`sentences` by which a generator declines, beside the one in its instruction and the common phrases."""

    sentences: Annotated[tuple[Annotated[str, Field(min_length=1), AfterValidator(_worded)], ...], Unique] = ()


def own_sentences(instruction: str) -> tuple[str, ...]:
    """What an instruction tells a generator to write where it has no answer, in order; empty where it names nothing.

    Read is what stands in quotation marks, behind a colon, or in capital letters, after a verb such as "write" and in
    a sentence (or the one after it) that speaks of something missing: "If the passages do not say it, write exactly:
    NO_ANSWER". All else that an instruction quotes is left alone.
    """
    found: dict[str, None] = {}
    previous = ""
    for sentence, following in _sentences(instruction):
        # Where the sentence itself first speaks of it, so that it is not read again for everything that it quotes.
        lacking, when = _first_end(_CONDITION, sentence), _first_end(_WHEN, sentence)
        told_lacking, told_when = _CONDITION.search(previous), _WHEN.search(previous)
        for match in (*_CUE.finditer(sentence + following), *_BEFORE.finditer(sentence)):
            if match.start() >= len(sentence):
                continue
            groups = match.groupdict()
            start = match.start("alone") if groups.get("alone") else match.start()
            condition = _IF.match(sentence, match.end(), match.end() + AROUND)
            strict = _EXACTLY.search(match[0]) and (told_when or when <= start)
            missing = told_lacking or lacking <= start or (condition and _CONDITION.search(condition[0]))
            before = f"{previous[-NEAR:]} {sentence[max(0, start - NEAR) : start]}"
            if _FORBIDDEN.search(before) or not (missing or strict):
                continue
            text = next((value for value in groups.values() if value), "")
            if groups.get("token") and (not text.isupper() or len(text) < 2):
                continue
            if groups.get("rest"):
                text = _SENTENCE_END.split(text.strip(), maxsplit=1)[0]
                if text[:1].islower() and not _EXACTLY.search(match[0][: match.start("rest") - match.start()]):
                    continue
            text = " ".join(text.split()).strip()
            label = text.casefold().strip(" .!。") in LABELS
            if not label and any(map(str.isalnum, text)) and len(text) <= LONGEST and text not in found:
                found[text] = None
        previous = sentence
    return tuple(found)


def _first_end(pattern: re.Pattern[str], text: str) -> int:
    """Where the first match in a text ends; behind the text if there is none."""
    match = pattern.search(text)
    return match.end() if match else len(text) + 1


def _sentences(text: str) -> list[tuple[str, str]]:
    """Sentences, each with the text behind it: what is to be written may end one of its own."""
    starts = [0, *(match.end() for match in re.finditer(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n{2,}", text))]
    ends = [*starts[1:], len(text)]
    return [(text[start:end], text[end : end + LONGEST]) for start, end in zip(starts, ends, strict=True)]
