"""Rewrites: who is asked, which rewrites are of use, and that one that is of none leaves the query as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import tiny
from scripted_chat import ENDPOINT, Scripted, accounted, scripted
from stage_inputs import part, silent

from harness.data.formats import load_jsonl
from harness.execution.probe import Probe, probe
from harness.llm import Ask, Reply
from harness.llm.prompt_templates import rough_tokens
from harness.stages import Asked, load_stage
from harness.stages.rewrite import REWRITES_FILE, RewriteSpec, rewrite
from harness.stages.shared import common, rewriting
from harness.stages.shared.rewriting import ANSWERS, EMPTY, EXAMPLES, LONG, OTHER, cleaned, fault
from harness.stages.shared.wording import META, NO_QUERY, REFUSAL
from harness.values.records import Turn, Usage

__all__ = ["scripted"]
SAID = (Turn("user", "Where is the lime kiln?"), Turn("assistant", "The lime kiln stands by the ferry in the harbour."))
QUERIES = {"q1": "How old is it?", "q2": "What is tin?", "q3": "and the mill", "q4": "Who built it?"}
SERVED = RewriteSpec(model="large", endpoint=ENDPOINT)


def inputs_of(root: Path, queries: dict[str, str] = QUERIES) -> dict[str, Path]:
    common.write_queries(part(root, "queries"), queries)
    common.write_histories(part(root, "history"), {key: SAID for key in queries if key != "q2"})
    return {"queries": root / "queries", "history": root / "history"}


def asked_of(ask: Ask) -> str:
    """The query that a question is about."""
    found = re.search(r"<message>\n(.*)\n</message>", ask.messages[-1].content, re.DOTALL)
    assert found is not None
    return found[1]


def rewritten(root: Path, queries: dict[str, str] = QUERIES) -> tuple[dict[str, str], Usage]:
    used = rewrite(SERVED, inputs_of(root, queries), part(root, "out"), 0, silent)
    return common.read_queries(root / "out"), used


def test_an_endpoint_rewrites_the_queries_with_earlier_turns_and_sees_no_others(
    tmp_path: Path, scripted: Scripted
) -> None:
    chat = scripted(lambda ask: asked_of(ask).replace("it", "the lime kiln").replace("mill", "mill in the harbour"))
    found, used = rewritten(tmp_path)
    assert found == {
        "q1": "How old is the lime kiln?", "q2": "What is tin?", "q3": "and the mill in the harbour",
        "q4": "Who built the lime kiln?",
    }  # fmt: skip
    assert list(found) == list(QUERIES)
    assert chat.roles == ["rewriter"]  # type: ignore[attr-defined]
    assert [asked_of(ask) for ask in chat.asks] == ["How old is it?", "and the mill", "Who built it?"]
    assert "User: Where is the lime kiln?\nAssistant: The lime kiln stands" in chat.asks[0].messages[-1].content
    accounted(used, chat)
    assert used.notes["rewritten"] == used.notes["rewrites asked for"] == used.units == 3


def test_rewrites_of_no_use_are_dropped_and_counted(tmp_path: Path, scripted: Scripted) -> None:
    replies = {
        "How old is it?": "I'm sorry, but I cannot help with that request.",
        "and the mill": "",
        "Who built it?": "who built it",
        "Why?": RuntimeError("no answer within 40 s"),
        "Since when?": "kiln " * 90,
    }
    scripted(lambda ask: replies[asked_of(ask)])
    queries = {**QUERIES, "q5": "Why?", "q6": "Since when?"}
    found, used = rewritten(tmp_path, queries)
    assert found == queries
    notes = used.notes
    assert (notes["rewrites asked for"], notes["rewritten"], notes["left as they are"]) == (5, 0, 1)
    assert notes["rewrites dropped"] == 4
    assert {name: count for name, count in notes.items() if name.startswith("rewrites dropped: ")} == {
        f"rewrites dropped: {why}": 1 for why in (REFUSAL, EMPTY, LONG, "no answer within 40 s")
    }
    assert used.failed == 1
    rows = {row["query_id"]: row for row in load_jsonl(tmp_path / "out" / REWRITES_FILE)}
    assert rows["q1"] == {
        "query_id": "q1", "query": "How old is it?", "rewrite": "I'm sorry, but I cannot help with that request.",
        "dropped": REFUSAL,
    }  # fmt: skip
    assert "q2" not in rows


def test_an_endpoint_that_mostly_fails_ends_the_stage(tmp_path: Path, scripted: Scripted) -> None:
    scripted(lambda ask: RuntimeError("no answer within 40 s"))
    with pytest.raises(ValueError, match="3 of 3 rewrites failed, more than half"):
        rewritten(tmp_path)


def test_nobody_is_asked_where_no_query_has_turns(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(lambda ask: "nothing")
    found, used = rewritten(tmp_path, {"q2": "What is tin?"})
    assert (found, chat.asks, used.llm_calls) == ({"q2": "What is tin?"}, [], 0)


def test_a_prompt_shows_the_newest_turns_within_its_budget(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(lambda ask: asked_of(ask))
    asked = [Turn("user", f"question {number}") for number in range(40)]
    said = [turn for one in asked for turn in (one, Turn("assistant", "long " * 90))]
    common.write_queries(part(tmp_path, "queries"), {"q1": "Why?"})
    common.write_histories(part(tmp_path, "history"), {"q1": said})
    inputs = {"queries": tmp_path / "queries", "history": tmp_path / "history"}
    rewrite(SERVED, inputs, part(tmp_path, "out"), 0, silent)
    (text,) = [message.content for message in chat.asks[0].messages]
    assert "question 39" in text
    assert "question 9\n" not in text
    assert rough_tokens(text) < 512 + 400


def test_one_query_is_served_as_the_stage_rewrites_it(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(lambda ask: "How old is the lime kiln?")
    step = opened({})
    assert step(Asked(QUERIES["q1"], SAID)).text == "How old is the lime kiln?"
    assert step(Asked(QUERIES["q2"])) == Reply(QUERIES["q2"])
    step(Asked(QUERIES["q1"], SAID))
    # None is answered from the cache.
    assert len(chat.asks) == len(set(chat.asks)) == 2


@pytest.mark.parametrize("said", ["I'm sorry, but I cannot help with that request.", "", RuntimeError("no answer")])
def test_a_query_is_served_as_it_is_where_its_rewrite_is_of_no_use(said: Any, scripted: Scripted) -> None:
    scripted(lambda ask: said)
    assert opened({})(Asked("How old is it?", SAID)).text == "How old is it?"


def test_a_failure_ends_the_probe(tmp_path: Path, scripted: Scripted) -> None:
    scripted(lambda ask: RuntimeError("no answer within 40 s"))
    spec = Probe(stage="rewrite", spec=SERVED.model_dump(), queries=2, machine="here")
    with pytest.raises(ValueError, match="the rewriter did not answer: no answer within 40 s"):
        probe(spec, inputs_of(tmp_path), part(tmp_path, "out"), 0, silent)


def opened(inputs: dict[str, Path], spec: RewriteSpec = SERVED) -> Any:
    """The step of a rewriter."""
    serve = load_stage("rewrite").serve
    assert serve is not None
    return serve(spec, inputs)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.generator(tmp_path_factory.mktemp("model"), ["where", "is", "the", "kiln", "it", "old"], hidden=64)


def test_a_model_in_process_rewrites_by_continuing_examples(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.models import generation

    # The tokenizer has few words, so a prompt of examples would not fit its window.
    monkeypatch.setattr("harness.stages.rewrite.head", lambda: "where is the kiln\n")
    prompts: list[str] = []
    real = generation.write

    def recorded(prefix: Any, suffixes: Any, *rest: Any) -> Any:
        prompts.extend(suffixes)
        return real(prefix, suffixes, *rest)

    monkeypatch.setattr(generation, "write", recorded)
    spec = RewriteSpec(model=str(model), max_new_tokens=3)
    used = rewrite(spec, {**inputs_of(tmp_path), "model": model}, part(tmp_path, "out"), 0, silent)
    assert prompts[0] == (
        "Earlier questions: Where is the lime kiln?\nLast answer: The lime kiln stands by the ferry in the harbour.\n"
        "Follow-up: How old is it?\nThe follow-up in full:"
    )
    assert len(prompts) == 3
    # A model that learned nothing does not stop, or writes what nobody said.
    assert common.read_queries(tmp_path / "out") == QUERIES
    assert (used.llm_calls, used.notes["rewrites dropped"]) == (3, 3)
    assert opened({"model": model}, spec)(Asked("How old is it?", SAID)).text == "How old is it?"
    assert prompts[-1] == prompts[0]


def test_turns_are_dropped_where_the_model_has_no_room_for_them(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.stages.rewrite.head", lambda: "where is the kiln\n")
    shown: list[list[Turn]] = []
    real = rewriting.tail
    monkeypatch.setattr("harness.stages.rewrite.tail", lambda turns, text: shown.append([*turns]) or real(turns, text))
    spec = RewriteSpec(model=str(model), max_new_tokens=3, history_tokens=5000)
    long = [Turn("user" if number % 2 == 0 else "assistant", f"{number} the kiln is old " * 9) for number in range(80)]
    common.write_queries(part(tmp_path, "queries"), {"q1": "is it old", "q2": "is it old " * 300})
    common.write_histories(part(tmp_path, "history"), {"q1": long, "q2": long})
    inputs = {"queries": tmp_path / "queries", "history": tmp_path / "history", "model": model}
    used = rewrite(spec, inputs, part(tmp_path, "out"), 0, silent)
    assert used.notes["rewrites dropped: empty"] >= 1
    assert common.read_queries(tmp_path / "out")["q2"] == "is it old " * 300
    assert 0 < min(len(turns) for turns in shown if turns) < 80
    assert all(not turns or turns[-1] == long[-1] for turns in shown)


# ---- what is of use


@pytest.mark.parametrize(("text", "found"), [
    ("How old is the kiln?", "How old is the kiln?"),
    ("\n\nStandalone question: How old is the kiln?\n\nExplanation: it stands for the kiln.", "How old is the kiln?"),
    ("Here is the rewritten question:\n\n\"How old is the kiln?\"", "How old is the kiln?"),
    ("**Rewritten query:** How old is the kiln?", "How old is the kiln?"),
    ("How old is the kiln? Assistant: It is 90 years old. User: And the mill?", "How old is the kiln?"),
    ("User: How old is the kiln?", "How old is the kiln?"),
    ('{"query": "How old is the kiln?"}', "How old is the kiln?"),
    ('{\n  "query": "How old is the kiln?"\n}', "How old is the kiln?"),
    ("The search query is: kiln age", "kiln age"),
    ("Standalone question:", ""),
    ("", ""),
    ("...", ""),
    ("The follow-up in full: How old is the kiln?", "How old is the kiln?"),
    ("Frage: Wie alt ist der Ofen?", "Wie alt ist der Ofen?"),
    ("问题：窑有多老？", "窑有多老？"),  # noqa: RUF001
])  # fmt: skip
def test_what_stands_around_a_rewrite_is_taken_off(text: str, found: str) -> None:
    assert cleaned(text) == found


@pytest.mark.parametrize(("text", "why"), [
    ("How old is the lime kiln by the ferry?", None),
    ("How old is it?", None),
    ("lime kiln age", None),
    ("", EMPTY),
    ("?!", EMPTY),
    ("How old is the kiln " * 40, LONG),
    ("I'm sorry, I can't assist with that.", REFUSAL),
    ("As an AI language model, I have no age.", REFUSAL),
    ("Sure! Here is the question.", META),
    ("```json", NO_QUERY),
    ("The lime kiln stands by the ferry in the harbour.", ANSWERS),
    ("The lime kiln stands by the ferry in the harbour", ANSWERS),
    ("Answer: it is 90 years old.", ANSWERS),
    ("Yes, it is.", ANSWERS),
    ("No, the lime kiln is not old", ANSWERS),
    ("What keeps dry stone walls from bulging?", OTHER),
    ("Which grit hones kitchen knives best?", OTHER),
])  # fmt: skip
def test_rewrites_of_no_use_are_told_by_their_reason(text: str, why: str | None) -> None:
    assert fault(text, SAID, "How old is it?", "en") == why


def test_a_user_who_cannot_log_in_refuses_nothing() -> None:
    said = (Turn("user", "How do I log in to the customer portal?"), Turn("assistant", "With your number."))
    assert fault("I can't log in to the customer portal with my number", said, "still can't log in", "en") is None


def test_a_rewrite_keeps_what_a_long_query_asks() -> None:
    query = "Great, and who looks after it in winter?"
    assert fault("Where is it?", SAID, query, "en") == OTHER
    assert fault("Who looks after the lime kiln in winter?", SAID, query, "en") is None
    assert fault("The east branch", (Turn("user", "Which branch?"),), "The west branch.", "en") is None


def test_another_language_is_another_matter() -> None:
    """Users reported rewrites in English of conversations in other languages (langchain pull 4969, issue 14974)."""
    said = (Turn("user", "Wo steht der Kalkofen?"), Turn("assistant", "Der Kalkofen steht am Hafen."))
    assert fault("How old is the lime kiln in the harbour?", said, "Wie alt ist er?", "de") == OTHER
    assert fault("Wie alt ist der Kalkofen am Hafen?", said, "Wie alt ist er?", "de") is None
    assert fault("¿Cuál es la edad del horno?", SAID, "How old is it?", "en") == OTHER


def test_languages_without_spaces_are_compared_by_their_characters() -> None:
    said = (Turn("user", "石灰窑在哪里？"), Turn("assistant", "石灰窑在码头旁边。"))  # noqa: RUF001
    assert fault("石灰窑有多老？", said, "它有多老？", "zh") is None  # noqa: RUF001
    assert fault("如何磨厨房刀具？", said, "它有多老？", "zh") == OTHER  # noqa: RUF001


def test_the_built_in_examples_are_of_use() -> None:
    for turns, query, alone in EXAMPLES:
        assert cleaned(f" {alone}") == alone
        assert fault(alone, turns, query, "en") is None
