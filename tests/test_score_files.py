"""`harness score` and `harness compare` on run files, and scores that equal those of trec_eval."""

# ruff: noqa: F811 (a fixture of another module is a parameter here)
from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_gating import Left, call  # noqa: F401
from testset_author import filled

from harness.gates.run_files import RunScores, read_qrels, score_files
from harness.gates.run_lines import FORM
from harness.testset import folder as folders
from harness.values.measures import parse
from harness.values.records import Qrels

# ---- run files

QRELS = "q1 0 d1 2\nq1 0 d2 0\nq2 0 d3 1\nq3 0 d1 0\n"
RUN = "q1 Q0 d1 1 3.0 x\nq1 Q0 d2 2 2.0 x\nq9 Q0 d1 1 1.0 x\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "run.trec").write_text(RUN)
    (tmp_path / "qrels.txt").write_text(QRELS)
    return tmp_path / "run.trec", tmp_path / "qrels.txt"


def test_a_run_is_judged(files: tuple[Path, Path], call: Callable[..., Left]) -> None:
    code, out, _ = call("score", "run.trec", "qrels.txt", "--measure", "ndcg@10", "--measure", "recall@5")
    assert code == 0
    assert out.splitlines() == [
        "ndcg@10  0.5000  over 2 queries",
        "recall@5  0.5000  over 2 queries",
        "1 judged query has no relevant document and is left out.",
        "Judged queries that the run lacks: 1 of 2; each scores 0.",
        "Queries of the run without judgements: 1, which are left out.",
    ]
    code, out, _ = call("score", "run.trec", "qrels.txt", "--measure", "ndcg@10", "--json")
    found = json.loads(out)
    assert len(found.pop("remarks")) == 3
    assert found == {
        "means": {"ndcg@10": 0.5}, "queries": 2, "queries_without_run": 1, "unjudged_queries": 1, "documents": 2,
        "unknown_documents": 0, "left_out": 1, "own_documents": 0, "contradicted": 0, "tied": 0, "close": 0,
        "questions": None, "lists": 1, "level": 1, "exclude_own": False, "repairs": [],
        "per_query": {"ndcg@10": {"q1": 1.0, "q2": 0.0}},
    }  # fmt: skip


def test_synthetic_questions_are_told_first(tmp_path: Path, call: Callable[..., Left]) -> None:
    place = tmp_path / "data"
    ids = filled(place)
    contents = folders.read(place)
    # What is not judged in the split is not counted.
    items = [item._replace(split="dev" if item.query_id == ids[1] else "test", reviewed=item.query_id == ids[0])
             for item in contents.items]  # fmt: skip
    folders.write(place, contents, items, {})
    for name, doc_id in (("a", "doc-0"), ("b", "doc-2")):
        (tmp_path / f"{name}.trec").write_text("".join(f"{key} Q0 {doc_id} 1 1.0 x\n" for key in ids))
    qrels = str(place / "qrels" / "test.tsv")
    said = "Questions are synthetic (written by big-model); a person has seen 1 of 2."
    code, out, _ = call("score", "a.trec", qrels)
    assert (code, out.splitlines()[0]) == (0, said)
    scored = json.loads(call("score", "a.trec", qrels, "--json")[1])
    assert scored["questions"] == {"total": 2, "synthetic": 2, "reviewed": 1, "by": "big-model"}
    compared = call("compare", "a.trec", "b.trec", "--qrels", qrels, "--json")[1]
    assert json.loads(compared)["questions"] == [said]
    assert call("compare", "a.trec", "b.trec", "--qrels", qrels)[1].startswith(said)
    (place / "queries.jsonl").unlink()
    assert "synthetic" not in call("score", "a.trec", qrels)[1]


def test_judgements_in_the_form_of_beir(files: tuple[Path, Path], call: Callable[..., Left]) -> None:
    files[1].write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq2\td3\t1\n")
    assert call("score", "run.trec", "qrels.txt")[1].startswith("ndcg@10  0.5000  over 2 queries")


def test_a_run_of_another_corpus_is_refused(files: tuple[Path, Path], call: Callable[..., Left]) -> None:
    """As an empty run is: a row of zeros would read as the worst system there is."""
    files[0].write_text("q1 Q0 x1 1 3.0 x\n")
    what = "run.trec: no document of its rankings has a judgement in qrels.txt, such as 'x1' here and 'd1' there"
    hint = "give a run and judgements of the same corpus"
    assert call("score", "run.trec", "qrels.txt") == (2, "", f"error: {what}; {hint}\n")
    (files[0].parent / "good.trec").write_text(RUN)
    assert call("compare", "good.trec", "run.trec", "--qrels", "qrels.txt") == (2, "", f"error: {what}; {hint}\n")


