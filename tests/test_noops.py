"""No-ops: equal contents under different keys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pocket
import pytest
import tiny
from safetensors.numpy import save_file

from harness.execution.executors import Cost, Request
from harness.execution.scheduler import carry_out
from harness.experiments.noops import NoOps, _Contents, no_ops, weights_digest
from harness.planning.plan import build_plan
from harness.store import FolderStore
from harness.values.records import Progress


def test_what_is_the_same_artifact_is_no_twin() -> None:
    seen = _Contents()
    assert seen.first_label("key", "content", "first") == ""
    assert seen.first_label("key", "content", "shares it") == ""
    assert seen.first_label("other", "content", "made again") == "first"
    assert seen.first_label("other", "else", "different") == ""


def weights(folder: Path, name: str = "model.safetensors", prefix: str = "", extra: float = 0.0) -> Path:
    folder.mkdir(parents=True)
    tensors = {f"{prefix}a": np.arange(4, dtype=np.float32) + extra, f"{prefix}b": np.ones((2, 2), dtype=np.float32)}
    save_file(tensors, folder / name, metadata={"format": "pt", "folder": folder.name})
    return folder


def test_weights_are_told_by_their_tensors_and_not_by_their_files(tmp_path: Path) -> None:
    plain = weights_digest(weights(tmp_path / "one"))
    assert weights_digest(weights(tmp_path / "two", "other.safetensors")) == plain
    assert weights_digest(weights(tmp_path / "three", prefix="model.")) == plain
    assert weights_digest(weights(tmp_path / "four", extra=1e-6)) != plain
    nested = tmp_path / "five"
    weights(nested / "inner")
    assert weights_digest(nested) == plain


# ---- the systems of a plan


class Trainer(pocket.Pretender):
    """Pretends, but writes weights: those of the start in float32 for seed 1, others for the other seeds."""

    def __init__(self, start: Path, broken: bool = False) -> None:
        super().__init__()
        self.start, self.broken = start, broken

    def run(self, request: Request, progress: Progress) -> Cost:
        cost = super().run(request, progress)
        if request.stage == "tune_retriever":
            import torch
            from safetensors.torch import load_file
            from safetensors.torch import save_file as save

            tensors = load_file(self.start / "model.safetensors")
            tuned = {name: tensor.float() + (0.0 if request.seed == 1 else 0.5) for name, tensor in tensors.items()}
            if request.seed == 4:
                tuned = {name: torch.zeros_like(tensor) for name, tensor in tuned.items()}
            path = request.out / "model.safetensors"
            if self.broken:
                path.write_bytes(b"no weights")
            else:
                save(tuned, path)
        return cost


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A retriever whose weights are saved in bfloat16."""
    from safetensors.torch import load_file
    from safetensors.torch import save_file as save

    folder = tiny.bi_encoder(tmp_path_factory.mktemp("start") / "bi", ["kiln", "lime"])
    (path,) = folder.rglob("model.safetensors")
    save({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})
    return path.parent


def looked(root: Path, start: Path, seeds: list[int], broken: bool = False) -> NoOps:
    changes = {
        "pipeline.generator": None,
        "pipeline.retriever": {"model": str(start)},
        "candidates": {"judged": {"tune": ["retriever"], "pairs": "judged"}},
        "baseline_rows": ["bm25", "untuned"],
        "measures": ["ndcg@10"],
        "seeds": seeds,
    }
    plan, store = build_plan(pocket.suite(changes), pocket.dataset()), FolderStore(root)
    plan.artifacts.publish(store)
    done = carry_out(plan, store, Trainer(start, broken))
    assert not done.failed
    return no_ops(plan, done, store)


def test_weights_that_training_left_alone_are_those_of_the_start_in_any_type(tmp_path: Path, start: Path) -> None:
    found = looked(tmp_path, start, [1, 2, 3, 4])
    assert found.notes == ()
    weights = {label: same.weights for label, same in found.duplicates.items() if same.weights}
    assert weights == {
        "judged (seed 1)": "the untuned retriever",
        "judged (seed 3)": "the retriever of judged (seed 2)",
    }


def test_equal_runs_of_different_calls_are_duplicates_of_the_first(tmp_path: Path, start: Path) -> None:
    found = looked(tmp_path, start, [1, 2])
    # The pretended runs hold what was asked for, and not which model was used.
    assert {label: same.lists for label, same in found.duplicates.items()} == {
        "bm25": "", "untuned": "", "judged (seed 1)": "", "judged (seed 2)": "judged (seed 1)",
    }  # fmt: skip
    assert not any(same.answers for same in found.duplicates.values())


def test_weights_that_cannot_be_read_are_a_note(tmp_path: Path, start: Path) -> None:
    found = looked(tmp_path, start, [1, 2], broken=True)
    assert len(found.notes) == 2
    assert all("the retriever of judged" in note and "not checked" in note for note in found.notes)
    assert not any(same.weights for same in found.duplicates.values())
