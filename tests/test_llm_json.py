"""JSON with one reading is read, JSON with two or none is not, and no value is guessed."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from harness.llm.structured import read, values_in


class Verdict(BaseModel):
    explanation: str
    score: float


ONE_READING: dict[str, tuple[str, str]] = {
    "L17, a formula": (
        r'{"explanation": "the force is \(F = m \cdot a\)", "score": 0.9}', r"the force is \(F = m \cdot a\)"),
    "L17, a Greek letter": (r'{"explanation": "\sigma and \alpha", "score": 0.9}', r"\sigma and \alpha"),
    "L17, a raw line break": ('{"explanation": "first line\nsecond line", "score": 0.9}', "first line\nsecond line"),
    "L17, a comma at the end": ('{"explanation": "fine", "score": 0.9,}', "fine"),
    "a raw tab and a return": ('{"explanation": "a\tb\r\nc", "score": 0.9}', "a\tb\r\nc"),
    "a null byte": ('{"explanation": "a\x00b", "score": 0.9}', "a\x00b"),
    "LaTeX that looks like escapes": (
        r'{"explanation": "\frac{1}{2} \beta \theta \nu \times \rho \(x\)", "score": 0.9}',
        r"\frac{1}{2} \beta \theta \nu \times \rho \(x\)",
    ),
    "an escape beside a formula": (r'{"explanation": "one:\nTwo \(x\)", "score": 0.9}', "one:\nTwo \\(x\\)"),
    "escapes, and no formula": (r'{"explanation": "a\tb\nc", "score": 0.9}', "a\tb\nc"),
    "a command like a code point": (r'{"explanation": "\underline{x} \u00e9", "score": 0.9}', "\\underline{x} é"),
    "an escaped apostrophe": (r'{"explanation": "it\'s", "score": 0.9}', "it's"),
    "an escaped underscore": (r'{"explanation": "a\_b", "score": 0.9}', r"a\_b"),
    "a path, escaped": (r'{"explanation": "C:\\temp\\new", "score": 0.9}', r"C:\temp\new"),
    "a comment": ('{"explanation": "see // here", // why\n "score": 0.9 /* sure */}', "see // here"),
    "Python's quotes": ("{'explanation': 'as \"it\" says', 'score': 0.9}", 'as "it" says'),
    "Python's quotes, an apostrophe": ("{'explanation': \"it's\", 'score': 0.9}", "it's"),
    "no quotes around keys": ('{explanation: "fine", score: 0.9}', "fine"),
    "a number without a zero": ('{"explanation": "fine", "score": .9}', "fine"),
    "a plus": ('{"explanation": "fine", "score": +0.9}', "fine"),
    "a fence": ('```json\n{"explanation": "fine", "score": 0.9,}\n```', "fine"),
    "chatter": ('Sure {as asked}: {"explanation": "fine", "score": 0.9,} Anything else?', "fine"),
    "a remark with a colon": ('{note: see above} {"explanation": "fine", "score": 0.9}', "fine"),
    "JSON in a text of JSON": (json.dumps('{"explanation": "fine", "score": 0.9}'), "fine"),
    "a space that does not break": ('{"explanation":\u00a0"fine",\u00a0"score": 0.9}', "fine"),
    "a draft in a thought": ('<think>{"explanation": "d", "score": 0.1}</think>{"explanation": "fine", "score": 0.9}',
                             "fine"),
    "a thought that ends only": ('{"explanation": "draft", "score": 0.1}</think> {"explanation": "fine", "score": 0.9}',
                                 "fine"),
    "two thoughts": ('<think>a</think><think>{"explanation": "draft", "score": 0.1}</think>'
                     '{"explanation": "fine", "score": 0.9}', "fine"),
    "Mistral's thoughts": ('[THINK]{"score": 0.1}[/THINK]{"explanation": "fine", "score": 0.9}', "fine"),
    "harmony": ('<|channel|>analysis<|message|>{"explanation": "d", "score": 0.1}<|end|><|start|>assistant<|channel|>'
                'final<|message|>{"explanation": "fine", "score": 0.9}', "fine"),
    "another tag": ('<reasoning>{"explanation": "d", "score": 0.1}</reasoning>\n{"explanation": "fine", "score": 0.9}',
                    "fine"),
    "a tag within": ('{"explanation": "it writes </think> and {", "score": 0.9}', "it writes </think> and {"),
}  # fmt: skip


@pytest.mark.parametrize("damage", ONE_READING)
def test_json_with_one_reading_is_read(damage: str) -> None:
    text, explanation = ONE_READING[damage]
    assert read(text, Verdict) == Verdict(explanation=explanation, score=0.9)


OTHERS: dict[str, tuple[str, str]] = {
    "a quote in a text": ('{"explanation": "he said "yes" twice", "score": 0.9}', "broken JSON"),
    "an apostrophe in single quotes": ("{'explanation': 'it's fine', 'score': 0.9}", "broken JSON"),
    "no comma": ('{"explanation": "fine" "score": 0.9}', "broken JSON"),
    "two commas": ('{"explanation": "fine",, "score": 0.9}', "broken JSON"),
    "no bracket": ('{"explanation": "fine", "score": 0.9', "broken JSON: it is cut off"),
    "cut within a number": ('{"explanation": "fine", "score": 0.', "broken JSON: it is cut off"),
    "cut after a comma": ('{"explanation": "fine",', "broken JSON: it is cut off"),
    "cut within a formula": (r'{"explanation": "the force is \(F', "broken JSON: it is cut off"),
    "NaN": ('{"explanation": "fine", "score": NaN,}', "broken JSON: NaN"),
    "infinity": ('{"explanation": "fine", "score": -Infinity,}', "broken JSON: -Infinity"),
    "a key twice": ('{"explanation": "fine", "score": 0.9, "score": 0.1,}', "'score' is given twice"),
    "a share": ('{"explanation": "fine", "score": 9/10}', "broken JSON"),
    "per cent": ('{"explanation": "fine", "score": 90%}', "broken JSON"),
    "a comma for a point": ('{"explanation": "fine", "score": 0,9}', "broken JSON"),
    "a word for a number": ('{"explanation": "fine", "score": high}', "broken JSON"),
    "True for a number": ('{"explanation": "fine", "score": True}', "true is no number"),
    "None for a number": ('{"explanation": "fine", "score": None}', "score: Input should be a valid number"),
    "wrong brackets": ('{"explanation": "fine", "score": [0.9}]', "broken JSON"),
    "a thought that does not end": ('<think>{"explanation": "draft", "score": 0.1}', "no JSON"),
    "a thought behind a thought": ('<think>a</think><think>{"explanation": "draft", "score": 0.1}', "no JSON"),
    "harmony without an answer": ('<|channel|>analysis<|message|>{"explanation": "d", "score": 0.1}<|end|>', "no JSON"),
}  # fmt: skip


@pytest.mark.parametrize("damage", OTHERS)
def test_json_with_two_readings_or_none_is_refused_in_words(damage: str) -> None:
    text, wrong = OTHERS[damage]
    with pytest.raises(ValueError, match=re.escape(wrong)):
        read(text, Verdict)


texts = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.one_of(st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False))
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
whole = st.one_of(st.lists(json_values, max_size=4), st.dictionaries(texts, json_values, max_size=4))


@given(whole, st.booleans(), st.sampled_from([None, 1]))
def test_json_is_always_read_as_what_it_is(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert next(values_in(text)) == value


plain = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='\\"'), max_size=20)


@given(st.dictionaries(plain, st.one_of(plain, st.integers(), st.booleans(), st.none()), min_size=1, max_size=4),
       st.lists(st.sampled_from(["\\(", "\\)", "\\sigma ", "\\_", "\n", "\t", "\\alpha "]), max_size=5),
       st.booleans(), st.booleans())  # fmt: skip
def test_damage_with_one_reading_is_undone(value: dict[str, Any], pieces: list[str], comma: bool, python: bool) -> None:
    """Texts with formulas and raw breaks, a comma at the end, Python's words: all at once."""
    value = {key: f"{one}{''.join(pieces)}" if isinstance(one, str) else one for key, one in value.items()}
    words = {None: "None", True: "True", False: "False"} if python else {None: "null", True: "true", False: "false"}
    written = [f'"{key}": ' + (f'"{one}"' if isinstance(one, str) else words.get(one, str(one)))
               if isinstance(one, str | bool) or one is None else f'"{key}": {one}'
               for key, one in value.items()]  # fmt: skip
    text = "{" + ", ".join(written) + (",}" if comma else "}")
    assert next(values_in(text)) == value


@given(st.text(st.sampled_from("{}[]\",:\\\n'abnf019.-+ tTfFnN#/*")))
def test_whatever_is_read_is_json_and_nothing_else_escapes(text: str) -> None:
    try:
        for value in values_in(text):
            json.dumps(value, allow_nan=False)
    except ValueError as error:
        told = str(error)
    else:
        told = "broken JSON"
    assert "broken JSON" in told
