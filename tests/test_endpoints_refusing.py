"""As a user sees it: servers that refuse parameters, judges that fail, proxies; what is printed, written, returned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import llm_server
import pocket
import pytest
from llm_conventions import o1_mini, openai_reasoning
from llm_server import Seen, Served, Server

from harness.cli import doctor
from harness.cli import main as cli
from harness.cli.run import closing_line
from harness.execution.executors import InlineExecutor
from harness.experiments import benchmark
from harness.llm import preflight
from harness.llm.services import Services
from harness.suite.files import load_suite
from harness.suite.roles import Llm

KEY = "k3yForTests0123456789abc"
SMALL: dict[str, Any] = {
    "pipeline.generator": {"model": "llm:generator", "max_new_tokens": 12}, "evaluate.generation_queries": 4,
    "candidates": {}, "baseline_rows": ["untuned"], "pipeline.retriever": {"max_length": 64},
    "evaluate.probe_queries": 2, "evaluate.probe_generations": 1,
    "measures": ["exact_match"], "gates": [{"measure": "exact_match", "margin": 0.1}], "rubric": "short",
}  # fmt: skip


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(preflight, "PAUSES", (0.0, 0.0))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return KEY


def suite_file(folder: Path, server: Server, **changes: Any) -> Path:
    served = {"model": "fake", "base_url": server.url, "timeout": 5.0}
    path = folder / "suite.yaml"
    llm = {"generator": served, "judge": served}
    path.write_text(pocket.suite_text({**SMALL, "llm": llm, **changes}), encoding="utf-8")
    return path


def left_with(monkeypatch: pytest.MonkeyPatch, *command: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["harness", *map(str, command)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return int(left.value.code or 0)


def run(path: Path, store: Path) -> benchmark.Finished:
    return benchmark.run(path, store=store, executor=InlineExecutor())


def examined(path: Path, store: Path) -> list[doctor.Finding]:
    """What doctor finds of the endpoints of a suite."""
    return list(doctor._endpoints("Suite", load_suite(path)[0], store))


def latest(store: Path) -> dict[str, Any]:
    (file,) = (store / "outcomes").glob("*/latest/outcome.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def test_a_run_with_a_model_that_takes_no_temperature_is_right_and_told(
    tmp_path: Path,
) -> None:
    with Server(lambda body: llm_server.says("never"), lambda seen: o1_mini(seen, "a short answer")) as server:
        path, store = suite_file(tmp_path, server), tmp_path / "store"
        (found,) = [one for one in examined(path, tmp_path / "other") if one.what == "llm.generator"]
        assert found.state == "note"
        assert "fake answers; it answers at its own temperature" in found.detail
        assert "max_completion_tokens" in found.detail
        assert "Only the default (1) value is supported" not in found.detail, "o1 says that it is not supported"
        asked = server.requests
        run(path, store)
        assert server.requests > asked
        refused = [one for one in server.seen[asked:] if "temperature" in one.body or "max_tokens" in one.body]
        assert len(refused) <= 4, "only the check before the run meets refusals"
        outcome = latest(store)
        (note,) = [note for note in outcome["notes"] if "refuses" in note]
        assert "fake at http://127.0.0.1" in note
        assert "a temperature" in note
        assert "a system turn" in note
        assert outcome["spec"]["llm"]["generator"]["temperature"] == 0.0, "the suite is kept as it is written"
        assert not [row for row in outcome["summaries"] if row["failed"]]
        asked = server.requests
        assert "Every stage and every score came from the cache" in closing_line(run(path, store))
        assert server.requests == asked, "the second run asked again"
        assert note in " ".join(latest(store)["notes"])
        # A server that takes what it refused before is another one to ask: doctor finds it, and the answers are new.
        server.gate = lambda seen: None
        server.answering = lambda body: llm_server.says("another answer")
        assert {one.state for one in examined(path, store)} == {"ok"}
        run(path, store)
        assert server.seen[-1].body["temperature"] == 0
        assert not [note for note in latest(store)["notes"] if "refuses" in note]


def labels(folder: Path, answers: int = 24) -> Path:
    rows = [
        {"id": f"r{number}", "context": "The kiln cools nine hours.", "question": f"How long, {number}?",
         "answer": "Nine hours.", "ratings": {"rubric": [1 + number % 2 * 4]}}
        for number in range(answers)
    ]  # fmt: skip
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


JUDGED = json.dumps({"explanation": "so", "score": 0.5})


def judge_after_the_check(answer: Served) -> Any:
    """A server that is fine before a run, and then answers this."""
    seen_so_far = {"count": 0}

    def gate(seen: Seen) -> Served:
        seen_so_far["count"] += 1
        return llm_server.says('{"answer": "yes"}') if seen_so_far["count"] == 1 else answer

    return gate


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (llm_server.error(400, "no such thing"), "correct what the server refuses (400)"),
        (llm_server.says("I like it."), "use a more capable model"),
        (llm_server.says(None, refusal="I will not."), "the model declines"),
    ],
)
def test_a_judge_that_judged_nothing_is_no_success(
    answer: Served, remedy: str, as_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with Server(lambda body: llm_server.says("never"), judge_after_the_check(answer)) as server:
        path, store = suite_file(tmp_path, server), tmp_path / "store"
        command = ["judge", path, "--labels", labels(tmp_path), "--measure", "rubric", "--store", store]
        assert left_with(monkeypatch, *command, *(["--json"] if as_json else [])) == 3
    told = capfd.readouterr()
    said = " ".join((told.out + told.err).split())
    assert "24 of 24 judgements failed, so nothing is calibrated" in said
    assert remedy in said
    assert "Calibration: " not in said
    assert not list(store.rglob("calibrations/*.json"))


def test_a_judge_that_fails_now_and_then_is_calibrated_with_its_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gate(seen: Seen) -> Served:
        return llm_server.error(400, "no") if "How long, 3?" in str(seen.body) else llm_server.says(JUDGED)

    with Server(lambda body: llm_server.says("never"), gate) as server:
        path, store = suite_file(tmp_path, server), tmp_path / "store"
        command = ["judge", path, "--labels", labels(tmp_path), "--measure", "rubric", "--store", store]
        assert left_with(monkeypatch, *command, "-q") == 0
    (kept,) = [path for path in store.rglob("calibrations/*.json") if "judged" not in path.name]
    found = json.loads(kept.read_text(encoding="utf-8"))
    assert (found["scored"], found["failed"], found["passed"]) == (23, 1, False)


def test_a_judge_at_a_temperature_of_its_own_is_another_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calibration is kept under what was sent, so it holds for no judge at temperature 0."""
    with Server(lambda body: llm_server.says("never"), lambda seen: openai_reasoning(seen, JUDGED)) as server:
        path, store = suite_file(tmp_path, server), tmp_path / "store"
        command = ["judge", path, "--labels", labels(tmp_path), "--measure", "rubric", "--store", store]
        assert left_with(monkeypatch, *command, "-q") == 0
    (kept,) = [path for path in store.rglob("calibrations/*.json") if "judged" not in path.name]
    assert json.loads(kept.read_text(encoding="utf-8"))["judge"]["temperature"] is None


