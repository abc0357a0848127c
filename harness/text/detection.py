"""The language of a corpus, by script and by frequent words. No model: the same corpus gives the same language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from harness.text.languages import ENGLISH, LANGUAGES, codes_of
from harness.text.scripts import canonical, script_of, words_of

SAMPLE_TEXTS = 1000
CHARACTERS = 800
"""The first characters of each of the texts that are sampled at equal steps."""
POOLED = 50 * CHARACTERS
"""Characters of all texts together, if single texts are not recognised."""
POOLED_KINDS = 4
"""A character of a part number may be a frequent word of some language."""
WEIGHT = {"CJK": 2.5, "KANA": 2.0, "HANGUL": 2.0}
"""Weight of a letter of these scripts, in Latin letters."""
KANA_SHARE = 0.1
FREQUENT_SHARE = 0.06
"""The least share of frequent words in a text: names and part numbers have none."""
SURE_SHARE = 0.2
LEAD = 1.25
"""Languages as close as Danish and Norwegian may lack such a lead; with that share of words any lead is enough."""
SECOND = 0.05
"""The share of texts from which on another language counts as a language of the corpus."""
SAME_SCRIPT = 0.25
"""The same for a language in the script of the first one, which is recognised less reliably."""
CERTAIN_SHARE = 0.5
FEW = 0.2
"""If so few texts have any frequent word, as in a parts list, the corpus is read as English."""
_LETTERS = {
    "uk": "іїєґ", "sr": "ђјљњћџ", "fa": "پچژگ", "ur": "ٹڈڑںےہ", "yi": "ײױ",
}  # fmt: skip
"""Letters that only this language of the script has. Urdu has the Persian ones too."""


class Detected(NamedTuple):
    """The language of a corpus: one, or several joined, the most frequent first.

    `shares` are fractions of the texts whose language was recognised; `recognised` is the fraction of texts
    that were. `named`: the suite names the language.
    """

    language: str
    shares: Mapping[str, float] = {}
    recognised: float = 1.0
    named: bool = False

    @property
    def certain(self) -> bool:
        return self.named or self.recognised >= CERTAIN_SHARE

    @property
    def mixed(self) -> bool:
        return len(codes_of(self.language)) > 1


def detect(texts: Sequence[str]) -> Detected:
    """Return the language of texts; English, marked as uncertain, if no text is recognised."""
    step = max(1, len(texts) // SAMPLE_TEXTS)
    sample = [text for text in texts[::step] if text.strip()]
    counts = Counter(code for text in sample if (code := of_text(text)) is not None)
    if counts["ja"] and counts["ja"] >= 0.2 * counts["zh"]:
        # Japanese titles and lists may hold no kana.
        counts["ja"] += counts.pop("zh", 0)
    known = counts.total()
    # Titles and short sentences may be too short one by one, but not together.
    together = of_text(" ".join(sample), POOLED, POOLED_KINDS) if known < CERTAIN_SHARE * len(sample) else None
    if not known:
        return Detected(together, {together: 1.0}, CERTAIN_SHARE) if together else Detected(ENGLISH, {}, 0.0)
    shares = {code: count / known for code, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))}
    first = next(iter(shares))
    if LANGUAGES[first].script == LANGUAGES[ENGLISH].script and known < FEW * len(sample):
        return Detected(ENGLISH, shares, known / len(sample))
    chosen = [first]
    for code, share in shares.items():
        same = LANGUAGES[code].script == LANGUAGES[first].script
        if code != first and counts[code] > 1 and share >= (SAME_SCRIPT if same else SECOND):
            chosen.append(code)
    recognised = known / len(sample)
    return Detected("+".join(chosen), shares, max(recognised, CERTAIN_SHARE) if together == first else recognised)


def of_text(text: str, characters: int = CHARACTERS, kinds: int = 1) -> str | None:
    """Return the language of one text, by its first `characters`; None if it is not recognised.

    `kinds` is the number of different frequent words that it must have, for scripts that several languages share.
    """
    plain = canonical(text[:characters]).lower()
    letters: Counter[str] = Counter()
    for character, count in Counter(plain).items():
        if script := script_of(character):
            letters[script] += count
    weights = {script: count * WEIGHT.get(script, 1.0) for script, count in letters.items()}
    if not weights:
        return None
    kana = weights.get("KANA", 0.0)
    if weights.get("CJK", 0.0) + kana >= max(weights.values()):
        return "ja" if kana >= KANA_SHARE * (weights.get("CJK", 0.0) + kana) else "zh"
    script = max(weights, key=lambda name: (weights[name], name))
    codes = [code for code, language in LANGUAGES.items() if language.script == script]
    if len(codes) < 2:
        return codes[0] if codes else None
    return _by_words(plain, script, kinds) or _by_letters(text.lower(), script)


def _by_letters(text: str, script: str) -> str | None:
    """Recognise a language by its own letters, else by its script; not for Latin, which too many languages use."""
    for code, letters in _LETTERS.items():
        if LANGUAGES[code].script == script and sum(map(text.count, letters)) >= 2:
            return code
    return None if script == "LATIN" else next(code for code in LANGUAGES if LANGUAGES[code].script == script)


def _by_words(plain: str, script: str, kinds: int) -> str | None:
    words = Counter(words_of(plain))
    hits = {
        code: sum(words[word] for word in frequent)
        for code, frequent in _frequent().items()
        if LANGUAGES[code].script == script
    }
    best = max(hits, key=lambda code: hits[code])
    second = max((count for code, count in hits.items() if code != best), default=0)
    share = hits[best] / max(words.total(), 1)
    ahead = hits[best] >= LEAD * second or (share >= SURE_SHARE and hits[best] > second)
    varied = len(_frequent()[best] & set(words)) >= kinds
    return best if hits[best] >= 2 and share >= FREQUENT_SHARE and ahead and varied else None


@cache
def _frequent() -> dict[str, frozenset[str]]:
    return {code: frozenset(_words(language.frequent)) for code, language in LANGUAGES.items() if language.frequent}


def _words(text: str) -> Iterable[str]:
    return canonical(text).lower().split()
