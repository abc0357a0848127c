"""A whole run whose four roles are at an endpoint that fails in every way: nothing is lost, invented, or paid twice."""

from __future__ import annotations

import json
import random
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import judges as scripted
import llm_server
import pytest
import smallsuite
import yaml
from llm_server import FAULTS, HARMLESS, ON_THE_WAY, Body, Seen, Served, Server

from harness.cli.run import check_complete
from harness.data import formats
from harness.errors import HarnessError
from harness.experiments import benchmark
from harness.experiments.benchmark import Finished
from harness.llm import preflight
from harness.llm.breaker import RetryPolicy
from harness.llm.endpoint import EndpointChat
from harness.llm.responses import FILE
from harness.values.findings import LedgerRow

SHIPPED = Path(__file__).resolve().parent.parent / "suites" / "pocket-served" / "suite.yaml"
ALL = FAULTS | ON_THE_WAY
OF_JSON = ("truncated JSON", "JSON of the wrong shape", "a score out of range", "NaN", "a truth value for a number")
"""What is wrong where JSON is asked for, and an answer like any other where a text is."""
LIMIT = 0.05
ROLES = ("synthesizer", "labeler", "generator", "judge")
CALM = RetryPolicy(scale=0.002, patience=10_000.0, hung=10_000.0, busy=10_000.0)
"""Waits a fifth of a percent as long; the breaker opens after 20 s, which faults of a half do not reach."""
CHECKS = ("Say yes.", 'Answer with this JSON and nothing else: {"answer": "yes"}')
FAILED = ("inconclusive", "failed")


# ---- the endpoint


def right(body: Body) -> Served:
    """The answer of a role, which depends on the question alone. The name of the model says which role asks."""
    first, last = body["messages"][0]["content"], str(body["messages"][-1]["content"])
    if last in CHECKS:
        return llm_server.says('{"answer": "yes"}')
    return llm_server.says(ANSWERS[body["model"]](_asked(body), first))


def _asked(body: Body) -> str:
    """The question itself; a repair shows it before the wrong answer and the complaint."""
    texts = [str(message["content"]) for message in body["messages"] if message["role"] == "user"]
    return texts[0] if texts[-1].startswith("That answer cannot be used") else texts[-1]


def number_of(text: str) -> int:
    return zlib.crc32(text.encode())


def _queries(asked: str, first: str) -> str:
    """Some words of the passage, others for each kind of query."""
    words = asked.partition("<passage>")[2].partition("</passage>")[0].split()
    start = number_of(asked) % max(1, len(words) - 6)
    return json.dumps({"queries": [" ".join(words[start : start + 6])]})


def _label(asked: str, first: str) -> str:
    score = number_of(asked) % 11 / 10
    return json.dumps({"relevance_score": score, "explanation": "planted", "suggested_query": "what is it?"})


def _judgement(asked: str, first: str) -> str:
    given = scripted.given_in(asked)
    if "statements" in given:
        return scripted.verdicts(given["statements"], lambda one: number_of(one) % 3 > 0)
    if "answer" in given and "context" in given:
        rows = [{"statement": str(n), "reason": "planted", "attributed": number_of(asked) % (n + 2)} for n in range(3)]
        return json.dumps({"classifications": [row | {"attributed": min(1, row["attributed"])} for row in rows]})
    return json.dumps({"statements": [f"{given['answer']} {n}" for n in range(3)]})


ANSWERS = {
    "synthesizer": _queries,
    "labeler": _label,
    "judge": _judgement,
    "generator": lambda asked, first: " ".join(asked.split()[-3:]),
}


class Failing:
    """Answers rightly, and a share of the requests with one of some faults, in turn; so all kinds come."""

    def __init__(self, kinds: Iterable[str], share: float, seed: int) -> None:
        self.kinds, self.share, self.dice = list(kinds), share, random.Random(seed)
        self.dice.shuffle(self.kinds)
        self.injected = Counter[str]()
        self.spares_checks = False

    def __call__(self, body: Body) -> Served:
        good = right(body)
        spared = self.spares_checks and _asks_nothing(body)
        if spared or self.dice.random() >= self.share:
            return good
        kind = self.kinds[self.injected.total() % len(self.kinds)]
        self.injected[kind] += 1
        served: Served = ALL["empty content" if kind in OF_JSON and body["model"] == "generator" else kind](good)
        return served


def paid(server: Server) -> list[tuple[Seen, Served]]:
    """The answers that the server sent to their end and counts tokens of, without those of the check before a run."""
    return [
        (seen, served)
        for seen, served in server.completed
        if isinstance(served.content, dict) and served.content.get("usage") and not _is_check(seen)
    ]


def _is_check(seen: Seen) -> bool:
    return _asks_nothing(seen.body)


def _asks_nothing(body: Body) -> bool:
    return str(body["messages"][-1]["content"]) in CHECKS


