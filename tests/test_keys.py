"""Keys are made of the settings that differ from their defaults, so a new setting with a default changes none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pocket
import pytest

from harness.planning.plan import build_plan
from harness.stages.shared.remote import Endpoint
from harness.suite.pipeline import Pipeline, Retriever
from harness.suite.training_data import Data, RoundTrip, Synthesize

NEW_SETTING = """
import json
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

plain = SourceFileLoader.get_code
replaced = {
    "class RetrieverRecipe(Recipe):": "polish: Positive = 3",
    "class GeneratorRecipe(Recipe):": "gloss: str = ''",
}


def with_new_settings(self, name):
    if name != "harness.suite.recipes":
        return plain(self, name)
    lines = []
    for line in Path(self.get_filename(name)).read_text(encoding="utf-8").splitlines():
        lines += [line, "    " + replaced.pop(line)] if line in replaced else [line]
    assert not replaced
    return compile("\\n".join(lines), self.get_filename(name), "exec")


SourceFileLoader.get_code = with_new_settings
import pocket
from harness.planning.plan import build_plan

found = []
for changes in json.loads(sys.argv[1]):
    plan = build_plan(pocket.suite(changes), pocket.dataset())
    found.append({planned.label: key for key, planned in plan.calls.items()})
print(json.dumps(found))
"""
"""Prints the keys of plans, by their labels, with two recipes that have one setting more each."""
SUITE: dict[str, Any] = {
    "candidates": {
        "first": {"tune": ["retriever", "generator"]},
        "second": {"tune": ["retriever"], "retriever": {"epochs": 5}},
        "third": {"tune": ["generator"]},
    },
    "data.pairs": "judged",
}


def keys_with_new_settings(*changes: dict[str, Any]) -> list[dict[str, str]]:
    command = [sys.executable, "-c", NEW_SETTING, json.dumps([{**SUITE, **one} for one in changes])]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    keys: list[dict[str, str]] = json.loads(done.stdout)
    return keys


@pytest.fixture(scope="module")
def now() -> dict[str, str]:
    plan = build_plan(pocket.suite(SUITE), pocket.dataset())
    return {planned.label: key for key, planned in plan.calls.items()}


def test_a_new_setting_changes_keys_only_where_it_is_set(now: dict[str, str]) -> None:
    second = {"second": {**SUITE["candidates"]["second"], "retriever": {"epochs": 5, "polish": 4}}}
    default, said, everywhere, one, gloss = keys_with_new_settings(
        {},
        {"recipes.retriever": {"polish": 3}},
        {"recipes.retriever": {"polish": 4}},
        {"candidates": {**SUITE["candidates"], **second}},
        {"recipes.generator": {"gloss": "high"}},
    )
    assert default == now
    assert said == now, "a setting that is written with its default changes nothing"
    assert changed(now, everywhere) == {name for name in now if named(name, "first", "second")}
    assert changed(now, one) == {name for name in now if named(name, "second")}
    assert changed(now, gloss) == {
        "tune generator of first, seed 0",
        "tune generator of third, seed 0",
        "answer as first, seed 0",
        "answer as third, seed 0",
    }


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert before.keys() == after.keys()
    return {label for label in before if before[label] != after[label]}


def named(label: str, *candidates: str) -> bool:
    return any(f"{name}, seed" in label for name in candidates)


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        (Data(), {}),
        (Synthesize(round_trip=None), {"round_trip": None}),
        (Synthesize(round_trip=RoundTrip(k=3)), {"round_trip": {"k": 3}}),
        (Synthesize(round_trip=RoundTrip()), {}),
        (Pipeline(retriever=Retriever(max_length=9)), {"retriever": {"max_length": 9}}),
        (Endpoint(model="m", temperature=None, seed=0, max_tokens=9),
         {"model": "m", "temperature": None, "seed": 0, "max_tokens": 9}),
    ],
)  # fmt: skip
def test_what_has_its_default_is_left_out_at_every_depth(spec: Any, settings: dict[str, Any]) -> None:
    assert spec.key_settings() == settings
    if "model" not in settings:
        assert type(spec).model_validate(settings) == spec
