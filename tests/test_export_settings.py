"""`harness export` of systems with other settings: what is written is a pipeline that ranks as the measured one."""

# ruff: noqa: F811 (a fixture of another module is a parameter here)
from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pocket
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from trials import Trial, card_of, device, trial  # noqa: F401

from harness.cli.export import export
from harness.cli.export_pipeline import exported_pipeline
from harness.errors import ConfigError
from harness.models.generation import tokenize, truncate
from harness.planning.graph import Plan, SystemPlan
from harness.planning.plan import build_plan
from harness.planning.rankings import reranker_encoder
from harness.stages.answer import AnswerSpec, conversations
from harness.stages.shared import common
from harness.store import FolderStore
from harness.suite.files import parse_suite
from harness.suite.pipeline import Pipeline
from harness.suite.recipes import Part
from harness.suite.spec import Suite

LATE: dict[str, Any] = {"kind": "late-interaction"}
CANDIDATES: dict[str, Any] = {
    "mixed": {"pipeline": {"retriever": {"bm25_weight": "dev"}, "context": 3}},
    "fixed": {"pipeline": {"retriever": {"bm25_weight": 0.25}}},
    "late": {"pipeline": {"reranker": LATE}},
    "late-alone": {"pipeline": {"reranker": {**LATE, "blend": False, "precision": None}}},
    "late-first": {"pipeline": {"retriever": {"kind": "late-interaction", "bm25_weight": "dev"}}},
    "late-tuned": {"tune": ["reranker"], "pipeline": {"reranker": LATE}},
    "late-on-tuned": {"tune": ["retriever"], "pipeline": {"reranker": {**LATE, "max_length": 30}}},
    "words": {"pipeline": {"generator": {"instruction": "Say it."}, "context_order": "best-last"}},
    "shown": {"pipeline": {"generator": {"shots": 2, "passage_tokens": 6}, "context_order": "best-last"}},
}
LENGTHS = ("model", "max_length")
"""The length of a tuned encoder is written as the limit of the model, which is lower here."""
TRAINED = ("late-tuned", "late-on-tuned")


class Settings(Trial):
    """The trial with candidates of settings; a late-interaction reranker is tuned from an encoder."""

    def model_of(self, system: SystemPlan, part: Part) -> Path:
        return self.tuned["retriever" if part == "reranker" else part]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(tmp_path_factory.mktemp("trial"), {"candidates": CANDIDATES})


def section_of(out: Path) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((out / "pipeline.yaml").read_text(encoding="utf-8"))["pipeline"]
    return value


def found(section: dict[str, Any], out: Path, trial: Settings) -> dict[str, Any]:
    """The section with models at their places on this machine."""
    for part in ("retriever", "reranker", "generator"):
        model = (section[part] or {}).get("model")
        if model is not None:
            named = {base.name: base for base in trial.base.values()}
            section[part]["model"] = str(out / model if model.startswith("./") else named[model])
    return section


def system_named(plan: Plan, name: str) -> SystemPlan:
    return next(system for system in plan.systems if system.name == name)


def path_of(plan: Plan, system: SystemPlan) -> list[tuple[str, Any]]:
    """The calls that rank, without names of models and with weights as numbers."""
    steps = []
    for key in system.serving.path:
        call = plan.calls[key].call
        spec = {name: value for name, value in call.spec.items() if name not in LENGTHS}
        if spec.get("retriever"):
            spec["retriever"] = {name: value for name, value in spec["retriever"].items() if name not in LENGTHS}
        if call.stage == "blend" and "weight" in call.inputs:
            spec["weight"] = 0.3
        steps.append((call.stage, spec))
    return steps


