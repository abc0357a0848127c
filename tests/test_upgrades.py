"""Values of earlier versions: their field names are read, and nothing else about them changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diagnosed
import outcomes as invented
import pytest

from harness.diagnosis.meanings import NAMES
from harness.results import diagnoses, outcomes
from harness.values.upgrades import OWN_NAMES, RENAMED, RENAMED_FACTS, RENAMED_VALUES, upgraded

EARLIER = {new: old for old, new in RENAMED.items()}


def downgraded(value: Any) -> Any:
    """A value in the names of version 2 of an outcome."""
    if isinstance(value, list):
        return [downgraded(item) for item in value]
    if not isinstance(value, dict):
        return value
    older = {EARLIER.get(key, key): item if key in OWN_NAMES else downgraded(item) for key, item in value.items()}
    for key, names in RENAMED_VALUES.items():
        earlier = {new: old for old, new in names.items()}
        if isinstance(name := value.get(key), str):
            older[EARLIER.get(key, key)] = earlier.get(name, name)
    return older


@pytest.mark.parametrize("make", [invented.normal, diagnosed.outcome])
def test_an_outcome_of_version_2_is_read_whole(make: Any, tmp_path: Path) -> None:
    outcome = make()
    older = downgraded(json.loads(outcome.model_dump_json())) | {"schema_version": "harness/outcome-2"}
    assert any(name in json.dumps(older) for name in ("make_seconds", "make_dollars"))
    (tmp_path / "outcome.json").write_text(json.dumps(older), encoding="utf-8")
    assert outcomes.read(tmp_path).model_dump_json() == outcome.model_dump_json()


def test_a_diagnosis_of_version_1_is_read_whole(tmp_path: Path) -> None:
    diagnosis = diagnosed.diagnosis()
    older = downgraded(json.loads(diagnosis.model_dump_json())) | {"schema_version": "harness/diagnosis-1"}
    assert {"headroom", "quotes"} <= older.keys()
    assert {row["ideal"] for row in older["headroom"]} >= {"ideal-retriever", "oracle-context"}
    (tmp_path / "diagnosis.json").write_text(json.dumps(older), encoding="utf-8")
    assert diagnoses.read(tmp_path) == diagnosis


def test_names_of_users_are_left_alone() -> None:
    value = {"spec": {"candidates": {"returns": {"role": "reference"}}}, "facts": {"headroom": 1.0}}
    assert upgraded(value) == value


def test_facts_and_signs_of_a_diagnosis_get_the_names_of_today() -> None:
    value = {
        "facts": {
            "room.retriever.low": 0.1,
            "detectable.answers.margins": 2.0,
            "sign.shattered.bar": 0.06,
            "depth": 50,
        },
        "signs": [{"name": "shattered", "worrying": True}],
    }
    assert upgraded(value) == {
        "facts": {
            "oracle_gain.retriever.low": 0.1,
            "mde.answers.margins": 2.0,
            "sign.high_fertility.bar": 0.06,
            "depth": 50,
        },
        "signs": [{"name": "high_fertility", "worrying": True}],
    }


def test_no_fact_of_today_is_renamed() -> None:
    facts = dict.fromkeys(NAMES, 1.0)
    assert upgraded({"facts": facts}) == {"facts": facts}
    assert not any(name.startswith(tuple(RENAMED_FACTS)) for name in NAMES)


def test_a_system_may_be_called_like_a_field_that_was_renamed() -> None:
    system = {"name": "shattered", "seed": 0, "role": "candidate"}
    value = {"systems": [system], "missing_lists": {"quotes": 2}, "not_run": {"returns": "no judge"}}
    ledger = {"ledger": [{"notes": {"headroom": 1, "quote": 2}}], "summaries": [{"reasons": {"ideal": 3}}]}
    expected = {"systems": [system], "queries_without_run": {"quotes": 2}, "not_run": {"returns": "no judge"}}
    assert upgraded({**value, **ledger}) == {**expected, **ledger}
