"""Published scores by query, and run files, compared and ranked: what is read, what is told, what is refused."""

# ruff: noqa: F811 (a fixture of another module is a parameter here)
from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged import scores
from test_gating import Left, call  # noqa: F401

from harness.errors import ConfigError, DataError, NotComparable
from harness.gates.published import AS_PUBLISHED, measure_named, read_score_file
from harness.gates.ranking import rank_files
from harness.gates.run_files import OWN_GROUPS

DOCS = Path(__file__).resolve().parent.parent / "docs"
TABLE = "query\tnDCG@10\tR@100\nq1\t0.5\t1\nq2\t0.25\t0\n"
VALUES = {"ndcg@10": {"q1": 0.5, "q2": 0.25}, "recall@100": {"q1": 1.0, "q2": 0.0}}


def written(folder: Path, text: str, name: str = "scores.txt") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


# ---- what is read


@pytest.mark.parametrize(
    "text",
    [
        TABLE,
        TABLE.replace("\t", ","),
        TABLE.replace("\t", ";").replace("query", "query_id"),
        "ndcg_cut_10\tq1\t0.5\nrecall_100\tq1\t1\nndcg_cut_10 q2 0.25\nrecall_100 q2 0\nndcg_cut_10 all 0.375\n",
        "q1 nDCG@10 0.5\nq1 R@100 1.0\nq2 nDCG@10 0.25\nq2 R@100 0.0\nall nDCG@10 0.375\n",
        json.dumps({"q1": {"ndcg_cut_10": 0.5, "recall_100": 1}, "q2": {"ndcg_cut_10": 0.25, "recall_100": 0}}),
        json.dumps(VALUES, indent=1),
        json.dumps({"means": {"ndcg@10": 0.375}, "per_query": VALUES}),
    ],
)
def test_every_form_is_read_alike(text: str, tmp_path: Path) -> None:
    file = read_score_file(written(tmp_path, text))
    assert file.table.values == VALUES
    assert file.table.groups == {"q1": "q1", "q2": "q2"}
    assert (file.unknown, file.grouped) == ((), False)
    packed = tmp_path / "scores.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert read_score_file(packed) == file


def test_groups_failures_and_queries_without_a_score(tmp_path: Path) -> None:
    text = "qid,group,mrr@10,utility\nq1,a,1,-1\nq2,a,failed,-\nq3,b,nan,\n"
    file = read_score_file(written(tmp_path, text))
    assert file.table.values == {"mrr@10": {"q1": 1.0, "q2": None, "q3": None}, "utility": {"q1": -1.0}}
    assert file.table.groups == {"q1": "a", "q2": "a", "q3": "b"}
    assert file.grouped


