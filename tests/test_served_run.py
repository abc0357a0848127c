"""Rows whose encoder or reranker is behind a server on loopback: their scores are those of the same models here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pocket
import pytest
import served_doubles
import tiny
from llm_server import Body, Served, Server
from test_benchmark import Here

from harness.cli import doctor, plan
from harness.data import formats
from harness.errors import ConfigError
from harness.experiments import benchmark
from harness.experiments.preview import preview_of
from harness.llm import preflight, served_preflight
from harness.models.loaders import load_bi_encoder, load_cross_encoder
from harness.stages.shared.common import encode
from harness.stages.shared.relevance_models import score_pairs
from harness.suite.files import load_suite
from harness.suite.served_uses import served_uses

TOKENS = 48


class Models(NamedTuple):
    """Folders of an encoder and of a cross-encoder."""

    encoder: Path
    reranker: Path

    def served(self) -> Server:
        """A server of both models, computed as the harness computes them."""
        encoder, reranker = load_bi_encoder(self.encoder, TOKENS), load_cross_encoder(self.reranker, TOKENS)

        def answering(body: Body) -> Served:
            if "input" in body:
                return served_doubles.embeddings(body, lambda texts: encode(encoder, texts, "document").tolist())
            return served_doubles.jina(
                body, lambda query, passages: score_pairs(reranker, [(query, passage) for passage in passages])
            )

        return Server(answering)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "PAUSES", (0.0, 0.0))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    words = pocket.words()
    folder = tmp_path_factory.mktemp("models")
    return Models(tiny.bi_encoder(folder / "bi", words), tiny.cross_encoder(folder / "cross", words, seed=3))


@pytest.fixture(scope="module")
def server(models: Models) -> Iterator[Server]:
    with models.served() as server:
        yield server


def suite_text(models: Models, url: str, **more: Any) -> str:
    encoder = {"model": "tiny-bi", "base_url": url, "batch": 16, "price_in": 100.0}
    reranker = {"model": "tiny-cross", "base_url": url, "price_request": 10.0}
    local = {"kind": "cross-encoder", "model": str(models.reranker), "max_length": TOKENS, "blend": False}
    changes = {
        "pipeline": {
            "retriever": {"model": str(models.encoder), "max_length": TOKENS}, "generator": None, "depth": 20,
            "rerank_depth": 10,
        },
        "candidates": {
            "served": {"pipeline": {"retriever": {"kind": "endpoint", "endpoint": encoder}}},
            "reranked": {"pipeline": {"reranker": local}},
            "served-reranked": {
                "pipeline": {"reranker": {"kind": "endpoint", "endpoint": reranker, "blend": False}}
            },
        },
        "baseline_rows": ["untuned"],
        "measures": ["ndcg@10", "recall@10"],
    }  # fmt: skip
    return pocket.suite_text(changes | more)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def done(models: Models, server: Server, root: Path) -> benchmark.Finished:
    (root / "suite.yaml").write_text(suite_text(models, server.url), encoding="utf-8")
    return benchmark.run(root / "suite.yaml", root / "store", executor=Here())


def values(done: benchmark.Finished, system: str) -> dict[tuple[str, str], float]:
    rows = formats.read_parquet(done.folder / "scores.parquet")
    return {(row["query_id"], row["measure"]): row["value"] for row in rows if row["system"] == system}


def test_the_scores_are_those_of_the_same_models_here(done: benchmark.Finished) -> None:
    assert [info.failed for info in done.outcome.systems if info.failed] == []
    assert values(done, "served") == values(done, "untuned")
    assert values(done, "served-reranked") == values(done, "reranked") != values(done, "untuned")
    for here, there in (("untuned", "served"), ("reranked", "served-reranked")):
        ours, theirs = (formats.read_run(done.folder / "runs" / f"{name}.trec", escaped=True) for name in (here, there))
        assert ours.keys() == theirs.keys()
        for query_id, hits in ours.items():
            assert [doc_id for doc_id, _ in hits] == [doc_id for doc_id, _ in theirs[query_id]]
            assert [score for _, score in hits] == pytest.approx([score for _, score in theirs[query_id]], abs=1e-5)


def test_the_ledger_and_the_payments_have_what_was_asked(done: benchmark.Finished) -> None:
    paid = {row.role: row for row in done.outcome.paid}
    assert {role: row.model for role, row in paid.items()} == {"retriever": "tiny-bi", "reranker": "tiny-cross"}
    assert paid["retriever"].dollars == pytest.approx(paid["retriever"].prompt_tokens * 100.0 / 1e6)
    assert paid["reranker"].dollars == pytest.approx(paid["reranker"].requests * 10.0 / 1000)
    ledger = {row.label: row for row in done.outcome.ledger}
    index, rerank = ledger["index with served"], ledger["rerank test with served-reranked"]
    documents = len(pocket.dataset().documents)
    assert (index.role, index.llm_calls) == ("retriever", -(-documents // 16))
    assert index.prompt_tokens > documents
    assert (rerank.role, rerank.llm_calls) == ("reranker", len(pocket.dataset().splits["test"].queries))
    assert rerank.llm_dollars == pytest.approx(rerank.llm_calls * 0.01)


def test_single_queries_are_timed_through_the_server_and_priced(done: benchmark.Finished) -> None:
    serving = {info.name: info.serving for info in done.outcome.systems}
    parts = {name: one.parts for name, one in serving.items() if one is not None}
    assert parts["served"] == ("endpoint",)
    assert parts["served-reranked"][-1].startswith("rerank:served-reranked")
    timed = {timing.part: timing for timing in done.outcome.timings}
    assert timed["endpoint"].n == 5
    reranked, here = serving["served-reranked"], serving["reranked"]
    assert reranked is not None
    assert here is not None
    assert (reranked.dollars_per_1000 or 0) - (here.dollars_per_1000 or 0) == pytest.approx(10.0, abs=0.5)


def test_a_second_run_at_another_address_asks_nobody(
    done: benchmark.Finished, models: Models, server: Server, root: Path
) -> None:
    before = server.requests
    (root / "moved.yaml").write_text(suite_text(models, "http://127.0.0.1:9/v1"), encoding="utf-8")
    again = benchmark.run(root / "moved.yaml", root / "store", executor=Here())
    assert (again.calls_made, again.scores_computed) == (0, 0)
    assert server.requests == before
    assert values(again, "served") == values(done, "served")


def test_a_server_that_is_down_is_one_sentence_before_any_work(models: Models, tmp_path: Path) -> None:
    text = suite_text(models, "http://127.0.0.1:9/v1")
    (tmp_path / "suite.yaml").write_text(text, encoding="utf-8")
    executor = Here()
    with pytest.raises(ConfigError) as caught:
        benchmark.run(tmp_path / "suite.yaml", tmp_path / "store", executor=executor)
    assert executor.asked == []
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line.strip() == "endpoint:"]
    assert [str(problem) for problem in caught.value.problems] == [
        f"{tmp_path / 'suite.yaml'}:{line}: "
        f"candidates.{name}.endpoint: http://127.0.0.1:9/v1: no connection (Connection refused); check that it is up "
        "and that base_url is right"
        for name, line in zip(("served.pipeline.retriever", "served-reranked.pipeline.reranker"), lines, strict=True)
    ]


def test_a_server_that_dies_costs_its_rows_and_no_other(models: Models, tmp_path: Path) -> None:
    with models.served() as server:
        right, asked = server.answering, []

        def dying(body: Body) -> Served:
            asked.append(body)
            return right(body) if len(asked) < 4 else Served(500, {"error": {"message": "out of memory"}})

        server.answering = dying
        text = suite_text(models, server.url)
        for price in ("price_in: 100.0", "price_request: 10.0"):
            text = text.replace(price, "retries: 0")
        (tmp_path / "suite.yaml").write_text(text, encoding="utf-8")
        done = benchmark.run(tmp_path / "suite.yaml", tmp_path / "store", executor=Here())
    failed = {info.name: info.failed for info in done.outcome.systems}
    assert "answers 500: out of memory" in failed["served"]
    assert not failed["untuned"]
    assert not failed["reranked"]
    assert len(values(done, "served")) == len(values(done, "untuned")), "a failure is a row"
    assert set(values(done, "served").values()) == {None}


def test_plan_shows_requests_and_tokens(models: Models, server: Server, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(suite_text(models, server.url), encoding="utf-8")
    rows = dict(plan._summary(preview_of(str(tmp_path / "suite.yaml"), tmp_path / "store")))
    assert re.fullmatch(
        r"about [\d,]+ requests with [\d,]+ tokens, \$[\d.]+, plus latency probes", rows["served models"]
    )
    assert rows["endpoints"] == "retriever, reranker"
    assert "LLM calls" not in rows


def test_doctor_asks_each_endpoint_once(models: Models, server: Server, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(suite_text(models, server.url), encoding="utf-8")
    before = server.requests
    findings = {one.what: one for one in doctor.find(str(tmp_path / "suite.yaml"), tmp_path / "store")}
    assert server.requests == before + 2
    encoder = findings["candidates.served.pipeline.retriever.endpoint"]
    assert (encoder.state, encoder.detail) == ("ok", "tiny-bi answers")
    assert findings["candidates.served-reranked.pipeline.reranker.endpoint"].state == "ok"


def test_other_weights_under_the_same_name_are_noticed(models: Models, server: Server, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(suite_text(models, server.url), encoding="utf-8")
    suite, _ = load_suite(tmp_path / "suite.yaml")
    from harness.execution.endpoints import services_of

    services = services_of(suite, tmp_path)
    uses = served_uses(suite)
    assert [served_preflight.check(use.key, use.part, use.endpoint, services) for use in uses] == [None, None]
    with Server(served_doubles.right) as other:
        for use in uses:
            moved = use.endpoint.model_copy(update={"base_url": other.url})
            problem = served_preflight.check(use.key, use.part, moved, services)
            assert problem is not None
            assert problem.what.endswith("answers otherwise than when its cached results were made")
            assert problem.hint == "set endpoint.revision to a word for its present weights"
            named = moved.model_copy(update={"revision": "2"})
            assert served_preflight.check(use.key, use.part, named, services) is None


@pytest.mark.parametrize(("answer", "form", "sentence"), [
    (served_doubles.tei, "cohere", "missing field `texts`; set endpoint.form: tei"),
    (lambda body: Served(404, b"not here", {}), "tei", "has no such path (answers 404: not here); correct base_url: "
     "the request went to {url}/rerank"),
    (lambda body: Served(200, {"results": [{"index": 0, "relevance_score": 1.0}]}), "cohere",
     "gives 1 results for 2 documents; check that it serves this model, and that base_url and form are right"),
    (lambda body: Served(200, b"<h1>hello</h1>", {}), "cohere", "does not answer with scores of a reranker: <h1>hello"),
    (lambda body: Served(429, {"error": {"message": "slow down"}}), "cohere", ""),
])  # fmt: skip
def test_what_is_wrong_with_a_reranker_is_one_sentence(answer: Any, form: str, sentence: str, tmp_path: Path) -> None:
    from harness.llm.configuration import Services
    from harness.suite.served_models import RerankerEndpoint

    with Server(answer) as server:
        endpoint = RerankerEndpoint(model="m", base_url=server.url, form=form)
        problem = served_preflight.check("where", "reranker", endpoint, Services(roles={}, folder=tmp_path))
        said = f"{problem.what}; {problem.hint}" if problem else ""
    assert sentence.replace("{url}", server.url) in said
    assert bool(sentence) == bool(said)
