"""Stages through an endpoint, by a scripted chat: what is asked, what is kept, and that every failure is counted."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.data.formats import load_jsonl, write_jsonl, write_run
from harness.errors import LlmStopped
from harness.execution.probe import TIMES_FILE, WARM_UP, Probe, probe
from harness.hashing import digest_of
from harness.llm import Ask, Message, Reply, Spent, prompt_templates
from harness.models.fakes import FakeBiEncoder
from harness.stages import common
from harness.stages.answer import FAILED_FILE, Answer, answer
from harness.stages.endpoints import Endpoint, Served, check_failures, reasons
from harness.stages.index import Index, index
from harness.stages.instruct import INSTRUCTIONS_FILE, Instruct, instruct
from harness.stages.label import LABELS_FILE, Label, label
from harness.stages.mine import TRIPLETS_FILE, Mine, mine
from harness.stages.prompts import question_turn
from harness.stages.retrieve import RUN_FILE
from harness.stages.synthesize import Synthesize, synthesize
from harness.suite import recipes
from harness.suite.recipes import ABSTENTION, Relabel
from harness.suite.roles import PromptName
from harness.suite.spec import Generator, Retriever
from harness.values.records import Document, Pair, Progress, Reference, Usage

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PROMPTS = {name: prompt_templates.load(name) for name in get_args(PromptName)}
ENDPOINT = Endpoint(model="large", temperature=0.0, seed=0, max_tokens=500, prompts=PROMPTS)
RETRIEVER = Retriever().model_dump()
CORPUS = {
    "d1": Document("d1", "Lime", "lime is burned in a kiln at night for 3 $ a day"),
    "d2": Document("d2", "", "the ferry carries mail over the ice"),
    "d3": Document("d3", "", "slate roofs are laid from the eaves"),
    "d4": Document("d4", "", "a kiln for bread is no kiln for lime"),
}


def silent(done: int, total: int) -> None:
    pass


class ScriptedChat:
    """Replies by a function of what is asked; an exception in place of a text is a failure of that wording.

    A question asked before is known and costs nothing, as from a cache; one costs 10 tokens in, 3 out, and a cent.
    """

    def __init__(self, script: Callable[[Ask], Any]) -> None:
        self.name, self.stopped, self.spent = "scripted", "", Spent()
        self.script, self.asks, self.known = script, list[Ask](), set[Ask]()

    async def ask(self, ask: Ask) -> Reply:
        return self._reply(ask)

    def ask_all(self, asks: Sequence[Ask], progress: Progress) -> list[Reply]:
        if self.stopped:
            raise LlmStopped(self.stopped)
        replies = [self._reply(ask) for ask in asks]
        progress(len(asks), len(asks))
        return replies

    def _reply(self, ask: Ask) -> Reply:
        self.asks.append(ask)
        text = self.script(ask)
        cost = () if ask in self.known else (10, 3, 0.01, 1)
        reply = Reply(str(text), None, "", *cost)
        if isinstance(text, Exception):
            reply = Reply("", None, str(text), *cost)
        elif ask.schema is not None:
            try:
                reply = reply._replace(value=ask.schema.model_validate_json(str(text)))
            except ValidationError as error:
                reply = Reply("", None, error.errors()[0]["msg"], *cost)
        self.known |= set() if reply.failure else {ask}
        self.spent = self.spent.plus(reply)
        return reply


Scripted = Callable[[Callable[[Ask], Any]], ScriptedChat]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Make a scripted chat the one of every role; `roles` on it says who was asked for."""

    def made(script: Callable[[Ask], Any]) -> ScriptedChat:
        chat = ScriptedChat(script)
        monkeypatch.setattr("harness.llm.services.chat", lambda role: roles.append(role) or chat)
        chat.roles = roles  # type: ignore[attr-defined]
        return chat

    roles: list[str] = []
    return made


def folder(root: Path, name: str) -> Path:
    (root / name).mkdir(parents=True, exist_ok=True)
    return root / name


def corpus(root: Path) -> dict[str, Path]:
    common.write_corpus(folder(root, "corpus"), CORPUS)
    return {"corpus": root / "corpus"}


