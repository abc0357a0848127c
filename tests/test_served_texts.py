"""Encoders and rerankers at an endpoint: what is sent, what is cached and paid, and that no fault becomes a number."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import served_doubles
from hypothesis import given
from hypothesis import strategies as st
from llm_server import Body, Served, Server, error
from served_doubles import BROKEN, WRONG, Sometimes, similarity, vector

from harness.errors import LlmStopped
from harness.llm.batches import PassageBatch, TextBatch
from harness.llm.breaker import RetryPolicy
from harness.llm.completions import Redaction
from harness.llm.faults import Completion, Fault, RequestContext
from harness.llm.responses import spent_by_role
from harness.llm.served_encoder import EndpointEncoder
from harness.llm.served_reranker import EndpointReranker
from harness.llm.services import Services
from harness.suite.served_models import EncoderEndpoint, RerankerEndpoint

PACE = RetryPolicy(scale=0.002, patience=5_000.0, hung=5_000.0, busy=5_000.0)
TEXTS = [f"text number {number}" for number in range(40)]
POOLS = [(f"query about {word}", [f"a passage about {word}", "another one", "and one more"]) for word in "abcdefgh"]


def silently(done: int, total: int) -> None:
    """Tell nobody."""


def services(folder: Path, **budget: Any) -> Services:
    return Services(roles={}, folder=folder, run="now", **budget)


def encoder(server: Server, folder: Path, budget: dict[str, Any] | None = None, **changes: Any) -> EndpointEncoder:
    own = {"model": "m", "base_url": server.url, "batch": 4, "price_in": 1.0, "timeout": 10.0}
    rule = EncoderEndpoint(**own | changes)
    return EndpointEncoder(rule, services(folder, **(budget or {})), PACE)


def reranker(server: Server, folder: Path, **changes: Any) -> EndpointReranker:
    rule = RerankerEndpoint(**{"model": "m", "base_url": server.url, "timeout": 10.0} | changes)
    return EndpointReranker(rule, services(folder), PACE)


def attempted(work: Callable[[], Any]) -> tuple[Any, str]:
    """What came of some work: its result, or the sentence that it ended with."""
    try:
        return work(), ""
    except (ValueError, LlmStopped) as failure:
        return None, str(failure)


def unit(texts: list[str]) -> np.ndarray[Any, Any]:
    whole = np.array([vector(text) for text in texts], dtype=np.float32)
    return whole / np.linalg.norm(whole, axis=1, keepdims=True)


def test_vectors_are_those_of_the_server_in_the_order_of_the_texts(tmp_path: Path) -> None:
    with Server(served_doubles.right) as server:
        client = encoder(server, tmp_path)
        told: list[tuple[int, int]] = []
        found = client.embed(TEXTS, "document", lambda done, total: told.append((done, total)))
        np.testing.assert_allclose(found, unit(TEXTS), atol=1e-6)
        assert server.requests == len(TEXTS) / 4
        assert {one.path for one in server.seen} == {"/v1/embeddings"}
        assert told[-1] == (40, 40)
        assert client.spent.prompt_tokens == served_doubles.tokens(TEXTS)
        paid = spent_by_role(tmp_path, "now")["retriever"]
        assert (paid.requests, paid.prompt_tokens, paid.new_tokens) == (10, served_doubles.tokens(TEXTS), 0)
        assert paid.dollars == pytest.approx(served_doubles.tokens(TEXTS) / 1e6)
        assert client.spent.dollars == pytest.approx(paid.dollars)


def test_what_is_known_is_not_asked_again_and_equal_texts_are_asked_once(tmp_path: Path) -> None:
    with Server(served_doubles.right) as server:
        encoder(server, tmp_path).embed(TEXTS[:6], "document", silently)
        before = server.requests
        client = encoder(server, tmp_path)
        found = client.embed([*TEXTS[:6], "new", "new"], "query", silently)
        assert [one.body["input"] for one in server.seen[before:]] == [["new"]]
        np.testing.assert_allclose(found, unit([*TEXTS[:6], "new", "new"]), atol=1e-6)
        assert (client.spent.asked, client.spent.known, client.spent.requests) == (7, 6, 1)
        client.embed(["new"], "query", silently, fresh=True)
        assert server.seen[-1].body["input"] == ["new"]


def test_what_is_encoded_in_two_attempts_costs_what_it_costs_in_one(tmp_path: Path) -> None:
    with Server(served_doubles.right) as server:
        encoder(server, tmp_path).embed(TEXTS[:7], "document", silently)
        client = encoder(server, tmp_path)
        client.embed(TEXTS, "document", silently)
        client.embed(TEXTS[:9], "document", silently)
        tokens = served_doubles.tokens(TEXTS)
        assert client.spent.prompt_tokens < tokens
        assert client.spent.cost_of_answers == (tokens, 0, pytest.approx(tokens / 1e6), True)


def test_what_another_process_has_paid_for_meanwhile_is_not_asked_again(tmp_path: Path) -> None:
    orders, found, known = [TEXTS, TEXTS[::-1]], dict[int, Any](), list[int]()

    def embed(number: int) -> None:
        client = encoder(server, tmp_path, max_concurrency=1)
        found[number] = client.embed(orders[number], "document", silently)
        known.append(client.spent.known)

    with Server(lambda body: dataclasses.replace(served_doubles.right(body), delay=0.05)) as server:
        threads = [threading.Thread(target=embed, args=(number,)) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        np.testing.assert_allclose(found[0], found[1][::-1], atol=1e-6)
        # Each asks half of them; a request in flight is not known to the other.
        assert server.requests <= len(TEXTS) / 4 + 2
        assert sum(known) >= len(TEXTS) - 8


def test_another_revision_or_setting_is_another_model_and_another_address_is_not(tmp_path: Path) -> None:
    with Server(served_doubles.right) as server, Server(served_doubles.right) as other:
        encoder(server, tmp_path).embed(["x"], "query", silently)
        for changes in ({"revision": "2"}, {"extra_body": {"task": "x"}}, {"headers": {"X-Task": "y"}}, {"model": "n"}):
            before = server.requests
            encoder(server, tmp_path, **changes).embed(["x"], "query", silently)
            assert server.requests == before + 1, changes
        encoder(other, tmp_path, batch=7, timeout=3.0, api_key_env="OTHER_KEY").embed(["x"], "query", silently)
        assert other.requests == 0


def test_prompts_and_tasks_go_with_the_kind_of_text(tmp_path: Path) -> None:
    rule = {"query_prompt": "query: ", "document_prompt": "passage: ", "query_body": {"task": "q"},
            "document_body": {"task": "d"}, "extra_body": {"truncate": "END"}}  # fmt: skip
    with Server(served_doubles.right) as server:
        client = encoder(server, tmp_path, **rule)
        client.embed(["x"], "query", silently)
        client.embed(["x"], "document", silently)
        sent = [(one.body["input"], one.body["task"], one.body["truncate"]) for one in server.seen]
    assert sent == [(["query: x"], "q", "END"), (["passage: x"], "d", "END")]


def test_a_task_alone_separates_queries_from_passages_in_the_cache(tmp_path: Path) -> None:
    with Server(served_doubles.right) as server:
        client = encoder(server, tmp_path, query_body={"input_type": "query"})
        client.embed(["x"], "query", silently)
        client.embed(["x"], "document", silently)
        assert server.requests == 2


def test_a_request_holds_no_more_tokens_than_it_may(tmp_path: Path) -> None:
    with Server(served_doubles.right) as server:
        encoder(server, tmp_path, batch=100, batch_tokens=20).embed(TEXTS[:6], "document", silently)
        assert [len(one.body["input"]) for one in server.seen] == [4, 2] or server.requests > 1


def test_dot_products_keep_the_length_of_vectors(tmp_path: Path) -> None:
    with Server(served_doubles.right) as server:
        found = encoder(server, tmp_path, similarity="dot").embed(TEXTS[:2], "document", silently)
    np.testing.assert_allclose(found, np.array([vector(text) for text in TEXTS[:2]], dtype=np.float32))


def test_base64_is_read_too(tmp_path: Path) -> None:
    import base64

    def packed(body: Body) -> Served:
        served = served_doubles.embeddings(body)
        for row in served.content["data"]:
            row["embedding"] = base64.b64encode(np.array(row["embedding"], dtype="<f4").tobytes()).decode()
        return served

    with Server(packed) as server:
        found = encoder(server, tmp_path, extra_body={"encoding_format": "base64"}).embed(TEXTS, "query", silently)
    np.testing.assert_allclose(found, unit(TEXTS), atol=1e-6)


@pytest.mark.parametrize("form", ["cohere", "jina", "voyage"])
def test_scores_of_every_form_go_to_their_passages(form: str, tmp_path: Path) -> None:
    with Server(getattr(served_doubles, form)) as server:
        client = reranker(server, tmp_path)
        found = client.score(POOLS, silently)
        assert found == [similarity(*pool) for pool in POOLS]
        assert {one.path for one in server.seen} == {"/v1/rerank"}
        assert {one.body["query"]: one.body["documents"] for one in server.seen} == dict(POOLS)
        assert reranker(server, tmp_path).score(POOLS, silently) == found
        assert server.requests == len(POOLS), "nothing is asked twice"


def test_the_form_of_tei_sends_texts_and_asks_for_logits(tmp_path: Path) -> None:
    with Server(served_doubles.tei) as server:
        found = reranker(server, tmp_path, form="tei").score(POOLS, silently)
        body = next(one.body for one in server.seen if one.body["query"] == POOLS[0][0])
    assert found == [similarity(*pool) for pool in POOLS]
    assert (body["texts"], body["raw_scores"], body["truncate"]) == (POOLS[0][1], True, True)
    assert "documents" not in body
    assert "model" not in body


def test_a_large_pool_takes_several_requests_and_an_empty_one_none(tmp_path: Path) -> None:
    pool = ("about b", [f"about {letter}" for letter in "abcdefg"])
    with Server(served_doubles.right) as server:
        client = reranker(server, tmp_path, batch=3, price_request=2.0)
        assert client.score([pool, ("nothing", [])], silently) == [similarity(*pool), []]
        assert sorted(len(one.body["documents"]) for one in server.seen) == [1, 3, 3]
        assert client.spent.dollars == pytest.approx(3 * 2.0 / 1000)


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("fault", BROKEN | WRONG)
def test_no_fault_becomes_a_vector(fault: str, share: float, tmp_path: Path) -> None:
    """Every vector is right, or the work ends with one sentence; the next run asks for the rest only."""
    faulty = Sometimes((BROKEN | WRONG)[fault], share, seed=3)
    with Server(faulty) as server:
        client = encoder(server, tmp_path, timeout=0.3 if fault == "hang" else 10.0)
        found, failure = attempted(lambda: client.embed(TEXTS, "document", silently))
        if failure:
            assert failure.startswith(f"pipeline.retriever.endpoint at {server.url}: ")
            assert "\n" not in failure
        else:
            np.testing.assert_allclose(found, unit(TEXTS), atol=1e-6)
        assert faulty.injected > 0 or share == 0.1
        paid = spent_by_role(tmp_path, "now")["retriever"]
        assert (paid.requests, paid.prompt_tokens) == (client.spent.requests, client.spent.prompt_tokens)
        server.answering = served_doubles.right
        before = server.requests
        again = encoder(server, tmp_path)
        np.testing.assert_allclose(again.embed(TEXTS, "document", silently), unit(TEXTS), atol=1e-6)
        assert again.spent.known + sum(len(one.body["input"]) for one in server.seen[before:]) == len(TEXTS)


@pytest.mark.parametrize("fault", BROKEN | WRONG)
def test_no_fault_becomes_a_score(fault: str, tmp_path: Path) -> None:
    faulty = Sometimes((BROKEN | WRONG)[fault], 0.4, seed=3)
    with Server(faulty) as server:
        client = reranker(server, tmp_path, timeout=0.3 if fault == "hang" else 10.0)
        found, failure = attempted(lambda: client.score(POOLS, silently))
        if failure:
            assert failure.startswith(f"pipeline.reranker.endpoint at {server.url}: ")
        else:
            assert found == [similarity(*pool) for pool in POOLS]
        server.answering = served_doubles.right
        assert reranker(server, tmp_path).score(POOLS, silently) == [similarity(*pool) for pool in POOLS]


@pytest.mark.parametrize(("fault", "sentence"), [
    ("one result too few", "gives 3 results for 4 texts"),
    ("an index twice", "numbers its 4 results wrongly (index 0), so nobody knows what they belong to"),
    ("an index from 1", "numbers its 4 results wrongly (index 4), so nobody knows what they belong to"),
    ("NaN", "gives a vector with numbers that are not finite for 'text number 3'"),
    ("no value", "gives no vector for 'text number 3'"),
])  # fmt: skip
def test_what_is_always_wrong_is_one_sentence(fault: str, sentence: str, tmp_path: Path) -> None:
    with Server(lambda body: WRONG[fault](served_doubles.right(body))) as server:
        with pytest.raises(ValueError, match=r"pipeline.retriever.endpoint") as failure:
            encoder(server, tmp_path, retries=1).embed(TEXTS[:4], "document", silently)
        assert server.requests == 2, "asked once more"
    assert f": {sentence}, asked about 'text number 0' and 3 more; " in str(failure.value)


def refusing(unwanted: str, status: int = 400) -> Any:
    def answering(body: Body) -> Served:
        texts = body.get("input") or body["documents"]
        return error(status, "the input is too long") if unwanted in texts else served_doubles.right(body)

    return answering


@pytest.mark.parametrize("status", [400, 413, 422])
def test_the_one_text_that_a_server_refuses_is_named_and_the_others_are_kept(status: int, tmp_path: Path) -> None:
    with Server(refusing("text number 2", status)) as server:
        client = encoder(server, tmp_path, max_concurrency=1)
        with pytest.raises(
            ValueError, match=rf"answers {status}: the input is too long, asked about 'text number 2'; "
        ):
            client.embed(TEXTS[:4], "document", silently)
        assert [one.body["input"] for one in server.seen] == [TEXTS[:4], TEXTS[:2], TEXTS[2:4], TEXTS[2:3]]
        server.answering = served_doubles.right
        before = server.requests
        encoder(server, tmp_path).embed(TEXTS[:4], "document", silently)
        assert [one.body["input"] for one in server.seen[before:]] == [TEXTS[2:4]]


def test_a_blank_text_that_is_refused_is_called_so(tmp_path: Path) -> None:
    with (
        Server(refusing("")) as server,
        pytest.raises(ValueError, match=r"the input is too long, asked about a blank text; "),
    ):
        encoder(server, tmp_path).embed(["x", "", "y"], "document", silently)


def test_a_pool_that_is_too_large_says_what_to_set(tmp_path: Path) -> None:
    with (
        Server(lambda body: error(413, "batch size 3 > maximum allowed batch size 2")) as server,
        pytest.raises(ValueError, match=r"maximum allowed batch size 2.*; set endpoint.batch to fewer passages"),
    ):
        reranker(server, tmp_path).score(POOLS[:1], silently)


def test_another_dimension_in_the_middle_is_no_vector(tmp_path: Path) -> None:
    def answering(body: Body) -> Served:
        served = served_doubles.right(body)
        if "text number 5" in body["input"]:
            for row in served.content["data"]:
                row["embedding"] = row["embedding"][:4]
        return served

    with (
        Server(answering) as server,
        pytest.raises(ValueError, match=r"m gives vectors of 4 and of 8 numbers.*set endpoint.revision to a new name"),
    ):
        encoder(server, tmp_path).embed(TEXTS[:8], "document", silently)


def test_a_refused_key_stops_all_and_is_in_no_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-sentinel-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with (
        Server(lambda body: error(401, f"Incorrect API key provided: {key}", "invalid_api_key")) as server,
        pytest.raises(LlmStopped, match=r"refuses the key.*set OPENAI_API_KEY to a valid key") as stopped,
    ):
        encoder(server, tmp_path).embed(TEXTS, "document", silently)
    assert key not in str(stopped.value)


def test_the_budget_of_the_run_bounds_it(tmp_path: Path) -> None:
    with Server(served_doubles.right) as server:
        client = encoder(server, tmp_path, {"max_tokens": 30}, max_concurrency=1)
        with pytest.raises(LlmStopped, match=r"llm.max_tokens: .* of 30 tokens are spent"):
            client.embed(TEXTS, "document", silently)
        assert 0 < client.spent.prompt_tokens <= 30


def test_a_replay_asks_nobody(tmp_path: Path) -> None:
    with Server(served_doubles.right) as server:
        encoder(server, tmp_path).embed(TEXTS[:3], "document", silently)
        before = server.requests
        client = encoder(server, tmp_path, {"replay": True})
        np.testing.assert_allclose(client.embed(TEXTS[:3], "document", silently), unit(TEXTS[:3]), atol=1e-6)
        with pytest.raises(LlmStopped, match=r"nothing is cached for 'text number 9'; run once without replay"):
            client.embed([TEXTS[9]], "document", silently)
        assert server.requests == before


CLEAN = Redaction(str, str)
ASKED = RequestContext("m", "KEY")


@given(st.permutations(range(5)), st.lists(st.floats(-10, 10), min_size=5, max_size=5))
def test_the_order_of_results_changes_nothing(order: list[int], scores: list[float]) -> None:
    import json

    rows = [{"index": place, "relevance_score": scores[place]} for place in order]
    batch = PassageBatch("q", tuple("abcde"))
    for whole in ({"results": rows}, {"data": rows}, rows):
        read = batch.read(json.dumps(whole).encode(), ASKED, CLEAN)
        assert isinstance(read, Completion)
        assert [float(value) for value in read.values] == scores


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_a_server_sends_is_values_or_a_fault(content: bytes) -> None:
    for batch in (TextBatch(("a", "b")), PassageBatch("q", ("a", "b"))):
        assert isinstance(batch.read(content, ASKED, CLEAN), Fault)
