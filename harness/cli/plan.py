"""What `harness plan` and `harness list` print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from harness import scoring
from harness.data.datasets import load_dataset
from harness.errors import DatasetMissing
from harness.execution import endpoints
from harness.execution.probe import WARM_UP
from harness.experiments import forgetting
from harness.planning.graph import Plan
from harness.planning.ledger import estimate
from harness.planning.plan import build_plan
from harness.planning.requirements import apply_device
from harness.report import format as figures
from harness.store import FolderStore
from harness.suite import builtin
from harness.suite.files import load_suite
from harness.suite.recipes import PARTS, QUERY_KINDS, Recipes
from harness.suite.spec import BASELINE_ROWS, Suite
from harness.suite.uses import reading_of
from harness.values.measures import KINDS

JUDGE_PROMPT, JUDGE_ANSWER = 1500, 250
"""Tokens of one request of ragas' measures and of its answer: a guess."""
ROOM = 40
"""Columns that the words of a plan take beside its numbers."""


def describe_plan(name: str, store_root: Path, seeds: tuple[int, ...], console: Console, as_json: bool) -> None:
    """Print every distinct stage call once, with what it will take."""
    suite = endpoints.spoken(load_suite(name)[0], store_root)
    apply_device(suite)
    if seeds:
        suite = suite.model_copy(update={"seeds": tuple(dict.fromkeys(seeds))})
    plan = build_plan(suite, load_dataset(suite.dataset, suite.evaluate.split, reading_of(suite)))
    store, there = FolderStore(store_root / "store"), forgetting.plan_forgetting(plan)
    rows = _rows(plan, store)
    rows += [row for row in _rows(there.plan, store) if row["key"] not in plan.calls] if there else []
    judged = judge_work(plan)
    if as_json:
        whole = {
            "suite": suite.name, "calls": rows, "calls_without_sharing": plan.calls_without_sharing, "judge": judged
        }  # fmt: skip
        print(json.dumps(whole, indent=1))
        return
    console.print(_plan_table(suite.name, rows, len(plan.systems), console.width))
    shared = plan.calls_without_sharing - len(plan.calls)
    console.print(
        f"{len(rows)} stage calls for {len(plan.systems)} systems; {shared:,} more if they shared none.",
        highlight=False,
    )
    todo_rows = [row for row in rows if not row["stored"]]
    seconds = sum(row["seconds"] for row in todo_rows)
    console.print(
        f"To do: {len(todo_rows)} of {len(rows)} calls, about {_llm_work(todo_rows)}, about {seconds / 60:.0f} min. "
        "Scoring and the probes come on top.",
        highlight=False,
    )
    if suite.answerer is not None:
        console.print(
            f"The probe of the generator asks its endpoint {suite.evaluate.probe_generations + WARM_UP} times for each "
            "kind of prompt.", highlight=False,
        )  # fmt: skip
    if judged:
        console.print(f"The judge, if no score is in the store: about {_llm_work(judged)}.", highlight=False)
    if suite.llm.max_usd is not None or suite.llm.max_tokens is not None:
        console.print(f"A run stops at {_budget(suite)}; what it paid for is kept.", highlight=False)


def _rows(plan: Plan, store: FolderStore) -> list[dict[str, Any]]:
    """Every call of a plan with what it will take."""
    guesses = estimate(plan, store)
    return [
        {
            "key": key, "call": planned.label, "stage": planned.call.stage, "units": planned.work.units,
            "systems": sorted(set(planned.systems)), **guesses[key]._asdict(),
        }
        for key, planned in plan.calls.items()
    ]  # fmt: skip


def _llm_work(rows: Sequence[Mapping[str, Any]]) -> str:
    """``1,200 LLM calls with 400,000 tokens, $0.31``; dollars are those of endpoints."""
    calls, tokens, dollars = (sum(row[name] for row in rows) for name in ("llm_calls", "tokens", "dollars"))
    paid = f", {figures.dollars(dollars)}" if dollars else ""
    return f"{calls:,} LLM calls with {tokens:,} tokens{paid}"


