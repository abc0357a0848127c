"""Choose a checkpoint on dev: the weights with the best score so far are kept in memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from harness.values.records import DEV_EVALUATION_SECONDS


def evaluation_steps(steps: int, times: int) -> list[int]:
    """Return the steps (from 1) after which dev is evaluated: `times` of them, evenly spread, the last included."""
    times = min(times, steps)
    return [round(steps * number / times) for number in range(1, times + 1)]


class DevEvaluation(NamedTuple):
    """How a training is scored on dev: higher is better. With `from_start` the untrained weights are a checkpoint."""

    measure: Callable[[], float]
    from_start: bool = False


class Checkpoints:
    """Evaluates on dev at some steps of a training, and keeps the trainable weights with the best score.

    `measure` returns the score on dev, higher is better. Without it, or with `times` of 1, the last weights are used.
    Of equal scores the earlier one wins. Training stops early after `patience` evaluations without a gain. With
    `from_start`, `start` evaluates the untrained weights as step 0.
    """

    def __init__(
        self, module: Any, steps: int, times: int, measure: Callable[[], float] | None, patience: int | None = None,
        from_start: bool = False,
    ) -> None:  # fmt: skip
        self.module, self.measure, self.patience, self.from_start = module, measure, patience, from_start
        self._at = set(evaluation_steps(steps, times)) if measure is not None and times > 1 and steps > 1 else set()
        self.scores: dict[int, float] = {}
        self.seconds = 0.0
        self._best: dict[str, Any] = {}
        self.best_step: int | None = None

    @classmethod
    def of(
        cls, module: Any, steps: int, times: int, dev: DevEvaluation | None, patience: int | None = None
    ) -> Checkpoints:
        """Return the checkpoints of a training that `dev` scores."""
        return cls(module, steps, times, dev.measure if dev else None, patience, dev is not None and dev.from_start)

    def start(self) -> None:
        """Evaluate the untrained weights, if they are a checkpoint."""
        if self.from_start and self._at:
            self._evaluate(0)

    def after(self, step: int) -> bool:
        """Evaluate on dev if it is due after this step; return whether training should stop."""
        if step not in self._at:
            return False
        self._evaluate(step)
        worse = sum(number > (self.best_step or 0) for number in self.scores)
        return self.patience is not None and worse >= self.patience

    def _evaluate(self, step: int) -> None:
        assert self.measure is not None
        training = self.module.training
        self.module.eval()
        began = time.perf_counter()
        self.scores[step] = self.measure()
        self.seconds += time.perf_counter() - began
        self.module.train(training)
        if self.best_step is None or self.scores[step] > self.scores[self.best_step]:
            self.best_step = step
            self._best = {name: value.detach().cpu().clone() for name, value in self._trainable()}

    def restore(self) -> None:
        """Put the best weights back into the module."""
        import torch

        if self.best_step is not None:
            with torch.no_grad():
                for name, value in self._trainable():
                    value.copy_(self._best[name])
        self.module.eval()

    def notes(self) -> dict[str, Any]:
        """Return the notes for the ledger: every dev evaluation, the checkpoint chosen, and seconds spent on dev."""
        if not self.scores:
            return {"checkpoint": "the last: dev was not evaluated"}
        evaluations = ", ".join(f"step {step} {score:.4f}" for step, score in self.scores.items())
        taken = f"step {self.best_step}" if self.best_step else "step 0: training gained nothing on dev"
        return {"ndcg@10 on dev": evaluations, "checkpoint": taken, DEV_EVALUATION_SECONDS: round(self.seconds, 1)}

    def _trainable(self) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in self.module.named_parameters() if value.requires_grad]