def test_measures_that_the_harness_does_not_have_are_named(tmp_path: Path) -> None:
    file = read_score_file(written(tmp_path, "map q1 0.1\nP_10 q1 0.2\nnum_ret q1 1000\nmap all 0.1\n"))
    assert file.table.values == {"precision@10": {"q1": 0.2}}
    assert file.unknown == ("map", "num_ret")


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("ndcg_cut_10", "ndcg@10"), ("ndcg_cut.5", "ndcg@5"), ("nDCG@10", "ndcg@10"), ("P_20", "precision@20"),
        ("RR@10", "mrr@10"), ("AP@1000", "map@1000"), ("map_cut_100", "map@100"), ("Success@1", "hit_rate@1"),
        ("token_f1", "token_f1"), ("exact_match", "exact_match"), ("recip_rank", None), ("ndcg", None), ("x@10", None),
        ("ndcg@0", None), ("", None),
    ],
)  # fmt: skip
def test_names_of_measures(name: str, measure: str | None) -> None:
    found = measure_named(name)
    assert (str(found) if found else None) == measure


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.text("abcq123", min_size=1, max_size=4).filter(lambda name: name not in ("all", "amean", "mean")),
        st.floats(0, 1),
        min_size=1,
    )
)
def test_what_is_written_as_a_table_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, float]
) -> None:
    text = "query,recall@10\n" + "".join(f"{query},{value!r}\n" for query, value in values.items())
    path = written(tmp_path_factory.mktemp("table"), text)
    assert read_score_file(path).table.values == {"recall@10": values}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("q1 Q0 d1 1 3.0 x\n", "no table of scores by query, and a run file needs judgements; add --qrels FILE"),
        ("", "no table of scores by query"),
        ("query,ndcg@10\nq1,63.2\n", "scores.txt:2: '63.2' is no ndcg@10, which is 0 to 1; divide percentages by 100"),
        ("query,ndcg@10\nq1,high\n", "scores.txt:2: 'high' is no ndcg@10, which is 0 to 1; give the scores of this"),
        ("query,ndcg@10\nq1,0.1\nq1,0.2\n", "scores.txt:3: query 'q1' has two scores of ndcg@10; remove one"),
        ("query,ndcg@10\nq1\n", "scores.txt:2: 1 cells instead of 2"),
        ("query,map\nq1,0.2\n", "none of its measures is one of the harness: map; see 'harness list'"),
        ('{"q1": 0.5}', "no table of scores by query"),
    ],
)
def test_what_is_refused(text: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_score_file(written(tmp_path, text))
    assert what in str(caught.value)


# ---- compared


def table(values: list[float], measure: str = "nDCG@10", group: int = 0) -> str:
    """A table of scores; with `group`, so many queries belong together."""
    head = f"query,group,{measure}\n" if group else f"query,{measure}\n"
    rows = [
        f"q{number},g{number // group},{value}\n" if group else f"q{number},{value}\n"
        for number, value in enumerate(values)
    ]
    return head + "".join(rows)


def test_two_files_of_scores_are_compared_like_two_runs(tmp_path: Path, call: Callable[..., Left]) -> None:
    base = scores()
    written(tmp_path, table(base), "a.csv")
    written(tmp_path, table([min(value + 0.05, 1.0) for value in base]), "b.csv")
    code, out, _ = call("compare", "a.csv", "b.csv", "--json")
    assert code == 0
    found = json.loads(out)
    (row,) = found["rows"]
    assert (row["measure"], row["verdict"], row["n_queries"], row["n_groups"]) == ("ndcg@10", "improved", 120, 120)
    assert row["difference"] == pytest.approx(0.05, abs=1e-3)
    assert found["remarks"] == [AS_PUBLISHED, OWN_GROUPS]
    assert call("compare", "a.csv", "b.csv", "--measure", "recall@10")[0] == 4
    assert call("compare", "a.csv", "b.csv", "--measure", "ndgc@10")[0] == 2


def test_groups_of_a_table_are_the_unit_of_the_interval(tmp_path: Path, call: Callable[..., Left]) -> None:
    base = scores()
    moved = [min(value + 0.02 * (number // 30 % 2), 1.0) for number, value in enumerate(base)]
    found = {}
    for group in (0, 30):
        written(tmp_path, table(base, group=group), "a.csv")
        written(tmp_path, table(moved), "b.csv")
        found[group] = json.loads(call("compare", "a.csv", "b.csv", "--json")[1])
    assert [found[group]["rows"][0]["n_groups"] for group in (0, 30)] == [120, 4]
    assert found[30]["remarks"] == [AS_PUBLISHED]
    assert found[30]["rows"][0]["verdict"] == "inconclusive"
    assert found[0]["rows"][0]["verdict"] == "improved"


# ---- ranked


def test_scores_that_differ_clearly_are_ranked_and_others_share_places(tmp_path: Path) -> None:
    base = scores(spread=0.05)
    files = [
        written(tmp_path, table(base), "first.csv"),
        written(tmp_path, table([value + 0.0001 * (-1) ** number for number, value in enumerate(base)]), "equal.csv"),
        written(tmp_path, table([value - 0.2 for value in base]), "last.csv"),
    ]
    (board,) = rank_files(files, None).boards
    assert (board.measure, board.queries, board.groups) == ("ndcg@10", 120, 120)
    assert {row.label: (row.best, row.worst) for row in board.rows} == {
        "first.csv": (1, 2), "equal.csv": (1, 2), "last.csv": (3, 3),
    }  # fmt: skip


def test_runs_are_ranked_by_judgements_and_remarks_name_the_file(tmp_path: Path, call: Callable[..., Left]) -> None:
    queries = [f"q{number}" for number in range(30)]
    written(tmp_path, "".join(f"{query} 0 d1 1\n" for query in queries), "qrels")
    written(tmp_path, "".join(f"{query} Q0 d1 1 2.0 x\n{query} Q0 d2 2 1.0 x\n" for query in queries), "good.trec")
    written(tmp_path, "".join(f"{query} Q0 d2 1 2.0 x\n{query} Q0 d1 2 1.0 x\n" for query in queries[1:]), "bad.trec")
    code, out, _ = call("leaderboard", "good.trec", "bad.trec", "--qrels", "qrels", "--measure", "mrr@10")
    assert code == 0
    told = " ".join(out.split())
    assert "good.trec is first: it is significantly better than every other file." in told
    assert "bad.trec: Judged queries that the run lacks: 1 of 30; each scores 0." in told
    assert not (tmp_path / "reports").exists()
    found = json.loads(call("leaderboard", "good.trec", "bad.trec", "--qrels", "qrels", "--json")[1])
    assert [row["label"] for row in found["boards"][0]["rows"]] == ["good.trec", "bad.trec"]
    assert found["remarks"][-1] == OWN_GROUPS


def test_own_scores_stand_beside_published_ones(tmp_path: Path, call: Callable[..., Left]) -> None:
    written(tmp_path, "q1 0 d1 1\nq2 0 d1 1\n", "qrels")
    written(tmp_path, "q1 Q0 d1 1 2.0 x\nq2 Q0 d1 1 1.0 x\n", "run")
    written(tmp_path, call("score", "run", "qrels", "--json")[1], "ours.json")
    written(tmp_path, "query,nDCG@10,map\nq1,0.5,0.1\nq2,failed,0.1\nq3,0.1,0.1\n", "theirs.csv")
    code, out, _ = call("leaderboard", "ours.json", "theirs.csv", "--json")
    found = json.loads(out)
    assert code == 0
    assert [row["label"] for row in found["boards"][0]["rows"]] == ["ours.json"]
    assert found["boards"][0]["unranked"] == ["theirs.csv"]
    assert "theirs.csv: left out, because the harness has no such measure: map." in found["remarks"]
    assert "ndcg@10: 1 query has no score in some file and is left out." in found["remarks"]
    told = call("leaderboard", "ours.json", "theirs.csv")[1]
    assert "is first" not in told
    assert "Not ranked, because scores failed: theirs.csv." in " ".join(told.split())


def test_files_that_cannot_be_ranked(tmp_path: Path) -> None:
    one, two = written(tmp_path, table([0.5, 0.6]), "a.csv"), written(tmp_path, table([0.5], "R@10"), "b.csv")
    with pytest.raises(ConfigError, match="one file alone has no rank; give two or more files, each once"):
        rank_files([one], None)
    with pytest.raises(ConfigError, match="a file is named twice"):
        rank_files([one, one], None)
    with pytest.raises(NotComparable, match=r"a\.csv and b\.csv: have no measure in common"):
        rank_files([one, two], None)
    other = written(tmp_path, table([0.5]).replace("q0", "x0"), "c.csv")
    with pytest.raises(NotComparable, match=r"share no query of ndcg@10"):
        rank_files([one, other], None)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["a.csv", "b.csv", "--baselines", "x"], "--baselines: ranks suites, not files; leave it out"),
        (["a.csv", "b.csv", "--reports", "x"], "--reports: ranks suites, not files; leave it out"),
        (["a.csv", "b.csv", "--relevance-level", "2"], "--relevance-level and --exclude-own need --qrels"),
        (["--measure", "ndcg@10"], "--measure: needs run files; leave it out"),
        (["--qrels", "x"], "--qrels: needs run files; leave it out"),
    ],
)
def test_options_that_do_not_go_together(
    arguments: list[str], error: str, tmp_path: Path, call: Callable[..., Left]
) -> None:
    (tmp_path / "x").mkdir()
    for name in ("a.csv", "b.csv"):
        written(tmp_path, table([0.5, 0.6]), name)
    code, out, told = call("leaderboard", *arguments)
    assert (code, out) == (2, "")
    assert error in told


# ---- the page


def blocks() -> list[str]:
    text = (DOCS / "rejudge.md").read_text(encoding="utf-8")
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def test_every_command_of_the_page_runs(tmp_path: Path, call: Callable[..., Left]) -> None:
    import random

    generator = random.Random(7)
    queries, documents = [f"q{number}" for number in range(40)], [f"d{number}" for number in range(30)]
    relevant = {query: generator.choice(documents) for query in queries}
    written(tmp_path, "".join(f"{query}\t0\t{doc}\t1\n" for query, doc in relevant.items()), "qrels.tsv")
    for name, skill in (("bm25", 0.6), ("minilm", 0.55), ("hybrid", 0.9)):
        lines = []
        for query in queries:
            order = generator.sample(documents, len(documents))
            if generator.random() < skill:
                order.sort(key=lambda doc: doc != relevant[query])
            lines += [f"{query} Q0 {doc} {place} {1 / place} {name}\n" for place, doc in enumerate(order, 1)]
        written(tmp_path, "".join(lines), f"{name}.trec")
    for name in ("theirs-a.csv", "theirs-b.csv"):
        written(tmp_path, "query,nDCG@10\n" + "".join(f"{query},{generator.random()}\n" for query in queries), name)
    written(tmp_path, call("score", "bm25.trec", "qrels.tsv", "--json")[1], "ours.json")
    lines = [line for block in blocks() for line in block.splitlines()]
    assert len(lines) >= 5
    for line in lines:
        name, *arguments = line.split()[1:]
        code, out, error = call(name, *arguments)
        assert (code, error) == (0, ""), f"{line}\n{out}{error}"
        assert "ndcg@10" in out


def test_the_published_table_is_judged_as_the_page_says(
    monkeypatch: pytest.MonkeyPatch, call: Callable[..., Left]
) -> None:
    text = (DOCS / "rejudge.md").read_text(encoding="utf-8")
    commands, shown = re.search(r"```bash\ncd docs/rejudge\n(.*?)```\n\n```\n(.*?)```", text, re.DOTALL).groups()  # type: ignore[union-attr]
    monkeypatch.chdir(DOCS / "rejudge")
    monkeypatch.setenv("COLUMNS", "100")
    printed = ""
    for line in commands.splitlines():
        code, out, error = call(*line.split()[1:])
        assert (code, error) == (0, "")
        printed += out
    squeezed = " ".join(printed.split())
    for line in shown.splitlines():
        assert " ".join(line.split()) in squeezed


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_runs_of_scifact_give_the_published_mean_and_a_verdict(tmp_path: Path, call: Callable[..., Left]) -> None:
    from harness.experiments import benchmark

    if "HARNESS_DATA" not in os.environ:
        pytest.skip("HARNESS_DATA names no folder of datasets")
    done = benchmark.run("scifact", Path(os.environ.get("HARNESS_STORE", tmp_path)))
    runs = {path.name.partition(".")[0]: str(path) for path in (done.folder / "runs").iterdir()}
    qrels = str(Path(os.environ["HARNESS_DATA"]) / "scifact" / "qrels" / "test.tsv")
    found = json.loads(call("score", runs["untuned"], qrels, "--json")[1])
    assert found["means"]["ndcg@10"] == pytest.approx(0.6451, abs=0.005)
    compared = json.loads(call("compare", runs["bm25"], runs["untuned"], "--qrels", qrels, "--json")[1])
    (row,) = compared["rows"]
    print(row)
    assert row["n_queries"] == 300
    assert row["detectable"] > 0
    ranked = json.loads(call("leaderboard", runs["bm25"], runs["untuned"], "--qrels", qrels, "--json")[1])
    places = {place["label"]: (place["best"], place["worst"]) for place in ranked["boards"][0]["rows"]}
    apart = row["low"] > 0 or row["high"] < 0
    assert set(places.values()) == ({(1, 1), (2, 2)} if apart else {(1, 2)})
