"""Recognise questions by the words of a language; without a list of words, only by a question mark."""

from __future__ import annotations

import re

_FIRST = (
    "what|which|who|whom|whose|when|where|why|how|is|are|was|were|do|does|did|has|have|had|can|could|should|would|will|"
    "may|might|must|shall|in what|in which|at what|at which|for what|for which|to what|by what|from which|on which|under|"
    "explain|describe|name|list|tell|give|state|define|compare|identify|summari[sz]e|discuss|find|show|calculate|outline|"
    "was|welche[rsnm]?|wer|wem|wen|wessen|wann|wo|woher|wohin|worin|woran|worauf|womit|wofür|wodurch|warum|wieso|weshalb|"
    "wie|wieviele?|ist|sind|war|waren|hat|haben|kann|können|muss|müssen|darf|dürfen|soll|sollte|wird|werden|in welche[rmn]?|"
    "erkläre|beschreibe|nenne|quels?|quelles?|qui|que|quoi|qu'|quand|où|pourquoi|comment|combien|est-ce|à quel|de quel|"
    "dans quel|expliquez|décrivez|qué|cuál(?:es)?|quién(?:es)?|cuándo|dónde|por qué|cómo|cuántos?|cuántas?|cuánto|cuánta|"
    "a qué|en qué|de qué|con qué|explique|describa|che|quale|quali|chi|quando|dove|perché|come|quanto|quanti|quante|"
    "qual|quais|quem|onde|por que|como|quantos?|quantas?|wat|welke|wie|wanneer|waar|waarom|hoe|hoeveel|"
    "что|какой|какая|какие|какое|кто|когда|где|почему|зачем|как|сколько|чем|чей|кому|при како|в како"
)
_STARTS = re.compile(rf"\W*(?:¿|(?:{_FIRST})(?:\W|$))", re.IGNORECASE)
_ANYWHERE = re.compile(
    r"什么|甚么|多少|多久|多长|多大|多高|怎么|怎样|如何|为什么|为何|哪[里些个种儿]?|谁|几[个种天小次时分年]|是否|能否|吗|呢\W*$|"
    r"^\W*请|何[がをにのはで時年]|何か|なに|なん|どう|どの|どれ|どこ|どんな|いつ|なぜ|誰|いくつ|いくら|か[。?？\s]*$|ください|"
    r"무엇|무슨|어떻게|어떤|어느|왜|언제|어디|누가|누구|몇|얼마|까[?？\s]*$|나요|"
    r"أي[ن]? |ماذا|متى|كيف|لماذا|كم |^\W*(?:هل|ما|من|أي|مما|بم|لم)\s|ما هو|ما هي|อะไร|อย่างไร|เท่าไร|เท่าไหร่|ทำไม|เมื่อไร|ที่ไหน|ใคร|กี่|"
    r"क्या|कैसे|क्यों|कब|कहाँ|कहां|कौन|कितन|किस|מה |מי |איך|למה|מתי|איפה|כמה|מדוע|כיצד"
)


def asks(text: str) -> bool:
    """Return whether a text begins like a question or a request, or has a word that only questions have."""
    return bool(_STARTS.match(text) or _ANYWHERE.search(text))
