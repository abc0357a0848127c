"""Recognise the sentences with which a suite lets a generator decline.

A sentence counts if the answer begins with it and the sentence ends there: "Unknown" is an abstention, "Unknown
Pleasures" is an answer. Case, punctuation, quotation marks and the width of characters do not count.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from harness.text import ENGLISH
from harness.text.scripts import canonical

_END = r"[\"'»”’」』*_`)\]]*\s*(?:$|[.!?。！？…;；:：(（\n])"

LABEL = re.compile(
    r"[*\W_]*(?:answer|antwort|réponse|respuesta|risposta|ответ|答案|回答|答え?|الجواب|الإجابة|답변?)[*_]*\s*[:：][*_]*\s*"
)
"""What a model may put in front of an answer."""
_DE = r"(?:unterlagen|passagen?|texte?n?|kontext|dokumente?n?|quellen?|abschnitte?n?|auszügen?|textstellen?)"
_DE_NEWS = r"keine(?:n|rlei)? (?:\w+ ){0,2}?(?:information|angabe|antwort|hinweis|aussage|auskunft|detail)\w*"
_DE_IT = r"(?:das|dies|diese information|die information|die antwort(?: auf (?:die|diese) frage)?)"
_FR = r"(?:le|les|ce|ces) (?:\w+ )?(?:contextes?|textes?|passages?|documents?|extraits?)(?: \w+)?"
_ES = r"(?:el|los|la|las|este|estos) (?:\w+ )?(?:contextos?|textos?|pasajes?|documentos?|fragmentos?)(?: \w+)?"
_ZH = r"(?:上下文|文中|本文|原文|文章|文档|文本|段落|资料|材料|文件|(?:所给|提供|给定|给出|现有)的?\w{0,4})(?:之?中|里|内)?"
_JA = r"(?:文章|文書|本文|資料|情報|コンテキスト|文脈|パッセージ|記事|テキスト|抜粋|ドキュメント|内容)"
_AR = r"(?:النص|السياق|المقطع|الوثائق|الوثيقه|المستندات|النصوص|المقاطع|الفقره|الفقرات)"
PHRASES = {
    "de": (
        rf"(?:(?:dazu|darüber|hierzu|leider) )*{_DE_NEWS}(?: dazu| darüber| hierzu)?"
        rf"(?: (?:in|im|aus) (?:\w+ ){{0,2}}{_DE})?(?: (?:vorhanden|verfügbar|enthalten|gefunden|zu finden))?$",
        rf"(?:{_DE_IT}|es) geht (?:\w+ )?aus .*\bnicht hervor",
        r"aus (?:\w+ ){1,3}geht .*\bnicht hervor",
        rf"{_DE_IT} (?:lässt sich|kann) (?:\w+ )?(?:aus|anhand|mit) .*\bnicht (?:beantwort|entn|ableit|erseh|bestimm|"
        r"sagen|festst)\w*",
        rf"{_DE_IT} (?:ist|wird|steht) (?:\w+ )?(?:in|im|aus) (?:\w+ ){{0,2}}{_DE} (?:nicht|nirgends)\b",
        rf"{_DE_IT} ist (?:mir )?nicht (?:bekannt|angegeben|enthalten)$",
        rf"(?:in |im )?(?:(?:der|die|das|den|dem|diese[mnr]?) )?(?:\w+ )?{_DE} (?:enth\w+|geben|gibt|nenn\w+|sag\w+|"
        rf"mach\w+|erwähn\w+|steh\w+|find\w+)(?: es| sich| dazu| darüber| hierzu)* (?:nichts\b|{_DE_NEWS})",
        rf"(?:dazu|darüber|hierzu) (?:enth\w+|geben|gibt|nenn\w+|sag\w+|mach\w+|steh\w+|find\w+) .*(?:nichts\b|{_DE_NEWS})",
        rf"(?:der|die|das) (?:\w+ )?{_DE} (?:erwähn\w+|nenn\w+) .*\bnicht$",
        r"(?:ich|wir) (?:weiss|wissen) (?:es |das )?(?:leider )?nicht$",
        r"(?:ich|wir) (?:kann|können) (?:das|die frage|diese frage|es)\b.*\bnicht (?:beantworten|sagen|finden)$",
        r"(?:leider )?(?:nicht angegeben|nicht bekannt|unbekannt|nicht enthalten|nicht beantwortbar)$",
    ),
    "fr": (
        r"(?:je|nous) (?:ne |n')?(?:sais|savons) pas(?: la réponse)?$",
        r"(?:désolé,? )?(?:je|nous) (?:ne |n')(?:peux|pouvons|trouve|trouvons) (?:pas|aucune)\b.*"
        r"(?:répondre|information|réponse)\b",
        r"(?:l'|la |cette )?(?:information|réponse)(?: demandée| à cette question)? (?:n'est pas (?:disponible|mentionnée|"
        r"précisée|fournie|indiquée|donnée|présente|dans)|ne figure pas|ne se trouve pas|n'apparaît pas)\b",
        rf"{_FR} (?:ne |n')(?:mentionn|précis|indiqu|di|spécifi)\w* (?:pas|rien|aucune)\b",
        rf"{_FR} (?:ne |n')(?:conti|fourni|donn|compor)\w* (?:pas|aucune?) (?:[\w']+ ){{0,2}}?(?:d')?(?:information|réponse)",
        r"(?:aucune (?:information|réponse)|information non disponible|non (?:précisé|mentionné|disponible|indiqué)e?)"
        r"(?: disponible)?(?: (?:dans|sur)\b.*)?$",
    ),
    "es": (
        r"(?:no lo sé|no sé|no sabemos)(?: la respuesta)?$",
        r"(?:lo siento,? )?no (?:se puede|puedo|podemos|es posible) (?:responder|contestar)\b",
        rf"{_ES} no (?:mencion|dice|indica|especifica)\w*",
        rf"{_ES} no (?:contien|proporcion|incluy|ofrec)\w* (?:\w+ ){{0,2}}?(?:información|respuesta)",
        r"(?:la |esta )?(?:información|respuesta) no (?:está|aparece|se encuentra|consta|figura) "
        r"(?:disponible|en (?:el|la|los|las|este))",
        r"(?:no hay (?:ninguna )?información|información no disponible|no (?:disponible|especificado|se menciona|consta))"
        r"(?: disponible)?(?: (?:en|sobre)\b.*)?$",
    ),
    "zh": (
        rf"(?:很?抱歉|对不起)?[, ]*(?:我|我们)?(?:无法|不能|难以)(?:从|根据|依据|在)?{_ZH}(?:得知|得出|找到|确定|判断|回答|"
        r"知道|获知|获得|推断)",
        r"(?:很?抱歉|对不起)?[, ]*(?:我|我们)?(?:无法|不能)(?:回答|确定|得知)(?:该|此|这个)?(?:问题|答案)?$",
        rf"{_ZH}(?:并)?(?:没有|未|不曾)(?:明确)?(?:提到|提及|说明|提供|给出|涉及|指出|记载)",
        rf"{_ZH}(?:并)?(?:没有|未|不)(?:包含|找到)?(?:任何)?(?:相关|足够|有关|该|此|问题).{{0,8}}(?:信息|内容|答案)",
        r"(?:没有|未|无)(?:提供|找到)?(?:任何)?(?:相关|足够)的?(?:信息|资料|内容|答案)$",
        r"我?(?:不知道|不清楚)(?:答案|这个问题的答案)?$",
        r"(?:信息不可用|信息不足|未提及|未知|没有答案|无答案|无相关信息)$",
    ),
    "ja": (
        rf"(?:申し訳ありませんが|申し訳ございませんが|すみませんが)?[,、 ]*.{{0,16}}{_JA}(?:の中)?"
        r"(?:からは|からでは|には|では|に|から)"
        r"(?:わかりません|分かりません|判断できません|回答できません|答えられません|見つかりません|特定できません)$",
        r"(?:わかりません|分かりません|不明です?|回答できません|お答えできません|答えられません)$",
        rf".{{0,16}}{_JA}(?:の中)?(?:に|には|では|で|から)は?.{{0,12}}(?:記載|情報|記述|言及|答え|回答|説明)"
        r"(?:が|は)?(?:されて)?(?:ありません|いません|ない|見つかりません)$",
        r"(?:情報|記載|該当)(?:が|は)?(?:なし|ありません|見つかりません)$",
    ),
    "ar": (
        r"(?:لا|لم) (?:توجد|يوجد|تتوفر|يتوفر|ترد|يرد|تتوافر) (?:\w+ )?(?:معلومات|معلومه|اجابه|جواب|ذكر)\b",
        r"(?:المعلومات|المعلومه|الاجابه|الجواب) (?:\w+ )?(?:غير|ليست|ليس|لا) (?:متوفر|متاح|موجود|مذكور|وارد|ترد|توجد)ه?",
        rf"(?:لا|لم) (?:يذكر|تذكر|يشير|تشير|يوضح|توضح) (?:هذا |هذه )?{_AR}\b",
        rf"{_AR} (?:\w+ )?(?:لا|لم) (?:يذكر|تذكر|يشير|تشير|يوضح|توضح)\b",
        rf"(?:{_AR} (?:\w+ )?)?(?:لا|لم) (?:يحتوي|تحتوي|يتضمن|تتضمن) (?:{_AR} )?(?:علي )?(?:\w+ )?(?:معلومات|معلومه|اجابه|جواب)",
        r"(?:لا|لست) (?:اعرف|اعلم|ادري)(?: الاجابه| الجواب)?$",
        r"لا (?:يمكنني|استطيع) (?:الاجابه|تحديد|العثور)\b",
        r"لا يمكن (?:الاجابه|معرفه|تحديد) .*\b(?:النص|السياق|المقطع|الوثائق)\b",
        r"غير (?:مذكور|معروف|متوفر|متاح|موجود)ه?(?: في \w+)?$",
    ),
}  # fmt: skip
"""Clear refusals in other languages, matched at the beginning of a sentence. What may be an answer is left out."""


def stands_first(sentence: str, text: str) -> bool:
    """Return whether a text begins with a sentence, and the sentence ends there."""
    return _matcher(sentence).match(canonical_lines(text)) is not None


def canonical_lines(text: str) -> str:
    """Return the canonical form of a text with its line breaks."""
    return "\n".join(line for part in text.splitlines() if (line := canonical(part).casefold()))


@lru_cache(maxsize=64)
def _matcher(sentence: str) -> re.Pattern[str]:
    words = re.findall(r"[^\W_]+", canonical(sentence).casefold())
    # Between words of Latin something must stand, or "N/A" would be "Na"; elsewhere a comma may be left out.
    parts = [
        words[0],
        *((r"[\W_]+" if f"{first}{two}".isascii() else r"[\W_]*") + two for first, two in pairwise(words)),
    ]
    return re.compile(r"[\W_]*" + "".join(parts) + _END)


@lru_cache(maxsize=1)
def _foreign() -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(canonical(pattern)) for patterns in PHRASES.values() for pattern in patterns)


def declines(text: str, language: str) -> bool:
    """Return whether a text begins with a clear refusal in another language; never in an English suite."""
    if language == ENGLISH:
        return False
    for sentence in re.split(r"[.!?。！？…\n]+", canonical_lines(text)):
        plain = sentence.strip(" \"'»«„“”*`:,،")
        if plain:
            return any(pattern.match(plain) for pattern in _foreign())
    return False
