"""LLM answers that one machine paid for are answers on every machine of an address, and are paid for once."""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path

import drivers
import pytest

from harness.llm.protocol import RequestCost
from harness.llm.responses import FILE, PaidRequest, Responses, StoredAnswer, spent_by_role
from harness.llm.shared_answers import exchange
from harness.remote.mirror import opened
from harness.remote.objects import Objects

COST = RequestCost(10, 5, 0.25)


class Machine:
    """A machine that works on an address."""

    def __init__(self, folder: Path, address: str) -> None:
        with drivers.machine(folder):
            self.folder = opened(address) / "llm"

    def ask(self, key: str, text: str, cut: bool = False) -> None:
        with closing(Responses(self.folder)) as responses:
            answer = StoredAnswer(key, text, COST, cut)
            responses.write("run", "judge", [PaidRequest(key, COST)], answer).result()

    def knows(self, *keys: str) -> dict[str, tuple[str, bool]]:
        with closing(Responses(self.folder)) as responses:
            found = responses.find(keys).result()
        # Their costs come along.
        assert {answer.cost for answer in found.values()} <= {COST}
        return {key: (answer.text, answer.cut) for key, answer in found.items()}


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"file://{tmp_path}/team"


@pytest.fixture
def machines(tmp_path: Path, address: str) -> tuple[Machine, Machine]:
    return Machine(tmp_path / "one", address), Machine(tmp_path / "two", address)


def files(address: str) -> list[str]:
    return sorted(Objects(address).list("llm/answers"))


def test_answers_reach_the_other_machine_and_nothing_is_spent_there(
    machines: tuple[Machine, Machine], address: str
) -> None:
    one, two = machines
    one.ask("a", "Yes.\u2028And \u0085 \u00e9 \U0001f600\n\r\ttwo lines")
    one.ask("b", "cut", cut=True)
    two.ask("a", "No.")
    exchange(one.folder)
    exchange(two.folder)
    exchange(one.folder)
    assert two.knows("a", "b", "c") == {"a": ("No.", False), "b": ("cut", True)}
    assert one.knows("a", "b")["a"] == ("Yes.\u2028And \u0085 \u00e9 \U0001f600\n\r\ttwo lines", False)
    assert spent_by_role(two.folder, "run")["judge"].requests == 1
    assert len(files(address)) == 2


def test_what_was_taken_over_is_not_uploaded_again(machines: tuple[Machine, Machine], address: str) -> None:
    one, two = machines
    one.ask("a", "first")
    for _ in range(3):
        exchange(one.folder)
        exchange(two.folder)
    assert len(files(address)) == 1
    two.ask("b", "second")
    for _ in range(3):
        exchange(two.folder)
        exchange(one.folder)
    assert len(files(address)) == 2
    assert one.knows("a", "b") == two.knows("a", "b") == {"a": ("first", False), "b": ("second", False)}


def test_an_answer_that_was_asked_for_again_is_uploaded_again(
    machines: tuple[Machine, Machine], address: str, tmp_path: Path
) -> None:
    one, _ = machines
    one.ask("a", "cut", cut=True)
    exchange(one.folder)
    one.ask("a", "whole")
    exchange(one.folder)
    assert len(files(address)) == 2


def test_a_machine_whose_file_is_gone_takes_everything_over(machines: tuple[Machine, Machine]) -> None:
    one, two = machines
    one.ask("a", "first")
    two.ask("b", "second")
    for machine in (one, two, one):
        exchange(machine.folder)
    for path in one.folder.glob(f"{FILE}*"):
        path.unlink()
    one.ask("c", "third")
    exchange(one.folder)
    assert one.knows("a", "b", "c") == {"a": ("first", False), "b": ("second", False), "c": ("third", False)}
    exchange(two.folder)
    assert two.knows("c") == {"c": ("third", False)}


@pytest.mark.parametrize("content", [b"", b"no gzip", b"\x1f\x8b"])
def test_a_file_that_cannot_be_read_is_told_and_passed_over(
    content: bytes, machines: tuple[Machine, Machine], address: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = machines
    Objects(address).write("llm/answers/damaged.jsonl.gz", content)
    one.ask("a", "first")
    exchange(one.folder)
    with caplog.at_level(logging.WARNING):
        exchange(two.folder)
    assert two.knows("a") == {"a": ("first", False)}
    assert ("damaged.jsonl.gz" in caplog.text) == bool(content)


def test_what_servers_refuse_is_known_on_every_machine(machines: tuple[Machine, Machine], address: str) -> None:
    one, _ = machines
    one.folder.mkdir(parents=True, exist_ok=True)
    (one.folder / "dialects.json").write_text('{"some": 1}')
    exchange(one.folder)
    assert Objects(address).read("llm/dialects.json") == b'{"some": 1}'


def test_a_plain_folder_shares_nothing(tmp_path: Path) -> None:
    exchange(tmp_path / "llm")
    assert list(tmp_path.iterdir()) == []