def test_a_share_of_documents_that_nobody_judged_is_told(files: tuple[Path, Path], call: Callable[..., Left]) -> None:
    files[0].write_text("q1 Q0 x1 1 3.0 x\nq1 Q0 d1 2 2.0 x\nq1 Q0 x2 3 1.0 x\n")
    code, out, _ = call("score", "run.trec", "qrels.txt", "--measure", "mrr@10")
    assert (code, out.splitlines()[0]) == (0, "mrr@10  0.2500  over 2 queries")
    assert "Retrieved documents without a judgement: 2 of 3 (67 %), which count as not relevant." in out


def test_a_run_of_the_harness_is_read_with_its_ids_unescaped(tmp_path: Path) -> None:
    from harness.data.formats import write_run

    write_run(tmp_path / "run.trec", {"a query": [("a doc", 1.0)]})
    (tmp_path / "qrels.tsv").write_text("a query\ta doc\t1\n")
    found = score_files(tmp_path / "run.trec", tmp_path / "qrels.tsv", [parse("ndcg@10")])
    assert found.means == {"ndcg@10": 1.0}


@pytest.mark.parametrize(
    ("run", "qrels", "what"),
    [
        ("q1 Q0 d1 1 NaN x\n", QRELS, f"run.trec:1: the score 'NaN' is not a finite number; {FORM}"),
        ("q1 Q0 d1 1 inf x\n", QRELS, f"run.trec:1: the score 'inf' is not a finite number; {FORM}"),
        ("q1 d1 1\n", QRELS, f"run.trec:1: 3 fields instead of 6; {FORM}"),
        (
            RUN + "q1 Q0 d1 3 1.0 x\n",
            QRELS,
            "run.trec:4: query 'q1' lists document 'd1' twice, with the scores 3.0 (run.trec:1) and 1.0; remove one",
        ),
        ("q7 Q0 d1 1 1 x\n", QRELS, "run.trec: no query in common with qrels.txt (such as 'q7' and 'q1')"),
        (
            "",
            QRELS,
            "run.trec: no query in common with qrels.txt (it is empty); give a run and judgements of the same queries",
        ),
        (RUN, "", "qrels.txt: no document is relevant to any query; give judgements with grades above 0"),
        (RUN, "q1 0 d1 0\n", "qrels.txt: no document is relevant to any query; give judgements with grades above 0"),
        (RUN, "q1 0 d1 x\n", "qrels.txt:1: relevance 'x' is not an integer; use grades such as 0, 1, 2"),
        (RUN, "q1 0 d1 \uff11\n", "qrels.txt:1: relevance '\uff11' is not an integer; use grades such as 0, 1, 2"),
        (RUN, "q1 0 d1 +12345678901\n", "qrels.txt:1: relevance '+12345678901' is too large; use grades such as 0, 1"),
        (RUN, "q1 0 d1 1\nq1 0 d1 2\n", "qrels.txt:2: query 'q1' judges document 'd1' twice, with the grades 1 ("),
        (None, QRELS, "run.trec: cannot be read (No such file or directory); give a readable file"),
        (RUN, None, "qrels.txt: cannot be read (No such file or directory); give a readable file"),
    ],
)
def test_files_that_cannot_be_judged(
    run: str | None, qrels: str | None, what: str, tmp_path: Path, call: Callable[..., Left]
) -> None:
    for name, text in (("run.trec", run), ("qrels.txt", qrels)):
        if text is not None:
            (tmp_path / name).write_text(text)
    code, out, error = call("score", "run.trec", "qrels.txt")
    assert (code, out) == (2, "")
    assert error.startswith(f"error: {what}")
    if run is not None and qrels is not None:
        for sides in (("run.trec", "run.trec"),):
            again, _, other = call("compare", *sides, "--qrels", "qrels.txt")
            assert (again, other.startswith(f"error: {what}")) == (2, True)


