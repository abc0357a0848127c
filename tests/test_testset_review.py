"""The review of synthetic questions: as CSV and as a page, and decisions applied once and for all."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testset_author import filled, rows_of

from harness.errors import DataError
from harness.testset import folder as files
from harness.testset import page, review
from harness.testset.review import COLUMNS, Applied, guarded, unguarded


def decided(place: Path, *rows: tuple[str, ...], header: tuple[str, ...] = COLUMNS[:4]) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    path = place / "decided.csv"
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def test_decisions_are_applied_and_applying_them_again_changes_nothing(tmp_path: Path) -> None:
    first, second, third = filled(tmp_path)
    path = decided(
        tmp_path, (first, "accept", "Question 0 about grease?", "tallow"), (second, "reject", "", ""),
        (third, "edit", "Which grease, and where from?", "tallow, from the north"),
    )  # fmt: skip
    found = review.apply(tmp_path, path)
    assert found == Applied(accepted=1, edited=1, rejected=1, changed=3, reviewed=2, total=2)
    items = {item.query_id: item for item in files.read(tmp_path).items}
    assert set(items) == {first, third}
    assert (items[third].text, items[third].answer) == ("Which grease, and where from?", "tallow, from the north")
    assert items[first].reviewed
    assert not items[first].edited
    assert items[third].edited
    assert json.loads((tmp_path / "SOURCE.json").read_text())["questions"] == {
        "synthetic": 2, "reviewed": 2, "by": "big-model",
    }  # fmt: skip
    for name in ("queries.jsonl", "answers.jsonl", "spans.jsonl", "splits.tsv", "qrels/test.tsv"):
        assert second not in (tmp_path / name).read_text(encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = review.apply(tmp_path, path)
    assert (again.changed, again.wrong, again.total) == (0, (), 2)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_wrong_rows_are_a_sentence_each_and_the_rest_is_applied(tmp_path: Path) -> None:
    first, second, third = filled(tmp_path)
    path = decided(
        tmp_path, (first, "accept", "Question 0 about grease?", "tallow"), (first, "reject", "", ""),
        ("syn-nothing", "accept", "x", "y"), (third, "perhaps", "", ""), (second, "accept", "Still open?", "an answer"),
        ("", "accept", "x", "y"), (third, "accept", "", "tallow"), (third, "edit", "Which?", " "),
    )  # fmt: skip
    found = review.apply(tmp_path, path)
    assert (found.accepted, found.changed) == (1, 1)
    said = [str(problem) for problem in found.wrong]
    assert [line.split("decided.csv:")[1].split(":")[0] for line in said] == ["3", "4", "5", "6", "7", "8", "9"]
    for line, words in zip(
        said,
        ("stands here twice", "no synthetic question", "decision 'perhaps'", "has an answer", "no id",
         "the question is empty", "the answer is empty"), strict=True,
    ):  # fmt: skip
        assert words in line
        assert ";" in line
    assert len(files.read(tmp_path).items) == 3


def test_a_spreadsheet_may_change_the_form_of_the_file(tmp_path: Path) -> None:
    first, *_ = filled(tmp_path)
    header = "ID;Decision;Question;Answer;my own column\r\n"
    row = f'{first};Accepted;"Question 0\r\nabout grease?";tallow;x\r\n'
    for encoding in ("utf-8-sig", "utf-16"):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes((header + row).encode(encoding))
        found = review.apply(tmp_path, path)
        assert (found.accepted, found.edited, found.wrong) == (1, 0, ())
    assert files.read(tmp_path).items[0].text == "Question 0 about grease?"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"question,answer\nx,y\n", "no column 'id'"),
        (b"PK\x03\x04rest", "a workbook, not CSV"),
        (b"id,decision\n\xff\xffx,accept\n", "not UTF-8 at byte 12"),
    ],
)
def test_what_is_no_review_is_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    filled(tmp_path)
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        review.apply(tmp_path, path)
    with pytest.raises(DataError, match="cannot be read"):
        review.apply(tmp_path, tmp_path / "nowhere.csv")


@given(st.text(max_size=40))
def test_no_cell_is_a_formula_and_each_is_read_as_it_was(text: str) -> None:
    cell = guarded(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert unguarded(cell) == text.replace("\0", "")


@given(question=st.text(min_size=1, max_size=60).filter(str.strip), answer=st.text(min_size=1).filter(str.strip))
def test_the_csv_that_is_written_is_read_without_a_change(
    tmp_path_factory: pytest.TempPathFactory, question: str, answer: str
) -> None:
    place = tmp_path_factory.mktemp("review")
    question, answer = (text.encode("utf-8", "replace").decode().replace("\0", "") for text in (question, answer))
    if not question.strip() or not answer.strip():
        return
    filled(place, text=question, answer=answer)
    path = review.write(place, files.read(place))
    text = path.read_text(encoding="utf-8")
    assert text.startswith("\ufeff")
    before = files.read(place).items
    found = review.apply(place, path)
    assert (found.changed, found.undecided, found.wrong) == (0, 3, ())
    assert files.read(place).items == before


def test_the_csv_shows_what_a_reviewer_needs(tmp_path: Path) -> None:
    first, second, third = filled(tmp_path, text="=HYPERLINK(1)")
    rows = list(csv.DictReader(io.StringIO(review.as_csv(review.shown(files.read(tmp_path))).removeprefix("\ufeff"))))
    assert [row["id"] for row in rows] == [first, second, third]
    assert rows[0]["question"] == "'=HYPERLINK(1)"
    assert rows[0]["evidence"] in " ".join(rows[0]["passage"].split())
    assert rows[2]["document"] == "doc-2, doc-5"
    assert {row["decision"] for row in rows} == {""}


def test_the_page_marks_the_evidence_and_trusts_no_text(tmp_path: Path) -> None:
    filled(tmp_path, text="</textarea><script>alert(1)</script>", answer="a & b")
    html = page.render(review.shown(files.read(tmp_path)), "my <folder>")
    assert "<script>alert" not in html
    assert "&lt;/textarea&gt;&lt;script&gt;alert(1)" in html
    assert "my &lt;folder&gt;" in html
    assert html.count("<mark>") == 3
    assert html.count('type="radio"') == 12
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html
    assert "http://" not in html
    assert "https://" not in html
    assert "a person has seen 0 of 3" in html
    assert html.count("<textarea") == 5


def test_a_document_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    filled(tmp_path)
    rows = [row for row in rows_of(tmp_path / "corpus.jsonl") if row["_id"] != "doc-0"]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (title, pieces), *_ = review.shown(files.read(tmp_path))[0].passages
    assert "no longer in the corpus" in title
    assert pieces == ()
