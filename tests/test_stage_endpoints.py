"""Data made through an endpoint, by a scripted chat: what is asked, what is kept, and that every failure is counted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scripted_chat import (
    CORPUS,
    ENDPOINT,
    PROMPTS,
    RETRIEVER,
    Scripted,
    ScriptedChat,
    accounted,
    corpus,
    folder,
    scripted,
    silent,
)

from harness.data.formats import load_jsonl, write_jsonl
from harness.errors import LlmStopped
from harness.hashing import digest_of
from harness.llm import Ask, Message, Spent, prompt_templates
from harness.llm.protocol import RequestCost
from harness.models.fakes import FakeBiEncoder
from harness.stages.answer import AnswerSpec
from harness.stages.index import IndexSpec, index
from harness.stages.instruct import InstructSpec
from harness.stages.label import LABELS_FILE, LabelSpec, label
from harness.stages.mine import TRIPLETS_FILE, MineSpec, mine
from harness.stages.shared import common
from harness.stages.shared.remote import Endpoint, MayAskEndpoint, check_failures, reasons
from harness.stages.synthesize import SynthesizeSpec, synthesize
from harness.suite import training_data
from harness.suite.pipeline import Generator, Retriever
from harness.suite.training_data import Relabel
from harness.values.records import Pair, Usage

quick = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
__all__ = ["scripted"]


# the spec

KEPT = {"round_trip", "test_documents", "leakage"}
SPECS: dict[str, MayAskEndpoint] = {
    "synthesize": SynthesizeSpec(model="m", **training_data.Synthesize().model_dump(exclude=KEPT)),
    "label": LabelSpec(**training_data.Label().model_dump(), retriever=RETRIEVER),
    "mine": MineSpec(**training_data.Mine().model_dump(), pairs="synthetic", retriever=RETRIEVER),
    "instruct": InstructSpec(),
    "answer": AnswerSpec(generator=Generator().model_dump(exclude={"few_shot"}), context=3, source="run"),
}


@pytest.mark.parametrize("name", SPECS)
def test_what_is_done_in_process_keeps_its_key(name: str) -> None:
    one = SPECS[name]
    assert "endpoint" not in one.key_settings()
    assert type(one).model_validate(one.model_dump(mode="json")) == one


@pytest.mark.parametrize("name", SPECS)
def test_every_word_of_a_prompt_and_the_model_are_in_the_key_and_the_place_is_not(name: str) -> None:
    one = SPECS[name]
    made = {"answers": "llm", "model": "large"} if name == "instruct" else {}
    served = type(one).model_validate({**one.model_dump(), **made, "endpoint": ENDPOINT})
    dumped = served.model_dump(mode="json")
    assert type(one).model_validate(dumped) == served
    settings = served.key_settings()
    assert set(settings["endpoint"]) == {"model", "temperature", "seed", "max_tokens", "prompts"}
    other = ENDPOINT.model_copy(update={"prompts": {**PROMPTS, "label": PROMPTS["label"] + "!"}})
    assert digest_of(served.model_copy(update={"endpoint": other}).key_settings()) != digest_of(settings)
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
    rule = {**training_data.Synthesize().model_dump(exclude=KEPT), **changes}
    given = SynthesizeSpec(model="large", endpoint=ENDPOINT, **rule)
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


def test_answers_that_an_earlier_attempt_has_paid_are_part_of_the_cost(tmp_path: Path, scripted: Scripted) -> None:
    chat = scripted(queries_of)
    chat.spent = Spent(asked=2, known=2, known_cost=RequestCost(100, 20, 0.5))
    _, usage = synthesis(tmp_path)
    assert (usage.llm_calls, usage.prompt_tokens, usage.new_tokens) == (8, 100 + 80, 20 + 24)
    assert usage.dollars == pytest.approx(0.5 + 0.08)
    assert usage.known == 2 / 10


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
    rule = {**training_data.Label(by="llm").model_dump(), "model": "large", "retriever": RETRIEVER, **changes}
    usage = label(LabelSpec(**rule, endpoint=ENDPOINT), inputs, folder(root, "out"), 0, silent)
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
    index(IndexSpec(kind="dense", retriever=Retriever()), inputs, folder(tmp_path, "dense"), 0, silent)
    common.write_pairs(folder(tmp_path, "pairs"), [Pair("lime burned at night", "d1", "question", "synthetic")])
    inputs |= {"dense": tmp_path / "dense", "pairs": tmp_path / "pairs"}
    rule = training_data.Mine(hard=2, relative_margin=0.0, relabel=Relabel(by="llm")).model_dump()
    given = MineSpec(**rule, pairs="synthetic", retriever=RETRIEVER, llm_model="large", endpoint=ENDPOINT)
    usage = mine(given, inputs, folder(tmp_path, "out"), 0, silent)
    (row,) = load_jsonl(tmp_path / "out" / TRIPLETS_FILE)
    assert sorted(row["negatives"]) == ["d2", "d3"]
    assert usage.notes["found relevant after all"] == usage.notes["judgements that failed"] == 1
    assert usage.notes["negatives asked about"] == chat.spent.asked == 3
    assert usage.units == 1
    accounted(usage, chat)
