"""Benchmarks of what the harness itself does. They print medians and bound nothing.

Run ``tox -e perf``, or ``python tests/perf/run.py [name ...]``. Times mean something only against each other and
within one run: machines are shared.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

# Invented outcomes are helpers of the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
REPEATS = 5
FEW = 3


def timed(step: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median seconds of some calls, after one to warm up."""
    step()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return median(times)


def help_text() -> Iterator[tuple[str, float]]:
    """What it takes to answer `harness --help`."""
    command = [sys.executable, "-m", "harness", "--help"]
    yield "harness --help", timed(lambda: subprocess.run(command, check=True, capture_output=True))


def statistics() -> Iterator[tuple[str, float]]:
    """20 comparisons of 700 groups, 10,000 sign flips."""
    from harness.statistics import stats
    from harness.values.measures import parse

    dice = random.Random(0)
    groups = {str(number): str(number) for number in range(700)}
    pairs = [
        stats.Paired(
            system=f"s{system}", measure=parse("ndcg@10"), margin=0.01, groups=groups,
            values={key: dice.random() for key in groups}, baseline={key: dice.random() for key in groups},
        )
        for system in range(20)
    ]  # fmt: skip
    yield "sign flips, 20 x 700 x 10,000", timed(lambda: stats.compare("gain", pairs))


def gate() -> Iterator[tuple[str, float]]:
    """500 comparisons of 2,000 groups, 10,000 sign flips: a gate on 50 systems and 10 measures. The bar is 10 s."""
    from harness.statistics import stats
    from harness.values.measures import parse

    dice = random.Random(0)
    groups = {str(number): str(number) for number in range(2_000)}
    names = [f"{name}@{cutoff}" for name in ("ndcg", "recall", "mrr", "map", "precision") for cutoff in (5, 10)]
    pairs = [
        stats.Paired(
            system=f"s{system}", measure=parse(name), margin=0.01, groups=groups,
            values={key: dice.random() for key in groups}, baseline={key: dice.random() for key in groups},
        )
        for system in range(50)
        for name in names
    ]  # fmt: skip
    yield "gate, 50 x 10 x 2,000 x 10,000", timed(lambda: stats.compare("regression", pairs), 1)


def search() -> Iterator[tuple[str, float]]:
    """300 queries over 50,000 vectors of 384 dimensions, 100 deep, ties in order."""
    import numpy as np

    from harness.models.search import DenseIndex

    dice = np.random.default_rng(0)
    vectors = dice.standard_normal((50_000, 384), dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        DenseIndex.save(Path(folder), [f"d{number}" for number in range(len(vectors))], vectors)
        index = DenseIndex(Path(folder))
        queries = dice.standard_normal((300, 384), dtype=np.float32)
        yield "exact search, 300 over 50,000", timed(lambda: index.search(queries, 100))


def writing() -> Iterator[tuple[str, float]]:
    """16 synthetic queries: shared head kept, against the whole prompt read anew for each."""
    from harness.models import generation, language_models, loaders
    from harness.stages.shared.prompts import EXAMPLE_PASSAGES, synthesis_head, synthesis_tail

    with tempfile.TemporaryDirectory() as folder:
        loaders.convert_gguf(loaders.locate("embedded:smollm2-135m-instruct"), Path(folder))
        model, tokenizer = language_models.load_generator(Path(folder))
    head = synthesis_head("question")
    tails = [synthesis_tail("question", f"{passage} ({number})") for number in range(6) for passage in EXAMPLE_PASSAGES]
    tails = tails[:16]
    sampling = generation.Sampling(24, 16, one_line=True)
    kept = generation.PromptPrefix(model, tokenizer, head)
    empty = generation.PromptPrefix(model, tokenizer, "")
    whole = [head + tail for tail in tails]
    yield "16 queries, head kept", timed(lambda: generation.write(kept, tails, sampling), FEW)
    yield "16 queries, head read for each", timed(lambda: generation.write(empty, whole, sampling), FEW)


def pages() -> Iterator[tuple[str, float]]:
    """A report's page for 10 systems x 2,000 queries x 7 measures, lists 30 deep, with answers."""
    import combined
    import explored

    from harness.report.render.html import render_html

    base = combined.factorial()
    outcome = base.model_copy(update={"systems": base.systems[-10:]})
    evidence = explored.evidence(outcome, 2000, words=120)
    size = len(render_html(outcome, evidence).encode()) / 1e6
    yield f"page, 10 x 2,000 queries ({size:.1f} MB)", timed(lambda: render_html(outcome, evidence), FEW)


BENCHMARKS = {
    "pages": pages,
    "help": help_text,
    "statistics": statistics,
    "gate": gate,
    "search": search,
    "writing": writing,
}


def main(names: list[str]) -> None:
    if unknown := [name for name in names if name not in BENCHMARKS]:
        sys.exit(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    table = Table("benchmark", "median s", title=f"Medians of {REPEATS} runs, of {FEW} where a run takes seconds")
    for name in names or BENCHMARKS:
        for what, seconds in BENCHMARKS[name]():
            table.add_row(what, f"{seconds:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
