"""No-ops: equal contents under different keys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from harness.experiments.noops import _Seen, weights_digest


def test_what_is_the_same_artifact_is_no_twin() -> None:
    seen = _Seen()
    assert seen.ask("key", "content", "first") == ""
    assert seen.ask("key", "content", "shares it") == ""
    assert seen.ask("other", "content", "made again") == "first"
    assert seen.ask("other", "else", "different") == ""


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
