"""Answers of an endpoint: without their thoughts, whole, and known to be cut where they were, also out of the cache."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import llm_server
import pytest
from llm_server import Server

from harness.llm import Ask, Message, Reply
from harness.llm.endpoint import EndpointChat
from harness.llm.protocol import RequestCost
from harness.llm.services import Services
from harness.suite.roles import Llm, Role

THOUGHT = "<think>\nlet me see\n</think>\n\nThe answer is as follows:\n\n- nine hours"


def ask(server: Server, folder: Path, role: Role = "generator", **changes: Any) -> tuple[Reply, EndpointChat]:
    """One question, asked by a chat of its own."""
    llm = Llm(model="m", base_url=server.url, retries=0)
    services = Services(roles={role: llm}, folder=folder, run="now", **changes)
    chat = EndpointChat(role, services)
    (reply,) = chat.ask_all([Ask((Message("user", "how long?"),), max_tokens=48)], lambda done, total: None)
    return reply, chat


def test_an_answer_is_whole_and_its_thought_apart_and_so_it_is_out_of_the_cache(tmp_path: Path) -> None:
    with Server(lambda body: llm_server.says(THOUGHT)) as server:
        for replay in (False, True):
            reply, _ = ask(server, tmp_path, replay=replay)
            assert reply.text == "The answer is as follows:\n\n- nine hours"
            assert reply.thought == "<think>\nlet me see\n</think>"
            assert not reply.cut
        assert server.requests == 1


def test_an_answer_that_was_cut_is_known_to_be_also_out_of_the_cache(tmp_path: Path) -> None:
    with Server(lambda body: llm_server.says("nin", ended="length")) as server:
        for replay in (False, True):
            reply, _ = ask(server, tmp_path, replay=replay)
            assert (reply.text, reply.cut, reply.failure) == ("nin", True, "")
        assert server.requests == 1


def test_a_cache_from_before_is_read_and_its_answers_are_not_held_to_be_cut(tmp_path: Path) -> None:
    with Server(lambda body: llm_server.says("nine", ended="length")) as server:
        _, chat = ask(server, tmp_path)
        chat.close()
        with closing(sqlite3.connect(tmp_path / "responses.sqlite")) as file:
            file.execute("DROP TABLE cut_answers")
        assert ask(server, tmp_path, replay=True)[0] == Reply("nine", known_cost=RequestCost(10, 5))


@pytest.mark.parametrize(
    ("text", "ended", "failure"),
    [
        ("<think>let me", "length", "the model was still thinking at pipeline.generator.max_new_tokens; raise it or"),
        ("<think>let me", "stop", "the model began a thought and never ended it"),
        ("<think>nine hours</think>", "stop", "the model wrote a thought and no answer"),
    ],
)
def test_a_thought_alone_is_no_answer(text: str, ended: str, failure: str, tmp_path: Path) -> None:
    with Server(lambda body: llm_server.says(text, ended=ended)) as server:
        reply, chat = ask(server, tmp_path)
    assert (reply.text, reply.value) == ("", None)
    assert reply.failure.startswith(failure)
    assert reply.requests == chat.spent.failed == 1


def test_the_limit_that_cut_a_thought_is_that_of_the_role(tmp_path: Path) -> None:
    with Server(lambda body: llm_server.says("<think>let me", ended="length")) as server:
        reply, _ = ask(server, tmp_path, "synthesizer")
    assert "still thinking at llm.synthesizer.max_tokens" in reply.failure