def test_the_last_line_of_a_run_does_not_contradict_its_failures(tmp_path: Path) -> None:
    answer = llm_server.error(400, "the prompt is not liked")
    with Server(lambda body: llm_server.says("never"), judge_after_the_check(answer)) as server:
        path = suite_file(tmp_path, server)
        for _ in range(2):
            done = run(path, tmp_path / "store")
            assert done.failed_share == 1
            assert "Every stage and every score came from the cache" not in closing_line(done)
            server.gate = judge_after_the_check(answer)
    assert "the prompt is not liked" in str(done.outcome.systems)


# Proxies


def problem_of(url: str, folder: Path) -> str:
    role = Llm(model="m", base_url=url)
    return str(preflight.check("judge", Services(roles={"judge": role}, folder=folder)))


def test_a_proxy_that_refuses_is_named_and_its_password_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:pw-of-mine@127.0.0.1:9")
    said = problem_of("http://127.0.0.1:8000/v1", tmp_path)
    assert "no connection through the proxy 127.0.0.1:9 of the environment (Connection refused)" in said
    assert "set NO_PROXY=127.0.0.1" in said
    assert "pw-of-mine" not in said
    far = problem_of("http://llm.example.org/v1", tmp_path)
    assert "through the proxy 127.0.0.1:9" in far
    assert "NO_PROXY" not in far


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_answers_is_named(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(lambda body: Served(status, b"<html>Squid: denied</html>", {"content-type": "text/html"})) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
        said = problem_of("http://llm.example.org/v1", tmp_path)
    assert f"answers {status}" in said
    assert f"through the proxy 127.0.0.1:{server.port} of the environment" in said


def test_no_proxy_is_named_where_none_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(lambda body: llm_server.says('{"answer": "yes"}')) as server:
        assert problem_of(server.url, tmp_path) == "None"
    assert "proxy" not in problem_of("http://127.0.0.1:1/v1", tmp_path)


def test_doctor_asks_as_the_generator_will_and_says_what_only_thinks(tmp_path: Path) -> None:
    thought = {"role": "assistant", "content": "", "reasoning": "so"}
    served = Served(content={"choices": [{"message": thought, "finish_reason": "length"}]})
    with Server(lambda body: served) as server:
        findings = examined(suite_file(tmp_path, server), tmp_path / "store")
        assert server.seen[0].body["max_tokens"] == 12
        assert server.seen[0].body["messages"][0]["role"] == "system"
    (found,) = [one for one in findings if one.what == "llm.generator"]
    assert found.state == "error"
    assert "only thought" in found.detail
    assert "pipeline.generator.max_new_tokens" in found.detail
