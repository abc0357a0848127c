"""From which grade on a document is relevant: binary measures, and everything else that asks whether it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pocket
import pytest
import pytrec_eval
from beir_folders import CORPUS, write
from command import runner
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import scoring
from harness.data.datasets import load_dataset
from harness.errors import DataError
from harness.planning.dataset_artifacts import DatasetArtifacts
from harness.planning.plan import build_plan
from harness.scoring import measurement_settings, score_run
from harness.scoring.values import AnswerSettings
from harness.stages.retrieve import RetrieveSpec
from harness.suite.sources import DatasetSource as DatasetSpec
from harness.suite.sources import Forgetting, ReadingRule
from harness.suite.spec import Utility
from harness.suite.uses import reading_elsewhere, reading_of
from harness.values.grades import at_level, best_first, is_relevant, judged_queries
from harness.values.measures import parse
from harness.values.records import Qrels, Run

GRADES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 4), min_size=1, max_size=8)
QRELS = st.dictionaries(st.sampled_from(["q1", "q2", "q3"]), GRADES, min_size=1)
SCORES = st.dictionaries(st.sampled_from("abcdefghij"), st.integers(0, 20).map(float), min_size=1, max_size=10)
RUNS = st.dictionaries(st.sampled_from(["q1", "q2", "q3"]), SCORES, min_size=1)
THEIRS = {"recall@5": "recall_5", "map@10": "map_cut_10", "precision@3": "P_3", "hit_rate@5": "success_5",
          "mrr@10": "recip_rank"}  # fmt: skip

# Three topics as in TREC DL: grade 1 is "related", from 2 on it is an answer.
DL: Qrels = {
    "t1": {"a": 1, "b": 1, "c": 3, "d": 0},
    "t2": {"e": 1, "f": 2, "g": 1, "h": 2},
    "t3": {"i": 1, "j": 1, "k": 1},
}
DL_RUN: Run = {
    "t1": [("a", 9.0), ("b", 8.0), ("c", 7.0), ("d", 6.0)],
    "t2": [("e", 9.0), ("f", 8.0), ("d", 7.0), ("h", 6.0)],
    "t3": [("i", 9.0), ("a", 8.0)],
}


@settings(max_examples=80)
@given(RUNS, QRELS, st.integers(1, 4))
def test_binary_measures_are_those_of_trec_eval_at_every_level(
    run: dict[str, dict[str, float]], qrels: Qrels, level: int
) -> None:
    lists = {query: list(hits.items()) for query, hits in run.items()}
    asked = [parse(name) for name in THEIRS]
    found = score_run(lists, qrels, asked, level)
    keys = {name.rpartition("_")[0] + "." + name.rpartition("_")[2] for name in THEIRS.values() if name[-1].isdigit()}
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {*keys, "recip_rank"}, relevance_level=level)
    expected = evaluator.evaluate(run)
    judged = judged_queries(qrels, level)
    for measure in asked:
        values = {query: expected.get(query, {}).get(THEIRS[str(measure)], 0.0) for query in judged}
        assert found[measure] == pytest.approx(values, abs=1e-6)


@given(RUNS, QRELS, st.integers(2, 4))
@settings(max_examples=30)
def test_gains_do_not_know_the_level(run: dict[str, dict[str, float]], qrels: Qrels, level: int) -> None:
    lists = {query: list(hits.items()) for query, hits in run.items()}
    ndcg = parse("ndcg@5")
    both = score_run(lists, qrels, [ndcg, parse("mrr@5")], level)
    assert both[ndcg] == score_run(lists, qrels, [ndcg])[ndcg]
    assert both[parse("mrr@5")].keys() == set(judged_queries(qrels, level))


def test_the_values_of_the_example() -> None:
    """R20: graded judgements read as binary ones flatter: mrr is 1 where the first answer is at rank 3 and rank 2."""
    asked = [parse("map@10"), parse("mrr@10"), parse("ndcg@10"), parse("recall@10")]
    plain, strict = score_run(DL_RUN, DL, asked), score_run(DL_RUN, DL, asked, 2)
    assert [round(sum(plain[m].values()) / len(plain[m]), 3) for m in asked[:2]] == [0.674, 1.0]
    assert strict[asked[0]] == pytest.approx({"t1": 1 / 3, "t2": (1 / 2 + 2 / 4) / 2})
    assert strict[asked[1]] == pytest.approx({"t1": 1 / 3, "t2": 1 / 2})
    assert strict[asked[3]] == {"t1": 1.0, "t2": 1.0}
    assert strict[asked[2]] == plain[asked[2]]


@given(QRELS, st.integers(1, 4))
def test_one_helper_says_what_is_relevant(qrels: Qrels, level: int) -> None:
    cut = at_level(qrels, level)
    assert judged_queries(cut) == judged_queries(qrels, level)
    assert {key: best_first(some) for key, some in cut.items()} == {
        key: best_first(some, level) for key, some in qrels.items()
    }
    assert {key: some.keys() for key, some in cut.items()} == {key: some.keys() for key, some in qrels.items()}
    assert all(is_relevant(grade, level) or not cut[key][doc] for key, some in qrels.items()
               for doc, grade in some.items())  # fmt: skip


def test_the_level_is_part_of_the_identity_of_binary_measures() -> None:
    plain = AnswerSettings(Utility(), None, None, "")
    strict = plain._replace(level=2)
    assert measurement_settings(parse("ndcg@10"), strict) == measurement_settings(parse("ndcg@10"), plain)
    assert measurement_settings(parse("map@10"), strict) == {
        **measurement_settings(parse("map@10"), plain), "relevance_level": 2,
    }  # fmt: skip
    own = plain._replace(exclude_own=True)
    assert measurement_settings(parse("ndcg@10"), own)["exclude_own"] is True


def graded_folder(folder: Path) -> Path:
    return write(folder, qrels={"test": ["q1 loom-1 2", "q1 loom-2 1", "q2 dye-1 1", "q3 gone 2"]}, splits=None,
                 answers=None)  # fmt: skip


def test_stages_read_what_is_relevant_at_the_level(tmp_path: Path) -> None:
    """Pairs, prompts and ideal generators see relevant documents; ideal lists and dev evaluations see every grade."""
    spec = DatasetSpec(path=str(graded_folder(tmp_path)))
    part = load_dataset(spec, "test", ReadingRule(relevance_level=2)).splits["test"]
    assert part.judged == ["q1", "q3"]
    assert part.binary == {"q1": {"loom-1": 2, "loom-2": 0}, "q2": {"dye-1": 0}, "q3": {"gone": 2}}
    assert part.usable == {"q1": {"loom-1": 2, "loom-2": 0}, "q2": {"dye-1": 0}, "q3": {}}
    assert part.graded == {"q1": {"loom-1": 2, "loom-2": 1}, "q2": {"dye-1": 1}, "q3": {}}


def test_parts_of_a_clean_data_set_at_level_one_keep_their_keys() -> None:
    dataset = pocket.dataset()
    plan = build_plan(pocket.suite(), dataset)
    keys = plan.artifacts.keys
    for split in dataset.splits:
        assert keys[f"{split}.graded"] == keys[f"{split}.qrels"]
    assert "exclude_own" not in RetrieveSpec(kind="bm25", depth=3).key_settings()
    assert RetrieveSpec(kind="bm25", depth=3, exclude_own=True).key_settings()["exclude_own"] is True


def test_a_level_changes_the_keys_of_what_reads_judgements(tmp_path: Path) -> None:
    suite = pocket.suite()
    folder = graded_folder(tmp_path)
    made = {}
    for level in (1, 2):
        dataset = load_dataset(DatasetSpec(path=str(folder)), "test", ReadingRule(relevance_level=level))
        from harness.planning.contexts import choose

        made[level] = DatasetArtifacts(dataset, "test", choose(suite, dataset)).keys
    changed = {name for name in made[1] if made[1][name] != made[2][name]}
    assert changed == {"test.qrels"}


def test_a_level_that_no_judgement_reaches_is_refused(tmp_path: Path) -> None:
    spec = DatasetSpec(path=str(graded_folder(tmp_path)))
    with pytest.raises(DataError, match="no judged query in split 'test' with a grade of 3 or more"):
        load_dataset(spec, "test", ReadingRule(relevance_level=3))


def test_what_a_suite_reads_follows_from_it() -> None:
    everything = pocket.suite({"evaluate.relevance_level": 2, "evaluate.exclude_own": True})
    assert reading_of(everything) == ReadingRule("test", frozenset(["train", "dev", "test"]), True, 2, True)
    alone = {
        "candidates": {},
        "pipeline.generator": None,
        "baseline_rows": ["bm25", "untuned"],
        "measures": ["ndcg@10"],
        "gates": [],
    }
    assert reading_of(pocket.suite(alone)) == ReadingRule("test", frozenset(["test"]), False)
    assert reading_of(pocket.suite(alone), "dev").splits == frozenset(["dev", "test"])
    shots = {"candidates": {}, "baseline_rows": ["untuned", "few-shot"]}
    assert reading_of(pocket.suite(shots)).splits == frozenset(["train", "test"])
    rule = Forgetting(dataset=DatasetSpec(path="x"), relevance_level=2)
    assert reading_elsewhere(rule) == ReadingRule("test", frozenset(["test"]), False, 2)


def test_the_explorer_shows_true_grades_and_what_is_relevant() -> None:
    from harness.report.explorer import _Details
    from harness.values.evidence import Evidence

    evidence = Evidence([], qrels=DL, level=2)
    details = _Details([], evidence)
    assert details.take(["t2"], 1000) == 1
    shown = [details.documents[number][0] for number in details.of["t2"]["relevant"]]
    assert shown == ["f", "h"]


# ---- the document of the query itself


def test_a_query_is_not_given_its_own_document() -> None:
    """As MTEB does for ArguAna: the list moves up, and a judgement of it does not count."""
    run: Run = {"a": [("a", 9.0), ("b", 8.0)], "c": [("b", 2.0), ("c", 1.0)]}
    qrels: Qrels = {"a": {"b": 1, "a": 1}, "c": {"d": 1}}
    mrr, recall = parse("mrr@10"), parse("recall@10")
    assert score_run(run, qrels, [mrr, recall]) == {mrr: {"a": 1.0, "c": 0.0}, recall: {"a": 1.0, "c": 0.0}}
    assert score_run({"a": run["a"]}, {"a": {"b": 1}}, [mrr])[mrr] == {"a": 0.5}
    assert score_run(run, qrels, [mrr], exclude_own=True)[mrr] == {"a": 1.0, "c": 0.0}
    # The caller's lists are left as they are.
    assert run["a"][0] == ("a", 9.0)


def test_judgements_of_a_querys_own_document_are_left_out(tmp_path: Path) -> None:
    queries = [{"_id": row["_id"], "text": row["text"]} for row in CORPUS]
    write(tmp_path, queries=queries, qrels={"test": ["loom-1 loom-1 1", "loom-1 dye-1 1", "dye-1 dye-1 1"]},
          answers=None, splits=None)  # fmt: skip
    part = load_dataset(DatasetSpec(path=str(tmp_path)), "test", ReadingRule(exclude_own=True)).splits["test"]
    assert part.qrels == {"loom-1": {"dye-1": 1}, "dye-1": {}}
    assert part.judged == ["loom-1"]


def test_lists_are_as_deep_without_the_own_document(tmp_path: Path) -> None:
    """bm25 finds the query's own document first; without it a list of two still has two."""
    from harness.data.formats import read_run
    from harness.models.search import Bm25Index
    from harness.stages.retrieve import OWN, RUN_FILE, retrieve
    from harness.stages.shared.common import write_queries
    from harness.values.records import Document

    documents = [Document(f"d{number}", "", f"woad dye number {number}") for number in range(4)]
    for folder in ("index", "queries", "out"):
        (tmp_path / folder).mkdir()
    Bm25Index.save(tmp_path / "index", documents)
    write_queries(tmp_path / "queries", {"d1": "woad dye number 1", "q": "woad dye"})
    inputs = {"index": tmp_path / "index", "queries": tmp_path / "queries"}
    spec = RetrieveSpec(kind="bm25", depth=2, exclude_own=True)
    usage = retrieve(spec, inputs, tmp_path / "out", 0, lambda done, total: None)
    run = read_run(tmp_path / "out" / RUN_FILE, escaped=True)
    assert {query: len(hits) for query, hits in run.items()} == {"d1": 2, "q": 2}
    assert "d1" not in dict(run["d1"])
    assert usage.notes[OWN] == 1


