"""Words of a text by its language: for search, for scores of answers, and for comparing texts.

English uses bm25s' words and Snowball's stems for search, and SQuAD's tokens for answers. Every other language is split
by script. With spaces: words, with the stems and stop words of the language. Without spaces: single characters, and
pairs of them for search (as Lucene's CJKAnalyzer does), which needs no dictionary. Hangul is split into characters
too, as KorQuAD counts them, because its words end in particles.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from harness.text.languages import ENGLISH, Language, codes_of, language_of
from harness.text.scripts import canonical, clusters, script_of, word_pattern

_PUNCTUATION = str.maketrans("", "", string.punctuation)
WORDS_VERSION = 1
"""Raise it when the words of another language than English change: scores of its answers change with them."""
WORDS_IN_SHINGLE = 3
CHARACTER = 0.75
"""Of a word, when shingles are cut: four characters say about as much as three words."""
CHARACTERS_IN_WORD = 2
"""Of a script without spaces, when words are only counted."""
ARABIC_ARTICLE = re.compile(r"^ال(?=\w{3})")
ARABIC_PREFIXES = re.compile(r"^(?:[وفبك]ال|لل)(?=\w{2})|^و(?=\w{4})")
"""Conjunctions and prepositions that are written on to a word, which Snowball leaves there."""

Shingle = tuple[str, ...]


class Texts:
    """The words of English texts; the base class of the other languages."""

    language = ENGLISH
    by_characters = False

    def search(self, texts: Sequence[str], stop_words: str | list[str] = "en", stem: bool = True) -> list[list[str]]:
        """Return the tokens of each text for bm25; `stop_words` are the name of a list of bm25s, or words."""
        import bm25s
        import Stemmer

        if not texts:
            return []
        stemmer = Stemmer.Stemmer("english") if stem else None
        tokens: list[list[str]] = bm25s.tokenize(
            list(texts), stopwords=stop_words, stemmer=stemmer, return_ids=False, show_progress=False
        )
        return tokens

    def words(self, text: str) -> list[str]:
        """Return the words in order, case folded and without punctuation, to compare texts word for word."""
        return re.findall(r"\w+", text.casefold())

    def answer(self, text: str) -> list[str]:
        """Tokens as SQuAD counts them: lower case, without punctuation and articles."""
        return re.sub(r"\b(?:a|an|the)\b", " ", text.lower().translate(_PUNCTUATION)).split()

    def stems(self, text: str) -> list[str]:
        """Return the stemmed words of a text, stop words included, as ROUGE compares them in other languages."""
        return self.words(text)

    def length(self, text: str) -> int:
        """Return the approximate number of words; without spaces, half the number of characters."""
        return len(self.words(text))

    def size(self, text: str) -> int:
        """Return the length of a text in `unit`."""
        return len(text.split())

    @property
    def unit(self) -> str:
        """The unit of `size`: words, or characters if most of the corpus has no spaces."""
        return "character" if self.by_characters else "word"

    def shingles(self, text: str) -> set[Shingle]:
        """Return all runs of three words, or of about as much of a text without spaces."""
        words = self.words(text)
        return set(zip(words, words[1:], words[2:], strict=False))

    def is_character(self, word: str) -> bool:
        """Return whether a word of `words` is a single character of a script that is split into characters."""
        return False

    def exact(self, text: str) -> str:
        """Return the form of an answer that exact match compares."""
        return text


class _Token(NamedTuple):
    """A word, or a run of characters without spaces (`kind` as the groups of `word_pattern`)."""

    text: str
    kind: str | None


class OtherTexts(Texts):
    """The words of texts in any language but English, or in several languages at once."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.languages = [language_of(code) for code in codes_of(language)]
        first = self.languages[0].script
        self.by_characters = first in ("CJK", "KANA", "THAI", "LAO", "KHMER", "MYANMAR")
        self._by_script: dict[str, Language] = {}
        for entry in self.languages:
            self._by_script.setdefault(entry.script, entry)
        self._articles = {word for entry in self.languages for word in canonical(entry.articles).casefold().split()}
        self._turkish = "tr" in codes_of(language)

    def search(self, texts: Sequence[str], stop_words: str | list[str] = "en", stem: bool = True) -> list[list[str]]:
        """See `Texts`. Stop words are those of the language of each word; a list of words is used beside them."""
        extra = frozenset(stop_words) if isinstance(stop_words, list) else frozenset()
        stemmed = _Stemmers() if stem else None
        # Equal tokens are one object: a large corpus has few distinct ones.
        shared: dict[str, str] = {}
        return [[shared.setdefault(token, token) for token in self._searched(text, extra, stemmed)] for text in texts]

    def _searched(self, text: str, extra: frozenset[str], stemmed: _Stemmers | None) -> Iterator[str]:
        for token in self._tokens(text):
            if token.kind is not None:
                yield from _grams(token)
                continue
            language = self._by_script.get(script_of(_first_letter(token.text)))
            # Words of English names and code in texts of another script: stems, but "IT" is no stop word there.
            stops = _stop_words(language.code) | extra if language else frozenset[str]()
            stemmer = language.stemmer if language else "english" if token.text.isascii() else None
            short = len(token.text) == 1 and not token.text.isdigit()
            if short or token.text in stops:
                continue
            word = ARABIC_PREFIXES.sub("", token.text) if language and language.code == "ar" else token.text
            yield stemmed.stem(stemmer, word) if stemmed is not None and stemmer else word

    def words(self, text: str) -> list[str]:
        """Return words, and characters of scripts without spaces and Hangul; without either, the parts between blanks."""
        words: list[str] = []
        for token in self._tokens(text):
            words += clusters(token.text) if token.kind else [token.text]
        return words or self._plain(text).split()

    def answer(self, text: str) -> list[str]:
        """The same without articles; a text of nothing else keeps them."""
        words = self.words(text)
        if "ال" in self._articles:
            words = [ARABIC_ARTICLE.sub("", word) for word in words]
        return [word for word in words if word not in self._articles] or words

    def stems(self, text: str) -> list[str]:
        """See `Texts`."""
        stemmed = _Stemmers()
        stems = []
        for word in self.words(text):
            language = self._by_script.get(script_of(_first_letter(word)))
            stemmer = language.stemmer if language else "english" if word.isascii() else None
            stems.append(stemmed.stem(stemmer, word) if stemmer else word)
        return stems

    def length(self, text: str) -> int:
        """See `Texts`."""
        tokens = list(self._tokens(text))
        spaceless = sum(len(clusters(token.text)) for token in tokens if token.kind in ("ideographs", "syllables"))
        spaced = sum(token.kind not in ("ideographs", "syllables") for token in tokens)
        return spaced + math.ceil(spaceless / CHARACTERS_IN_WORD)

    def size(self, text: str) -> int:
        """See `Texts`."""
        return len(self.words(text)) if self.by_characters else len(text.split())

    def shingles(self, text: str) -> set[Shingle]:
        """See `Texts`; a shingle ends with the word or character that makes it as long as three words."""
        units = [
            (part, CHARACTER if token.kind else 1.0)
            for token in self._tokens(text)
            for part in (clusters(token.text) if token.kind else [token.text])
        ]
        shingles: set[Shingle] = set()
        for start in range(len(units)):
            weight = 0.0
            for end in range(start, len(units)):
                weight += units[end][1]
                if weight >= WORDS_IN_SHINGLE:
                    shingles.add(tuple(part for part, _ in units[start : end + 1]))
                    break
        return shingles

    def is_character(self, word: str) -> bool:
        """See `Texts`."""
        match = word_pattern().match(word)
        return match is not None and match.lastgroup is not None

    def exact(self, text: str) -> str:
        """The canonical form: width, composition, digits and vowel signs do not count; case and punctuation do."""
        return canonical(text)

    def _plain(self, text: str) -> str:
        plain = canonical(text)
        if self._turkish:
            plain = plain.replace("İ", "i").replace("I", "ı")
        return plain.casefold()

    def _tokens(self, text: str) -> Iterator[_Token]:
        for match in word_pattern().finditer(self._plain(text)):
            yield _Token(match[0], match.lastgroup)


