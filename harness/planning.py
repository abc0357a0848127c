"""What `harness plan` and `harness list` print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from harness import builtin
from harness.datasets import load_dataset
from harness.ledger import estimate
from harness.measures import KINDS
from harness.plan import build_plan
from harness.recipes import PARTS, QUERY_KINDS, Recipes
from harness.requirements import apply_device
from harness.spec import REFERENCE_ROWS, Suite
from harness.store import FolderStore
from harness.suite_files import load_suite


def describe_plan(name: str, store_root: Path, seeds: tuple[int, ...], console: Console, as_json: bool) -> None:
    """Print every distinct stage call once, with what it will take."""
    suite, _ = load_suite(name)
    apply_device(suite)
    if seeds:
        suite = suite.model_copy(update={"seeds": tuple(dict.fromkeys(seeds))})
    plan = build_plan(suite, load_dataset(suite.dataset, suite.evaluate.split))
    guesses = estimate(plan, FolderStore(store_root / "store"))
    rows: list[dict[str, Any]] = [
        {
            "key": key, "call": planned.label, "stage": planned.call.stage, "units": planned.work.units,
            "systems": sorted(set(planned.systems)), **guesses[key]._asdict(),
        }
        for key, planned in plan.calls.items()
    ]  # fmt: skip
    if as_json:
        whole = {"suite": suite.name, "calls": rows, "calls_without_sharing": plan.calls_without_sharing}
        print(json.dumps(whole, indent=1))
        return
    console.print(_plan_table(suite.name, rows, len(plan.systems)))
    shared = plan.calls_without_sharing - len(rows)
    console.print(
        f"{len(rows)} stage calls for {len(plan.systems)} systems; {shared:,} more if they shared none.",
        highlight=False,
    )
    todo_rows = [row for row in rows if not row["stored"]]
    seconds = sum(row["seconds"] for row in todo_rows)
    console.print(
        f"To do: {len(todo_rows)} of {len(rows)} calls, about {sum(row['llm_calls'] for row in todo_rows):,} LLM calls "
        f"with {sum(row['tokens'] for row in todo_rows):,} tokens, about {seconds / 60:.0f} min. "
        "Scoring and the probes come on top.",
        highlight=False,
    )


def _plan_table(name: str, rows: list[dict[str, Any]], systems: int) -> Table:
    """Stage calls in the order of the plan; a column of numbers that nobody has is left out."""
    numbers = {"units": "units", "llm_calls": "LLM calls", "tokens": "tokens"}
    shown = [key for key in numbers if any(row[key] for row in rows)]
    table = Table(title=f"Plan of {name}", box=SIMPLE_HEAD)
    table.add_column("call", overflow="fold", ratio=3)
    table.add_column("for", overflow="fold", ratio=1)
    table.add_column("in store")
    for column in (*(numbers[key] for key in shown), "about"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        who = row["systems"][0] if len(row["systems"]) == 1 else f"{len(row['systems'])} of {systems} systems"
        about = "" if row["stored"] else f"{row['seconds']:.0f} s"
        counted = [f"{row[key]:,}" if row[key] else "" for key in shown]
        table.add_row(row["call"], who, "yes" if row["stored"] else "no", *counted, about)
    return table


def describe_all(console: Console, as_json: bool) -> None:
    """Print the shipped suites, the measures and the recipes."""
    suites = {name: _suite(name) for name in builtin.suite_names()}
    sections = {part: getattr(Recipes(), part) for part in PARTS}
    recipes = {part: list(get_args(type(one).model_fields["recipe"].annotation)) for part, one in sections.items()}
    if as_json:
        value = {
            "suites": {name: list(suite.strategies) if suite else None for name, suite in suites.items()},
            "measures": list(KINDS), "recipes": recipes, "reference_rows": list(REFERENCE_ROWS),
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
            table.add_row(name, ", ".join(suite.strategies), ", ".join(map(str, suite.measures)))
    console.print(table)
    table = Table(title="Measures (rank measures are written with a cutoff, such as ndcg@10)", box=SIMPLE_HEAD)
    for column in ("measure", "over", "meaning"):
        table.add_column(column, overflow="fold")
    for name, kind in KINDS.items():
        table.add_row(name, f"{kind.population} queries", kind.about)
    console.print(table)
    for part, names in recipes.items():
        console.print(f"Recipes for the {part}: {', '.join(names)}", highlight=False)
    console.print(f"Reference rows: {', '.join(REFERENCE_ROWS)}", highlight=False)


def _suite(name: str) -> Suite | None:
    """A shipped suite; None if its data set lies in a folder that the environment does not name."""
    from harness.errors import ConfigError

    try:
        return load_suite(name)[0]
    except ConfigError as error:
        if all("environment variable" in problem.what or "no folder" in problem.what for problem in error.problems):
            return None
        raise
