"""A stage that one module declares goes through plan, estimate, run, ledger and report like any other."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import warnings
from pathlib import Path
from typing import Any

import pocket
import pytest
import toy_stages

from harness.data.formats import read_run
from harness.execution.executors import Cost, InlineExecutor, Request, SynchronousExecutor
from harness.experiments import benchmark
from harness.planning import plan as planning
from harness.planning.graph import ExpectedWork, Plan
from harness.planning.ledger import estimate
from harness.planning.plan import build_plan
from harness.planning.speed import STARTUP_SECONDS, rates, speed_of
from harness.stages import STAGES, load_stage
from harness.stages.retrieve import RUN_FILE
from harness.store import FolderStore
from harness.values.records import Progress

CHANGES: dict[str, Any] = {
    "pipeline.generator": None,
    "pipeline.retriever": {"max_length": 32},
    "candidates": {},
    "baseline_rows": ["bm25", "untuned"],
    "measures": ["ndcg@10"],
}
LABEL = "shorten the lists of bm25"


class Here(SynchronousExecutor):
    """Runs calls in this process; a library's warning is no error."""

    def run(self, request: Request, progress: Progress) -> Cost:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return InlineExecutor().run(request, progress)


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pipeline with the stage behind bm25; names of the inputs that it is given."""
    names = ["run"]
    plain = planning._SuitePlanner._run

    def lists(self: Any, name: Any, split: str | None = None) -> str | None:
        run = plain(self, name, split)
        if name != "bm25" or run is None or split is not None:
            return run
        key: str = self.call("shorten", LABEL, {"depth": 3}, dict.fromkeys(names, run), ExpectedWork(20))
        return key

    monkeypatch.setitem(STAGES, "shorten", "toy_stages")
    monkeypatch.setattr(planning._SuitePlanner, "_run", lists)
    return names


def plan() -> Plan:
    return build_plan(pocket.suite(CHANGES), pocket.dataset())


def test_it_is_planned_estimated_run_and_reported(inputs: list[str], tmp_path: Path) -> None:
    planned = plan()
    (call,) = [one for one in planned.calls.values() if one.call.stage == "shorten"]
    assert (call.call.version, call.call.device, call.systems) == (1, "any", ["bm25"])
    assert planned.system("bm25").run == call.key
    speed = speed_of(call.call, planned.calls)
    assert speed == ("shorten; any; upside_down False", "depth 3", False)
    root = tmp_path / "harness"
    store = FolderStore(root / "store")
    assert estimate(planned, store)[call.key].seconds == STARTUP_SECONDS + 20 / 50
    suite = tmp_path / "suite.yaml"
    suite.write_text(pocket.suite_text(CHANGES), encoding="utf-8")
    done = benchmark.run(suite, root, executor=Here())
    (row,) = [row for row in done.outcome.ledger if row.stage == "shorten"]
    assert (row.label, row.units, row.systems) == (LABEL, len(pocket.dataset().splits["test"].queries), ("bm25",))
    place = store.get(call.key)
    assert place is not None
    assert max(map(len, read_run(place / RUN_FILE, escaped=True).values())) == 3
    assert rates(store).of(call.call, planned.calls).measured
    assert estimate(planned, store)[call.key].stored
    assert LABEL in (done.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["runs"], "stage shorten takes no input 'runs'; it takes run, spare"),
        (["run", "qrels"], "stage shorten takes no input 'qrels'; it takes run, spare"),
        (["spare"], "stage shorten needs the input 'run'"),
    ],
)
def test_a_wrong_input_fails_where_the_plan_is_made(names: list[str], sentence: str, inputs: list[str]) -> None:
    inputs[:] = names
    with pytest.raises(ValueError, match=sentence):
        plan()


def test_inputs_with_numbers_are_any_number_of_them() -> None:
    takes = load_stage("fuse").takes
    assert takes.problem(["run0", "run1", "run12"]) == ""
    assert takes.problem([]) == "needs the input 'run0'"
    assert takes.problem(["run0", "run"]) == "takes no input 'run'; it takes run0, run1, ..."


def test_every_stage_declares_the_inputs_that_it_reads() -> None:
    for name in STAGES:
        declared = load_stage(name)
        tree = ast.parse(inspect.getsource(inspect.getmodule(declared.run) or toy_stages))
        read = {
            node.slice.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "inputs"
            and isinstance(node.slice, ast.Constant)
        }  # fmt: skip
        assert read <= {*declared.takes.required, *declared.takes.optional}, name


def test_every_module_beside_what_is_shared_is_a_stage() -> None:
    folder = Path(inspect.getfile(load_stage)).parent
    assert {f"harness.stages.{path.stem}" for path in folder.glob("*.py")} - {"harness.stages.__init__"} == {
        *STAGES.values()
    }
