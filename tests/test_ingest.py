"""A dataset folder of documents: what is read and passed over, ids, updates, and what is never overwritten."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import documents
import ingesting
import pytest
from command import runner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingesting import ids, reasons, rows, run

from harness.data.imports import Imported, Note
from harness.errors import ConfigError, DataError, Problem
from harness.hashing import digest_file
from harness.ingest import sources, update
from harness.ingest.apart import Apart, Limits
from harness.ingest.readers.parsed import Unreadable


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update, "Apart", ingesting.Here)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return documents.write(tmp_path / "docs", {f"guide{suffix}": make() for suffix, make in documents.MAKERS.items()})


# ---- a folder


def test_a_folder_of_every_format_is_a_dataset(docs: Path, tmp_path: Path) -> None:
    report = run(docs, into=tmp_path / "data")
    assert ids(tmp_path / "data") == ["guide.docx", "guide.html", "guide.md", "guide.pdf", "guide.rst", "guide.txt"]
    first = rows(tmp_path / "data")[0]
    assert first["title"] == documents.TITLE
    assert first["metadata"] == {"source": "guide.docx", "format": "docx"}
    summary = report.as_json()
    assert summary["documents"] == 6
    assert summary["sections"] == 10
    assert summary["languages"] == {"en": 6}
    assert summary["unreadable"] == summary["notes"] == summary["problems"] == []
    assert summary["duplicates"]["exact"] == [[name for name in ids(tmp_path / "data") if name != "guide.txt"]]
    source = json.loads((tmp_path / "data" / "SOURCE.json").read_text(encoding="utf-8"))
    assert source == {"made_by": "harness ingest", "sources": ["../docs"]}


def test_what_lies_beside_documents_is_passed_over_and_counted(docs: Path, tmp_path: Path) -> None:
    passed = {".git/x.md": "# no", ".hidden.md": "# no", "node_modules/a.md": "# no", "~$guide.docx": "lock"}
    documents.write(docs, {**passed, "a.PNG": b"\x89PNG", "b.png": b"\x89PNG", "Makefile": "all:", "t.csv": "a,b"})
    report = run(docs, into=tmp_path / "data")
    assert len(ids(tmp_path / "data")) == 6
    assert dict(report.suffixes) == {".png": 2, "no suffix": 1, ".csv": 1}
    assert report.hidden == 4


def test_bad_files_cost_nothing_but_themselves(docs: Path, tmp_path: Path) -> None:
    documents.write(docs, {"e.md": "", "b.txt": b"\0\1\2" * 99, "s.pdf": documents.scan(), "big.txt": "word " * 900_000,
                           "x.html": "<script>a</script>", "c.docx": documents.docx()[:99]})  # fmt: skip
    (docs / "dir.md").mkdir()
    (docs / "gone.md").symlink_to(docs / "nowhere.md")
    report = run(docs, into=tmp_path / "data", limits=Limits(bytes=4_000_000))
    assert len(ids(tmp_path / "data")) == 6
    assert reasons(report) == {
        "is empty": ["e.md"],
        "is a binary file, not text": ["b.txt"],
        "has no text layer (scanned, or pictures only)": ["s.pdf"],
        "is larger than --max-file-mb": ["big.txt"],
        "holds no text but scripts that write it": ["x.html"],
        "is damaged, or no DOCX": ["c.docx"],
        "is a link to nothing": ["gone.md"],
    }


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")
def test_links_are_followed_only_inside_and_only_to_what_is_not_read_anyway(docs: Path, tmp_path: Path) -> None:
    documents.write(tmp_path / "outside", {"secret.md": "# Secret"})
    documents.write(docs, {"..data/config.md": "# Mounted\n\nas Kubernetes does", "sub/x.md": "# X\n\nx"})
    links = {"again.md": "guide.md", "leaves.md": "../outside/secret.md", "out": "../outside", "round": ".",
             "config.md": "..data/config.md", "self.md": "self.md"}  # fmt: skip
    for name, target in links.items():
        (docs / name).symlink_to(target)
    os.mkfifo(docs / "pipe.md")
    report = run(docs, into=tmp_path / "data")
    assert set(ids(tmp_path / "data")) == {f"guide{suffix}" for suffix in documents.MAKERS} | {"config.md", "sub/x.md"}
    assert report.links == 2
    assert reasons(report) == {
        "is a link that leaves the folder": ["leaves.md", "out"],
        "is a link to nothing": ["self.md"],
        "is no regular file": ["pipe.md"],
    }


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_opened_is_told(docs: Path, tmp_path: Path) -> None:
    (docs / "guide.md").chmod(0)
    assert reasons(run(docs, into=tmp_path / "data")) == {"cannot be opened (Permission denied)": ["guide.md"]}


def test_documents_of_a_folder_that_may_not_be_opened_stay(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents.write(docs, {"shut/a.md": "# A\n\ntext", "shutter.md": "# B\n\ntext"})
    run(docs, into=tmp_path / "data")
    (docs / "shutter.md").unlink()
    whole = os.scandir

    def refuse(place: str | os.PathLike[str]) -> Any:
        if str(place).endswith("shut"):
            raise PermissionError(13, "Permission denied", place)
        return whole(place)

    monkeypatch.setattr(os, "scandir", refuse)
    report = run(docs, into=tmp_path / "data")
    assert report.changes == {"unchanged": 6, "unreadable_kept": 1, "removed": 1}
    assert reasons(report) == {"cannot be opened (Permission denied)": ["shut"]}
    assert ids(tmp_path / "data")[-1] == "shut/a.md"


def test_a_note_is_told_in_every_run(tmp_path: Path) -> None:
    docs = documents.write(
        tmp_path / "docs", {"a.txt": "Größe und Länge für alle Gäste, täglich. ".encode("cp1252") * 9}
    )
    notes = run(docs, into=tmp_path / "data").notes
    assert [(one["note"][:12], one["files"]) for one in notes] == [("read as cp12", ["a.txt"])]
    assert run(docs, into=tmp_path / "data").notes == notes


def test_names_of_any_bytes_give_ids_that_can_be_written(tmp_path: Path) -> None:
    docs = documents.write(tmp_path / "docs", {"a b\t.md": "# One\n\ntext", "ünï.md": "# Two\n\ntext"})
    Path(os.fsdecode(os.fsencode(docs) + b"/\xff\xfe.md")).write_text("# Three\n\ntext", encoding="utf-8")
    run(docs, into=tmp_path / "data")
    assert sorted(ids(tmp_path / "data")) == ["\\xff\\xfe.md", "a_b_.md", "ünï.md"]


def test_the_output_inside_the_source_is_no_source(docs: Path) -> None:
    run(docs, into=docs / "data")
    documents.write(docs / "data", {"notes.md": "# Mine\n\ntext"})
    assert run(docs, into=docs / "data").changes == {"unchanged": 6}


# ---- ids and updates


def test_an_update_keeps_ids_and_order_and_replaces_what_changed(docs: Path, tmp_path: Path) -> None:
    run(docs, into=tmp_path / "data")
    before = rows(tmp_path / "data")
    documents.write(docs, {"guide.md": "# New\n\ntext", "added/deep.md": "# Deep\n\ntext"})
    (docs / "guide.txt").unlink()
    report = run(docs, into=tmp_path / "data")
    assert report.changes == {"unchanged": 4, "changed": 1, "added": 1, "removed": 1}
    after = rows(tmp_path / "data")
    assert [row["_id"] for row in after] == [
        "added/deep.md", "guide.docx", "guide.html", "guide.md", "guide.pdf", "guide.rst",
    ]  # fmt: skip
    kept = {row["_id"]: row for row in before if row["_id"] not in ("guide.md", "guide.txt")}
    assert {row["_id"]: row for row in after if row["_id"] in kept} == kept


def test_the_second_run_writes_the_same_bytes_and_reads_nothing_again(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(docs, into=tmp_path / "data")
    digest = digest_file(tmp_path / "data" / "corpus.jsonl")
    monkeypatch.setattr(ingesting.Here, "read", None)
    assert run(docs, into=tmp_path / "data").changes == {"unchanged": 6}
    assert digest_file(tmp_path / "data" / "corpus.jsonl") == digest


def test_a_newer_reader_reads_every_file_again(docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(docs, into=tmp_path / "data")
    monkeypatch.setattr(update, "READERS_VERSION", update.READERS_VERSION + 1)
    read: list[str] = []
    whole = ingesting.Here.read
    monkeypatch.setattr(ingesting.Here, "read", lambda self, path, name: read.append(name) or whole(self, path, name))
    assert run(docs, into=tmp_path / "data").changes == {"unchanged": 6}
    assert len(read) == 6


def test_a_document_whose_file_breaks_stays_as_it_was(docs: Path, tmp_path: Path) -> None:
    run(docs, into=tmp_path / "data")
    before = rows(tmp_path / "data")
    documents.write(docs, {"guide.md": b"\0\0\0", "guide.pdf": b"half"})
    report = run(docs, into=tmp_path / "data")
    assert report.changes == {"unchanged": 4, "unreadable_kept": 2}
    assert rows(tmp_path / "data") == before
    documents.write(docs, {"guide.md": "# Mended\n\ntext"})
    assert run(docs, into=tmp_path / "data").changes == {"unchanged": 4, "changed": 1, "unreadable_kept": 1}


def test_what_vanished_can_be_kept(docs: Path, tmp_path: Path) -> None:
    run(docs, into=tmp_path / "data")
    (docs / "guide.md").unlink()
    assert run(docs, into=tmp_path / "data", keep_missing=True).changes == {"unchanged": 5, "kept": 1}
    assert ids(tmp_path / "data")[-1] == "guide.md"
    digest = digest_file(tmp_path / "data" / "corpus.jsonl")
    run(docs, into=tmp_path / "data", keep_missing=True)
    assert digest_file(tmp_path / "data" / "corpus.jsonl") == digest
    documents.write(docs, {"guide.md": documents.markdown()})
    assert run(docs, into=tmp_path / "data").changes == {"unchanged": 6}
    assert ids(tmp_path / "data")[2] == "guide.md"


def test_paths_that_collide_get_the_name_of_their_source_and_keep_it(tmp_path: Path) -> None:
    one = documents.write(tmp_path / "one", {"a.md": "# A\n\none", "same name.md": "x one", "same\tname.md": "y one"})
    two = documents.write(tmp_path / "two", {"a.md": "# A\n\ntwo", "b.md": "# B\n\ntwo"})
    three = documents.write(tmp_path / "x" / "two", {"a.md": "# A\n\nthree"})
    report = run(one, two, three, into=tmp_path / "data")
    expected = ["a.md", "same_name.md", "one/same_name.md", "two/a.md", "b.md", "two/a.md~2"]
    assert ids(tmp_path / "data") == expected
    assert report.collisions == 3
    # In another order, and with the first one gone, everything keeps its id.
    (one / "a.md").unlink()
    run(three, two, one, into=tmp_path / "data")
    assert ids(tmp_path / "data") == ["two/a.md~2", "two/a.md", "b.md", "same_name.md", "one/same_name.md"]


def test_a_source_that_is_no_longer_named_is_removed_and_counted(tmp_path: Path) -> None:
    one = documents.write(tmp_path / "one", {"a.md": "# A\n\none"})
    two = documents.write(tmp_path / "two", {"b.md": "# B\n\ntwo"})
    run(one, two, into=tmp_path / "data")
    assert run(one, one, into=tmp_path / "data").changes == {"unchanged": 1, "removed": 1}
    assert run(two, into=tmp_path / "data", keep_missing=True).changes == {"added": 1, "kept": 1}


TREES = st.dictionaries(
    st.sampled_from(["a.md", "b.md", "a b.md", "a\tb.md", "s/a.md", "s/t/c.txt", "d.rst", "e.html", "f.txt"]),
    st.sampled_from(["# One\n\ntext", "text alone", "", "# Two\n\n## Part\n\nmore", "<p>page</p>", "\0\0", "Größe"]),
    max_size=7,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees=st.lists(TREES, min_size=1, max_size=3), keep=st.booleans())
def test_an_ingest_is_idempotent_and_ids_are_stable(
    trees: list[dict[str, str]], keep: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("law")
    docs, known = documents.write(place / "docs", {"always.md": "# Always\n\nhere"}), dict[str, str]()
    for tree in trees:
        for path in [path for path in docs.rglob("*") if path.is_file() and path.name != "always.md"]:
            path.unlink()
        documents.write(docs, tree)
        first = run(docs, into=place / "data", keep_missing=keep)
        written = (place / "data" / "corpus.jsonl").read_bytes()
        second = run(docs, into=place / "data", keep_missing=keep)
        assert (place / "data" / "corpus.jsonl").read_bytes() == written
        assert set(second.changes) <= {"unchanged", "kept", "unreadable_kept"}
        assert first.as_json()["documents"] == second.as_json()["documents"] == len(ids(place / "data"))
        assert len(set(ids(place / "data"))) == len(ids(place / "data"))
        now = {row["metadata"]["source"]: row["_id"] for row in rows(place / "data")}
        assert all(now[path] == known[path] for path in now.keys() & known.keys())
        known = now
    assert not [path.name for path in (place / "data").iterdir() if path.name.startswith(".")]


# ---- what is never overwritten


def test_a_corpus_of_somebody_else_is_left_alone(docs: Path, tmp_path: Path) -> None:
    for name in ("corpus.jsonl", "corpus.jsonl.gz", "corpus.tsv"):
        mine = documents.write(tmp_path / name.replace(".", "-"), {name: "mine"})
        with pytest.raises(ConfigError, match=r"holds a corpus .* did not write; choose another folder"):
            run(docs, into=mine)
        assert [path.name for path in mine.iterdir()] == [name]


def test_a_corpus_that_was_changed_by_hand_is_left_alone(docs: Path, tmp_path: Path) -> None:
    run(docs, into=tmp_path / "data")
    with (tmp_path / "data" / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"_id": "mine", "text": "x"}\n')
    with pytest.raises(ConfigError, match=r"corpus.jsonl: was changed after 'harness ingest' wrote it; move it"):
        run(docs, into=tmp_path / "data")
    (tmp_path / "data" / "corpus.jsonl").rename(tmp_path / "moved.jsonl")
    assert run(docs, into=tmp_path / "data").changes == {"unchanged": 6}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "harness/ingest-9"}', '{"schema": "harness/ingest-1"}'])
def test_a_damaged_state_is_said_in_a_sentence(docs: Path, tmp_path: Path, text: str) -> None:
    documents.write(tmp_path / "data", {"ingest.json": text})
    with pytest.raises(ConfigError, match=r"ingest.json: is damaged, or of another version"):
        run(docs, into=tmp_path / "data")


def test_a_crash_before_the_corpus_is_in_place_costs_only_time(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(docs, into=tmp_path / "data")
    documents.write(docs, {"guide.md": "# Other\n\ntext"})
    with monkeypatch.context() as patch:
        patch.setattr("harness.ingest.corpus.NewCorpus.commit", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(docs, into=tmp_path / "data")
    assert not [path.name for path in (tmp_path / "data").iterdir() if path.name.startswith(".")]
    run(docs, into=tmp_path / "data")
    assert rows(tmp_path / "data")[2]["title"] == "Other"
    assert len(set(ids(tmp_path / "data"))) == 6


def test_no_document_at_all_leaves_the_folder_as_it_was(docs: Path, tmp_path: Path) -> None:
    run(docs, into=tmp_path / "data")
    before = digest_file(tmp_path / "data" / "corpus.jsonl")
    empty = documents.write(tmp_path / "empty", {"a.png": b"", "b.md": ""})
    with pytest.raises(DataError) as caught:
        run(empty, into=tmp_path / "data")
    first, second = map(str, caught.value.problems)
    assert "no document could be read; what is in the dataset folder stays" in first
    assert second == "b.md: is empty"
    with pytest.raises(DataError, match="no document could be read; see"):
        run(empty, into=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert digest_file(tmp_path / "data" / "corpus.jsonl") == before


def test_every_source_that_is_not_there_is_named_before_any_work(docs: Path, tmp_path: Path) -> None:
    documents.write(tmp_path, {"picture.png": b"\x89PNG"})
    with pytest.raises(ConfigError) as caught:
        run(tmp_path / "nope", docs, tmp_path / "picture.png", into=tmp_path / "data")
    assert [problem.what for problem in caught.value.problems] == [
        "no such file or folder", "is of no kind that is read",
    ]  # fmt: skip
    assert not (tmp_path / "data").exists()


# ---- imports

IMPORTED = Imported(
    documents=[{"_id": "a.md", "title": "", "text": "from a table"}, {"_id": "t2", "title": "", "text": "more"}],
    queries=[{"_id": "q1", "text": "what?"}, {"_id": "q2", "text": "who?"}],
    qrels={"test": {"q1": {"a.md": 1}, "q2": {}}},
    answers=[{"_id": "q1", "answers": ["x"], "answerable": True, "source_passages": ["a.md"]}],
    spans=[{"query_id": "q1", "doc_id": "a.md", "start": 0, "end": 4}],
    source={"from": "table.csv", "license": "MIT"},
    problems=[Problem("table.csv:3", "has no text"), Note("table.csv", "no query is in the split 'dev'")],
)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = documents.write(tmp_path, {"table.csv": "x"}) / "table.csv"
    monkeypatch.setattr(sources, "read_import", lambda name, columns: IMPORTED if name.endswith(".csv") else None)
    return path


def test_an_import_brings_questions_and_its_ids_follow_those_of_the_corpus(table: Path, tmp_path: Path) -> None:
    docs = documents.write(tmp_path / "docs", {"a.md": "# A\n\ntext"})
    report = run(docs, table, into=tmp_path / "data")
    assert ids(tmp_path / "data") == ["a.md", "table.csv/a.md", "t2"]
    assert (tmp_path / "data/qrels/test.tsv").read_text() == "query-id\tcorpus-id\tscore\nq1\ttable.csv/a.md\t1\n"
    assert (tmp_path / "data/splits.tsv").read_text() == "query-id\tsplit\nq2\ttest\n"
    assert rows(tmp_path / "data", "answers.jsonl")[0]["source_passages"] == ["table.csv/a.md"]
    assert rows(tmp_path / "data", "spans.jsonl")[0]["doc_id"] == "table.csv/a.md"
    assert report.other_problems == ["table.csv:3: has no text"]
    assert report.remarks == ["table.csv: no query is in the split 'dev'"]
    assert run(docs, table, into=tmp_path / "data").changes == {"unchanged": 3}
    assert json.loads((tmp_path / "data/SOURCE.json").read_text())["imports"] == [IMPORTED.source]


def test_questions_of_the_user_are_never_overwritten(table: Path, tmp_path: Path) -> None:
    data = documents.write(
        tmp_path / "data", {"queries.jsonl": "mine", "qrels/test.tsv": "mine", "answers.jsonl.gz": "x"}
    )
    report = run(table, into=data)
    assert (data / "queries.jsonl").read_text() == (data / "qrels/test.tsv").read_text() == "mine"
    assert not (data / "answers.jsonl").exists()
    assert [problem.partition(":")[0] for problem in report.other_problems[1:]] == [
        "queries.jsonl", "answers.jsonl.gz", "qrels/test.tsv",
    ]  # fmt: skip


def test_questions_of_an_import_go_with_it_unless_they_were_changed(table: Path, tmp_path: Path) -> None:
    docs = documents.write(tmp_path / "docs", {"a.md": "# A\n\ntext"})
    run(docs, table, into=tmp_path / "data")
    with (tmp_path / "data/queries.jsonl").open("a") as file:
        file.write('{"_id": "q3", "text": "mine"}\n')
    run(docs, into=tmp_path / "data")
    left = {path.relative_to(tmp_path / "data").as_posix() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert left == {"SOURCE.json", "corpus.jsonl", "ingest.json", "queries.jsonl"}


# ---- the child process


def test_a_reader_that_hangs_or_dies_costs_one_file(tmp_path: Path) -> None:
    documents.write(tmp_path, {"good.md": "# Good\n\ntext", "deep.html": "<div>" * 60_000 + "x"})
    patient = Limits(seconds=100)
    with Apart(patient) as reader:
        assert reader.read(tmp_path / "good.md", "markdown").title == "Good"
        reader.limits = Limits(seconds=0.2)
        with pytest.raises(Unreadable, match=r"took longer than 0.2 seconds"):
            reader.read(tmp_path / "deep.html", "html")
        reader.limits = patient
        assert reader.read(tmp_path / "good.md", "markdown").title == "Good"
        reader._process.kill()
        reader._process.join()
        with pytest.raises(Unreadable, match="crashed its reader"):
            reader.read(tmp_path / "good.md", "markdown")
        assert reader.read(tmp_path / "good.md", "markdown").title == "Good"


# ---- the command


def test_the_command_reports_on_80_columns_and_as_json(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leave = runner(monkeypatch, capsys, columns=80)
    documents.write(docs, {"s.pdf": documents.scan(), "old.doc": b"x", "long.txt": "word and more of it. " * 99})

    def command(*arguments: str) -> str:
        code, out, _ = leave("ingest", *arguments, docs, tmp_path / "data")
        assert code == 0
        return out

    text = command()
    assert all(len(line) <= 80 for line in text.splitlines() if str(tmp_path) not in line)
    for part in ("7 new.", "10 headings in 5 documents", "English (en) 7", "pipeline.chunking", "4 exact copies",
                 "s.pdf: has no text layer", "To read .doc: save as .docx.", "Next: harness testset"):  # fmt: skip
        assert part in " ".join(text.split()), part
    value: dict[str, Any] = json.loads(command("--json"))
    assert value["changes"]["unchanged"] == value["documents"] == 7
    assert value["words"]["beyond_limit"] == 1
    assert value["folder"] == str(tmp_path / "data")
    assert "What they are like" not in command("-q")
