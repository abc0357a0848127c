"""Every example and every name on the page about data of other tools."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from test_imports_tables import written

from harness.data.imports import names
from harness.suite.sources import DatasetSource

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "imports.md").read_text(encoding="utf-8")
TABLE = "id;Kunde fragt;Wir sagen;context\n" + "".join(f"{n};Wie {n}?;So {n};Text {n}.\n" for n in range(10))


def block(language: str) -> str:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)[0]


def test_the_suite_on_the_page_names_keys_that_there_are() -> None:
    source = DatasetSource.model_validate(yaml.safe_load(block("yaml"))["dataset"])
    assert source.columns == {"question": "Kunde fragt", "answer": "Wir sagen"}


def test_the_program_on_the_page_writes_a_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, TABLE, "support.csv")
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python"), "imports.md", "exec"), {})
    assert "no query is in the splits 'train' and 'dev'" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "my-data" / "qrels").iterdir()) == [
        "dev.tsv",
        "test.tsv",
        "train.tsv",
    ]


@pytest.mark.parametrize(
    ("part", "known"),
    [
        ("question", (*names.QUESTION, *names.TURNS)),
        ("answer", names.ANSWER),
        ("context", names.CONTEXT),
        ("text", names.TEXT),
        ("title", names.TITLE),
        ("id", names.ID),
        ("unanswerable", (*names.UNANSWERABLE, *names.ANSWERABLE)),
    ],
)
def test_the_names_of_columns_on_the_page_are_recognised_in_this_order(part: str, known: tuple[str, ...]) -> None:
    (row,) = re.findall(rf"^\| {part} \| (.*) \|$", PAGE, flags=re.MULTILINE)
    shown = [names.squashed(name) for name in re.findall(r"`(\w+)`", row)]
    places = [known.index(name) for name in dict.fromkeys(shown)]
    assert places == sorted(places)