def good_answers(server: Server) -> Counter[str]:
    """How often each question was answered rightly."""
    return Counter(
        json.dumps(seen.body, sort_keys=True)
        for seen, served in paid(server)
        if served.content["choices"] == right(seen.body).content["choices"]
    )


# ---- the suite


def write_suite(folder: Path, model: Path, server: Server) -> Path:
    """The shipped suite with its roles at this server.

    Two candidates train a tiny retriever, and one keeps few dimensions: all three surely lose.
    """
    suite: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    served = {"base_url": server.url, "timeout": 3.0, "price_in": 1.0, "price_out": 2.0, "max_tokens": 400}
    suite["llm"] = {role: {**served, "model": role} for role in ROLES}
    suite["pipeline"]["retriever"]["max_length"] = 48
    for candidate in suite["candidates"].values():
        candidate["pipeline"] = {"retriever": {"model": str(model), "max_length": 48}}
    suite["candidates"]["narrow"] = {"pipeline": {"retriever": {"dimensions": 2}}}
    suite["dataset"].pop("group")
    suite["failure_limit"] = LIMIT
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(suite, sort_keys=False), encoding="utf-8")
    return path


class Ran(NamedTuple):
    """How a run ended: its exit code, what it said, and its result, if it came so far."""

    code: int
    said: str
    done: Finished | None

    @property
    def result(self) -> Finished:
        assert self.done is not None, self.said
        return self.done

    @property
    def rows(self) -> list[dict[str, Any]]:
        return formats.read_parquet(self.result.folder / "scores.parquet")

    def stages(self, stage: str) -> list[LedgerRow]:
        return [row for row in self.result.outcome.ledger if row.stage == stage]


def run(path: Path, store: Path) -> Ran:
    done = None
    try:
        done = benchmark.run(path, store, executor=smallsuite.Here())
        check_complete(done)
    except HarnessError as error:
        return Ran(error.exit_code, str(error), done)
    return Ran(0, "", done)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EndpointChat.__init__, "__defaults__", (CALM,))
    monkeypatch.setattr(preflight, "PAUSES", (0.0, 0.0))
    monkeypatch.setenv("OPENAI_API_KEY", "none")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smallsuite.bi_encoder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run at an endpoint that never fails."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch, Server(right) as server:
        patch.setenv("OPENAI_API_KEY", "none")
        ran = run(write_suite(folder, model, server), folder / "store")
        assert_paid_once(server, folder / "store")
    assert ran.code == 0, ran.said
    assert ran.result.failed_share == 0
    verdicts = {row.verdict for row in ran.result.outcome.comparisons}
    assert verdicts - {"inconclusive"}, "no verdict could change"
    return ran


# ---- what holds


def assert_paid_once(server: Server, store: Path) -> None:
    """Each answer that the server sent is in the record of spending, and no right one was asked for again."""
    with closing(sqlite3.connect(store / "llm" / FILE)) as file:
        spent = file.execute("SELECT prompt_tokens, new_tokens FROM spending WHERE counted AND new_tokens").fetchall()
        kept = file.execute("SELECT count(*) FROM answers").fetchone()[0]
    assert spent == [(10, 5)] * len(paid(server))
    asked_again = [question for question, count in good_answers(server).items() if count > 1]
    assert asked_again == []
    assert kept >= len(good_answers(server))


def assert_accounted(ran: Ran) -> None:
    """What was asked is what was answered and what failed: in the ledger, and in the scores."""
    for row in ran.stages("answer"):
        assert row.notes["asked of the endpoint"] == row.notes["answers"] + row.notes["answers that failed"]
        # Those that an earlier attempt has paid, too.
        assert row.prompt_tokens >= 10 * row.notes["answers"]
    for row in ran.stages("synthesize"):
        assert row.notes["queries written"] + row.notes["queries that failed"] == 2 * row.notes["written about"]
    for row in ran.result.outcome.summaries:
        scored = [one for one in ran.rows if (one["system"], one["measure"]) == (row.system, row.measure)]
        told = Counter(one["status"] for one in scored if one["split"] == ran.result.outcome.split)
        assert (told["ok"], told["failed"]) == (row.n, row.failed)
        assert sum(row.reasons.values()) == row.failed
    for one in ran.rows:
        assert (one["value"] is not None) == (one["status"] == "ok")
        assert bool(one["reason"]) == (one["status"] != "ok")


def assert_nothing_invented(ran: Ran, whole: Ran) -> None:
    """Scores of systems that no endpoint trained are those of a run without faults, or failures."""

    def scores(of: Ran) -> dict[tuple[Any, ...], dict[str, Any]]:
        names = ("system", "seed", "split", "query_id", "measure")
        return {tuple(row[name] for name in names): row for row in of.rows}

    before, now = scores(whole), scores(ran)
    assert now.keys() == before.keys()
    for key, row in now.items():
        if key[0] not in ("retriever", "distilled") and row["status"] != "failed":
            assert (row["status"], row["value"]) == (before[key]["status"], before[key]["value"]), key


