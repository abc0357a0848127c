"""What a machine lacks is said before any work, all of it at once; what is not used is not asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pocket
import pytest
import tiny

from harness import provenance
from harness.errors import ConfigError, HarnessError, ModelMissing, Problem
from harness.models.inspection import Inspection
from harness.planning import requirements
from harness.suite import uses
from harness.suite.recipes import PARTS

MODULES = ("Transformer", "Pooling")
GENERATOR = {"candidates": {"answers": {"tune": ["generator"]}}}


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU, every model there, every cross-encoder trained, bitsandbytes installed."""
    monkeypatch.setenv(provenance.DEVICE_VARIABLE, "auto")
    monkeypatch.setattr(provenance, "_cuda_device", lambda: "cpu")
    monkeypatch.setattr("harness.models.loaders.locate", Path)
    monkeypatch.setattr(requirements, "inspect", inspected())
    monkeypatch.setattr(requirements, "_installed", lambda package: True)


def inspected(*headless: str) -> Callable[..., Inspection]:
    """An inspection that finds nothing wrong, and a trained head everywhere but in these folders."""

    def inspect(folder: Path, role: Any, deep: bool = False, headless_ok: bool = False) -> Inspection:
        return Inspection(folder, role, "bert", MODULES, ("mean",), trained_head=str(folder) not in headless)

    return inspect


