"""Text by language: which language a corpus is in, and what its words are for search, for scores and for comparison.

Everything that asks what a word is asks here, so that an index, a measure and a filter see the same words. Knows no
data sets, models or suites, and imports nothing of the harness.
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
