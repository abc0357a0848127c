"""Prompts of causal rerankers: templates of every kind, which tokens answer, and what is cut from long texts.

Several tests are reports of other projects, by kind: a prompt whose end was cut off (sentence-transformers 3787), a
template with roles of its own that was given a user turn (vllm-rbln 854), "Yes" against " Yes" (lmql 155).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import chatty
import pytest
import rankers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.models.generation import tokenize
from harness.models.relevance_prompts import INSTRUCTION, JUDGE, AnswerTokens, RelevancePrompt, first_tokens

QWEN3 = (
    f"<|im_start|>system\n{JUDGE}<|im_end|>\n<|im_start|>user\n<Instruct>: {INSTRUCTION}\n<Query>: what is lime\n"
    "<Document>: burnt stone<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)
PLAIN = f"{JUDGE}\n\n<Instruct>: {INSTRUCTION}\n<Query>: what is lime\n<Document>: burnt stone\n\nAnswer:"
text = st.text(st.sampled_from("ab é\n<漢😀"), max_size=60)


def prompt(template: Any, words: tuple[str, ...] = ("yes", "no"), instruction: str = "") -> RelevancePrompt:
    return RelevancePrompt(chatty.tokenizer(template, words), instruction)


def test_the_prompt_of_qwen3_is_the_one_that_its_rerankers_were_trained_with() -> None:
    """The template switches thinking off by an empty thought, and the answer follows it."""
    assert prompt(chatty.QWEN3).text(" what is lime\n", "burnt stone ") == QWEN3


def test_a_base_model_is_asked_in_plain_lines_after_its_opening_mark() -> None:
    assert prompt(None).text("what is lime", "burnt stone") == PLAIN
    tokenizer = chatty.tokenizer(None, ("yes", "no"))
    from tokenizers.processors import TemplateProcessing

    tokenizer._tokenizer.post_processor = TemplateProcessing("<s> $A", None, [("<s>", tokenizer.bos_token_id)])
    assert RelevancePrompt(tokenizer).text("what is lime", "burnt stone") == f"<s>{PLAIN}"


def test_a_template_with_roles_for_query_and_document_is_filled_by_them() -> None:
    asked = prompt(rankers.BY_ROLES)
    assert asked.text("lime", "kiln") == "<|im_start|>a query : lime : kiln ?<|im_end|>answer"
    own = prompt(rankers.BY_ROLES, instruction="find stones")
    assert own.text("lime", "kiln") == "<|im_start|>find stones : lime : kiln ?<|im_end|>answer"
    other_way = rankers.BY_ROLES.replace("ns.q }} : {{ ns.d", "ns.d }} : {{ ns.q")
    assert prompt(other_way).text("lime", "kiln") == "<|im_start|>a query : kiln : lime ?<|im_end|>answer"


def test_a_template_that_loses_the_passage_is_refused() -> None:
    lossy = rankers.BY_ROLES.replace(": {{ ns.d }}", "")
    with pytest.raises(ConfigError, match="leaves out the query or the passage"):
        prompt(lossy)
    with pytest.raises(ConfigError, match="cannot render a query and a document \\(no thanks\\)"):
        prompt(rankers.BY_ROLES + "{{ raise_exception('no thanks') }}")
    with pytest.raises(ConfigError, match="none named 'default'"):
        prompt({"tools": chatty.CHATML, "rag": chatty.CHATML})


@pytest.mark.parametrize("name", list(chatty.TEMPLATES))
def test_every_chat_template_shows_instruction_query_and_passage_once(name: str) -> None:
    shown = prompt(chatty.TEMPLATES[name], instruction="Find stones & <kilns>").text("what is lime", "burnt stone")
    for part in (JUDGE, "<Instruct>: Find stones & <kilns>\n<Query>: what is lime\n<Document>: burnt stone"):
        assert shown.count(part) == 1
    assert shown.index(JUDGE) < shown.index("<Instruct>")


@pytest.mark.parametrize("name", ["qwen3", "r1"])
def test_a_thought_is_over_before_the_answer(name: str) -> None:
    shown = prompt(chatty.TEMPLATES[name]).text("q", "p")
    assert shown.count("<think>") == shown.count("</think>") == 1
    assert shown.endswith("</think>\n\n")


# the tokens that answer


@pytest.mark.parametrize(
    ("template", "words", "chosen"),
    [
        (chatty.CHATML, ("yes", "no", "Yes", "No", " yes", " no"), ("yes", "no")),
        (chatty.CHATML, ("Yes", "No"), ("Yes", "No")),
        (chatty.CHATML, ("yes", "Yes", "No"), ("Yes", "No")),
        (None, ("yes", "no", " yes", " no"), (" yes", " no")),
        (None, ("yes", "no"), ("yes", "no")),
        (None, ("yes", "no", " Yes", " No"), ("yes", "no")),
        (chatty.MISTRAL3, ("yes", "no", " yes", " no"), (" yes", " no")),
        (chatty.GRANITE, ("yes", "no", " yes", " no"), ("yes", "no")),
    ],
)
def test_the_spelling_is_the_one_that_follows_the_prompt(
    template: str | None, words: tuple[str, ...], chosen: tuple[str, str]
) -> None:
    asked = prompt(template, words)
    ids = asked.tokenizer.convert_tokens_to_ids(list(chosen))
    assert asked.answers() == asked.answers() == AnswerTokens(*ids)


def test_a_tokenizer_that_writes_the_space_into_the_word_answers_with_that_word() -> None:
    """As SentencePiece does: the bare word is in the vocabulary too, and no text is ever written with it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted({*JUDGE, *INSTRUCTION, *"<Instruct>: <Query>: <Document>:\n\nAnswer:querypassage▁"})
    pieces = ["<unk>", "yes", "no", "▁yes", "▁no", *letters]
    plain = Tokenizer(models.Unigram([(piece, -1.0 if len(piece) > 1 else -5.0) for piece in pieces], 0, False))
    plain.pre_tokenizer = pre_tokenizers.Metaspace()
    asked = RelevancePrompt(PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>"))
    assert asked.answers() == AnswerTokens(3, 4)


def test_a_model_without_such_tokens_is_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"no single token for 'yes' and for 'no'.*; name another model"):
        prompt(chatty.CHATML, ("yes",)).answers()


