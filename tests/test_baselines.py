"""Accepted scores on disk: what is written reads back, what is damaged is noticed, and nothing is lost half-way."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import judged
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError
from harness.results import baselines, damage
from harness.results.baselines import Baseline, Damaged, accepted_system, folder_for, read, what_differs, write
from harness.suite import builtin
from harness.values.findings import MeasurementInputs
from harness.values.records import ScoreTable


def accepted(reason: str = "the first", shift: float = 0.0, **changes: Any) -> Baseline:
    values = [value + shift for value in judged.scores()]
    rows = judged.rows_of({("untuned", 0): {"ndcg@10": values}, ("written", 0): {"ndcg@10": values}})
    return judged.baseline_of(judged.outcome_of(rows), rows, reason=reason, **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with accepted scores."""
    place = tmp_path / "baselines" / "toy"
    write(place, *accepted())
    return place


# ---- the folder


def test_what_is_accepted_reads_back(folder: Path) -> None:
    assert read(folder, "toy") == accepted()
    assert sorted(path.name for path in folder.iterdir()) == ["accepted.json", "untuned.tsv", "written-0.tsv"]


def test_nothing_accepted_is_no_error(tmp_path: Path) -> None:
    assert read(tmp_path / "toy", "toy") is None


def test_accepting_again_leaves_nothing_of_before_but_what_is_not_its_own(folder: Path) -> None:
    (folder / "NOTES.md").write_text("ours")
    rows = judged.rows_of({("bm25", 0): {"ndcg@10": judged.scores(1)}})
    outcome = judged.outcome_of(rows)
    write(folder, *judged.baseline_of(outcome, rows))
    assert sorted(path.name for path in folder.iterdir()) == ["NOTES.md", "accepted.json", "bm25.tsv"]
    assert [path.name for path in folder.parent.iterdir()] == ["toy"]


@pytest.mark.parametrize("step", ["tables", "first rename", "second rename"])
def test_a_disk_that_is_full_loses_nothing(step: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    real = Path.replace
    if step == "tables":
        monkeypatch.setattr(baselines, "write_atomically", full)
    else:
        target = ".toy.replaced" if step == "first rename" else "toy"
        monkeypatch.setattr(Path, "replace", lambda self, to: full() if Path(to).name == target else real(self, to))
    with pytest.raises(OSError, match="No space"):
        write(folder, *accepted("the second", shift=0.01))
    monkeypatch.undo()
    assert read(folder, "toy") == accepted()
    assert [path.name for path in folder.parent.iterdir()] == ["toy"]


def test_a_process_that_died_between_the_renames_loses_nothing(folder: Path) -> None:
    folder.rename(folder.with_name(".toy.replaced"))
    assert read(folder, "toy") == accepted()
    assert baselines.read_all(folder.parent) == [accepted()]
    assert [path.name for path in folder.parent.iterdir()] == [".toy.replaced"], "reading moves nothing"
    write(folder, *accepted("the second"))
    assert read(folder, "toy") == accepted("the second")
    assert [path.name for path in folder.parent.iterdir()] == ["toy"]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def problem(folder: Path, suite: str = "toy") -> str:
    with pytest.raises(DataError) as caught:
        read(folder, suite)
    return str(caught.value).replace(f"{folder}/", "")


MEND = "restore the folder from version control, or accept again"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("q0003\t", "q0002\t", "untuned.tsv:5: query 'q0002' occurs twice"),
        ("\t0.", "\tNaN", "untuned.tsv:2: 'NaN"),
        ("q0001\tg000\t", "q0001\t", "untuned.tsv:3: 2 fields instead of 3"),
        ("query\tgroup", "query\t", "untuned.tsv:1: not a table of accepted scores"),
        ("ndcg@10", "ndgc@10", "untuned.tsv:1: not a table of accepted scores"),
        (
            "q0001\tg000\t0.",
            "q0001\tg000\t1.",
            "untuned.tsv: differs from what was accepted: it was edited or partly merged",
        ),
        ("q0001\tg000", "q0001\tg001", "untuned.tsv: differs from what was accepted: it was edited or partly merged"),
    ],
)
def test_a_table_that_is_not_what_was_written(old: str, new: str, what: str, folder: Path) -> None:
    edit(folder / "untuned.tsv", old, new)
    found = problem(folder)
    assert found.startswith(what)
    assert found.endswith(MEND)


