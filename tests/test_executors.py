"""Calls run here and in children: same results, same sentences, and a dead child is one failed call."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage_inputs import silent
from toy_stages import request

from harness.errors import OutOfMemory, StageFailed
from harness.execution import child_processes
from harness.execution.child_processes import ChildExecutor
from harness.execution.environments import Environment, applied, environment_now, read_at_import, without_secrets
from harness.execution.executors import Executor, InlineExecutor, run

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def children() -> ChildExecutor:
    return ChildExecutor()


@pytest.fixture(params=["inline", "child"])
def executor(request: pytest.FixtureRequest, children: ChildExecutor) -> Executor:
    return InlineExecutor() if request.param == "inline" else children


def test_a_call_gets_spec_inputs_and_seed_and_its_cost_comes_back(executor: Executor, tmp_path: Path) -> None:
    given, out = tmp_path / "given", tmp_path / "out"
    given.mkdir()
    out.mkdir()
    (given / "text").write_text("input ")
    cost = run(executor, request("copy", out, {"one": given}, seed=5, text="spec "), silent)
    assert (out / "text").read_text() == "spec input 5"
    assert cost.usage[:4] == (5, 2, 3, 4)
    assert 0 < cost.seconds < 5
    assert cost.peak_memory_mb > 10


def test_a_child_is_another_process(children: ChildExecutor, tmp_path: Path) -> None:
    here = run(InlineExecutor(), request("copy", tmp_path), silent).usage.notes["process"]
    first, second = (run(children, request("copy", tmp_path), silent).usage.notes["process"] for _ in range(2))
    assert here == os.getpid()
    assert len({here, first, second}) == 3


def test_what_a_stage_says_of_its_input_is_told_as_it_is(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"^refuse: no pairs to train on$"):
        run(executor, request("refuse", tmp_path, text="no pairs to train on"), silent)


def test_a_bug_in_a_stage_is_told_with_its_place(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"^stumble: KeyError: 'units' \(toy_stages\.py:\d+\)$"):
        run(executor, request("stumble", tmp_path), silent)


def test_an_unknown_key_of_a_spec_is_refused(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="colour"):
        run(executor, request("copy", tmp_path, colour="red"), silent)


@pytest.mark.slow
def test_the_fork_server_of_one_call_has_torch_and_no_more(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from stage_inputs import silent
from toy_stages import request
from harness.execution.child_processes import ALL, LITTLE, ChildExecutor
from harness.execution.executors import run

if __name__ == "__main__":
    children = ChildExecutor(preloaded={"ALL": ALL, "LITTLE": LITTLE}[sys.argv[1]])
    print(*run(children, request("loaded", Path(sys.argv[2])), silent).usage.notes["modules"])
"""
    (tmp_path / "script.py").write_text(code)
    paths = os.pathsep.join(sys.path)
    for preloaded, loaded in {"ALL": ["sentence_transformers", "torch"], "LITTLE": ["torch"]}.items():
        done = subprocess.run(
            [sys.executable, str(tmp_path / "script.py"), preloaded, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout.split() == loaded, done.stderr


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV"])
def test_a_killed_child_is_a_failure_that_names_the_signal(name: str, children: ChildExecutor, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=rf"^killed: its process was killed by {name}") as caught:
        run(children, request("killed", tmp_path, text=name), silent)
    assert ("out of memory" in str(caught.value)) == (name == "SIGKILL")


def test_a_child_that_leaves_without_a_word_is_a_failure(children: ChildExecutor, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"^vanish: its process ended with exit code 7 and no result$"):
        run(children, request("vanish", tmp_path), silent)
    assert run(children, request("count", tmp_path, size=1), silent).usage.units == 1


def test_progress_arrives_and_ends_with_the_whole(executor: Executor, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    run(executor, request("count", tmp_path, size=50), lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[0] == (1, 50)
    assert seen[-1] == (50, 50)


def test_an_interrupted_parent_takes_its_child_along(children: ChildExecutor, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(children, request("count", tmp_path, size=10_000_000), interrupt)


def test_a_cancelled_child_is_a_failed_future(children: ChildExecutor, tmp_path: Path) -> None:
    started = threading.Event()
    future = children.submit(request("count", tmp_path, size=1_000_000_000), lambda done, total: started.set())
    assert started.wait(60)
    assert not future.done()
    children.cancel()
    assert str(future.exception(60)).startswith("count: ")
    assert run(children, request("count", tmp_path, size=1), silent).usage.units == 1


def test_peak_memory_is_that_of_the_one_call(children: ChildExecutor, tmp_path: Path) -> None:
    before, large, after = (
        run(children, request("allocate", tmp_path, size=size), silent).peak_memory_mb for size in (1, 200, 1)
    )
    assert 190 < large - before < 230
    assert abs(after - before) < 20


def test_what_libraries_print_does_not_reach_the_terminal(
    children: ChildExecutor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run(children, request("chatter", tmp_path), silent)
    assert capfd.readouterr() == ("", "")


def test_children_can_be_run_from_threads(children: ChildExecutor, tmp_path: Path) -> None:
    found: list[int] = []

    def one(size: int) -> None:
        found.append(run(children, request("count", tmp_path, size=size), silent).usage.units)

    threads = [threading.Thread(target=one, args=(size,)) for size in (3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [3, 4]


def test_no_named_semaphore_is_left_behind(tmp_path: Path) -> None:
    """A leak is told by Python's resource tracker on stderr, at the very end of the parent."""
    code = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\n"
        "from pathlib import Path\n"
        "from toy_stages import request\n"
        "from harness.errors import OutOfMemory, StageFailed\n"
        "from harness.execution.child_processes import ChildExecutor\n"
        "from harness.execution.executors import run\n"
        "for then in ('', 'lock', 'fail', 'die'):\n"
        "    try:\n"
        f"        run(ChildExecutor(), request('bar', Path({str(tmp_path)!r}), text=then), lambda *_: None)\n"
        "    except StageFailed as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(" ")[:2] for line in done.stdout.splitlines()] == [["bar:", "failed"], ["bar:", "its"]]


# The environment of a call


def noted(children: ChildExecutor, out: Path, names: str, environment: Environment | None = None) -> dict[str, object]:
    asked = request("environment", out, text=names)._replace(environment=environment)
    return dict(run(children, asked, silent).usage.notes)


def test_what_is_set_or_removed_between_two_calls_reaches_the_second(
    children: ChildExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = "SOME_KEY OPENAI_API_KEY OPENAI_BASE_URL HTTP_PROXY HARNESS_DEBUGGED"
    for name in names.split():
        monkeypatch.delenv(name, raising=False)
    found = noted(children, tmp_path, names)
    assert {name: found[name] for name in names.split()} == dict.fromkeys(names.split())
    for name in names.split():
        monkeypatch.setenv(name, f"value of {name}")
    found = noted(children, tmp_path, names)
    assert {name: found[name] for name in names.split()} == {name: f"value of {name}" for name in names.split()}
    monkeypatch.delenv("SOME_KEY")
    assert noted(children, tmp_path, names)["SOME_KEY"] is None


def test_two_suites_of_one_process_have_each_its_own_device(
    children: ChildExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for device in ("cpu", "auto", "cpu"):
        # Whatever the parent was told last.
        monkeypatch.setenv("HARNESS_DEVICE", "auto" if device == "cpu" else "cpu")
        found = noted(children, tmp_path, "HARNESS_DEVICE", environment_now(device))
        assert found["HARNESS_DEVICE"] == device


def test_what_libraries_read_when_they_are_imported_is_read_anew(
    children: ChildExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = noted(children, tmp_path, "HF_HOME")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "2" if before["threads"] == 1 else "1")
    after = noted(children, tmp_path, "HF_HOME")
    assert str(after["hub"]).startswith(str(tmp_path / "elsewhere"))
    assert not str(before["hub"]).startswith(str(tmp_path))
    assert after["threads"] != before["threads"]
    monkeypatch.undo()
    assert noted(children, tmp_path, "HF_HOME")["hub"] == before["hub"]


def test_the_parent_keeps_its_environment(children: ChildExecutor, tmp_path: Path) -> None:
    before = dict(os.environ)
    given = Environment({**before, "HF_HOME": str(tmp_path), "SOME_KEY": "secret"})
    assert noted(children, tmp_path, "SOME_KEY", given)["SOME_KEY"] == "secret"
    assert dict(os.environ) == before


def test_while_one_call_is_started_others_read_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    before = environment_now()
    with applied(without_secrets({**before, "CUDA_VISIBLE_DEVICES": "1"})):
        assert "OPENAI_API_KEY" not in os.environ
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
        assert environment_now() == before
    assert environment_now() == before == dict(os.environ)


def test_an_environment_does_not_show_its_values(tmp_path: Path) -> None:
    asked = request("copy", tmp_path)._replace(environment=Environment({"OPENAI_API_KEY": "sk-secret-value"}))
    for text in (repr(asked), str(asked), f"{asked.environment}", repr({"request": asked})):
        assert "sk-secret-value" not in text
    with pytest.raises(StageFailed) as caught:
        run(InlineExecutor(), asked._replace(function="toy_stages:stumble"), silent)
    assert "sk-secret" not in str(caught.value)


VARIABLES = ["HF_HOME", "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "OPENAI_API_KEY", "PATH", "KMP_INIT_AT_FORK"]


@given(st.dictionaries(st.sampled_from(VARIABLES), st.sampled_from(["false", "1", "2"])))
def test_only_what_is_read_at_import_asks_for_a_new_interpreter(variables: dict[str, str]) -> None:
    late = {name for name in variables if name in ("OPENAI_API_KEY", "PATH", "KMP_INIT_AT_FORK")}
    rest = {name: value for name, value in variables.items() if name not in late}
    assert read_at_import(variables) == read_at_import(rest)
    changed = {**variables, "HF_HOME": "elsewhere"}
    assert read_at_import(changed) != read_at_import(variables)


def test_a_child_takes_no_more_memory_than_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What asks for more gets an error in its child, and the host is not driven into swap."""
    monkeypatch.setattr(child_processes, "MEMORY", 0.001)
    executor = ChildExecutor()
    try:
        with pytest.raises(OutOfMemory, match="out of memory"):
            run(executor, request("allocate", tmp_path, size=4000), silent)
        assert run(executor, request("copy", tmp_path, text="a"), silent).usage.units == 1
    finally:
        executor.cancel()


def test_memory_is_not_bounded_where_it_is_turned_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_processes, "MEMORY", 0.001)
    monkeypatch.setenv("HARNESS_MEMORY_LIMIT", "0")
    executor = ChildExecutor()
    try:
        assert run(executor, request("allocate", tmp_path, size=300), silent).usage.units == 300 * 2**20
    finally:
        executor.cancel()
