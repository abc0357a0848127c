"""What sharing saves: eight candidates of a factorial together against eight runs, and runs that compute nothing.

The first is derived from the plan, call by call: seconds are those of the ledger in the store that is given, as far as
it has them, else the plan's estimates. The others are timed with that store, which must hold the quickstart.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from measuring import Bar, Lab, Row, alternate

CANDIDATES = 8
QUICKSTART = "quickstart"


def harness_plan(suite: Any, dataset: Any, store: Path) -> tuple[float, float]:
    """Seconds of all calls of a plan, and the share of them that were measured, not guessed."""
    from harness.planning.ledger import estimate
    from harness.planning.plan import build_plan
    from harness.remote.places import store_in

    plan, held = build_plan(suite, dataset), store_in(store)
    guesses = estimate(plan, held)
    seconds = {
        key: float(held.facts(key).get("seconds", 0.0)) if guess.stored else guess.seconds
        for key, guess in guesses.items()
    }
    measured = sum(seconds[key] for key, guess in guesses.items() if guess.stored or guess.measured)
    return sum(seconds.values()), measured / sum(seconds.values())


def factorial(lab: Lab) -> tuple[Any, Any]:
    """The shipped suite with its dataset; with the fixture's and tiny models in a smoke run."""
    from harness.data.datasets import load_dataset
    from harness.suite.files import load_suite
    from harness.suite.uses import reading_of

    suite, _ = load_suite("scipy-api-factorial")
    if lab.smoke:
        fixture, _ = load_suite("pocket")
        suite = suite.model_copy(update={"dataset": fixture.dataset, "slices": ()})
    return suite, load_dataset(suite.dataset, suite.evaluate.split, reading_of(suite))


def only(suite: Any, names: Sequence[str]) -> Any:
    """The suite with these candidates and the row `untuned`, with which every run compares."""
    kept = {name: suite.all_candidates[name] for name in names}
    return suite.model_copy(update={"candidates": kept, "factorial": {}, "baseline_rows": ("untuned",)})


def together(lab: Lab) -> Row:
    suite, dataset = factorial(lab)
    store = lab.store or lab.folder / "empty-store"
    names = [name for name in suite.all_candidates if name not in suite.candidates][:CANDIDATES]
    shared, known = harness_plan(only(suite, names), dataset, store)
    alone = [harness_plan(only(suite, [name]), dataset, store)[0] for name in names]
    note = (
        f"{shared:.0f} s against {sum(alone):.0f} s; {100 * known:.0f} % of the seconds rest on measured speeds; "
        f"candidates: {', '.join(names)}"
    )
    return Row(
        "estimated seconds of eight candidates together over those of eight runs", (shared / sum(alone),), unit="",
        bar=Bar("at most", 0.45), note=note,
    )  # fmt: skip


def harness_run(store: Path, suite: str = QUICKSTART) -> None:
    command = [sys.executable, "-m", "harness", "run", suite, "--store", str(store), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"harness run {suite} failed: {done.stderr[-2000:]}")


def outcomes(store: Path, suite: str) -> Iterator[dict[str, Any]]:
    """The outcomes of a suite, oldest first."""
    for path in sorted((store / "outcomes" / suite).glob("2*/outcome.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def warm(store: Path, repeats: int, suite: str = QUICKSTART, name: str = QUICKSTART) -> Row:
    """A run in a new process that finds everything in the store."""
    times = alternate({"ours": lambda: harness_run(store, suite)}, repeats)["ours"]
    *_, latest = outcomes(store, name)
    made = [row["label"] for row in latest["ledger"] if not row["reused"]]
    if made:
        raise RuntimeError(f"the run was not warm: it computed {made[0]}")
    return Row(f"warm run of {name} in a new process", times, bar=Bar("at most", 5.0))


def outside(store: Path, name: str = QUICKSTART) -> Row | None:
    """The share of a cold run that is spent outside of stages and probes; None if the store has no cold run."""
    from harness.remote.places import store_in

    cold = next((one for one in outcomes(store, name) if not any(row["reused"] for row in one["ledger"])), None)
    if cold is None:
        return None
    stages = sum(row["seconds"] for row in cold["ledger"])
    probes = sum(entry.facts["seconds"] for entry in store_in(store).entries() if entry.facts.get("stage") == "probe")
    share = max(cold["seconds"] - stages - probes, 0.0) / cold["seconds"]
    note = f"{cold['seconds']:.0f} s: stages {stages:.0f} s, probes {probes:.0f} s"
    return Row(
        f"share of a cold run of {name} outside of stages and probes", (share,), unit="", bar=Bar("at most", 0.05),
        note=note,
    )  # fmt: skip


def tiny_run(lab: Lab) -> tuple[Path, Path]:
    """A suite with a tiny model, run once in this process: its file and its store."""
    import smallsuite

    from harness.experiments import benchmark

    file = smallsuite.write(lab.folder / "small", smallsuite.bi_encoder(lab.folder / "small-model"))
    store = lab.folder / "small-store"
    benchmark.run(file, store, executor=smallsuite.Here())
    return file, store


def measure(lab: Lab) -> Iterator[Row]:
    yield together(lab)
    if lab.smoke:
        file, store = tiny_run(lab)
        suite, name = str(file), "toy"
    elif lab.store is None:
        return
    else:
        store, suite, name = lab.store, QUICKSTART, QUICKSTART
    share = outside(store, name)
    if share is not None:
        yield share
    yield warm(store, lab.repeats, suite, name)
