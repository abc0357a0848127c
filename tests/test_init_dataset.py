"""`harness init --from`: a suite that fits what a dataset holds, and a sentence for all that it lacks."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import documents
import pytest
from command import runner

from harness.cli.init import begin_from
from harness.data.datasets import load_dataset
from harness.errors import ConfigError
from harness.models.loaders import EMBEDDED
from harness.planning.plan import build_plan
from harness.suite import builtin
from harness.suite.files import load_suite
from harness.suite.spec import Suite

POCKET = builtin.folder("fixtures") / "pocket"
LONG = "The pump moves water through all of the pipes of this house, and it needs some oil every single year. " * 40


def dataset(
    folder: Path, count: int = 120, text: str = "A pump needs oil once a year, and a valve needs none."
) -> Path:
    lines = [json.dumps({"_id": f"d{n}", "title": f"Part {n}", "text": text}) for n in range(count)]
    return documents.write(folder, {"corpus.jsonl": "\n".join(lines)})


def made(data: Path, folder: Path) -> tuple[Suite, str]:
    lacks = begin_from(data, folder)
    return load_suite(folder)[0], "\n".join(lacks)


@pytest.mark.skipif(
    not all(importlib.util.find_spec(one.module) for one in EMBEDDED.values()),
    reason="the embedded models are not installed, whose digests are part of a plan",
)
def test_a_whole_dataset_gives_a_suite_that_can_be_planned(tmp_path: Path) -> None:
    shutil.copytree(POCKET, tmp_path / "data")
    suite, lacks = made(tmp_path / "data", tmp_path / "My Suite")
    assert suite.name == "my-suite"
    plan = build_plan(suite, load_dataset(suite.dataset, suite.evaluate.split))
    assert {system.name for system in plan.systems} >= {"fused", "late-interaction", "judged", "synthetic", "untuned"}
    assert suite.pipeline.chunking is None
    assert suite.pipeline.depth == 60
    assert "It has 17 judged queries to score; about 200 show" in lacks
    assert "split" not in lacks
    assert "answers" not in lacks


def test_documents_without_questions_give_a_suite_and_the_command_that_writes_some(tmp_path: Path) -> None:
    suite, lacks = made(dataset(tmp_path / "data"), tmp_path / "suite")
    assert lacks == f"It has no questions, so nothing can be scored: harness testset {tmp_path / 'data'} writes some."
    assert suite.pipeline.generator is None
    assert suite.pipeline.chunking is None
    assert str(suite.dataset.path) == "../data" or Path(str(suite.dataset.path)).resolve() == tmp_path / "data"


@pytest.mark.parametrize(("text", "by"), [(LONG, "tokens"), (f"# A\n\n{LONG}\n\n## B\n\n{LONG}", "headings")])
def test_long_documents_are_cut_and_compared_with_whole_ones(tmp_path: Path, text: str, by: str) -> None:
    suite, _ = made(dataset(tmp_path / "data", text=text), tmp_path / "suite")
    assert suite.pipeline.chunking is not None
    assert (suite.pipeline.chunking.by, suite.pipeline.chunking.tokens, suite.pipeline.chunking.overlap) == (
        by,
        256,
        32,
    )
    assert {"chunks-128", "whole"} <= set(suite.candidates)


TEST = "query-id\tcorpus-id\tscore\nq1\td1\t1\n"
QUERIES = '{"_id": "q1", "text": "Which pump?"}\n{"_id": "q2", "text": "Which valve?"}\n'


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, ["no questions"]),
        ({"queries.jsonl": QUERIES}, ["no judged questions"]),
        ({"queries.jsonl": QUERIES, "qrels/test.tsv": TEST},
         ["no split dev", "no split train", "no reference answers"]),
        ({"queries.jsonl": QUERIES, "qrels/validation.tsv": TEST}, ["no split test, so dev is scored"]),
        ({"queries.jsonl": QUERIES, "qrels/train.tsv": TEST},
         ["no split test, so nothing can be scored", "no split dev"]),
        ({"queries.jsonl": QUERIES, "qrels/test.tsv": TEST, "answers.jsonl": '{"_id": "q1", "answers": ["x"]}'},
         ["no split dev"]),
        ({"queries.jsonl": QUERIES, "qrels/test.tsv": TEST,
          "SOURCE.json": '{"questions": {"synthetic": 120, "reviewed": 30}}'},
         ["120 of its questions are synthetic, and a person has reviewed 30"]),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_and_the_suite_is_valid_all_the_same(
    tmp_path: Path, files: dict[str, str], said: list[str]
) -> None:
    data = documents.write(dataset(tmp_path / "data"), files)
    suite, lacks = made(data, tmp_path / "suite")
    for part in said:
        assert part in lacks
    assert (suite.pipeline.generator is not None) == ("answers.jsonl" in files)
    assert ("judged" in suite.candidates) == ("qrels/train.tsv" in files)
    assert suite.evaluate.split == ("dev" if "qrels/validation.tsv" in files else "test")
    assert suite.candidates["fused"].pipeline.retriever.bm25_weight == 0.3


@pytest.mark.parametrize("count", [1, 3, 11, 60])
def test_a_small_corpus_gives_depths_and_cutoffs_that_it_can_fill(tmp_path: Path, count: int) -> None:
    suite, _ = made(dataset(tmp_path / "data", count), tmp_path / "suite")
    assert suite.pipeline.depth == count
    assert max(measure.cutoff or 0 for measure in suite.measures) <= count


def test_another_language_asks_for_other_models(tmp_path: Path) -> None:
    german = "Die Pumpe bewegt das Wasser durch die Rohre des Hauses, und sie braucht einmal im Jahr neues Öl."
    _, lacks = made(dataset(tmp_path / "data", text=german), tmp_path / "suite")
    assert "no questions" in lacks
    documents.write(tmp_path / "data", {"queries.jsonl": QUERIES, "qrels/test.tsv": TEST})
    _, lacks = made(tmp_path / "data", tmp_path / "other")
    assert "It is in German (de), and the embedded models read English only" in lacks


def test_nothing_is_overwritten_and_a_folder_without_a_corpus_is_refused(tmp_path: Path) -> None:
    data = dataset(tmp_path / "data")
    begin_from(data, tmp_path / "suite")
    with pytest.raises(ConfigError, match=r"suite.yaml would be overwritten; choose a new folder"):
        begin_from(data, tmp_path / "suite")
    with pytest.raises(ConfigError, match=r"no such folder; give the folder of a dataset"):
        begin_from(tmp_path / "nope", tmp_path / "x")
    with pytest.raises(ConfigError, match=r"holds no corpus.jsonl; make one with: harness ingest SOURCE DIR"):
        begin_from(tmp_path, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_command_says_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, leave = dataset(tmp_path / "data"), runner(monkeypatch, capsys, columns=80)
    outputs: list[str] = []
    for name, *more in (["one"], ["two", "--json"]):
        code, out, _ = leave("init", "--from", data, tmp_path / name, *more)
        assert code == 0
        outputs.append(out)
    assert f"Wrote suite.yaml to {tmp_path / 'one'}" in outputs[0].replace("\n", " ")
    assert "What the dataset lacks" in outputs[0]
    again = (
        f"Then delete {tmp_path / 'one' / 'suite.yaml'} and run this command again: the suite depends on the questions."
    )
    assert f"Next: add judged questions. {again}" in outputs[0]
    assert json.loads(outputs[1])["missing"][0].startswith("It has no questions")
    documents.write(data, {"queries.jsonl": QUERIES, "qrels/test.tsv": TEST})
    _, out, _ = leave("init", "--from", data, tmp_path / "three")
    assert out.endswith(f"Next: harness doctor {tmp_path / 'three'}, then harness run {tmp_path / 'three'}.\n")