@pytest.mark.parametrize("name", CANDIDATES)
def test_the_exported_section_ranks_by_the_same_calls(name: str, trial: Settings) -> None:
    out = trial.export(name)
    section = found(section_of(out), out, trial)
    Pipeline.model_validate(section)
    text = pocket.suite_text({"pipeline": section, "data": {"pairs": "judged"}, "candidates": {}})
    again = build_plan(parse_suite(text, trial.root / "again.yaml"), pocket.dataset())
    measured = system_named(trial.plan, name)
    steps, own = path_of(again, again.system("untuned")), path_of(trial.plan, measured)
    assert steps == own
    assert section_of(out)["context"] == measured.settings.context


def test_weights_are_numbers_and_say_where_they_come_from(trial: Settings) -> None:
    out = trial.export("mixed")
    assert section_of(out)["retriever"]["bm25_weight"] == 0.3
    assert "retriever.bm25_weight: the weight 0.3 was chosen on dev." in (out / "pipeline.yaml").read_text("utf-8")
    shutil.rmtree(out)
    assert section_of(trial.export("late"))["reranker"]["blend"] == 0.3
    shutil.rmtree(out)
    assert section_of(trial.export("fixed"))["retriever"]["bm25_weight"] == 0.25


def test_a_reranker_without_a_judged_dev_split_is_written_without_a_weight() -> None:
    settings = Pipeline.model_validate({"reranker": LATE})
    section = exported_pipeline(settings, {}, {}, {})
    assert section["reranker"]["blend"] is False
    assert Pipeline.model_validate(section).reranker is not None


@pytest.mark.parametrize("name", ["words", "shown"])
def test_the_exported_prompt_is_the_one_that_was_answered(name: str, trial: Settings) -> None:
    out = trial.export(name)
    text = (out / "pipeline.yaml").read_text(encoding="utf-8")
    prompt, context = yaml.safe_load(text)["prompt"], section_of(out)["context"]
    assert "the first `context` passages, the best one last, as `[1] text`" in text
    planned = system_named(trial.plan, name)
    assert planned.answers is not None
    call, store = trial.plan.calls[planned.answers].call, FolderStore(trial.store / "store")
    trial.plan.artifacts.publish(store)
    spec = AnswerSpec.model_validate(dict(call.spec))
    inputs = {key: place for key, at in call.inputs.items() if (place := store.get(at)) is not None}
    documents, queries = common.read_corpus(inputs["corpus"]), common.read_queries(inputs["queries"])
    asked = {key: sorted(documents)[: spec.context] for key in queries}
    chat, template = conversations(spec, queries, documents, asked, inputs, call.seed)
    texts = [documents[key].content for key in sorted(documents)[:context]]
    shown = truncate(template.tokenizer, texts, spec.generator.passage_tokens)
    passages = "\n\n".join(f"[{number}] {one}" for number, one in enumerate(reversed(shown), start=1))
    turns = [("system", prompt["system"])]
    for example in prompt["examples"]:
        turns += [("user", example["user"]), ("assistant", example["assistant"])]
    turns.append(("user", prompt["user"].format(passages=passages, question=next(iter(queries.values())))))
    assert len(prompt["examples"]) == (2 if name == "shown" else 0)
    assert tokenize(template.tokenizer, [template.prompt(turns)])[0] == chat.coded[0]


def test_nothing_trained_is_a_pipeline_and_a_card_and_no_model(trial: Settings) -> None:
    names = export("late", trial.root / "out", trial.store, str(trial.file))
    assert names == ("README.md", "pipeline.yaml")
    front, text = card_of(trial.root / "out")
    assert "base_model" not in front
    assert "in which nothing was trained" in text
    assert "reranker.kind=late-interaction" in text
    assert "checkpoint" not in text
    assert "Nothing was trained." in text


def test_models_of_settings_candidates_go_into_their_folders(trial: Settings) -> None:
    out = trial.export("late-tuned")
    assert {path.name for path in out.iterdir()} == {"README.md", "pipeline.yaml", "reranker"}
    section = section_of(out)
    assert section["reranker"]["model"] == "./reranker"
    # The prompts are those of the retriever's encoder, which it started from.
    assert section["reranker"]["query_prompt"] == "what is: "
    assert "multi-vector" in card_of(out)[0]["tags"]
    shutil.rmtree(out)
    section = section_of(trial.export("late-on-tuned"))
    assert (section["retriever"]["model"], section["reranker"]["model"]) == ("./retriever", None)
    assert section["reranker"]["max_length"] == 30


