"""What is read out of a model folder's files: prompts under any name, tensors, caches that notice an edit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import folders
import pocket
import pytest
import smallsuite
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.experiments.noops import _Digests
from harness.models import hub
from harness.models.encoder_prompts import DOCUMENT_NAMES, QUERY_NAMES, configured_prompts, wanted_prompts
from harness.models.inspection import inspect
from harness.models.loaders import model_digest
from harness.models.tensors import read_header, weights_digest
from harness.planning import requirements
from harness.remarks import models as told
from harness.values.findings import LedgerRow

SEPARATORS = st.sampled_from(["_", "-", ".", " "])
TEXTS = st.sampled_from(["", "query: ", "search_query: ", "Represent this sentence: "])


@given(st.sampled_from(QUERY_NAMES), st.sampled_from(DOCUMENT_NAMES), SEPARATORS, TEXTS, TEXTS, st.booleans())
def test_prompts_are_found_under_every_usual_name(
    query: str, document: str, separator: str, one: str, other: str, upper: bool
) -> None:
    names = [
        name.replace("_", separator).upper() if upper else name.replace("_", separator) for name in (query, document)
    ]
    found = configured_prompts({"prompts": {names[0]: one, names[1]: other, "clustering": "cluster: "}})
    assert found.prompts == (one, other)
    assert found.others == ("clustering",)


@pytest.mark.parametrize(
    ("config", "prompts"),
    [
        ({}, ("", "")),
        ({"prompts": None, "default_prompt_name": None}, ("", "")),
        ({"prompts": {"query": "q: ", "document": ""}, "default_prompt_name": "query"}, ("q: ", "")),
        ({"prompts": {"query": "q: "}, "default_prompt_name": "query"}, ("q: ", "")),
        ({"prompts": {"passage": "p: "}, "default_prompt_name": "passage"}, ("", "p: ")),
        ({"prompts": {"retrieval": "r: "}, "default_prompt_name": "retrieval"}, ("r: ", "r: ")),
        ({"prompts": {"query": None, "search_query": "s: "}}, ("", "")),
        ({"prompts": {"s2s_query": "s: ", "s2p_query": "p: "}}, ("p: ", "")),
    ],
)
def test_prompts_of_a_configuration(config: dict[str, Any], prompts: tuple[str, str]) -> None:
    assert configured_prompts(config).prompts == prompts


@pytest.mark.parametrize("given_prompts", [["query: "], {"query": 3}, "query: "])
def test_prompts_that_are_no_texts_are_refused(given_prompts: Any, tmp_path: Path) -> None:
    folder = folders.st(lambda config: {**config, "prompts": given_prompts})(tmp_path / "model")
    (problem,) = inspect(folder, "bi-encoder").problems
    assert "'prompts' is not a mapping of names to texts" in str(problem)


@pytest.mark.parametrize(
    ("card", "name", "asks"),
    [
        ('Each input text should start with "query: " or "passage: ".', "model", True),
        ("Use `search_query: ` for questions.", "model", True),
        ("> Represent this sentence for searching relevant passages:", "model", True),
        ("task = 'Instruct: find passages'", "model", True),
        ("", "intfloat/multilingual-e5-small", True),
        ("", "BAAI/bge-base-en-v1.5", True),
        ("It maps sentences to vectors. query the index.", "all-MiniLM-L6-v2", False),
        ("", "bge-m3", False),
        ("", "type5-model", False),
    ],
)
def test_a_model_that_wants_prompts_says_so_in_its_card_or_name(card: str, name: str, asks: bool) -> None:
    assert bool(wanted_prompts(card, name)) is asks


# tensors


@settings(max_examples=20)
@given(st.lists(st.floats(-100, 100, width=16), min_size=1, max_size=20))
def test_weights_are_equal_however_wide_they_are_stored(tmp_path_factory: pytest.TempPathFactory, values: Any) -> None:
    import torch
    from safetensors.torch import save_file

    root = tmp_path_factory.mktemp("weights")
    digests = {}
    for kind in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        for name, source in (("own", kind), ("bf16", torch.bfloat16), ("f16", torch.float16)):
            stored = torch.tensor(values).to(source).to(kind)
            place = root / f"{kind}-{name}"
            place.mkdir()
            save_file({"a": stored, "step": torch.tensor([3])}, place / "model.safetensors")
            digests[kind, name] = weights_digest(place)
    f64, f32, f16, bf16 = torch.float64, torch.float32, torch.float16, torch.bfloat16
    assert digests[bf16, "own"] == digests[f32, "bf16"] == digests[f64, "bf16"]
    assert digests[f16, "own"] == digests[f32, "f16"]
    if any(torch.tensor(values).to(bf16).to(f32) != torch.tensor(values)):
        assert digests[bf16, "own"] != digests[f16, "own"]


def test_two_modules_with_tensors_of_one_name_are_both_looked_at(tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    digests = set()
    for number, (one, other) in enumerate([(1.0, 2.0), (3.0, 2.0), (1.0, 4.0)]):
        for name, value in (("2_Dense", one), ("3_Dense", other)):
            (tmp_path / str(number) / name).mkdir(parents=True)
            tensors = {"linear.weight": np.full(3, value, dtype=np.float32)}
            save_file(tensors, tmp_path / str(number) / name / "model.safetensors")
        digests.add(weights_digest(tmp_path / str(number)))
    assert len(digests) == 3


@given(st.binary(max_size=60))
def test_a_file_that_is_no_safetensors_is_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bad") / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_header(path)
    (problem,) = caught.value.problems
    assert problem.where == str(path)
    assert problem.hint


def test_a_no_op_check_that_fails_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"nothing of the kind")
    digests = _Digests()
    assert digests.of(tmp_path, "the retriever of judged") is None
    (note,) = digests.notes
    assert note.startswith("Whether the retriever of judged equals another model was not checked: ")


# caches


def test_an_edit_of_a_folder_is_noticed(tmp_path: Path) -> None:
    folder = folders.bert(tmp_path / "model")
    before, seen = model_digest(str(folder)), inspect(folder, "bi-encoder")
    assert (model_digest(str(folder)), inspect(folder, "bi-encoder")) == (before, seen)
    folders.edited(folder, "config_sentence_transformers.json", lambda one: {**one, "similarity_fn_name": "dot"})
    assert model_digest(str(folder)) != before
    assert inspect(folder, "bi-encoder").similarity == "dot"
    weights = folder / "model.safetensors"
    content, changed = weights.read_bytes(), model_digest(str(folder))
    # As many bytes as before, and written at once.
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert model_digest(str(folder)) != changed


def test_a_snapshot_of_a_hub_is_asked_for_once_while_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    from harness.models import loaders

    asked = []

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.append(name)
        place = tmp_path / f"snapshot-{len(asked)}"
        place.mkdir()
        (place / "model.safetensors").write_bytes(b"weights")
        return str(place)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(hub, "_FETCHED", {})
    first = loaders.locate("someone/something")
    assert loaders.locate("someone/something") == first
    (first / "model.safetensors").unlink()
    assert loaders.locate("someone/something") != first
    assert len(asked) == 2


# what is told


def row(stage: str, **notes: Any) -> LedgerRow:
    return LedgerRow(
        key="k", stage=stage, label=stage, seconds=1.0, device="cpu", peak_memory_mb=1.0, reused=False, notes=notes
    )


@pytest.mark.parametrize(("cut", "count"), [(24, 1), (5, 1), (4, 0), (0, 0)])
def test_cut_passages_are_told_above_a_fifth_once_for_all_systems(cut: int, count: int) -> None:
    notes = {"passages": 20 if cut < 24 else 24, "cut at max_length": cut, "tokens read of a passage": 512}
    found = told.cut([row("index", **notes), row("index", **notes), row("index")])
    assert len(found) == count
    if cut == 24:
        assert found[0].startswith("24 of 24 passages are longer than the 512 tokens that a retriever reads, and are ")


def test_cut_pairs_are_told() -> None:
    (found,) = told.cut([row("rerank", **{"pairs scored": 10, "pairs cut at 64 tokens": 9, "queries": 2})])
    assert found.startswith("9 of 10 pairs of query and passage are longer than the 64 tokens that a reranker reads,")


def test_what_is_asked_for_and_not_taken_is_told(tmp_path: Path) -> None:
    folder = folders.bert(tmp_path / "e5-small")
    rule = {"model": str(folder), "max_length": 1024}
    suite = pocket.suite(smallsuite.changes(folder, {"pipeline.retriever": rule}))
    requirements.check(suite)
    assert told.before(suite) == [
        "pipeline.retriever.model: models of this name are used with 'query: / passage: ', and no prompts are used; "
        "set pipeline.retriever.query_prompt and document_prompt.",
        "pipeline.retriever.max_length: 1,024 tokens are set, but the model takes at most 64.",
    ]
    assert told.settings(suite) == {"retriever": "reads 64 tokens of a text, ranks by cosine, no prompts"}
    stored = {"max_length": 48, "dimensions": 16, "precision": "int8", "dtype": "int8"}
    words = told.settings(pocket.suite(smallsuite.changes(folder, {"pipeline.retriever": {**rule, **stored}})))
    assert words["retriever"].endswith(
        "vectors are cut after 16 dimensions, vectors are stored in int8 and 4 for each result are scored again, "
        "linear layers run in int8"
    )
    given_prompts = {**rule, "max_length": 48, "query_prompt": "query: ", "document_prompt": "passage: "}
    suite = pocket.suite(smallsuite.changes(folder, {"pipeline.retriever": given_prompts}))
    assert told.before(suite) == []
    assert "'query: ' before every query, 'passage: ' before every document" in told.settings(suite)["retriever"]


def test_the_configured_prompts_and_the_similarity_are_told(tmp_path: Path) -> None:
    change = {"prompts": {"search_query": "what is ", "passage": "it is "}, "similarity_fn_name": "dot"}
    folder = folders.stored_as(folders.st(lambda config: {**config, **change})(tmp_path / "model"), "bfloat16")
    (said,) = told.settings(pocket.suite(smallsuite.changes(folder))).values()
    assert said == (
        "reads 48 tokens of a text, ranks by dot product, 'what is ' before every query, "
        "'it is ' before every document, weights stored in bfloat16, used in float32"
    )
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"


@pytest.mark.parametrize(("value", "kind"), [(float("nan"), "float32"), (float("inf"), "bfloat16"), (1.0, "float16")])
def test_weights_of_a_training_that_diverged_are_refused_before_any_work(
    value: float, kind: str, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = folders.bert(tmp_path / "model")
    (file,) = folder.rglob("model.safetensors")
    weights = {name: tensor.to(getattr(torch, kind)) for name, tensor in load_file(file).items()}
    broken = sorted(weights)[-1]
    weights[broken].view(-1)[-1] = value
    save_file(weights, file, metadata={"format": "pt"})
    inspection = inspect(folder, "bi-encoder", deep=True)
    what = (
        f"{folder}: its weights hold NaN or infinite values ({broken}); give weights from before the training diverged"
    )
    assert [str(problem) for problem in inspection.problems] == ([] if value == 1.0 else [what])
