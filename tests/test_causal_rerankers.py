"""Causal rerankers score each prompt as if it were alone, whatever is scored beside it.

Several tests are reports of other projects, by kind: 0.5 for everything where the output layer is not tied to the
embeddings (vllm 27857), no padding token (Qwen3-Embedding 3), probabilities that are all 1.0 (Qwen3-Embedding 64), NaN
(node-llama-cpp 550), long passages that all score alike (sentence-transformers 3787).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import chatty
import pytest
import rankers
import tiny
import torch

from harness.data.formats import read_run, write_run
from harness.errors import ConfigError
from harness.models import causal_rerankers
from harness.models.causal_rerankers import CausalReranker, load_causal_reranker, score_prompts
from harness.models.relevance_prompts import AnswerTokens
from harness.stages.rerank import RerankSpec, rerank
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common

PAIRS = [
    ("about lime", "lime by night"),
    ("about lime", "ferry by night"),
    ("lime", "lime"),
    ("the lime kiln by night", "a kiln by the ferry by night , the slate by the mail"),
    ("slate", ""),
    ("about lime", "lime by night"),
]
Make = Callable[..., CausalReranker]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    def made(template: str | None = rankers.BY_ROLES, max_length: int = 64, **changes: Any) -> CausalReranker:
        folder = tmp_path_factory.mktemp("causal")
        return load_causal_reranker(rankers.causal(folder, template, **changes), max_length)

    return made


def plain_head(reranker: CausalReranker) -> Any:
    """Put a plain layer in place of the output layer, which has its weights in another layout; return its weights."""
    weight = reranker.model.lm_head.weight.detach().clone()
    reranker.model.lm_head = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    reranker.model.lm_head.weight = torch.nn.Parameter(weight)
    return reranker.model.lm_head.weight


def alone(reranker: CausalReranker, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """The scores, each from a forward of its whole prompt: no padding, no shared prefix, all logits."""
    scores = []
    for query, passage in pairs:
        coded = reranker.tokenizer(reranker.prompt.text(query, passage), add_special_tokens=False, return_tensors="pt")
        with torch.no_grad():
            logits = reranker.model(input_ids=coded["input_ids"]).logits[0, -1]
        scores.append(float(logits[reranker.answers.yes] - logits[reranker.answers.no]))
    return scores


@pytest.mark.parametrize("template", [rankers.BY_ROLES, tiny.CHAT_TEMPLATE, chatty.QWEN3, None])
def test_scores_are_those_of_each_prompt_alone(make: Make, template: str | None) -> None:
    reranker = make(template)
    scores = reranker.score(PAIRS)
    assert scores == pytest.approx(alone(reranker, PAIRS), abs=1e-4)
    assert len(set(scores)) == 5
    assert scores[0] == scores[5]


def test_padding_batches_and_order_do_not_matter(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = make()
    whole = reranker.score(PAIRS)
    assert reranker.score(PAIRS[::-1]) == pytest.approx(whole[::-1], abs=1e-5)
    assert [reranker.score([pair])[0] for pair in PAIRS] == pytest.approx(whole, abs=1e-5)
    for name, value in (("BATCH", 2), ("BATCH_TOKENS", 1)):
        monkeypatch.setattr(causal_rerankers, name, value)
        assert reranker.score(PAIRS) == pytest.approx(whole, abs=1e-5)


def test_prompts_without_a_shared_beginning_are_padded_alike(make: Make) -> None:
    """Nothing stands before the padding: its rows see no token at all, and must not spoil the others."""
    reranker = make()
    prompts = [[11, 5, 7, 9, 6], [6, 9], [8, 8, 8]]
    scores = score_prompts(reranker.model, reranker.tokenizer, prompts, reranker.answers)
    for prompt, score in zip(prompts, scores, strict=True):
        with torch.no_grad():
            logits = reranker.model(input_ids=torch.tensor([prompt])).logits[0, -1]
        assert score == pytest.approx(float(logits[reranker.answers.yes] - logits[reranker.answers.no]), abs=1e-4)


def test_equal_prompts_are_read_once_and_only_last_logits_are_made(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = make()
    shapes: list[tuple[int, ...]] = []
    forward = type(reranker.model).forward

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        read = forward(self, *args, **kwargs)
        shapes.append(tuple(read.logits.shape[:2]))
        return read

    monkeypatch.setattr(type(reranker.model), "forward", counted)
    progress: list[tuple[int, int]] = []
    reranker.score(PAIRS, lambda *at: progress.append(at))
    assert shapes == [(1, 1), (5, 1)]
    assert progress == [(5, 5)]
    assert reranker.score([]) == []


def test_an_output_layer_of_its_own_is_used(make: Make) -> None:
    reranker = make()
    assert not reranker.model.config.tie_word_embeddings
    before = reranker.score(PAIRS)
    with torch.no_grad():
        plain_head(reranker)[reranker.answers.yes] *= 2
    after = reranker.score(PAIRS)
    assert len(set(after)) == 5
    assert after != pytest.approx(before, abs=1e-3)


def test_scores_of_passages_that_are_surely_relevant_still_differ(make: Make) -> None:
    """Their probabilities are 1.0 in float32, so that an order by these would be the order of ids."""
    reranker = make()
    with torch.no_grad():
        weights = plain_head(reranker)
        weights[reranker.answers.yes] = 400 * weights[reranker.answers.yes]
    scores = [score for score in reranker.score(PAIRS[:4]) if score > 40]
    assert len(scores) > 1
    assert len(set(scores)) == len(scores)
    assert set(torch.sigmoid(torch.tensor(scores)).tolist()) == {1.0}


def test_scores_that_are_no_numbers_are_refused(make: Make) -> None:
    reranker = make()
    with torch.no_grad():
        reranker.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"scores that are no numbers.*learning_rate"):
        reranker.score(PAIRS)


def test_a_tokenizer_without_padding_scores_batches(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = rankers.causal(tmp_path)
    with_padding = load_causal_reranker(folder, 64).score(PAIRS)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    assert AutoTokenizer.from_pretrained(folder).pad_token is None
    assert load_causal_reranker(folder, 64).score(PAIRS) == with_padding


def test_long_passages_that_differ_where_they_are_read_differ_in_their_scores(make: Make) -> None:
    reranker = make(max_length=12)
    pairs = [("about lime", f"{word} by night {'the slate ' * 40}") for word in ("lime", "kiln")]
    coded, cut = reranker.prompts(pairs)
    assert cut == reranker.count_cut(pairs) == 2
    assert {len(row) for row in coded} == {len(reranker.prompt.prompts([("", "")], 12).coded[0]) + 12}
    scores = reranker.score(pairs)
    assert abs(scores[0] - scores[1]) > 1e-4
    shown = [(query, " ".join(passage.split()[:10])) for query, passage in pairs]
    assert scores == pytest.approx(alone(reranker, shown), abs=1e-4)


def test_the_window_of_the_model_is_respected(make: Make) -> None:
    reranker = make(max_length=4096, max_position_embeddings=48)
    passage = "lime by night , the slate " * 60
    coded, cut = reranker.prompts([("about lime", passage)])
    assert (len(coded[0]), cut) == (48, 1)
    reranker.score([("about lime", passage)])
    short = make(max_length=256, max_position_embeddings=20)
    with pytest.raises(ValueError, match=r"tokens of the model's window of 20; write a shorter"):
        short.score(PAIRS)


def test_a_score_without_a_token_for_no_is_the_logit_of_yes(make: Make) -> None:
    reranker = make()
    prompts = reranker.prompts(PAIRS).coded
    both = score_prompts(reranker.model, reranker.tokenizer, prompts, AnswerTokens(5, 6))
    single = [score_prompts(reranker.model, reranker.tokenizer, prompts, AnswerTokens(id, None)) for id in (5, 6)]
    assert both == pytest.approx([yes - no for yes, no in zip(*single, strict=True)], abs=1e-5)


# the stage


def inputs(root: Path) -> dict[str, Path]:
    for name in ("run", "queries", "corpus", "out"):
        (root / name).mkdir()
    run = {key: [(word, float(-place)) for place, word in enumerate(rankers.TOPICS)] for key in rankers.QUERIES}
    write_run(root / "run" / RUN_FILE, run)
    common.write_queries(root / "queries", rankers.QUERIES)
    common.write_corpus(root / "corpus", rankers.DOCUMENTS)
    return {name: root / name for name in ("run", "queries", "corpus")}


def test_the_stage_orders_the_first_of_every_list_by_the_model(tmp_path: Path) -> None:
    folder = rankers.causal(tmp_path / "model")
    spec = RerankSpec(kind="causal-lm", depth=3, max_length=32, model=str(folder), instruction="about the night")
    usage = rerank(spec, inputs(tmp_path), tmp_path / "out", 0, lambda done, total: None)
    ranked = read_run(tmp_path / "out" / RUN_FILE, escaped=True)
    reranker = load_causal_reranker(folder, 32, "about the night")
    assert reranker.score(PAIRS) != load_causal_reranker(folder, 32).score(PAIRS)
    for key, query in rankers.QUERIES.items():
        documents = [rankers.DOCUMENTS[word].content for word in rankers.TOPICS[:3]]
        scores = dict(zip(rankers.TOPICS, alone(reranker, [(query, text) for text in documents]), strict=False))
        assert dict(ranked[key][:3]) == pytest.approx(scores, abs=1e-4)
        assert [word for word, _ in ranked[key]] == [*sorted(scores, key=lambda word: -scores[word]), "mail"]
    assert usage.units == 12
    assert usage.notes == {"queries": 4, "pairs scored": 12, "pairs cut at 32 tokens": 0}


def test_a_converted_model_is_read_from_its_artifact(tmp_path: Path) -> None:
    spec = RerankSpec(kind="causal-lm", depth=3, max_length=32, model="embedded:not-installed")
    given = {**inputs(tmp_path), "model": rankers.causal(tmp_path / "model")}
    assert rerank(spec, given, tmp_path / "out", 0, lambda done, total: None).units == 12


def test_a_model_that_cannot_answer_is_named(tmp_path: Path) -> None:
    folder = tiny.generator(tmp_path / "model", ["lime", "kiln"])
    spec = RerankSpec(kind="causal-lm", depth=3, max_length=32, model=str(folder))
    with pytest.raises(ConfigError, match=f"^{folder}: the tokenizer has no single token for 'yes'"):
        rerank(spec, inputs(tmp_path), tmp_path / "out", 0, lambda done, total: None)


@pytest.mark.slow
def test_smollm2_tells_relevant_passages_from_others(tmp_path: Path) -> None:
    from harness.models.loaders import convert_gguf, locate

    folder = tmp_path / "model"
    convert_gguf(locate("embedded:smollm2-135m-instruct"), folder)
    reranker = load_causal_reranker(folder, 128)
    query = "How often is a bell rope waxed?"
    passages = [
        "A bell rope is waxed twice a year, in May and before the first frost.",
        "Saffron is picked at dawn, while the flowers are closed.",
        "The ferry does not run when the lake is frozen.",
    ]
    relevant, *others = reranker.score([(query, passage) for passage in passages])
    assert all(abs(relevant - other) > 1e-3 for other in others)
