"""`harness export`: what is written loads as it was measured, says what was measured, and names no place of a machine.

The models are tiny and the outcome is invented; plan, keys and store are real.
"""

# ruff: noqa: F811 (a fixture of another module is a parameter here)
from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pocket
import pytest
import yaml
from trials import TEXTS, Trial, card_of, device, kept, refused, trial  # noqa: F401

from harness.cli.export import export
from harness.errors import ConfigError
from harness.files import PART
from harness.manifests import MANIFEST
from harness.models.language_models import load_generator
from harness.models.loaders import EMBEDDED, EMBEDDED_PREFIX, load_bi_encoder, load_cross_encoder
from harness.planning.plan import build_plan
from harness.report.render.card import UPSTREAM
from harness.stages.shared.common import encode
from harness.stages.shared.prompts import question_turn
from harness.store import FolderStore
from harness.suite import builtin
from harness.suite.files import load_suite
from harness.suite.pipeline import Pipeline
from harness.values.effects import RecipeClaim
from harness.values.exported import FORMS


def test_what_is_written(trial: Trial) -> None:
    names = export("whole", trial.root / "out", trial.store, str(trial.file))
    assert names == ("README.md", "generator-adapter", "pipeline.yaml", "reranker", "retriever")
    assert sorted(path.name for path in (trial.root / "out").iterdir()) == sorted(names)
    assert not list((trial.root / "out").rglob(MANIFEST))
    assert not [path for path in (trial.root / "out").rglob("*") if path.is_symlink()]


def test_only_what_is_tuned_is_written(trial: Trial) -> None:
    out = trial.export("lists")
    assert {path.name for path in out.iterdir()} == {"README.md", "pipeline.yaml", "retriever"}
    pipeline = yaml.safe_load((out / "pipeline.yaml").read_text(encoding="utf-8"))
    assert pipeline["adapter"] is None
    assert pipeline["pipeline"]["generator"]["model"] == "writer"
    assert pipeline["pipeline"]["reranker"] is None
    front, text = card_of(out)
    assert front["library_name"] == "sentence-transformers"
    assert front["pipeline_tag"] == "sentence-similarity"
    assert "CrossEncoder" not in text
    assert "PeftModel" not in text


def test_models_are_the_same_as_before(trial: Trial) -> None:
    out = trial.export()
    before, after = (load_bi_encoder(place, 64) for place in (trial.tuned["retriever"], out / "retriever"))
    other = load_bi_encoder(trial.base["retriever"], 64)
    assert (encode(before, TEXTS, "query") == encode(after, TEXTS, "query")).all()
    assert not (encode(other, TEXTS, "query") == encode(after, TEXTS, "query")).all()
    pairs = [(TEXTS[0], text) for text in TEXTS]
    judges = [load_cross_encoder(place, 64) for place in (trial.tuned["reranker"], out / "reranker")]
    assert (judges[0].predict(pairs) == judges[1].predict(pairs)).all()
    for name in ("model.safetensors", "tokenizer.json"):
        assert (out / "retriever" / name).read_bytes() == (trial.tuned["retriever"] / name).read_bytes()


def test_the_snippets_of_the_card_run_and_do_what_was_measured(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    out = trial.export()
    shutil.copytree(trial.base["generator"], out / "writer")
    monkeypatch.chdir(out)
    snippets = re.findall(r"```python\n(.*?)```", card_of(out)[1], re.DOTALL)
    assert len(snippets) == 3
    found: dict[str, Any] = {}
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), found)
    ours = load_bi_encoder(trial.tuned["retriever"], 200, query_prompt="what is: ")
    assert (found["questions"] == encode(ours, ["a question"], "query")).all()
    assert (found["passages"] == encode(ours, ["a passage", "another passage"], "document")).all()
    assert found["retriever"].max_seq_length == ours.max_seq_length == 64
    judge = load_cross_encoder(trial.tuned["reranker"], 40)
    assert (found["relevance"] == judge.predict([("a question", "a passage"), ("a question", "another passage")])).all()
    assert found["reranker"].max_seq_length == 40
    writer, _ = load_generator(trial.base["generator"], trial.tuned["generator"])
    plain, tokenizer = load_generator(trial.base["generator"])
    with torch.inference_mode():
        logits = [model(found["asked"]["input_ids"]).logits for model in (writer, found["generator"], plain)]
    assert torch.equal(logits[0], logits[1])
    assert not torch.allclose(logits[0], logits[2])
    user = tokenizer.apply_chat_template(found["chat"][1:], tokenize=False)
    assert question_turn("a question", ["a passage", "another passage"]) in user
    assert isinstance(found["answer"], str)