def _budget(suite: Suite) -> str:
    bounds = (("$", suite.llm.max_usd, ""), ("", suite.llm.max_tokens, " tokens"))
    return " or ".join(f"{before}{value:,}{after}" for before, value, after in bounds if value is not None)


def judge_work(plan: Plan) -> list[dict[str, Any]]:
    """What judging takes at most, by measure: every answer of every system, each as often as the suite says."""
    suite, judge = plan.suite, plan.suite.llm.judge
    answers = len({system.answers for system in plan.systems if system.answers}) * len(plan.sample)
    found = []
    for measure in suite.measures if judge else ():
        if judge and measure.is_judged:
            calls = answers * judge.repeats * scoring.requests_per_answer(measure, suite.pipeline.context)
            tokens = calls * JUDGE_PROMPT, calls * JUDGE_ANSWER
            found.append(
                {"measure": str(measure), "llm_calls": calls, "tokens": sum(tokens), "dollars": judge.dollars(*tokens)}
            )
    return found


def _plan_table(name: str, rows: list[dict[str, Any]], systems: int, width: int) -> Table:
    """Stage calls in the order of the plan; a column of numbers that nobody has is left out.

    Where there is little room for words, who needs a call is left out too.
    """
    numbers = {"units": "units", "llm_calls": "LLM calls", "tokens": "tokens", "dollars": "paid"}
    shown = [key for key in numbers if any(row[key] for row in rows)]
    table = Table(title=f"Plan of {name}", box=SIMPLE_HEAD)
    table.add_column("call", overflow="fold", ratio=3)
    roomy = width - 12 * len(shown) >= ROOM
    if roomy:
        table.add_column("for", overflow="fold", ratio=1)
    table.add_column("in store")
    for column in (*(numbers[key] for key in shown), "about"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        who = row["systems"][0] if len(row["systems"]) == 1 else f"{len(row['systems'])} of {systems} systems"
        about = "" if row["stored"] else f"{row['seconds']:.0f} s"
        texts = {key: figures.dollars(row[key]) if key == "dollars" else f"{row[key]:,}" for key in shown}
        counted = [texts[key] if row[key] else "" for key in shown]
        words = (row["call"], who) if roomy else (row["call"],)
        table.add_row(*words, "yes" if row["stored"] else "no", *counted, about)
    return table


def describe_all(console: Console, as_json: bool) -> None:
    """Print the shipped suites, the measures and the recipes."""
    suites = {name: _suite(name) for name in builtin.suite_names()}
    sections = {part: getattr(Recipes(), part) for part in PARTS}
    recipes = {part: list(get_args(type(one).model_fields["recipe"].annotation)) for part, one in sections.items()}
    if as_json:
        value = {
            "suites": {name: list(suite.all_candidates) if suite else None for name, suite in suites.items()},
            "measures": list(KINDS), "recipes": recipes, "baseline_rows": list(BASELINE_ROWS),
            "query_kinds": list(QUERY_KINDS),
        }  # fmt: skip
        print(json.dumps(value, indent=1))
        return
    table = Table(title="Suites", box=SIMPLE_HEAD)
    for column in ("suite", "candidates", "measures"):
        table.add_column(column, overflow="fold")
    for name, suite in suites.items():
        if suite is None:
            table.add_row(name, "needs HARNESS_DATA: the folder that holds its data set", "")
        else:
            table.add_row(name, ", ".join(suite.all_candidates), ", ".join(map(str, suite.measures)))
    console.print(table)
    table = Table(title="Measures (rank measures are written with a cutoff, such as ndcg@10)", box=SIMPLE_HEAD)
    for column in ("measure", "over", "meaning"):
        table.add_column(column, overflow="fold")
    for name, kind in KINDS.items():
        table.add_row(name, f"{kind.population} queries", kind.about)
    console.print(table)
    for part, names in recipes.items():
        console.print(f"Recipes for the {part}: {', '.join(names)}", highlight=False)
    console.print(f"Reference rows: {', '.join(BASELINE_ROWS)}", highlight=False)


def _suite(name: str) -> Suite | None:
    """A shipped suite; None if its data set lies in a folder that the environment does not name."""
    try:
        return load_suite(name)[0]
    except DatasetMissing:
        return None
