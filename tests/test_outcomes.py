"""Outcomes on disk: pointed at before they are drawn, whole though a report raises, and told apart by version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import outcomes as invented
import pocket
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import Leave, leave  # noqa: F401

from harness import __version__
from harness.errors import ConfigError
from harness.experiments import query_details, reports
from harness.results import diagnoses, outcomes, reuse
from harness.results.score_tables import scores_in
from harness.values.evidence import Evidence
from harness.values.findings import Outcome
from harness.values.records import Score

ROWS = [Score("untuned", 0, "test", f"q{number}", "g", "ndcg@10", 0.5) for number in range(5)]


class NoPlan:
    """A plan of no systems: nothing has to be gathered from a store, and nothing is sent."""

    suite = pocket.suite()
    systems: tuple[Any, ...] = ()


def write(root: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> tuple[Outcome, Path]:
    monkeypatch.setattr(query_details, "of_plan", lambda *_: Evidence(ROWS, {}, {}))
    plan: Any = NoPlan()
    nothing: Any = None
    return reports.write_outcome(invented.normal(**changes), root, ROWS, {}, plan, nothing, nothing)


def raising(*_: object, **__: object) -> Any:
    raise ZeroDivisionError("a chart of one point")


RENDERERS = ("harness.report.render.markdown.render_markdown", "harness.report.render.html.render_html",
             "harness.report.render.markdown.outcome_pictures", "harness.report.charts.draw.draw")  # fmt: skip


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_report_that_raises_loses_no_outcome(
    renderer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(renderer, raising)
    outcome, folder = write(tmp_path, monkeypatch)
    latest = tmp_path / "outcomes" / outcome.suite / "latest"
    assert latest.resolve() == folder.resolve()
    assert len(scores_in(latest / "scores.parquet")) == len(ROWS)
    assert {path.name for path in folder.glob("*.parquet")} == {
        "scores.parquet", "failures.parquet", "ledger.parquet", "answers.parquet",
    }  # fmt: skip
    (told,) = [note for note in outcomes.read(latest).notes if "could not be written" in note]
    assert "ZeroDivisionError: a chart of one point" in told
    assert "'harness report" in told
    assert told == outcome.notes[-1]
    assert caplog.messages
    assert "ZeroDivisionError" in caplog.text
    assert "Traceback" in (folder / outcomes.ERROR_FILE).read_text()


def test_it_is_the_latest_before_anything_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(reports, "write_reports", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, monkeypatch)
    (base,) = (tmp_path / "outcomes").iterdir()
    assert outcomes.read(base / "latest").created == invented.normal().created


def test_what_cannot_be_gathered_loses_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan: Any = NoPlan()
    nothing: Any = None
    monkeypatch.setattr(query_details, "of_plan", raising)
    outcome, folder = reports.write_outcome(invented.normal(), tmp_path, ROWS, {}, plan, nothing, nothing)
    assert (folder / "report.md").is_file()
    assert "What the systems put out could not be written in full" in outcome.notes[-1]


def test_the_report_is_written_again_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leave: Leave  # noqa: F811
) -> None:  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr("harness.report.render.html.render_html", raising)
        outcome, folder = write(Path(".harness"), patched)
    assert not (folder / "report.html").exists()
    code, out, error = leave("report", outcome.suite)
    assert code == 0
    assert "wrote them again in" in error
    assert (folder / "report.html").is_file()
    assert "Keep in mind" in out
    assert leave("report", outcome.suite)[2] == ""


def test_a_report_is_shown_though_rows_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leave: Leave  # noqa: F811
) -> None:  # fmt: skip
    outcome, folder = write(Path(".harness"), monkeypatch)
    for name in ("answers.parquet", "report.md"):
        (folder / name).unlink()
    code, _, error = leave("report", outcome.suite)
    assert (code, "Traceback" in error) == (0, False)
    assert (folder / "report.md").is_file()
    code, out, _ = leave("report", outcome.suite, "--html", "new/folder/page.html")
    assert (code, out) == (0, "Wrote new/folder/page.html.\n")
    assert (tmp_path / "new" / "folder" / "page.html").is_file()


def test_a_report_that_raises_on_the_screen_changes_no_exit_code(
    monkeypatch: pytest.MonkeyPatch, leave: Leave, caplog: pytest.LogCaptureFixture  # noqa: F811
) -> None:  # fmt: skip
    from harness.experiments.benchmark import Finished

    outcome, folder = write(Path(".harness"), monkeypatch)
    for share, code in ((0.0, 0), (0.5, 3)):
        done = Finished(outcome, folder, 3, 2, share, 0.0, 1.0)
        monkeypatch.setattr("harness.experiments.benchmark.run", lambda *_, _done=done, **__: _done)
        monkeypatch.setattr("harness.cli.run.render", raising)
        left, out, _ = leave("run", "toy")
        assert left == code
        assert "Computed 3 stage calls" in out
        assert "ZeroDivisionError" in caplog.text
        caplog.clear()


def test_a_diagnosis_is_pointed_at_before_it_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import diagnosed

    monkeypatch.setattr(reports, "render_diagnosis", raising)
    given = diagnosed.diagnosis()
    reports.write_diagnosis(given, tmp_path, ROWS)
    found = diagnoses.latest(tmp_path, given.suite)
    assert found is not None
    assert "ZeroDivisionError" in found.notes[-1]


# ---- versions


def on_disk(folder: Path, change: Callable[[dict[str, Any]], None]) -> str:
    """What reading an outcome with a change says; empty if it is read."""
    value = json.loads(invented.normal().model_dump_json())
    change(value)
    folder.mkdir(exist_ok=True)
    (folder / "outcome.json").write_text(json.dumps(value), encoding="utf-8")
    try:
        outcomes.read(folder)
    except ConfigError as error:
        return str(error).replace(f"{folder}/", "")
    return ""


def test_an_outcome_says_which_form_and_which_harness_wrote_it() -> None:
    assert invented.normal().schema_version == "harness/outcome-3"


def test_older_outcomes_are_read(tmp_path: Path) -> None:
    def older(value: dict[str, Any]) -> None:
        value["schema_version"] = "harness/outcome-1"
        del value["resolved"], value["calls_planned"], value["queries_without_run"]

    assert on_disk(tmp_path, older) == ""


def test_a_newer_form_says_who_wrote_it_and_what_to_do(tmp_path: Path) -> None:
    def newer(value: dict[str, Any]) -> None:
        value |= {"schema_version": "harness/outcome-12", "carbon": 1}
        value["provenance"]["harness"] = "7.2.0"

    assert on_disk(tmp_path, newer) == (
        f"outcome.json: written by harness 7.2.0 as harness/outcome-12, with what this one does not know (carbon); "
        f"this is harness {__version__}; upgrade the harness, or run the suite again"
    )


def test_a_field_of_a_later_version_is_named_at_any_depth(tmp_path: Path) -> None:
    def later(value: dict[str, Any]) -> None:
        value["provenance"]["harness"] = __version__
        value["systems"][0]["energy"] = 3

    told = on_disk(tmp_path, later)
    assert "with what this one does not know (systems.0.energy)" in told
    assert "upgrade the harness" in told


def test_damage_is_no_later_version(tmp_path: Path) -> None:
    assert "split: field required" in on_disk(tmp_path, lambda value: value.pop("split"))
    assert "upgrade" not in on_disk(tmp_path, lambda value: value.update(measures=3, carbon=1))
    for text, what in [('{"a": 1,\n', ":2: damaged: "), ("[]", "not the text of an outcome"), ("\x00", ":1: damaged")]:
        (tmp_path / "outcome.json").write_text(text)
        with pytest.raises(ConfigError) as caught:
            outcomes.read(tmp_path)
        assert what in str(caught.value)
        assert str(caught.value).endswith("run the suite again")


# ---- looks


def fewer() -> Outcome:
    """Another set of systems on the same data."""
    whole = invented.normal()
    return whole.model_copy(update={"systems": whole.systems[:3]})


def counted(root: Path, outcome: Outcome) -> int:
    return reuse.count(root, root / "outcomes" / outcome.suite, outcome)


def test_looks_are_counted_from_small_files_and_from_outcomes_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = invented.normal(), fewer()
    _, first = write(tmp_path, monkeypatch)
    assert (counted(tmp_path, one), counted(tmp_path, other)) == (1, 2)
    (first / "look.json").unlink()
    assert counted(tmp_path, other) == 2, "the outcome itself is read then"
    (first / "look.json").write_text("{}")
    assert counted(tmp_path, other) == 2
    value = json.loads((first / "outcome.json").read_text()) | {"schema_version": "harness/outcome-99", "new": 1}
    (first / "outcome.json").write_text(json.dumps(value))
    assert counted(tmp_path, other) == 2, "an outcome of a later version is a look too"


def test_earlier_outcomes_are_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        write(tmp_path, monkeypatch)
    read: list[Path] = []
    real = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda self, *a, **k: (read.append(self), real(self, *a, **k))[1])
    assert counted(tmp_path, fewer()) == 2
    assert {path.name for path in read} == {"look.json"}


@given(st.one_of(st.binary(max_size=40), st.recursive(
    st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
        st.sampled_from(["split", "queries", "systems", "dataset", "digests", "identity"]), inner, max_size=3),
    max_leaves=6).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_damaged_outcomes_count_for_nothing_and_stop_nothing(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        root, outcome = Path(place), invented.normal()
        folder = root / "outcomes" / outcome.suite / "20260101"
        folder.mkdir(parents=True)
        for name in ("outcome.json", "look.json"):
            (folder / name).write_bytes(content)
        assert counted(root, outcome) in (1, 2)
