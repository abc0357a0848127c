"""A whole RAG system as a row: files that it wrote, or an address that answers questions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llm_server
import pocket
import pytest
from llm_server import Body, Seen, Served, Server
from served_doubles import similarity
from test_benchmark import Here

from harness.data import formats
from harness.errors import ConfigError
from harness.experiments import benchmark
from harness.gates.probe_gates import judge_probe
from harness.llm.breaker import RetryPolicy
from harness.llm.served_system import SystemClient, SystemQuestion, parted
from harness.llm.services import Services
from harness.planning.plan import build_plan
from harness.suite.bounds import Gate
from harness.suite.served_models import SystemEndpoint
from harness.suite.served_uses import served_uses
from harness.values.records import Turn

DATASET = pocket.dataset()
TEXTS = {doc_id: document.content for doc_id, document in DATASET.documents.items()}
QUERIES = {key: query.text for key, query in DATASET.splits["test"].queries.items()}
PACE = RetryPolicy(scale=0.002, patience=5_000.0, hung=5_000.0, busy=5_000.0)


def ranked(question: str, top_k: int) -> list[str]:
    scores = similarity(question, list(TEXTS.values()))
    return [doc_id for _, doc_id in sorted(zip(scores, TEXTS, strict=True), key=lambda pair: (-pair[0], pair[1]))][
        :top_k
    ]


def answer_to(question: str) -> str:
    return f"the answer to {question[:20]}"


def system(body: Body) -> Served:
    """A RAG system, and a generator for the rows that are answered here."""
    if "messages" in body:
        return llm_server.says("not known")
    passages = [{"id": doc_id, "text": TEXTS[doc_id]} for doc_id in ranked(body["question"], body["top_k"])]
    answer = answer_to(body["question"]) if body["answer"] else None
    return Served(content={"passages": passages, "answer": answer, "usage": {"total_tokens": 9, "prompt_tokens": 7}})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(system) as server:
        yield server


def changes(url: str, external: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "pipeline": {"retriever": {"kind": "bm25"}, "generator": {"model": "llm:generator"}, "depth": 10, "context": 2},
        "llm": {"generator": {"model": "m", "base_url": url}},
        "candidates": {name: {"external": rule} for name, rule in external.items()},
        "baseline_rows": ["untuned"],
        "measures": ["ndcg@10", "recall@10", "exact_match", "token_f1"],
        "gates": [{"measure": "ndcg@10", "margin": 0.02}, {"probe": "p95_ms", "ceiling": 60_000}],
        **more,
    }


def written(folder: Path) -> dict[str, str]:
    """The files that the system of the server would write."""
    run = {
        key: [(doc_id, 9.0 - place) for place, doc_id in enumerate(ranked(text, 10))] for key, text in QUERIES.items()
    }
    formats.write_run(folder / "theirs.trec", run)
    rows = [{"query_id": key, "answer": answer_to(text)} for key, text in QUERIES.items()]
    formats.write_jsonl(folder / "theirs.jsonl", rows)
    return {"run": "theirs.trec", "answers": "theirs.jsonl"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("external")


@pytest.fixture(scope="module")
def done(server: Server, root: Path) -> benchmark.Finished:
    service = {"endpoint": {"base_url": f"{server.url}/ask", "price_request": 4.0}}
    text = pocket.suite_text(changes(server.url, {"files": written(root), "service": service}))
    (root / "suite.yaml").write_text(text, encoding="utf-8")
    return benchmark.run(root / "suite.yaml", root / "store", executor=Here())


def rows(done: benchmark.Finished, system: str) -> dict[tuple[str, str], tuple[float | None, str, str]]:
    table = formats.read_parquet(done.folder / "scores.parquet")
    return {
        (row["query_id"], row["measure"]): (row["value"], row["status"], row["reason"])
        for row in table
        if row["system"] == system and row["split"] == "test" and row["status"] != "not_applicable"
    }


def test_both_ways_give_the_same_scores(done: benchmark.Finished) -> None:
    assert [info.failed for info in done.outcome.systems if info.failed] == []
    assert rows(done, "files") == rows(done, "service")
    assert rows(done, "service").keys() == rows(done, "untuned").keys()
    summaries = {(row.system, row.measure): row for row in done.outcome.summaries}
    assert (summaries["service", "ndcg@10"].mean or 0) > 0
    assert summaries["service", "exact_match"].failed == 0
    families = {row.system for row in done.outcome.comparisons if row.family == "gain"}
    assert {"files", "service"} <= families, "they are compared as every other row is"


def test_the_system_is_asked_for_answers_of_the_sample_alone(done: benchmark.Finished, server: Server) -> None:
    asked = [one.body for one in server.seen if one.path == "/v1/ask"]
    assert {body["question"] for body in asked} >= {*QUERIES.values()}
    plan = build_plan(pocket.suite(changes(server.url, {})), DATASET)
    wanted = {QUERIES[key] for key in plan.sample}
    # The first is the check before the run, the last are the probe's.
    of_run = asked[1 : 1 + len(QUERIES)]
    assert {body["top_k"] for body in of_run} == {10}
    assert {body["question"] for body in of_run if body["answer"]} == wanted
    assert "history" not in of_run[0]


def test_the_one_behind_an_address_is_timed_and_priced_and_the_other_is_not(done: benchmark.Finished) -> None:
    info = {one.name: one for one in done.outcome.systems}
    service, files = info["service"].serving, info["files"].serving
    assert service is not None
    assert files is not None
    assert service.parts == ("external:service",)
    assert service.total is not None
    assert service.total.n == 2
    assert service.retrieval is None
    assert service.dollars_per_1000 == pytest.approx(4.0, abs=0.5)
    assert files.parts == ()
    assert info["service"].changes == ("external=service",)
    assert info["files"].changes == ("external=theirs.trec and theirs.jsonl",)
    paid = {row.role: row for row in done.outcome.paid}
    assert paid["system"].dollars == pytest.approx(paid["system"].requests * 4.0 / 1000)
    verdicts = {
        one.system: one.verdict for one in judge_probe(Gate(probe="p95_ms", ceiling=1e6), done.outcome, {}, None)
    }
    assert verdicts["files"] == "not compared"
    assert verdicts["service"] == "within bound"


def test_a_second_run_asks_nothing(done: benchmark.Finished, server: Server, root: Path) -> None:
    before = server.requests
    again = benchmark.run(root / "suite.yaml", root / "store", executor=Here())
    assert (again.calls_made, again.scores_computed) == (0, 0)
    assert server.requests == before


def run_with(tmp_path: Path, url: str, external: dict[str, Any], **more: Any) -> benchmark.Finished:
    text = pocket.suite_text(changes(url, {"theirs": external}, **more))
    (tmp_path / "suite.yaml").write_text(text, encoding="utf-8")
    return benchmark.run(tmp_path / "suite.yaml", tmp_path / "store", executor=Here())


def test_a_question_that_fails_is_a_row_with_its_reason_and_is_asked_again(tmp_path: Path) -> None:
    lost, *others = QUERIES
    broken = True

    def answering(body: Body) -> Served:
        if broken and body.get("question") == QUERIES[lost]:
            return llm_server.error(422, "this question breaks me")
        return system(body)

    with Server(answering) as server:
        rule = {"endpoint": {"base_url": f"{server.url}/ask", "retries": 0}}
        first = run_with(tmp_path, server.url, rule)
        values = rows(first, "theirs")
        value, status, reason = values[lost, "ndcg@10"]
        assert (value, status) == (None, "failed")
        assert reason == "answers 422: this question breaks me"
        assert {values[key, "ndcg@10"][1] for key in others if (key, "ndcg@10") in values} == {"ok"}
        assert not next(info.failed for info in first.outcome.systems if info.name == "theirs")
        broken = False
        before = len([one for one in server.seen if one.path == "/v1/ask"])
        second = run_with(tmp_path, server.url, rule)
        assert rows(second, "theirs")[lost, "ndcg@10"][1] == "ok"
        asked = [one.body["question"] for one in server.seen if one.path == "/v1/ask"][before:]
        assert asked[0] == QUERIES[lost]
        assert len(asked) == 1 + 4, "what failed, and the probe, which had failed too"


@pytest.mark.parametrize(("reply", "sentence"), [
    ({"passages": [{"id": "no-such-1"}, {"id": "no-such-2"}], "answer": "x"},
     "passages is in the corpus (such as 'no-such-1' there"),
    ({"passages": "d1", "answer": "x"}, "its passages are no list"),
    ({"passages": [{"text": "no id"}], "answer": "x"}, "gives a passage whose id is None, and no text"),
    ({"passages": [], "answer": 42}, "its answer is no text"),
    ({"result": "x"}, "does not answer with 'passages' or an 'answer'"),
])  # fmt: skip
def test_what_no_row_can_be_made_of_is_one_sentence(reply: Any, sentence: str, tmp_path: Path) -> None:
    def answering(body: Body) -> Served:
        return system(body) if "messages" in body or body["top_k"] == 1 else Served(content=reply)

    with Server(answering) as server:
        done = run_with(tmp_path, server.url, {"endpoint": {"base_url": f"{server.url}/ask", "retries": 0}})
    failed = {info.name: info.failed for info in done.outcome.systems}
    assert sentence in failed["theirs"]
    assert not failed["untuned"]
    assert {status for _, status, _ in rows(done, "theirs").values()} == {"failed"}


def test_a_system_that_only_answers_has_no_rankings(tmp_path: Path) -> None:
    with Server(lambda body: system(body) if "messages" in body else Served(content={"answer": "x"})) as server:
        done = run_with(tmp_path, server.url, {"endpoint": {"base_url": f"{server.url}/ask"}})
    values = rows(done, "theirs")
    assert {values[key, "ndcg@10"][1:] for key in QUERIES if (key, "ndcg@10") in values} == {
        ("failed", "it gave no passages")
    }
    assert all(status == "ok" for (_, measure), (_, status, _) in values.items() if measure == "token_f1")


URL = "http://127.0.0.1:9/v1"
GOOD = "q Q0 d 1 1.0 x\n"


@pytest.fixture
def quiet() -> Iterator[str]:
    with Server(system) as server:
        yield server.url


def test_a_run_that_lacks_queries_scores_nothing_for_them_and_says_so(tmp_path: Path, quiet: str) -> None:
    written(tmp_path)
    lost = next(iter(QUERIES))
    lines = (tmp_path / "theirs.trec").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "theirs.trec").write_text("".join(line for line in lines if line.split()[0] != lost), encoding="utf-8")
    answers = (tmp_path / "theirs.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "theirs.jsonl").write_text(answers[0] + '{"query_id": "elsewhere", "answer": "x"}\n', encoding="utf-8")
    done = run_with(tmp_path, quiet, {"run": "theirs.trec", "answers": "theirs.jsonl"})
    values = rows(done, "theirs")
    assert values[lost, "ndcg@10"][:2] == (0.0, "ok")
    assert done.outcome.queries_without_run == {"theirs": 1}
    unanswered = [key for (key, measure), one in values.items() if measure == "token_f1" and one[1] == "failed"]
    assert unanswered
    ledger = {row.label: row.notes for row in done.outcome.ledger}
    assert ledger["read theirs on test"]["queries of the files that are not in the split"] == 1
    assert ledger["read theirs on test"]["answers that failed"] >= len(unanswered)


@pytest.mark.parametrize(("run", "answers", "sentence"), [
    ("{q} Q0 {d} 1 2.0 x\n{q} Q0 {d} 2 1.0 x\n", None, "run:2: query '{q}' lists document '{d}' twice"),
    ("{q} Q0 {d} 1 much x\n", None, "run:1: not 'query_id Q0 doc_id rank score tag' with a finite score"),
    ("{q} Q0 nowhere 1 1.0 x\n", None, "none of its 1 passages is in the corpus (such as 'nowhere' there"),
    ("other Q0 {d} 1 1.0 x\n", None, "no query of its run is in the split (such as 'other' there"),
    (None, '{"query_id": "{q}", "answer": "a"}\n{"query_id": "{q}", "answer": "b"}\n',
     "answers:2: query '{q}' is answered twice; keep one"),
    (None, '{"query_id": "{q}", "answer": ["a"]}\n', "answers:1: no 'query_id' and 'answer' that are texts"),
    (None, '{"query_id": "other", "answer": "a"}\n', "no query of its answers is in the split"),
])  # fmt: skip
def test_a_file_that_cannot_be_used_is_a_failed_row_that_says_so(
    run: str | None, answers: str | None, sentence: str, tmp_path: Path, quiet: str
) -> None:
    def told(text: str) -> str:
        return text.replace("{q}", next(iter(QUERIES))).replace("{d}", next(iter(TEXTS)))

    rule = {}
    for name, text in (("run", run), ("answers", answers)):
        if text is not None:
            (tmp_path / name).write_text(told(text), encoding="utf-8")
            rule[name] = name
    done = run_with(tmp_path, quiet, rule)
    failed = {info.name: info.failed for info in done.outcome.systems}
    assert told(sentence) in failed["theirs"]
    assert not failed["untuned"]


@pytest.mark.parametrize(("external", "more", "sentence"), [
    ({}, {}, "give either files ('run', 'answers', or both) or an 'endpoint'"),
    ({"run": "no.trec"}, {}, "no.trec; give a file, relative to the suite file"),
    ({"endpoint": {}}, {}, "'endpoint' of an external system needs 'base_url'"),
    ({"endpoint": {"base_url": "http://user:word@host/ask"}}, {}, "holds a user or a password"),
    ({"endpoint": {"base_url": URL, "extra_body": {"question": "x"}}}, {}, "'question' is set by the harness"),
    ({"endpoint": {"base_url": URL}}, {"evaluate.contexts": {"lacking": 0.5}}, "evaluate.contexts fixes them"),
])  # fmt: skip
def test_what_a_suite_may_not_say_is_one_sentence(external: Any, more: Any, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        pocket.suite(changes(URL, {"theirs": external}, **more))
    assert sentence in "\n".join(map(str, caught.value.problems))


def test_nothing_else_of_a_candidate_goes_with_an_external_system() -> None:
    both = changes(URL, {})
    both["candidates"] = {"theirs": {"external": {"endpoint": {"base_url": URL}}, "pipeline": {"depth": 20}}}
    with pytest.raises(
        ConfigError, match="an external system is a whole pipeline, so 'pipeline' changes nothing of it"
    ):
        pocket.suite(both)


def test_neither_the_address_nor_the_folder_is_in_a_key(tmp_path: Path) -> None:
    def keys(url: str, revision: str = "") -> dict[str, str]:
        rule = {"service": {"endpoint": {"base_url": url, "timeout": 3.0, "revision": revision}}}
        plan = build_plan(pocket.suite(changes(URL, rule)), DATASET)
        return {planned.label: key for key, planned in plan.calls.items()}

    assert keys("http://127.0.0.1:1/ask") == keys("http://127.0.0.1:2/other/ask?x=1")
    assert keys(URL) != keys(URL, "2")
    suite = pocket.suite(changes(URL, {"one": {"endpoint": {"base_url": URL}}, "two": {"endpoint": {"base_url": URL}}}))
    assert len({use.endpoint.digest for use in served_uses(suite)}) == 2, "two rows are two systems"


@pytest.mark.parametrize(("url", "base", "path"), [
    ("http://host:80/ask", "http://host:80", "/ask"),
    ("http://host/a/b?key=v", "http://host/a?key=v", "/b"),
    ("http://host/a/", "http://host/a", "/"),
    ("http://host", "http://host", "/"),
])  # fmt: skip
def test_requests_go_to_the_address_as_it_is(url: str, base: str, path: str) -> None:
    assert parted(url) == (base, path)


def test_a_question_carries_its_history_and_reaches_the_address(tmp_path: Path) -> None:
    seen: list[Seen] = []

    def gate(one: Seen) -> None:
        seen.append(one)

    with Server(system, gate) as server:
        rule = SystemEndpoint(
            model="s", base_url=f"http://127.0.0.1:{server.port}/deep/ask?tenant=a", extra_body={"lang": "en"}
        )
        client = SystemClient(rule, Services(roles={}, folder=tmp_path, run="now"), PACE)
        turns = (Turn("user", "Hi"), Turn("assistant", "Hello"))
        question = SystemQuestion("what is lime", 3, True, turns)
        (reply,) = client.ask([question], lambda done, total: None)
        assert client.ask([question], lambda done, total: None) == [reply]
    (one,) = seen
    assert one.path == "/deep/ask?tenant=a"
    assert one.body == {
        "lang": "en", "question": "what is lime", "top_k": 3, "answer": True,
        "history": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
    }  # fmt: skip
    assert (len(reply.passages), reply.answer) == (3, "the answer to what is lime")
    assert (client.spent.prompt_tokens, client.spent.new_tokens, client.spent.requests) == (7, 2, 1)
    # A second attempt costs what the first one did.
    again = SystemClient(rule, Services(roles={}, folder=tmp_path, run="now"), PACE)
    again.ask([question], lambda done, total: None)
    assert (again.spent.requests, again.spent.cost_of_answers) == (0, client.spent.cost_of_answers)
