"""A whole run of candidates that cut documents in different ways, with a tiny retriever, on joined documents."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pocket
import pytest
import smallsuite

from harness.data.datasets import load_dataset
from harness.data.formats import read_run
from harness.experiments import benchmark, query_details, reports
from harness.experiments.benchmark import Finished
from harness.report.explorer import pack
from harness.results import outcomes
from harness.results.outcomes import CHUNKS_FILE
from harness.suite.sources import DatasetSource
from harness.values.passages import span_of

CHANGES: dict[str, Any] = {
    "dataset": {"path": ".", "group": {"metadata": "text"}},
    "pipeline.retriever": {"kind": "bm25"},
    "candidates": {},
    "factorial": {"chunking": ["none", 48, "48-12", "sentences-32", "headings-64"]},
    "measures": ["ndcg@10", "recall@20", "evidence@60", "evidence@9999"],
    "gates": [{"measure": "evidence@60", "margin": 0.02}],
}


def joined(folder: Path) -> None:
    """The passages of each text of `pocket` as one document with headings; each judgement with its span."""
    given = pocket.dataset()
    texts: dict[str, str] = {}
    places: dict[str, tuple[str, int, int]] = {}
    for key, document in given.documents.items():
        whole, text = key.split("-")[0], f"## {document.title}\n\n{document.text}\n\n"
        start = len(texts.get(whole, ""))
        places[key] = (whole, start, start + len(text))
        texts[whole] = texts.get(whole, "") + text
    (folder / "qrels").mkdir(parents=True)
    queries, spans, judged = [], [], ["query-id\tcorpus-id\tscore"]
    for query_id, query in given.splits["test"].queries.items():
        grades = given.splits["test"].usable.get(query_id, {})
        queries.append({"_id": query_id, "text": query.text, "metadata": {"text": query.group}})
        for key in grades:
            whole, start, end = places[key]
            spans.append({"query_id": query_id, "doc_id": whole, "start": start, "end": end})
        judged += [f"{query_id}\t{whole}\t1" for whole in dict.fromkeys(places[key][0] for key in grades)]
    documents = [{"_id": key, "title": "", "text": text} for key, text in texts.items()]
    for name, rows in (("corpus", documents), ("queries", queries), ("spans", spans)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("\n".join(judged) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chunking")
    joined(folder)
    return folder


@pytest.fixture(scope="module")
def finished(folder: Path) -> Finished:
    path = smallsuite.write(folder, smallsuite.bi_encoder(folder / "model"), CHANGES)
    return benchmark.run(path, folder / "store", executor=smallsuite.Here())


def test_every_chunking_is_measured_alike(finished: Finished) -> None:
    outcome = finished.outcome
    rows = {(row.system, row.measure): row for row in outcome.summaries}
    names = [info.name for info in outcome.systems]
    assert names == [
        "bm25", "untuned", "chunking-48", "chunking-48-12", "chunking-sentences-32", "chunking-headings-64"
    ]  # fmt: skip
    assert len({rows[name, "ndcg@10"].n for name in names}) == 1
    assert not any(info.failed for info in outcome.systems)
    # All that is found is read within 9,999 words; whole documents hold every span.
    assert rows["untuned", "evidence@60"].mean < rows["chunking-48", "evidence@60"].mean  # type: ignore[operator]
    assert rows["untuned", "recall@20"].mean == rows["untuned", "evidence@9999"].mean


def test_rankings_name_documents_once_and_misses_by_their_chunk(finished: Finished, folder: Path) -> None:
    documents = load_dataset(DatasetSource(path=str(folder)), "test").documents
    for info in finished.outcome.systems:
        run = read_run(outcomes.run_file(finished.folder, info), escaped=True)
        for hits in run.values():
            ids = [key for key, _ in hits]
            assert len(ids) == len(set(ids))
            assert all(key in documents or ((span := span_of(key)) and span.doc_id in documents) for key in ids)


def test_the_page_shows_the_chunk_that_was_found(finished: Finished) -> None:
    html = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert "chunking-headings-64" in html
    evidence = query_details.of_files(finished.folder, finished.outcome)
    packed = pack(finished.outcome, evidence).text
    shown = json.loads(gzip.decompress(base64.b64decode(packed)))["documents"]
    assert any(span_of(doc_id) for doc_id, _, _ in shown)
    # The page that is made again from the files is the one that the run made.
    assert packed in html
    again = finished.folder.parent.parent / "again.html"
    reports.write_page(finished.folder, again)
    assert again.read_text(encoding="utf-8") == html


def test_a_page_is_made_of_an_outcome_without_chunks_of_an_older_version(finished: Finished, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(finished.folder, old)
    (old / CHUNKS_FILE).unlink()
    evidence = query_details.of_files(old, finished.outcome)
    assert not evidence.found
    assert pack(finished.outcome, evidence).text


def test_a_second_run_computes_nothing(finished: Finished, folder: Path) -> None:
    again = benchmark.run(folder / "suite.yaml", folder / "store", executor=smallsuite.Here())
    assert (again.calls_made, again.scores_computed) == (0, 0)
    assert again.outcome.identities == finished.outcome.identities


def test_other_chunks_have_latencies_of_their_own(finished: Finished) -> None:
    timed = {info.name: info.serving.parts for info in finished.outcome.systems if info.serving}
    assert len({timed[name] for name in ("untuned", "chunking-48", "chunking-headings-64")}) == 3