def test_the_pipeline_is_one_that_a_suite_can_have(trial: Trial) -> None:
    out = trial.export()
    value = yaml.safe_load((out / "pipeline.yaml").read_text(encoding="utf-8"))
    pipeline = Pipeline.model_validate(value["pipeline"])
    given = trial.suite.pipeline
    assert (out / pipeline.retriever.model).samefile(out / "retriever")
    assert pipeline.reranker is not None
    assert (out / pipeline.reranker.model).samefile(out / "reranker")
    assert pipeline.reranker.max_length == 40
    assert (out / value["adapter"]).samefile(out / "generator-adapter")
    assert pipeline.retriever == given.retriever.model_copy(update={"model": "./retriever", "max_length": 64})
    assert given.generator is not None
    assert pipeline.generator == given.generator.model_copy(update={"model": "writer"})
    assert (pipeline.depth, pipeline.rerank_depth, pipeline.context) == (30, 20, 2)
    assert value["prompt"]["system"] == given.generator.instruction
    assert value["prompt"]["stop"] == []
    card = (out / "README.md").read_text(encoding="utf-8")
    assert 'for text in prompt["stop"]:' in card
    assert 'split("\\n")' not in card
    filled = value["prompt"]["user"].format(passages="[1] one\n\n[2] two", question="why?")
    assert filled == question_turn("why?", ["one", "two"])


