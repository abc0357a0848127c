"""Whether two stores have the same results of one suite: ``python tests/perf/same_results.py SUITE FIRST SECOND``.

FIRST and SECOND are stores, folders or addresses, such as those of a run with one job and of a run on a cluster. The
latest outcome of each is read: its rows of scores, its lists of documents, and the keys and contents of its stage
calls. Scores that a judge or a clock gives are rows like any other. Ends with 1 if rows of scores differ, and with 2 if
a store has no outcome.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from harness.data import formats
from harness.errors import HarnessError
from harness.remote.places import root_of, store_in
from harness.results import outcomes, sharing
from harness.store import Store

ROW = ("system", "seed", "split", "query_id", "measure")
BM25 = "index for bm25"
"""Its words are in the order of a set, which is another in each process."""


class Side(NamedTuple):
    """The latest outcome of a store: rows of scores, ranked ids by run file and query, labels of calls by key."""

    rows: Mapping[tuple[Any, ...], tuple[str, float | None]]
    lists: Mapping[tuple[str, str], list[str]]
    calls: Mapping[str, str]
    store: Store


class Measured(NamedTuple):
    """One measure: its rows on both sides, their queries, how many differ, and the largest difference of two values."""

    measure: str
    rows: int
    queries: int
    differing: int
    largest: float


def side(suite: str, place: str) -> Side:
    """Read the latest outcome of a suite in a store."""
    root = root_of(place)
    folder = sharing.latest_of(root, suite)
    outcome = outcomes.read(folder)
    rows = {
        tuple(row[name] for name in ROW): (row["status"], row["value"])
        for row in formats.read_parquet(folder / "scores.parquet")
    }
    lists = {
        (path.name, query_id): [doc_id for doc_id, _ in hits]
        for path in sorted(folder.rglob("*.trec"))
        for query_id, hits in formats.read_run(path, escaped=True).items()
    }
    return Side(rows, lists, {row.key: row.label for row in outcome.ledger}, store_in(root))


def measured(first: Side, second: Side) -> list[Measured]:
    """Compare the rows that both sides have, by measure."""
    found = []
    for measure in dict.fromkeys(row[-1] for row in first.rows if row in second.rows):
        shared = [row for row in first.rows if row[-1] == measure and row in second.rows]
        differences = [_difference(first.rows[row], second.rows[row]) for row in shared]
        queries = len({row[ROW.index("query_id")] for row in shared})
        found.append(Measured(measure, len(shared), queries, sum(map(bool, differences)), max(differences)))
    return found


def _difference(one: tuple[str, float | None], other: tuple[str, float | None]) -> float:
    """How much two values differ; without bound if one of them failed or is missing."""
    if one == other:
        return 0.0
    values = one[1], other[1]
    if one[0] != other[0] or values[0] is None or values[1] is None:
        return math.inf
    return abs(values[0] - values[1])


def other_contents(first: Side, second: Side) -> list[str]:
    """Return the keys of calls whose files differ, as far as both stores still have them."""
    return [
        key for key in first.calls
        if key in second.calls and first.store.has(key) and second.store.has(key)
        and first.store.content_digest(key) != second.store.content_digest(key)
    ]  # fmt: skip


def only(one: Iterable[Any], other: Iterable[Any]) -> list[Any]:
    """Return what the first has and the second lacks, in the order of the first."""
    lacking = {*other}
    return [item for item in one if item not in lacking]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite")
    parser.add_argument("first")
    parser.add_argument("second")
    asked = parser.parse_args(arguments)
    try:
        first, second = side(asked.suite, asked.first), side(asked.suite, asked.second)
    except HarnessError as error:
        parser.error(str(error))
    screen, rows = Console(soft_wrap=True), measured(first, second)
    table = Table("measure", "rows", "queries", "rows that differ", "largest difference")
    for row in rows:
        table.add_row(row.measure, str(row.rows), str(row.queries), str(row.differing), f"{row.largest:.3g}")
    screen.print(table)
    lacking = only(first.rows, second.rows), only(second.rows, first.rows)
    lists = [name for name, found in first.lists.items() if second.lists.get(name) != found]
    screen.print(
        f"rows in one alone: {len(lacking[0])} in the first, {len(lacking[1])} in the second\n"
        f"lists of documents: {len(first.lists)} in the first, {len(second.lists)} in the second, {len(lists)} differ"
    )
    told = {
        "keys in the first alone": only(first.calls, second.calls),
        "keys in the second alone": only(second.calls, first.calls),
        "keys with other files": other_contents(first, second),
    }
    for what, keys in told.items():
        screen.print(f"{what}: {len(keys)}")
        for key in keys:
            label = first.calls.get(key) or second.calls[key]
            note = " (words in the order of a set)" if label == BM25 else ""
            screen.print(f"  {key[:16]}  {label}{note}", markup=False, highlight=False)
    return int(any(lacking) or any(row.differing for row in rows) or not rows)


if __name__ == "__main__":
    raise SystemExit(main())
