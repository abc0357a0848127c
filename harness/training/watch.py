"""What all trainers share: their result, the arguments that keep them silent, and the callback that reports steps."""

from __future__ import annotations

from typing import Any, NamedTuple

from harness.models.loaders import torch_device
from harness.training.checkpoints import Checkpoints
from harness.values.records import Progress


class TrainingResult(NamedTuple):
    """The loss of every step, notes for the ledger, and how many units (lists, pairs) were trained on in all epochs."""

    losses: list[float]
    notes: dict[str, Any]
    units: int = 0


def quiet_arguments(seed: int) -> dict[str, Any]:
    """Return arguments that keep a trainer silent, reproducible and off the disk; bf16 autocast on CUDA."""
    cuda = torch_device() == "cuda"
    return {
        "seed": seed, "data_seed": seed, "logging_steps": 1, "logging_first_step": True, "save_strategy": "no",
        "report_to": "none", "disable_tqdm": True, "dataloader_pin_memory": cuda, "bf16": cuda, "use_cpu": not cuda,
    }  # fmt: skip


def watch(trainer: Any, progress: Progress, checkpoints: Checkpoints | None = None) -> list[float]:
    """Make a trainer report to `progress` and evaluate on dev; return the list that losses are appended to."""
    from transformers import PrinterCallback, TrainerCallback

    losses: list[float] = []

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            progress(state.global_step, state.max_steps)
            if checkpoints is not None and checkpoints.after(state.global_step):
                control.should_training_stop = True

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            losses.extend([logs["loss"]] if logs and "loss" in logs else [])

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Watch())
    return losses


def loss_notes(losses: list[float]) -> dict[str, Any]:
    """Return the number of steps, and the mean loss of the first and the last third."""
    third = max(len(losses) // 3, 1)
    return {
        "steps": len(losses),
        "mean loss, first third": round(sum(losses[:third]) / third, 4),
        "mean loss, last third": round(sum(losses[-third:]) / third, 4),
    }


def warmup_steps(steps: int, share: float) -> int:
    """Return the steps of warm-up, rounded down: the first has learning rate 0, which few steps cannot afford.

    transformers rounds a share up, so that a training of one step would change nothing.
    """
    return int(share * steps)
