"""A whole run on a folder with faults, at relevance level 2 and without own documents: right numbers, and all told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pocket
import pytest
import pytrec_eval
import smallsuite

from harness.data.formats import read_parquet, read_run
from harness.experiments import benchmark
from harness.experiments.diagnose import diagnose
from harness.results import outcomes
from harness.values.findings import Outcome

LEVEL = 2


def damaged(folder: Path) -> Path:
    """The dataset `pocket` with grades of 2 for 1, and faults that have one reading in every part."""
    shutil.copytree(pocket.FOLDER, folder)
    for path in (folder / "qrels").iterdir():
        path.write_text(path.read_text().replace("\t1\n", "\t2\n"))
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "e1", "title": null, "text": null}\n{"_id": 77, "text": "", "title": "A title alone"}\n')
        file.write('{"_id": "q30", "text": "The document of the query itself."}\n')
    for name, lines in {
        "train": "q01\tgone\t2\nq02\te1\t2\nq02\twells-1\t1\n",
        "dev": "q17\tgone\t2\nq18\te1\t1\n",
        "test": "q29\tgone\t2\nq30\tq30\t2\nq30\twells-1\t1\nq31\t77.0\t2\nnobody\twells-1\t2\n",
    }.items():
        with (folder / "qrels" / f"{name}.tsv").open("a") as file:
            file.write(lines)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return damaged(tmp_path_factory.mktemp("data") / "pocket")


@pytest.fixture(scope="module")
def suite(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = smallsuite.bi_encoder(tmp_path_factory.mktemp("model"))
    more = {
        "dataset": {"path": str(folder), "group": {"doc_id_prefix": "-"}},
        "evaluate": {"split": "test", "relevance_level": LEVEL, "exclude_own": True, "probe_queries": 2},
        "measures": ["ndcg@10", "map@10", "mrr@10", "recall@10"],
        "gates": [{"measure": "map@10", "margin": 0.02}],
        "recipes": {"retriever": {"epochs": 1, "batch_size": 8, "learning_rate": 0.01, "checkpoints": 2}},
    }
    return smallsuite.write(tmp_path_factory.mktemp("suite"), model, more)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def ran(suite: Path, store: Path) -> tuple[Outcome, Path]:
    done = benchmark.run(suite, store, executor=smallsuite.Here())
    return done.outcome, done.folder


def test_every_system_is_scored_and_every_repair_told(ran: tuple[Outcome, Path]) -> None:
    outcome, folder = ran
    assert [info.failed for info in outcome.systems] == ["", "", ""]
    assert {repair.kind: repair.count for repair in outcome.repairs} == {
        "empty-document": 1, "absent-document": 3, "absent-query": 1, "title-only": 1, "number-id": 1, "decimal-id": 1,
    }  # fmt: skip
    assert outcome.notes[0].startswith("Repaired while reading: 1 document has neither title nor text (kept as empty);")
    assert outcomes.read(folder).repairs == outcome.repairs
    value = json.loads((folder / "outcome.json").read_text())
    assert value["repairs"][0] == {
        "kind": "empty-document",
        "count": 1,
        "examples": [value["repairs"][0]["examples"][0]],
    }
    assert outcome.settings["relevance"].startswith("grade 2 or more is relevant")
    assert "own documents" in outcome.settings
    report = (folder / "report.md").read_text()
    assert "Repairs of the data" in report
    assert "Repaired while reading" in report


def test_scores_are_those_of_trec_eval_on_the_same_lists(ran: tuple[Outcome, Path], folder: Path) -> None:
    """Judgements with the document that is not there, at level 2; gains by all grades; no own document in a list."""
    _, place = ran
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, doc, grade = line.split("\t")
        if query not in ("nobody",) and query != doc:
            qrels.setdefault(query, {})[doc.removesuffix(".0")] = int(grade)
    rows = read_parquet(place / "scores.parquet")
    for system in ("bm25", "untuned"):
        run = {query: dict(hits) for query, hits in read_run(place / "runs" / f"{system}.trec", escaped=True).items()}
        assert "q30" not in run["q30"]
        keys = {"map_cut.10", "recip_rank", "recall.10", "ndcg_cut.10"}
        expected = pytrec_eval.RelevanceEvaluator(qrels, keys, relevance_level=LEVEL).evaluate(run)
        names = {"map@10": "map_cut_10", "recall@10": "recall_10", "ndcg@10": "ndcg_cut_10"}
        for measure, theirs in names.items():
            found = {row["query_id"]: row["value"] for row in rows if row["system"] == system
                     and row["measure"] == measure and row["split"] == "test" and row["status"] == "ok"}  # fmt: skip
            wanted = {query: expected.get(query, {}).get(theirs, 0.0) for query in qrels}
            assert found == pytest.approx(wanted, abs=1e-6)


def test_training_saw_what_is_relevant_and_there(ran: tuple[Outcome, Path]) -> None:
    """Pairs of grade 1 and of documents that are not there are none; the empty document is one."""
    outcome, _ = ran
    clean = pocket.dataset().splits["train"]
    pairs = sum(grade > 0 for grades in clean.qrels.values() for grade in grades.values())
    (mined,) = [row for row in outcome.ledger if row.stage == "mine"]
    assert mined.notes["judged"] == pairs + 1


def test_a_diagnosis_tells_the_same(suite: Path, store: Path) -> None:
    found = diagnose(suite, store, executor=smallsuite.Here()).diagnosis
    assert found.notes[0].startswith("Repaired while reading:")
    funnel = found.funnel("retrieval")
    assert funnel is not None
    assert sum(place.count for place in funnel.places) == found.judged