# ---- score and compare


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    leave = runner(monkeypatch, capsys, tmp_path, columns=250)

    def told(*arguments: str) -> str:
        code, out, error = leave(*arguments)
        return f"{code}\n{out}{error}"

    return told


def test_the_level_on_the_command_line(tmp_path: Path, call: Callable[..., str]) -> None:
    (tmp_path / "qrels").write_text(
        "".join(f"{query} 0 {doc} {grade}\n" for query, some in DL.items() for doc, grade in some.items())
    )
    (tmp_path / "run").write_text("".join(
        f"{query} Q0 {doc} {rank} {score} x\n" for query, hits in DL_RUN.items()
        for rank, (doc, score) in enumerate(hits, start=1)
    ))  # fmt: skip
    said = call("score", "run", "qrels", "-l", "2", "--measure", "mrr@10", "--measure", "ndcg@10")
    assert said.splitlines()[:5] == [
        "0",
        "mrr@10  0.4167  over 2 queries",
        f"ndcg@10  {sum(score_run(DL_RUN, DL, [parse('ndcg@10')])[parse('ndcg@10')].values()) / 3:.4f}  over 3 queries",
        "Documents of grade 2 or higher are relevant; only ndcg uses lower grades, as gains.",
        "1 judged query has no document of grade 2 or more and is left out of every measure but ndcg.",
    ]
    found = json.loads(call("score", "run", "qrels", "-l", "2", "--measure", "map@10", "--json").partition("\n")[2])
    assert (found["level"], found["means"], found["left_out"]) == (2, {"map@10": pytest.approx(5 / 12)}, 1)
    said = call("compare", "run", "run", "--qrels", "qrels", "--relevance-level", "2", "--measure", "map@10", "--json")
    assert json.loads(said.partition("\n")[2])["rows"][0]["n_queries"] == 2
    assert call("score", "run", "qrels", "-l", "4").startswith(
        "2\nerror: qrels: no document is relevant to any query at"
    )
    assert call("compare", "one", "two", "-l", "2").startswith("2\nerror: --relevance-level and --exclude-own need run")


def test_own_documents_on_the_command_line(tmp_path: Path, call: Callable[..., str]) -> None:
    (tmp_path / "run").write_text("a Q0 a 1 9 x\na Q0 b 2 8 x\nc Q0 b 1 1 x\n")
    (tmp_path / "qrels").write_text("a 0 b 1\nc 0 b 1\n")
    assert call("score", "run", "qrels", "--measure", "mrr@10").startswith("0\nmrr@10  0.7500  over 2 queries")
    said = call("score", "run", "qrels", "--measure", "mrr@10", "--exclude-own")
    assert said.startswith("0\nmrr@10  1.0000  over 2 queries")
    assert "own document was removed: 1." in said


def test_failed_lists_are_those_of_the_measures_population() -> None:
    assert scoring.population(DL, parse("ndcg@10"), 2) == ["t1", "t2", "t3"]
    assert scoring.population(DL, parse("recall@10"), 2) == ["t1", "t2"]
