"""What the benchmarks of `compare.py` share: sides that alternate, rows with their bars, and the models they run on."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any, Literal

import passages

# Tiny models are helpers of the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import tiny

REPEATS = 5
Side = Callable[[], float | None]
"""One side of a comparison: returns its seconds if it knows them better than a clock around it, else None."""


@dataclass(frozen=True)
class Bar:
    """What a figure must reach."""

    kind: Literal["at least", "at most"]
    value: float

    def is_met(self, figure: float) -> bool:
        return figure >= self.value if self.kind == "at least" else figure <= self.value


@dataclass(frozen=True)
class Row:
    """Values of the harness, one for each repeat, and of what it is compared with, in the same order.

    With `theirs` the figure is a ratio: how many times as fast the harness is. Without, it is the median of `ours`.
    `work` and `work_unit` say how much was done in these seconds, for rates. `note` says what the numbers leave out.
    """

    what: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...] = ()
    against: str = ""
    unit: str = "s"
    work: float = 0.0
    work_unit: str = ""
    bar: Bar | None = None
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        return [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def figure(self) -> float:
        return median(self.theirs) / median(self.ours) if self.theirs else median(self.ours)

    @property
    def spread(self) -> tuple[float, float]:
        values = self.ratios if self.theirs else list(self.ours)
        return min(values), max(values)

    @property
    def is_met(self) -> bool | None:
        return None if self.bar is None else self.bar.is_met(self.figure)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "figure": self.figure, "spread": self.spread, "met": self.is_met}

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Row:
        bar = Bar(**value["bar"]) if value["bar"] else None
        values = {name: value[name] for name in cls.__dataclass_fields__}
        return cls(**{**values, "ours": tuple(value["ours"]), "theirs": tuple(value["theirs"]), "bar": bar})


def alternate(sides: Mapping[str, Side], repeats: int, warm_up: bool = True) -> dict[str, tuple[float, ...]]:
    """Seconds of each side, one for each repeat; the sides take turns, and every second repeat goes backwards."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values() if warm_up else ():
        side()
    for number in range(repeats):
        for name, side in list(sides.items())[:: -1 if number % 2 else 1]:
            started = time.perf_counter()
            own = side()
            times[name].append(time.perf_counter() - started if own is None else own)
    return {name: tuple(values) for name, values in times.items()}


def seconds_of(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def fresh(script: str, *arguments: str) -> Any:
    """What a script of Python prints last, as JSON, when it runs in a new process beside these modules."""
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    if done.returncode:
        raise RuntimeError(f"a new process failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


@dataclass
class Lab:
    """Where a run of benchmarks keeps its models. `smoke` takes tiny ones and little work, `store` is a full store."""

    folder: Path
    smoke: bool = False
    repeats: int = REPEATS
    store: Path | None = None

    def sized(self, full: int, smoke: int) -> int:
        return smoke if self.smoke else full

    @cached_property
    def texts(self) -> passages.Texts:
        return passages.Texts()

    @cached_property
    def encoder(self) -> Path:
        """The folder of a bi-encoder without dropout, so that two trainings can be compared loss by loss."""
        from harness.models.loaders import locate

        if self.smoke:
            return tiny.bi_encoder(self.folder / "encoder", self.texts.frequent(300))
        source, copied = locate("embedded:all-minilm-l6-v2"), self.folder / "encoder"
        for path in source.rglob("*"):
            if path.is_file():
                target = copied / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        for path in copied.rglob("config.json"):
            names = json.loads(path.read_text(encoding="utf-8"))
            changed(path, {name: 0.0 for name in names if name.endswith(("dropout_prob", "dropout"))})
        return copied

    @cached_property
    def generator(self) -> Path:
        """The folder of a generator with a chat template."""
        from harness.models import loaders

        folder = self.folder / "generator"
        if self.smoke:
            tiny.generator(folder, self.texts.frequent(300))
            # The harness's own prompts of synthesis have a thousand tokens in so small a vocabulary.
            changed(folder / "config.json", {"max_position_embeddings": 4096})
            return folder
        folder.mkdir()
        loaders.convert_gguf(loaders.locate("embedded:smollm2-135m-instruct"), folder)
        return folder


def changed(file: Path, changes: Mapping[str, Any]) -> None:
    """Change values of a file of JSON."""
    value = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**value, **changes}), encoding="utf-8")


def largest_difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} values against {len(theirs)}")
    return max(abs(mine - other) for mine, other in zip(ours, theirs, strict=True))