def assert_verdicts_hold(ran: Ran, whole: Ran) -> None:
    def verdicts(of: Ran) -> dict[tuple[str, str, str], Any]:
        return {(row.family, row.system, row.measure): row for row in of.result.outcome.comparisons}

    before, now = verdicts(whole), verdicts(ran)
    assert {key for key in now if key[0] == "gain"} == {key for key in before if key[0] == "gain"}
    assert now.keys() <= before.keys()
    for key, row in now.items():
        assert row.verdict in (before[key].verdict, *FAILED), (key, before[key], row)
        if row.verdict == "failed":
            assert row.reason
            assert row.failed or "no query" in row.reason


def assert_exit_code(ran: Ran) -> None:
    shares = [row.failed / (row.n + row.failed) for row in ran.result.outcome.summaries if row.n + row.failed]
    broken = any(info.failed for info in ran.result.outcome.systems)
    assert ran.code == (3 if broken or max(shares) > LIMIT else 0), ran.said
    assert ("failure_limit" in ran.said) == (ran.code == 3)


def endured(kinds: Iterable[str], share: float, seed: int, model: Path, whole: Ran, folder: Path) -> str:
    """Run with faults, then without, then once more; return a line for a table."""
    store = folder / "store"
    with Server(failing := Failing(kinds, share, seed)) as server:
        path = write_suite(folder, model, server)
        refused = (ran := run(path, store)).code == 2
        if refused:
            # The check before any work met nothing but faults: one sentence, and nothing was asked or paid.
            assert "check that it is up" in ran.said or "no answer within" in ran.said, ran.said
            assert all(map(_is_check, server.seen))
            failing.spares_checks = True
            ran = run(path, store)
        assert_accounted(ran)
        assert_nothing_invented(ran, whole)
        assert_verdicts_hold(ran, whole)
        assert_exit_code(ran)
        assert_paid_once(server, store)
        asked, lost = server.requests, sum(row.failed for row in ran.result.outcome.summaries)

        server.answering = right
        rest = run(path, store)
        assert rest.code == 0, rest.said
        assert rest.result.failed_share == 0
        assert_accounted(rest)
        assert_nothing_invented(rest, whole)
        assert_verdicts_hold(rest, whole)
        # Only what is missing is paid: every question that was answered once is in the cache.
        assert_paid_once(server, store)
        rest_asked = server.requests - asked

        known = server.requests
        again = run(path, store)
        assert (again.code, server.requests) == (0, known), "the third run asked again"
        assert again.rows == rest.rows
    return (
        f"share {share:.0%}, seed {seed}: {asked} requests, {failing.injected.total()} faults of "
        f"{len(failing.injected)} kinds, refused at the check: {refused}, exit code {ran.code}, {lost} scores lost; "
        f"the next run asked {rest_asked}"
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_no_fault_of_an_endpoint_reaches_the_verdicts_of_a_run(
    share: float, seed: int, model: Path, whole: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = endured(ALL, share, seed, model, whole, tmp_path)
    with capsys.disabled():
        print(told)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ALL)
def test_no_kind_of_fault_in_half_of_the_answers_does(
    kind: str, model: Path, whole: Ran, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = endured([kind], 0.5, 1, model, whole, tmp_path)
    with capsys.disabled():
        print(f"{kind}: {told}")
    if kind in HARMLESS:
        assert "exit code 0, 0 scores lost" in told


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_a_budget_stops_again_and_again_costs_what_it_costs_in_one(
    model: Path, whole: Ran, tmp_path: Path
) -> None:
    """Every row of the ledger has the tokens and dollars of all of its answers, whichever attempt has paid them."""

    def costs(ran: Ran) -> dict[str, tuple[int, int, float]]:
        rows = [row for row in ran.result.outcome.ledger if row.prompt_tokens]
        return {row.label: (row.prompt_tokens, row.new_tokens, round(row.llm_dollars, 9)) for row in rows}

    assert len(costs(whole)) > 5
    with Server(right) as server:
        path, codes = write_suite(tmp_path, model, server), list[int]()
        suite = yaml.safe_load(path.read_text(encoding="utf-8"))
        for tokens in (500, 1000, 2000, 4000, None):
            suite["llm"]["max_tokens"] = tokens
            path.write_text(yaml.safe_dump(suite, sort_keys=False), encoding="utf-8")
            ran = run(path, tmp_path / "store")
            codes.append(ran.code)
        assert_paid_once(server, tmp_path / "store")
    assert codes[-1] == 0, ran.said
    assert 0 not in codes[:2]
    assert costs(ran) == costs(whole)
