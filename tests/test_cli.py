"""The command: what it imports, what it prints, and how it leaves."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pocket
import pytest
from command import Leave, runner

from harness import __version__, provenance
from harness.cli import doctor
from harness.cli import main as cli
from harness.cli.export_forms import Wanted
from harness.errors import ModelMissing
from harness.models.inspection import Inspection
from harness.models.loaders import EMBEDDED
from harness.suite import builtin
from harness.suite.recipes import PARTS
from harness.suite.spec import BASELINE_ROWS
from harness.values.measures import KINDS

HEAVY = {"torch", "transformers", "sentence_transformers", "ranx", "ragas", "pandas", "bm25s", "datasets", "scipy"}
SLOW = HEAVY | {"numpy", "pyarrow", "pydantic", "yaml"}

needs_models = pytest.mark.skipif(
    not all(importlib.util.find_spec(embedded.module) for embedded in EMBEDDED.values()),
    reason="the embedded models are not installed, whose digests are part of a plan",
)


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Leave:
    """Run the command in an empty folder."""
    return runner(monkeypatch, capsys, tmp_path)


def imported_by(code: str) -> set[str]:
    """The modules that a fresh Python has imported after this code."""
    told = "import sys; sys.stderr.write(' '.join(sys.modules))"
    command = [sys.executable, "-c", f"import atexit\natexit.register(exec, {told!r}, {{}})\n{code}"]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stderr.split())


def test_help_imports_next_to_nothing() -> None:
    """`harness --help` answers at once: not even what checks a suite is imported."""
    modules = imported_by("import sys; sys.argv[1:] = ['--help']; import harness.cli.main; harness.cli.main.main()")
    assert "harness.cli.main" in modules
    assert not modules & SLOW


ENTRIES = (
    "experiments.benchmark scoring statistics.stats cli.plan cli.doctor results.outcomes report.render.terminal "
    "report.render.markdown stages models.loaders execution.probe models.search planning.requirements "
    "cli.list cli.run cli.gate cli.init cli.export report.render.card tracking.results tracking.child deploy.encoders"
)


def test_importing_is_free() -> None:
    """One process imports all in turn: beside the name of one that imports something heavy stands what that is."""
    look = f"*sorted({HEAVY!r} & sys.modules.keys())"
    imports = "".join(f"import harness.{name}\nprint({name!r}, {look})\n" for name in ENTRIES.split())
    done = subprocess.run([sys.executable, "-c", f"import sys\n{imports}"], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ENTRIES.split()


def test_the_installed_command_and_the_module_are_one() -> None:
    command = [sys.executable, "-m", "harness", "run", "nosuchsuite"]
    done = subprocess.run(command, capture_output=True, text=True, env={"COLUMNS": "200"})
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: no suite 'nosuchsuite'; known here: covidqa, ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["run", "plan", "report"])
def test_a_suite_that_there_is_not(command: str, leave: Leave) -> None:
    code, out, error = leave(command, "quikstart")
    assert (code, out) == (2, "")
    assert error == "error: no suite 'quikstart'; did you mean 'quickstart'?\n"


def test_each_problem_of_a_suite_is_one_line(leave: Leave, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text("schema: harness/suite-2\ndataset: {builder: scipy-api}\nmeasure: [a]\n")
    code, out, error = leave("plan", "suite.yaml")
    assert (code, out) == (2, "")
    assert error.splitlines() == [
        "error: suite.yaml:1: name: missing; add 'name:'",
        "error: suite.yaml:3: measure: unknown key; did you mean 'measures'?",
    ]


def test_text_in_brackets_is_printed_as_it_stands(leave: Leave) -> None:
    assert leave("run", "[bold]x[/]")[2].startswith("error: no suite '[bold]x[/]'; ")


@pytest.mark.parametrize("arguments", [["run"], ["nosuch"], ["plan", "pocket", "--seed", "-1"], ["list", "--nosuch"]])
def test_a_wrong_command_line(arguments: list[str], leave: Leave) -> None:
    code, _, error = leave(*arguments)
    assert code == 2
    assert "Usage: harness" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("word", "hint"),
    [("gat", "did you mean 'gate'?"), ("diagnosis", "did you mean 'diagnose'?"), ("x", "known here: ")],
)
def test_an_unknown_command_gets_the_nearest_name(word: str, hint: str, leave: Leave) -> None:
    code, out, error = leave(word)
    assert (code, out) == (2, "")
    assert f"No such command {word!r}; {hint}" in error


def test_the_version_is_told(leave: Leave) -> None:
    assert leave("--version") == (0, f"harness {__version__}\n", "")


def test_help_names_the_commands(leave: Leave) -> None:
    code, out, _ = leave("--help")
    assert code == 0
    names = "run plan list doctor report init diagnose curve export judge accept gate compare score leaderboard store"
    names += " serve"
    for command in names.split():
        assert f" {command} " in out


def test_each_verb_is_a_module_with_the_summary_of_the_list(leave: Leave) -> None:
    for name, (_, summary) in cli.VERBS.items():
        code, out, error = leave(name, "--help")
        assert (code, error) == (0, "")
        assert summary.rstrip(".") in " ".join(out.split())
    modules = {path.stem for path in Path(cli.__file__).parent.glob("*.py")}
    assert modules - set(cli.VERBS) == {
        "__init__", "endings", "export_forms", "export_models", "export_pipeline", "export_prompt", "export_push",
        "export_source", "init_suite", "layout", "main", "options", "serve_source",
    }  # fmt: skip


def test_an_option_means_the_same_in_every_verb() -> None:
    helps: dict[str, set[str]] = {}
    for name in cli.VERBS:
        for parameter in cli.load(name).params:
            for option in parameter.opts:
                helps.setdefault(option, set()).add(getattr(parameter, "help", None) or "")
    common = ("--store", "--json", "-v", "--verbose", "-q", "--quiet", "--replay")
    assert {option: len(helps[option]) for option in common} == dict.fromkeys(common, 1)
    assert all(text.startswith("Training seed") for text in helps["--seed"])


@pytest.mark.parametrize("width", [60, 80, 160])
@pytest.mark.parametrize("line", ["list", "list -v", "doctor", "plan pocket", "plan pocket -v"])
def test_no_line_is_wider_than_the_terminal_and_no_word_is_broken(
    width: int, line: str, leave: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = line.split()
    if arguments[0] == "plan" and not all(importlib.util.find_spec(each.module) for each in EMBEDDED.values()):
        pytest.skip("the embedded models are not installed")
    monkeypatch.setenv("COLUMNS", "1000")
    words = set(re.split(r"[\s,;:]+", leave(*arguments)[1]))
    monkeypatch.setenv("COLUMNS", str(width))
    out = leave(*arguments)[1]
    assert max(map(len, out.splitlines())) <= width
    changing = re.compile(r"[\d.]+|─+|used|by")
    assert not {word for word in re.split(r"[\s,;:]+", out) if not changing.fullmatch(word)} - words


def test_list(leave: Leave, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    code, out, _ = leave("list")
    assert code == 0
    for word in [
        *builtin.suite_names(),
        *KINDS,
        *BASELINE_ROWS,
        "mnrl",
        "matryoshka-96",
        "reranker-first",
        "combination",
    ]:
        assert word in out
    for part in PARTS:
        assert re.search(rf"^  {part} +\w", out, re.MULTILINE)
    absent = out.split("Suites without their dataset")[1].split("\n\n")[0]
    for path in builtin.folder("suites").glob("*/suite.yaml"):
        assert (path.parent.name in absent) == ("${HARNESS_DATA}" in path.read_text(encoding="utf-8"))


def test_list_as_json(leave: Leave, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    code, out, _ = leave("list", "--json")
    value = json.loads(out)
    assert code == 0
    assert list(value["suites"]) == builtin.suite_names()
    assert value["suites"]["pocket"] == ["retriever", "judged"]
    assert value["suites"]["covidqa"] is None
    assert value["measures"] == list(KINDS)
    assert value["suites"]["template"][-3:] == ["retriever", "reranker", "retriever-reranker"]
    assert value["recipes"] == {
        "retriever": ["mnrl", "triplet", "distill", "raw"], "reranker": ["auto", "bce", "listwise", "contrastive"],
        "generator": ["lora", "qlora"],
    }  # fmt: skip
    assert value["baseline_rows"] == list(BASELINE_ROWS)


def test_a_shipped_suite_that_is_wrong_is_not_hidden(
    leave: Leave, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "suites" / "bad").mkdir(parents=True)
    (tmp_path / "suites" / "bad" / "suite.yaml").write_text("name: bad\n")
    monkeypatch.setattr(builtin, "PACKAGE", tmp_path)
    code, _, error = leave("list")
    assert code == 2
    assert "missing; add 'measures:'" in error


@needs_models
def test_plan_as_json_names_every_distinct_call_once(leave: Leave) -> None:
    code, out, error = leave("plan", "pocket", "--json")
    assert (code, error) == (0, "")
    value = json.loads(out)
    calls = value["calls"]
    assert value["suite"] == "pocket"
    assert len({row["key"] for row in calls}) == len(calls)
    assert {"synthesize", "mine", "tune_retriever", "index", "retrieve", "fuse", "answer"} <= {
        r["stage"] for r in calls
    }
    assert not any(row["stored"] for row in calls)
    assert all(row["systems"] and row["units"] > 0 and row["seconds"] > 0 for row in calls)
    synthesize = next(row for row in calls if row["stage"] == "synthesize")
    assert synthesize["llm_calls"] == 20
    assert synthesize["tokens"] > 0


@needs_models
def test_plan_says_what_there_is_to_do(leave: Leave) -> None:
    code, out, _ = leave("plan", "pocket")
    assert code == 0
    calls = json.loads(leave("plan", "pocket", "--json")[1])["calls"]
    summary = " ".join(out.split())
    assert f"stage calls {len(calls)}: 0 in the cache, {len(calls)} to compute" in summary
    assert "2 candidates, seed 0" in summary
    assert "retriever tunes retriever judged tunes retriever" in summary
    assert "diagnosis not part of the run; harness diagnose takes about" in summary
    assert json.loads(leave("plan", "pocket", "--json")[1])["diagnosis_seconds"] > 0
    assert "retrieve dev with untuned" not in out
    assert "Every stage call: harness plan pocket -v" in summary
    whole = leave("plan", "pocket", "-v")[1]
    for row in calls:
        assert row["call"] in whole
    seeds = json.loads(leave("plan", "pocket", "--json", "--seed", "1", "--seed", "2", "--seed", "1")[1])["calls"]
    tuned = [row["call"] for row in seeds if row["stage"] == "tune_retriever"]
    assert len(tuned) == 4
    assert all("seed 1" in call or "seed 2" in call for call in tuned)
    assert len({row["key"] for row in seeds} & {row["key"] for row in calls}) >= len(calls) / 2


@needs_models
def test_planning_writes_nothing(leave: Leave, tmp_path: Path) -> None:
    leave("plan", "pocket", "--json")
    assert list(tmp_path.iterdir()) == []


def test_a_report_before_a_run(leave: Leave) -> None:
    code, out, error = leave("report", "pocket")
    assert (code, out) == (2, "")
    assert error.endswith("no outcome here; run the suite first with 'harness run', or set --store\n")


def test_doctor_finds_what_is_there(leave: Leave, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "LEAST_DISK", 0.0)
    monkeypatch.setattr(doctor, "locate", lambda name: tmp_path)
    monkeypatch.setattr("harness.models.loaders.locate", lambda name: tmp_path)
    monkeypatch.setattr("harness.planning.requirements.inspect", lambda folder, role, **rule: Inspection(folder, role))
    monkeypatch.setenv(provenance.DEVICE_VARIABLE, "auto")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    code, out, _ = leave("doctor", "pocket")
    assert code == 0
    for word in ("Machine", "disk", "memory", "torch", "peft", "trl", "bitsandbytes", "ragas", "LLM endpoint"):
        assert word in out
    for word in ("Suite pocket", "60 documents", "none configured", "found; named by pipeline.retriever.model"):
        assert word in out


def test_doctor_finds_what_run_would_refuse(leave: Leave, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One sentence for each problem, the same ones from both."""
    monkeypatch.setenv(provenance.DEVICE_VARIABLE, "auto")
    monkeypatch.setattr(provenance, "_cuda_device", lambda: "cpu")
    monkeypatch.setattr(doctor, "locate", lambda name: Path(name))
    monkeypatch.setenv("COLUMNS", "400")
    text = (builtin.folder("suites") / "pocket" / "suite.yaml").read_text(encoding="utf-8")
    text = text.replace("embedded:all-minilm-l6-v2", "embedded:all-minilm") + "device: cuda\n"
    (tmp_path / "suite.yaml").write_text(text, encoding="utf-8")
    lines = text.splitlines()
    model = next(number for number, line in enumerate(lines, start=1) if "embedded:all-minilm" in line)
    unknown = "no embedded model 'embedded:all-minilm'; did you mean 'all-minilm-l6-v2'?"
    problems = (
        f"suite.yaml:{model}: pipeline.retriever.model: {unknown}",
        f"suite.yaml:{len(lines)}: device: 'cuda' is asked for and no CUDA device is found; use device: auto",
    )
    code, out, _ = leave("doctor", "suite.yaml")
    assert code == 2
    for problem in problems:
        assert re.search(rf"^ *error +{re.escape(problem)}", out, re.MULTILINE)
    assert re.search(r"^2 errors, \d+ notes?\.$", out, re.MULTILINE)
    assert out.startswith("To fix first\n")
    assert out.index(problems[0]) < out.index(problems[1]) < out.index("Machine\n")
    for command in ("run", "plan"):
        code, _, error = leave(command, "suite.yaml")
        assert code == 2
        assert error.splitlines()[-2:] == [f"error: {problem}" for problem in problems]
    assert not (tmp_path / ".harness").exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"pipeline.generator": {"engine": "vllm"}}, "pipeline.generator.engine: needs the package vllm, which is not"),
        ({"pipeline.generator": {"dtype": "float16"}}, "pipeline.generator.dtype: "),
        ({"pipeline.retriever": {"dimensions": 4096}}, "pipeline.retriever.dimensions: 4096 is more than the 384 "),
        ({"recipes": {"generator": {"recipe": "qlora"}}}, "recipes.generator.recipe: needs the package bitsandbytes"),
    ],
)
@needs_models
def test_every_way_in_refuses_what_this_machine_cannot_do(
    changes: dict[str, Any], problem: str, leave: Leave, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(provenance.DEVICE_VARIABLE, "auto")
    monkeypatch.setattr(provenance, "_cuda_device", lambda: "cpu")
    monkeypatch.setattr("harness.planning.requirements._installed", lambda package: False)
    monkeypatch.setenv("COLUMNS", "400")
    whole = {**changes, "candidates": {"answers": {"tune": ["generator"]}}, "dataset.path": str(pocket.FOLDER)}
    (tmp_path / "suite.yaml").write_text(pocket.suite_text(whole), encoding="utf-8")
    said = set()
    for command in ("doctor", "plan", "run"):
        code, out, error = leave(command, "suite.yaml")
        assert code == 2, command
        (line,) = (line for line in (out + error).splitlines() if problem in line)
        said.add(line[line.index(problem) :].strip())
    assert len(said) == 1
    assert not (tmp_path / ".harness").exists()


@pytest.mark.parametrize(
    ("lacks", "problem", "commands"),
    [
        ("slice", "slices: no query has the metadata field 'colour'; ", ("doctor", "plan", "diagnose", "run")),
        # A diagnosis leaves such a candidate out, and says so.
        ("train", "needs judged queries in split 'train', and there are none; ", ("doctor", "plan", "run")),
    ],
)
def test_every_way_in_finds_what_the_data_lack(
    lacks: str, problem: str, commands: tuple[str, ...], leave: Leave, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Before any work, and in the same words."""
    monkeypatch.setattr(doctor, "locate", lambda name: Path(name))
    monkeypatch.setenv("COLUMNS", "400")
    shutil.copytree(pocket.FOLDER, tmp_path / "data")
    changes: dict[str, Any] = {"dataset.path": "data"}
    if lacks == "slice":
        changes["slices"] = ["colour"]
    else:
        (tmp_path / "data" / "SOURCE.json").unlink()
        (tmp_path / "data" / "qrels" / "train.tsv").unlink()
    (tmp_path / "suite.yaml").write_text(pocket.suite_text(changes), encoding="utf-8")
    for command in commands:
        code, out, error = leave(command, "suite.yaml")
        assert code == 2, command
        assert problem in out + error, command
    assert not (tmp_path / ".harness").exists()


def test_init_writes_a_suite_and_says_what_comes_next(leave: Leave, tmp_path: Path) -> None:
    code, out, _ = leave("init", "mine")
    assert code == 0
    assert out.startswith("Wrote suite.yaml and README.md to mine.\nNext: harness doctor mine, then harness run mine. ")
    assert (tmp_path / "mine" / "suite.yaml").is_file()
    code, out, error = leave("init", "mine")
    assert (code, out) == (2, "")
    assert error == ("error: mine: suite.yaml and README.md would be overwritten; choose a new folder, or move them\n")


def test_export_says_what_it_wrote(leave: Leave, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def export(*arguments: object) -> tuple[str, ...]:
        asked.extend(arguments)
        return "README.md", "retriever"

    monkeypatch.setattr("harness.cli.export.export", export)
    code, out, _ = leave("export", "staged", "out", "--suite", "pocket", "--seed", "3", "--store", "kept")
    assert (code, out) == (0, "Wrote README.md, retriever to out.\n")
    assert asked == ["staged", Path("out"), Path("kept"), "pocket", 3, Wanted()]


def test_an_export_before_a_run(leave: Leave, tmp_path: Path) -> None:
    code, out, error = leave("export", "staged", "out")
    assert (code, out) == (2, "")
    assert error == "error: no outcome below .harness; run a suite first, or set --store\n"
    assert list(tmp_path.iterdir()) == []


def test_doctor_finds_what_is_missing(leave: Leave, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Path:
        raise ModelMissing(f"no {name} [here]")

    monkeypatch.setattr(doctor, "locate", missing)
    code, out, error = leave("doctor", "nosuch")
    assert (code, error) == (2, "")
    assert re.search(r"^ *missing +embedded:all-minilm-l6-v2: no embedded:all-minilm-l6-v2 \[here\]", out, re.MULTILINE)
    assert re.search(r"^ *error +suite: no suite 'nosuch'", out, re.MULTILINE)
    assert re.search(r"^2 missing, 1 error, \d+ notes?\.$", out, re.MULTILINE)


def test_doctor_calls_a_dataset_missing_that_is_not_here(
    leave: Leave, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "locate", lambda name: Path(name))
    (tmp_path / "suite.yaml").write_text(
        "schema: harness/suite-2\nname: a\ndataset: {path: elsewhere}\nmeasures: [ndcg@10]\n"
    )
    code, out, _ = leave("doctor", "suite.yaml")
    assert code == 2
    assert re.search(r"^ *missing +suite.yaml:3: dataset.path: no folder", out, re.MULTILINE)
    assert re.search(r"^1 missing, \d+ notes?\.$", out, re.MULTILINE)


def test_doctor_wants_room_on_the_disk(leave: Leave, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "locate", lambda name: Path(name))
    monkeypatch.setattr(doctor, "LEAST_DISK", 1e9)
    assert leave("doctor")[0] == 2


def test_a_key_is_never_printed(leave: Leave, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-to-be-seen")
    out = "".join(map(str, leave("doctor")))
    assert "with a key" in out
    assert "sk-not" not in out


def test_ctrl_c_says_that_nothing_is_lost(leave: Leave, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.cli.list.describe", stop)
    code, _, error = leave("list")
    assert code == 130
    assert "Finished work is cached; run the same command to continue." in error