class _Stemmers:
    """Stemmers by name, created on first use; for one call only, because Snowball's are not safe in two threads."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}
        self._known: dict[tuple[str, str], str] = {}

    def stem(self, name: str, word: str) -> str:
        if (name, word) not in self._known:
            if name not in self._made:
                import Stemmer

                self._made[name] = Stemmer.Stemmer(name)
            self._known[name, word] = self._made[name].stemWord(word)
        return self._known[name, word]


def _grams(token: _Token) -> Iterator[str]:
    """Return characters and pairs of ideographs and Hangul; pairs and threes of other syllables, which carry less."""
    parts = clusters(token.text)
    if len(parts) == 1 or token.kind != "syllables":
        yield from parts
    yield from (first + two for first, two in pairwise(parts))
    if token.kind == "syllables":
        yield from ("".join(three) for three in zip(parts, parts[1:], parts[2:], strict=False))


def _first_letter(word: str) -> str:
    return next((character for character in word if character.isalpha()), "0")


@cache
def _stop_words(code: str) -> frozenset[str]:
    """Return bm25s' list for the language; if it has none, the frequent words."""
    from bm25s.tokenization import _infer_stopwords

    language = language_of(code)
    words = _infer_stopwords(language.stop_words) if language.stop_words else language.frequent.split()
    return frozenset(part for word in words for part in canonical(word).casefold().split())


@lru_cache(maxsize=32)
def text_of(language: str) -> Texts:
    """Return the reader of texts in a language, or in several joined as in ``en+zh``."""
    return Texts() if language == ENGLISH else OtherTexts(language)