def test_no_place_of_this_machine_is_written(trial: Trial) -> None:
    """Not even those that libraries put into what they save."""
    assert str(trial.root) in (trial.tuned["generator"] / "adapter_config.json").read_text(encoding="utf-8")
    out = trial.export()
    for path in out.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for place in (trial.root, pocket.FOLDER, builtin.CHECKOUT, Path.home()):
                assert str(place).encode() not in content, f"{path.relative_to(out)} names {place}"
    settings = json.loads((out / "generator-adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] == "writer"


def test_the_card_says_what_was_measured(trial: Trial) -> None:
    outcome = trial.tell(times_scored=4)
    front, text = card_of(trial.export())
    assert front["tags"][0] == "rag"
    assert {"lora", "cross-encoder", "sentence-transformers"} <= set(front["tags"])
    assert "license" not in front
    assert "base_model" not in front
    (row,) = [row for row in outcome.comparisons if row.system == "whole"]
    assert row.difference is not None
    assert f"| ndcg@10 | +{row.difference:.3f} | [" in text
    assert "0.031" in text
    assert "| improved |" in text
    mean = next(one.mean for one in outcome.summaries if (one.system, one.measure) == ("whole", "ndcg@10"))
    assert re.search(rf"\| ndcg@10 \| 0\.\d+ \| {mean:.3f} \| 17 \|", text)
    assert "lists" not in re.findall(r"\| ndcg@10.*", text)[0]
    for wanted in (
        "The scores are of one checkpoint, trained with seed 3",
        "The test split has been scored 4 times",
        outcome.dataset.digest, outcome.provenance["git"]["commit"] + " with changes", "1 min 01 s", "steps: 28",
        next(info.identity for info in outcome.systems if info.name == "whole"), "torch | 2.13.0", "17.9 and 22.7 ms",
        "(the data: Apache-2.0)", "rank: 4", "pairs: judged", "A processor, 2 cores",
    ):  # fmt: skip
        assert wanted in text, wanted


def test_only_the_steps_behind_the_models_are_told(trial: Trial) -> None:
    text = card_of(trial.export("lists"))[1]
    steps = re.findall(r"^\| ([^|]*) \| 9\.0 s \|", text, re.MULTILINE)
    key = trial.plan.system("lists (seed 3)").models["retriever"]
    assert steps == [trial.plan.calls[one].label for one in trial.plan.upstream([key])]
    assert "mine (judged pairs)" in steps
    assert not [step for step in steps if step.startswith(("answer", "rerank", "tune reranker"))]


@pytest.mark.parametrize(
    ("name", "sections"), [("whole", ["mine", "label", "instruct"]), ("lists", ["mine"])]
)  # fmt: skip
def test_only_the_data_that_the_models_were_trained_on_is_told(name: str, sections: list[str], trial: Trial) -> None:
    """Settings of what was not used would say of the model what is not so."""
    told = re.search(r"^data:\n(.*?)```", card_of(trial.export(name))[1], re.MULTILINE | re.DOTALL)
    assert told is not None
    assert re.findall(r"^  (\w+):$", told[1], re.MULTILINE) == sections


def test_other_seeds_and_no_ops_are_told(trial: Trial) -> None:
    outcome = trial.tell()
    bounds = {"difference": 0.02, "low": -0.01, "high": 0.05}
    claim = RecipeClaim(system="whole", measure="ndcg@10", seeds=(1, 2, 3), verdict="inconclusive", **bounds)
    systems = tuple(
        info.model_copy(update={"same_run_as": "untuned"}) if info.name == "whole" else info for info in outcome.systems
    )
    trial.tell(recipe_claims=(claim,), systems=systems, split="dev")
    text = card_of(trial.export())[1]
    assert "Over 3 seeds of the recipe, ndcg@10: +0.020 [-0.010, +0.050], inconclusive." in text
    assert "Its rankings are identical to those of untuned." in text
    assert "Scored on the split dev" in text


def test_a_suite_without_gates_gained_nothing_that_was_tested(trial: Trial) -> None:
    trial.tell(comparisons=())
    assert "No gain was tested" in card_of(trial.export())[1]


def test_models_on_a_hub_are_named_in_the_front_matter() -> None:
    """The names on the hub of what comes in packages are kept by hand."""
    assert set(UPSTREAM) == {EMBEDDED_PREFIX + name for name in EMBEDDED}


# what is refused


def test_a_folder_with_something_in_it_is_left_alone(trial: Trial, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(ConfigError, match="is not empty; choose a new folder"):
            export("whole", place, trial.store, str(trial.file))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(trial: Trial) -> None:
    (trial.root / "out").mkdir()
    assert (trial.export() / "README.md").is_file()


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt("no more")])
def test_an_export_that_ends_early_leaves_nothing(
    error: BaseException, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> str:
        raise error

    before = sorted(trial.root.iterdir())
    monkeypatch.setattr("harness.cli.export.render_card", stopped)
    with pytest.raises(type(error), match="no "):
        trial.export()
    assert sorted(trial.root.iterdir()) == before


def test_a_killed_export_leaves_no_folder_of_its_name(trial: Trial) -> None:
    """A process that is killed cannot tidy up: what it wrote lies aside, under a name that nobody asked for."""
    code = (
        "import os, sys; from pathlib import Path; import harness.cli.export as verb\n"
        "verb.render_card = lambda card: os._exit(9)\n"
        "verb.export('whole', Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])"
    )
    arguments = [str(trial.root / "out"), str(trial.store), str(trial.file)]
    ended = subprocess.run([sys.executable, "-c", code, *arguments], check=False)
    left = [path for path in trial.root.iterdir() if path.name.endswith(PART)]
    assert (ended.returncode, [path.name[0] for path in left]) == (9, ["."])
    shutil.rmtree(left[0])
    assert not (trial.root / "out").exists()


def test_the_current_folder_is_not_replaced(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    (trial.root / "out").mkdir()
    monkeypatch.chdir(trial.root / "out")
    with pytest.raises(ConfigError, match=r"is the current folder or a mount point, .*; name a new folder in it"):
        trial.export()
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wohle", "suite trial: no candidate 'wohle' in the latest outcome; did you mean 'whole'?"),
        ("untuned", "suite trial: 'untuned' is a baseline row: nothing in it is tuned; name a candidate"),
    ],
)
def test_what_is_no_candidate(name: str, said: str, trial: Trial) -> None:
    assert refused(trial, name) == said


def test_a_candidate_that_failed(trial: Trial) -> None:
    outcome = trial.tell()
    broken = [info.model_copy(update={"failed": "tune reranker: killed"}) for info in outcome.systems]
    trial.tell(systems=tuple(broken))
    said = "suite trial: whole (seed 3) failed: tune reranker: killed; fix that and run the suite again"
    assert refused(trial) == said


def test_models_that_are_gone(kept: Trial, trial: Trial) -> None:
    key = trial.plan.system("whole (seed 3)").models["reranker"]
    place = FolderStore(trial.store / "store").get(key)
    assert place is not None
    shutil.rmtree(place)
    try:
        said = "the tuned reranker of whole (seed 3) is not in the store; run the suite again"
        assert refused(trial) == said
        assert trial.export("lists").is_dir()
    finally:
        kept.keep()


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("rank: 4", "rank: 8", False),
        ("depth: 30", "depth: 31", False),
        ("  whole:", "  hole:", False),
        ("margin: 0.02", "margin: 0.03", True),
        ("seeds:\n- 3", "seeds:\n- 4", True),
    ],
)
def test_a_suite_that_changed_since_is_refused_if_the_candidate_did(
    before: str, after: str, same: bool, trial: Trial
) -> None:
    text = trial.file.read_text(encoding="utf-8")
    assert before in text
    other = trial.root / "other.yaml"
    other.write_text(text.replace(before, after), encoding="utf-8")
    if same:
        assert trial.export(suite=str(other)).is_dir()
    else:
        said = refused(trial, suite=str(other))
        assert said.startswith("suite trial: whole (seed 3) has changed since it was measured")
        assert said.endswith("; run the suite again")


