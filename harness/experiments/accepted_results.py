"""What paid in every suite, from accepted scores alone. Nothing is rendered here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.errors import ConfigError
from harness.experiments.leaderboard import gains_of, text_or_nothing
from harness.results import baselines
from harness.results.baselines import Accepted, Baseline
from harness.statistics.comparisons import DEV
from harness.values.findings import Comparison, SystemInfo, Timing
from harness.values.measures import parse
from harness.values.records import SystemKey
from harness.values.suite_results import BestSystems, SuiteResults, SystemResult
from harness.values.systems import BOUNDS, UNTUNED


def accepted_results(folder: Path) -> list[SuiteResults]:
    """Return the results of every suite with accepted scores, in a folder with one folder per suite.

    Raises ConfigError if nothing is accepted there, and DataError if it cannot be read.
    """
    results = [results_of(baseline) for baseline in baselines.read_all(folder)]
    if not results:
        raise ConfigError(f"{folder}: nothing is accepted; run a suite and accept its outcome first")
    return results


def results_of(baseline: Baseline) -> SuiteResults:
    """Return the results of a suite; without any gain if no measure was gated when its scores were accepted."""
    return _Reading(baseline).results()


@dataclass(frozen=True)
class _Reading:
    """Reads the accepted scores of one suite."""

    baseline: Baseline

    @property
    def accepted(self) -> Accepted:
        return self.baseline.accepted

    @cached_property
    def infos(self) -> list[SystemInfo]:
        """The systems that could be served."""
        infos = [system.info for system in self.accepted.systems]
        return [info for info in infos if info.name not in BOUNDS]

    @cached_property
    def gains(self) -> list[Comparison]:
        return gains_of(self.baseline)

    @cached_property
    def measures(self) -> list[str]:
        names = [name for name in self.accepted.measures if name in self.accepted.margins]
        return sorted(names, key=lambda name: not parse(name).is_rank)

    @cached_property
    def means(self) -> Mapping[tuple[str, int, str], float]:
        """Means over every query of the population."""
        return {
            (row.system, row.seed, row.measure): row.mean
            for row in self.accepted.summaries
            if row.mean is not None and not row.failed
        }

    def results(self) -> SuiteResults:
        accepted = self.accepted
        git = accepted.provenance.get("git", {})
        return SuiteResults(
            suite=accepted.suite,
            split=accepted.split,
            created=accepted.created,
            commit=text_or_nothing(git.get("commit")),
            dirty=bool(git.get("dirty")),
            machine=text_or_nothing(accepted.provenance.get("machine")),
            dataset=accepted.dataset,
            best=tuple(map(self._best, self.measures)),
            systems=tuple(map(self._system, self.infos)),
        )

    def _best(self, measure: str) -> BestSystems:
        tables = self.baseline.tables
        untuned = tables.get((UNTUNED, 0))
        queries = untuned.column(measure) if untuned else {}
        untrained = accepted.system if (accepted := self.accepted.best_untrained) else ""
        trained, chosen_on = self._best_trained(measure)
        return BestSystems(
            measure=measure,
            queries=len(queries),
            groups=len({untuned.groups[query] for query in queries}) if untuned else 0,
            untrained=untrained,
            trained=trained,
            chosen_on=chosen_on,
        )

    def _best_trained(self, measure: str) -> tuple[str, str]:
        """Return the trained system with the best mean, and the split of that mean: dev, if there are scores on dev."""
        trained = [info for info in self.infos if info.tunes]
        here = {info.label: mean for info in trained if (mean := self.means.get((*_key(info), measure))) is not None}
        on_dev = {label: mean for label, mean in self.accepted.on_dev.get(measure, {}).items() if label in here}
        known = on_dev or here
        if not known:
            return "", ""
        sign = -1.0 if parse(measure).kind.better == "lower" else 1.0
        labels = [info.label for info in trained if info.label in known]
        return max(labels, key=lambda label: sign * known[label]), DEV if known is on_dev else self.accepted.split

    def _system(self, info: SystemInfo) -> SystemResult:
        untuned = next((one for one in self.infos if one.name == UNTUNED), None)
        before = _p95(untuned, "retrieval"), _p95(untuned, "total")
        now = _p95(info, "retrieval"), _p95(info, "total")
        means = {name: mean for name in self.measures if (mean := self.means.get((*_key(info), name))) is not None}
        return SystemResult(
            info=info,
            means=means,
            gains=_rows(self.gains, info),
            over_bm25=_rows(self.accepted.over_bm25, info),
            over_untrained=_rows(self.accepted.over_untrained, info),
            retrieval_p95_ms=now[0],
            p95_ms=now[1],
            added_retrieval_p95_ms=_difference(now[0], before[0]),
            added_p95_ms=_difference(now[1], before[1]),
        )


def _key(info: SystemInfo) -> SystemKey:
    return info.name, info.seed


def _rows(comparisons: Iterable[Comparison], info: SystemInfo) -> dict[str, Comparison]:
    return {row.measure: row for row in comparisons if (row.system, row.seed) == _key(info)}


def _p95(info: SystemInfo | None, part: str) -> float | None:
    timing: Timing | None = getattr(info.serving if info else None, part, None)
    return timing.p95_ms if timing else None


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before
