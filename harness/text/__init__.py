"""Text by language: detect the language of a corpus, and split texts into words for search, scores and comparison.

All splitting into words is done here, so that an index, a measure and a filter see the same words. This package must
not know datasets, models or suites, and imports nothing of the harness.
"""

from harness.text.detection import Detected, detect
from harness.text.languages import ENGLISH, name_of, parse_language
from harness.text.questions import asks
from harness.text.tokens import WORDS_VERSION, OtherTexts, Texts, text_of

__all__ = [
    "ENGLISH",
    "WORDS_VERSION",
    "Detected",
    "OtherTexts",
    "Texts",
    "asks",
    "detect",
    "name_of",
    "parse_language",
    "text_of",
]
