"""The statistics against SciPy, against brute force, and against their own laws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from stats_pairs import Z80, assert_same, ends, numbers, one, paired

from harness.statistics import flips, intervals
from harness.statistics.stats import Paired, compare, verdict
from harness.values.findings import Comparison


def standard_error(comparison: Comparison) -> float:
    """Recovered from what is shown: the interval is c * se to the far side, the detectable difference (c + z) * se."""
    low, high = ends(comparison)
    assert comparison.detectable is not None
    assert comparison.difference is not None
    return (comparison.detectable - max(high - comparison.difference, comparison.difference - low)) / Z80


# ---- the verdict


@pytest.mark.parametrize(
    ("low", "high", "margin", "expected"),
    [
        (0.001, 0.01, 0.02, "improved"),  # a gain within the margin is a gain
        (0.03, 0.05, 0.02, "improved"),
        (0.0, 0.01, 0.02, "equivalent"),  # at zero it has not gained
        (-0.03, -0.001, 0.02, "regressed"),  # surely worse, perhaps by more than the margin
        (-0.05, -0.03, 0.02, "regressed"),
        (-0.01, -0.001, 0.02, "equivalent"),  # surely worse, and surely by less than the margin
        (-0.02, -0.001, 0.02, "inconclusive"),  # on the margin: neither
        (-0.03, 0.0, 0.02, "inconclusive"),
        (-0.01, 0.01, 0.02, "equivalent"),
        (-0.01, 0.02, 0.02, "inconclusive"),
        (-0.02, 0.01, 0.02, "inconclusive"),
        (-0.03, 0.03, 0.02, "inconclusive"),
        (-0.002, -0.001, 0.0, "regressed"),
        (0.0, 0.0, 0.0, "inconclusive"),
        (0.0, 0.0, 0.02, "equivalent"),
        (-math.inf, math.inf, 0.02, "inconclusive"),
    ],
)
def test_verdict_table(low: float, high: float, margin: float, expected: str) -> None:
    assert verdict(low, high, margin) == expected


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_verdict_never_claims_what_the_interval_denies(low: float, width: float, margin: float) -> None:
    high = low + width
    found = verdict(low, high, margin)
    assert (found == "improved") == (low > 0)
    assert found != "regressed" or high < 0
    assert found != "equivalent" or max(abs(low), abs(high)) < margin


# ---- against SciPy and brute force


def scipy_p(differences: Sequence[float], resamples: int = 10_000) -> float:
    result = scipy.stats.permutation_test(
        (np.asarray(differences),),
        lambda x, axis: np.abs(np.mean(x, axis=axis)),
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(5),
    )
    return float(result.pvalue)


@pytest.mark.parametrize("number", range(12))
def test_one_query_per_group_enumerated_is_scipy_exactly(number: int) -> None:
    rng = np.random.default_rng(number)
    n = 6 + number % 6
    differences = rng.choice([-0.5, -0.1, 0.0, 0.1, 0.3, 0.5], n) + (number % 3) * 0.2
    assert one(paired(list(differences))).p_value == pytest.approx(scipy_p(list(differences)), abs=1e-15)


@pytest.mark.parametrize("shift", [0.0, 0.03, 0.06, 0.1])
def test_one_query_per_group_drawn_is_scipy_to_monte_carlo_error(shift: float) -> None:
    differences = list(np.random.default_rng(8).normal(shift, 0.2, 40))
    ours, theirs = one(paired(differences), resamples=9_999).p_value, scipy_p(differences, 9_999)
    assert ours is not None
    assert abs(ours - theirs) <= 4 * math.sqrt(2 * theirs * (1 - theirs) / 9_999) + 1e-4
    # With 40 normal differences Student's p is near as well; this ties the statistic to T, not to the mean alone.
    assert ours == pytest.approx(scipy.stats.ttest_1samp(differences, 0).pvalue, abs=0.02)


def test_standard_error_is_the_ordinary_one_for_one_query_per_group() -> None:
    differences = list(np.random.default_rng(3).normal(0.02, 0.2, 50))
    comparison = one(paired(differences))
    assert comparison.difference == pytest.approx(np.mean(differences), abs=1e-12)
    assert standard_error(comparison) == pytest.approx(scipy.stats.sem(differences), rel=1e-6)
    critical = (ends(comparison)[1] - np.mean(differences)) / scipy.stats.sem(differences)
    assert 1.96 <= critical == pytest.approx(scipy.stats.t(49).ppf(0.975), abs=0.1)


class Expected(NamedTuple):
    p_values: list[float]
    errors: list[float]
    critical: float


def brute_force(table: list[tuple[list[float], list[str]]]) -> Expected:
    """Adjusted p values, standard errors and critical value by the definition, in loops over patterns and queries."""
    names = sorted({name for _, groups in table for name in groups})

    def t_and_se(differences: list[float], groups: list[str], sign: dict[str, int]) -> tuple[float, float]:
        flipped = [sign[group] * x for x, group in zip(differences, groups, strict=True)]
        mean, mine = sum(flipped) / len(flipped), sorted(set(groups))
        off = [sum(x - mean for x, group in zip(flipped, groups, strict=True) if group == name) for name in mine]
        se = math.sqrt(len(mine) / (len(mine) - 1) * sum(x * x for x in off)) / len(flipped)
        return abs(mean) / se, se

    observed = [t_and_se(*row, dict.fromkeys(names, 1)) for row in table]
    patterns = [dict(zip(names, signs, strict=True)) for signs in itertools.product([1, -1], repeat=len(names))]
    maxima = sorted(max(t_and_se(*row, pattern)[0] for row in table) for pattern in patterns)
    centred = [([x - sum(xs) / len(xs) for x in xs], groups) for xs, groups in table]
    residual_maxima = sorted(max(t_and_se(*row, pattern)[0] for row in centred) for pattern in patterns)
    p_values = [sum(m >= t * (1 - 1e-9) for m in maxima) / len(patterns) for t, _ in observed]
    beyond = -1 - math.floor(0.05 * len(patterns))
    return Expected(p_values, [se for _, se in observed], max(maxima[beyond], residual_maxima[beyond]))


@pytest.mark.parametrize(("seed", "gain"), [(4, 0.15), (5, 0.0), (6, 0.6)])
def test_groups_of_all_sizes_and_several_measures_are_brute_force_exactly(seed: int, gain: float) -> None:
    rng = np.random.default_rng(seed)
    groups = ["a"] * 5 + ["b", "b", "c", "d", "d", "d", "e", "f", "f", "g", "h", "h", "h", "h"]
    some = [name for name in groups if name not in "bh"]  # a measure that does not exist in two of the groups
    table = [
        (list(rng.normal(gain, 0.2, len(groups))), groups),
        (list(rng.normal(0.0, 0.2, len(groups))), groups),
        (list(rng.normal(-gain, 0.2, len(some))), some),
    ]
    expected = brute_force(table)
    found = compare("gain", [paired(*row) for row in table], resamples=2**8)
    assert [row.p_value for row in found] == pytest.approx(expected.p_values, abs=1e-15)
    assert [standard_error(row) for row in found] == pytest.approx(expected.errors, rel=1e-6)
    assert expected.critical > 1.96
    for row, error in zip(found, expected.errors, strict=True):
        assert row.detectable == pytest.approx((expected.critical + Z80) * error, rel=1e-6)
    assert [(row.n_queries, row.n_groups) for row in found] == [(19, 8), (19, 8), (13, 6)]


def test_drawn_p_values_are_the_enumerated_ones_to_monte_carlo_error() -> None:
    rng = np.random.default_rng(5)
    pairs = [paired(list(rng.normal(shift, 0.2, 36)), list(range(12)) * 3) for shift in (0.0, 0.05, 0.1)]
    exact, drawn = compare("gain", pairs, resamples=4_096), compare("gain", pairs, resamples=4_095)
    for a, b in zip(exact, drawn, strict=True):
        assert a.p_value is not None
        assert b.p_value == pytest.approx(a.p_value, abs=4 * math.sqrt(a.p_value / 4_095) + 1e-3)
        assert a.p_value != b.p_value or a.p_value == 1.0


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = paired(list(np.random.default_rng(6).normal(0.05, 0.2, 11)))
    whole = one(pair)
    monkeypatch.setattr(flips, "CHUNK", 100)
    assert_same(one(pair), whole)


# ---- laws

tenths = st.integers(-10, 10).map(lambda x: x / 10)


@st.composite
def tables(draw: st.DrawFn, most_groups: int = 9) -> list[Paired]:
    """Up to three comparisons over the same few groups: ties, zeros, constants and missing groups are common."""
    n_groups = draw(st.integers(1, most_groups))
    pairs = []
    for _ in range(draw(st.integers(1, 3))):
        present = draw(st.lists(st.integers(0, n_groups - 1), max_size=6)) + list(range(draw(st.integers(0, n_groups))))
        if draw(st.booleans()):
            differences = [draw(tenths)] * len(present)
        else:
            differences = draw(st.lists(tenths, min_size=len(present), max_size=len(present)))
        pairs.append(paired(differences, present))
    return pairs


@settings(max_examples=150)
@given(tables(), st.sampled_from([0.01, 0.05, 0.1, 0.29, 0.5]), st.sampled_from([100, 199, 512]))
def test_interval_and_p_value_never_contradict(pairs: list[Paired], alpha: float, resamples: int) -> None:
    for row, pair in zip(compare("gain", pairs, alpha=alpha, resamples=resamples), pairs, strict=True):
        if row.low is None or row.high is None:
            assert (row.low, row.high, row.detectable) == (None, None, None)
            assert row.verdict in ("inconclusive", "failed")
            assert row.p_value is None or row.p_value > alpha
            assert row.reason
            continue
        assert row.p_value is not None
        assert row.difference is not None
        assert row.low <= row.difference <= row.high
        assert (row.low > 0 or row.high < 0) == (row.p_value <= alpha)
        assert row.verdict == verdict(row.low, row.high, pair.margin)
        if 2 ** len({group for pair in pairs for group in pair.groups.values()}) <= resamples:
            assert row.p_value >= 2.0 ** (1 - row.n_groups)


@pytest.mark.parametrize("number", range(20))
def test_interval_and_p_value_agree_at_the_edge(number: int) -> None:
    """Continuous data in many groups, moved until p is about alpha: there the two are most likely to contradict."""
    rng = np.random.default_rng(number)
    noise = rng.normal(0, 0.2, (40, 2))
    for shift in np.linspace(0.05, 0.11, 13):
        for row in compare("gain", [paired(list(noise[:, 0] + shift)), paired(list(noise[:, 1]))], resamples=199):
            assert row.p_value is not None
            assert (ends(row)[0] > 0 or ends(row)[1] < 0) == (row.p_value <= 0.05)


@pytest.mark.parametrize(
    ("difference", "half", "significant", "expected"),
    [
        (0.1, 0.05, True, (0.05, 0.15)),
        (0.1, 0.12, True, (1e-10, 0.22)),  # c exceeds what the test needs: only the end at zero moves
        (-0.1, 0.12, True, (-0.22, -1e-10)),
        (0.1, 0.12, False, (-0.02, 0.22)),
        (0.1, 0.1 - 1e-16, False, (0.0, 0.2)),
        (-0.1, 0.1 - 1e-16, False, (-0.2, 0.0)),
    ],
)
def test_the_p_value_says_whether_the_interval_holds_zero(
    difference: float, half: float, significant: bool, expected: tuple[float, float]
) -> None:
    low, high = intervals.interval_of(difference, half, significant=significant)
    assert (low, high) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert (low > 0 or high < 0) == significant


@settings(max_examples=60)
@given(tables())
def test_swapping_the_sides_turns_the_interval_round(pairs: list[Paired]) -> None:
    swapped = [replace(pair, values=pair.baseline, baseline=pair.values) for pair in pairs]
    for a, b in zip(compare("gain", pairs), compare("gain", swapped), strict=True):
        difference, low, high, p_value, detectable = numbers(b)
        assert numbers(a) == pytest.approx([-difference, -high, -low, p_value, detectable], nan_ok=True, abs=1e-9)


@settings(max_examples=60)
@given(tables(), st.randoms(use_true_random=False))
def test_order_of_queries_and_names_of_groups_do_not_matter(pairs: list[Paired], random: Any) -> None:
    names = sorted({group for pair in pairs for group in pair.groups.values()})
    renamed = dict(zip(names, random.sample(range(100, 999), len(names)), strict=True))

    def shuffled(pair: Paired) -> Paired:
        queries = random.sample(sorted(pair.values), len(pair.values))
        return replace(
            pair,
            values={query: pair.values[query] for query in queries},
            groups={query: str(renamed[group]) for query, group in pair.groups.items()},
        )

    for a, b in zip(compare("gain", pairs), compare("gain", [shuffled(pair) for pair in pairs]), strict=True):
        assert_same(a, b)


@settings(max_examples=60)
@given(tables(), st.sampled_from([0.25, 0.5, 4.0]))
def test_another_scale_is_only_another_scale(pairs: list[Paired], factor: float) -> None:
    scaled = [replace(pair, values={q: v and v * factor for q, v in pair.values.items()}) for pair in pairs]
    # Groups that were not seen to differ may by the range of the measure, which is another one too.
    scaled = [replace(other, scale=factor * pair.span / other.span) for pair, other in zip(pairs, scaled, strict=True)]
    for a, b in zip(compare("gain", pairs), compare("gain", scaled), strict=True):
        difference, low, high, p_value, detectable = numbers(a)
        wanted = [difference * factor, low * factor, high * factor, p_value, detectable * factor]
        assert numbers(b) == pytest.approx(wanted, nan_ok=True, abs=1e-9)


def test_copies_of_a_comparison_cost_nothing_because_signs_are_shared() -> None:
    pair = paired(list(np.random.default_rng(7).normal(0.1, 0.2, 60)))
    alone = one(pair, resamples=999)
    assert alone.p_value is not None
    assert 0.001 < alone.p_value < 0.1
    for row in compare("gain", [pair] * 5, resamples=999):
        assert_same(row, alone)


def test_other_comparisons_do_cost() -> None:
    rng = np.random.default_rng(7)
    pair = paired(list(rng.normal(0.1, 0.2, 60)))
    others = [paired(list(rng.normal(0, 0.2, 60))) for _ in range(8)]
    alone, among = one(pair), compare("gain", [pair, *others])[0]
    assert alone.p_value is not None
    assert among.p_value is not None
    assert among.p_value > 2 * alone.p_value
    assert ends(among)[1] > ends(alone)[1] + 0.5 * standard_error(alone)


def test_a_seed_is_a_result() -> None:
    pair = paired(list(np.random.default_rng(7).normal(0.04, 0.2, 60)))
    assert_same(one(pair, resamples=999, seed=1), one(pair, resamples=999, seed=1))
    assert one(pair, resamples=999, seed=1).p_value != one(pair, resamples=999, seed=2).p_value


def test_order_of_queries_does_not_matter_to_the_signs_drawn() -> None:
    pair = paired(list(np.random.default_rng(7).normal(0.01, 0.2, 300)))
    backwards = replace(pair, values={query: pair.values[query] for query in reversed(list(pair.values))})
    assert_same(one(backwards, resamples=999), one(pair, resamples=999))
