"""Results kept between processes: found by their key, never stale, never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import remembered
from harness.models import signatures
from harness.models.signatures import kept_while_unchanged
from harness.remembered import cache_folder, keep, recall
from harness.report.charts import canvas
from harness.report.charts.draw import draw
from harness.report.charts.values import Dot, LineChart


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_what_is_kept_is_found_under_its_kind_and_key() -> None:
    assert recall("kind", "key") is None
    keep("kind", "key", {"a": [1, "b", None]})
    assert recall("kind", "key") == {"a": [1, "b", None]}
    assert recall("kind", "other") is recall("other", "key") is None
    assert [path.name for path in (cache_folder() / "kind").iterdir()] == ["key.json"]


def test_a_file_that_cannot_be_read_is_as_none() -> None:
    keep("kind", "key", 1)
    for content in (b"", b"{", b"\xff"):
        (cache_folder() / "kind" / "key.json").write_bytes(content)
        assert recall("kind", "key") is None


def test_a_folder_that_cannot_be_written_to_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file stands in the way")
    keep("kind", "key", 1)
    assert recall("kind", "key") is None


def test_what_was_used_last_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "MOST", 2)
    for number, key in enumerate("abc"):
        keep("kind", key, number)
        os.utime(cache_folder() / "kind" / f"{key}.json", (number, number))
        if key == "b":
            # A use makes it young again.
            assert recall("kind", "a") == 0
    assert [recall("kind", key) for key in "abc"] == [0, None, 2]


def test_a_result_about_files_is_kept_until_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def count(path: Path) -> str:
        made.append(path.read_text())
        return path.read_text()

    def fresh(path: Path) -> str:
        return kept_while_unchanged("count-1")(count)(path)

    path = tmp_path / "file"
    path.write_text("one")
    # A file of this moment may change again in the same tick of the clock: nothing is kept of it.
    assert [fresh(path), fresh(path)] == ["one", "one"] == made
    monkeypatch.setattr(signatures, "SETTLED", -1.0)
    assert [fresh(path), fresh(path), fresh(path)] == ["one"] * 3
    assert made == ["one"] * 3
    (tmp_path / "new").write_text("two")
    (tmp_path / "new").replace(path)
    assert [fresh(path), fresh(path)] == ["two", "two"]
    assert made == ["one"] * 3 + ["two"]


def test_a_picture_is_drawn_once_and_again_when_a_value_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[int] = []
    plain = canvas._painted

    def counting(*args: object) -> str:
        painted.append(1)
        return plain(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(canvas, "_painted", counting)
    dots = tuple(Dot(at, at / 10, None, None, str(at), f"dot {at}") for at in (1.0, 2.0))
    chart = LineChart("line", "data", "A line", "rows", dots)
    first = draw(chart)
    assert draw(chart) == first
    assert draw(chart, "g {}") != first
    assert len(painted) == 1
    assert draw(LineChart("line", "data", "A line", "rows", (dots[0], dots[1]._replace(value=0.3)))) != first
    assert len(painted) == 2
