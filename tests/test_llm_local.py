"""A model in process as a chat: its template, its window, forms that are checked, and one question at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
from pydantic import BaseModel
from stage_inputs import silent

from harness.llm import Ask, Chat, Message, Reply
from harness.llm.local import LocalChat
from harness.models import generation
from harness.models.generation import GeneratedText
from harness.suite.local_models import LocalModel

WORDS = ["stone", "wall", "ferry", "mail", "ice", "what", "is", "the", "be", "short", "user", "assistant", "system"]
YES = Reply("yes", None, "", 7, 2, 0.0, 1)


class Verdict(BaseModel):
    verdict: int


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.generator(tmp_path_factory.mktemp("generator"), WORDS)


def ask(text: str, **rest: Any) -> Ask:
    return Ask((Message("system", "be short"), Message("user", text)), **rest)


Answers = Callable[[str], str]


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers], list[tuple[Any, list[str]]]]:
    """Let the model write by a function of its prompt; the list tells what it was asked, batch by batch."""

    def scripted(answers: Answers) -> list[tuple[Any, list[str]]]:
        def write(
            prefix: Any, suffixes: Sequence[str], sampling: Any, progress: Any, rules: Any
        ) -> list[GeneratedText]:
            asked.append((sampling, list(suffixes)))
            progress(len(suffixes), len(suffixes))
            return [GeneratedText(answers(suffix), 7, 2) for suffix in suffixes]

        monkeypatch.setattr(generation, "write", write)
        return asked

    asked: list[tuple[Any, list[str]]] = []
    return scripted


def test_a_real_model_answers_by_its_own_template(folder: Path) -> None:
    chat: Chat = LocalChat(folder, "small", max_tokens=5)
    one, other, again = chat.ask_all([ask("what is ice"), ask("the stone wall"), ask("what is ice")], silent)
    assert chat.name == "small"
    assert one.text == again.text
    assert one.prompt_tokens == other.prompt_tokens > 12
    assert 0 < one.new_tokens <= 5
    assert (again.requests, again.prompt_tokens, again.new_tokens) == (0, 0, 0)
    spent = chat.spent
    assert (spent.asked, spent.known, spent.requests, spent.failed, spent.dollars) == (3, 1, 2, 0, 0.0)
    assert spent.prompt_tokens == one.prompt_tokens + other.prompt_tokens
    assert asyncio.run(chat.ask(ask("what is ice"))).text == one.text


def test_the_prompt_is_the_template_s(folder: Path, writes: Any) -> None:
    asked = writes(lambda prompt: " yes ")
    assert LocalChat(folder, "small", 9, local=LocalModel(max_tokens_per_batch=300)).ask_all([ask("what")], silent) == [
        YES
    ]
    ((sampling, tails),) = asked
    assert tails == [
        "<|im_start|>system\nbe short<|im_end|>\n<|im_start|>user\nwhat<|im_end|>\n<|im_start|>assistant\n"
    ]
    assert sampling == generation.Sampling(9, max_tokens_per_batch=300)


def test_a_chat_that_does_not_fit_the_window_is_a_failure_and_the_others_are_answered(
    folder: Path, writes: Any
) -> None:
    writes(lambda prompt: "yes")
    told: list[tuple[int, int]] = []
    asks = [ask("what"), ask("ice " * 600, max_tokens=4), ask("the", max_tokens=4), ask("is", max_tokens=512)]
    chat = LocalChat(folder, "small", max_tokens=8)
    replies = chat.ask_all(asks, lambda *at: told.append(at))
    assert [reply.text for reply in replies] == ["yes", "", "yes", ""]
    assert "of up to 4 does not fit the window of 512 tokens of small" in replies[1].failure
    assert "of up to 512 does not fit" in replies[3].failure
    assert (chat.spent.asked, chat.spent.failed, chat.spent.requests) == (4, 2, 2)
    assert told[-1] == (4, 4)
    assert told == sorted(told)


def test_a_chat_that_the_template_refuses_is_a_failure(folder: Path, writes: Any) -> None:
    writes(lambda prompt: "yes")
    chat = LocalChat(folder, "small", max_tokens=8)
    chat._template._text = "{{ raise_exception('no system role') }}"
    (reply,) = chat.ask_all([ask("what")], silent)
    assert reply.failure == "the chat template of small does not take this chat: no system role"


@pytest.mark.parametrize(
    ("written", "value", "failure"),
    [
        ('{"verdict": 1}', 1, ""),
        ('Sure! ```json\n{"verdict": 0}\n```', 0, ""),
        ("no", None, "no JSON"),
        ('{"verdict": "high"}', None, "verdict"),
        ("  ", None, "the answer is empty"),
    ],
)
def test_a_form_is_described_and_checked(
    written: str, value: int | None, failure: str, folder: Path, writes: Any
) -> None:
    asked = writes(lambda prompt: written)
    (reply,) = LocalChat(folder, "small", max_tokens=8).ask_all([ask("what", schema=Verdict)], silent)
    assert '"verdict"' in asked[0][1][0]
    assert (reply.value.verdict if reply.value else None) == value
    assert failure in reply.failure
    assert bool(failure) == bool(reply.failure) == (not reply.text)
    assert (reply.requests, reply.prompt_tokens, reply.new_tokens) == (1, 7, 2)


def test_an_empty_answer_without_a_form_is_a_failure(folder: Path, writes: Any) -> None:
    writes(lambda prompt: "\n")
    assert LocalChat(folder, "small", max_tokens=8).ask_all([ask("what")], silent)[0].failure == "the answer is empty"


def test_repeats_are_drawn_apart_above_temperature_nought_only(folder: Path, writes: Any) -> None:
    asked = writes(lambda prompt: "yes")
    asks = [ask("what", repeat=number, temperature=warmth) for warmth in (None, 0.8) for number in (0, 1)]
    LocalChat(folder, "small", max_tokens=8, seed=5).ask_all(asks, silent)
    assert [(sampling.temperature, sampling.seed, len(tails)) for sampling, tails in asked] == [
        (0.0, 0, 2), (0.8, 5, 1), (0.8, 6, 1),
    ]  # fmt: skip


def test_questions_of_many_tasks_are_answered_one_at_a_time_and_do_not_block_the_loop(
    folder: Path, writes: Any
) -> None:
    inside, most, loop_ran = 0, 0, threading.Event()

    def answers(prompt: str) -> str:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        # Only if the event loop is free while the model writes is this set.
        assert loop_ran.wait(5)
        inside -= 1
        return "yes"

    writes(answers)
    chat = LocalChat(folder, "small", max_tokens=8)

    async def many() -> list[Reply]:
        tasks = [asyncio.create_task(chat.ask(ask(f"what {number}"))) for number in range(6)]
        await asyncio.sleep(0.01)
        loop_ran.set()
        return list(await asyncio.gather(*tasks))

    assert [reply.text for reply in asyncio.run(many())] == ["yes"] * 6
    assert most == 1
    assert chat.spent.asked == 6
