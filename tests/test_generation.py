"""Writing from a shared head in batches gives, token for token, what the model's own `generate` gives one by one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models import decoding, generation, stop_rules
from harness.models.chat_templates import ChatTemplate
from harness.models.decoding import batches, token_budget
from harness.models.generation import Conversations, GeneratedText, PromptPrefix, Sampling, write

WORDS = [f"w{number}" for number in range(150)]
TEMPLATE = (
    "{% for message in messages %}<s> {{ message['role'] }} {{ message['content'] }} </s> {% endfor %}"
    "{% if add_generation_prompt %}<s> assistant {% endif %}"
)
HEAD = "w1 w2 w3 w4 w5 w6 w7"
TAILS = ["w10", "w11 w12 w13 w14 w15 w16", "w17 w18", "w20 w21 w22 w23 w24 w25 w26 w27 w28", "w30 w31", "w40 w41 w42"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    known = ["<pad>", "<unk>", "<s>", "</s>", "line\nbreak", "system", "user", "assistant", *WORDS]
    plain = Tokenizer(WordLevel({word: number for number, word in enumerate(known)}, unk_token="<unk>"))
    plain.pre_tokenizer = WhitespaceSplit()
    found = PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    found.chat_template = TEMPLATE
    return found


@pytest.fixture(scope="module")
def model(tokenizer: Any) -> Any:
    """A random model in double precision, so that no rounding decides between two tokens."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=96, initializer_range=0.6, bos_token_id=2, eos_token_id=3,
        pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        made = LlamaForCausalLM(config).double().eval()
        # Ends are made likelier, so that some texts end by themselves.
        made.lm_head.weight[3] *= 2
        return made


def one_by_one(model: Any, tokenizer: Any, prompt: str, count: int) -> list[int]:
    """Greedy, without a cache, one prompt at a time; without the token that ended it."""
    import torch

    ids = torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, use_cache=False
        )
    new = out[0, ids.shape[1] :].tolist()
    return new[: new.index(3)] if 3 in new else new


def expected(model: Any, tokenizer: Any, head: str, tails: list[str], count: int) -> list[GeneratedText]:
    found = []
    for tail in tails:
        prompt = f"{head} {tail}".strip()
        tokens = one_by_one(model, tokenizer, prompt, count)
        text, cut = tokenizer.decode(tokens, skip_special_tokens=True), len(tokens) == count
        found.append(GeneratedText(text, len(prompt.split()), len(tokens), cut))
    return found


@pytest.mark.parametrize("head", [HEAD, ""])
def test_batches_from_a_shared_head_are_what_generate_gives(head: str, model: Any, tokenizer: Any) -> None:
    right = expected(model, tokenizer, head, TAILS, 16)
    for batch_size in (1, 2, 4, 8):
        assert write(PromptPrefix(model, tokenizer, head), TAILS, Sampling(16, batch_size)) == right
    assert len({one.text for one in right}) == len(TAILS)


def test_rows_that_end_early_leave_the_batch_and_the_others_go_on(model: Any, tokenizer: Any) -> None:
    """Many tails in one batch, of which some end by themselves and at different times."""
    tails = [f"w{number}" for number in range(0, 150, 8)]
    found = write(PromptPrefix(model, tokenizer, HEAD), tails, Sampling(24, len(tails)))
    assert found == expected(model, tokenizer, HEAD, tails, 24)
    assert len({one.new_tokens for one in found}) > 3


def test_a_head_can_be_written_from_again(model: Any, tokenizer: Any) -> None:
    head = PromptPrefix(model, tokenizer, HEAD)
    first = write(head, TAILS, Sampling(10, 4))
    assert write(head, TAILS[::-1], Sampling(10, 3)) == first[::-1]


def test_no_tails_are_nothing_to_write(model: Any, tokenizer: Any) -> None:
    assert write(PromptPrefix(model, tokenizer, HEAD), [], Sampling(10)) == []


def test_sampling_goes_by_its_seed_and_not_by_global_state(model: Any, tokenizer: Any) -> None:
    import torch

    def sample(seed: int) -> list[GeneratedText]:
        torch.rand(seed + 1)
        return write(PromptPrefix(model, tokenizer, HEAD), TAILS, Sampling(12, 4, temperature=1.0, seed=seed))

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    assert sample(1) != write(PromptPrefix(model, tokenizer, HEAD), TAILS, Sampling(12, 4))


def test_a_temperature_near_zero_is_greedy(model: Any, tokenizer: Any) -> None:
    head = PromptPrefix(model, tokenizer, HEAD)
    assert write(head, TAILS, Sampling(6, 4, temperature=1e-5)) == write(head, TAILS, Sampling(6, 4))


