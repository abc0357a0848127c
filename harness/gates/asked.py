"""The measures that a command line names. This module must not know files, runs or suites."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import ConfigError, Problem
from harness.values.measures import Measure, parse

DEFAULT_MEASURE = "ndcg@10"


def rank_measures(names: Sequence[str]) -> list[Measure]:
    """Return the measures of these names, or `DEFAULT_MEASURE`.

    Raises ConfigError with every name that is unknown, and with every measure that a run file cannot be scored by.
    """
    measures = named_measures(names or (DEFAULT_MEASURE,))
    problems = [problem for measure in measures if (problem := _beyond_a_run(measure))]
    if problems:
        raise ConfigError(problems)
    return measures


def named_measures(names: Sequence[str]) -> list[Measure]:
    """Return the measures of these names, each once. Raises ConfigError with every unknown name."""
    problems: list[Problem] = []
    measures: list[Measure] = []
    for name in names:
        try:
            measures.append(parse(name))
        except ValueError as error:
            problems.append(Problem("--measure", str(error)))
    if problems:
        raise ConfigError(problems)
    return list(dict.fromkeys(measures))


def _beyond_a_run(measure: Measure) -> Problem | None:
    """Why a run file cannot be scored by a measure."""
    if not measure.is_rank:
        return Problem("--measure", f"{measure} needs answers", f"take one such as {DEFAULT_MEASURE}")
    if measure.in_words:
        what = f"{measure} needs the passages and judged spans, which a run file does not hold"
        return Problem("--measure", what, f"take one such as {DEFAULT_MEASURE}")
    return None
