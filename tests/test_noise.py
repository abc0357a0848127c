"""Real neighbours load all cores for a half of a probe: it says so, or its times are right within a tenth."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, NamedTuple

import pytest
from neighbours import Neighbours

from harness.execution import probe
from harness.execution.reference import Disturbance, Reference
from harness.stages import Asked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
QUERIES, REPEATS = 50, 10
ASKED = [Asked(f"what does the cooper do with stave number {number}?") for number in range(QUERIES)]
TENTH = 0.1
Step = Callable[[Asked], Any]
BUSY: dict[str, Callable[[float, random.Random], bool]] = {
    "first half": lambda share, dice: share < 0.5,
    "second half": lambda share, dice: share >= 0.5,
    "middle half": lambda share, dice: 0.25 <= share < 0.75,
    "ten bursts": lambda share, dice: int(20 * share) % 2 == 0,
    "half of the queries": lambda share, dice: dice.random() < 0.5,
    "all of it": lambda share, dice: True,
    "never": lambda share, dice: False,
}
"""When neighbours are busy, by the share of the probe that is over."""


class Trial(NamedTuple):
    """What a probe told, and by what shares its p50 and its p95 were off."""

    pattern: str
    noisy: bool
    disturbance: Disturbance
    attempts: int
    p50_off: float
    p95_off: float

    @property
    def signs(self) -> str:
        """What the probe saw of neighbours."""
        told = "noisy" if self.noisy else "quiet"
        moved, waited = self.disturbance
        return f"{self.pattern:22} {told}  moved {moved:6.1%}  waited {waited:6.1%}  attempts {self.attempts}"

    def __str__(self) -> str:
        return f"{self.signs}  p50 off {self.p50_off:+7.1%}  p95 off {self.p95_off:+7.1%}"


class Quiet(NamedTuple):
    """Times of a probe without neighbours: its p50 and p95 in milliseconds, and the median reference in seconds."""

    p50: float
    p95: float
    reference: float

    def scaled(self, reference: float) -> Quiet:
        """The times with a reference as fast as this: what else the machine does slows both."""
        share = reference / self.reference
        return Quiet(self.p50 * share, self.p95 * share, reference)


class Beside:
    """A step beside which neighbours are busy by a pattern: in every attempt, or in the first alone."""

    def __init__(self, step: Step, neighbours: Neighbours, pattern: str, always: bool, seed: int) -> None:
        self.step, self.neighbours, self.always = step, neighbours, always
        self.busy, self.dice, self.steps = BUSY[pattern], random.Random(seed), 0
        self.neighbours.set(self.busy(0.0, self.dice))

    def __call__(self, asked: Asked) -> Any:
        attempt, number = divmod(self.steps, QUERIES + probe.WARM_UP)
        self.steps += 1
        share = max(0, number - probe.WARM_UP) / QUERIES
        self.neighbours.set((self.always or attempt == 0) and self.busy(share, self.dice))
        return self.step(asked)


@pytest.fixture(scope="module")
def step() -> Step:
    """Encode a query with the embedded bi-encoder."""
    from harness.models.loaders import load_bi_encoder, locate
    from harness.stages.shared.common import encode

    encoder = load_bi_encoder(locate("embedded:all-minilm-l6-v2"), 64)
    return lambda asked: encode(encoder, [asked.text], "query")


@pytest.fixture
def neighbours() -> Iterator[Neighbours]:
    with Neighbours() as some:
        yield some


def silently(done: int, total: int) -> None:
    """Tell nobody."""


def quiet(step: Step) -> Quiet:
    """The true times: those of the quietest of some probes, scaled to the references of a quiet moment."""
    found, references = [], []
    for _ in range(5):
        reference = Reference()
        times = probe._timed(step, ASKED, True, silently, reference)
        references += reference.times
        found.append(Quiet(probe.quantile(times, 0.5), probe.quantile(times, 0.95), median(reference.times)))
    return min(found, key=lambda one: one.reference).scaled(probe.quantile(references, 0.1))


def tried(step: Step, neighbours: Neighbours, pattern: str, always: bool, truth: Quiet, seed: int) -> Trial:
    times, told = probe._quietly(
        probe._Paid(Beside(step, neighbours, pattern, always, seed), None), ASKED, True, silently
    )
    neighbours.set(False)
    disturbance = Disturbance(told["moved"], told["waited"])
    p50, p95 = (probe.quantile(times, share) for share in (0.5, 0.95))
    return Trial(
        pattern, disturbance.level > 1, disturbance, int(told["attempts"]),
        p50 / truth.p50 - 1, p95 / truth.p95 - 1,
    )  # fmt: skip


@pytest.mark.parametrize("always", [True, False], ids=["in every attempt", "in the first attempt"])
@pytest.mark.parametrize("pattern", [pattern for pattern in BUSY if pattern != "never"])
def test_a_neighbour_is_told_or_changes_nothing(
    pattern: str, always: bool, step: Step, neighbours: Neighbours, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = quiet(step)
    trials = [tried(step, neighbours, pattern, always, truth, seed) for seed in range(REPEATS)]
    with capsys.disabled():
        print("", *trials, Counter("noisy" if one.noisy else "quiet" for one in trials), sep="\n")
    wrong = [one for one in trials if not one.noisy and abs(one.p50_off) > TENTH]
    assert wrong == []


@pytest.mark.parametrize("nap", [0.0, 0.02])
def test_a_quiet_machine_is_not_called_noisy(
    nap: float, step: Step, neighbours: Neighbours, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not by the threads of the step itself, which look for work after it, nor where it waits for something."""

    def waiting(asked: Asked) -> Any:
        time.sleep(nap)
        return step(asked)

    trials = [tried(waiting, neighbours, "never", True, Quiet(1.0, 1.0, 1.0), seed) for seed in range(REPEATS)]
    with capsys.disabled():
        print("", *(one.signs for one in trials), sep="\n")
    assert sum(one.noisy for one in trials) <= REPEATS / 5
