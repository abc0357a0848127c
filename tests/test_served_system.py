"""A served system finds and writes what was measured, part by part, also for questions of a conversation."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import smallsuite
import test_conversation_run
from scripted_chat import ScriptedChat
from served import Run, served

from harness.cli.serve_source import choose, name_of, open_systems
from harness.data.datasets import load_dataset
from harness.data.formats import read_run
from harness.errors import ConfigError
from harness.execution.making import no_display
from harness.execution.served_system import Opened, ServedSystem
from harness.experiments import benchmark
from harness.planning.graph import Plan
from harness.planning.plan import build_plan
from harness.remote.places import store_in
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import served_answers
from harness.stages.shared.common import read_answers
from harness.store import Store
from harness.suite.files import load_suite
from harness.suite.uses import reading_of
from harness.values.records import Query

__all__ = ["served"]
NAMES = ("bm25", "hybrid", "untuned", "few-shot", "tuned (seed 0)", "ranked", "ordered", "mixed", "chunks", "graph")


def planned(suite: Path) -> tuple[Plan, Mapping[str, Query]]:
    spec = load_suite(suite)[0]
    data = load_dataset(spec.dataset, spec.evaluate.split, reading_of(spec))
    return build_plan(spec, data), data.splits[spec.evaluate.split].queries


@pytest.fixture(scope="module")
def plan(served: Run) -> tuple[Plan, Mapping[str, Query]]:
    return planned(served.suite)


@pytest.fixture(scope="module")
def opened(served: Run) -> Opened:
    return Opened(store_in(served.store))


def agree(plan: Plan, queries: Mapping[str, Query], system: ServedSystem, store: Store) -> int:
    """What it finds for every query is the stored run, and what it writes the stored answer; return how many those are.

    Where scores are nearly equal, the order of passages may differ, and with it the answer. Scores that are blended are
    in standard deviations, which magnify rounding: those of these models lie close together.
    """
    one = plan.system(system.label)
    place = store.get(one.serving.path[-1])
    assert place is not None
    run = read_run(place / RUN_FILE, escaped=True)
    answers = read_answers(store.get(one.answers)) if one.answers else {}  # type: ignore[arg-type]
    ordered, written = 0, 0
    for query_id, query in queries.items():
        stored = run.get(query_id, [])
        result = system.ask(query.text, query.history, most=len(stored))
        assert [passage.score for passage in result.passages] == pytest.approx([score for _, score in stored], abs=1e-3)
        assert {passage.passage_id for passage in result.passages} == {key for key, _ in stored}
        ordered += [passage.passage_id for passage in result.passages] == [key for key, _ in stored]
        if query_id in answers:
            assert result.reply is not None
            shown = tuple(passage.passage_id for passage in result.passages if passage.shown)
            if shown == answers[query_id].context:
                assert (result.reply.text, result.reply.failure) == (answers[query_id].text, "")
                written += 1
    assert ordered > 0.8 * len(queries) > 5
    return written


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_and_writes_what_was_measured(
    name: str, served: Run, plan: tuple[Plan, Mapping[str, Query]], opened: Opened
) -> None:
    graph, queries = plan
    system = ServedSystem(graph, graph.system(name), opened)
    assert agree(graph, queries, system, opened.store) >= 5
    assert system.answers
    assert system.passages >= 20


def test_each_part_has_its_time_and_the_prompt_its_passages(
    plan: tuple[Plan, Mapping[str, Query]], opened: Opened
) -> None:
    graph, _ = plan
    result = ServedSystem(graph, graph.system("ranked"), opened).ask("what is the lime kiln", most=5)
    assert list(result.milliseconds) == ["search", "rerank", "answer"]
    assert all(spent > 0 for spent in result.milliseconds.values())
    assert [passage.shown for passage in result.passages] == [True, True, False, False, False]
    assert all(passage.text and passage.span is None for passage in result.passages)
    assert result.searched == "what is the lime kiln"


def test_chunks_say_what_they_are_a_part_of(plan: tuple[Plan, Mapping[str, Query]], opened: Opened) -> None:
    graph, _ = plan
    for passage in ServedSystem(graph, graph.system("chunks"), opened).ask("what is the lime kiln").passages:
        assert passage.span is not None
        assert passage.passage_id.startswith(f"{passage.span.doc_id}#")


def test_a_question_of_which_no_word_is_known_finds_nothing(
    plan: tuple[Plan, Mapping[str, Query]], opened: Opened
) -> None:
    graph, _ = plan
    for name in ("bm25", "hybrid", "mixed"):
        result = ServedSystem(graph, graph.system(name), opened).ask("zzzz qqqq")
        assert result.reply is not None
        assert (result.passages == ()) == (name == "bm25")


def test_systems_share_what_they_have_in_common(plan: tuple[Plan, Mapping[str, Query]], served: Run) -> None:
    graph, _ = plan
    mine = Opened(store_in(served.store))
    ServedSystem(graph, graph.system("untuned"), mine)
    before = len(mine.steps)
    ServedSystem(graph, graph.system("ranked"), mine)
    # The index, the encoder and the generator are the same: a reranker and a blend are added.
    assert len(mine.steps) == before + 2
    assert len(mine.corpora) == 1


def test_systems_that_search_other_passages_write_with_one_generator(
    plan: tuple[Plan, Mapping[str, Query]], served: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, _ = plan
    mine, loaded, load = Opened(store_in(served.store)), list[Any](), served_answers.load_generator
    monkeypatch.setattr(served_answers, "_LOADED", type(served_answers._LOADED)())
    monkeypatch.setattr(served_answers, "load_generator", lambda *given: loaded.append(given) or load(*given))
    systems = [ServedSystem(graph, graph.system(name), mine) for name in ("untuned", "chunks")]
    assert len(mine.corpora) == 2
    assert len(loaded) == 1
    replies = [system.ask("what is it").reply for system in systems]
    assert all(reply is not None and not reply.failure for reply in replies)
    systems.clear()
    mine.steps.clear()
    gc.collect()
    assert not served_answers._LOADED, "a generator that nothing writes with is freed"


@pytest.mark.parametrize("name", ["closed-book", "oracle-context"])
def test_what_searches_nothing_is_refused(name: str, plan: tuple[Plan, Mapping[str, Query]], opened: Opened) -> None:
    graph, _ = plan
    with pytest.raises(ConfigError, match=f"{name} searches nothing, so nobody would serve it"):
        ServedSystem(graph, graph.system(name), opened)


def test_an_artifact_that_is_gone_is_named(plan: tuple[Plan, Mapping[str, Query]], served: Run, tmp_path: Path) -> None:
    graph, _ = plan
    store = store_in(shutil.copytree(served.store, tmp_path / "copy"))
    system = graph.system("tuned (seed 0)")
    store.discard(system.models["retriever"])
    with pytest.raises(ConfigError) as caught:
        ServedSystem(graph, system, Opened(store))
    assert str(caught.value) == (
        "the artifact 'tune retriever of tuned, seed 0' is not in the store any more; run the suite again"
    )


# ---- conversations


def test_turns_are_searched_with_as_it_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = test_conversation_run.dataset(tmp_path / "data")
    changes = {
        "dataset": {"path": str(data), "group": {"metadata": "conversation"}},
        "candidates": {
            "joined": {"pipeline": {"conversation": "concatenate", "retriever": {"bm25_weight": 0.5}}},
            "reworded": {"pipeline": {"conversation": "rewrite"}},
        },
        "llm": {"rewriter": test_conversation_run.SERVED},
    }
    path = smallsuite.write(tmp_path, smallsuite.bi_encoder(tmp_path / "model"), changes)
    chat = ScriptedChat(test_conversation_run.rewriting)
    monkeypatch.setattr("harness.llm.services.chat", lambda role: chat)
    monkeypatch.setattr("harness.execution.endpoints.check", lambda *_: None)
    benchmark.run(path, tmp_path / "store", executor=smallsuite.Here())
    graph, queries = planned(path)
    opened = Opened(store_in(tmp_path / "store"))
    for name, searched in (
        ("untuned", "how old is it?"), ("joined", "what is the kiln?\nhow old is it?"),
        ("reworded", "how old is the kiln?"),
    ):  # fmt: skip
        system = ServedSystem(graph, graph.system(name), opened)
        assert agree(graph, queries, system, opened.store) == 0
        result = system.ask("how old is it?", queries["how kiln"].history)
        assert result.searched == searched
        assert ("rewrite" in result.milliseconds) == (name != "untuned")
        assert result.reply is None
        assert not system.answers


# ---- the choice of systems


def test_systems_are_named_as_others_name_them(served: Run) -> None:
    suite, store = str(served.suite), served.store
    chosen = choose(suite, ["untuned", "tuned"], store)
    assert [name_of(info) for info in chosen.systems] == ["untuned", "tuned:0"]
    for name in ("tuned:0", "tuned (seed 0)"):
        assert choose(suite, [name], store).systems[0].label == "tuned (seed 0)"
    assert list(open_systems(chosen, store, no_display)) == ["untuned", "tuned:0"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["tunde"], "suite served: no system 'tunde' in the latest outcome; did you mean 'tuned'?"),
        (["closed-book"], "suite served: closed-book is a bound for the others, and nobody would serve it; name a "
         "system that retrieves passages, such as untuned"),
        (["untuned", "bm25", "mixed"], "suite served: 3 systems are named; name at most 2"),
        (["untuned", "untuned"], "suite served: untuned is named twice; name it once"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_said_in_a_sentence(names: list[str], said: str, served: Run) -> None:
    with pytest.raises(ConfigError) as caught:
        choose(str(served.suite), names, served.store)
    assert str(caught.value) == said


def changed(served: Run, monkeypatch: pytest.MonkeyPatch, **update: Any) -> None:
    """Let the outcome say something else of `tuned`."""
    outcome = served.finished.outcome
    systems = [
        info.model_copy(update=update) if info.name == "tuned" else info for info in outcome.systems
    ]  # fmt: skip
    said = outcome.model_copy(update={"systems": tuple(systems)})
    monkeypatch.setattr("harness.results.outcomes.read", lambda folder: said)


@pytest.mark.parametrize(
    ("update", "said"),
    [
        ({"failed": "out of memory"}, "tuned (seed 0) failed: out of memory; fix that and run the suite again"),
        ({"stopped": "it was behind"}, "tuned (seed 0) was not trained to the end: it was behind; name another"),
    ],
)
def test_what_failed_or_was_stopped_is_refused(
    update: dict[str, str], said: str, served: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(served, monkeypatch, **update)
    with pytest.raises(ConfigError) as caught:
        choose(str(served.suite), ["tuned"], served.store)
    assert str(caught.value) == f"suite served: {said}"


def test_what_has_changed_since_it_was_measured_is_refused(served: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(served, monkeypatch, identity="another")
    with pytest.raises(ConfigError, match=r"tuned \(seed 0\) has changed since it was measured"):
        open_systems(choose(str(served.suite), ["tuned"], served.store), served.store, no_display)


def test_a_suite_without_an_outcome(served: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no outcome here; run the suite first"):
        choose(str(served.suite), [], tmp_path)


def test_by_default_it_is_the_candidate_that_the_report_recommends_else_untuned(
    served: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.cli.serve_source import best_of

    outcome = served.finished.outcome
    plain = outcome.model_copy(update={"comparisons": ()})
    assert best_of(plain).name == "untuned"
    gains = [
        row.model_copy(update={"verdict": "improved", "difference": 0.1, "low": 0.05, "high": 0.2})
        if row.system == "mixed" and row.family == "gain"
        else row.model_copy(update={"verdict": "inconclusive"})
        for row in outcome.comparisons
    ]
    assert best_of(outcome.model_copy(update={"comparisons": tuple(gains)})).name == "mixed"
    none = tuple(info.model_copy(update={"failed": "no"}) for info in outcome.systems)
    with pytest.raises(ConfigError, match="no system of the latest outcome can be served"):
        best_of(outcome.model_copy(update={"systems": none}))
