"""A session: from a plan to rows; endpoints are checked before any work, and each once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import planted
import pocket
import pytest

from harness.data.datasets import load_dataset
from harness.errors import ConfigError, HarnessError, Problem
from harness.execution import endpoints
from harness.execution.executors import InlineExecutor
from harness.execution.session import Session
from harness.planning.plan import build_plan
from harness.suite.files import load_suite
from harness.values.measures import parse

ENDPOINT = {"model": "large", "base_url": "http://localhost:1/v1", "price_in": 1.0, "price_out": 1.0}


@pytest.fixture
def session(tmp_path: Path) -> Session:
    planted.write_dataset(tmp_path / "data")
    suite, _ = load_suite(planted.write_suite(tmp_path))
    return Session(suite, tmp_path / "root", executor=planted.Planted())


def test_a_plan_is_made_and_scored_and_the_second_time_taken_from_the_store(session: Session) -> None:
    dataset = load_dataset(session.suite.dataset, session.suite.evaluate.split)
    plan = build_plan(session.suite, dataset)
    rows, execution, scores = session.execute(plan, dataset)
    assert rows.keys() == {system.label for system in plan.systems}
    assert {row.measure for row in rows["untuned"]} <= {str(measure) for measure in session.suite.measures}
    assert execution.made == len(execution.rows) > 0
    assert scores.computed > 0
    again = session.execute(plan, dataset)
    assert again.rows == rows
    assert (again.execution.made, again.scores.computed) == (0, 0)


def test_measures_can_be_chosen(session: Session) -> None:
    dataset = load_dataset(session.suite.dataset, session.suite.evaluate.split)
    done = session.execute(build_plan(session.suite, dataset), dataset, [parse("ndcg@10")])
    assert {row.measure for rows in done.rows.values() for row in rows} == {"ndcg@10"}


def test_an_executor_has_a_name_or_is_one(tmp_path: Path) -> None:
    assert isinstance(Session(pocket.suite(), tmp_path, executor="inline").executor, InlineExecutor)
    with pytest.raises(HarnessError, match="unknown executor 'slrum'"):
        Session(pocket.suite(), tmp_path, executor="slrum")


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Session, list[str]]:
    """A session whose plan asks a labeler at an endpoint, and the roles that were checked."""
    checked: list[str] = []
    monkeypatch.setattr(endpoints, "check", lambda roles, services, suite: checked.extend(roles))
    suite = pocket.suite({
        "pipeline.generator": None, "measures": ["ndcg@10"], "llm": {"labeler": ENDPOINT},
        "data": {"pairs": "judged", "label": {"by": "llm"}}, "candidates": {"labelled": {"tune": ["reranker"]}},
        "recipes": {"reranker": {"model": "embedded:all-minilm-l6-v2"}},
    })  # fmt: skip
    return Session(suite, tmp_path, executor=pocket.Pretender()), checked


def test_an_endpoint_is_checked_once_before_any_work(asking: tuple[Session, list[str]]) -> None:
    session, checked = asking
    plan = build_plan(session.suite, pocket.dataset())
    for _ in range(2):
        assert not session.check(session.measurements(plan, pocket.dataset()))
    assert checked == ["labeler"]
    assert session.executor.asked == []  # type: ignore[attr-defined]


def test_an_interrupt_says_more_than_an_address_that_is_away(
    asking: tuple[Session, list[str]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session, _ = asking
    plan = build_plan(session.suite, pocket.dataset())

    def away(folder: Path) -> None:
        raise ConfigError(Problem("s3://bucket", "does not answer", "try again"))

    def interrupt(*given: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.execution.session.shared_answers.exchange", away)
    with pytest.raises(ConfigError, match="does not answer"):
        session.share()
    monkeypatch.setattr("harness.execution.session.carry_out", interrupt)
    with pytest.raises(KeyboardInterrupt):
        session.make(plan)
    assert "answers of LLMs were not exchanged with other machines: s3://bucket: does not answer" in caplog.text


def test_a_setting_that_a_server_refuses_asks_for_another_plan(
    asking: tuple[Session, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _ = asking
    plan = build_plan(session.suite, pocket.dataset())
    roles: dict[Any, Any] = {"labeler": session.suite.llm.labeler.model_copy(update={"temperature": None})}
    adapted = session.suite.model_copy(update={"llm": session.suite.llm.model_copy(update=roles)})
    monkeypatch.setattr(endpoints, "spoken", lambda suite, root: adapted)
    with pytest.raises(HarnessError, match="build the plan again"):
        session.execute(plan, pocket.dataset())
    assert session.suite == adapted
    assert session.services.roles == adapted.llm.roles
    assert session.executor.asked == []  # type: ignore[attr-defined]