def test_a_table_that_is_cut_off_or_gone(folder: Path) -> None:
    path = folder / "untuned.tsv"
    path.write_bytes(path.read_bytes()[: -len("q0119\tg039\t0.5")])
    (folder / "written-0.tsv").unlink()
    found = problem(folder)
    assert "untuned.tsv" in found
    assert "written-0.tsv: cannot be read (No such file or directory)" in found


NO_SCORES = "accepted.json: damaged: not the accepted scores of a suite"
EDITED = "accepted.json: differs from what was accepted: it was edited or partly merged"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "accepted.json:1: damaged: cut off (Expecting value at column 1)"),
        ("{", "accepted.json:1: damaged: cut off (Expecting property name enclosed in double quotes at column 2)"),
        ("[]", NO_SCORES),
        ("{}", NO_SCORES),
        ('{"schema_version": "harness/accepted-1"}', NO_SCORES),
        ('{"schema_version": "harness/accepted-3"}', EDITED),
        ("\x00", "accepted.json:1: damaged: not JSON (Expecting value at column 1)"),
        ('{"a": 1,\n "b": NaN}', "accepted.json:2: damaged: NaN is not a number"),
        ('{"a": 1,\n "b": -Infinity}', "accepted.json:2: damaged: -Infinity is not a number"),
        ('{\n "a": {\n  "b": 1\n },\n "c": {\n  "b": 1\n },\n "a": 2\n}',
         "accepted.json:8: damaged: 'a' occurs twice, probably from a partial merge"),
        ("[" * 100_000, "accepted.json: damaged: not JSON"),
    ],
)  # fmt: skip
def test_a_head_that_is_damaged(content: str, what: str, folder: Path) -> None:
    (folder / "accepted.json").write_text(content)
    assert problem(folder) == f"{what}; {MEND}"
    with pytest.raises(Damaged):
        read(folder, "toy")


def test_a_head_that_is_cut_off(folder: Path) -> None:
    path = folder / "accepted.json"
    lines = path.read_bytes().count(b"\n")
    path.write_bytes(path.read_bytes()[:-100])
    found = problem(folder)
    assert "damaged: " in found
    assert lines - 10 < int(found.split(":")[1]) <= lines


def test_a_later_form_is_not_taken_for_damage(folder: Path) -> None:
    edit(folder / "accepted.json", "harness/accepted-3", "harness/accepted-13")
    edit(folder / "accepted.json", '"harness": "', '"harness": "9')
    found = problem(folder)
    assert found.startswith("accepted.json: written by harness 9")
    assert "as harness/accepted-13; this is harness " in found
    assert found.endswith("upgrade the harness")
    with pytest.raises(DataError) as caught:
        read(folder, "toy")
    assert not isinstance(caught.value, Damaged), "what another version wrote must not be replaced unseen"


# ---- what merges, editors and checkouts do to the folder

UNMERGED = "resolve the merge conflict, or run 'harness accept' again"


