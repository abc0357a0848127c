"""Run files and judgements of other systems: what is read, what is told, what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError
from harness.gates.compare import ScoringSettings, compare_runs
from harness.gates.run_files import RunRules, RunScores, read_qrels, read_qrels_file, score_files
from harness.gates.run_lines import FORM, read_run
from harness.values.measures import parse

MRR = parse("mrr@10")
QRELS = "q1 0 d1 1\nq1 0 d2 0\nq2 0 d3 1\n"
RUN = "q1 Q0 d1 1 3.0 x\nq1 Q0 d2 2 2.0 x\nq2 Q0 d3 1 1.0 x\n"


def scored(folder: Path, run: str, qrels: str = QRELS) -> RunScores:
    (folder / "run").write_text(run)
    (folder / "qrels").write_text(qrels)
    return score_files(folder / "run", folder / "qrels", [MRR])


def test_scores_decide_and_ranks_that_contradict_them_are_told(tmp_path: Path) -> None:
    """R22: six lines of one topic, ranks 1 to 6, the relevant document first by rank and fourth by score."""
    scores = [1.74, 1.60, 1.59, 1.98, 1.95, 1.76]
    run = "".join(f"q1 Q0 d{rank} {rank} {score} x\n" for rank, score in enumerate(scores, start=1))
    found = scored(tmp_path, run, "q1 0 d1 1\n")
    assert found.values[MRR]["q1"] == 0.25
    assert "Rankings whose ranks contradict the scores: 1 of 1; scores decide, as in trec_eval." in found.remarks()


@pytest.mark.parametrize(
    ("ranks", "scores", "contradicted"),
    [
        ([1, 2, 3], [3.0, 2.0, 1.0], False),
        ([0, 1, 2], [3.0, 2.0, 2.0], False),
        ([1, 1, 1], [1.0, 2.0, 3.0], False),
        ([3, 2, 1], [1.0, 2.0, 3.0], False),
        ([1, 2, 3], [1.0, 2.0, 3.0], True),
        ([1, 2, 2, 3], [5.0, 2.0, 4.0, 3.0], True),
        (["a", "b", "-"], [1.0, 2.0, 3.0], False),
        ([1, "-", 2], [1.0, 9.0, 3.0], True),
    ],
)
def test_when_ranks_contradict_scores(
    tmp_path: Path, ranks: list[object], scores: list[float], contradicted: bool
) -> None:
    lines = [f"q Q0 d{n} {rank} {score} x\n" for n, (rank, score) in enumerate(zip(ranks, scores, strict=True))]
    (tmp_path / "run").write_text("".join(lines))
    assert bool(read_run(tmp_path / "run").contradicted) == contradicted


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=7))
def test_ranks_contradict_where_any_pair_does(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("run") / "run"
    path.write_text("".join(f"q Q0 d{n} {rank} {score} x\n" for n, (rank, score) in enumerate(pairs)))
    expected = any(one[0] < two[0] and one[1] < two[1] for one in pairs for two in pairs)
    assert bool(read_run(path).contradicted) == expected


def test_ties_are_told_and_those_of_trec_eval_too(tmp_path: Path) -> None:
    found = scored(tmp_path, "q1 Q0 d1 1 2 x\nq1 Q0 d2 2 2 x\nq2 Q0 d3 1 1 x\nq2 Q0 d1 2 0.99999999999 x\n")
    assert (found.tied, found.close) == (1, 1)
    told = found.remarks()
    assert "Rankings with equal scores: 1 of 2; these are ordered by document id, descending, as in trec_eval." in told
    close = "Rankings with scores that differ only beyond single precision: 1 of 2"
    assert f"{close}; trec_eval treats them as ties, the harness does not." in told
    # trec_eval itself would put d3 behind d1 nowhere: by its id d3 comes first, and so it does here.
    assert found.values[MRR] == {"q1": 0.5, "q2": 1.0}


@pytest.mark.parametrize("name", ["run.trec.gz", "run"])
def test_what_gzip_packed_is_read(tmp_path: Path, name: str) -> None:
    """R21: also judgements, and by the first bytes."""
    (tmp_path / name).write_bytes(gzip.compress(RUN.encode()))
    (tmp_path / "qrels.gz").write_bytes(gzip.compress(QRELS.encode()))
    assert score_files(tmp_path / name, tmp_path / "qrels.gz", [MRR]).means == {"mrr@10": 1.0}


def test_the_problems_of_both_files_come_at_once_and_are_few(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("".join(f"q1 d{number} 1.0\n" for number in range(20_000)))
    (tmp_path / "qrels").write_bytes(b"\x28\xb5\x2f\xfd rest")
    with pytest.raises(DataError) as caught:
        score_files(tmp_path / "run", tmp_path / "qrels", [MRR])
    told = [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]
    assert told[:1] == [f"run:1: 3 fields instead of 6; {FORM}"]
    assert told[5:] == [
        "run: 19,995 more of this kind (20,000 in all)",
        "qrels: a file of zstd; unpack it, or pack it with gzip; both are read",
    ]


def test_the_same_line_twice_and_a_missing_tag_are_repaired(tmp_path: Path) -> None:
    found = scored(tmp_path, RUN + RUN.replace(" x\n", "\n"), QRELS + QRELS)
    assert found.means == {"mrr@10": 1.0}
    assert [(repair.kind, repair.count) for repair in found.run_repairs] == [("same-line", 3), ("no-tag", 3)]
    assert [(repair.kind, repair.count) for repair in found.judged.repairs] == [("same-judgement", 3)]
    value = found.as_json()
    assert json.loads(json.dumps(value)) == value
    assert [repair["kind"] for repair in value["repairs"]] == ["same-judgement", "same-line", "no-tag"]


def test_a_list_with_two_scores_for_a_document_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"run:4: query 'q1' lists document 'd1' twice, with the scores 3\.0 \(.*run:1"):
        scored(tmp_path, RUN + "q1 Q0 d1 3 2.5 x\n")


def test_judged_queries_without_a_relevant_document_are_told(tmp_path: Path) -> None:
    found = scored(tmp_path, RUN, QRELS + "q3 0 d1 0\n")
    assert (found.queries, found.left_out) == (2, 1)
    assert "1 judged query has no relevant document and is left out." in found.remarks()


FORMS = [
    "q1\t0\td1\t1\nq1\t0\td2\t0\nq2\t0\td3\t1\n",
    "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\nq2\td3\t1\n",
    "query-id\tcorpus-id\tscore\r\nq1\td1\t1.0\r\nq1\td2\t0.0\r\nq2\td3\t1.0\r\n",
    "qid docid rel\nq1 d1 1\nq1 d2 0\nq2 d3 1\n",
    "q1 Q0 d1 1\nq1 Q0 d2 -1\nq2 Q0 d3 1\n",
    "query_id,doc_id,label\nq1,d1,1\nq1,d2,0\nq2,d3,1\n",
    "\ufeffq1 0 d1 1\n\nq1 0 d2 0\nq2 0 d3 1\nq2 0 d3 1\n",
]


@pytest.mark.parametrize("text", FORMS)
def test_judgements_in_every_common_form(tmp_path: Path, text: str) -> None:
    (tmp_path / "qrels").write_text(text, encoding="utf-8")
    assert read_qrels(tmp_path / "qrels") == {"q1": {"d1": 1, "d2": 0}, "q2": {"d3": 1}}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("q1 d1 1 0.5 x y z\n", "7 fields instead of 3"),
        ("q1\td1\n", "2 fields instead of 3"),
        ("query\tdoc\tgrade\nq1\td1\thalf\n", "relevance 'half' is not an integer"),
        ("q1 0 d1 0.5\n", "relevance '0.5' is not an integer"),
        ("q1 0 d1 nan\n", "relevance 'nan' is not an integer"),
        ("q1\t\t1\n", "no document id"),
        ("id,passage\nq1,d1\n", "1 fields instead of 3"),
    ],
)
def test_lines_that_are_no_judgements_are_named(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "qrels").write_text(text)
    with pytest.raises(DataError) as caught:
        read_qrels_file(tmp_path / "qrels")
    assert what in str(caught.value)


def test_two_runs_are_compared_by_the_same_rules_and_told_so(tmp_path: Path) -> None:
    """What was applied to judgements is told once, what was applied to a run with its name."""
    (tmp_path / "qrels.gz").write_bytes(gzip.compress((QRELS + QRELS + "q3 0 d1 0\n").encode()))
    (tmp_path / "a").write_text(RUN)
    (tmp_path / "b").write_text(RUN.replace("1 3.0", "9 3.0"))
    by = ScoringSettings(tmp_path / "qrels.gz", [MRR], RunRules(exclude_own=True))
    found = compare_runs(tmp_path / "a", tmp_path / "b", by)
    assert [(repair.kind, repair.count) for repair in found.repairs] == [("same-judgement", 3)]
    told = "\n".join(found.remarks)
    assert told.count("1 judged query has no relevant document and is left out.") == 1
    assert told.count("The document with the id of its query is left out") == 1
    assert f"{tmp_path / 'b'}: Rankings whose ranks contradict the scores: 1 of 2" in told
    assert f"{tmp_path / 'a'}: Ranks" not in told


def test_what_is_wrong_in_three_files_comes_at_once(tmp_path: Path) -> None:
    for name in ("a", "b", "qrels"):
        (tmp_path / name).write_text("?\n")
    with pytest.raises(DataError) as caught:
        compare_runs(tmp_path / "a", tmp_path / "b", ScoringSettings(tmp_path / "qrels", [MRR]))
    assert [Path(problem.where.rpartition(":")[0]).name for problem in caught.value.problems] == ["qrels", "a", "b"]


def test_remarks_stand_above_the_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from harness.cli.compare import as_json, show

    for name, text in (("a", RUN), ("b", RUN), ("qrels", QRELS)):
        (tmp_path / name).write_text(text)
    found = compare_runs(tmp_path / "a", tmp_path / "b", ScoringSettings(tmp_path / "qrels", [MRR]))
    show(found, Console(width=200))
    out = capsys.readouterr().out
    assert out.index("Every query is its own group") < out.index("(exploratory)")
    assert as_json(found)["repairs"] == []
