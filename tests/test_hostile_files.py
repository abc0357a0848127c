"""Files that were made to harm: nothing runs, no other file is read or written, and memory is bounded.

Damaged files are another matter: tests/test_fuzz_inputs.py. Code that would run anything: tests/test_no_code.py.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import documents
import pocket
import pytest

from harness.data.datasets import load_dataset
from harness.data.formats import read_bytes
from harness.data.imports import files as tables
from harness.data.imports import hub
from harness.errors import ConfigError, DataError, HarnessError, Problem
from harness.files import SMALL, UnpacksTooLarge, gunzipped, stays_inside
from harness.gates.run_lines import read_run
from harness.ingest.apart import answer
from harness.ingest.readers.parsed import Parsed, Unreadable
from harness.judge.labels import read_labels
from harness.provenance import git_state
from harness.remote.mirror import MARKER, mirror_of, opened
from harness.remote.places import store_in
from harness.results import baselines, damage
from harness.results import outcomes as kept
from harness.store import FolderStore
from harness.suite.files import parse_suite
from harness.suite.sources import DatasetSource
from harness.suite.yaml_text import MOST_VALUES, NotYaml, parsed
from harness.values.measures import parse

ROOT = Path(__file__).resolve().parent.parent
SECRET = "the secret of another file"


def said(error: HarnessError) -> str:
    return "\n".join(map(str, error.problems))


# ---- YAML


def laughs(levels: int = 9, each: int = 9) -> str:
    """A few lines that stand for `each` to the power of `levels` values."""
    lines = [f"x0: &x0 [{', '.join(['lol'] * each)}]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * each)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def merged(levels: int = 30) -> str:
    """Mappings that take in those before them twice: their keys are copied 2 to the power of `levels` times."""
    lines = ["x0: &x0 {a: 1, b: 2}"]
    lines += [f"x{n}: &x{n} {{<<: [*x{n - 1}, *x{n - 1}]}}" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


BOMBS = {
    "aliases": (laughs(), f"more than {MOST_VALUES:,} values"),
    "aliases of keys": (laughs().replace("[", "{? [").replace("]", "] : 1}"), "not YAML"),
    "merged mappings": (merged(), f"more than {MOST_VALUES:,} values"),
    "nested lists": ("a: " + "[" * 900 + "]" * 900, "nested too deeply"),
    "nested mappings": ("a: " + "{a: " * 900 + "1" + "}" * 900, "nested too deeply"),
    "nested blocks": ("\n".join("  " * n + "- " for n in range(700)), "nested too deeply"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_suite_of_a_few_lines_fills_no_memory(name: str) -> None:
    text, what = BOMBS[name]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for whole in (text, pocket.suite_text() + text):
        with pytest.raises(ConfigError) as refused:
            parse_suite(whole, Path("s.yaml"))
        assert what in said(refused.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch x']", "!!python/object/new:os.system ['touch x']",
        "!!python/name:os.system", "!!python/module:os", "!!python/object:os._wrap_close {}", "!ruby/object:X {}",
        "!!int ''", "!!int 'x'", "!!float ''", "!!float 'x'", "!!bool 'x'", "!!timestamp 'x'", "!!binary 'é'",
        "!!set [a]", "!!omap {a: 1}", "!!pairs x", "!!map x", "!!seq x", "!!str {a: 1}", "!!null {}", "!!int [1]",
        "2026-99-99", "!!int '0x'", "!!int '0b'", "{<<: 1}", "{<<: [1]}", "*nobody",
    ],
)  # fmt: skip
def test_a_tag_makes_no_object_and_no_traceback(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        parse_suite(f"{pocket.suite_text()}title: {value}\n", Path("s.yaml"))
    assert "s.yaml" in said(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_aliases_that_stand_for_few_values_are_taken() -> None:
    text = "a: &a {x: 1}\nb: [*a, *a]\nc: {<<: *a, y: 2}\n"
    assert parsed(text).value == {"a": {"x": 1}, "b": [{"x": 1}, {"x": 1}], "c": {"x": 1, "y": 2}}
    assert parsed("").value is None
    with pytest.raises(NotYaml):
        parsed(laughs(6))


# ---- names


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("a.json", True), ("a/b.json", True), ("1_Pooling", True), ("", True), ("a..b", True), (".hidden", True),
        ("../a", False), ("a/../../b", False), ("/etc/passwd", False), ("..", False), ("..\\a", False),
        ("C:\\a", False), ("C:a", False), ("\\\\host\\share", False), ("a\0b", False), (None, False), (1, False),
        (["a"], False),
    ],
)  # fmt: skip
def test_a_name_that_leads_out_of_a_folder_is_told(name: object, inside: bool) -> None:
    assert stays_inside(name) is inside


def test_accepted_scores_name_no_file_elsewhere(tmp_path: Path) -> None:
    place = tmp_path / "quickstart"
    shutil.copytree(ROOT / "baselines" / "quickstart", place)
    value = json.loads((place / "accepted.json").read_text(encoding="utf-8"))
    own = value["systems"][0]["file"]
    shutil.copy(place / own, tmp_path / "else.tsv")
    for file in (own, "../else.tsv", f"{tmp_path}/else.tsv", f"{own}\n", "..", f"./{own}", f"{own}\0"):
        value["systems"][0]["file"] = file
        rest = {key: item for key, item in value.items() if key != baselines.DIGEST}
        sealed = {**rest, baselines.DIGEST: damage.seal(rest)}
        (place / "accepted.json").write_text(json.dumps(sealed), encoding="utf-8")
        if file == own:
            assert baselines.read(place) is not None
        else:
            with pytest.raises(DataError):
                baselines.read(place)


def test_a_folder_that_others_gave_sends_results_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file by which a copy of an address is known counts in the cache of the user alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    address = f"file://{tmp_path}/of-somebody-else"
    assert mirror_of(opened(address)) is not None
    for folder in (tmp_path / "given", tmp_path / "given" / "addresses" / "x", tmp_path / "given" / ".harness"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_text(json.dumps({"address": address}))
        assert mirror_of(folder / "outcomes") is None
        assert isinstance(store_in(folder), FolderStore)
        monkeypatch.chdir(folder)
        assert mirror_of(Path("outcomes")) is None
        assert mirror_of(Path()) is None


@pytest.mark.parametrize("where", ["_data_files", "splits"])
def test_a_saved_dataset_names_no_file_elsewhere(where: str, tmp_path: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    for name in ("given", "else"):
        row = {"id": "1", "question": f"{name}?", "context": SECRET if name == "else" else "A text.", "answer": "A"}
        saved = datasets.DatasetDict({"test": datasets.Dataset.from_list([row] * 4)})
        saved.save_to_disk(tmp_path / name)
    state = tmp_path / "given" / "test" / "state.json"
    if where == "splits":
        (tmp_path / "given" / "dataset_dict.json").write_text(json.dumps({"splits": ["../else/test"]}))
    else:
        value = json.loads(state.read_text())
        (file,) = (tmp_path / "else" / "test").glob("*.arrow")
        state.write_text(json.dumps({**value, "_data_files": [{"filename": f"../../else/test/{file.name}"}]}))
    with pytest.raises(DataError, match="names a file outside of it") as refused:
        hub.read_saved(tmp_path / "given", [])
    assert SECRET not in said(refused.value)


# ---- JSON and tables that are nested deeply


DEEP = "[" * 100_000
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "labels": ("labels.jsonl", lambda path: read_labels(path, parse("faithfulness"))),
    "run": ("a.trec", read_run),
    "baselines": ("accepted.json", lambda path: baselines.read(path.parent)),
    "outcome": ("outcome.json", lambda path: kept.read(path.parent)),
    "table": ("table.json", lambda path: tables.read_json(path, [])),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", [DEEP, '{"a":' * 100_000, '{"systems": ' + DEEP], ids=["list", "object", "inner"])
def test_what_is_nested_deeply_is_refused_in_a_sentence(name: str, content: str, tmp_path: Path) -> None:
    file, read = READERS[name]
    path = tmp_path / "given" / file
    path.parent.mkdir()
    path.write_text(content, encoding="utf-8")
    with pytest.raises(HarnessError) as refused:
        read(path)
    assert str(path.parent) in said(refused.value)
    assert len(said(refused.value)) < 1000


@pytest.mark.parametrize("file", ["corpus.jsonl", "queries.jsonl", "answers.jsonl", "SOURCE.json", "splits.tsv"])
def test_a_dataset_that_is_nested_deeply_is_read_or_refused(file: str, tmp_path: Path) -> None:
    for path in pocket.FOLDER.rglob("*"):
        if path.is_file():
            target = tmp_path / "data" / path.relative_to(pocket.FOLDER)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (tmp_path / "data" / file).write_text(DEEP)
    try:
        load_dataset(DatasetSource.model_validate({"path": str(tmp_path / "data")}), "test")
    except DataError as error:
        assert file in said(error)  # noqa: PT017


# ---- what is packed


def test_gzip_that_unpacks_to_far_more_than_text_does_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SMALL == 64 << 20
    monkeypatch.setattr("harness.files.SMALL", 1 << 20)
    content = b"q1 Q0 d1 1 1.0 tag\n" * 10
    assert gunzipped(gzip.compress(content)) == content
    assert gunzipped(gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"
    bomb = gzip.compress(bytes(4 << 20))
    assert len(bomb) < 100_000
    with pytest.raises(UnpacksTooLarge):
        gunzipped(bomb)
    for name in ("a.trec", "b.jsonl.gz"):
        (tmp_path / name).write_bytes(bomb)
        problems: list[Problem] = []
        assert read_bytes(tmp_path / name, problems) == b""
        assert "unpacks to more than" in str(problems[0])
        assert name in str(problems[0])


def parquet(path: Path, table: Any) -> Path:
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd")
    return path


def many_rows() -> Any:
    import pyarrow as pa

    return pa.table({"question": pa.nulls(2_000_000, pa.string()), "id": pa.repeat(1, 2_000_000)})


def one_large_value() -> Any:
    """A value of 100 kilobytes, written once, in each of some thousand rows."""
    import pyarrow as pa

    indices = pa.repeat(pa.scalar(0, pa.int32()), 4000)
    return pa.table({"question": pa.DictionaryArray.from_arrays(indices, pa.array(["x" * 100_000]))})


@pytest.mark.parametrize("make", [many_rows, one_large_value])
def test_a_parquet_file_of_some_kilobytes_fills_no_memory(make: Callable[[], Any], tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", make())
    assert path.stat().st_size < 200_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=r"bytes unpack to more than"):
        tables.read_table(path, ["question"], [])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_a_parquet_file_with_repeated_values_is_read(tmp_path: Path) -> None:
    import pyarrow as pa

    names = pa.array(["a long text that many rows share " * 20] * 2000).dictionary_encode()
    rows = pa.table({"question": [f"Question {number}?" for number in range(2000)], "context": names})
    assert len(tables.read_table(parquet(tmp_path / "t.parquet", rows), ["question"], []).rows) == 2000


def archive(parts: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return stream.getvalue()


def with_parts(more: dict[str, bytes], change: Callable[[str, bytes], bytes] = lambda name, content: content) -> bytes:
    """A document of a word processor with more parts."""
    return documents.changed_docx(change, more)


ENTITIES = "".join(f'<!ENTITY x{n} "{f"&x{n - 1};" * 10}">' for n in range(1, 10))
DOCTYPE = f'<!DOCTYPE d [<!ENTITY x0 "lol">{ENTITIES}<!ENTITY file SYSTEM "file:///etc/hostname">]>'


def declared(name: str, content: bytes) -> bytes:
    """The main part, with entities that are used in its first text."""
    if name != "word/document.xml":
        return content
    text = content.decode()
    head, _, rest = text.partition("?>")
    return f"{head}?>{DOCTYPE}{rest.replace('<w:t>', '<w:t>&x9;', 1)}".encode()


def outside(name: str, content: bytes) -> bytes:
    if name != "word/document.xml":
        return content
    head, _, rest = content.decode().partition("?>")
    return f"{head}?>{DOCTYPE}{rest.replace('<w:t>', '<w:t>&file;', 1)}".encode()


def as_box(name: str, content: bytes) -> bytes:
    """The main part, in a way that makes the reader write the document anew."""
    return content.replace(b"<w:body>", b"<w:body><w:p><m:oMath xmlns:m='x'/></w:p>", 1)


HOSTILE_DOCX: dict[str, Callable[[], bytes]] = {
    "a part that is a bomb": lambda: with_parts({"word/embeddings/x.bin": bytes(40 << 20)}, as_box),
    "a text that is a bomb": lambda: with_parts({"word/comments.xml": b"<x>" + b" " * (40 << 20) + b"</x>"}),
    "entities": lambda: with_parts({}, declared),
    "an entity that is a file": lambda: with_parts({}, outside),
    "names that lead out": lambda: with_parts({"../../evil.xml": b"<x/>", "/tmp/evil.xml": b"<x/>"}, as_box),
}


@pytest.mark.parametrize("name", HOSTILE_DOCX)
def test_a_document_fills_no_memory_and_reads_no_other_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.docx"
    path.parent.mkdir()
    path.write_bytes(HOSTILE_DOCX[name]())
    code = (
        "import sys; from harness.ingest.apart import answer; "
        "print(repr(answer(sys.argv[1], 'a.docx', 10 << 20))[:100_000]); "
        "print(next(one for one in open('/proc/self/status') if one.startswith('VmHWM')).split()[1], file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert Path("/etc/hostname").read_text().strip() not in done.stdout.replace("a.docx", "")
    assert "lollollol" not in done.stdout
    assert int(done.stderr.split()[-1]) < 150_000, "kilobytes"
    assert sorted(tmp_path.rglob("*")) == [path.parent, path]


def test_a_picture_that_is_linked_is_not_read(tmp_path: Path) -> None:
    """The link of a picture may be a path of this machine; see CVE-2025-11849."""
    (tmp_path / "secret.txt").write_text(SECRET)
    relation = (
        f'<Relationship Id="rIdX" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/image" '
        f'Target="{tmp_path}/secret.txt" TargetMode="External"/></Relationships>'
    )
    picture = (
        '<w:p><w:r><w:drawing><wp:inline xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessing'
        'Drawing"><a:graphic xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><a:graphicData>'
        '<pic:pic xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"><pic:blipFill><a:blip '
        'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" r:link="rIdX"/></pic:blipFill>'
        "</pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p></w:body>"
    )

    def change(name: str, content: bytes) -> bytes:
        if name == "word/_rels/document.xml.rels":
            return content.replace(b"</Relationships>", relation.encode())
        return content.replace(b"</w:body>", picture.encode()) if name == "word/document.xml" else content

    (tmp_path / "a.docx").write_bytes(with_parts({}, change))
    found = answer(str(tmp_path / "a.docx"), "a.docx", 100 << 20)
    assert isinstance(found, Parsed | Unreadable)
    assert SECRET not in repr(found)
    assert base64.b64encode(SECRET.encode()).decode()[:20] not in repr(found)


# ---- a checkout


def git(folder: Path, *arguments: str) -> None:
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    person = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    command = ["git", "-C", str(folder), *person, *arguments]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **own}, timeout=60)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "suite.yaml").write_text("a: 1\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "x")
    return folder


def attack(folder: Path, name: str, command: str) -> None:
    """Have the configuration of a checkout name a program."""
    program = folder.parent / "program"
    program.write_text(f"#!/bin/sh\n{command}\ncat\n")
    program.chmod(0o755)
    if name == "fsmonitor":
        git(folder, "config", "core.fsmonitor", str(program))
    elif name == "hooks":
        hooks = folder.parent / "hooks"
        hooks.mkdir()
        for hook in ("post-index-change", "pre-commit", "post-checkout", "reference-transaction"):
            (hooks / hook).write_text(program.read_text())
            (hooks / hook).chmod(0o755)
        git(folder, "config", "core.hooksPath", str(hooks))
    else:
        key = {"filter": "clean", "process": "process", "filter of a strange name": "clean", "included": "clean"}[name]
        filter_name = "a=b" if "strange" in name else "evil"
        if name == "included":
            (folder.parent / "more").write_text(f'[filter "evil"]\n\tclean = {program}\n')
            git(folder, "config", "include.path", str(folder.parent / "more"))
        else:
            git(folder, "config", f"filter.{filter_name}.{key}", str(program))
        (folder / ".git" / "info").mkdir(exist_ok=True)
        (folder / ".git" / "info" / "attributes").write_text(f"* filter={filter_name}\n")
    (folder / "suite.yaml").write_text("a: 2\n")


@pytest.mark.parametrize("name", ["fsmonitor", "hooks", "filter", "process", "filter of a strange name", "included"])
def test_a_look_at_a_checkout_runs_no_program_that_it_names(name: str, checkout: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    attack(checkout, name, f"touch {ran}")
    state = git_state(checkout)
    assert not ran.exists()
    assert state.get("dirty", True) is True
    if "strange" not in name:
        assert len(state["commit"]) == 40


def test_a_plain_status_would_run_it(checkout: Path, tmp_path: Path) -> None:
    """The attacks are ones: without care, git does run the program."""
    ran = tmp_path / "ran"
    attack(checkout, "fsmonitor", f"touch {ran}")
    command = ["git", "-C", str(checkout), "status", "--porcelain"]
    subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=60)
    assert ran.exists()


def test_the_state_of_a_plain_checkout(checkout: Path, tmp_path: Path) -> None:
    assert git_state(checkout)["dirty"] is False
    (checkout / "more").write_text("x")
    assert git_state(checkout)["dirty"] is True
    assert git_state(tmp_path) == {}