@pytest.mark.parametrize(
    ("measure", "what"),
    [
        ("ndgc@10", "unknown measure 'ndgc@10'; did you mean 'ndcg@10'?"),
        ("ndcg", "measure 'ndcg' should be written like 'ndcg@10'"),
        ("exact_match", "exact_match needs answers; take one such as ndcg@10"),
    ],
)
def test_measures_that_a_run_has_not(
    measure: str, what: str, files: tuple[Path, Path], call: Callable[..., Left]
) -> None:
    assert files
    code, _, error = call("score", "run.trec", "qrels.txt", "--measure", measure)
    assert (code, error) == (2, f"error: --measure: {what}\n")


def test_two_runs_are_compared(tmp_path: Path, call: Callable[..., Left]) -> None:
    dice = random.Random(0)
    queries = [f"q{number:02}" for number in range(60)]
    (tmp_path / "qrels.txt").write_text("".join(f"{query} 0 d1 1\n" for query in queries))
    for name, worst in (("a", 9), ("b", 3)):
        lines = [f"{query} Q0 d{1 if rank == place else rank + 20} {rank} {-rank} x\n"
                 for query in queries for place in [dice.randint(1, worst)] for rank in range(1, 10)]  # fmt: skip
        (tmp_path / f"{name}.trec").write_text("".join(lines))
    code, out, _ = call("compare", "a.trec", "b.trec", "--qrels", "qrels.txt", "--measure", "mrr@10", "--json")
    assert code == 0
    (row,) = json.loads(out)["rows"]
    assert (row["verdict"], row["measure"], row["n_groups"]) == ("improved", "mrr@10", 60)
    assert json.loads(out)["remarks"][-1].startswith("Every query is its own group")
    # The same lists are known to be no different; other lists of the same scores are not.
    (tmp_path / "qrels.txt").write_text("".join(f"{query} 0 d99 1\n{query} 0 d1 0\n" for query in queries))
    for other, verdict in (("a", "equivalent"), ("b", "inconclusive")):
        code, out, _ = call("compare", "a.trec", f"{other}.trec", "--qrels", "qrels.txt", "--margin", "0.01", "--json")
        (row,) = json.loads(out)["rows"]
        assert (code, row["difference"], row["verdict"]) == (0, 0.0, verdict)


GRADES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3), min_size=1, max_size=6)
HITS = st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=10)
IDS = st.sampled_from(["q1", "q2", "q3"])
MEASURES = {"ndcg@3": "ndcg_cut_3", "recall@5": "recall_5", "map@10": "map_cut_10", "precision@3": "P_3"}


@settings(max_examples=40)
@given(st.dictionaries(IDS, HITS, min_size=1), st.dictionaries(IDS, GRADES, min_size=1), st.randoms())
def test_scores_of_run_files_full_of_ties_are_those_of_trec_eval(
    run: dict[str, dict[str, float]], qrels: Qrels, dice: random.Random
) -> None:
    """Files with their lines in any order and wrong ranks, as other systems write them."""
    judged_queries = {query for query, grades in qrels.items() if any(grades.values())}
    named = {doc for grades in qrels.values() for doc in grades}
    if not any(named & run[query].keys() for query in judged_queries & run.keys()):
        return
    lines = [f"{query} Q0 {doc} 1 {value} x\n" for query, hits in run.items() for doc, value in hits.items()]
    dice.shuffle(lines)
    found = judged_files("".join(lines), "".join(
        f"{query} 0 {doc} {grade}\n" for query, grades in qrels.items() for doc, grade in grades.items()
    ))  # fmt: skip
    import pytrec_eval

    keys = {name.rpartition("_")[0] + "." + name.rpartition("_")[2] for name in MEASURES.values()}
    expected = pytrec_eval.RelevanceEvaluator(qrels, keys).evaluate(run)
    for measure, theirs in MEASURES.items():
        values = {query: expected.get(query, {}).get(theirs, 0.0) for query in judged_queries}
        assert found.values[parse(measure)] == pytest.approx(values, abs=1e-6)
        assert found.means[measure] == pytest.approx(sum(values.values()) / len(values), abs=1e-6)


def judged_files(run: str, qrels: str) -> RunScores:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "run").write_text(run)
        (folder / "qrels").write_text(qrels)
        return score_files(folder / "run", folder / "qrels", [parse(name) for name in MEASURES])


def test_judgements_below_zero_count_as_zero(tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("q1 0 d1 -1\nq1 0 d2 1\n")
    assert read_qrels(tmp_path / "qrels") == {"q1": {"d1": 0, "d2": 1}}
