"""The section `search`: candidates that differ in settings, and which of them are trained to the end.

Knows nothing of how they are scored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from harness.suite.fields import MeasureField, Name, Positive, Seed, Several, Spec

MOST_TRIALS = 256
"""More would be a mistake in a space, or weeks of training."""
DRAWS = 12
"""Points are drawn anew, twice as many each time, until enough of them differ; at most 2 to the power of this."""


class Halving(Spec):
    """Successive halving over training data (Jamieson and Talwalkar 2016, arXiv 1502.07943).

    All trained candidates begin with a small share of their training data. Of each round, the best 1/`eta` on dev go on
    to `eta` times as much; the last round is the whole. There are as many `rounds` as it takes to come down to one
    candidate, if not given. `measure` ranks them on dev: one that is gated, by default the first that every
    candidate can move. Without `score_stopped`, only what went on to the end is indexed and scored on the evaluated
    split; as dev alone decided, the intervals of the others hold without the stopped ones.
    """

    eta: Several = 3
    rounds: Several | None = None
    measure: MeasureField | None = None
    score_stopped: bool = True


class Range(Spec):
    """A range of numbers, both ends included: of whole numbers if both ends are whole; `log` spreads over decades."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0, not {self.low:g}")
        return self

    def at(self, part: float) -> int | float:
        """Return the value at a part of the range, from 0 to 1; floats have three digits, as people write them."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        low, high = (self.low - 0.5, self.high + 0.5) if whole else (self.low, self.high)
        if self.log:
            value = math.exp(math.log(low) + part * (math.log(high) - math.log(low)))
        else:
            value = low + part * (high - low)
        return min(max(round(value), int(self.low)), int(self.high)) if whole else float(f"{value:.3g}")


Levels = Annotated[tuple[Any, ...], Field(min_length=2)]
Values = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Levels, Tag("list")],
    Discriminator(lambda value: "range" if isinstance(value, Mapping | Range) else "list"),
]


class Sample(Spec):
    """Candidates like `of`, with other settings: `space` has lists of values or ranges by dotted key.

    Without `trials`, all combinations of the lists are tried. With it, that many points of a scrambled Sobol sequence
    (Sobol 1967; Owen 1998), which covers the space more evenly than independent draws.
    """

    of: Name
    space: Annotated[dict[str, Values], Field(min_length=1)]
    trials: Annotated[Positive, Field(le=MOST_TRIALS)] | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _countable(self) -> Sample:
        if self.trials is None:
            if ranges := [key for key, values in self.space.items() if isinstance(values, Range)]:
                raise ValueError(f"{ranges[0]} is a range, so 'trials' must say how many points are tried")
            count = math.prod(map(len, self._levels()))
            if count > MOST_TRIALS:
                raise ValueError(f"{count} combinations are over {MOST_TRIALS}; set 'trials', or name fewer values")
        return self

    def points(self) -> list[dict[str, Any]]:
        """Return what each trial sets, by dotted key; no two are alike, so a small space may have fewer than asked."""
        if self.trials is None:
            return [dict(zip(self.space, values, strict=True)) for values in product(*self._levels())]
        found: dict[str, dict[str, Any]] = {}
        for power in range(self.trials.bit_length(), DRAWS + 1):
            for point in self._drawn(power):
                found.setdefault(repr(point), point)
                if len(found) == self.trials:
                    return list(found.values())
        return list(found.values())

    def _levels(self) -> Iterator[Sequence[Any]]:
        return (values for values in self.space.values() if not isinstance(values, Range))

    def _drawn(self, power: int) -> Iterator[dict[str, Any]]:
        from scipy.stats import qmc

        for row in qmc.Sobol(len(self.space), scramble=True, rng=self.seed).random_base2(power).tolist():
            yield {
                key: values.at(part)
                if isinstance(values, Range)
                else values[min(int(part * len(values)), len(values) - 1)]
                for (key, values), part in zip(self.space.items(), row, strict=True)
            }


class Search(Spec):
    sample: Sample | None = None
    halving: Halving | None = Halving()


def expanded(suite: Any) -> Any:
    """Return a suite as written with the candidates of `search.sample` among its candidates.

    What cannot be read is returned as it is, for pydantic to say. Raises ValueError if a name is taken.
    """
    section = suite.get("search") if isinstance(suite, Mapping) else None
    written = section.get("sample") if isinstance(section, Mapping) else None
    candidates = suite.get("candidates") if written is not None else None
    if not isinstance(written, Mapping) or not isinstance(candidates, Mapping):
        return suite
    origin = candidates.get(written.get("of"))
    try:
        sample = Sample.model_validate(written)
    except ValidationError:
        return suite
    if not isinstance(origin, Mapping):
        return suite
    points = sample.points()
    digits, made = len(str(len(points))), dict(candidates)
    for number, point in enumerate(points, start=1):
        name, trial = f"{sample.of}-{number:0{digits}d}", _set(origin, point)
        if name in candidates and not _says(candidates[name], trial):
            raise ValueError(f"search.sample makes a candidate {name!r}, and there is another one; rename it")
        made.setdefault(name, trial)
    return {**suite, "candidates": made}


def _set(candidate: Mapping[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
    """A candidate as written with the values of a point at their dotted keys."""
    changed: dict[str, Any] = dict(candidate)
    for dotted, value in point.items():
        *sections, last = dotted.split(".")
        at = changed
        for section in sections:
            inner = at.get(section)
            at[section] = dict(inner) if isinstance(inner, Mapping) else {}
            at = at[section]
        at[last] = value
    return changed


def _says(written: Any, trial: Any) -> bool:
    """Whether a candidate has all that a trial sets; one from an outcome has its defaults too, and typed numbers."""
    if isinstance(trial, Mapping):
        return isinstance(written, Mapping) and all(_says(written.get(key), value) for key, value in trial.items())
    if isinstance(trial, list | tuple):
        return list(written) == list(trial) if isinstance(written, list | tuple) else False
    try:
        return bool(written == trial) or float(written) == float(trial)
    except (TypeError, ValueError):
        return False