def test_the_snippet_for_late_interaction_scores_as_measured(trial: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    encoders = pytest.importorskip("harness.models.token_encoders")
    vectors = pytest.importorskip("harness.models.token_vectors")
    out = trial.export("late-tuned")
    monkeypatch.chdir(out)
    (snippet,) = re.findall(r"```python\n(.*?)```", card_of(out)[1], re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(snippet, "README.md", "exec"), names)
    model = encoders.load_token_encoder(trial.tuned["retriever"], 64, "what is: ")
    (question,) = encoders.encode_tokens(model, ["a question"], "query")
    passages = encoders.encode_tokens(model, ["a passage", "another passage"], "document")
    assert names["relevance"] == pytest.approx(vectors.max_sim(question, passages))


def test_a_weight_that_is_gone_is_said(trial: Settings, kept: Settings) -> None:
    (key,) = {
        key
        for key in system_named(trial.plan, "mixed").serving.artifacts
        if trial.plan.calls[key].call.stage == "weigh"
    }
    place = FolderStore(trial.store / "store").get(key)
    assert place is not None
    shutil.rmtree(place)
    try:
        with pytest.raises(ConfigError, match=r"the weight retriever.bm25_weight of mixed.* is not in the store"):
            trial.export("mixed")
    finally:
        kept.keep()


def test_every_snippet_is_python(trial: Settings) -> None:
    for name in ("late", "late-first", *TRAINED):
        out = trial.export(name)
        for snippet in re.findall(r"```python\n(.*?)```", card_of(out)[1], re.DOTALL):
            compile(snippet, name, "exec")
        shutil.rmtree(out)


RERANKERS = st.one_of(
    st.fixed_dictionaries(
        {"kind": st.just("late-interaction")},
        optional={
            "max_length": st.integers(1, 512),
            "query_prompt": st.text(max_size=5),
            "blend": st.sampled_from(["dev", False, 0.0, 0.5]),
            "precision": st.sampled_from(["float16", "int8", None]),
        },
    ),
    st.fixed_dictionaries(
        {"model": st.just("x/y")},
        optional={"max_length": st.integers(1, 512), "blend": st.sampled_from(["dev", False, 1.0])},
    ),
    st.fixed_dictionaries(
        {"kind": st.just("causal-lm"), "model": st.just("x/y")}, optional={"instruction": st.text(max_size=5)}
    ),
)


@given(RERANKERS)
def test_a_suite_with_a_reranker_is_read_as_it_was_written(reranker: dict[str, Any]) -> None:
    """An outcome holds its suite; an export without the suite file reads it from there."""
    suite = pocket.suite({"pipeline.reranker": reranker})
    again = Suite.model_validate(suite.model_dump(mode="json", by_alias=True))
    assert again == suite
    assert again.pipeline.reranker is not None
    assert suite.pipeline.reranker is not None
    assert again.pipeline.reranker.model_fields_set == suite.pipeline.reranker.model_fields_set


@given(RERANKERS)
def test_every_exported_reranker_is_one_that_a_suite_can_have(reranker: dict[str, Any]) -> None:
    settings = Pipeline.model_validate({"reranker": reranker})
    section = exported_pipeline(settings, {}, {}, {"reranker.blend": 0.4})
    written = Pipeline.model_validate(section).reranker
    assert written is not None
    assert settings.reranker is not None
    assert written.kind == settings.reranker.kind
    assert written.blend == (0.4 if settings.reranker.blend == "dev" else settings.reranker.blend)
    one, other = (reranker_encoder(rule, settings.retriever) for rule in (settings.reranker, written))
    assert one == other
