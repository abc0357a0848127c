"""What a report shows of invented outcomes: as pictures under snapshot, and what must hold of any."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import combined
import outcomes
import pytest
from markdown_it import MarkdownIt
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from harness import report
from harness.report import format as fmt
from harness.report.content import costs
from harness.report.content.candidates import by_candidate
from harness.report.content.outcome import quality
from harness.report.content.reading import warnings
from harness.report.model import Cell, Column, Table
from harness.report.render.markdown import outcome_pictures, render_markdown
from harness.report.render.templates import escaped, fenced
from harness.report.render.terminal import render, split
from harness.report.view import view
from harness.text import decimals
from harness.values.findings import Outcome

CASES: dict[str, Callable[[], Outcome]] = {
    "normal": outcomes.normal,
    "failed_candidate": outcomes.failed_candidate,
    "no_generator": outcomes.no_generator,
    "no_op": outcomes.no_op,
    "few_groups": outcomes.few_groups,
    "factorial": combined.factorial,
    "several_seeds": outcomes.several_seeds,
    "with_settings": combined.with_settings,
}
FOLDER = Path(".harness/outcomes/covidqa/1")
each_case = pytest.mark.parametrize("case", CASES)


def on_terminal(outcome: Outcome, width: int, verbose: bool = False) -> str:
    console = Console(file=io.StringIO(), record=True, width=width, force_terminal=False, color_system=None)
    render(outcome, console, verbose=verbose, folder=FOLDER)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines())


def blocks(text: str) -> list[tuple[str, str]]:
    """The parts of a report between headings, each under its first line: one table each."""
    parts = re.split(r"\n\n(?=[A-Z#*])", text.strip())
    return [(f"{number:02} {part.splitlines()[0][:60]}", part) for number, part in enumerate(parts)]


def table_blocks(text: str) -> list[list[str]]:
    """The tables of a Markdown text, each as its lines."""
    blocks = re.findall(r"(?:^\|.*\n)+", text + "\n", flags=re.MULTILINE)
    return [block.splitlines() for block in blocks]


def with_nan() -> Outcome:
    """An outcome in which every number that may be a NaN is one."""
    base = outcomes.normal()
    nan = float("nan")
    none = dict.fromkeys(("difference", "low", "high", "p_value", "detectable"), nan)
    return outcomes.normal(
        seconds=nan,
        summaries=tuple(
            row.model_copy(update={"mean": nan, "n": 0, "failed": row.n}) if row.system == "bm25" else row
            for row in base.summaries
        ),
        comparisons=tuple(row.model_copy(update=none | {"verdict": "failed"}) for row in base.comparisons),
        systems=tuple(row.model_copy(update={"build_seconds": nan, "build_dollars": nan}) for row in base.systems),
    )


@pytest.mark.parametrize("case", ["normal", "factorial", "with_settings"])
def test_terminal(case: str, snapshot: SnapshotAssertion) -> None:
    for name, block in blocks(on_terminal(CASES[case](), 80)):
        assert block == snapshot(name=name)


@pytest.mark.parametrize("case", ["failed_candidate", "several_seeds"])
def test_markdown(case: str, snapshot: SnapshotAssertion) -> None:
    answer, _ = render_markdown(CASES[case]()).split("## Verdicts in full")
    for name, block in blocks(answer):
        assert block == snapshot(name=name)


@each_case
@pytest.mark.parametrize("width", [120, 80, 60])
def test_no_line_is_wider_than_the_terminal(case: str, width: int) -> None:
    lines = on_terminal(CASES[case](), width, verbose=True).splitlines()
    assert [line for line in lines if len(line) > width] == []


@each_case
def test_markdown_tables_are_whole(case: str) -> None:
    text = render_markdown(CASES[case]())
    blocks = table_blocks(text)
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block}) == 1, block[0]
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert sum(token.type == "table_open" for token in tokens) == len(blocks)
    assert sum(token.type == "tr_open" for token in tokens) == sum(len(block) - 1 for block in blocks)


@each_case
def test_terminal_and_markdown_show_the_same_cells(case: str) -> None:
    outcome = CASES[case]()
    text = render_markdown(outcome)
    shown = on_terminal(outcome, 200)
    for row in quality(view(outcome)).rows:
        for cell in row:
            assert fmt.cell_text(cell) in shown
            assert escaped(fmt.cell_text(cell)) in text


def test_no_nan_is_shown() -> None:
    outcome = with_nan()
    for text in (on_terminal(outcome, 120, verbose=True), render_markdown(outcome)):
        assert not re.search(r"\b(nan|NaN|None|inf)\b", text)
    assert "failed (246)" in on_terminal(outcome, 120)


def test_best_is_never_a_bound_nor_a_mean_with_failures() -> None:
    table = quality(view(outcomes.failed_candidate()))
    best = {row[0].text: [fmt.cell_text(cell) for cell in row if cell.tone == "best"] for row in table.rows}
    assert best["oracle-context"] == best["closed-book"] == best["few-shot"] == []
    assert best["retriever"] == ["0.601", "0.943", "0.563", "0.167", "0.247", "0.438", "-0.250"]


def test_every_measure_outside_the_gates_is_marked_exploratory() -> None:
    table = quality(view(outcomes.normal()))
    unmarked = [column.name for column in table.columns[1:] if not column.name.endswith("°")]
    assert unmarked == ["ndcg@10", "utility"]


def test_systems_are_ordered_references_first() -> None:
    outcome = outcomes.normal()
    turned = outcome.model_copy(update={"systems": outcome.systems[::-1]})
    roles = [info.role for info in view(turned).systems]
    assert roles == ["baseline"] * 6 + ["candidate"] * 2
    assert view(turned).systems[0].name == "oracle-context"


def test_verdicts_are_coloured_and_also_words() -> None:
    console = Console(file=io.StringIO(), record=True, width=120, force_terminal=True, color_system="standard")
    render(outcomes.normal(), console)
    text = console.export_text(styles=True)
    assert "\x1b[32m+0.041 [+0.012, +0.070] improved" in text
    assert "\x1b[31m-0.383 [-0.491, -0.274] regressed" in text
    assert "\x1b[33m-0.029 [-0.070, +0.012] inconclusive" in text
    assert re.search(r"\x1b\[1m *0\.601\x1b\[0m", text)
    assert "Bold: the best" in text


def test_one_seed_speaks_of_a_checkpoint_only() -> None:
    assert "this checkpoint only" in " ".join(warnings(view(outcomes.normal())))


@pytest.mark.parametrize(("seeds", "said"), [(2, "at least 3 seeds and an interval"), (3, "needs an interval")])
def test_several_seeds_are_still_checkpoints(seeds: int, said: str) -> None:
    systems = tuple(outcomes.system("retriever", seed) for seed in range(seeds))
    text = " ".join(warnings(view(outcomes.normal(systems=systems))))
    assert "Every verdict is about one checkpoint" in text
    assert said in text


@pytest.mark.parametrize(("cost", "said"), [(1.0, "-1"), (0.25, "-0.25")])
def test_the_lowest_utility_is_explained(cost: float, said: str) -> None:
    """A column of -1 looks broken to who does not know the measure."""
    base = outcomes.normal()
    rows = [
        row.model_copy(update={"mean": -cost})
        if row.measure == "utility" and row.system in ("bm25", "retriever") else row
        for row in base.summaries
    ]  # fmt: skip
    rule = {"right": "token_f1", "threshold": 0.5, "wrong_cost": cost}
    table = quality(view(base.model_copy(update={"summaries": tuple(rows), "spec": {**base.spec, "utility": rule}})))
    assert table.notes[-1] == (
        "utility is 1 for a right answer (token_f1 of 0.5 or more) or a right abstention, 0 for another abstention and "
        f"{said} for a wrong answer. {said} means that every answer was wrong: bm25 and retriever."
    )
    assert not any("utility is 1" in note for note in quality(view(base)).notes)


def test_many_candidates_are_counted_not_recited() -> None:
    seeds = range(9)
    outcome = outcomes.normal(
        systems=(outcomes.system("untuned"), *(outcomes.system("retriever", seed) for seed in seeds)),
        summaries=tuple(row for seed in seeds for row in outcomes.summaries("retriever", seed)),
        comparisons=tuple(row for seed in seeds for row in outcomes.gains("retriever", seed)),
    )
    assert by_candidate(view(outcome)) == (
        "ndcg@10: of 9 candidates with their seeds, 9 improved (retriever (seed 0) most, +0.041 [+0.012, +0.070]).",
        "utility: of 9 candidates with their seeds, 9 inconclusive (retriever (seed 0), retriever (seed 1), "
        "retriever (seed 2) and 6 more).",
    )


def test_a_terminal_shows_tables_of_many_candidates_that_others_sum_up_only_if_asked() -> None:
    folded = ("What each candidate changes", "Gain over late-interaction, the best without training")
    told = on_terminal(combined.many(), 80)
    assert f"With -v also: {'; '.join(folded)}." in " ".join(told.split())
    assert not any(title in told.splitlines() for title in folded)
    for whole in (on_terminal(combined.many(), 80, verbose=True), on_terminal(combined.with_settings(), 80)):
        assert all(title in whole.splitlines() for title in folded)


def test_equivalence_and_regression_are_told_as_such() -> None:
    gain = outcomes.gains("retriever")[0]
    worse = gain.model_copy(update={"difference": -0.03, "low": -0.05, "high": -0.01, "verdict": "regressed"})
    same = gain.model_copy(update={"difference": 0.001, "low": -0.004, "high": 0.006, "verdict": "equivalent"})
    told = [by_candidate(view(outcomes.normal(comparisons=(row,))))[0] for row in (worse, same)]
    assert told[0].startswith("retriever: ndcg@10 regressed by -0.030 [-0.050, -0.010] against untuned on 246")
    assert "ndcg@10 is equivalent to untuned: +0.001 [-0.004, +0.006], within the margin of 0.010," in told[1]


def test_what_fails_a_gate_is_in_the_headline() -> None:
    told = by_candidate(view(outcomes.normal(comparisons=outcomes.regressions())))
    assert told[1:] == (
        "Against the accepted scores, by system and gated measure: 1 regressed and 1 missing.",
        "retriever: regressed on ndcg@10 by -0.031 [-0.052, -0.010].",
        "distilled (seed 0): missing on ndcg@10 (absent).",
    )


def test_identical_lists_are_no_noop_if_the_answers_differ() -> None:
    base = outcomes.normal()
    systems = tuple(
        row.model_copy(update={"same_run_as": "untuned"}) if row.name == "retriever" else row for row in base.systems
    )
    told = by_candidate(view(outcomes.normal(systems=systems)))[0]
    assert "no-op" not in told
    assert "Its rankings are identical to those of untuned." in told


@pytest.mark.parametrize(
    ("changes", "tunes", "said"),
    [
        ({"same_answers_as": "untuned"}, ("generator",), "answers are identical to those of untuned."),
        (
            {"same_run_as": "untuned", "same_answers_as": "untuned", "same_weights_as": "the untuned retriever"},
            ("retriever",),
            "rankings and answers are identical to those of untuned. Its weights are identical to those of the "
            "untuned retriever: training changed nothing.",
        ),
    ],
)
def test_a_no_op_is_told_by_what_is_identical(changes: dict[str, str], tunes: tuple[str, ...], said: str) -> None:
    base = outcomes.no_op()
    systems = tuple(
        row.model_copy(update={"same_run_as": "", "tunes": tunes, **changes}) if row.name == "retriever" else row
        for row in base.systems
    )
    told = by_candidate(view(base.model_copy(update={"systems": systems})))[0]
    assert told.startswith(f"retriever is a no-op: its {said} It took")


def test_identical_answers_or_weights_are_no_no_op_where_a_gain_was_measured() -> None:
    base = outcomes.normal()
    changes = {"same_answers_as": "untuned", "same_weights_as": "the retriever of other (seed 0)"}
    systems = tuple(row.model_copy(update=changes) if row.name == "retriever" else row for row in base.systems)
    told = by_candidate(view(outcomes.normal(systems=systems)))[0]
    assert "no-op" not in told
    assert "Its answers are identical to those of untuned." in told
    assert "Its weights are identical to those of the retriever of other (seed 0). It took" in told
    shown = on_terminal(outcomes.normal(systems=systems), 120)
    assert "retriever: identical answers to untuned;" in shown
    reference = outcomes.system("few-shot", same_answers_as="untuned")
    systems = tuple(reference if row.name == "few-shot" else row for row in base.systems)
    assert "few-shot: identical answers to untuned." in warnings(view(outcomes.normal(systems=systems)))


def test_effects_are_shown_in_short_on_a_terminal_and_in_full_in_the_file() -> None:
    outcome = combined.factorial()
    short, full, text = on_terminal(outcome, 120), on_terminal(outcome, 120, verbose=True), render_markdown(outcome)
    for shown in (short, full, text):
        assert "Do the gains add up?" in shown
        assert "-0.039 [-0.060, -0.018] absorb" in shown
    for title in ("What does a part gain once another is tuned?", "Effects in full"):
        assert title not in short
        assert title in full
        assert title in text
    assert "two parts" not in render_markdown(outcomes.normal()).lower()
    assert "add up" not in on_terminal(outcomes.normal(), 120, verbose=True)


def test_what_one_part_absorbs_of_another_is_told_in_one_sentence() -> None:
    told = [line for line in by_candidate(view(combined.factorial())) if "add up" in line]
    assert told == [
        "On ndcg@10 the gains of retriever and reranker do not add up: the retriever's is +0.040 while the reranker is "
        "not tuned, +0.001 once it is (98 % absorbed); the reranker's is +0.055 while the retriever is not tuned, "
        "+0.016 once it is (71 % absorbed) (exploratory)."
    ]


@pytest.mark.parametrize(
    ("finding", "numbers", "said"),
    [
        ("add up", (0.001, -0.004, 0.006), "the gains of retriever and reranker add up: together they differ from the "
         "sum by +0.001 [-0.004, +0.006], within the margin of 0.010 (exploratory)."),
        ("reinforce", (0.05, 0.01, 0.09), "retriever and reranker gain more together than apart: the retriever's is"),
        ("could not tell", (0.0, -0.1, 0.1), ""),
    ],
)  # fmt: skip
def test_what_is_told_of_two_parts(finding: str, numbers: tuple[float, float, float], said: str) -> None:
    update = {"finding": finding, **dict(zip(("difference", "low", "high"), numbers, strict=True))}
    effects = tuple(
        row.model_copy(update=update) if row.kind == "interaction" and row.measure == "ndcg@10" else row
        for row in combined.effects()
    )
    told = [line for line in by_candidate(view(combined.factorial(effects=effects))) if line.startswith("On ndcg@10 ")]
    assert len(told) == bool(said)
    assert not said or said in told[0]


def test_gains_that_are_none_are_not_said_to_add_up() -> None:
    effects = tuple(
        row.model_copy(update={"finding": "add up"}) if row.kind == "interaction" and row.measure == "utility" else row
        for row in combined.effects()
    )
    assert not any(line.startswith("On utility") for line in by_candidate(view(combined.factorial(effects=effects))))


def test_an_effect_that_could_not_be_computed_says_why() -> None:
    none = dict.fromkeys(("difference", "low", "high", "p_value", "absorbed"))
    lost = {"finding": "not computed", "reason": "no scores of retriever-reranker", "n_queries": 0, "n_groups": 0}
    effects = tuple(
        row.model_copy(update={**none, **lost, "failed": 2}) if row.measure == "ndcg@10" and not row.without else row
        for row in combined.effects()
    )
    outcome = combined.factorial(effects=effects)
    for text in (on_terminal(outcome, 200), render_markdown(outcome)):
        assert "ndcg@10: no scores of retriever-reranker (retriever, reranker, generator, retriever and" in text
        assert "ndcg@10: left out 2 queries without a value in every combination." in text
        assert "not computed" in text
    assert not any(line.startswith("On ndcg@10") for line in by_candidate(view(outcome)))


def test_more_than_all_of_a_gain_may_be_absorbed() -> None:
    effects = tuple(
        row.model_copy(update={"absorbed": 1.3}) if row.absorbed is not None else row for row in combined.effects()
    )
    assert "more than all" in render_markdown(combined.factorial(effects=effects))


def test_how_many_stage_calls_were_shared() -> None:
    said = "Stage calls: 61 distinct; 148 without sharing."
    assert said in render_markdown(combined.factorial())
    assert "Stage calls" not in render_markdown(outcomes.normal())


def test_a_recipe_is_told_instead_of_its_checkpoints() -> None:
    told = by_candidate(view(outcomes.several_seeds()))
    assert [line.split(":")[0] for line in told] == [
        "retriever, as a recipe over 3 seeds",
        "retriever-judged, as a recipe over 3 seeds",
    ]
    assert "ndcg@10 improved by +0.039 [+0.010, +0.068] against untuned; utility is inconclusive" in told[0]
    assert any("the table Across seeds has the verdicts" in line for line in warnings(view(outcomes.several_seeds())))


def test_two_seeds_are_shown_and_claim_nothing() -> None:
    base = outcomes.several_seeds()
    few = outcomes.claim("retriever", "ndcg@10", (0.0411, 0.0362), reason="at least 3 seeds, got 2")
    outcome = base.model_copy(
        update={"recipe_claims": (few,), "systems": tuple(row for row in base.systems if row.seed < 2)}
    )
    assert "+0.041, +0.036" in on_terminal(outcome, 120)
    assert "+0.039 no claim" in on_terminal(outcome, 120)
    assert "retriever, ndcg@10: at least 3 seeds, got 2." in on_terminal(outcome, 120)
    assert not any("as a recipe" in line for line in by_candidate(view(outcome)))
    assert "Every verdict is about one checkpoint" in " ".join(warnings(view(outcome)))


def test_every_verdict_on_a_recipe_has_its_sentence() -> None:
    gains = (-0.03, -0.031, -0.029)
    numbers = {"low": -0.05, "high": -0.01}
    for verdict, said in {
        "regressed": "ndcg@10 regressed by -0.030 [-0.050, -0.010] against untuned",
        "equivalent": "ndcg@10 is equivalent to untuned: -0.030 [-0.050, -0.010], within the margin of 0.010",
        "failed": "ndcg@10 has no verdict (failed: why)",
        "inconclusive": "ndcg@10 is inconclusive: -0.030 [-0.050, -0.010] (why)",
    }.items():
        claim = outcomes.claim("retriever", "ndcg@10", gains, **numbers, verdict=verdict, reason="why")
        told = by_candidate(view(outcomes.several_seeds().model_copy(update={"recipe_claims": (claim,)})))
        assert told[0] == f"retriever, as a recipe over 3 seeds: {said}."


def test_many_recipes_are_counted() -> None:
    claims = tuple(outcomes.claim(f"s{number}", "ndcg@10", (0.1, 0.1, 0.1), verdict="improved") for number in range(9))
    told = by_candidate(view(outcomes.several_seeds().model_copy(update={"recipe_claims": claims})))
    assert told[0] == "ndcg@10: of 9 recipes, each over its seeds, 9 improved."


def test_the_ledger_names_the_machines_of_a_cluster() -> None:
    rows = outcomes.normal().ledger
    alone = costs.ledger(view(outcomes.normal()))
    assert alone is not None
    assert "machine" not in [column.name for column in alone.columns]
    moved = [{"machine": "H200", "attempts": attempts} for attempts in (1, 2)]
    away = tuple(row.model_copy(update=more) for row, more in zip(rows, moved, strict=False))
    table = costs.ledger(view(outcomes.normal(ledger=(*away, *rows[2:]))))
    assert table is not None
    at = [column.name for column in table.columns].index("machine")
    assert [row[at].text for row in table.rows[:3]] == ["H200", "H200, 2 attempts", decimals.NONE]


def test_an_outcome_of_an_earlier_version_reads() -> None:
    new = ("effects", "recipe_claims", "calls_planned", "calls_without_sharing")
    plain = outcomes.normal(ledger=())
    written = json.loads(plain.model_dump_json(exclude=set(new)))
    for row in written["systems"]:
        del row["same_answers_as"], row["same_weights_as"]
    assert Outcome.model_validate_json(json.dumps(written)) == plain
    rich = combined.factorial(recipe_claims=outcomes.several_seeds().recipe_claims)
    assert Outcome.model_validate_json(rich.model_dump_json()) == rich


def test_nothing_gated_and_nothing_tuned() -> None:
    assert by_candidate(view(outcomes.normal(comparisons=())))[0].startswith("No gain was tested")
    alone = outcomes.normal(systems=(outcomes.system("untuned"),), summaries=(), comparisons=(), ledger=(), timings=())
    assert by_candidate(view(alone)) == ("This outcome has no candidates, only baseline rows.",)
    assert "Nothing was measured." in on_terminal(alone, 80, verbose=True)
    assert render_markdown(alone)


def test_a_dev_score_and_repeated_looks_at_test_are_warned_of() -> None:
    assert any("confirm on test" in line for line in warnings(view(outcomes.normal(split="dev"))))
    assert any("scored 4 times" in line for line in warnings(view(outcomes.failed_candidate())))


def test_split_repeats_the_key_columns_and_loses_none() -> None:
    columns = (Column("system", "left"), *(Column(f"measure{number}") for number in range(9)))
    table = Table("t", columns, (tuple(Cell(str(number)) for number in range(10)),))
    parts = split(table, 40)
    assert len(parts) > 1
    assert all(part.columns[0].name == "system" for part in parts)
    assert [column for part in parts for column in part.columns[1:]] == list(columns[1:])


def test_a_ragged_table_is_refused() -> None:
    with pytest.raises(ValueError, match="has not 2 cells"):
        Table("t", (Column("a"), Column("b")), ((Cell("1"),),))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a | b", r"a \| b"),
        ("<class 'X'>\nnext", "&lt;class 'X'> next"),
        ("token_f1 of *this*", r"token_f1 of \*this\*"),
        ("_id", r"\_id"),
        ("c:\\x", r"c:\\x"),
    ],
)
def test_text_is_shown_as_it_is(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_fence_is_longer_than_those_inside() -> None:
    assert fenced("a\n```\nb").startswith("````\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0411, "+0.041"),
        (-0.0411, "-0.041"),
        (0.0004, "+0.0004"),
        (-0.00004, "-0.00004"),
        (0.0, "+0.000"),
        (None, decimals.NONE),
    ],
)
def test_signed(value: float | None, text: str) -> None:
    assert decimals.signed(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.01, "<0.1 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.7, "1 min 00 s"), (252, "4 min 12 s"),
     (3599.6, "1 h 00 min"), (7500, "2 h 05 min"), (None, decimals.NONE)],
)  # fmt: skip
def test_duration(seconds: float | None, text: str) -> None:
    assert fmt.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "$0"), (0.00001, "<$0.0001"), (0.00341, "$0.0034"), (0.0123, "$0.012"), (0.5, "$0.50"), (1234.5, "$1,234.50")],
)
def test_dollars(value: float, text: str) -> None:
    assert fmt.dollars(value) == text


@pytest.mark.parametrize(
    ("number", "text"), [(12, "12 B"), (999_600, "1 MB"), (40_817_221, "41 MB"), (2.5e9, "2.5 GB")]
)
def test_size(number: int, text: str) -> None:
    assert fmt.size(number) == text


def test_write_reports_replaces_the_file_whole(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert report.write_reports(outcomes.normal(), folder)[:2] == [folder / "report.md", folder / "report.html"]
    report.write_reports(outcomes.no_op(), folder)
    text = render_markdown(outcomes.no_op(), outcome_pictures(outcomes.no_op(), "charts"))
    assert (folder / "report.md").read_text(encoding="utf-8") == text
    assert {path.name for path in folder.iterdir()} == {"report.md", "report.html", "charts"}


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, harness.report; print([m for m in ('rich', 'jinja2', 'yaml') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