def lose(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Make these models impossible to find; the list tells which were looked for."""
    asked: list[str] = []

    def locate(name: str) -> Path:
        asked.append(name)
        if name in names:
            raise ModelMissing(Problem("", f"no model {name!r}", "give a folder"))
        return Path(name)

    monkeypatch.setattr("harness.models.loaders.locate", locate)
    return asked


def problems(changes: dict[str, Any], kind: type[HarnessError] = ConfigError) -> list[str]:
    """What is said about the toy suite with these changes."""
    with pytest.raises(HarnessError) as caught:
        requirements.check(pocket.suite(changes))
    assert type(caught.value) is kind
    assert caught.value.exit_code == 2
    said = [str(problem) for problem in caught.value.problems]
    lines = [int(re.match(r"suite\.yaml:([0-9]+): ", one)[1]) for one in said]  # type: ignore[index]
    assert lines == sorted(lines)
    return [re.sub(r"^suite\.yaml:[0-9]+: ", "", one) for one in said]


def named(changes: dict[str, Any]) -> dict[str, list[str]]:
    return uses.models_named(pocket.suite(changes))


def test_a_suite_that_can_be_run_is_let_pass() -> None:
    requirements.check(pocket.suite({"factorial": list(PARTS)}))


def test_everything_that_is_missing_comes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lose(monkeypatch, "org/encoder", "org/teacher")
    monkeypatch.setattr(requirements, "_installed", lambda package: False)
    monkeypatch.setattr(requirements, "inspect", inspected("org/headless"))
    changes = {
        "device": "cuda",
        "pipeline": {"retriever": {"model": "org/encoder"}, "reranker": {"model": "org/headless"}},
        "recipes": {"generator": {"recipe": "qlora"}, "retriever": {"teacher_model": "org/teacher"}},
        "candidates": {
            "paged": {"tune": ["generator"], "generator": {"optimizer": "paged_adamw_8bit"}},
            "taught": {"tune": ["retriever"], "retriever": {"recipe": "distill", "teacher": "cross-encoder"}},
        },
    }
    assert problems(changes) == [
        "pipeline.retriever.model: no model 'org/encoder'; give a folder",
        "pipeline.reranker.model: 'org/headless' has no trained head, so it may be tuned but not used untuned; "
        "name a trained cross-encoder, or take it as recipes.reranker.model and tune it",
        "candidates.paged.generator.optimizer: 'paged_adamw_8bit' needs a CUDA device, and none is used; "
        "use optimizer: auto",
        "device: 'cuda' is asked for and no CUDA device is found; use device: auto",
        "recipes.generator.recipe: needs the package bitsandbytes, which is not installed; "
        "run: pip install bitsandbytes",
        "recipes.retriever.teacher_model: no model 'org/teacher'; give a folder",
    ]


def test_vectors_that_a_model_cannot_give_are_refused_once_for_each_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def inspect(folder: Path, role: Any, deep: bool = False, headless_ok: bool = False) -> Inspection:
        return Inspection(folder, role, "bert", MODULES, ("mean",), dimensions=64, trained_head=True)

    monkeypatch.setattr(requirements, "inspect", inspect)
    changes = {
        "pipeline.retriever": {"model": "org/encoder", "dimensions": 65},
        "recipes": {"retriever": {"matryoshka": [32, 128]}},
        "candidates": {
            "short": {"tune": ["retriever"], "pipeline": {"retriever": {"dimensions": 64}}},
            "long": {"pipeline": {"retriever": {"dimensions": 96, "precision": "binary"}}},
            "quick": {"pipeline": {"retriever": {"precision": "int8"}}},
        },
    }
    assert problems(changes) == [
        "pipeline.retriever.dimensions: 65 is more than the 64 dimensions of 'org/encoder'; "
        "ask for fewer, or leave it out",
        "candidates.long.pipeline.retriever.dimensions: 96 is more than the 64 dimensions of 'org/encoder'; "
        "ask for fewer, or leave it out",
        "recipes.retriever.matryoshka: 128 is more than the 64 dimensions of the retriever; leave it out",
    ]


def test_int8_layers_are_refused_where_a_gpu_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    changes: dict[str, Any] = {
        "candidates": {
            "light": {"pipeline": {"retriever": {"dtype": "int8"}}},
            "stored": {"pipeline": {"retriever": {"precision": "int8"}}},
        }
    }
    requirements.check(pocket.suite(changes))
    monkeypatch.setattr(provenance, "_cuda_device", lambda: "H200")
    assert problems(changes) == [
        "candidates.light.pipeline.retriever.dtype: int8 layers run on a CPU only, and a CUDA device is used; "
        "leave it out, or use device: cpu"
    ]
    requirements.check(pocket.suite({**changes, "device": "cpu"}))


def test_static_embeddings_have_no_layers_to_run_in_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "inspect", lambda folder, role, **rule: Inspection(
        folder, role, modules=("StaticEmbedding",), trained_head=True
    ))  # fmt: skip
    assert problems({"pipeline.retriever": {"dtype": "int8"}}) == [
        "pipeline.retriever.dtype: is not possible with static embeddings, which have no layers; leave it out"
    ]


def test_missing_models_alone_are_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    lose(monkeypatch, "embedded:smollm2-135m-instruct")
    assert problems({}, ModelMissing) == [
        "pipeline.generator.model, llm.synthesizer.model: no model 'embedded:smollm2-135m-instruct'; give a folder"
    ]


def test_a_name_on_a_hub_without_a_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    changes = {"pipeline": {"retriever": {"model": "nobody/nothing-here"}, "generator": None}, "measures": ["ndcg@10"]}
    (said,) = problems({**changes, "data": {"pairs": "judged"}}, ModelMissing)
    assert said.startswith("pipeline.retriever.model: no model 'nobody/nothing-here'")
    assert "the hub cannot be reached" in said
    assert "embedded:all-minilm-l6-v2" in said
    assert "\n" not in said


def test_a_folder_without_weights_is_told_with_its_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    changes = {"pipeline.retriever": {"model": str(tmp_path)}, "pipeline.generator": None, "measures": ["ndcg@10"]}
    (said,) = problems({**changes, "data": {"pairs": "judged"}}, ModelMissing)
    assert said.startswith(f"pipeline.retriever.model: {tmp_path}: no model: no *.safetensors below it; ")


# models that are used, and by whom


START = {"model": "embedded:all-minilm-l6-v2"}
LABELLED = {"tune": ["reranker"], "reranker": START, "label": {"by": "cross-encoder", "model": "x"}}
CROSSED: dict[str, Any] = {"factorial": ["reranker"], "recipes": {"reranker": START}}
LABELER = {"llm": {"labeler": {"model": "embedded:x"}}}
BASE = {"embedded:all-minilm-l6-v2", "embedded:smollm2-135m-instruct"}


@pytest.mark.parametrize(
    ("changes", "model", "keys"),
    [
        ({"pipeline.reranker": {"model": "x"}}, "x", ["pipeline.reranker.model"]),
        ({"recipes": {"reranker": {"model": "x"}}}, "x", None),
        (
            {"recipes": {"reranker": {"model": "x"}}, "factorial": ["reranker"]}, "x", ["recipes.reranker.model"],
        ),
        (
            {"candidates": {"a": {"tune": ["reranker"], "reranker": {"model": "x"}}}}, "x",
            ["candidates.a.reranker.model"],
        ),
        (
            {
                "recipes": {"reranker": {"model": "x"}}, "factorial": ["reranker"],
                "pipeline.reranker": {"model": "y"},
            },
            "x", None,
        ),
        (LABELER, "embedded:x", None),
        ({**LABELER, "data": {"label": {"by": "llm"}}}, "embedded:x", None),
        (
            {**LABELER, "data": {"label": {"by": "llm"}}, **CROSSED}, "embedded:x",
            ["llm.labeler.model"],
        ),
        (
            {**LABELER, "recipes": {"retriever": {"recipe": "distill", "teacher": "llm"}}}, "embedded:x",
            ["llm.labeler.model"],
        ),
        ({**LABELER, "data": {"mine": {"relabel": {"by": "llm"}}}}, "embedded:x", ["llm.labeler.model"]),
        (
            {"data": {"mine": {"relabel": {"by": "cross-encoder", "model": "x"}}}}, "x", ["data.mine.relabel.model"],
        ),
        (
            {"data": {"label": {"by": "cross-encoder", "model": "x"}}, **CROSSED}, "x",
            ["data.label.model"],
        ),
        ({"data": {"label": {"by": "cross-encoder", "model": "x"}}}, "x", None),
        (
            {"candidates": {"a": LABELLED}}, "x",
            ["candidates.a.label.model"],
        ),
        ({"llm": {"synthesizer": {"model": "embedded:x"}}}, "embedded:x", ["llm.synthesizer.model"]),
        ({"llm": {"synthesizer": {"model": "embedded:x"}}, "data": {"pairs": "judged"}}, "embedded:x", None),
        (
            {"llm": {"synthesizer": {"model": "embedded:x"}}, "data": {"pairs": "both"}}, "embedded:x",
            ["llm.synthesizer.model"],
        ),
        ({"llm": {"synthesizer": {"model": "embedded:x"}}, "candidates": {}}, "embedded:x", None),
        ({"llm": {"synthesizer": {"model": "embedded:x"}}, **GENERATOR}, "embedded:x", None),
        (
            {"llm": {"synthesizer": {"model": "embedded:x"}}, **GENERATOR, "data": {"instruct": {"answers": "llm"}}},
            "embedded:x", ["llm.synthesizer.model"],
        ),
        ({"llm": {"synthesizer": {"model": "x"}}}, "x", None),  # behind an endpoint
        ({"llm": {"generator": {"model": "x"}}, "pipeline.generator": {"model": "llm:generator"}}, "x", None),
        (
            {"llm": {"generator": {"model": "embedded:x"}}, "pipeline.generator": {"model": "llm:generator"}},
            "embedded:x", ["pipeline.generator.model"],
        ),
        ({"pipeline.generator": {"model": "x"}}, "x", ["pipeline.generator.model"]),
        ({"pipeline.generator": {"model": "x"}, "measures": ["ndcg@10"]}, "x", None),
        (
            {"pipeline.generator": {"model": "x"}, "measures": ["ndcg@10"], **GENERATOR}, "x",
            ["pipeline.generator.model"],
        ),
    ],
)  # fmt: skip
def test_a_model_is_asked_for_if_it_is_used(
    changes: dict[str, Any], model: str, keys: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert named(changes).get(model) == keys
    asked = lose(monkeypatch, model)
    if keys is None:
        requirements.check(pocket.suite(changes))
        assert model not in asked
    else:
        assert problems(changes, ModelMissing) == [f"{', '.join(keys)}: no model {model!r}; give a folder"]


def test_what_all_candidates_share_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lose(monkeypatch)
    requirements.check(pocket.suite({"factorial": list(PARTS)}))
    assert sorted(asked) == sorted(BASE)


# trained heads


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"pipeline.reranker": {"model": "x"}}, "pipeline.reranker.model"),
        ({"data": {"mine": {"relabel": {"by": "cross-encoder", "model": "x"}}}}, "data.mine.relabel.model"),
        (
            {
                "candidates": {
                    "a": {"tune": ["reranker"], "reranker": START, "label": {"by": "cross-encoder", "model": "x"}}
                }
            },
            "candidates.a.label.model",
        ),
        (
            {"recipes": {"retriever": {"recipe": "distill", "teacher": "cross-encoder", "teacher_model": "x"}}},
            "recipes.retriever.teacher_model",
        ),
        ({"factorial": ["reranker"], "recipes": {"reranker": {"model": "x"}}}, None),
    ],
)
def test_a_cross_encoder_without_a_head_may_be_tuned_and_not_used(
    changes: dict[str, Any], key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "inspect", inspected("x"))
    if key is None:
        requirements.check(pocket.suite(changes))
    else:
        (said,) = problems(changes)
        assert said.startswith(f"{key}: 'x' has no trained head, so it may be tuned but not used untuned; ")


def test_heads_are_looked_for_in_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    encoder, judge = tiny.bi_encoder(tmp_path / "a", ["b"]), tiny.cross_encoder(tmp_path / "c", ["d"])
    base = {"data": {"pairs": "judged"}, "measures": ["ndcg@10"], "pipeline.generator": None}
    base["pipeline.retriever"] = {"model": str(encoder)}
    requirements.check(pocket.suite({**base, "pipeline.reranker": {"model": str(judge)}}))
    (said,) = problems({**base, "pipeline.reranker": {"model": str(encoder)}})
    assert said.startswith(f"pipeline.reranker.model: {str(encoder)!r} has no trained head")


# devices and packages


def with_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_cuda_device", lambda: "NVIDIA H100")


PAGED = {**GENERATOR, "recipes": {"generator": {"optimizer": "paged_adamw_8bit"}}}


def test_a_gpu_lets_pass_what_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch)
    requirements.check(pocket.suite({**PAGED, "device": "cuda"}))
    requirements.check(pocket.suite(PAGED))


def test_a_gpu_that_the_suite_leaves_out_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch)
    assert len(problems({**PAGED, "device": "cpu"})) == 1


def test_a_recipe_that_nobody_uses_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "_installed", lambda package: False)
    recipe = {"recipe": "qlora", "optimizer": "paged_adamw_8bit"}
    requirements.check(pocket.suite({"recipes": {"generator": recipe}}))
    assert len(problems({**GENERATOR, "recipes": {"generator": recipe}})) == 2


def test_qlora_runs_on_a_cpu_where_its_package_is() -> None:
    requirements.check(pocket.suite({**GENERATOR, "recipes": {"generator": {"recipe": "qlora"}}}))


def test_what_several_candidates_share_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "_installed", lambda package: False)
    changes = {"factorial": list(PARTS), "recipes": {"generator": {"recipe": "qlora"}}}
    assert len(problems(changes)) == 1


@pytest.mark.parametrize("device", ["cpu", "auto", "cuda"])
def test_the_device_of_one_suite_is_not_that_of_the_next(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpu(monkeypatch)
    for one in ("cpu", device):
        requirements.apply_device(pocket.suite({"device": one}))
    assert os.environ[provenance.DEVICE_VARIABLE] == device
    assert provenance.device_class() == ("cpu" if device == "cpu" else "NVIDIA H100")


# settings that do not go together, which a suite file is refused for


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"pipeline.depth": 20, "pipeline.rerank_depth": 30},
            ["pipeline.rerank_depth: more than pipeline.depth 20; raise the depth"],
        ),
        ({"pipeline.depth": 20}, []),
        (
            {"pipeline.generator": None, "measures": ["ndcg@10"], **GENERATOR},
            ["candidates.answers.tune: there is no generator to tune; add pipeline.generator"],
        ),
        (
            {"pipeline.generator": None, "measures": ["ndcg@10"], "factorial": ["retriever", "generator"]},
            ["factorial: there is no generator to tune; add pipeline.generator"],
        ),
        (
            {"factorial": ["retriever", "reranker"], "candidates": {"retriever-reranker": {"tune": ["reranker"]}}},
            ["candidates.retriever-reranker: 'factorial' makes a candidate 'retriever-reranker' too; rename this one"],
        ),
        (
            {"candidates": {"a": {"tune": ["retriever"], "reranker": {"epochs": 2}}}},
            [
                "candidates.a.reranker: changes a recipe that is not used: this candidate does not tune the "
                "reranker; add it to 'tune', or remove this"
            ],
        ),
        (
            {
                "candidates": {"a": {"tune": ["retriever"], "retriever": {"teacher": "cross-encoder"}}},
                "recipes": {"retriever": {"recipe": "distill"}},
            },
            ["candidates.a.retriever: 'teacher: cross-encoder' needs 'teacher_model'"],
        ),
        (
            {"candidates": {"a": {"tune": ["reranker"], "label": {"by": "cross-encoder"}}}},
            ["candidates.a.label: 'by: cross-encoder' needs 'model'"],
        ),
        (
            {"candidates": {"a": {"tune": ["generator"], "instruct": {"without_oracle": 1.0}}}},
            [
                "candidates.a.instruct: 'without_oracle' and 'unanswerable' must add up to less than 1, "
                "or no example is answered"
            ],
        ),
        (
            {"candidates": {"a": {"tune": ["retriever"], "retriever": {"recipe": "triplet"}, "mine": {"hard": 0}}}},
            ["candidates.a: recipe triplet needs negatives, and none are mined; set mine.hard or mine.random"],
        ),
        (
            {"data.mine": {"hard": 0}, "recipes": {"retriever": {"recipe": "triplet"}}, "factorial": ["retriever"],
             "candidates": {}},
            ["factorial: recipe triplet needs negatives, and none are mined; set mine.hard or mine.random"],
        ),
        ({"data.mine": {"hard": 0}, "candidates": {"a": {"tune": ["retriever"]}}}, []),
    ],
)  # fmt: skip
def test_settings_of_candidates_that_do_not_go_together(changes: dict[str, Any], said: list[str]) -> None:
    if not said:
        pocket.suite(changes)
        return
    with pytest.raises(ConfigError) as caught:
        pocket.suite(changes)
    assert [str(problem).split(": ", 1)[1] for problem in caught.value.problems] == said
