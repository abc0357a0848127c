"""Stage functions that do something small and visible, for tests of what runs stages."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

from harness.data.formats import read_run, write_run
from harness.execution.executors import Request
from harness.stages import Inputs, SpeedRule, Stage, Takes
from harness.stages.retrieve import RUN_FILE
from harness.suite.fields import Spec
from harness.values.records import Progress, Usage


class Toy(Spec):
    text: str = ""
    size: int = 0


def copy(spec: Toy, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write what it was given."""
    given = "".join((inputs[name] / "text").read_text() for name in sorted(inputs))
    (out / "text").write_text(f"{spec.text}{given}{seed}")
    return Usage(units=len(spec.text), llm_calls=2, prompt_tokens=3, new_tokens=4, notes={"process": os.getpid()})


def count(spec: Toy, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Report progress of `size` steps."""
    for number in range(1, spec.size + 1):
        progress(number, spec.size)
    return Usage(units=spec.size)


def refuse(spec: Toy, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    raise ValueError(spec.text)


def stumble(spec: Toy, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    return Usage(units={}["units"])


def chatter(spec: Toy, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Print as libraries do."""
    print("loading weights")
    return Usage()


def killed(spec: Toy, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """End as a process does that the kernel takes for its memory."""
    os.kill(os.getpid(), signal.Signals[spec.text])
    time.sleep(60)
    return Usage()


def loaded(spec: Toy, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Say which heavy modules are in memory."""
    return Usage(notes={"modules": sorted({"sentence_transformers", "torch"} & {*sys.modules})})


def vanish(spec: Toy, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    os._exit(7)


def sleep(spec: Toy, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Say which process this is, and then nothing more."""
    (out / "writing").write_text(str(os.getpid()))
    (out / "writing").rename(out / "process")
    time.sleep(600)
    return Usage()


def allocate(spec: Toy, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Hold `size` MB for a moment."""
    return Usage(units=len(b"1" * (spec.size * 2**20)))


def bar(spec: Toy, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Use a progress bar, as libraries do even where they show none, and then what `text` says."""
    from tqdm.auto import tqdm

    for _ in tqdm(range(2), disable=True):
        pass
    if spec.text in ("lock", "fail"):
        kept.append(multiprocessing.RLock())
    if spec.text == "fail":
        raise ValueError("failed with a lock at hand")
    if spec.text == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return Usage()


def environment(spec: Toy, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Note the device, the variables that `text` names, how libraries read some of them, and every secret in a file."""
    import torch
    from huggingface_hub import constants
    from threadpoolctl import threadpool_info

    from harness import provenance

    notes = {name: os.environ.get(name) for name in spec.text.split()}
    own = {"pid": os.getpid(), "device": provenance.device_class(), "threads": torch.get_num_threads()}
    own["pools"] = sorted({pool["num_threads"] for pool in threadpool_info()})
    return Usage(notes={**notes, **own, "hub": constants.HF_HUB_CACHE, "variables": len(os.environ)})


kept: list[object] = []
"""What must live as long as the process."""


def request(name: str, out: Path, inputs: Inputs | None = None, seed: int = 0, **spec: object) -> Request:
    """A request for one of these, as the plan would write it."""
    return Request(f"{__name__}:{name}", f"{__name__}:Toy", spec, inputs or {}, out, seed)


class Shorten(Spec):
    """How many documents are left of each list."""

    depth: int
    upside_down: bool = False


def shorten(spec: Shorten, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """A stage that may stand in a pipeline: it cuts the lists of a run."""
    run = read_run(inputs["run"] / RUN_FILE, escaped=True)
    write_run(out / RUN_FILE, {query_id: hits[: spec.depth] for query_id, hits in run.items()})
    return Usage(units=len(run), notes={"queries": len(run)})


STAGE = Stage(
    run=shorten,
    spec=Shorten,
    version=1,
    takes=Takes(("run",), ("spare",)),
    heavy=False,
    rate=50.0,
    unit="queries",
    speed=SpeedRule(kind=("upside_down",), size=("depth",)),
)
