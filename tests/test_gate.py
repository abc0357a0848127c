"""Gates: what each verdict says and lets through, and in simulated worlds how often it is wrong."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args
from xml.etree import ElementTree

import judged
import numpy as np
import pytest

from harness.errors import ConfigError
from harness.gates.counterparts import GateTerms
from harness.gates.gate import evaluate
from harness.report.content.gates import as_json, heading, remarks, sentence, sentences, table
from harness.report.render.junit import junit
from harness.report.render.markdown import render_gating
from harness.results.baselines import Baseline
from harness.results.score_tables import tables_of
from harness.statistics.verdicts import Gated, Gating, Standing
from harness.suite.bounds import Gate
from harness.text import decimals
from harness.values.findings import Comparison, Outcome
from harness.values.measures import parse
from harness.values.records import Score

NDCG = Gate(measure=parse("ndcg@10"), margin=0.02)
UTILITY = Gate(measure=parse("utility"), margin=0.05)
BASE = judged.scores()
Values = Mapping[judged.Key, Mapping[str, Sequence[float | None]]]


def shifted(by: float, noise: float = 0.03, seed: int = 1) -> list[float]:
    """The accepted scores, moved by about as much on every query."""
    moved = np.asarray(BASE) + by + np.random.default_rng(seed).normal(0, noise, len(BASE))
    return [float(value) for value in moved]


def of(values: Values, **changes: Any) -> tuple[Outcome, list[Score]]:
    rows = judged.rows_of(values)
    return judged.outcome_of(rows, **changes), rows


def gated(
    now: Values,
    then: Values | None = None,
    gates: Sequence[Gate] = (NDCG,),
    terms: GateTerms | None = None,
    **changes: Any,
) -> Gating:
    """Judge scores against accepted ones; `changes` are of the outcome that is judged."""
    baseline: Baseline | None = judged.baseline_of(*of(then)) if then is not None else None
    outcome, rows = of(now, **changes)
    return evaluate(gates, outcome, tables_of(rows, outcome.split), baseline, terms or GateTerms(resamples=999))


def verdicts(found: Gating) -> dict[str, Standing]:
    return {f"{one.label}, {one.gate}": one.verdict for one in found.verdicts}


def only(found: Gating) -> Gated:
    (one,) = found.verdicts
    return one


UNTUNED: judged.Key = ("untuned", 0)
WRITTEN: judged.Key = ("written", 0)


def column(values: Sequence[float | None], key: judged.Key = UNTUNED, measure: str = "ndcg@10") -> Values:
    return {key: {measure: values}}


# ---- verdicts


@pytest.mark.parametrize(
    ("identity", "measure", "served", "verdict"),
    [
        ("untuned0", "ndcg@10", False, "equivalent"),
        ("another", "ndcg@10", False, "inconclusive"),
        ("untuned0", "utility", False, "equivalent"),
        ("another", "utility", False, "inconclusive"),
        # Whoever serves a model may have changed it under its name; lists are made here.
        ("untuned0", "utility", True, "inconclusive"),
        ("untuned0", "ndcg@10", True, "equivalent"),
    ],
)
def test_equal_scores_are_unchanged_where_the_system_is_made_as_it_was(
    identity: str, measure: str, served: bool, verdict: str
) -> None:
    side, gate = column(BASE, measure=measure), Gate(measure=parse(measure), margin=0.02)
    spec = {"llm": {"generator": {"model": "large"}}} if served else {}
    found = gated(side, side, [gate], systems=[judged.info("untuned", identity=identity)], spec=spec)
    assert (only(found).verdict, found.exit_code) == (verdict, 0)
    assert ("unchanged" in sentence(only(found))) is (verdict == "equivalent")


def test_what_failed_is_not_unchanged() -> None:
    now = [None, None, *BASE[2:]]
    terms = GateTerms(resamples=999, failure_limit=0.1, on_inconclusive="fail")
    found = gated(column(now), column(BASE), [Gate(measure=parse("ndcg@10"), margin=0.001)], terms)
    assert (only(found).verdict, found.exit_code) == ("inconclusive", 1)
    assert "unchanged" not in sentence(only(found))


@pytest.mark.parametrize(
    ("by", "verdict", "code"),
    [(0.05, "improved", 0), (0.0, "equivalent", 0), (-0.05, "regressed", 1), (-0.008, "equivalent", 0)],
)
def test_a_system_is_compared_with_its_accepted_scores(by: float, verdict: str, code: int) -> None:
    found = gated(column(shifted(by)), column(BASE))
    assert (only(found).verdict, found.exit_code) == (verdict, code)
    assert only(found).comparison is not None


def test_what_cannot_be_told_passes_unless_the_suite_or_the_gate_says_fail() -> None:
    unsure = column(shifted(0.0, noise=0.3))
    strict = NDCG.model_copy(update={"on_inconclusive": "fail"})
    lenient = NDCG.model_copy(update={"on_inconclusive": "pass"})
    fail = GateTerms(on_inconclusive="fail", resamples=999)
    for gates, terms, code in [([NDCG], None, 0), ([strict], None, 1), ([NDCG], fail, 1), ([lenient], fail, 0)]:
        found = gated(unsure, column(BASE), gates, terms)
        assert (only(found).verdict, found.exit_code) == ("inconclusive", code)


def test_equal_scores_are_no_question_even_where_no_difference_is_allowed() -> None:
    zero = Gate(measure=parse("ndcg@10"), margin=0)
    found = gated(column(BASE), column(BASE), [zero], GateTerms("fail", resamples=999))
    assert (only(found).verdict, found.exit_code) == ("equivalent", 0)
    assert sentence(only(found)).startswith(
        "untuned is unchanged on ndcg@10: no group of queries differs (margin 0.000"
    )


def test_last_bits_are_no_difference() -> None:
    """What another processor computes differs in the last bits, always to one side."""
    found = gated(column([value - 1e-14 for value in BASE]), column(BASE), [Gate(measure=parse("ndcg@10"), margin=0)])
    assert only(found).verdict == "equivalent"


def test_nothing_accepted_is_new() -> None:
    found = gated(column(BASE))
    assert (only(found).verdict, found.exit_code, found.accepted) == ("new", 0, "")


def test_a_system_or_a_measure_that_was_not_accepted_is_new() -> None:
    now: Values = {UNTUNED: {"ndcg@10": BASE, "utility": BASE}, WRITTEN: {"ndcg@10": BASE}}
    found = gated(now, column(BASE), [NDCG, UTILITY])
    expected = {"untuned, ndcg@10": "equivalent", "written (seed 0), ndcg@10": "new", "untuned, utility": "new"}
    assert verdicts(found) == expected | {"written (seed 0), utility": "missing"}
    assert found.exit_code == 1
    found = gated({**now, WRITTEN: now[UNTUNED]}, column(BASE), [NDCG, UTILITY])
    assert verdicts(found) == expected | {"written (seed 0), utility": "new"}
    assert found.exit_code == 0


def test_a_system_that_vanished_fails() -> None:
    found = gated(column(BASE), {UNTUNED: {"ndcg@10": BASE}, WRITTEN: {"ndcg@10": BASE}})
    assert verdicts(found) == {"untuned, ndcg@10": "equivalent", "written (seed 0), ndcg@10": "missing"}
    assert found.exit_code == 1


def test_a_measure_that_vanished_from_a_system_fails() -> None:
    now: Values = {UNTUNED: {"ndcg@10": BASE}, ("bm25", 0): {"utility": BASE}}
    found = gated(now, {UNTUNED: {"ndcg@10": BASE, "utility": BASE}}, [NDCG, UTILITY])
    assert verdicts(found)["untuned, utility"] == "missing"


def test_rows_that_nobody_would_serve_gate_nothing() -> None:
    then: Values = {UNTUNED: {"ndcg@10": BASE}, ("oracle-context", 0): {"utility": BASE}}
    now: Values = {UNTUNED: {"ndcg@10": BASE, "utility": BASE}, ("closed-book", 0): {"utility": BASE}}
    expected = {"untuned, ndcg@10": "equivalent", "untuned, utility": "new"}
    assert verdicts(gated(now, then, [NDCG, UTILITY])) == expected


def test_failures_over_the_limit_are_incomplete() -> None:
    some: list[float | None] = [None, *BASE[1:]]
    assert gated(column(some), column(BASE)).exit_code == 3
    assert gated(column(some), column(BASE), terms=GateTerms(failure_limit=0.01, resamples=999)).exit_code == 0
    assert only(gated(column(some), column(BASE))).verdict == "failed"


def test_a_new_system_that_failed_is_no_new_system() -> None:
    found = gated(column([None, *BASE[1:]]))
    assert (only(found).verdict, found.exit_code) == ("failed", 3)
    assert "1 of 120 queries have no value (limit 0.0 %)" in sentence(only(found))


OTHER = {"identities": {"ndcg@10": "other", "utility": "id of utility"}}


def test_another_measurement_is_not_comparable_and_says_why() -> None:
    outcome, _ = of(column(BASE))
    dataset = outcome.dataset.model_copy(update={"digests": {**outcome.dataset.digests, "corpus": "x"}})
    both: Values = {UNTUNED: {"ndcg@10": BASE, "utility": BASE}}
    found = gated(both, both, [NDCG, UTILITY], dataset=dataset, **OTHER)
    assert verdicts(found) == {"untuned, ndcg@10": "not comparable", "untuned, utility": "equivalent"}
    assert found.exit_code == 4
    assert found.differs["ndcg@10"][0].startswith("the corpus (")
    assert list(found.differs) == ["ndcg@10"]


def test_other_queries_under_one_identity_are_not_compared() -> None:
    found = gated(column(BASE[:-1]), column(BASE))
    assert (only(found).verdict, found.exit_code) == ("not comparable", 4)


def test_the_gravest_finding_decides_the_exit_code() -> None:
    then: Values = {
        UNTUNED: {"ndcg@10": BASE, "utility": BASE, "mrr@10": BASE}, ("bm25", 0): {"ndcg@10": BASE, "mrr@10": BASE},
    }  # fmt: skip
    now: Values = {
        UNTUNED: {"ndcg@10": shifted(-0.1), "utility": [None, *BASE[1:]], "mrr@10": BASE},
        ("bm25", 0): {"ndcg@10": BASE, "mrr@10": BASE},
    }
    mrr = Gate(measure=parse("mrr@10"), margin=0.02)
    moved = {"identities": {"mrr@10": "other", "ndcg@10": "id of ndcg@10", "utility": "id of utility"}}
    assert gated(now, then, [NDCG, UTILITY, mrr], **moved).exit_code == 4
    assert gated(now, then, [NDCG, UTILITY, mrr]).exit_code == 3
    assert gated(now, then, [NDCG, mrr]).exit_code == 1
    assert gated(now, then, [mrr]).exit_code == 0


@pytest.mark.parametrize("advisory", ["gate", "judge", "older outcome"])
def test_an_advisory_gate_is_shown_and_never_fails(advisory: str) -> None:
    gates = [Gate(measure=parse("utility"), margin=0.02, advisory=advisory == "gate")]
    changes: dict[str, Any] = {}
    if advisory == "judge":
        changes = {"advisory": ("utility",)}
    if advisory == "older outcome":
        row = Comparison(family="advisory", system="written", seed=0, measure="utility", difference=0.0, low=0.0,
                         high=0.0, p_value=1.0, margin=0, detectable=None, n_queries=1, n_groups=1,
                         verdict="equivalent")  # fmt: skip
        changes = {"comparisons": (row,)}
    for worse in (shifted(-0.1), [None, *BASE[1:]]):
        now, then = column(worse, measure="utility"), column(BASE, measure="utility")
        found = gated(now, then, gates, GateTerms("fail", resamples=999), **changes)
        assert only(found).verdict in ("regressed", "failed")
        assert (found.exit_code, found.failing) == (0, ())
        assert sentence(only(found)).endswith("Advisory: it fails nothing.")
    other = gated(now, then, gates, identities={"utility": "other"}, **changes)
    assert (only(other).verdict, other.exit_code) == ("not comparable", 0)


def test_advisory_gates_cost_the_others_nothing() -> None:
    now: Values = {UNTUNED: {"ndcg@10": shifted(0.0), "utility": shifted(0.0, seed=2)}}
    then: Values = {UNTUNED: {"ndcg@10": BASE, "utility": BASE}}
    alone = gated(now, then, [NDCG]).verdicts[0].comparison
    beside = gated(now, then, [NDCG, UTILITY.model_copy(update={"advisory": True})]).verdicts[0].comparison
    gating = gated(now, then, [NDCG, UTILITY]).verdicts[0].comparison
    assert alone == beside
    assert alone is not None and gating is not None  # noqa: PT018
    assert gating.high is not None and alone.high is not None and gating.high > alone.high  # noqa: PT018


def test_verdicts_come_in_the_order_of_the_gates() -> None:
    both: Values = {UNTUNED: {"ndcg@10": BASE, "utility": BASE}, WRITTEN: {"ndcg@10": BASE, "utility": BASE}}
    gates = [UTILITY, Gate(probe="p95_ms", ceiling=30.0), NDCG.model_copy(update={"advisory": True})]
    assert [one.gate for one in gated(both, both, gates).verdicts] == [
        "utility", "utility", "p95_ms ceiling", "p95_ms ceiling", "ndcg@10", "ndcg@10",
    ]  # fmt: skip


def test_a_gate_on_what_was_not_run_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"gates\.1: utility was not run: no judge; run the suite again"):
        gated(column(BASE), column(BASE), [NDCG, UTILITY], not_run={"utility": "no judge"})


def test_a_suite_without_gates_lets_nothing_through() -> None:
    with pytest.raises(ConfigError, match="nothing is gated; add gates"):
        gated(column(BASE), column(BASE), [])


def test_the_change_under_test_is_named() -> None:
    changed = judged.info("untuned", identity="another")
    found = gated(column(BASE), column(BASE), systems=(changed,))
    assert found.changed == ("untuned",)
    assert remarks(found)[0] == "Changed since the scores were accepted, by system identity: untuned."
    assert remarks(gated(column(BASE), column(BASE)))[0].startswith("No system identity changed")


# ---- checkpoints and recipes


def test_one_checkpoint_fails_only_if_it_is_surely_worse_by_more_than_the_margin() -> None:
    """A row that is not trained, with the same scores, fails as soon as it is surely worse."""
    worse = shifted(-0.025, noise=0.05)
    assert only(gated(column(worse), column(BASE))).verdict == "regressed"
    found = only(gated(column(worse, WRITTEN), column(BASE, WRITTEN)))
    assert (found.verdict, found.about, found.fails) == ("inconclusive", "checkpoint", False)
    assert "another seed could differ" in sentence(found)
    assert only(gated(column(shifted(-0.06), WRITTEN), column(BASE, WRITTEN))).verdict == "regressed"


def by_seeds(count: int, by: float = 0.0, spread: float = 0.0, start: int = 0) -> Values:
    """Seeds of the candidate; their means differ by `spread`."""
    offsets = np.linspace(-spread, spread, count) if count > 1 else [0.0]
    return {
        ("written", start + number): {"ndcg@10": shifted(by + float(offset), seed=50 + start + number)}
        for number, offset in enumerate(offsets)
    }


def test_six_seeds_speak_of_the_recipe() -> None:
    for now, then in [(3, 3), (1, 5), (5, 1)]:
        found = only(gated(by_seeds(now, -0.1, start=10), by_seeds(then)))
        assert (found.verdict, found.about, len(found.seeds)) == ("regressed", "recipe", now)
        assert "with the variance between seeds" in sentence(found)


def test_the_label_of_a_recipe_names_its_seeds() -> None:
    assert only(gated(by_seeds(3, -0.1), by_seeds(3))).label == "written (seeds 0, 1, 2)"


def test_seeds_that_differ_much_cannot_carry_a_verdict() -> None:
    assert only(gated(by_seeds(3, -0.05, spread=0.1), by_seeds(3, spread=0.1))).verdict == "inconclusive"
    assert only(gated(by_seeds(3, -0.05), by_seeds(3))).verdict == "regressed"


def test_nothing_changed_in_any_seed_is_said_seed_by_seed() -> None:
    found = gated(by_seeds(3, spread=0.1), by_seeds(3, spread=0.1))
    assert set(verdicts(found).values()) == {"equivalent"}
    assert len(found.verdicts) == 3


def test_a_seed_less_is_no_system_less() -> None:
    found = gated(by_seeds(1), by_seeds(2))
    assert verdicts(found) == {
        "written (seed 0), ndcg@10": "equivalent", "written (seed 1), ndcg@10": "not compared",
    }  # fmt: skip
    assert found.exit_code == 0


def test_other_seeds_than_accepted_compare_nothing_and_fail() -> None:
    found = gated(by_seeds(1, start=1), by_seeds(1))
    assert verdicts(found) == {"written (seed 1), ndcg@10": "new", "written (seed 0), ndcg@10": "missing"}
    assert found.exit_code == 1


def test_a_recipe_and_a_row_share_the_level() -> None:
    """One comparison of each kind: both intervals are wider than they would be alone."""
    now: Values = {**by_seeds(3, -0.01), UNTUNED: {"ndcg@10": shifted(0.0)}}
    then: Values = {**by_seeds(3), UNTUNED: {"ndcg@10": BASE}}
    together = {one.system: one.comparison for one in gated(now, then).verdicts}
    for name in ("written", "untuned"):
        apart = only(gated(*({key: side[key] for key in side if key[0] == name} for side in (now, then)))).comparison
        shared = together[name]
        assert apart is not None and shared is not None  # noqa: PT018
        assert apart.difference == shared.difference
        assert (shared.high or 0) - (shared.low or 0) > (apart.high or 0) - (apart.low or 0)


def test_a_seed_that_failed_fails_the_recipe() -> None:
    now: dict[judged.Key, Mapping[str, Sequence[float | None]]] = dict(by_seeds(3, -0.1))
    now["written", 1] = {"ndcg@10": [None] * len(BASE)}
    found = gated(now, by_seeds(3))
    assert (only(found).verdict, found.exit_code) == ("failed", 3)


# ---- words


def story() -> Gating:
    """One of everything."""
    then: Values = {
        UNTUNED: {"ndcg@10": BASE, "utility": BASE}, ("bm25", 0): {"ndcg@10": BASE}, WRITTEN: {"ndcg@10": BASE},
        ("hybrid", 0): {"ndcg@10": BASE}, ("gone", 0): {"ndcg@10": BASE}, ("few-shot", 0): {"ndcg@10": BASE},
    }  # fmt: skip
    now: Values = {
        UNTUNED: {"ndcg@10": shifted(0.05), "utility": BASE},
        ("bm25", 0): {"ndcg@10": shifted(0.0)},
        ("hybrid", 0): {"ndcg@10": shifted(0.0, noise=0.4)},
        ("few-shot", 0): {"ndcg@10": [None, *BASE[1:]]},
        WRITTEN: {"ndcg@10": shifted(-0.1)},
        ("judged", 0): {"ndcg@10": BASE},
    }
    gates = [NDCG, UTILITY, Gate(probe="p95_ms", ceiling=5.0, advisory=True), Gate(probe="p50_ms", relative=0.1)]
    return gated(now, then, gates, identities={"ndcg@10": "id of ndcg@10", "utility": "other"})


def test_every_verdict_has_a_sentence_of_its_own() -> None:
    found = story()
    assert {one.verdict for one in found.verdicts} == set(itertools.chain(*(
        get_args(part) or [part] for part in get_args(Standing)
    ))) - {"not compared", "stopped"}  # fmt: skip
    lines = [sentence(one) for one in found.verdicts]
    assert len(set(lines)) == len(lines)
    for line, one in zip(lines, found.verdicts, strict=True):
        assert line.startswith(one.label)
        assert one.gate in line
        assert line.endswith(".")
        assert "the same" not in line
        assert "significant" not in line


def test_a_sentence_says_all_that_its_verdict_rests_on() -> None:
    found = only(gated(column(shifted(-0.05)), column(BASE)))
    row = found.comparison
    assert row is not None
    assert sentence(found) == (
        f"untuned regressed on ndcg@10: {row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}] (margin 0.020, "
        f"120 queries in 40 groups, minimum detectable effect {row.detectable:.3f})."
    )


def test_what_could_not_be_told_is_said_not_to_be_evidence() -> None:
    line = sentence(only(gated(column(shifted(0.0, noise=0.3)), column(BASE))))
    assert line.startswith("untuned is inconclusive on ndcg@10: ")
    assert line.endswith("; this is not evidence that nothing changed.")


def test_the_heading_names_what_fails() -> None:
    found = gated(column(shifted(-0.05)), column(BASE))
    assert heading(found) == "Gate of toy failed: untuned (ndcg@10: regressed)."
    assert heading(gated(column(BASE))) == "Gate of toy passed: 1 new."
    assert heading(story()).startswith("Gate of toy cannot compare: ")


def test_the_command_that_accepts_is_said_where_it_helps() -> None:
    command = 'harness accept toy --reason "..."'
    why = "No score was compared, because none is accepted yet"
    (said,) = remarks(gated(column(BASE)).model_copy(update={"command": command}))
    assert said == f"{why}; to compare later outcomes with this one: {command}"
    assert remarks(gated(column(BASE))) == (f"{why}.",)
    calm = gated(column(BASE), column(BASE)).model_copy(update={"command": command})
    assert not any(command in line for line in remarks(calm))


def test_the_table_has_a_row_for_each_verdict() -> None:
    found = story()
    assert [row[-1].text.removesuffix(" (advisory)") for row in table(found).rows] == [
        one.verdict for one in found.verdicts
    ]


def test_what_is_unchanged_is_said_together() -> None:
    side = {**column(BASE), **column(shifted(0.1), WRITTEN), **column(BASE, ("bm25", 0))}
    found = gated({**side, **column(shifted(0.4), ("bm25", 0))}, side)
    lines = sentences(found.verdicts)
    assert len(lines) == 2
    assert lines[0].startswith(
        "untuned and written (seed 0) are unchanged on ndcg@10: no group of queries differs (margin"
    )
    assert lines[1].startswith("bm25 improved on ndcg@10")
    assert sentences([only(gated(column(BASE), column(BASE)))]) == [sentence(only(gated(column(BASE), column(BASE))))]


@pytest.mark.parametrize("on_inconclusive", ["pass", "fail"])
def test_what_is_inconclusive_is_said_together(on_inconclusive: Any) -> None:
    names = (UNTUNED, ("bm25", 0), ("fused", 0))
    before = {key: value for name in names for key, value in column(BASE, name).items()}
    rows = {
        key: value
        for place, name in enumerate(names)
        for key, value in column(shifted(0.0, 0.1 * (1 + place)), name).items()
    }
    found = gated(rows, before, terms=GateTerms(resamples=999, on_inconclusive=on_inconclusive))
    assert {one.verdict for one in found.verdicts} == {"inconclusive"}
    line, trained = sentences(found.verdicts)
    assert trained.startswith("fused (seed 0) is inconclusive on ndcg@10: ")
    assert "this checkpoint only" in trained
    assert line.startswith("2 systems are inconclusive on ndcg@10 (untuned and bm25): margin 0.020, ")
    effects = sorted(decimals.fixed(one.comparison.detectable) for one in found.verdicts[:2] if one.comparison)
    assert f"minimum detectable effect {effects[0]} to {effects[-1]}" in line
    assert ("In this suite, inconclusive fails." in line) == (on_inconclusive == "fail")
    assert line.count("this is not evidence that nothing changed") == 1


def test_junit_has_a_case_for_each_system_and_gate() -> None:
    found = story()
    (suite,) = ElementTree.fromstring(junit(found))
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [f"{one.label} {one.gate}" for one in found.verdicts]
    for case, one in zip(cases, found.verdicts, strict=True):
        kinds = {child.tag for child in case}
        wanted = "error" if one.verdict in ("failed", "not comparable") else "failure"
        assert kinds == ({wanted} if one.fails else {"system-out"})
        assert case[0].text == sentence(one)
    counts = (suite.get("tests"), suite.get("failures"), suite.get("errors"))
    tags = [child.tag for case in cases for child in case]
    assert counts == (str(len(cases)), str(tags.count("failure")), str(tags.count("error")))


def test_junit_holds_whatever_a_reason_holds() -> None:
    hostile = 'a\x00\x1b[31m <b> & "x" ]]> \ud800'
    one = Gated(system="s", seeds=(0,), label="s <1>", gate="g", verdict="failed", reason=hostile)
    text = junit(Gating(suite="toy", split="test", created="now", verdicts=(one,)))
    text.encode("utf-8")
    assert '<b> & "x"' in str(ElementTree.fromstring(text)[0][0][0].text)


def test_json_holds_every_verdict_with_its_sentence() -> None:
    found = story()
    value = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert (value["schema"], value["exit_code"]) == ("harness/gate-1", 4)
    assert [one["sentence"] for one in value["verdicts"]] == [sentence(one) for one in found.verdicts]
    assert [one["fails"] for one in value["verdicts"]] == [one.fails for one in found.verdicts]


def test_markdown_holds_the_table_and_the_sentences() -> None:
    found = story()
    text = render_gating(found)
    assert text.startswith("## Gate of toy cannot compare: ")
    assert text.count("\n| ") == len(found.verdicts) + 2
    assert text.count("\n- ") == len(sentences(found.verdicts)) + len(remarks(found))


# ---- many at once


@pytest.mark.parametrize("count", [2, 8, 17])
def test_what_is_new_is_said_together(count: int) -> None:
    rows = {("untuned", 0): {"ndcg@10": BASE}} | {(f"c{number}", 0): {"ndcg@10": BASE} for number in range(count - 1)}
    found = gated(rows)
    assert [one.verdict for one in found.verdicts] == ["new"] * count
    (line,) = sentences(found.verdicts)
    assert line.startswith(f"{count} systems are new on ndcg@10 (untuned, c0" if count > 2 else "2 systems are new on")
    assert line.endswith("): nothing was accepted for them.")
    assert ("9 more)" in line) == (count == 17)
