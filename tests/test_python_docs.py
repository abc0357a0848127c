"""docs/python.md and the example notebook: what they show runs, and the tables of columns are those of the code."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import outcomes
import pytest
import smallsuite

import harness
from harness.api import tables
from harness.api.frames import ARROW
from harness.execution import executors
from harness.models import installation

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = (DOCS / "python.md").read_text(encoding="utf-8")
INSTALL = (DOCS / "install.md").read_text(encoding="utf-8")
NOTEBOOK = json.loads((DOCS / "example.ipynb").read_text(encoding="utf-8"))
EMBEDDED = "embedded:all-minilm-l6-v2"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny suite, run files and judgements, in which stages run in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(executors.EXECUTORS, "child", "smallsuite:Here")
    model = smallsuite.bi_encoder(tmp_path / "encoder")
    assert model == tmp_path / "encoder" / "model"
    smallsuite.write(tmp_path, model, {"candidates": {"fused": {"pipeline": {"retriever": {"bm25_weight": 0.3}}}}})
    for name, best in (("before", "d1"), ("after", "d2")):
        lines = [f"q{number} Q0 {doc} 0 {1.0 if doc == best else 0.5} t" for number in (1, 2) for doc in ("d1", "d2")]
        Path(f"{name}.trec").write_text("\n".join(lines) + "\n")
    Path("qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td1\t1\n")
    return tmp_path


def executed(source: str, names: dict[str, Any]) -> tuple[str, Any]:
    """Run a cell; return what it printed, and the value of its last line."""
    *body, last = source.rstrip().split("\n")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            value = compile(last, "cell", "eval")
        except SyntaxError:
            exec(compile(source, "cell", "exec"), names)
            return printed.getvalue(), None
        exec(compile("\n".join(body), "cell", "exec"), names)
        result = eval(value, names)
        return printed.getvalue(), result


@pytest.mark.usefixtures("folder")
def test_every_example_of_the_page_runs_in_its_order() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 6
    names: dict[str, Any] = {}
    printed, values = zip(*(executed(block, names) for block in blocks), strict=True)
    assert printed[0].startswith("True ")
    assert "harness-out" in values[1]._repr_html_()
    assert "fused" in printed[2]
    assert "untuned" not in printed[3]
    assert "verdict" in printed[3]
    assert printed[4].startswith("<ComparisonResult, ")
    assert printed[5].startswith("no suite 'tyo'; ")


def test_the_functions_of_the_page_are_the_public_ones() -> None:
    named = set(re.findall(r"^\| `harness\.(\w+)\(", PAGE, re.MULTILINE))
    assert named == {name for name, place in harness.PUBLIC.items() if place == "harness.api"}
    for name in harness.PUBLIC:
        assert f"`{name}`" in PAGE or f"harness.{name}" in PAGE, name


def test_the_tables_of_the_page_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)`(?: \(the default\))? \| ([^|]+) \| (`[^|]+) \|$", PAGE, re.MULTILINE)
    shown = [(name, about, dict(re.findall(r"`(\w+)` (\w+)", columns))) for name, about, columns in rows]
    coded = [(name, one.row, dict(one.kinds)) for name, one in tables.OUTCOME.items()]
    coded += [(name, one.row, dict(one.kinds)) for name, one in tables.DIAGNOSIS.items() if name != "queries"]
    assert shown == coded
    assert tables.DIAGNOSIS["queries"] == tables.OUTCOME["queries"]
    (own,) = tables.COMPARISON.values()
    assert {"family": "text", **own.kinds} == dict(tables.OUTCOME["comparisons"].kinds)
    defaults = set(re.findall(r"^\| `(\w+)` \(the default\)", PAGE, re.MULTILINE))
    assert defaults == {harness.OutcomeResult.default, harness.DiagnosisResult.default}
    for kind in ARROW:
        assert re.search(rf"^\| {kind} \|", PAGE, re.MULTILINE)


def test_the_page_on_installing_names_the_versions_of_the_code() -> None:
    command = "pip download --no-deps --only-binary :all: -d wheels "
    assert command + " ".join(package.requirement for package in installation.PACKAGES) in INSTALL


# ---- the notebook


def cells() -> list[str]:
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_holds_no_output() -> None:
    for cell in NOTEBOOK["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])


def test_the_cells_of_the_notebook_run(folder: Path) -> None:
    """With a tiny model, and without Jupyter; `tox -e notebook` runs it as it is."""
    names: dict[str, Any] = {}
    assert sum(EMBEDDED in cell for cell in cells()) == 1
    values = [executed(cell.replace(EMBEDDED, str(folder / "encoder" / "model")), names)[1] for cell in cells()]
    assert names["outcome"].complete
    assert "harness-out" in values[1]._repr_html_()
    assert set(values[2].label) == {"bm25", "untuned", "fused"}
    assert len(values[3]) <= outcomes.QUERIES_PUT
    assert "fused" in values[4]._repr_html_()
