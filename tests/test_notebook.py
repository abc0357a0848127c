"""The example notebook as Jupyter runs it, with the embedded model and stages in child processes, and Polars."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.notebook, pytest.mark.timeout(600)]
NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "example.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook after a run in a kernel of its own, in an empty folder."""
    import nbclient
    import nbformat

    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    before = os.environ.copy()
    os.environ |= {"IPYTHONDIR": str(folder / "ipython"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    try:
        client = nbclient.NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(folder)}})
        client.execute()
    finally:
        os.environ.clear()
        os.environ |= before
    return notebook


def outputs(notebook: Any, name: str) -> list[Any]:
    return next(cell.outputs for cell in notebook.cells if cell.id == name)


def test_a_run_in_a_notebook_prints_nothing_and_asks_for_no_widgets(executed: Any) -> None:
    assert outputs(executed, "suite") == []


@pytest.mark.parametrize("name", ["outcome", "comparison"])
def test_results_show_themselves(name: str, executed: Any) -> None:
    (output,) = outputs(executed, name)
    assert output.output_type == "execute_result"
    assert output.data["text/html"].startswith('<div class="harness-out">')
    assert output.data["text/plain"].startswith("<")
    assert "notebook" in output.data["text/plain"]


def test_frames_are_shown_by_pandas(executed: Any) -> None:
    (output,) = outputs(executed, "summaries")
    assert "<table" in output.data["text/html"]
    assert "fused" in output.data["text/plain"]


def test_no_output_names_a_place_of_the_machine(executed: Any) -> None:
    texts = [
        value for cell in executed.cells for one in cell.get("outputs", []) for value in one.get("data", {}).values()
    ]
    assert texts
    for text in texts:
        assert str(Path.home()) not in text or str(Path.home()) == "/"
        assert "/tmp" not in text
        assert os.sep + "outcomes" + os.sep not in text
