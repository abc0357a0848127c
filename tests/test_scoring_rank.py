"""Rank measures against pytrec_eval, and the rules that ranx leaves open."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scoring import canonical_order, judged_queries, queries_without_run, score_run
from harness.scoring.rank import numba_cache_folder
from harness.values.measures import Measure, parse
from harness.values.records import Qrels, Run

NAMES = [
    *(f"ndcg@{k}" for k in (1, 3, 10)),
    *(f"recall@{k}" for k in (2, 10, 100)),
    *(f"mrr@{k}" for k in (2, 10)),
    *(f"map@{k}" for k in (3, 10)),
    *(f"precision@{k}" for k in (5, 100)),
    *(f"hit_rate@{k}" for k in (1, 10)),
]
TREC_NAMES = {"ndcg": "ndcg_cut", "recall": "recall", "map": "map_cut", "precision": "P", "hit_rate": "success"}


def measures(*names: str) -> list[Measure]:
    return [parse(name) for name in names]


def random_case(seed: int, queries: int = 40) -> tuple[Run, Qrels]:
    """Graded judgements, zeros among them; few distinct scores, so that most are tied; some lists missing or empty."""
    rng = random.Random(seed)
    documents = [f"d{number}" for number in range(30)]
    run: Run = {}
    qrels: Qrels = {}
    for number in range(queries):
        query_id = f"q{number}"
        qrels[query_id] = {doc: rng.choice([0, 0, 1, 2, 3]) for doc in rng.sample(documents, rng.randint(1, 8))}
        if number % 9:
            depth = rng.choice([0, 1, 5, 30])
            run[query_id] = [(doc, float(rng.randint(0, 4))) for doc in rng.sample(documents, depth)]
    return run, qrels


def trec_eval(run: Run, qrels: Qrels, measure: Measure) -> dict[str, float]:
    """Score with pytrec_eval; it has no cut reciprocal rank and skips missing queries, so both are done here."""
    import pytrec_eval

    k = measure.cutoff
    if measure.name == "mrr":
        cut = {query: sorted(hits, key=lambda hit: (hit[1], hit[0]), reverse=True)[:k] for query, hits in run.items()}
        key, name, lists = "recip_rank", "recip_rank", cut
    else:
        key, name, lists = f"{TREC_NAMES[measure.name]}.{k}", f"{TREC_NAMES[measure.name]}_{k}", run
    found = pytrec_eval.RelevanceEvaluator(qrels, {key}).evaluate({q: dict(hits) for q, hits in lists.items() if hits})
    return {query: found.get(query, {}).get(name, 0.0) for query in qrels if max(qrels[query].values()) > 0}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", NAMES)
def test_equals_trec_eval(name: str, seed: int) -> None:
    run, qrels = random_case(seed)
    measure = parse(name)
    expected = trec_eval(run, qrels, measure)
    assert score_run(run, qrels, [measure])[measure] == pytest.approx(expected, abs=1e-9)
    assert any(expected.values())


GRADES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-1, 3), min_size=1, max_size=6)
HITS = st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from([0.0, 0.5, 1.0]), max_size=10)
IDS = st.sampled_from(["q1", "q2", "q3"])
CASES = st.tuples(st.dictionaries(IDS, HITS, max_size=3), st.dictionaries(IDS, GRADES, min_size=1, max_size=3))


@settings(max_examples=60)
@given(CASES)
def test_equals_trec_eval_on_anything(case: tuple[dict[str, dict[str, float]], Qrels]) -> None:
    run: Run = {query: list(hits.items()) for query, hits in case[0].items()}
    asked = measures("ndcg@3", "recall@5", "mrr@4", "map@10", "precision@3", "hit_rate@2")
    scores = score_run(run, case[1], asked)
    for measure in asked:
        assert scores[measure] == pytest.approx(trec_eval(run, case[1], measure), abs=1e-9)


def test_values_by_hand() -> None:
    run: Run = {"q": [("a", 3.0), ("b", 2.0), ("c", 1.0)]}
    scores = score_run(run, {"q": {"b": 1, "c": 2, "z": 1}}, measures("mrr@10", "recall@2", "ndcg@10", "map@10"))
    assert [scores[measure]["q"] for measure in scores] == pytest.approx(
        [1 / 2, 1 / 3, (1 / 1.5849625007 + 2 / 2) / (2 + 1 / 1.5849625007 + 1 / 2), (1 / 2 + 2 / 3) / 3]
    )


def test_ties_are_broken_by_doc_id_descending() -> None:
    assert canonical_order([("a", 1.0), ("c", 1.0), ("b", 2.0)]) == [("b", 2.0), ("c", 1.0), ("a", 1.0)]
    tied = [(doc, 0.0) for doc in "abcdefgh"]
    (mrr,) = measures("mrr@10")
    assert score_run({"q": tied}, {"q": {"f": 1}}, [mrr])[mrr]["q"] == pytest.approx(1 / 3)


def test_order_of_insertion_is_of_no_account() -> None:
    run, qrels = random_case(7)
    rng = random.Random(1)
    shuffled = {query: rng.sample(run[query], len(run[query])) for query in rng.sample(sorted(run), len(run))}
    asked = measures(*NAMES)
    assert score_run(shuffled, qrels, asked) == score_run(run, qrels, asked)


def test_what_follows_the_cutoff_is_of_no_account() -> None:
    run, qrels = random_case(8)
    longer = {query: [*hits, *((f"x{number}", -1.0 - number) for number in range(20))] for query, hits in run.items()}
    ten = [query for query, hits in run.items() if len(hits) >= 10]
    asked = measures("ndcg@10", "recall@10", "map@10", "precision@10")
    before, after = score_run(run, qrels, asked), score_run(longer, qrels, asked)
    assert ten
    for measure in asked:
        assert [before[measure].get(query) for query in ten] == [after[measure].get(query) for query in ten]


def test_the_ideal_list_scores_one_and_a_swap_less() -> None:
    qrels: Qrels = {"q": {"a": 3, "b": 2, "c": 1, "d": 0}}
    (ndcg,) = measures("ndcg@10")
    assert score_run({"q": [("a", 3), ("b", 2), ("c", 1)]}, qrels, [ndcg])[ndcg]["q"] == pytest.approx(1)
    assert score_run({"q": [("b", 3), ("a", 2), ("c", 1)]}, qrels, [ndcg])[ndcg]["q"] < 0.95


def test_one_measure_alone_equals_it_among_others() -> None:
    run, qrels = random_case(9)
    together = score_run(run, qrels, measures(*NAMES))
    for measure in measures("ndcg@10", "hit_rate@1"):
        assert score_run(run, qrels, [measure]) == {measure: together[measure]}


def test_population_is_every_query_with_a_relevant_document() -> None:
    qrels: Qrels = {"none": {"a": 0}, "listed": {"a": 1}, "missing": {"a": 1}, "empty": {"b": 2, "c": 0}}
    run: Run = {"listed": [("a", 1.0)], "empty": [], "unjudged": [("a", 1.0)], "none": [("a", 1.0)]}
    (recall,) = measures("recall@5")
    assert judged_queries(qrels) == ["listed", "missing", "empty"]
    assert score_run(run, qrels, [recall]) == {recall: {"listed": 1.0, "missing": 0.0, "empty": 0.0}}
    assert queries_without_run(run, qrels) == 2


def test_nothing_to_score() -> None:
    (recall,) = measures("recall@5")
    assert score_run({}, {"q": {"a": 1}}, [recall]) == {recall: {"q": 0.0}}
    assert score_run({}, {"q": {"a": 0}}, [recall]) == {recall: {}}
    assert score_run({"q": [("a", 1.0)]}, {"q": {"a": 1}}, []) == {}


@pytest.mark.parametrize(
    ("hits", "message"),
    [
        ([("a", 1.0), ("b", float("nan"))], "query 'q7': document 'b' has the score NaN"),
        ([("a", 1.0), ("b", 0.5), ("a", 0.1)], "query 'q7': document 'a' is listed twice"),
    ],
)
def test_broken_lists_are_refused(hits: list[tuple[str, float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_run({"q7": hits}, {"q7": {"a": 1}}, measures("ndcg@10"))


def test_fractions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"query 'q': relevance of 'a' is 0\.7, not a whole number"):
        score_run({"q": [("a", 1.0)]}, {"q": {"a": 0.7}}, measures("ndcg@10"))  # type: ignore[dict-item]


def test_measures_of_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="'token_f1' is not a rank measure"):
        score_run({}, {"q": {"a": 1}}, measures("ndcg@10", "token_f1"))


def test_the_callers_values_are_left_alone() -> None:
    run: Run = {"q": [("a", 1.0), ("b", 2.0)]}
    qrels: Qrels = {"q": {"a": 1}, "other": {"b": 1}}
    score_run(run, qrels, measures("ndcg@10"))
    assert run == {"q": [("a", 1.0), ("b", 2.0)]}
    assert qrels == {"q": {"a": 1}, "other": {"b": 1}}


def test_threads_may_score_at_once() -> None:
    run, qrels = random_case(3, queries=200)
    asked = measures("ndcg@10", "mrr@10")
    expected = score_run(run, qrels, asked)
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.extend(score_run(run, qrels, asked) == expected for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 80


def test_only_the_kernels_of_ranx_are_imported_and_the_package_can_be_later() -> None:
    code = (
        "import sys; from harness.scoring import score_run; from harness.values.measures import parse; "
        "scores = score_run({'q': [('a', 1.0)]}, {'q': {'a': 1}}, [parse('recall@5'), parse('mrr@5')]); "
        "print(*[value['q'] for value in scores.values()], {'ranx', 'pandas', 'matplotlib'} & {*sys.modules}); "
        "import ranx; print(ranx.Run({'q': {'a': 1.0}}).size, ranx.evaluate.__name__)"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split("\n") == ["1.0 1.0 set()", "1 evaluate", ""]


def test_importing_is_free() -> None:
    code = (
        "import sys, harness.scoring; "
        "print(sorted({'ranx', 'ragas', 'numba', 'numpy', 'pandas', 'torch', 'transformers'} & sys.modules.keys()))"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


def test_cache_of_compiled_kernels_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert numba_cache_folder() == tmp_path / "rag-tuning-harness" / "numba"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert numba_cache_folder() == Path.home() / ".cache" / "rag-tuning-harness" / "numba"