def test_words_that_are_unknown_alike_are_no_answers() -> None:
    """A word pieces tokenizer has one token for all that it does not know."""
    import tiny
    from transformers import PreTrainedTokenizerFast

    known = [word for word in rankers.WORDS if word not in ("yes", "no")]
    plain = tiny.words_tokenizer(known, ["<pad>", "<unk>"], "<unk>")
    for letter in tiny.LETTERS:
        assert plain.token_to_id(letter) is not None
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", unk_token="<unk>")
    with pytest.raises(ConfigError, match="no single token"):
        RelevancePrompt(tokenizer).answers()


def test_tokens_that_the_model_names_itself_are_taken(tmp_path: Path) -> None:
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.Transformer"},
        {"idx": 1, "name": "1", "path": "1_LogitScore", "type": "x.cross_encoder.modules.LogitScore"},
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "1_LogitScore").mkdir()
    config = tmp_path / "1_LogitScore" / "config.json"
    asked = prompt(chatty.CHATML)
    config.write_text(json.dumps({"true_token_id": 7, "false_token_id": None}))
    assert asked.answers(tmp_path) == AnswerTokens(7, None)
    config.write_text(json.dumps({"true_token_id": 7, "false_token_id": 8}))
    assert asked.answers(tmp_path) == AnswerTokens(7, 8)
    config.write_text("{}")
    with pytest.raises(ConfigError, match="names no true_token_id"):
        asked.answers(tmp_path)
    (tmp_path / "modules.json").unlink()
    assert asked.answers(tmp_path) == asked.answers()


# long texts

ASKED = {
    name: prompt(template) for name, template in (("qwen3", chatty.QWEN3), ("roles", rankers.BY_ROLES), ("plain", None))
}


@settings(max_examples=80)
@given(name=st.sampled_from(list(ASKED)), query=text, passage=text, length=st.integers(1, 60), room=st.integers(16, 60))
@example(name="qwen3", query="a b😀\n 😀b<漢😀漢<", passage="", length=21, room=21)
def test_a_prompt_keeps_its_end_and_fits(name: str, query: str, passage: str, length: int, room: int) -> None:
    """Byte tokens: characters of several tokens are cut whole, so that the window is checked on what is read."""
    asked = ASKED[name]
    tokenizer, frame = asked.tokenizer, tokenize(asked.tokenizer, [asked.text("", "")])[0]
    window = len(frame) + room
    (coded,), cut = asked.prompts([(query, passage)], length, window)
    assert len(coded) <= window
    whole = tokenize(tokenizer, [asked.text(query, passage)])[0]
    parts = tokenize(tokenizer, [query.strip(), passage.strip()])
    assert cut == (sum(map(len, parts)) > min(length, room))
    if not cut:
        assert coded == whole
    end = tokenize(tokenizer, [asked._pieces[2]])[0]
    assert coded[len(coded) - len(end) :] == end == whole[len(whole) - len(end) :]
    assert coded[:5] == whole[:5]


def test_the_passage_is_cut_before_the_query() -> None:
    asked = ASKED["roles"]

    def read(query: str, passage: str, length: int) -> str:
        (coded,), cut = asked.prompts([(query, passage)], length)
        assert cut == (len(query) + len(passage) > length)
        return str(asked.tokenizer.decode(coded)).removeprefix("<|im_start|>a query : ").partition(" ?")[0]

    assert read("abcd", "efghij", 10) == "abcd : efghij"
    assert read("abcd", "efghij", 8) == "abcd : efgh"
    assert read("abcdefgh", "ijkl", 8) == "abcd : ijkl"
    assert read("abcdefgh", "ij", 8) == "abcdef : ij"
    assert read("abcdefgh", "ijklmn", 4) == "ab : ij"


def test_a_window_without_room_for_the_texts_is_refused() -> None:
    asked = ASKED["qwen3"]
    frame = len(tokenize(asked.tokenizer, [asked.text("", "")])[0])
    with pytest.raises(ValueError, match=f"take {frame} tokens of the model's window of {frame + 9}"):
        asked.prompts([("q", "p")], 256, frame + 9)
    assert asked.prompts([("q", "p")], 8, frame + 9).cut == 0


@given(text=text, count=st.integers(0, 30))
def test_the_first_tokens_of_a_text_are_its_beginning(text: str, count: int) -> None:
    tokenizer = ASKED["plain"].tokenizer
    beginning = first_tokens(tokenizer, text, count)
    assert text.strip().startswith(beginning)
    size = len(tokenize(tokenizer, [beginning])[0])
    assert size >= min(count, len(tokenize(tokenizer, [text.strip()])[0]))
    # A character has at most four bytes, and is not cut.
    assert size < count + 4
