"""What a suite may say of served encoders and rerankers, what of it is in keys, and what a plan expects of them."""

from __future__ import annotations

from typing import Any

import pocket
import pytest

from harness.errors import ConfigError
from harness.execution import endpoints
from harness.planning.oracles import pipeline_identity
from harness.planning.plan import build_plan
from harness.store import FolderStore
from harness.suite.served_models import OF_CLIENT, EncoderEndpoint, RerankerEndpoint
from harness.suite.served_uses import served_uses
from harness.suite.spec import Suite

ENCODER = {"model": "emb", "base_url": "http://127.0.0.1:1/v1"}
RERANKER = {"model": "rer", "base_url": "http://127.0.0.1:2"}
ONLY_RANKS: dict[str, Any] = {"pipeline.generator": None, "measures": ["ndcg@10"], "baseline_rows": ["bm25", "untuned"]}
OTHER_CLIENT: dict[str, Any] = {
    "base_url": "http://127.0.0.1:9/v1", "api_key_env": "TEAM_KEY", "key_header": "x-api-key", "batch": 3,
    "batch_tokens": 500, "max_concurrency": 1, "timeout": 1.0, "retries": 0, "price_in": 0.5, "price_request": 2.0,
}  # fmt: skip


def served(encoder: dict[str, Any] | None = None, reranker: dict[str, Any] | None = None, **more: Any) -> Suite:
    candidates = {
        "embedded": {"pipeline": {"retriever": {"kind": "endpoint", "endpoint": ENCODER | (encoder or {})}}},
        "scored": {"pipeline": {"reranker": {"kind": "endpoint", "endpoint": RERANKER | (reranker or {})}}},
    }
    return pocket.suite(ONLY_RANKS | {"candidates": candidates} | more)


def keys(suite: Suite) -> dict[str, str]:
    return {planned.label: key for key, planned in build_plan(suite, pocket.dataset()).calls.items()}


def problems(changes: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        pocket.suite(ONLY_RANKS | changes)
    return "\n".join(map(str, caught.value.problems))


@pytest.mark.parametrize("setting", sorted(OF_CLIENT))
def test_how_a_server_is_asked_is_in_no_key(setting: str) -> None:
    rules = (("encoder", EncoderEndpoint), ("reranker", RerankerEndpoint))
    # Scores may depend on how many passages are scored together.
    rules = rules[:1] if setting == "batch" else rules
    changed = {part: {setting: OTHER_CLIENT[setting]} for part, rule in rules if setting in rule.model_fields}
    assert changed
    assert keys(served(**changed)) == keys(served())
    assert "127.0.0.1" not in str([planned.call for planned in build_plan(served(), pocket.dataset()).calls.values()])


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"}, {"revision": "2"}, {"headers": {"X-Task": "a"}}, {"extra_body": {"task": "a"}},
        {"query_prompt": "query: "}, {"document_body": {"task": "a"}}, {"similarity": "dot"},
    ],
)  # fmt: skip
def test_what_can_change_a_vector_is_in_the_keys_of_what_is_made_of_it(change: dict[str, Any]) -> None:
    before, after = keys(served()), keys(served(encoder=change))
    moved = {label for label in before if before[label] != after[label]}
    assert {"index with embedded", "retrieve test with embedded"} <= moved
    assert all("embedded" in label for label in moved)


@pytest.mark.parametrize("change", [{"model": "other"}, {"revision": "2"}, {"extra_body": {"a": 1}}, {"batch": 5}])
def test_what_can_change_a_score_is_in_the_keys_of_what_is_made_of_it(change: dict[str, Any]) -> None:
    before, after = keys(served()), keys(served(reranker=change))
    moved = {label for label in before if before[label] != after[label]}
    assert "rerank test with scored" in moved
    assert all("scored" in label for label in moved)


def test_rows_without_an_endpoint_keep_their_keys() -> None:
    plain = keys(pocket.suite(ONLY_RANKS | {"candidates": {}}))
    assert plain.items() <= keys(served()).items()
    one = keys(pocket.suite(ONLY_RANKS | {"candidates": {}, "pipeline.retriever": {"endpoint": None}}))
    assert one == plain


def test_nothing_of_this_machine_is_part_of_a_served_call() -> None:
    for planned in build_plan(served(), pocket.dataset()).calls.values():
        if planned.work.role in ("retriever", "reranker"):
            assert (planned.call.device, planned.call.packages, planned.call.models) == ("any", {}, {})


