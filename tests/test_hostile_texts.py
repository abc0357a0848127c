"""Nothing that reads a text of others takes time by the square of its length: documents are megabytes.

Each text is repeated until it is 100 kB, and then 200 kB (1 and 2 MB under `slow`): the time may double, and not grow
fourfold.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from harness.data.datasets import load_dataset
from harness.data.evidence import EvidenceSpan, checked_spans
from harness.data.formats import read_jsonl
from harness.data.histories import read_history
from harness.data.imports.cells import context_of, listed, nested_ids, strings
from harness.data.imports.delimited import read_delimited
from harness.data.objects import RawRow
from harness.data.passages import passage
from harness.data.slicing import kind_of
from harness.errors import HarnessError, Problem
from harness.ingest.readers.html import read_html
from harness.ingest.readers.markdown import read_markdown
from harness.ingest.readers.parsed import Unreadable
from harness.ingest.readers.text import read_rst, read_text
from harness.llm.dialects import Dialect
from harness.llm.faults import Fault
from harness.llm.structured import read
from harness.models.thoughts import before_json, split_thoughts
from harness.scoring.abstention import AbstentionRule, is_abstention
from harness.stages.extract import structure_pairs
from harness.stages.shared.answer_writers import holds
from harness.stages.shared.rewriting import cleaned, fault
from harness.stages.shared.turns import alternating
from harness.stages.shared.wording import clean_query, fault_of
from harness.suite.declining import own_sentences
from harness.suite.secrets import mask, revealed
from harness.suite.sources import DatasetSource
from harness.testset.passages import passages_of
from harness.testset.sentences import facts_of
from harness.text import text_of
from harness.text.chunks import headings, split
from harness.text.prose import sentences
from harness.values.records import Document, Turn
from harness.values.repairs import Repairing

SIZE, FLOOR, GROWTH = 100_000, 0.5, 3.0
LARGE = 1_000_000


class Verdict(BaseModel):
    good: bool


class Hostile(NamedTuple):
    """What reads a text, and the text: what it begins with, repeats, and ends with."""

    run: Callable[[str], object]
    unit: str
    head: str = ""
    end: str = ""

    def text(self, size: int) -> str:
        return self.head + self.unit * (size // len(self.unit)) + self.end


def raw(reader: Callable[[bytes], object]) -> Callable[[str], object]:
    def run(text: str) -> object:
        try:
            return reader(text.encode())
        except Unreadable as error:
            return error

    return run


def in_json(text: str) -> object:
    try:
        return read(text, Verdict)
    except ValueError as error:
        return error


def titled(text: str) -> object:
    """Every chunk of a document with the headings above it."""
    document = Document("d", "", text)
    return [passage(document, piece.start, piece.end) for piece in split(text, by="headings", tokens=16)]


def counted(text: str) -> object:
    tokens = text_of("th")
    return tokens.search([text]), tokens.words(text), tokens.length(text), text_of("en").answer(text)


def history(text: str) -> object:
    return read_history(RawRow("q", {"history": text, "text": "x"}, "f:1"), [], Repairing())


def spans(text: str) -> object:
    found = [EvidenceSpan("q", "d", (number, number + 1), "f:1") for number in range(len(text) // 20)]
    return checked_spans(found, {"q": {"d": 1}}, {"d": Document("d", "", text)}, 1, [], Repairing())


def rewritten(text: str) -> object:
    return cleaned(text), fault(text, (Turn("user", text),), text, "en")


def turned(text: str) -> object:
    return alternating([Turn("user", line) for line in text.split("\n")])


def refused(text: str) -> object:
    body = {"messages": [{"role": "system"}], "temperature": 0.0, "seed": 1}
    return Dialect().after_refusal(Fault(text, 400), body)


WORDS = "The ferry Alma carried the mail to the islands in 1911 and came back with the empty bags of the week. "
READERS: dict[str, Hostile] = {
    "a heading of spaces": Hostile(headings, " ", "# ", "x"),
    "a heading of closing marks": Hostile(headings, " #", "# a", "x"),
    "headings without one of level 1": Hostile(titled, "## a\nb\n"),
    "headings inside of each other": Hostile(titled, "## a\nb c\n### d\ne f\n###### g\nh\n"),
    "initials": Hostile(lambda text: list(sentences(text)), "a. "),
    "initials on one line with names": Hostile(lambda text: list(sentences(text)), "J. Smith et al. "),
    "brackets before full stops": Hostile(lambda text: list(sentences(text)), "(. "),
    "quotation marks behind a full stop": Hostile(lambda text: list(sentences(text)), '."'),
    "vowel signs": Hostile(counted, "\u0e31", "\u0e01"),
    "articles": Hostile(counted, "a an the "),
    "thoughts one after the other": Hostile(split_thoughts, "<think>a b c d</think>"),
    "thoughts that end in quotes": Hostile(split_thoughts, "<think>a`</think>` "),
    "thoughts inside of each other": Hostile(split_thoughts, "<think>"),
    "thoughts inside of a line": Hostile(split_thoughts, "-<think>", "x ", "a b c</think>"),
    "thoughts that end and never begin": Hostile(split_thoughts, "a b </think> c "),
    "thoughts that end on their lines": Hostile(split_thoughts, "a\n</think>\n"),
    "empty lines before marks": Hostile(split_thoughts, "\n", "x", "</think>\n<think>a</think>"),
    "channels without a message": Hostile(split_thoughts, "<|channel|>a"),
    "channels with messages": Hostile(split_thoughts, "<|channel|>final<|message|>a"),
    "a mark behind each bracket": Hostile(before_json, "[1,<think>", "x "),
    "marks in one JSON": Hostile(before_json, '"a<think>b",', "x [", '1] "</think>"'),
    "keys without quotes": Hostile(in_json, "{a: "),
    "keys and words without quotes": Hostile(in_json, "{a: b c"),
    "lists in each other": Hostile(in_json, "[1,"),
    "brackets": Hostile(in_json, "["),
    "braces with escapes": Hostile(in_json, '{a: "\\b" x'),
    "lists of lists": Hostile(in_json, "[],", '{"a": [', "'x'], }"),
    "comments": Hostile(in_json, "/*", "{'a': 1, "),
    "numbers of a list": Hostile(clean_query, "1. "),
    "labels": Hostile(lambda text: clean_query(text, WORDS * 200), "Question 1: "),
    "list marks": Hostile(clean_query, "- 1) "),
    "what is mentioned": Hostile(lambda text: fault_of(text, "question"), "given "),
    "talk of questions": Hostile(lambda text: fault_of(text, "question"), "question ", "Here is ", "?"),
    "full stops without an end": Hostile(lambda text: fault_of(text, "question"), ".", "What ", "x"),
    "Arabic words": Hostile(lambda text: fault_of(text, "question"), "ذكر", "", " x"),
    "rewrites": Hostile(rewritten, "a. "),
    "rewrites of spaces": Hostile(rewritten, " ", "a", "b"),
    "conjunctions": Hostile(is_abstention, "so "),
    "qualities": Hostile(is_abstention, "given ", "it is not clear ", "x"),
    "any language": Hostile(lambda text: is_abstention(text, AbstentionRule(language="mul")), "dazu ", "", "x"),
    "fillers": Hostile(own_sentences, "als ", "If not, write ", ";"),
    "spaces behind a verb": Hostile(own_sentences, " ", "If not, write", ";"),
    "quotations": Hostile(own_sentences, "say 'a' "),
    "apostrophes": Hostile(own_sentences, "say 'a"),
    "brackets of quotations": Hostile(own_sentences, "「", "", "x"),
    "beginnings of keys": Hostile(lambda text: (mask(text), revealed(text)), "sk-"),
    "beginnings of tokens": Hostile(lambda text: (mask(text), revealed(text)), "-eyJ"),
    "beginnings of tokens with full stops": Hostile(lambda text: (mask(text), revealed(text)), "-eyJaaaaaaaa.aa"),
    "parameters of an address": Hostile(mask, "?a=b"),
    "full stops of a query": Hostile(lambda text: kind_of(text, "de"), ".", "a b ", "c"),
    "texts with spaces between them": Hostile(listed, "'a'  ", "[", "!]"),
    "escaped quotation marks": Hostile(nested_ids, "\\'", "['", "]"),
    "joined contexts": Hostile(lambda text: strings(text, "c", joined=True), "|a"),
    "spaces before a context": Hostile(context_of, " ", "", "<1-hop"),
    "sources": Hostile(context_of, "deepeval_source="),
    "turns of a text": Hostile(history, "user: a\nbot: b\n"),
    "turns of one speaker": Hostile(turned, "a\n"),
    "spans": Hostile(spans, "abcdefghij"),
    "headings of spaces that give a pair": Hostile(
        lambda text: structure_pairs([Document("d", "", text)], text_of("en")), " ", "# a", "b"
    ),
    "headings of marks that give a pair": Hostile(
        lambda text: structure_pairs([Document("d", "", text)], text_of("en")), " #", "# a", "b"
    ),
    "passages of one document": Hostile(lambda text: passages_of([Document("d", "", text)], 60, 0), WORDS),
    "rows of numbers": Hostile(lambda text: [list(facts_of(one)) for one in passages(text)], "1", WORDS, " is so."),
    "words of an answer": Hostile(lambda text: holds(text, text), "a "),
    "refusals of a server": Hostile(refused, "need", "temperature "),
    "spaces of a server": Hostile(refused, " ", "temperature: system", "x"),
}  # fmt: skip
MARKDOWN = (
    "> ", "- ", "* a\n", "1. ", "[a](", "[a]: b\n", "[", "![", "`", "**a", "_a ", "<h1>", "<h1 ", "<!--", "<a", "<?",
    "<![CDATA[", "a\n", "a\n-\n", "| a ", "    a\n", "```\n", "~~~", "\t", "&amp;", "\\", "{#a} ", "a\n=\n", "# a\n",
    "[^1]: ", "$$", "<h1>a</h1>\n", "  - a\n", "> > a\n", "\n", "[a\n", "[a]: <b\n", "- a\n\n  b\n",
)  # fmt: skip
HEADINGS = (
    "[", "![", "*a ", "_a", "`", "<", "[a](", "**", "&", "\\", " ", "#", " #", "]", "[[a]", "<a ", "~~", "{#a", "*_",
    "\\``", "*]", "[a](<b",
)  # fmt: skip
HTML = (
    "<a>", "<b>", "<p>", "<div>", "<table>", "<table><tr><td>", "<td>a", "<b><p>", "<font><p>", "<i a=1>", "<select>",
    "<li>a", "<ul><li>a", "<!--", "<![CDATA[", "&amp;", "&", "<svg>", "<math>", "<template>", "<pre>", "<h1>a",
    "<a href=#>x</a>", "<p>a", "<br>", "<nav>", "<main>a</main>", "<table><tr><td><p>a<p>b", "</p>", "<em>a</b>",
    "<tr><td>a|", "<ol><li>a</ol>", "<details>", "<form>", "<button>", "<a><table>", "<table><tr><td><a>",
    "<frameset>", "<option>",
)  # fmt: skip
RST = ("a\n=\n", "===\na\n===\n", ":a", "`a ", "``", "= = ", "\t", ":a:`b ", "aaaa\n----\n", "~\n")
DOCUMENTS: dict[str, Hostile] = {
    **{f"Markdown of {unit!r}": Hostile(raw(read_markdown), unit) for unit in MARKDOWN},
    **{f"Markdown heading of {unit!r}": Hostile(raw(read_markdown), unit, "# ", "\n\nbody\n") for unit in HEADINGS},
    "front matter": Hostile(raw(read_markdown), " ", "---\ntitle: a", "b\n---\nbody\n"),
    "front matter without an end": Hostile(raw(read_markdown), "---\na: b\n-", "---\n"),
    "front matter of quotes": Hostile(raw(read_markdown), "' ", "---\ntitle: '", "b\n---\nbody\n"),
    **{f"HTML of {unit!r}": Hostile(raw(read_html), unit) for unit in HTML},
    **{
        f"text of {unit!r}": Hostile(raw(read_text), unit)
        for unit in ("\r", "\x85", "a \n", "# a\n", "\n \n", "é", " ")
    },
    **{f"reStructuredText of {unit!r}": Hostile(raw(read_rst), unit) for unit in RST},
    **{
        f"title of {unit!r}": Hostile(raw(read_rst), unit, "", "\n======\nb\n")
        for unit in (":a", "`a ", "``", ":a:`b ", " ", "`a <", ":a:`b <c> ")
    },
}


def passages(text: str) -> Any:
    return [one for found in passages_of([Document("d", "", text)], 60, 0).by_document.values() for one in found]


def seconds(hostile: Hostile, size: int) -> float:
    text = hostile.text(size)
    before = time.process_time()
    hostile.run(text)
    return time.process_time() - before


def growth(hostile: Hostile, size: int) -> str:
    """How the time of the processor grows; empty if as the text does. On a busy machine, one look is not enough."""
    for _ in range(5):
        once, twice = seconds(hostile, size), seconds(hostile, 2 * size)
        if twice <= max(FLOOR, GROWTH * once):
            return ""
    return f"{once:.2f} s for {size} characters, {twice:.2f} s for {2 * size}"


@pytest.mark.parametrize("name", READERS)
def test_the_time_of_a_hostile_text_grows_as_it_does(name: str) -> None:
    assert growth(READERS[name], SIZE // 5) == ""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_time_of_a_hostile_document_grows_as_it_does(name: str) -> None:
    assert growth(DOCUMENTS[name], SIZE // 5) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", {**READERS, **DOCUMENTS})
def test_the_time_of_megabytes_grows_as_they_do(name: str) -> None:
    assert growth({**READERS, **DOCUMENTS}[name], LARGE) == ""


def test_a_table_of_quotation_marks_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"

    def run(text: str) -> object:
        problems: list[Problem] = []
        path.write_text(text)
        read_delimited(path, (), problems)
        return problems

    assert growth(Hostile(run, '"a\n', "question,answer\n"), SIZE) == ""


def test_an_object_of_many_keys_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"

    def run(text: str) -> object:
        keys = {f"k{number}": 1 for number in range(len(text) // 8)}
        path.write_text(json.dumps({**keys, "text": {"text": 1}, "_id": "1"}) + "\n")
        return list(read_jsonl(path, [], Repairing()))

    assert growth(Hostile(run, "a"), SIZE) == ""


@pytest.mark.parametrize("unit", ["{", "[", '{"_id": "1", "text": "a"}', '{"a":'])
def test_a_dataset_of_one_line_is_read_once(tmp_path: Path, unit: str) -> None:
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "x"}\n')

    def run(text: str) -> object:
        (tmp_path / "corpus.jsonl").write_text(text)
        try:
            return load_dataset(DatasetSource.model_validate({"path": str(tmp_path)}), "test")
        except HarnessError as error:
            return error

    assert growth(Hostile(run, unit), SIZE) == ""