def test_the_page_about_export_tells_what_is_written(trial: Trial) -> None:
    page = (Path(__file__).parent.parent / "docs" / "export.md").read_text(encoding="utf-8")
    out = trial.export()
    told = set(re.findall(r"^\| `([\w.-]+)/?` \|", page, re.MULTILINE))
    # A reranker is written as one or the other; see test_causal_pipeline.
    told -= {"reranker-adapter", *FORMS}
    assert {name for name in told if not name.startswith("--")} == {path.name for path in out.iterdir()}
    headings = re.findall(r"^## (.*)$", card_of(out)[1], re.MULTILINE)
    for heading in headings:
        assert heading in page, heading


def test_a_pipeline_that_was_exported_can_start_a_suite(trial: Trial) -> None:
    """Put beside the exported models, the section is read and found."""
    out = trial.export("lists")
    section = yaml.safe_load((out / "pipeline.yaml").read_text(encoding="utf-8"))["pipeline"]
    section["retriever"]["model"] = str(out / section["retriever"]["model"])
    section["generator"]["model"] = str(trial.base["generator"])
    text = pocket.suite_text({"pipeline": section, "data": {"pairs": "judged"}})
    (trial.root / "next.yaml").write_text(text, encoding="utf-8")
    suite, _ = load_suite(trial.root / "next.yaml")
    assert build_plan(suite, pocket.dataset()).systems