def test_the_plan_expects_requests_tokens_and_dollars() -> None:
    suite = served({"price_in": 2.0, "batch": 10}, {"price_in": 1.0, "price_request": 3.0})
    calls = {planned.label: planned for planned in build_plan(suite, pocket.dataset()).calls.values()}
    documents = len(pocket.dataset().documents)
    index, rerank = calls["index with embedded"].work, calls["rerank test with scored"].work
    assert (index.units, index.llm_calls) == (documents, -(-documents // 10))
    assert index.tokens > documents
    assert index.dollars == pytest.approx(index.tokens * 2.0 / 1e6)
    queries = len(pocket.dataset().splits["test"].queries)
    assert (rerank.units, rerank.llm_calls) == (queries * 30, queries)
    assert rerank.dollars == pytest.approx(rerank.tokens / 1e6 + queries * 3.0 / 1000)


def test_the_check_asks_the_endpoints_of_missing_calls(tmp_path: Any) -> None:
    plan = build_plan(served(), pocket.dataset())
    needed = endpoints.served_needed(plan, FolderStore(tmp_path))
    assert [use.key for use in needed] == [
        "candidates.embedded.pipeline.retriever.endpoint", "candidates.scored.pipeline.reranker.endpoint"
    ]  # fmt: skip
    assert [use.key for use in served_uses(served())] == [use.key for use in needed]


def test_training_goes_by_the_encoder_that_runs_here() -> None:
    served_first = {"pipeline.retriever": {"kind": "endpoint", "endpoint": ENCODER}, "data": {"pairs": "judged"}}
    suite = pocket.suite(ONLY_RANKS | served_first | {"candidates": {"reranked": {"tune": ["reranker"]}}})
    stages = {planned.call.stage: planned for planned in build_plan(suite, pocket.dataset()).calls.values()}
    assert stages["mine"].call.models.keys() == {"embedded:all-minilm-l6-v2"}


def test_chunks_are_counted_in_words_where_the_tokenizer_is_elsewhere() -> None:
    chunked = {"pipeline.retriever": {"kind": "endpoint", "endpoint": ENCODER}, "pipeline.chunking": {"tokens": 32}}
    suite = pocket.suite(ONLY_RANKS | chunked | {"candidates": {}})
    (chunk,) = [c.call for c in build_plan(suite, pocket.dataset()).calls.values() if c.call.stage == "chunk"]
    assert chunk.spec["model"] is None


def test_a_candidate_of_another_kind_leaves_the_endpoint_behind() -> None:
    base = {"pipeline.retriever": {"kind": "endpoint", "endpoint": ENCODER}}
    here = {"here": {"pipeline": {"retriever": {"kind": "dense"}}}}
    suite = pocket.suite(ONLY_RANKS | base | {"candidates": here})
    assert suite.pipeline_of(suite.candidates["here"]).retriever.endpoint is None


def test_a_diagnosis_is_of_the_model_and_not_of_its_address() -> None:
    def of(**changes: Any) -> str:
        base = {"pipeline.retriever": {"kind": "endpoint", "endpoint": ENCODER | changes}, "candidates": {}}
        return pipeline_identity(pocket.suite(ONLY_RANKS | base))

    assert of(base_url="http://127.0.0.1:9/v1", timeout=3.0) == of()
    assert of(revision="2") != of()


def test_the_table_names_the_model_and_its_revision() -> None:
    suite = served({"revision": "May"})
    changed = {system.name: system.changes for system in build_plan(suite, pocket.dataset()).systems}
    assert changed["embedded"] == ("retriever.kind=endpoint", "retriever.endpoint=emb (May)")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pipeline.retriever": {"kind": "endpoint"}}, "kind endpoint needs 'endpoint', such as {model: NAME"),
        ({"pipeline.retriever": {"endpoint": ENCODER}}, "'endpoint' has no meaning for kind dense; set kind: endpoint"),
        ({"pipeline.retriever": {"kind": "endpoint", "endpoint": ENCODER, "dtype": "int8"}}, "'dtype' has no meaning"),
        ({"pipeline.reranker": {"kind": "endpoint"}}, "kind endpoint needs 'endpoint'"),
        ({"pipeline.reranker": {"kind": "endpoint", "endpoint": {"model": "m"}}}, "of a reranker needs 'base_url'"),
        (
            {"pipeline.reranker": {"kind": "endpoint", "model": "m", "endpoint": RERANKER}},
            "'model' has no meaning for kind endpoint; name it in 'endpoint'",
        ),
        (
            {"pipeline.retriever": {"kind": "endpoint", "endpoint": {**ENCODER, "base_url": "http://u:p@host/v1"}}},
            "holds a user or a password",
        ),
        (
            {"pipeline.retriever": {"kind": "endpoint", "endpoint": {**ENCODER, "headers": {"x-api-key": "abc"}}}},
            "holds a secret (x-api-key); write ${VARIABLE}",
        ),
        (
            {"pipeline.retriever": {"kind": "endpoint", "endpoint": {**ENCODER, "extra_body": {"input": "x"}}}},
            "'input' is set by the harness; leave it out",
        ),
        (
            {"pipeline.retriever": {"kind": "endpoint", "endpoint": {**ENCODER, "batchsize": 3}}},
            "unknown key; did you mean 'batch",
        ),
        (
            {
                "pipeline.retriever": {"kind": "endpoint", "endpoint": ENCODER},
                "candidates": {"tuned": {"tune": ["retriever"], "pairs": "judged"}},
            },
            "a retriever of kind endpoint is not tuned here",
        ),
        (
            {
                "pipeline.reranker": {"kind": "endpoint", "endpoint": RERANKER},
                "candidates": {"tuned": {"tune": ["reranker"], "pairs": "judged"}},
            },
            "a reranker of kind endpoint is not tuned here; tune one that runs here",
        ),
        (
            {
                "pipeline.retriever": {"kind": "endpoint", "endpoint": ENCODER},
                "candidates": {
                    "elsewhere": {"pipeline": {"retriever": {"endpoint": {**ENCODER, "base_url": "http://127.0.0.1:3"}}}}
                },
            },
            "is the model of pipeline.retriever.endpoint by name and revision, and is asked in another way; give one "
            "of them a 'revision', or make them equal",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in problems({"candidates": {}} | changes)
