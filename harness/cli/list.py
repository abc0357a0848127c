"""`harness list`: the shipped suites, the measures and the recipes."""

from __future__ import annotations

from typing import Any, get_args

from rich.console import Console

from harness.cli import layout
from harness.cli.options import Common, console, print_json, takes
from harness.errors import DatasetMissing
from harness.report import format
from harness.suite import builtin
from harness.suite.files import load_suite
from harness.suite.pipeline import settings_of
from harness.suite.recipes import PARTS, Recipes
from harness.suite.spec import BASELINE_ROWS, Suite
from harness.suite.training_data import QUERY_KINDS
from harness.values.measures import KINDS

FAMILIES = {"rank": "Measures of rankings, written with a cutoff (ndcg@10)", "answer": "Measures of answers"}
ABSENT = "Suites without their dataset (set HARNESS_DATA to the folder of datasets)"


@takes("as_json", "verbose")
def verb(*, common: Common) -> None:
    """List the shipped suites, the measures and the recipes."""
    suites = {name: _suite(name) for name in builtin.suite_names()}
    recipes: dict[str, list[str]] = {
        part: list(get_args(type(getattr(Recipes(), part)).model_fields["recipe"].annotation)) for part in PARTS
    }
    if common.as_json:
        print_json(_as_json(suites, recipes))
    else:
        describe(suites, recipes, console(), common.verbose)


def describe(suites: dict[str, Suite | None], recipes: dict[str, list[str]], screen: Console, verbose: bool) -> None:
    """Print suites, measures, recipes and baseline rows by group; `verbose` adds what each suite compares."""
    screen.print("Suites", style="bold")
    layout.fields([(name, _about(suite)) for name, suite in suites.items() if suite is not None], screen)
    absent = [name for name, suite in suites.items() if suite is None]
    if absent:
        layout.heading(ABSENT, screen)
        layout.paragraph(", ".join(absent), screen)
    if verbose:
        for name, suite in suites.items():
            if suite is not None:
                layout.heading(name, screen)
                layout.fields([*_candidates(suite), ("measures", _listed(suite.measures))], screen)
    for family, title in FAMILIES.items():
        layout.heading(title, screen)
        names = [name for name, kind in KINDS.items() if kind.family == family]
        if verbose:
            layout.fields([(name, f"{KINDS[name].population} queries: {KINDS[name].about}") for name in names], screen)
        else:
            layout.paragraph(", ".join(names), screen)
    layout.heading("Recipes", screen)
    layout.fields([(part, ", ".join(names)) for part, names in recipes.items()], screen)
    layout.heading("Baseline rows", screen)
    layout.paragraph(", ".join(BASELINE_ROWS), screen)
    if not verbose:
        screen.print("\nMore: harness list -v", style="dim", highlight=False)


def _about(suite: Suite) -> str:
    """The candidates of a suite; those of a factorial by its factors."""
    names = list(suite.candidates)
    if suite.factorial:
        names.append(f"every combination of {format.listed(list(suite.factorial))}")
    return f"{format.counted(len(suite.all_candidates), 'candidate')}: {', '.join(names)}"


def _candidates(suite: Suite) -> list[tuple[str, str]]:
    """Every candidate with what it tunes and changes."""
    return [
        (name, layout.what_changes(candidate.tune, candidate.training, settings_of(candidate.pipeline)))
        for name, candidate in suite.all_candidates.items()
    ]


def _listed(values: Any) -> str:
    return ", ".join(map(str, values))


def _as_json(suites: dict[str, Suite | None], recipes: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "suites": {name: list(suite.all_candidates) if suite else None for name, suite in suites.items()},
        "measures": list(KINDS),
        "recipes": recipes,
        "baseline_rows": list(BASELINE_ROWS),
        "query_kinds": list(QUERY_KINDS),
    }


def _suite(name: str) -> Suite | None:
    """A shipped suite; None if its dataset is not on this machine."""
    try:
        return load_suite(name)[0]
    except DatasetMissing:
        return None
