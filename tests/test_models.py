"""Models are found by name, digested by content, and one that is missing is answered with what to do."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path

import pytest

from harness.errors import ModelMissing
from harness.models.loaders import EMBEDDED, locate, model_digest


def packages_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every package be found in this folder."""

    def find_spec(module: str) -> importlib.machinery.ModuleSpec:
        return importlib.machinery.ModuleSpec(module, None, origin=str(folder / module / "__init__.py"))

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def save_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("about")
    return folder


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_missing_embedded_model_comes_with_its_command(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    message = f"the embedded model 'embedded:{name}' is not installed; run: harness setup"
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: None)
    with pytest.raises(ModelMissing) as caught:
        locate(f"embedded:{name}")
    assert str(caught.value) == message
    assert caught.value.exit_code == 2
    packages_in(tmp_path, monkeypatch)
    with pytest.raises(ModelMissing) as caught:
        locate(f"embedded:{name}")
    assert str(caught.value) == message


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_model_is_found_in_its_package(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / EMBEDDED[name].module / EMBEDDED[name].path
    path.parent.mkdir()
    path.write_bytes(b"")
    packages_in(tmp_path, monkeypatch)
    assert locate(f"embedded:{name}") == path


def test_an_unknown_embedded_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(ModelMissing) as caught:
        locate("embedded:all-minilm-l6")
    assert str(caught.value) == "no embedded model 'embedded:all-minilm-l6'; did you mean 'all-minilm-l6-v2'?"


def _refusals() -> dict[str, Exception]:
    """What a hub answers, by what is said of it."""
    import httpx
    from huggingface_hub import errors

    response = httpx.Response(403, request=httpx.Request("GET", "https://hub.example/api"))
    return {
        "no such folder, and the hub cannot be reached; download it": errors.LocalEntryNotFoundError("offline"),
        "its owner grants access to it on the hub; ask for it": errors.GatedRepoError("gated", response=response),
        "the hub does not show it; correct the name": errors.RepositoryNotFoundError("none", response=response),
        "no such folder, and no name that a hub can have; name a folder": errors.HFValidationError("a/b/c"),
        "the hub failed (HfHubHTTPError); try again": errors.HfHubHTTPError("500", response=response),
    }


@pytest.mark.parametrize("said", _refusals())
def test_a_model_that_no_hub_gives(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def refuse(name: str, allow_patterns: list[str]) -> str:
        assert not [pattern for pattern in allow_patterns if pattern.endswith((".bin", ".pt", ".py", "*"))]
        raise _refusals()[said]

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(ModelMissing) as caught:
        locate("someone/something")
    assert str(caught.value).startswith(f"no model 'someone/something': {said}")
    assert "embedded:all-minilm-l6-v2, embedded:smollm2-135m-instruct" in str(caught.value)


@pytest.mark.parametrize("name", ["./missing", "../missing", "/missing", "~/missing"])
def test_a_path_is_no_name_on_a_hub(name: str) -> None:
    with pytest.raises(ModelMissing) as caught:
        locate(name)
    assert str(caught.value) == f"{name}: no such folder; name the folder of a model"


def test_a_folder_is_a_model_if_it_holds_safetensors(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model")
    assert locate(str(folder)) == folder
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelMissing, match=r"model: no model: no \*\.safetensors below it"):
        locate(str(folder))


def test_the_digest_of_a_model_is_that_of_its_content(tmp_path: Path) -> None:
    one, two, three, four = (save_model(tmp_path / name) for name in ("one", "two", "three", "four"))
    (two / "README.md").write_text("other words")
    (three / "model.safetensors").write_bytes(b"other weights")
    (four / "config.json").rename(four / "config2.json")
    assert model_digest(str(one)) == model_digest(str(two))
    assert len({model_digest(str(folder)) for folder in (one, three, four)}) == 3
