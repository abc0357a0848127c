"""The candidates of `search.sample`: combinations or a sample, always the same, and valid suites."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import pytest
import smallsuite
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.errors import ConfigError
from harness.experiments import benchmark
from harness.suite.files import load_suite
from harness.suite.search import Range, Sample, Search, expanded
from harness.suite.spec import Suite

LISTS = st.lists(st.integers(0, 9), min_size=2, max_size=4, unique=True)
KEYS = st.sampled_from(["retriever.epochs", "mine.hard", "retriever.batch_size"])


@given(space=st.dictionaries(KEYS, LISTS, min_size=1))
def test_without_trials_each_combination_is_tried_once(space: dict[str, list[int]]) -> None:
    points = Sample(of="a", space=space).points()
    assert len(points) == prod(map(len, space.values()))
    assert len({repr(point) for point in points}) == len(points)
    assert all(point.keys() == space.keys() for point in points)


@given(space=st.dictionaries(KEYS, LISTS, min_size=1), trials=st.integers(1, 20), seed=st.integers(0, 9))
def test_a_sample_has_as_many_points_as_asked_and_as_the_space_has(
    space: dict[str, list[int]], trials: int, seed: int
) -> None:
    sample = Sample(of="a", space=space, trials=trials, seed=seed)
    points = sample.points()
    assert len(points) == min(trials, prod(map(len, space.values())))
    assert len({repr(point) for point in points}) == len(points)
    assert all(value in space[key] for point in points for key, value in point.items())
    assert points == sample.points()


@given(low=st.floats(1e-6, 1e-2), factor=st.floats(1.5, 1e3), part=st.floats(0, 1), log=st.booleans())
def test_a_range_keeps_its_ends_to_three_digits(low: float, factor: float, part: float, log: bool) -> None:
    value = Range(low=low, high=low * factor, log=log).at(part)
    assert low * 0.994 <= value <= low * factor * 1.006
    assert value == float(f"{value:.3g}")


@given(low=st.integers(0, 5), width=st.integers(1, 9))
def test_whole_numbers_are_drawn_alike(low: int, width: int) -> None:
    drawn = [Range(low=low, high=low + width).at((place + 0.5) / 1000) for place in range(1000)]
    assert {type(value) for value in drawn} == {int}
    counts = {value: drawn.count(value) for value in set(drawn)}
    assert sorted(counts) == list(range(low, low + width + 1))
    assert max(counts.values()) - min(counts.values()) <= 2


def test_decades_have_as_many_points_each() -> None:
    sample = Sample(of="a", space={"retriever.learning_rate": {"low": 1e-6, "high": 1e-2, "log": True}}, trials=64)
    values = [point["retriever.learning_rate"] for point in sample.points()]
    assert [sum(10.0**n <= value < 10.0 ** (n + 1) for value in values) for n in (-6, -5, -4, -3)] == [16] * 4


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ({"space": {"retriever.learning_rate": {"low": 1e-5, "high": 1e-3}}}, "'trials' must say how many"),
        ({"space": {"retriever.epochs": {"low": 3, "high": 3}}, "trials": 4}, "low 3 is not below high 3"),
        ({"space": {"mine.hard": {"low": 0, "high": 3, "log": True}}, "trials": 4}, "log needs a low above 0"),
        ({"space": {f"mine.{name}": list(range(20)) for name in ("hard", "random")}}, "400 combinations are over"),
        ({"space": {}}, "at least 1"),
        ({"space": {"mine.hard": [1]}}, "at least 2"),
        ({"space": {"mine.hard": [1, 2]}, "trials": 1000}, "256"),
    ],
)
def test_a_space_that_cannot_be_tried_is_refused(sample: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Search.model_validate({"sample": {"of": "a", **sample}})


SPACE = {"retriever.learning_rate": ["0.03", "0.001"], "mine.hard": [0, 1]}


def sampled(folder: Path, **more: Any) -> Path:
    search = {"sample": {"of": "judged", "space": SPACE}, "halving": None}
    return smallsuite.write(folder / "suite", smallsuite.bi_encoder(folder / "model"), {"search": search, **more})


def test_trials_are_candidates_with_a_name_and_read_back_as_they_were(tmp_path: Path) -> None:
    suite, _ = load_suite(sampled(tmp_path))
    assert list(suite.candidates) == ["judged", "judged-1", "judged-2", "judged-3", "judged-4"]
    settings = [(one.retriever.learning_rate, one.mine.hard) for one in list(suite.candidates.values())[1:]]  # type: ignore[attr-defined]
    assert settings == [(0.03, 0), (0.03, 1), (0.001, 0), (0.001, 1)]
    assert all(one.tune == ("retriever",) for one in suite.candidates.values())
    again = Suite.model_validate(suite.model_dump(mode="json", by_alias=True))
    assert again == suite


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"search": {"sample": {"of": "judgd", "space": SPACE}}}, "there is no candidate 'judgd'.*judged"),
        ({"search": {"sample": {"of": "judged", "space": {"retriever.learning_rat": [1, 2]}}}}, "learning_rat"),
        (
            {"search": {"sample": {"of": "judged", "space": {"retriever.learning_rate": {"low": 1, "high": "x"}}}}},
            r"search\.sample\.space\.retriever\.learning_rate\.high: ",
        ),
        (
            {"candidates": {"judged": {"tune": ["retriever"]}, "judged-2": {"tune": ["retriever"]}}},
            "makes a candidate 'judged-2', and there is another one",
        ),
    ],
)
def test_what_is_wrong_with_a_sample_is_one_sentence(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_suite(sampled(tmp_path, **more))


@pytest.mark.parametrize("suite", [None, [], {}, {"search": None}, {"search": {"sample": 3}, "candidates": {}}])
def test_what_cannot_be_read_is_left_for_pydantic(suite: Any) -> None:
    assert expanded(suite) is suite


def test_a_sample_is_searched_by_halving(tmp_path: Path) -> None:
    search = {"sample": {"of": "judged", "space": SPACE}, "halving": {"eta": 5}}
    recipes = {"retriever": {"epochs": 1, "batch_size": 2, "checkpoints": 1}}
    done = benchmark.run(
        sampled(tmp_path, search=search, recipes=recipes), tmp_path / "store", executor=smallsuite.Here()
    )
    assert len(done.outcome.rounds) == 5
    assert sum(not info.stopped for info in done.outcome.systems if info.tunes) == 1
    assert "mine.hard=1" in next(info for info in done.outcome.systems if info.name == "judged-2").training