class Counting:
    """A model that counts the rows it is asked to continue first."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.rows = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        ids = kwargs.get("input_ids")
        if ids is not None and kwargs["attention_mask"].shape[1] == len(HEAD.split()) + ids.shape[1]:
            self.rows += len(ids)
        return self.model(*args, **kwargs)


def test_equal_tails_are_written_once_unless_they_are_sampled(model: Any, tokenizer: Any) -> None:
    tails = ["w10 w11", "w12", "w10 w11", "w10 w11"]
    counting = Counting(model)
    found = write(PromptPrefix(counting, tokenizer, HEAD), tails, Sampling(8, 8))
    assert counting.rows == 2
    assert found[0] == found[2] == found[3] != found[1]
    counting = Counting(model)
    sampled = write(PromptPrefix(counting, tokenizer, HEAD), tails, Sampling(8, 8, temperature=1.5))
    assert counting.rows == 4
    assert len({sampled[0], sampled[2], sampled[3]}) == 3


def test_progress_counts_texts_up_to_all(model: Any, tokenizer: Any) -> None:
    seen: list[tuple[int, int]] = []
    tails = [*TAILS, TAILS[0]]
    write(PromptPrefix(model, tokenizer, HEAD), tails, Sampling(2, 2), lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert len(seen) == 3
    assert seen[-1] == (7, 7)


def test_one_line_ends_at_any_token_with_a_line_break(model: Any, tokenizer: Any) -> None:
    """The model is made to write that token wherever it would have written its second."""
    import copy

    import torch

    plain = write(PromptPrefix(model, tokenizer, HEAD), TAILS[:1], Sampling(6))[0]
    words = plain.text.split()
    bent = copy.deepcopy(model)
    second = tokenizer.convert_tokens_to_ids(words[1])
    with torch.no_grad():
        bent.lm_head.weight[[4, second]] = bent.lm_head.weight[[second, 4]]
    whole = write(PromptPrefix(bent, tokenizer, HEAD), TAILS[:1], Sampling(6))[0]
    line = write(PromptPrefix(bent, tokenizer, HEAD), TAILS[:1], Sampling(6, one_line=True))[0]
    assert words[0] != words[1]
    assert whole.text.startswith(f"{words[0]} line\nbreak ")
    assert (line.text, line.new_tokens) == (words[0], 1)


def test_a_prompt_that_does_not_fit_the_window_is_refused_before_anything_is_written(
    model: Any, tokenizer: Any
) -> None:
    head = PromptPrefix(model, tokenizer, HEAD)
    fits = " ".join(WORDS[: 96 - len(HEAD.split()) - 10])
    assert write(head, [fits], Sampling(10))[0].prompt_tokens == 86
    with pytest.raises(ValueError, match="a prompt of 97 tokens does not fit the model's window of 96"):
        write(head, ["w1", f"{fits} w1"], Sampling(10))


def test_conversations_are_coded_whole_and_what_all_begin_with_is_read_once(model: Any, tokenizer: Any) -> None:
    begun = [("system", "w7"), ("user", "w1 w2"), ("assistant", "w3")]
    asked = [[*begun, ("user", "w8 w9")], [*begun, ("user", "w8 w10 w11")]]
    chat = Conversations(model, ChatTemplate(tokenizer), asked)
    for turns, coded in zip(asked, chat.coded, strict=True):
        messages = [{"role": role, "content": text} for role, text in turns]
        whole = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert coded == tokenizer(whole, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(chat.prefix.tokens).endswith("user w8")
    assert (
        chat.write(Sampling(8, 1))
        == chat.write(Sampling(8, 2))
        == [Conversations(model, ChatTemplate(tokenizer), [turns]).write(Sampling(8))[0] for turns in asked]
    )
    assert chat.write(Sampling(8), places=[1]) == chat.write(Sampling(8))[1:]


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=5))
def test_what_prompts_share_is_the_longest_that_leaves_each_a_token(coded: list[list[int]]) -> None:
    size = generation.shared_prefix_length(coded)
    assert len({tuple(one[:size]) for one in coded}) == 1
    assert all(len(one) > size for one in coded)
    assert any(len(one) == size + 1 for one in coded) or len({tuple(one[: size + 1]) for one in coded}) > 1


def test_texts_are_cut_after_so_many_tokens(tokenizer: Any) -> None:
    assert generation.truncate(tokenizer, ["w1 w2 w3 w4", "w5", "w6 w7"], 2) == ["w1 w2", "w5", "w6 w7"]


# where an answer ends


class Pieces:
    """A tokenizer whose tokens are the pieces of a text, in the order of a list."""

    all_special_ids: tuple[int, ...] = ()

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = pieces

    def decode(self, tokens: Sequence[int], skip_special_tokens: bool = True) -> str:
        return "".join(self.pieces[token] for token in tokens)

    def convert_ids_to_tokens(self, tokens: Sequence[int]) -> list[str]:
        return [self.pieces[token] for token in tokens]


letters = st.text(st.sampled_from("ab \n."), max_size=4)


@given(st.lists(letters, min_size=1, max_size=12), st.lists(letters.filter(bool), min_size=1, max_size=3))
def test_a_stop_string_ends_an_answer_however_tokens_divide_it(pieces: list[str], stop: list[str]) -> None:
    """Token by token, the first prefix that holds a stop string is where generation ends; and nothing before."""
    reading = stop_rules.StopRules(stop=tuple(stop))
    coder = Pieces(pieces)
    over = stop_rules.stop_check(coder, reading)
    for size in range(1, len(pieces) + 1):
        whole = "".join(pieces[:size]).lstrip()
        assert over(list(range(size))) == any(one in whole for one in stop if whole.strip())
        if over(list(range(size))):
            break
    read = stop_rules.split_answer(coder, list(range(size)), reading).answer
    assert read == stop_rules.before_stop("".join(pieces), stop)
    assert not any(one in read for one in stop)


@given(st.text(st.sampled_from("ab \n."), max_size=20), st.lists(letters.filter(bool), max_size=3))
def test_what_is_before_a_stop_string_is_the_longest_beginning_without_one(text: str, stop: list[str]) -> None:
    found = stop_rules.before_stop(text, stop)
    assert text.strip().startswith(found)
    assert not any(one in found for one in stop)
    if not any(one in text.lstrip() for one in stop):
        assert found == text.strip()


def test_stop_strings_do_not_count_within_a_thought() -> None:
    pieces = ["<think>", "a\n", "b\n", "</think>", "\n\n", "nine", "\n", "ten"]
    over = stop_rules.stop_check(Pieces(pieces), stop_rules.StopRules(stop=("\n",)))
    assert [over(list(range(size))) for size in range(1, 8)] == [False] * 6 + [True]
    over = stop_rules.stop_check(Pieces(pieces[1:]), stop_rules.StopRules(stop=("\n",), opening="<think>"))
    assert [over(list(range(size))) for size in range(1, 7)] == [False] * 5 + [True]


@given(
    lengths=st.lists(st.integers(1, 50), max_size=20).map(lambda sizes: sorted(sizes, reverse=True)),
    max_tokens=st.none() | st.integers(1, 200), max_rows=st.none() | st.integers(1, 6),
)  # fmt: skip
def test_batches_hold_every_prompt_once_and_keep_their_bounds(
    lengths: list[int], max_tokens: int | None, max_rows: int | None
) -> None:
    parts = batches(lengths, max_tokens, max_rows)
    assert [length for part in parts for length in lengths[part]] == lengths
    for number, part in enumerate(parts):
        rows = lengths[part]
        assert len(rows) <= (max_rows or len(rows))
        assert len(rows) == 1 or max_tokens is None or len(rows) * rows[0] <= max_tokens
        # One row more would be too many.
        if number + 1 < len(parts):
            more = len(rows) + 1
            assert (max_rows is not None and more > max_rows) or (
                max_tokens is not None and more * rows[0] > max_tokens
            )


def test_texts_do_not_depend_on_the_budget(model: Any, tokenizer: Any) -> None:
    prefix = PromptPrefix(model, tokenizer, HEAD)
    written = [write(prefix, TAILS, Sampling(9, max_tokens_per_batch=tokens)) for tokens in (None, 1, 60, 500)]
    assert all(texts == written[0] for texts in written)


def test_the_budget_is_what_the_memory_holds(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and values of a token: 2 x 2 layers x 2 heads x 8 numbers of 8 bytes."""
    assert token_budget(model) == decoding.TOKENS_ON_CPU
    monkeypatch.setattr(decoding, "CACHE_ON_CPU", 100 * 512)
    assert token_budget(model) == 100


def test_a_batch_that_does_not_fit_is_written_in_halves(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    expected = write(PromptPrefix(model, tokenizer, HEAD), TAILS, Sampling(9))
    real, sizes = generation._continue, []

    def short(prefix: Any, suffixes: Any, *rest: Any) -> Any:
        sizes.append(len(suffixes))
        if len(suffixes) > limit:
            raise torch.OutOfMemoryError
        return real(prefix, suffixes, *rest)

    limit = 2
    monkeypatch.setattr(generation, "_continue", short)
    assert write(PromptPrefix(model, tokenizer, HEAD), TAILS, Sampling(9)) == expected
    assert sizes[0] == 6
    assert sum(size for size in sizes if size <= limit) == 6
    limit = 0
    with pytest.raises(ValueError, match="does not fit even alone; show fewer or shorter passages"):
        write(PromptPrefix(model, tokenizer, HEAD), TAILS, Sampling(9))
