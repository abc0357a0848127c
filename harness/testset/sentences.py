"""The sentence of a passage that a question can be written about: a plain statement of a fact.

This module must not know how questions are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.hashing import by_hash
from harness.testset.passages import Passage
from harness.text import ENGLISH, text_of
from harness.text.detection import of_text
from harness.text.prose import sentences

LEAST, MOST = 6, 45
"""Words of a sentence that states a fact."""
MANY = "en+zh"
"""Words of any script are counted."""
_POINTS = re.compile(
    r"^(?:this|that|these|those|it|they|he|she|here|there|see|for (?:more|an example|further|details)"
    r"|note that (?:this|it)|however|therefore|thus|hence|also|in this|as (?:above|before)|dies|diese\w*|das|es|sie"
    r"|hier|siehe|cela|ceci|il|elle|voir|esto|este|ver)\b",
    re.IGNORECASE,
)
"""A sentence that points at what was said before."""
_CODE = re.compile(r">>>|\\[a-zA-Z]{2,}|:math:|[{}\\]|={2,}|\[\d+\]_|https?://|(?<!\d)(?:\d++[,;]?\s++){4}|\.\.\s")
"""Code, formulas, references and rows of numbers."""


_HEADING = re.compile(r"^#{1,6}[ \t].*$|^[-=~^]{3,}$", re.MULTILINE)
_SAYS = re.compile(
    r"\b(?:if|unless|when|while|because|since|must|should|may|can|cannot|only|always|never|default\w*|at (?:least|most)"
    r"|between|more|less|than|until|before|after|needs?|costs?|takes?|returns?|raises?|uses?|used|requires?|allows?|supports?|\d+)\b",
    re.IGNORECASE,
)
"""A word by which an English sentence states a condition, a limit, a number or a deed."""


def facts_of(passage: Passage) -> Iterator[str]:
    """Yield the sentences of a passage, as they are written there, that state a fact on their own."""
    texts = text_of(ENGLISH if passage.text.isascii() else MANY)
    body = _HEADING.sub(lambda line: " " * len(line[0]), passage.text)
    for sentence in sentences(body):
        written = body[sentence.start : sentence.end].strip()
        letters = sum(character.isalpha() or character.isspace() for character in sentence.text)
        sized = LEAST <= texts.length(sentence.text) <= MOST and letters >= 0.75 * len(sentence.text)
        whole = not sentence.text[0].islower() and not sentence.text.endswith(("?", "\uff1f", ":"))
        if sized and whole and not (_POINTS.match(sentence.text) or _CODE.search(written)):
            yield written


def fact_of(passage: Passage, common: frozenset[str] = frozenset()) -> str:
    """Return the sentence of a passage that is asked about, chosen by hash; empty if none states a fact.

    `common` has sentences, in plain form, that other passages have too. English ones must say something definite.
    """
    facts = [fact for fact in dict.fromkeys(facts_of(passage)) if plain(fact, passage.title) not in common]
    if of_text(passage.text) == ENGLISH:
        facts = [fact for fact in facts if _SAYS.search(fact)]
    return by_hash(facts)[0] if facts else ""


def plain(fact: str, title: str) -> str:
    """Return a sentence in the form in which two are compared: its words, without those of its document's title."""
    apart = set(re.findall(r"\w+", title.casefold()))
    return " ".join(word for word in re.findall(r"\w+", fact.casefold()) if word not in apart)
