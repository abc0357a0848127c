"""What paid in which suite: every accepted system stands in one of two tables, and every number was accepted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import judged
import pytest
from command import exit_code
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from harness.cli.leaderboard import write_results
from harness.errors import ConfigError
from harness.experiments.accepted_results import accepted_results, results_of
from harness.gates import commands
from harness.report.content import suite_results as content
from harness.report.model import Table
from harness.report.render.markdown import render_results
from harness.results import baselines, damage
from harness.results.baselines import Accepted, Baseline
from harness.suite.pipeline import PipelineChange, settings_of
from harness.values.findings import Comparison, SystemInfo
from harness.values.frozen import Verdict
from harness.values.gains import BestUntrained
from harness.values.records import Score
from harness.values.suite_results import BestSystems, SuiteResults, SystemResult
from harness.values.systems import BOUNDS, UNTUNED

ROOT = Path(__file__).resolve().parent.parent
MARGINS = {"ndcg@10": 0.02, "utility": 0.05}
LATE = ("reranker.kind=late-interaction",)
MEANS = {
    ("bm25", 0): (0.45, 0.20), ("untuned", 0): (0.50, 0.20), ("late", 0): (0.62, 0.20), ("mixed", 0): (0.60, 0.05),
    ("retriever", 0): (0.66, 0.21), ("retriever", 1): (0.65, 0.20), ("oracle-context", 0): (None, 0.60),
}  # fmt: skip
"""Means of ndcg@10 and utility: `late` and `mixed` are settings, and `mixed` loses answers."""


SUITE = {"candidates": {"retriever": {"tune": ["retriever"]}}}


def score_rows(split: str = "test") -> list[Score]:
    """Scores with the means of MEANS; on dev, of ndcg@10 alone."""
    values: dict[judged.Key, dict[str, list[float | None]]] = {}
    for number, ((name, seed), means) in enumerate(MEANS.items()):
        columns = {
            measure: list(judged.scores(10 * number + place, mean=mean))
            for place, (measure, mean) in enumerate(zip(MARGINS, means, strict=True))
            if mean is not None and (split == "test" or measure == "ndcg@10")
        }
        values[name, seed] = {measure: [round(one, 9) for one in column] for measure, column in columns.items()}
    return [row._replace(split=split) for row in judged.rows_of(values)]


def info_of(name: str, seed: int) -> SystemInfo:
    if name in ("late", "mixed"):
        changes = LATE if name == "late" else ("retriever.bm25_weight=dev",)
        return judged.info(name, seed, tunes=(), changes=changes, build_seconds=60.0, build_dollars=0.001)
    return judged.info(name, seed, build_seconds=300.0, build_dollars=0.004)


def gain_rows() -> tuple[Comparison, ...]:
    """Rows that say which measures were gated when the suite was run; their numbers are not read."""
    empty: dict[str, Any] = dict.fromkeys(("difference", "low", "high", "p_value", "detectable"))
    return tuple(
        Comparison(
            family="gain", system="late", seed=0, measure=name, margin=margin, n_queries=1, n_groups=1,
            verdict="inconclusive", **empty,
        )
        for name, margin in MARGINS.items()
    )  # fmt: skip


def accept(root: Path, on_dev: Sequence[Score] | None = None) -> Baseline:
    """Accept an outcome of the suite `toy` with scores on dev."""
    suite_file = judged.write_suite(root, SUITE)
    over = gain_rows()[0].model_copy(update={"family": "untrained", "system": "retriever", "difference": 0.04})
    rows = [*score_rows(), *(score_rows("dev") if on_dev is None else on_dev)]
    outcome = judged.outcome_of(score_rows())
    judged.write_outcome(
        suite_file, root / ".harness", rows,
        systems=tuple(info_of(*key) for key in MEANS), summaries=outcome.summaries, measures=outcome.measures,
        comparisons=(*gain_rows(), over),
        best_untrained=BestUntrained(system="late", measure="ndcg@10", means={"late": 0.62}),
    )  # fmt: skip
    commands.accept(suite_file, "the first", root / ".harness")
    (baseline,) = baselines.read_all(root / "baselines")
    return baseline


def put(folder: Path, suite: str, **changes: Any) -> Baseline:
    """Write accepted scores of a suite without what only `harness accept` adds."""
    outcome = judged.outcome_of(score_rows(), suite=suite, systems=tuple(info_of(*key) for key in MEANS))
    baseline = judged.baseline_of(outcome, score_rows(), **{"margins": MARGINS} | changes)
    baselines.write(folder / suite, *baseline)
    return baseline


def keys(table: Table) -> list[tuple[str, str]]:
    """Suite and system of each row of one of the two tables."""
    return [(row[1].text, row[2].text) for row in table.rows]


# ---- what is accepted


def test_accepting_records_dev_means_the_best_untrained_and_comparisons(tmp_path: Path) -> None:
    accepted = accept(tmp_path).accepted
    labels = {info_of(*key).label for key in MEANS} - {"oracle-context"}
    assert accepted.on_dev.keys() == {"ndcg@10"}
    assert accepted.on_dev["ndcg@10"].keys() == labels
    column = [row.value for row in score_rows("dev") if (row.system, row.measure) == ("late", "ndcg@10")]
    values = [value for value in column if value is not None]
    assert accepted.on_dev["ndcg@10"]["late"] == pytest.approx(sum(values) / len(values), abs=1e-9)
    assert accepted.best_untrained is not None
    assert accepted.best_untrained.system == "late"
    assert [(row.system, row.family, row.difference) for row in accepted.over_untrained] == [
        ("retriever", "untrained", 0.04)
    ]
    assert {(row.system, row.seed) for row in accepted.over_bm25} == {
        ("late", 0), ("mixed", 0), ("retriever", 0), ("retriever", 1),
    }  # fmt: skip
    over = next(row for row in accepted.over_bm25 if row.system == "late" and row.measure == "ndcg@10")
    means = {(row.system, row.measure): row.mean for row in accepted.summaries}
    assert over.difference == pytest.approx(means["late", "ndcg@10"] - means["bm25", "ndcg@10"], abs=1e-9)
    assert (over.family, over.verdict, over.margin) == ("bm25", "improved", 0.02)


def test_a_system_with_a_failed_dev_score_has_no_mean_on_dev(tmp_path: Path) -> None:
    dev = score_rows("dev")
    place = next(number for number, row in enumerate(dev) if row.system == "late")
    dev[place] = dev[place]._replace(value=None, status="failed", reason="x")
    labels = {info_of(*key).label for key in MEANS} - {"oracle-context", "late"}
    assert accept(tmp_path, dev).accepted.on_dev["ndcg@10"].keys() == labels


# ---- which are the best


def test_the_best_trained_is_chosen_on_dev_where_there_are_scores(tmp_path: Path) -> None:
    baseline = accept(tmp_path)
    moved = baseline.accepted.on_dev["ndcg@10"] | {"retriever (seed 1)": 0.9}
    chosen = results_of(baseline._replace(accepted=baseline.accepted.model_copy(update={"on_dev": {"ndcg@10": moved}})))
    best = chosen.best[0]
    assert (best.measure, best.trained, best.chosen_on) == ("ndcg@10", "retriever (seed 1)", "dev")
    unscored = results_of(baseline._replace(accepted=baseline.accepted.model_copy(update={"on_dev": {}}))).best
    assert {(row.measure, row.chosen_on) for row in unscored} == {("ndcg@10", "test"), ("utility", "test")}
    means = {
        row.measure: {
            one.system + str(one.seed): one.mean for one in baseline.accepted.summaries if one.measure == row.measure
        }
        for row in unscored
    }
    for row in unscored:
        highest = max("01", key=lambda seed: means[row.measure][f"retriever{seed}"] or 0.0)
        assert row.trained == f"retriever (seed {highest})"


def test_queries_and_groups_are_those_of_the_measure(tmp_path: Path) -> None:
    (best, _) = results_of(accept(tmp_path)).best
    assert (best.queries, best.groups, best.untrained) == (judged.QUERIES, judged.QUERIES // 3, "late")


# ---- the tables


def test_what_paid_lost_nothing(tmp_path: Path) -> None:
    results = [results_of(accept(tmp_path))]
    assert keys(content.paid(results)) == [
        ("toy", "late"), ("toy", "retriever (seed 0)"), ("toy", "retriever (seed 1)")
    ]  # fmt: skip
    assert keys(content.did_not_pay(results)) == [("toy", "bm25"), ("toy", "mixed")]


def test_the_best_are_compared_with_bm25_and_with_each_other(tmp_path: Path) -> None:
    baseline = accept(tmp_path)
    table = content.closer([results_of(baseline)])
    rows = {row[2].text: row for row in table.rows if row[1].text == "ndcg@10"}
    assert rows.keys() == {"untuned", "bm25", "late", "retriever (seed 0)"}
    assert rows["late"][3].text == "dev"
    assert rows["late"][4].verdict == "improved"
    assert rows["retriever (seed 0)"][5].value == 0.04
    assert rows["late"][6].value == 60.0


def test_numbers_are_those_that_were_accepted(tmp_path: Path) -> None:
    baseline = accept(tmp_path)
    row = content.summary([results_of(baseline)]).rows[0]
    means = {(one.system, one.seed): one.mean for one in baseline.accepted.summaries if one.measure == "ndcg@10"}
    assert [cell.value for cell in row if cell.unit == "mean"] == [
        means["untuned", 0], means["bm25", 0], means["late", 0], means["retriever", 0],
    ]  # fmt: skip
    (data,) = content.data([results_of(baseline)]).rows
    assert data[2].value == baseline.accepted.dataset.documents


CHANGES = st.lists(st.sampled_from([*content.SETTINGS, "context=3", "retriever.dimensions=128"]), max_size=3).map(tuple)
TUNES = st.lists(st.sampled_from(["retriever", "reranker", "generator"]), max_size=3, unique=True).map(tuple)
VERDICTS = st.dictionaries(st.sampled_from(list(MARGINS)), st.sampled_from(get_args(Verdict)))


@st.composite
def some_results(draw: st.DrawFn) -> list[SuiteResults]:
    """Suites with systems of any kind and verdict."""
    results = []
    for number in range(draw(st.integers(1, 3))):
        names = draw(st.lists(st.sampled_from(["untuned", "bm25", "a", "b", "c", "d"]), min_size=1, unique=True))
        systems = []
        for name in names:
            info = judged.info(name, tunes=draw(TUNES), changes=draw(CHANGES), failed=draw(st.sampled_from(["", "x"])))
            verdicts = draw(VERDICTS)
            gains = {
                measure: gain_rows()[0].model_copy(update={"system": name, "measure": measure, "verdict": verdict})
                for measure, verdict in verdicts.items()
            }
            systems.append(SystemResult(info=info, gains=gains))
        best = tuple(BestSystems(measure=name) for name in draw(st.sampled_from([(), tuple(MARGINS), ("utility",)])))
        results.append(
            SuiteResults(
                suite=f"s{number}", split="test", created="2026-11-01", dataset=judged.outcome_of([]).dataset,
                best=best, systems=tuple(systems),
            )
        )  # fmt: skip
    return results


@given(some_results())
def test_every_system_stands_in_exactly_one_of_two_tables(results: list[SuiteResults]) -> None:
    paid, not_paid = keys(content.paid(results)), keys(content.did_not_pay(results))
    every = [(one.suite, row.info.label) for one in results for row in one.systems if row.info.name != UNTUNED]
    assert sorted(paid + not_paid) == sorted(every)
    by_key = {(one.suite, row.info.label): row for one in results for row in one.systems}
    for key in paid:
        verdicts = {gain.verdict for gain in by_key[key].gains.values()}
        assert "improved" in verdicts
        assert "regressed" not in verdicts
    text = render_results(results, "baselines", "results.md")
    for title in ("Summary", "What the best systems cost", "What paid", "What did not pay", "Data", "Reproduce"):
        assert f"## {title}\n" in text


@pytest.mark.parametrize(
    ("info", "kind"),
    [
        (judged.info("hybrid"), "bm25 and vectors, fused by rank"),
        (judged.info("x", tunes=(), changes=LATE), "late interaction"),
        (judged.info("x", tunes=(), changes=("retriever.bm25_weight=dev", *LATE)), "bm25 mixed in + late interaction"),
        (judged.info("x", tunes=("retriever", "generator")), "retriever, then generator tuned"),
        (judged.info("x", tunes=("retriever",), training=("pairs=structure",)), "retriever tuned (pairs=structure)"),
        (judged.info("x", tunes=("retriever",), changes=("context=3",)), "retriever tuned + context=3"),
        (judged.info("bm25", role="candidate", tunes=("retriever",)), "retriever tuned"),
    ],
)
def test_a_kind_of_change_is_named_by_what_is_trained_and_set(info: SystemInfo, kind: str) -> None:
    assert content.kind_of(info) == kind


def test_named_settings_are_settings_of_a_pipeline() -> None:
    for setting in content.SETTINGS:
        name, value = setting.split("=")
        section, key = name.split(".")
        assert settings_of(PipelineChange.model_validate({section: {key: value}})) == [setting]


# ---- the page


def test_the_page_of_two_suites(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    accept(tmp_path)
    put(tmp_path / "baselines", "other")
    results = accepted_results(tmp_path / "baselines")
    assert [result.suite for result in results] == ["other", "toy"]
    assert render_results(results, "baselines", "docs/results.md") == snapshot


def test_a_suite_without_gates_shows_its_systems_without_gains(tmp_path: Path) -> None:
    put(tmp_path / "baselines", "other")
    put(tmp_path / "baselines", "ungated", margins={})
    results = accepted_results(tmp_path / "baselines")
    every = {info_of(*key).label for key in MEANS if key[0] not in (UNTUNED, *BOUNDS)}
    table = content.did_not_pay(results)
    assert {label for suite, label in keys(table) if suite == "ungated"} == every
    assert "No measure was gated in ungated, so nothing is compared there." in table.caption
    assert {row[0].text for row in content.summary(results).rows} == {"other"}


def test_an_older_accepted_file_names_no_best_without_training(tmp_path: Path) -> None:
    put(tmp_path / "baselines", "older")
    path = tmp_path / "baselines" / "older" / "accepted.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    for name in ("digest", "on_dev", "best_untrained", "over_untrained", "over_bm25"):
        del value[name]
    for system in value["systems"]:
        system["info"]["make_seconds"] = system["info"].pop("build_seconds")
        system["info"]["make_dollars"] = system["info"].pop("build_dollars")
    value["schema_version"] = "harness/accepted-2"
    path.write_text(json.dumps(value | {"digest": damage.seal(value)}), encoding="utf-8")
    (results,) = accepted_results(tmp_path / "baselines")
    assert [(row.untrained, row.chosen_on) for row in results.best] == [("", "test"), ("", "test")]
    row = content.summary([results]).rows[0]
    assert row[5].text == content.UNNAMED
    assert row[8].text == "retriever (seed 0)"
    assert ("older", "late") in keys(content.paid([results]))


def test_empty_tables_are_sentences(tmp_path: Path) -> None:
    put(tmp_path / "baselines", "ungated", margins={})
    text = render_results(accepted_results(tmp_path / "baselines"), "baselines", "results.md")
    paid = text.split("## What paid\n")[1].split("##")[0]
    assert paid.strip() == "No system improved on a measure without a loss on another."


def test_the_command_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    accept(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert exit_code(monkeypatch, "leaderboard", "--baselines", "baselines", "--results", "docs/results.md") == 0
    assert "docs/results.md" in capsys.readouterr().out
    text = Path("docs/results.md").read_text(encoding="utf-8")
    assert "harness leaderboard --baselines baselines --results docs/results.md" in text
    assert exit_code(monkeypatch, "leaderboard", "--results", "other.md") == 2
    assert "--results: needs accepted scores; add --baselines FOLDER" in capsys.readouterr().err
    assert not Path("other.md").exists()


def test_nothing_accepted_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is accepted"):
        write_results(tmp_path / "baselines", tmp_path / "results.md")
    assert not (tmp_path / "results.md").exists()


def test_the_committed_page_is_that_of_the_accepted_scores() -> None:
    """If it is not: harness leaderboard --baselines baselines --results docs/results.md."""
    text = render_results(accepted_results(ROOT / "baselines"), "baselines", "docs/results.md")
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == text


def test_older_fields_are_optional() -> None:
    names = {"on_dev", "best_untrained", "over_untrained", "over_bm25"}
    assert not any(Accepted.model_fields[name].is_required() for name in names)