@pytest.mark.parametrize("name", ["accepted.json", "untuned.tsv", "written-0.tsv"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("marker", ["<<<<<<< HEAD", "<<<<<<< ", "=======", ">>>>>>> theirs", "||||||| merged common"])
def test_a_conflict_is_named_with_its_line(marker: str, end: str, name: str, folder: Path) -> None:
    lines = (folder / name).read_text(encoding="utf-8").splitlines()
    lines.insert(4, marker)
    (folder / name).write_bytes((end.join(lines) + end).encode())
    what = f"{name}:5: an unresolved merge conflict ({marker[:7]}); {UNMERGED}"
    assert problem(folder) == what


def test_a_byte_order_mark_changes_nothing_and_is_told(folder: Path) -> None:
    for name in ("accepted.json", "untuned.tsv"):
        (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    found = read(folder, "toy")
    assert found == accepted()
    told = baselines.remarks_on(folder, found.accepted)
    assert [line.split(": ")[0].removeprefix(f"{folder}/") for line in told] == ["accepted.json:1", "untuned.tsv:1"]
    assert "byte order mark" in told[0]


def test_a_checkout_with_other_line_ends_changes_nothing(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read(folder, "toy") == accepted()
    assert baselines.remarks_on(folder, accepted().accepted) == []


def test_text_of_another_encoding_is_named_with_its_line(folder: Path) -> None:
    path = folder / "accepted.json"
    edit(path, '"the first"', '"der n\u00e4chste"')
    path.write_bytes(path.read_text(encoding="utf-8").encode("latin-1"))
    number = path.read_bytes().split(b"n\xe4chste")[0].count(b"\n") + 1
    assert problem(folder) == f"accepted.json:{number}: damaged: not UTF-8; {MEND}"
    path.write_bytes(path.read_bytes().decode("latin-1").encode("utf-16"))
    assert problem(folder) == f"accepted.json:1: damaged: not UTF-8; {MEND}"


def test_an_edit_of_any_figure_is_noticed(folder: Path) -> None:
    path = folder / "accepted.json"
    before = path.read_text(encoding="utf-8")
    for old, new in [('"mean": 0.', '"mean": 0.9'), ('"reason": "the', '"reason": "a'), ('"n": 120', '"n": 12'),
                     ('"p95_ms": 20.0', '"p95_ms": 90.0'), (' "split": "test",\n', "")]:  # fmt: skip
        edit(path, old, new)
        assert problem(folder) == f"{EDITED}; {MEND}"
        path.write_text(before, encoding="utf-8")
    path.write_text(json.dumps(json.loads(before), sort_keys=True), encoding="utf-8")
    assert read(folder, "toy") == accepted(), "the layout of JSON does not count"


def test_a_file_too_many_or_too_few_is_noticed(folder: Path) -> None:
    (folder / "bm25.tsv").write_bytes((folder / "untuned.tsv").read_bytes())
    assert problem(folder) == "bm25.tsv: a table that accepted.json does not name; remove it, or accept again"
    (folder / "bm25.tsv").unlink()
    (folder / "NOTES.md").write_text("ours")
    assert read(folder, "toy") == accepted()
    (folder / "accepted.json").rename(folder / "accepted.json.orig")
    assert problem(folder) == f"accepted.json: missing, although there are tables of accepted scores; {MEND}"


def test_columns_in_another_order_are_named(folder: Path) -> None:
    rows = judged.rows_of({("untuned", 0): {"ndcg@10": judged.scores(), "mrr@10": judged.scores(1)}})
    write(folder, *judged.baseline_of(judged.outcome_of(rows), rows))
    edit(folder / "untuned.tsv", "ndcg@10\tmrr@10", "mrr@10\tndcg@10")
    what = "untuned.tsv:1: its columns are not in the accepted order (ndcg@10, mrr@10)"
    assert problem(folder).startswith(what)


def test_what_an_older_version_accepted_is_read_and_told(folder: Path) -> None:
    path = folder / "accepted.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    del value["digest"], value["served"]
    path.write_text(json.dumps(value | {"schema_version": "harness/accepted-1"}), encoding="utf-8")
    found = read(folder, "toy")
    assert found is not None
    assert found.tables == accepted().tables
    (told,) = baselines.remarks_on(folder, found.accepted)
    assert "without a digest of the file" in told
    path.write_text(json.dumps(value), encoding="utf-8")
    assert problem(folder) == f"{EDITED}; {MEND}", "the form of today without its digest is damage"


def test_the_committed_baselines_are_read() -> None:
    root = Path(__file__).parents[1] / "baselines"
    for found in baselines.read_all(root):
        assert found.tables.keys() == {(one.info.name, one.info.seed) for one in found.accepted.systems}


@given(st.data())
@settings(max_examples=120)
def test_no_damage_is_read_as_other_scores(data: st.DataObject) -> None:
    """Flips of bytes, and lines that are lost, doubled, swapped or changed: refused, or read as what was written."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "toy"
        write(folder, *accepted())
        path = folder / data.draw(st.sampled_from(["accepted.json", "untuned.tsv", "written-0.tsv"]))
        for _ in range(data.draw(st.integers(1, 3))):
            path.write_bytes(damaged(path.read_bytes(), data))
        for suite in ("toy", None):
            try:
                found = read(folder, suite)
            except DataError as refused:
                vague = [one for one in refused.problems if str(folder) not in one.where or not one.hint]
                assert not vague
            else:
                assert found == accepted()


def damaged(content: bytes, data: st.DataObject) -> bytes:
    kind = data.draw(st.sampled_from(["flip", "cut", "lose", "double", "swap", "join", "insert", "replace"]))
    if kind in ("flip", "cut", "insert", "replace"):
        at = data.draw(st.integers(0, max(0, len(content) - 1)))
        if kind == "cut":
            return content[:at]
        if kind == "insert":
            return content[:at] + data.draw(st.binary(min_size=1, max_size=3)) + content[at:]
        if kind == "replace":
            return (
                content[:at]
                + data.draw(st.sampled_from([b"0", b"9", b".", b"-", b"\t", b" ", b"e", b"%"]))
                + content[at + 1 :]
            )
        changed = bytearray(content)
        if changed:
            changed[at] ^= 1 << data.draw(st.integers(0, 7))
        return bytes(changed)
    lines = content.split(b"\n")
    one, other = (data.draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    if kind == "lose":
        del lines[one]
    elif kind == "double":
        lines.insert(other, lines[one])
    elif kind == "swap":
        lines[one], lines[other] = lines[other], lines[one]
    elif one + 1 < len(lines):
        lines[one : one + 2] = [lines[one] + lines[one + 1]]
    return b"\n".join(lines)


def test_who_reads_never_sees_half_of_what_another_writes(folder: Path) -> None:
    """Processes, for threads of one would share its locks on files."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import test_baselines as mine\n"
        "for number in range(25): mine.write(Path(sys.argv[2]), *mine.accepted(str(number), number / 100))"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(folder)]
    with subprocess.Popen(command) as writer:
        seen = set()
        while writer.poll() is None:
            found = read(folder, "toy")
            assert found is not None
            assert baselines.read_all(folder.parent) != []
            seen.add(found.accepted.reason)
        assert writer.wait() == 0
    assert len(seen) > 1


def test_a_baseline_of_another_suite(folder: Path) -> None:
    assert problem(folder, "other").startswith("accepted.json: accepted for the suite 'toy', not for 'other'")


def test_a_head_cannot_name_files_elsewhere(folder: Path) -> None:
    edit(folder / "accepted.json", '"untuned.tsv"', '"../untuned.tsv"')
    assert problem(folder).startswith(EDITED)
    path = folder / "accepted.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    del value["digest"]
    path.write_text(json.dumps(value | {"digest": damage.seal(value)}), encoding="utf-8")
    assert problem(folder) == f"{NO_SCORES}; {MEND}"


def test_a_head_says_who_and_why_and_no_path(folder: Path, tmp_path: Path) -> None:
    head = json.loads((folder / "accepted.json").read_text())
    assert (head["reason"], head["accepted"]) == ("the first", "2026-11-01T00:00:00Z")
    assert {"provenance", "identities", "measured", "dataset", "summaries", "created", "by"} <= head.keys()
    assert {"identity", "serving", "failed"} <= head["systems"][0]["info"].keys()
    assert str(tmp_path) not in (folder / "accepted.json").read_text()


# ---- where it lies


def test_baselines_lie_beside_suites_or_beside_the_suite_file(tmp_path: Path) -> None:
    assert folder_for(tmp_path / "suites" / "toy" / "suite.yaml") == tmp_path / "baselines"
    assert folder_for(tmp_path / "bench" / "suite.yaml") == tmp_path / "bench" / "baselines"
    assert folder_for(builtin.CHECKOUT / "suites" / "pocket" / "suite.yaml") == builtin.CHECKOUT.resolve() / "baselines"


def test_those_of_a_packaged_suite_are_not_put_into_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtin, "PACKAGE", tmp_path / "_data")
    assert folder_for(tmp_path / "_data" / "suites" / "pocket" / "suite.yaml") == Path("baselines")


# ---- what differs


def differs(measure: str = "ndcg@10", **changes: Any) -> tuple[str, ...]:
    rows = judged.rows_of({("untuned", 0): {"ndcg@10": [0.5], "utility": [0.5]}})
    then = judged.outcome_of(rows)
    now = judged.outcome_of(rows, **{"identities": {"ndcg@10": "other", "utility": "other"}} | changes)
    return what_differs(judged.baseline_of(then, rows).accepted, now, measure)


def data(**digests: str) -> dict[str, Any]:
    rows = judged.rows_of({("untuned", 0): {"ndcg@10": [0.5]}})
    dataset = judged.outcome_of(rows).dataset
    changed = {name.replace("_", "."): digest for name, digest in digests.items()}
    return {"dataset": dataset.model_copy(update={"digests": {**dataset.digests, **changed}, "documents": 9})}


def test_equal_identities_do_not_differ_whatever_else_does() -> None:
    assert differs(identities={"ndcg@10": "id of ndcg@10"}, **data(corpus="x")) == ()
    assert differs(identities={}, measure="mrr@10") == ()


@pytest.mark.parametrize(
    ("digest", "measure", "what"),
    [
        ("test_queries", "ndcg@10", ("the queries",)),
        ("test_groups", "utility", ("the groups of queries",)),
        ("test_qrels", "ndcg@10", ("the judgements",)),
        ("test_references", "utility", ("the reference answers",)),
        ("test_references", "ndcg@10", ("the sample of queries or the settings of the measure",)),
        ("train_queries", "ndcg@10", ("the sample of queries or the settings of the measure",)),
    ],
)
def test_the_part_of_the_data_that_differs_is_named(digest: str, measure: str, what: tuple[str, ...]) -> None:
    assert differs(measure, **data(**{digest: "x"})) == what


def test_a_corpus_that_differs_is_named_with_its_size() -> None:
    (what,) = differs(**data(corpus="x"))
    assert what.startswith("the corpus (")
    assert what.endswith(" documents accepted, now 9)")


def test_samples_and_settings_that_differ_are_named() -> None:
    settings = {"measure": "utility", "version": 1, "utility": {"wrong_cost": 0.5}}
    found = differs("utility", measured={"utility": MeasurementInputs(sample="x", settings=settings)})
    assert found == (
        "the sample of answered queries, or their prompts",
        "the setting utility (not set, now {'wrong_cost': 0.5})",
    )


def test_a_setting_is_named_by_its_whole_path() -> None:
    assert baselines._changes({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ["a.c (2, now 3)"]


def test_an_outcome_of_an_older_version_says_what_it_can() -> None:
    assert differs(measured={}) == ("the sample of queries or the settings of the measure",)


def test_another_split_is_named() -> None:
    assert differs(split="dev")[0] == "the split: test was accepted, now dev"


def test_files_are_named_after_systems() -> None:
    table = ScoreTable({}, {})
    assert accepted_system(judged.info("few-shot"), table).file == "few-shot.tsv"
    assert accepted_system(judged.info("written", 3), table).file == "written-3.tsv"
