"""Effects of a factorial: by hand, by their laws, with parts missing, and against simulated worlds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.statistics import effects as statistics
from harness.statistics.effects import Crossing
from harness.values.effects import Effect
from harness.values.measures import Measure
from harness.values.records import ScoreColumn

NDCG, UTILITY = Measure("ndcg", 10), Measure("utility")
PARTS = ("retriever", "reranker", "generator")
Found = dict[tuple[str, ...], Effect]
Cells = Mapping[frozenset[str], Sequence[ScoreColumn]]
"""Scores by the parts that are tuned."""


def cell(*parts: str) -> frozenset[str]:
    return frozenset(parts)


def tuned_parts(factors: Sequence[str]) -> Crossing:
    """Factors of two levels, of which the generator changes no run."""
    systems = {
        "-".join(some) or "untuned": {part: "tuned" if part in some else "untuned" for part in factors}
        for size in range(len(factors) + 1)
        for some in combinations(factors, size)
    }
    levels = dict.fromkeys(factors, ("untuned", "tuned"))
    return Crossing(levels, systems, frozenset({("generator", "tuned")}))


def effects(
    by_measure: Mapping[Measure, Cells], groups: Mapping[str, str], factors: Sequence[str], **options: Any
) -> list[Effect]:
    """Effects of tuned parts."""
    crossing = tuned_parts(factors)
    cells = {
        measure: {
            tuple("tuned" if part in where else "untuned" for part in factors): seeds
            for where, seeds in by_cell.items()
        }
        for measure, by_cell in by_measure.items()
    }
    return statistics.effects(cells, groups, crossing, **options)


def all_cells(factors: tuple[str, ...]) -> list[frozenset[str]]:
    return [cell(*some) for some in chain.from_iterable(combinations(factors, size) for size in range(4))]


def one_each(n_queries: int) -> dict[str, str]:
    return {f"q{number:03}": f"g{number:03}" for number in range(n_queries)}


def by_query(values: np.ndarray | list[float]) -> dict[str, float | None]:
    return {f"q{number:03}": float(value) for number, value in enumerate(values)}


def made(means: Mapping[frozenset[str], float], n_queries: int = 40, noise: float = 0.02) -> Cells:
    """Cells with these means and independent noise, so that every effect has a finite error."""
    rng = np.random.default_rng(3)
    return {where: [by_query(mean + rng.normal(0, noise, n_queries))] for where, mean in means.items()}


def of(rows: list[Effect], kind: str) -> Found:
    """Effects of a kind: by parts, and for simple effects by part, ``with`` or ``without``, and the other part."""
    found = {}
    for row in rows:
        other = ("with", *row.given) if row.given else ("without", *row.without) if row.without else ()
        if row.kind == kind:
            found[row.parts + other] = row
    return found


def differences(rows: list[Effect]) -> list[float]:
    return [row.difference for row in rows if row.difference is not None]


# ---- by hand


def two_by_two() -> Cells:
    return {
        cell(): [by_query([0.2, 0.4, 0.0, 0.6])],
        cell("retriever"): [by_query([0.6, 0.4, 0.4, 0.6])],
        cell("reranker"): [by_query([0.6, 0.8, 0.2, 0.8])],
        cell("retriever", "reranker"): [by_query([0.6, 0.8, 0.2, 1.0])],
    }


def test_two_by_two_by_hand() -> None:
    rows = effects({NDCG: two_by_two()}, one_each(4), PARTS[:2], margins={NDCG: 0.01})
    # Means of the cells: 0.30, 0.50, 0.60, 0.65.
    assert [row.kind for row in rows] == ["main"] * 2 + ["interaction"] + ["simple"] * 4
    main, together, simple = of(rows, "main"), of(rows, "interaction"), of(rows, "simple")
    assert main["retriever",].difference == pytest.approx((0.2 + 0.05) / 2)
    assert main["reranker",].difference == pytest.approx((0.3 + 0.15) / 2)
    assert together["retriever", "reranker"].difference == pytest.approx(0.65 - 0.5 - 0.6 + 0.3)
    assert simple["retriever", "without", "reranker"].difference == pytest.approx(0.2)
    assert simple["retriever", "with", "reranker"].difference == pytest.approx(0.05)
    assert simple["reranker", "without", "retriever"].difference == pytest.approx(0.3)
    assert simple["reranker", "with", "retriever"].difference == pytest.approx(0.15)
    assert {(row.n_queries, row.n_groups, row.failed, row.margin) for row in rows} == {(4, 4, 0, 0.01)}
    assert {row.reason for row in rows} == {"too few groups for an interval: 4, and it takes 6"}
    assert {row.finding for row in rows} == {"could not tell"}


def test_three_parts_average_over_the_third_by_hand() -> None:
    means = dict(zip(all_cells(PARTS), (0.1, 0.2, 0.3, 0.5, 0.35, 0.7, 0.6, 0.75), strict=True))
    rows = effects({NDCG: made(means, noise=0.0)}, one_each(40), PARTS, margins={})
    # In this order: none, A, B, C, AB, AC, BC, ABC.
    main, together, simple = of(rows, "main"), of(rows, "interaction"), of(rows, "simple")
    assert main["retriever",].difference == pytest.approx((0.1 + 0.05 + 0.2 + 0.15) / 4)
    assert main["generator",].difference == pytest.approx((0.4 + 0.5 + 0.3 + 0.4) / 4)
    assert together["retriever", "reranker"].difference == pytest.approx((-0.05 + -0.05) / 2)
    assert together["retriever", "generator"].difference == pytest.approx((0.1 + 0.1) / 2)
    assert simple["retriever", "without", "reranker"].difference == pytest.approx((0.1 + 0.2) / 2)
    assert simple["retriever", "with", "reranker"].difference == pytest.approx((0.05 + 0.15) / 2)
    assert len(simple) == 12


# ---- laws

tenths = st.integers(-9, 9).map(lambda number: number / 10)


@st.composite
def tables(draw: st.DrawFn) -> tuple[tuple[str, ...], Cells]:
    factors = draw(st.sampled_from([PARTS[:2], PARTS]))
    n_queries = draw(st.integers(1, 9))
    values = st.lists(tenths, min_size=n_queries, max_size=n_queries).map(by_query)
    return factors, {where: [draw(values)] for where in all_cells(factors)}


@settings(max_examples=60)
@given(tables())
def test_effects_hang_together(table: tuple[tuple[str, ...], Cells]) -> None:
    """A main effect is the mean of the two simple ones, an interaction their difference, whichever part is asked."""
    factors, cells = table
    rows = effects({NDCG: cells}, one_each(9), factors, margins={}, resamples=99)
    main, simple = of(rows, "main"), of(rows, "simple")
    for parts, row in of(rows, "interaction").items():
        for part, other in (parts, parts[::-1]):
            alone, later = differences([simple[part, "without", other], simple[part, "with", other]])
            assert row.difference == pytest.approx(later - alone, abs=1e-9)
            assert main[part,].difference == pytest.approx((later + alone) / 2, abs=1e-9)


@settings(max_examples=60)
@given(st.lists(st.tuples(tenths, tenths, tenths, tenths), min_size=6, max_size=9))
def test_additive_gains_do_not_interact(gains: list[tuple[float, float, float, float]]) -> None:
    table = np.asarray(gains)
    cells = {
        where: [by_query(table[:, 0] + sum(table[:, 1 + PARTS.index(part)] for part in where))]
        for where in all_cells(PARTS)
    }
    rows = effects({NDCG: cells}, one_each(9), PARTS, margins={NDCG: 0.01}, resamples=99)
    for row in of(rows, "interaction").values():
        assert row.difference == pytest.approx(0.0, abs=1e-12)
        # Nine queries that show no interaction may have missed one.
        assert (row.low, row.finding) == (pytest.approx(-row.high), "could not tell")  # type: ignore[operator]
        assert row.reason == "no group differs; the interval allows for a few that this sample missed"
    for number, part in enumerate(PARTS, start=1):
        assert of(rows, "main")[part,].difference == pytest.approx(table[:, number].mean(), abs=1e-9)


def test_only_a_generator_is_known_to_change_no_list() -> None:
    same = made(
        {cell(): 0.3, cell("retriever"): 0.3, cell("generator"): 0.3, cell("retriever", "generator"): 0.3}, noise=0.0
    )
    for measure, part, finding in (
        (NDCG, "generator", "changes nothing"), (NDCG, "retriever", "could not tell"),
        (UTILITY, "generator", "could not tell"),
    ):  # fmt: skip
        rows = effects({measure: same}, one_each(40), ("retriever", "generator"), margins={measure: 0.01})
        assert of(rows, "main")[part,].finding == finding


@settings(max_examples=40)
@given(tables(), st.permutations(PARTS))
def test_other_names_of_the_parts_change_only_the_names(table: tuple[tuple[str, ...], Cells], names: list[str]) -> None:
    factors, cells = table
    renamed = dict(zip(PARTS, names, strict=True))
    other = {frozenset(renamed[part] for part in where): values for where, values in cells.items()}
    # Not ndcg: of that it is known that a generator changes nothing.
    mine = effects({UTILITY: cells}, one_each(9), factors, margins={}, resamples=99)
    theirs = effects({UTILITY: other}, one_each(9), [renamed[part] for part in factors], margins={}, resamples=99)
    assert [tuple(renamed[part] for part in row.parts) for row in mine] == [row.parts for row in theirs]
    assert differences(mine) == pytest.approx(differences(theirs), abs=1e-12)
    assert [row.finding for row in mine] == [row.finding for row in theirs]


def test_turning_a_factor_round_turns_its_main_effect_and_interactions() -> None:
    cells = made({cell(): 0.3, cell("retriever"): 0.4, cell("reranker"): 0.5, cell("retriever", "reranker"): 0.55})
    turned = {where ^ {"retriever"}: values for where, values in cells.items()}
    mine, theirs = (effects({NDCG: c}, one_each(40), PARTS[:2], margins={}) for c in (cells, turned))
    for kind, parts, sign in (
        ("main", ("retriever",), -1),
        ("main", ("reranker",), 1),
        ("interaction", PARTS[:2], -1),
    ):
        before, after = of(mine, kind)[parts], of(theirs, kind)[parts]
        assert before.difference is not None
        assert after.difference == pytest.approx(sign * before.difference)
        assert after.p_value == before.p_value


# ---- factors with several levels, and tuned parts as they were before


def test_tuned_parts_have_the_effects_that_they_had_as_a_set_of_parts() -> None:
    """The golden file was written before factors had levels."""
    golden = json.loads((Path(__file__).parent / "golden" / "effects.json").read_text(encoding="utf-8"))
    cells: dict[Measure, dict[frozenset[str], list[ScoreColumn]]] = {NDCG: {}, UTILITY: {}}
    for row in golden["scores"]:
        cells[NDCG if row["measure"] == "ndcg@10" else UTILITY][frozenset(row["tuned"])] = row["seeds"]
    rows = effects(cells, golden["groups"], PARTS, margins={NDCG: 0.01, UTILITY: 0.02})
    numbers = ("difference", "low", "high", "p_value", "absorbed")
    for row, before in zip(rows, golden["effects"], strict=True):
        mine = row.model_dump(mode="json", exclude={"levels", "given_levels"})
        assert [mine.pop(name) for name in numbers] == pytest.approx([before.pop(name) for name in numbers], abs=1e-12)
        assert mine == before
        assert set(row.levels + row.given_levels) == {"tuned"}


MIXED = {"retriever": ("untuned", "tuned"), "reranker": ("none", "late-interaction", "tuned"), "shots": ("0", "3", "5")}


@st.composite
def mixed(draw: st.DrawFn) -> tuple[Crossing, statistics.Cells]:
    names = draw(st.lists(st.sampled_from(sorted(MIXED)), min_size=2, max_size=3, unique=True))
    crossing = Crossing({name: MIXED[name] for name in names})
    values = st.lists(tenths, min_size=6, max_size=6).map(by_query)
    return crossing, {where: [draw(values)] for where in product(*crossing.factors.values())}


@settings(max_examples=40)
@given(mixed())
def test_an_effect_of_levels_is_a_difference_of_means_of_cells(world: tuple[Crossing, statistics.Cells]) -> None:
    """Computed here by filtering cells, one effect at a time."""
    crossing, cells = world
    means = {where: float(np.mean([value or 0.0 for value in seeds[0].values()])) for where, seeds in cells.items()}

    def mean(held: Mapping[str, str]) -> float:
        places = {list(crossing.factors).index(factor): level for factor, level in held.items()}
        return float(np.mean([m for cell, m in means.items() if all(cell[at] == of for at, of in places.items())]))

    rows = statistics.effects({UTILITY: cells}, one_each(6), crossing, margins={}, resamples=99)
    for row in rows:
        held = dict(zip(row.given, row.given_levels, strict=True))
        held |= {factor: crossing.factors[factor][0] for factor in row.without}
        (level, *other) = list(zip(row.parts, row.levels, strict=True))

        def gain(at: Mapping[str, str], changed: tuple[str, str] = level) -> float:
            factor, new = changed
            return mean({**at, factor: new}) - mean({**at, factor: crossing.factors[factor][0]})

        expected = gain(held)
        for factor, new in other:
            expected = gain({factor: new}) - gain({factor: crossing.factors[factor][0]})
        assert row.difference == pytest.approx(expected, abs=1e-9)
    assert len({(row.kind, row.parts, row.levels, row.given, row.given_levels, row.without) for row in rows}) == len(
        rows
    )
    assert sum(row.kind == "main" for row in rows) == sum(len(levels) - 1 for levels in crossing.factors.values())


def test_levels_that_only_answers_depend_on_change_no_list() -> None:
    crossing = Crossing(
        {"retriever": ("untuned", "tuned"), "shots": ("0", "3", "5")}, answers_only=frozenset({("shots", "3")})
    )
    cells = {
        where: [by_query([0.2 + 0.3 * (where[0] == "tuned")] * 40)] for where in product(*crossing.factors.values())
    }
    rows = statistics.effects({NDCG: cells}, one_each(40), crossing, margins={NDCG: 0.01})
    found = {(row.parts, row.levels): row.finding for row in rows}
    assert found == {
        (("retriever",), ("tuned",)): "adds",
        (("shots",), ("3",)): "changes nothing",
        (("shots",), ("5",)): "could not tell",
    }


# ---- words


def test_a_gain_that_another_part_swallows_is_absorbed() -> None:
    cells = made({cell(): 0.3, cell("retriever"): 0.4, cell("reranker"): 0.5, cell("retriever", "reranker"): 0.5})
    rows = effects({NDCG: cells}, one_each(40), PARTS[:2], margins={NDCG: 0.02})
    simple = of(rows, "simple")
    (row,) = of(rows, "interaction").values()
    alone, later = simple["retriever", "without", "reranker"], simple["retriever", "with", "reranker"]
    assert row.finding == "absorb"
    assert row.difference == pytest.approx(-0.1, abs=0.02)
    assert (alone.finding, later.finding) == ("adds", "too small to matter")
    assert alone.absorbed is None
    assert later.absorbed == pytest.approx(1 - later.difference / alone.difference)  # type: ignore[operator]
    assert later.absorbed == pytest.approx(1.0, abs=0.1)
    assert simple["reranker", "with", "retriever"].absorbed == pytest.approx(0.5, abs=0.1)


def test_no_share_is_absorbed_of_a_gain_that_is_none() -> None:
    """The reranker that changes little alone and harms the tuned retriever: less together, but nothing to absorb."""
    cells = made({cell(): 0.3, cell("retriever"): 0.4, cell("reranker"): 0.3, cell("retriever", "reranker"): 0.3})
    simple = of(effects({NDCG: cells}, one_each(40), PARTS[:2], margins={NDCG: 0.02}), "simple")
    assert simple["reranker", "with", "retriever"].finding == "takes away"
    assert simple["reranker", "with", "retriever"].absorbed is None
    assert simple["retriever", "with", "reranker"].absorbed == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("together", "margin", "noise", "finding"),
    [
        (0.6, 0.02, 0.01, "add up"),
        (0.6, 0.001, 0.01, "could not tell"),
        (0.6, 0.02, 0.3, "could not tell"),
        (0.7, 0.02, 0.01, "reinforce"),
        (0.5, 0.02, 0.01, "absorb"),
    ],
)
def test_words_for_two(together: float, margin: float, noise: float, finding: str) -> None:
    means = {cell(): 0.3, cell("retriever"): 0.4, cell("reranker"): 0.5, cell("retriever", "reranker"): together}
    rows = effects({NDCG: made(means, noise=noise)}, one_each(40), PARTS[:2], margins={NDCG: margin})
    assert [row.finding for row in of(rows, "interaction").values()] == [finding]


def test_a_part_that_changes_nothing_is_said_to_and_takes_no_part_in_interactions() -> None:
    cells = made({cell(): 0.3, cell("retriever"): 0.4, cell("reranker"): 0.5, cell("retriever", "reranker"): 0.5})
    cells = cells | {where | {"generator"}: values for where, values in cells.items()}
    rows = effects({NDCG: cells}, one_each(40), PARTS, margins={NDCG: 0.02})
    generator = of(rows, "main")["generator",]
    assert (generator.finding, generator.difference, generator.low, generator.high) == (
        "changes nothing",
        0.0,
        0.0,
        0.0,
    )
    assert generator.reason == ""
    assert list(of(rows, "interaction")) == [("retriever", "reranker")]
    assert all("generator" not in row.parts + row.given + row.without for row in rows if row.kind == "simple")


# ---- what is missing


def test_a_failed_query_leaves_every_effect_and_is_counted() -> None:
    means = {cell(): 0.3, cell("retriever"): 0.4, cell("reranker"): 0.5, cell("retriever", "reranker"): 0.6}
    whole = made(means)
    holed: dict[frozenset[str], list[ScoreColumn]] = {where: [dict(values[0])] for where, values in whole.items()}
    holed[cell("retriever")] = [{**whole[cell("retriever")][0], "q000": None}]
    holed[cell("reranker")] = [{q: v for q, v in whole[cell("reranker")][0].items() if q != "q001"}]
    rows = effects({NDCG: holed}, one_each(40), PARTS[:2], margins={})
    kept = {where: [{q: v for q, v in by[0].items() if q > "q001"}] for where, by in whole.items()}
    expected = effects({NDCG: kept}, one_each(40), PARTS[:2], margins={})
    assert {(row.n_queries, row.failed) for row in rows} == {(38, 2)}
    assert differences(rows) == pytest.approx(differences(expected))


def test_a_missing_combination_spoils_only_the_effects_that_need_it() -> None:
    cells = dict(made({where: 0.3 + 0.1 * len(where) for where in all_cells(PARTS)}))
    cells[cell(*PARTS)] = [dict.fromkeys(one_each(40))]
    rows = effects({NDCG: cells}, one_each(40), PARTS, margins={})
    why = "no scores of retriever-reranker-generator"
    for row in rows:
        needs_all = row.kind != "simple" or bool(row.given)
        assert (row.reason == why) == needs_all
        assert (row.finding == "not computed") == (row.difference is None) == needs_all
        assert row.failed == 0
    assert sum(row.finding != "not computed" for row in rows) == 6


def test_no_query_in_all_combinations() -> None:
    cells = {
        cell(): [{"q000": 0.1, "q001": None}],
        cell("retriever"): [{"q000": None, "q001": 0.2}],
    }
    (row,) = effects({NDCG: cells}, one_each(2), PARTS[:1], margins={})
    assert (row.finding, row.failed, row.reason) == ("not computed", 2, "no query has a value in every combination")


def test_a_level_outside_the_factorial_is_refused() -> None:
    with pytest.raises(ValueError, match="untuned, distilled is no combination of this factorial"):
        statistics.effects({NDCG: {("untuned", "distilled"): []}}, {}, tuned_parts(PARTS[:2]), margins={})
    with pytest.raises(ValueError, match="staged: generator=tuned is no level of this factorial"):
        Crossing({"retriever": ("untuned", "tuned")}, {"staged": {"generator": "tuned"}})


def test_seeds_are_averaged_by_query_and_a_query_needs_all_of_them() -> None:
    base = by_query([0.2] * 8)
    seeds: list[ScoreColumn] = [by_query([0.3] * 8), by_query([0.5] * 8), {**by_query([0.4] * 8), "q007": None}]
    (row,) = effects({NDCG: {cell(): [base], cell("retriever"): seeds}}, one_each(8), PARTS[:1], margins={})
    assert row.difference == pytest.approx(0.2)
    assert (row.n_queries, row.failed) == (7, 1)


# ---- how surely


def test_other_measures_widen_the_intervals_because_all_are_one_family() -> None:
    means = {cell(): 0.3, cell("retriever"): 0.32, cell("reranker"): 0.5, cell("retriever", "reranker"): 0.5}
    alone = effects({NDCG: made(means)}, one_each(40), PARTS[:2], margins={})
    rng = np.random.default_rng(11)
    other = {where: [by_query(rng.normal(0, 0.3, 40))] for where in means}
    both = effects({NDCG: made(means), UTILITY: other}, one_each(40), PARTS[:2], margins={})
    assert {row.measure for row in both} == {"ndcg@10", "utility"}
    for a, b in zip(alone, both[: len(alone)], strict=True):
        assert a.p_value is not None
        assert b.p_value is not None
        assert a.low is not None
        assert b.low is not None
        assert a.p_value <= b.p_value
        assert a.low > b.low


def test_queries_of_one_group_count_together() -> None:
    rng = np.random.default_rng(5)
    cells = {
        where: [by_query(np.repeat(rng.normal(0, 0.2, 10), 4))] for where in (cell(), cell("retriever"))
    }  # four copies of ten
    grouped = {query: f"g{number // 4}" for number, query in enumerate(one_each(40))}
    (apart,) = effects({NDCG: cells}, one_each(40), PARTS[:1], margins={})
    (together,) = effects({NDCG: cells}, grouped, PARTS[:1], margins={})
    assert (apart.n_groups, together.n_groups) == (40, 10)
    assert together.high - together.low > 1.5 * (apart.high - apart.low)  # type: ignore[operator]


def test_all_intervals_hold_together_as_often_as_they_say() -> None:
    """Three parts with real gains, one interaction, noise of queries, of cells, and of groups: 95 % of 200 worlds."""
    rng = np.random.default_rng(2)
    truth = {where: 0.2 * len(where) - 0.2 * ({"retriever", "reranker"} <= where) for where in all_cells(PARTS)}
    groups = {query: f"g{number // 2}" for number, query in enumerate(one_each(60))}
    held = wrong = 0
    for number in range(200):
        common, by_group = rng.normal(0, 0.2, 60), {where: np.repeat(rng.normal(0, 0.1, 30), 2) for where in truth}
        cells = {
            where: [by_query(mean + common + by_group[where] + rng.normal(0, 0.1, 60))] for where, mean in truth.items()
        }
        rows = effects({NDCG: cells}, groups, PARTS, margins={}, resamples=199, seed=number)
        true = {("retriever", "reranker"): -0.2}
        inside = [
            row.low <= _true(row) <= row.high  # type: ignore[operator]
            for row in rows
        ]
        held += all(inside)
        wrong += any(
            row.finding not in ("could not tell", "add up")
            for row in rows
            if row.kind == "interaction" and row.parts not in true
        )
    assert held / 200 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 200)
    assert wrong / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def _true(row: Effect) -> float:
    """In the world above: 0.2 for each part, but of the retriever and the reranker one is swallowed."""
    if row.kind == "interaction":
        return -0.2 if "generator" not in row.parts else 0.0
    if row.parts == ("generator",):
        return 0.2
    other = {"retriever": "reranker", "reranker": "retriever"}[row.parts[0]]
    return 0.0 if other in row.given else 0.2 if other in row.without else 0.1