def accounted(usage: Usage, chat: ScriptedChat) -> None:
    """What a stage says it used is what was asked."""
    spent = chat.spent
    assert (usage.llm_calls, usage.prompt_tokens, usage.new_tokens) == (spent.requests, 10 * spent.requests, 3 * spent.requests)  # fmt: skip  # noqa: E501
    assert usage.dollars == pytest.approx(0.01 * spent.requests)


# the spec

KEPT = {"round_trip", "test_documents", "leakage"}
SPECS: dict[str, tuple[Served, str]] = {
    "synthesize": (
        Synthesize(model="m", **recipes.Synthesize().model_dump(exclude=KEPT)), "43e96543389786c69f568616c2445be3"
    ),
    "label": (Label(**recipes.Label().model_dump(), retriever=RETRIEVER), "d58a7cd08540bf914ced0bf2a51cff2d"),
    "mine": (
        Mine(**recipes.Mine().model_dump(), pairs="synthetic", retriever=RETRIEVER), "27b1b8ac00e5fa804229d74db661fc5f"
    ),
    "instruct": (Instruct(), "0a6474288672a5883419f00a21f0af86"),
    "answer": (
        Answer(generator=Generator().model_dump(exclude={"few_shot"}), context=3, source="run"),
        "f0d77c77ee4303949feecd448f31418e",
    ),
}  # fmt: skip
"""Specs as they were before there were endpoints, and the digests that they had."""


@pytest.mark.parametrize("name", SPECS)
def test_what_is_done_in_process_keeps_its_key(name: str) -> None:
    one, digest = SPECS[name]
    assert digest_of(one.model_dump(mode="json")) == digest
    assert type(one).model_validate(one.model_dump(mode="json")) == one


@pytest.mark.parametrize("name", SPECS)
def test_every_word_of_a_prompt_and_the_model_are_in_the_key_and_the_place_is_not(name: str) -> None:
    one = SPECS[name][0]
    made = {"answers": "llm", "model": "large"} if name == "instruct" else {}
    served = type(one).model_validate({**one.model_dump(), **made, "endpoint": ENDPOINT})
    dumped = served.model_dump(mode="json")
    assert type(one).model_validate(dumped) == served
    assert set(dumped["endpoint"]) == {"model", "temperature", "seed", "max_tokens", "prompts"}
    other = ENDPOINT.model_copy(update={"prompts": {**PROMPTS, "label": PROMPTS["label"] + "!"}})
    assert digest_of(served.model_copy(update={"endpoint": other}).model_dump(mode="json")) != digest_of(dumped)
    with pytest.raises(ValidationError, match="base_url"):
        Endpoint.model_validate({**ENDPOINT.model_dump(), "base_url": "http://here"})


def test_a_role_s_identity_is_an_endpoint_s() -> None:
    from harness.suite.roles import Llm

    assert Endpoint.model_validate({**Llm(model="large").identity, "prompts": {}}).model == "large"


# counting


@given(st.lists(st.sampled_from("abcdefghijk")))
def test_reasons_add_up_to_all_failures(failed: list[str]) -> None:
    counts = reasons("failed", Counter(failed))
    assert sum(counts.values()) == len(failed)
    assert len(counts) <= 7


def test_more_than_half_is_too_much_and_the_first_reason_is_said() -> None:
    check_failures("queries", Counter({"timed out": 2}), 4)
    with pytest.raises(ValueError, match=r"3 of 5 queries failed, more than half \(the first: timed out\)"):
        check_failures("queries", Counter({"timed out": 1, "no JSON": 2}), 5)


# synthesize


def synthesis(root: Path, seed: int = 0, **changes: Any) -> tuple[list[Pair], Usage]:
    rule = {**recipes.Synthesize().model_dump(exclude=KEPT), **changes}
    given = Synthesize(model="large", endpoint=ENDPOINT, **rule)
    usage = synthesize(given, corpus(root), folder(root, "out"), seed, silent)
    return common.read_pairs(root / "out"), usage


