"""extract: a corpus in, training pairs out that its structure gives for free: no model is asked.

A heading with the text below it, and a sentence with the passage that it was taken out of (inverse cloze task: Lee,
Chang and Toutanova, ACL 2019). What training shows is the passage without the heading or sentence, so that it is not
found by its own words. `sift` decides what may be used, as of synthetic queries.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from harness.stages import Inputs, Stage, Takes
from harness.stages.shared.common import write_pairs
from harness.stages.sift import HEADING
from harness.stages.synthesize import passages_to_use
from harness.suite.fields import Spec
from harness.text import ENGLISH, Texts, text_of
from harness.text.prose import Sentence, sentences, without
from harness.values.records import Document, Pair, Progress, Usage

ORIGIN = "structure"
HEADING_WORDS = (2, 30)
SENTENCE_WORDS = (6, 50)
BODY_WORDS = 20
"""A passage with fewer words left answers nothing."""
LETTERS = 0.7
"""Least share of letters in what is printed of a sentence: less is a formula, a reference or a row of figures."""
_CODE = re.compile(r"\w\(|[_=]")
_MARKDOWN_HEADING = re.compile(r"\s*+#{1,6}(?!#)\s++(?:#\n\s*+#+\n|(.+)\n(?:(?<!#\n)\s*+#+\n)?)")
_MARKS_ALONE = re.compile(r"\s*+#{1,6}(?!#)(\s++)")
_REFERS_BACK = re.compile(
    r"(?:this|these|those|that|it|its|they|their|he|she|his|her|we|our|i|such|both|here|there|however|thus|therefore|"
    r"hence|also|additionally|furthermore|moreover|then|but|and|or|so|nevertheless|nonetheless|consequently|similarly|"
    r"conversely|instead|otherwise|another|others?|in (?:addition|contrast|particular|turn)|as a result|to this end|"
    r"for (?:example|instance)|on the other hand|because of this|see|note)\b",
    re.IGNORECASE,
)
"""Beginnings of English sentences that say nothing without the ones before."""


class ExtractSpec(Spec):
    """`max_documents` as in `training_data.Synthesize`."""

    max_documents: int | None = None
    language: str = ENGLISH


def extract(spec: ExtractSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write the pairs that the structure of each passage gives, as `synthesize` writes its own."""
    chosen, notes = passages_to_use(inputs, spec.max_documents, seed)
    pairs = structure_pairs(chosen, text_of(spec.language))
    write_pairs(out, pairs)
    progress(len(chosen), len(chosen))
    kinds = {f"of kind {kind}": count for kind, count in sorted(Counter(pair.kind for pair in pairs).items())}
    without_pair = len(chosen) - len({pair.doc_id for pair in pairs})
    notes |= {"pairs": len(pairs), **kinds, "passages that give no pair": without_pair}
    return Usage(units=len(chosen), notes=notes)


def structure_pairs(documents: Sequence[Document], texts: Texts) -> list[Pair]:
    """Return at most two pairs for each document: heading and text, sentence and the passage without it."""
    parts = [_heading_of(document) for document in documents]
    usable = [[sentence for sentence in sentences(body) if _is_sentence(sentence, texts)] for _, body in parts]
    # What stands in several passages asks for none of them: the next sentence may do.
    counts = Counter(text for own in usable for text in {sentence.text.casefold() for sentence in own})
    headings = Counter(heading.casefold() for heading, _ in parts)
    pairs: list[Pair] = []
    for document, (heading, body), own in zip(documents, parts, usable, strict=True):
        long_enough = texts.length(body) >= BODY_WORDS
        if long_enough and headings[heading.casefold()] == 1 and _is_heading(heading, texts):
            pairs.append(Pair(heading, document.doc_id, HEADING, ORIGIN, passage=body))
        alone = (sentence for sentence in own if counts[sentence.text.casefold()] == 1)
        shown = ((sentence.text, without(body, sentence)) for sentence in alone)
        for text, rest in shown:
            if texts.length(rest) >= BODY_WORDS:
                passage = Document(document.doc_id, heading, rest).content
                pairs.append(Pair(text, document.doc_id, "sentence", ORIGIN, passage=passage))
                break
    return pairs


def _heading_of(document: Document) -> tuple[str, str]:
    """The heading of a passage on one line, empty if it has none, and the text below it."""
    heading, body = document.title.strip(), document.text.strip()
    if not heading and (match := _MARKDOWN_HEADING.match(body)):
        heading, body = (match[1] or "").rstrip("#").rstrip() or "#", body[match.end() :].strip()
    elif not heading and (match := _MARKS_ALONE.match(body)) and _has_blank_title(match[1]):
        body = body[match.end() :]
    # Where texts were cut out of pages, many repeat their title.
    return " ".join(heading.split()), body.removeprefix(heading).strip()


def _has_blank_title(space: str) -> bool:
    """Whether the white space behind the marks of a heading is more than its line's end: a title that is blank."""
    return space[1 : max(space.rfind("\n"), 0)].strip("\n") != ""


def _is_heading(heading: str, texts: Texts) -> bool:
    """Whether a heading is in words, not a file name, a number or a signature."""
    if _CODE.search(heading):
        return False
    parts = heading.split()
    plain = [part for part in parts if re.fullmatch(r"\W*[^\W\d_]+(?:[-'\u2019/][^\W_]+)*\W*", part)]
    return HEADING_WORDS[0] <= texts.length(heading) <= HEADING_WORDS[1] and 2 * len(plain) >= len(parts)


def _is_sentence(sentence: Sentence, texts: Texts) -> bool:
    """Whether a sentence can stand for a query: whole, in words, neither short nor long."""
    text = sentence.text
    if not SENTENCE_WORDS[0] <= texts.length(text) <= SENTENCE_WORDS[1] or _REFERS_BACK.match(text):
        return False
    printed = [character for character in text if not character.isspace()]
    begins = next((character for character in text if character.isalnum()), "")
    letters = sum(character.isalpha() or not character.isascii() for character in printed)
    return text[0] not in ",;:)[" and not begins.islower() and letters >= LETTERS * len(printed)


STAGE = Stage(
    run=extract,
    spec=ExtractSpec,
    version=1,
    takes=Takes(("corpus",), ("excluded",)),
    heavy=False,
    rate=3000.0,
    unit="passages",
)
