"""What the base install can do: read, score, compare, gate and report, and say in a sentence what the rest needs.

By default, the modules of extras are hidden from the process. `tox -e base` runs the same with the marker `base` in an
environment that never had them.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import base_install
import judged
import outcomes
import pytest

Command = Callable[..., CompletedProcess[str]]
COMPLETE = judged.scores()


def ran(root: Path, worse: float = 0.0) -> None:
    """Leave an outcome whose candidate is this much worse."""
    values = {
        ("untuned", 0): {"ndcg@10": COMPLETE, "recall@10": COMPLETE},
        ("written", 0): {"ndcg@10": [value - worse for value in COMPLETE], "recall@10": COMPLETE},
    }
    gains = [row.model_copy(update={"system": "written"}) for row in outcomes.gains("retriever")]
    file, compared = root / "suites" / "toy" / "suite.yaml", tuple(row for row in gains if row.measure == "ndcg@10")
    judged.write_outcome(file, root / ".harness", judged.rows_of(values), comparisons=compared)


@pytest.fixture(params=["hidden", pytest.param("absent", marks=pytest.mark.base)])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Command:
    """Run the command in a folder with a suite, run files and judgements."""
    hide = request.param == "hidden"
    if not hide:
        found = [module for module in base_install.HIDDEN if importlib.util.find_spec(module) is not None]
        assert not found, f"this environment has more than the base install: {found}"
    judged.write_suite(tmp_path)
    for name, best in (("before", "d1"), ("after", "d2")):
        lines = [f"q{number} Q0 {doc} 0 {1.0 if doc == best else 0.5} t" for number in (1, 2) for doc in ("d1", "d2")]
        (tmp_path / f"{name}.trec").write_text("\n".join(lines) + "\n")
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td1\t1\n")

    def run(*arguments: str) -> CompletedProcess[str]:
        return base_install.harness(*arguments, cwd=tmp_path, hide=hide)

    return run


def test_scores_are_computed_compared_accepted_gated_and_shown(harness: Command, tmp_path: Path) -> None:
    scored = harness("score", "before.trec", "qrels.tsv", "--json")
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["means"] == {"ndcg@10": 1.0}
    compared = harness("compare", "before.trec", "after.trec", "--qrels", "qrels.tsv", "--json")
    assert compared.returncode == 0, compared.stderr
    assert json.loads(compared.stdout)["rows"][0]["difference"] < 0
    ran(tmp_path)
    accepted = harness("accept", "suites/toy", "--reason", "the first")
    assert accepted.returncode == 0, accepted.stderr
    assert harness("gate", "suites/toy").returncode == 0
    ran(tmp_path, worse=0.1)
    gated = harness("gate", "suites/toy")
    assert gated.returncode == 1, gated.stderr
    assert "regressed" in gated.stdout
    shown = harness("report", "suites/toy", "--html", "report.html")
    assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "report.html").stat().st_size > 10_000
    ranked = harness("leaderboard")
    assert ranked.returncode == 0, ranked.stderr
    assert (tmp_path / "reports" / "LEADERBOARD.md").is_file()


def test_what_needs_more_says_what_to_install(harness: Command, tmp_path: Path) -> None:
    torch = "a model that runs on this machine needs torch and 10 more, which are not installed"
    ragas = "exact_match needs ragas and 1 more, which are not installed"
    place, command = "suites/toy/suite.yaml", "run: pip install 'rag-tuning-harness"
    lines = [
        f"error: {place}:12: pipeline.retriever.model: {torch}; {command}[local]'",
        f"error: {place}:22: measures: {ragas}; {command}[ragas]'",
    ]
    for verb in ("run", "plan", "diagnose"):
        refused = harness(verb, "suites/toy", "--store", "elsewhere")
        assert (refused.returncode, refused.stdout) == (2, ""), refused.stderr
        assert refused.stderr.splitlines() == lines
    assert not (tmp_path / "elsewhere").exists()
    imported = harness("testset", "nowhere")
    assert imported.returncode == 2
    assert "Traceback" not in imported.stderr


def test_doctor_says_what_the_extras_are_for(harness: Command) -> None:
    found = harness("doctor")
    assert found.returncode == 0, found.stdout
    words = " ".join(found.stdout.split())
    assert "absent; to run models on this machine: pip install 'rag-tuning-harness[local]'" in words
    assert "ragas absent; for measures of ragas: pip install 'rag-tuning-harness[ragas]'" in words
    assert "embedded:all-minilm-l6-v2" in words
    assert "run: harness setup" in words
    named = harness("doctor", "suites/toy")
    assert named.returncode == 2
    assert "needs torch and 10 more" in named.stdout


def test_verbs_that_need_models_have_their_help(harness: Command) -> None:
    for verb in ("setup", "testset", "judge", "curve", "export"):
        shown = harness(verb, "--help")
        assert shown.returncode == 0, shown.stderr
