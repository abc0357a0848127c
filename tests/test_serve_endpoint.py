"""A served system whose generator is at an endpoint: every question is sent, within the budget; failures are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llm_server
import pytest
import smallsuite
from llm_server import Body, Served, Server
from served import serving
from serving_client import call, complete

from harness.cli.serve_source import choose, open_systems
from harness.errors import ConfigError
from harness.execution.making import no_display
from harness.experiments import benchmark
from harness.serving.app import About, App
from harness.serving.worker import Worker

SECRET = "sk-sentinel-serve-0815"
QUESTION = "what is the lime kiln?"


class Trial:
    """A suite with a generator at a server, and what that server says next."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server, self.says, self.read = folder, server, "a short answer", 10
        changes = {
            "pipeline.generator": {"model": "llm:generator", "max_new_tokens": 12, "passage_tokens": 24},
            "llm": {
                "generator": {"model": "m", "base_url": server.url, "timeout": 5.0, "retries": 0},
                "max_tokens": 9000,
            },
            "candidates": {},
            "baseline_rows": ["untuned"],
            "evaluate": {"split": "test", "generation_queries": 2, "probe_queries": 2, "probe_generations": 1},
            "measures": ["ndcg@10", "exact_match"],
        }
        self.suite = smallsuite.write(folder, smallsuite.bi_encoder(folder / "model"), changes)
        benchmark.run(self.suite, folder / "store", executor=smallsuite.Here())

    def answer(self, body: Body) -> Served:
        """What the server says."""
        if not self.says:
            return llm_server.error(500, "out of order")
        said = llm_server.says(self.says)
        said.content["usage"]["prompt_tokens"] = self.read
        return said

    def app(self) -> App:
        """The system, loaded in the thread that will be asked."""
        store, worker = self.folder / "store", Worker()
        systems = worker.run(lambda: open_systems(choose(str(self.suite), [], store), store, no_display))
        return App(systems, About("served", "", "2026-11-30"), worker)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    holder: list[Trial] = []

    def answering(body: Body) -> Served:
        return holder[0].answer(body) if holder else llm_server.says("a short answer")

    with pytest.MonkeyPatch.context() as patched, Server(answering) as server:
        patched.setenv("OPENAI_API_KEY", SECRET)
        holder.append(Trial(tmp_path_factory.mktemp("endpoint"), server))
        yield holder[0]


def test_every_question_is_sent_with_its_turns_and_passages(trial: Trial) -> None:
    with serving(trial.app()) as server:
        before = trial.server.requests
        turns: list[Any] = [
            {"role": "user", "content": "Tell me of lime."}, {"role": "assistant", "content": "It is burned."},
            {"role": "user", "content": QUESTION},
        ]  # fmt: skip
        answers = [complete(server, turns).json for _ in range(2)]
        assert trial.server.requests == before + 2, "none is answered from the cache"
        sent = trial.server.seen[-1].body["messages"]
        assert [turn["role"] for turn in sent] == ["system", "user", "assistant", "user"]
        assert sent[1]["content"] == "Tell me of lime."
        shown = [one for one in answers[0]["rag"]["passages"] if one["shown"]]
        assert len(shown) > 1
        assert all(one["text"].split()[0] in sent[-1]["content"] for one in shown)
        assert sent[-1]["content"].endswith(f"Question: {QUESTION}")
        assert answers[0]["choices"][0]["message"]["content"] == "a short answer"
        assert answers[0]["usage"] == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        assert SECRET not in str(answers)


def test_what_the_endpoint_fails_at_is_told_and_no_secret_with_it(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(trial.app()) as server:
        monkeypatch.setattr(trial, "says", "")
        answer = complete(server, [{"role": "user", "content": QUESTION}])
        assert answer.status == 502
        assert answer.error.startswith("the generator did not answer: ")
        assert "out of order" in answer.error
        told = call(server, "POST", "/ask", {"question": QUESTION}).json
        assert told["passages"]
        assert "out of order" in told["failure"]
        assert SECRET not in f"{answer.text}{told}"


def test_the_budget_of_the_suite_holds(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    app = trial.app()
    with serving(app) as server:
        messages = [{"role": "user", "content": QUESTION}]
        monkeypatch.setattr(trial, "read", 3000)
        answers = [complete(server, messages) for _ in range(5)]
        statuses = [answer.status for answer in answers]
        assert statuses[0] == 200
        assert statuses[-1] == 502
        assert "max_tokens" in answers[-1].error
        asked = trial.server.requests
        assert complete(server, messages).status == 502
        assert trial.server.requests == asked, "nothing is sent beyond the budget"


def test_an_endpoint_that_cannot_be_used_is_found_out_at_the_start(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setattr(trial.server, "gate", lambda seen: llm_server.error(401, "no key", "invalid_api_key"))
    with pytest.raises(ConfigError, match=r"llm\.generator"):
        trial.app()
