"""How fast stage calls are: the speed class of a call, and the rates that a store has measured by class.

What the time of a call depends on is declared by its stage; see `stages.SpeedRule`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from harness import provenance
from harness.planning.graph import PlannedCall
from harness.stages import STAGES, load_stage, setting
from harness.store import Store
from harness.values.records import DEV_EVALUATION_SECONDS, StageCall

STARTUP_SECONDS = 0.5
"""A guess at what the child of a call needs before it begins to work."""
PARALLEL = 0.8
"""A guess at the share of a call's time on a CPU that more cores shorten."""
MODEL_INPUTS = ("model", "adapter")
"""Inputs that are models: how fast a tuned one is depends on what it was tuned from."""


class UnitRate(NamedTuple):
    """Units a second. `measured`: on calls of the same speed class; otherwise it is a guess."""

    units: float
    measured: bool


class Speed(NamedTuple):
    """The speed class of a call: calls that are equal in all of it take the same time for a unit.

    `kind` holds stage, device, and what kind of work it is; `detail` the machine, the models, and the size of a unit;
    `endpoint` says whether a model that runs elsewhere is asked.
    """

    kind: str
    detail: str
    endpoint: bool = False

    def __str__(self) -> str:
        return f"{self.kind} | {self.detail}"


def speed_of(call: StageCall, calls: Mapping[str, PlannedCall]) -> Speed:
    """Return the speed class of a call; `calls` are those of its plan."""
    stage, rule = load_stage(call.stage), load_stage(call.stage).speed
    models, sizes = set(call.models.values()), _settings(call.spec, rule.size)
    for name in MODEL_INPUTS:
        if maker := calls.get(call.inputs.get(name, "")):
            models |= set(maker.call.models.values())
    for name, keys in rule.inputs.items():
        if maker := calls.get(call.inputs.get(name, "")):
            sizes += [f"{name}.{text}" for text in _settings(maker.call.spec, keys)]
    kind, endpoint = [call.stage, call.device, *_settings(call.spec, rule.kind)], stage.asks_endpoint(call.spec)
    if endpoint:
        kind.append("endpoint")
        sizes.append(f"model {call.spec['endpoint']['model']}")
    elif call.device != "any":
        sizes.insert(0, provenance.stage_machine())
    detail = "; ".join([*sizes, *(model[:12] for model in sorted(models))])
    return Speed("; ".join(kind), detail, endpoint)


def asks_endpoint(call: StageCall) -> bool:
    """Whether a call asks a model that runs elsewhere."""
    return load_stage(call.stage).asks_endpoint(call.spec)


def _settings(spec: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """What a spec says under these dotted keys, as far as it has them."""
    return [f"{dotted} {value}" for dotted in keys if (value := setting(spec, dotted)) is not None]


@dataclass(frozen=True)
class Rates:
    """Units a second that a store has measured, by speed class and by kind of work."""

    classes: Mapping[Speed, float]
    kinds: Mapping[str, float]

    def of(self, call: StageCall, calls: Mapping[str, PlannedCall]) -> UnitRate:
        """Return the rate of a planned call: that of its class if it was timed.

        Otherwise it is a guess: the same kind of work with other models or on another machine, or the first guess that
        the stage declares.
        """
        speed = speed_of(call, calls)
        if speed in self.classes:
            return UnitRate(self.classes[speed], True)
        return UnitRate(self.kinds.get(speed.kind) or load_stage(call.stage).first_guess(call.spec), False)


def slowdown(share: float) -> float:
    """Return how many times as long a call on a CPU takes that has this share of the cores."""
    return 1 - PARALLEL + PARALLEL / share


def is_slowed(call: StageCall) -> bool:
    """Whether a call takes longer with fewer cores: it computes, and on the CPU."""
    return load_stage(call.stage).heavy and call.device == "cpu" and not asks_endpoint(call)


def rates(store: Store) -> Rates:
    """Return the units a second of what this store has timed; see `rates_of`."""
    return rates_of(entry.facts for entry in store.entries())


def rates_of(facts: Iterable[Mapping[str, Any]], whole: bool = True) -> Rates:
    """Return the units a second of calls with these facts on the whole machine, all calls of a class taken together.

    With `whole=False`, of calls on the cores that they had. Seconds of a call that had a share of the cores are taken
    for fewer, as `slowdown` says. The start of a child and the dev evaluations of a training are taken off, so that a
    small sample speaks for a large call; never more than half of the rest, as a call that is over at once would seem
    infinitely fast.
    """
    classes: dict[Speed, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    kinds: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for speed, call in _timed(facts):
        worked = max(call["seconds"] - call.get("notes", {}).get(DEV_EVALUATION_SECONDS, 0.0), 0.0)
        if whole and call.get("device") == "cpu" and not speed.endpoint:
            worked /= slowdown(call.get("share", 1.0))
        seconds = max(worked - STARTUP_SECONDS, worked / 2)
        # What a cache held took no time.
        units = call["units"] * (1 - call.get("known", 0.0))
        classes[speed] = (classes[speed][0] + units, classes[speed][1] + seconds)
        kinds[speed.kind] = (kinds[speed.kind][0] + units, kinds[speed.kind][1] + seconds)
    return Rates(
        {speed: units / seconds for speed, (units, seconds) in classes.items()},
        {kind: units / seconds for kind, (units, seconds) in kinds.items()},
    )


def timed_classes(store: Store) -> set[Speed]:
    """Return the speed classes that this store has timed."""
    return {speed for speed, _ in _timed(entry.facts for entry in store.entries())}


@dataclass(frozen=True)
class Peaks:
    """The largest peaks of memory in MB that calls had, by speed class and by kind of work."""

    classes: Mapping[Speed, float]
    kinds: Mapping[str, float]

    def of(self, speed: Speed, alike: bool = True) -> float | None:
        """Return the peak of a class; if it is unknown, that of its kind, which may have other models, if `alike`."""
        return self.classes.get(speed, self.kinds.get(speed.kind) if alike else None)


def peaks_of(facts: Iterable[Mapping[str, Any]]) -> Peaks:
    """Return the largest peaks of calls with these facts."""
    classes, kinds = dict[Speed, float](), dict[str, float]()
    for speed, call in _classed(facts):
        if peak := call.get("peak_memory_mb"):
            classes[speed] = max(peak, classes.get(speed, 0.0))
            kinds[speed.kind] = max(peak, kinds.get(speed.kind, 0.0))
    return Peaks(classes, kinds)


def _timed(facts: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Speed, Mapping[str, Any]]]:
    """Yield the facts of calls that say how fast a stage is, with their class; answers from a cache do not."""
    for speed, call in _classed(facts):
        if call.get("units") and call.get("seconds", 0) > 0 and (not speed.endpoint or call.get("llm_calls")):
            yield speed, call


def _classed(facts: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Speed, Mapping[str, Any]]]:
    """Yield the facts of stage calls with their class.

    Artifacts of versions that wrote two values instead of three say nothing: their classes were others.
    """
    for call in facts:
        if call.get("stage") in STAGES and len(values := call.get("speed", ())) == 3:
            yield Speed(*values), call