def queries_of(ask: Ask) -> str:
    """As many queries as asked for, of the kind asked for, about the passage asked about."""
    text = ask.messages[0].content
    (doc_id,) = [key for key, document in CORPUS.items() if document.content[:20] in text]
    kind = "claim" if "statement(s)" in text else "keyword" if "search box" in text else "question"
    wanted = int(text.split("Write ")[1].split()[0])
    return json.dumps({"queries": [f"- Query: {kind} {number} of {doc_id}" for number in range(wanted)]})


def test_each_kind_is_asked_for_once_a_passage_and_all_its_queries_differ(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(queries_of)
    pairs, usage = synthesis(tmp_path, queries_per_document=5, kinds=("question", "keyword"))
    assert chat.roles == ["synthesizer"]  # type: ignore[attr-defined]
    assert len(chat.asks) == 8
    assert len(pairs) == usage.units == usage.notes["queries written"] == len({one.query for one in pairs}) == 20
    assert Counter(one.doc_id for one in pairs) == dict.fromkeys(CORPUS, 5)
    assert all(one.query.startswith(f"{one.kind} ") and one.query.endswith(one.doc_id) for one in pairs)
    assert usage.notes["of kind question"] + usage.notes["of kind keyword"] == 20
    assert usage.notes["queries that failed"] == usage.notes["of these known from the cache"] == 0
    accounted(usage, chat)


def test_the_passage_stands_in_the_prompt_as_it_is_and_cut(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(queries_of)
    synthesis(tmp_path, queries_per_document=1, kinds=("question",), passage_tokens=200)
    assert [ask.messages[0].content for ask in chat.asks] == [
        prompt_templates.fill(PROMPTS["question"], passage=document.content, count="1") for document in CORPUS.values()
    ]
    synthesis(tmp_path, queries_per_document=1, kinds=("question",), passage_tokens=8)
    assert "<passage>\nLime\nlime is burned in a\n</passage>" in chat.asks[4].messages[0].content


@quick
@given(
    outcomes=st.lists(st.sampled_from(["good", "few", "dead", "odd"]), min_size=8, max_size=8), per=st.integers(1, 3)
)
def test_each_query_wanted_is_written_or_counted(
    outcomes: list[str], per: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    turn = iter(outcomes)

    def script(ask: Ask) -> Any:
        good = json.loads(queries_of(ask))["queries"]
        answers = {"good": good, "few": [good[0], good[0].upper(), *good], "odd": ["", " - "]}
        what = next(turn)
        if what == "few":
            answers["few"] = [good[0], f"  {good[0]}"]
        return RuntimeError("HTTP 500") if what == "dead" else json.dumps({"queries": answers[what]})

    with pytest.MonkeyPatch.context() as patch:
        chat = ScriptedChat(script)
        patch.setattr("harness.llm.services.chat", lambda role: chat)
        wanted = 4 * 2 * per
        kept = sum({"good": per, "few": 1}.get(what, 0) for what in outcomes)
        root = tmp_path_factory.mktemp("synthesize")
        if wanted - kept > wanted / 2:
            with pytest.raises(ValueError, match=rf"{wanted - kept} of {wanted} queries failed, more than half"):
                synthesis(root, queries_per_document=2 * per)
            assert not (root / "out" / "pairs.jsonl").exists()
            return
        pairs, usage = synthesis(root, queries_per_document=2 * per)
    assert (len(pairs), usage.notes["queries that failed"]) == (kept, wanted - kept)
    told = {key: count for key, count in usage.notes.items() if key.startswith("queries that failed: ")}
    assert sum(told.values()) == wanted - kept
    assert told.get("queries that failed: HTTP 500", 0) == per * outcomes.count("dead")
    assert all(one.query for one in pairs)


def test_more_queries_than_asked_for_are_not_taken(tmp_path: Path, scripted: Scripted) -> None:
    scripted(lambda ask: json.dumps({"queries": [f"{number} {ask.messages[0].content[-99:]}" for number in range(9)]}))
    assert len(synthesis(tmp_path, queries_per_document=2)[0]) == 8


def test_half_of_a_surrogate_pair_is_written(tmp_path: Path, scripted: Scripted) -> None:
    from harness.stages.synthesize import Queries

    assert Queries(queries=["lime \ud83d", "Question: a\nb"]).queries == ["lime ?", "Question: a b"]


def test_another_seed_asks_anew_only_where_answers_vary(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(queries_of)
    for seed, temperature in ((0, 0.0), (1, 0.0), (1, 0.7), (2, 0.7)):
        synthesis(tmp_path, seed, temperature=temperature)
    assert [(ask.repeat, ask.temperature) for ask in chat.asks[::8]] == [(0, 0.0), (0, 0.0), (1, 0.7), (2, 0.7)]


def test_what_the_cache_knew_is_noted(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(queries_of)
    synthesis(tmp_path)
    chat.spent = Spent()
    _, usage = synthesis(tmp_path)
    assert usage.notes["of these known from the cache"] == usage.notes["asked of the endpoint"] == 8
    assert (usage.llm_calls, usage.prompt_tokens, usage.dollars) == (0, 0, 0.0)


def test_a_chat_that_stopped_stops_the_stage(tmp_path: Path, scripted: Scripted) -> None:
    scripted(queries_of).stopped = "the budget is spent"
    with pytest.raises(LlmStopped, match="the budget is spent"):
        synthesis(tmp_path)


# label and mine

TRIPLETS = [
    {"query": "kiln\nfor lime", "doc_id": "d1", "negatives": ["d4", "d2"]},
    {"query": "mail on ice", "doc_id": "d2", "negatives": ["d3"]},
]


def labelled(root: Path, **changes: Any) -> tuple[list[Any], list[Any], Usage]:
    inputs = corpus(root) | {"triplets": folder(root, "triplets")}
    write_jsonl(root / "triplets" / TRIPLETS_FILE, TRIPLETS)
    rule = {**recipes.Label(by="llm").model_dump(), "model": "large", "retriever": RETRIEVER, **changes}
    usage = label(Label(**rule, endpoint=ENDPOINT), inputs, folder(root, "out"), 0, silent)
    rows, failed = (load_jsonl(root / "out" / name) for name in (LABELS_FILE, "failed.jsonl"))
    return list(rows), list(failed), usage


def test_labels_are_what_the_endpoint_says_and_failures_are_rows(tmp_path: Path, scripted: Scripted) -> None:
    def script(ask: Ask) -> Any:
        text = ask.messages[0].content
        if "slate" in text:
            return TimeoutError("no answer within 40 s")
        if "bread" in text:
            return '{"relevance_score": 1.4}'
        score = 1 if "burned" in text else "0.25"
        return json.dumps({"relevance_score": score, "explanation": "so", "suggested_query": "a\nquery"})

    chat = scripted(script)
    rows, failed, usage = labelled(tmp_path)
    assert chat.roles == ["labeler"]  # type: ignore[attr-defined]
    assert [(row["doc_id"], row["score"]) for row in rows] == [("d1", 1.0), ("d2", 0.25), ("d2", 0.25)]
    assert [row["doc_id"] for row in failed] == ["d4", "d3"]
    assert failed[1]["reason"] == "no answer within 40 s"
    assert "less than or equal to 1" in failed[0]["reason"]
    assert len(rows) + len(failed) == usage.units == chat.spent.asked == 5
    assert usage.notes["labels that failed"] == 2
    assert usage.notes["known from the cache"] == 0
    assert chat.asks[0].messages == (
        Message("user", prompt_templates.fill(PROMPTS["label"], query="kiln for lime", passage=CORPUS["d1"].content)),
    )
    accounted(usage, chat)


def test_too_many_failed_labels_end_the_stage(tmp_path: Path, scripted: Scripted) -> None:
    scripted(lambda ask: ConnectionError("HTTP 503"))
    with pytest.raises(ValueError, match=r"5 of 5 labels could not be read.*the first: HTTP 503"):
        labelled(tmp_path)


def test_an_endpoint_relabels_negatives(tmp_path: Path, scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("mine", "index"):
        monkeypatch.setattr(f"harness.stages.{module}.bi_encoder", lambda spec, inputs: FakeBiEncoder())
    chat = scripted(lambda ask: OSError("HTTP 500") if "slate" in ask.messages[0].content else json.dumps(
        {"relevance_score": 0.9 if "bread" in ask.messages[0].content else 0.1}
    ))  # fmt: skip
    inputs = corpus(tmp_path)
    index(Index(kind="dense", retriever=Retriever()), inputs, folder(tmp_path, "dense"), 0, silent)
    common.write_pairs(folder(tmp_path, "pairs"), [Pair("lime burned at night", "d1", "question", "synthetic")])
    inputs |= {"dense": tmp_path / "dense", "pairs": tmp_path / "pairs"}
    rule = recipes.Mine(hard=2, relative_margin=0.0, relabel=Relabel(by="llm")).model_dump()
    given = Mine(**rule, pairs="synthetic", retriever=RETRIEVER, llm_model="large", endpoint=ENDPOINT)
    usage = mine(given, inputs, folder(tmp_path, "out"), 0, silent)
    (row,) = load_jsonl(tmp_path / "out" / TRIPLETS_FILE)
    assert sorted(row["negatives"]) == ["d2", "d3"]
    assert usage.notes["found relevant after all"] == usage.notes["judgements that failed"] == 1
    assert usage.notes["negatives asked about"] == chat.spent.asked == 3
    assert usage.units == 1
    accounted(usage, chat)


# instruct


def instructed(root: Path, count: int = 8, **changes: Any) -> tuple[list[Any], Usage]:
    documents = {f"d{n}": Document(f"d{n}", "", f"the answer number {n} is thing{n} here") for n in range(count)}
    common.write_corpus(folder(root, "corpus"), documents)
    common.write_queries(folder(root, "queries"), {f"q{n}": f"what is {n}" for n in range(count)})
    common.write_judgements(folder(root, "qrels"), {f"q{n}": {f"d{n}": 1} for n in range(count)})
    run = {f"q{n}": [(f"d{(n + step) % count}", 9.0 - step) for step in range(4)] for n in range(count)}
    write_run(folder(root, "run") / RUN_FILE, run)
    inputs = {name: root / name for name in ("corpus", "queries", "qrels", "run")}
    rule = Instruct(**{"answers": "llm", "model": "large", "endpoint": ENDPOINT, "without_oracle": 0.25, **changes})
    usage = instruct(rule, inputs, folder(root, "out"), 0, silent)
    return list(load_jsonl(root / "out" / INSTRUCTIONS_FILE)), usage


def number_of(ask: Ask) -> int:
    return int(ask.messages[0].content.rsplit("what is ", 1)[1])


def test_answers_to_train_on_come_from_the_endpoint_and_bad_ones_are_dropped(
    tmp_path: Path, scripted: Scripted
) -> None:
    odd: dict[int, Any] = {
        1: ABSTENTION, 2: OSError("HTTP 500"), 3: "unrelated matter", 4: "the answer is thing4 here " * 20,
    }  # fmt: skip
    chat = scripted(lambda ask: odd.get(number_of(ask), f"Answer: thing{number_of(ask)}\n"))
    rows, usage = instructed(tmp_path)
    answers = {row["query_id"]: row["answer"] for row in rows if row["kind"] == "oracle"}
    assert answers
    assert all(text == f"thing{key[1:]}" for key, text in answers.items())
    assert not {"q1", "q2", "q3", "q4"} & set(answers)
    assert {row["answer"] for row in rows if row["kind"] == "without_oracle"} == {ABSTENTION}
    asked = chat.spent.asked
    assert usage.notes["answers written"] + usage.notes["answers that failed"] == asked
    dropped = {key: count for key, count in usage.notes.items() if key.startswith("answers dropped")}
    tried = {number_of(ask) for ask in chat.asks}
    assert sum(dropped.values()) == len(tried & {1, 3, 4}) > 0
    assert usage.notes.get("answers that failed: HTTP 500", 0) == len(tried & {2})
    assert "what is" not in PROMPTS["instruct"]
    assert ABSTENTION in chat.asks[0].messages[0].content
    assert chat.roles == ["synthesizer"]  # type: ignore[attr-defined]
    accounted(usage, chat)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ABSTENTION, "declines to answer"),
        ("thing1 is here " * 20, "too long"),
        ("nothing of it", "not out of the passage"),
    ],
)
def test_each_bad_answer_is_dropped_for_its_reason(text: str, reason: str, tmp_path: Path, scripted: Scripted) -> None:
    from harness.stages.answering import ServedAnswerer, Settings

    scripted(lambda ask: text)
    answerer = ServedAnswerer(PROMPTS["instruct"], Settings(passage_tokens=50, max_new_tokens=16, batch_size=2))
    assert answerer.write([("what is 1", "the answer number 1 is thing1 here")], silent) == [None]
    assert answerer.usage().notes[f"answers dropped: {reason}"] == 1


def test_an_endpoint_that_fails_most_answers_ends_the_stage(tmp_path: Path, scripted: Scripted) -> None:
    scripted(lambda ask: OSError("HTTP 500"))
    with pytest.raises(ValueError, match=r"\d of \d answers failed, more than half \(the first: HTTP 500\)"):
        instructed(tmp_path)


def test_an_endpoint_belongs_to_answers_by_an_llm() -> None:
    with pytest.raises(ValidationError, match="'endpoint' belongs to 'answers: llm'"):
        Instruct(answers="references", endpoint=ENDPOINT)


# answer

GENERATOR = Generator(model="llm:generator", max_new_tokens=6, passage_tokens=16, instruction="Be short.")
QUERIES = {"q1": "how is lime burned", "q2": "who carries mail", "q3": "what is laid"}


def asking(root: Path) -> dict[str, Path]:
    common.write_queries(folder(root, "queries"), QUERIES)
    common.write_contexts(folder(root, "contexts"), {"q1": ["d1", "d4"], "q2": ["d2"], "q3": []})
    return corpus(root) | {name: root / name for name in ("queries", "contexts")}


def reply_spec(**changes: Any) -> Answer:
    bare = ENDPOINT.model_copy(update={"prompts": {}})
    return Answer(**{"generator": GENERATOR, "context": 2, "source": "given", "endpoint": bare, **changes})


def test_the_endpoint_is_shown_what_a_local_generator_is_shown(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(lambda ask: "\n in a kiln \nand more")
    usage = answer(reply_spec(), asking(tmp_path), folder(tmp_path, "out"), 0, silent)
    passages = ["Lime\nlime is burned in a kiln at night for 3 $", "a kiln for bread is no kiln for lime"]
    turn = question_turn(QUERIES["q1"], passages)
    assert chat.roles == ["generator"]  # type: ignore[attr-defined]
    assert chat.asks[0].messages == (Message("system", "Be short."), Message("user", turn))
    assert chat.asks[2].messages[1].content == question_turn(QUERIES["q3"], [])
    assert {ask.max_tokens for ask in chat.asks} == {6}
    found = common.read_answers(tmp_path / "out")
    assert {key: (one.text, one.context) for key, one in found.items()} == {
        "q1": ("in a kiln \nand more", ("d1", "d4")), "q2": ("in a kiln \nand more", ("d2",)),
        "q3": ("in a kiln \nand more", ()),
    }  # fmt: skip
    assert found["q1"].prompt_tokens > found["q3"].prompt_tokens > 0
    assert found["q1"].new_tokens == 7
    accounted(usage, chat)


def test_what_follows_a_stop_string_is_cut_off_at_an_endpoint_too(tmp_path: Path, scripted: Scripted) -> None:
    scripted(lambda ask: "\n in a kiln \nand more")
    answer(reply_spec().model_copy(update={"stop": ("\n",)}), asking(tmp_path), folder(tmp_path, "out"), 0, silent)
    found = common.read_answers(tmp_path / "out")
    assert {(one.text, one.new_tokens) for one in found.values()} == {("in a kiln", 4)}


def test_answers_do_not_depend_on_what_the_cache_knew(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(lambda ask: "in a kiln")
    for name in ("first", "again"):
        answer(reply_spec(), asking(tmp_path), folder(tmp_path, name), 0, silent)
    assert chat.spent.known == 3
    first, again = ((tmp_path / name / "answers.jsonl").read_bytes() for name in ("first", "again"))
    assert first == again


def test_a_failed_question_has_no_answer_and_is_listed_with_its_reason(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(lambda ask: OSError("refused") if "mail" in ask.messages[-1].content else "yes")
    usage = answer(reply_spec(), asking(tmp_path), folder(tmp_path, "out"), 0, silent)
    assert set(common.read_answers(tmp_path / "out")) == {"q1", "q3"}
    assert load_jsonl(tmp_path / "out" / FAILED_FILE) == [{"query_id": "q2", "reason": "refused"}]
    assert usage.notes["answers"] + usage.notes["answers that failed"] == usage.units == chat.spent.asked == 3
    assert usage.notes["answers that failed: refused"] == 1


def test_no_answer_at_all_ends_the_stage(tmp_path: Path, scripted: Scripted) -> None:
    scripted(lambda ask: OSError("refused"))
    with pytest.raises(ValueError, match=r"none of 3 questions was answered \(the first: refused\)"):
        answer(reply_spec(), asking(tmp_path), folder(tmp_path, "out"), 0, silent)
    assert not (tmp_path / "out" / "answers.jsonl").exists()


def test_examples_are_turns_of_the_chat(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(lambda ask: "yes")
    inputs = asking(tmp_path)
    common.write_queries(folder(tmp_path, "train_queries"), {"t1": "who lays slate", "t2": "how hot is it"})
    common.write_judgements(folder(tmp_path, "train_qrels"), {"t1": {"d3": 1}})
    common.write_references(folder(tmp_path, "train_references"), {
        "t1": Reference("t1", ("a roofer",), True, ()), "t2": Reference("t2", (), False, ("d2",)),
    })  # fmt: skip
    inputs |= {f"train_{name}": tmp_path / f"train_{name}" for name in ("queries", "qrels", "references")}
    answer(reply_spec(few_shot=2), inputs, folder(tmp_path, "out"), 0, silent)
    assert chat.asks[0].messages[:-1] == (
        Message("system", "Be short."),
        Message("user", question_turn("who lays slate", [CORPUS["d3"].content])),
        Message("assistant", "a roofer"),
        Message("user", question_turn("how hot is it", [CORPUS["d2"].content])),
        Message("assistant", ABSTENTION),
    )


def test_an_adapter_does_not_go_with_an_endpoint(tmp_path: Path, scripted: Scripted) -> None:
    scripted(lambda ask: "yes")
    with pytest.raises(ValueError, match="a generator at an endpoint takes no adapter"):
        answer(reply_spec(), {**asking(tmp_path), "adapter": tmp_path}, folder(tmp_path, "out"), 0, silent)


# probe


def probed(root: Path, count: int = 5) -> tuple[list[float], Usage]:
    given = Probe(part="generator", queries=count, machine="here", reply=reply_spec())
    usage = probe(given, asking(root), folder(root, "out"), 0, silent)
    return json.loads((root / "out" / TIMES_FILE).read_text(encoding="utf-8")), usage


def test_a_probe_times_requests_that_nothing_knew_in_one_event_loop(tmp_path: Path, scripted: Scripted) -> None:
    loops = set()

    def script(ask: Ask) -> str:
        loops.add(asyncio.get_running_loop())
        return "yes"

    chat = scripted(script)
    times, usage = probed(tmp_path)
    probed(tmp_path)
    assert len(times) == usage.units == 5
    assert usage.llm_calls == 5 + WARM_UP
    assert all(value > 0 for value in times)
    assert len(loops) == 2
    assert chat.spent.known == 0
    assert len({ask.repeat for ask in chat.asks[:7]}) == 7
    assert all(0 <= ask.repeat < 2**31 for ask in chat.asks)


def test_a_probe_without_an_answer_fails_with_the_reason(tmp_path: Path, scripted: Scripted) -> None:
    scripted(lambda ask: OSError("HTTP 503"))
    with pytest.raises(ValueError, match="the generator did not answer: HTTP 503"):
        probed(tmp_path)
    assert not (tmp_path / "out" / TIMES_FILE).exists()
