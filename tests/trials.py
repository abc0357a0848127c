"""A trial for `harness export`: a suite of tiny models, a store that holds tuned ones, and an outcome that says so."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import outcomes as invented
import pocket
import pytest
import tiny
import yaml

from harness import provenance
from harness.cli.export import export
from harness.errors import ConfigError
from harness.hashing import digest_of
from harness.planning.graph import Plan, SystemPlan
from harness.planning.plan import build_plan
from harness.stages.shared.blending import Weight
from harness.store import FolderStore
from harness.suite.files import parse_suite
from harness.suite.recipes import PARTS, Part
from harness.suite.spec import Suite
from harness.values.findings import Comparison, Outcome, Summary, SystemInfo

WORDS = ["what", "is", "the", "pane", "brine", "passages", "question", "answer", "from"]
TEXTS = ["the pane is brine", "a question from a frame"]
SEED = 3


class Trial:
    """A suite whose models are tiny, a store that holds its tuned models, and an outcome that says so."""

    def __init__(self, root: Path, changes: Mapping[str, Any] = {}) -> None:
        self.root, self.store = root, root / "kept"
        base = {
            "retriever": tiny.bi_encoder(root / "base" / "encoder", WORDS),
            "reranker": tiny.cross_encoder(root / "base" / "judge", WORDS),
            "generator": tiny.generator(root / "base" / "writer", WORDS),
        }
        text = pocket.suite_text({
            "name": "trial",
            "pipeline": {
                "retriever": {"model": str(base["retriever"]), "max_length": 200, "query_prompt": "what is: "},
                "generator": {"model": str(base["generator"]), "max_new_tokens": 4},
                "depth": 30, "rerank_depth": 20, "context": 2,
            },
            "data": {"pairs": "judged"},
            "recipes": {"reranker": {"model": str(base["reranker"]), "max_length": 40}},
            "candidates": {
                "whole": {"tune": ["retriever", "reranker", "generator"], "generator": {"rank": 4}},
                "lists": {"tune": ["retriever"]},
            },
            "seeds": [SEED],
            **changes,
        })  # fmt: skip
        self.file = root / "suite.yaml"
        self.file.write_text(text, encoding="utf-8")
        self.suite = parse_suite(text, self.file)
        self.base = base
        self.plan = build_plan(self.suite, pocket.dataset())
        self.tuned: dict[Part, Path] = {part: root / "made" / part for part in PARTS}
        tiny.bi_encoder(root / "made" / "encoder", WORDS, seed=1).rename(self.tuned["retriever"])
        tiny.cross_encoder(self.tuned["reranker"], WORDS, seed=1)
        adapter(base["generator"], self.tuned["generator"])
        self.keep()

    def keep(self) -> None:
        store = FolderStore(self.store / "store")
        for system in self.plan.systems:
            for part, key in system.models.items():
                with store.claim(key) as out:
                    shutil.copytree(self.model_of(system, part), out, dirs_exist_ok=True)
                    store.commit(key, out, {"stage": f"tune_{part}"})
            for key in system.serving.artifacts:
                if self.plan.calls[key].call.stage == "weigh" and store.get(key) is None:
                    with store.claim(key) as out:
                        Weight(0.3, {"0.3": 1.0}).write(out)
                        store.commit(key, out, {"stage": "weigh"})

    def model_of(self, system: SystemPlan, part: Part) -> Path:
        """The tuned model of a part."""
        return self.tuned[part]

    def tell(self, **changes: Any) -> Outcome:
        """Write the latest outcome."""
        outcome = outcome_of(self.suite, self.plan).model_copy(update=changes)
        folder = self.store / "outcomes" / outcome.suite / "latest"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "outcome.json").write_text(outcome.model_dump_json(), encoding="utf-8")
        return outcome

    def anew(self) -> None:
        """Write the outcome anew, and delete what was exported: the models are made once."""
        for name in ("out", "kept/outcomes"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        self.tell()

    def export(self, name: str = "whole", **options: Any) -> Path:
        out = self.root / "out"
        export(name, out, self.store, **{"suite": str(self.file), **options})
        return out


def adapter(base: Path, folder: Path) -> None:
    """A LoRA adapter that changes what its base writes, saved as peft does, with the path of the base in it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(5)
    settings = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
    model.save_pretrained(folder)


def outcome_of(suite: Suite, plan: Plan) -> Outcome:
    systems, summaries, comparisons = [], [], []
    for number, one in enumerate(plan.systems):
        systems.append(
            SystemInfo(
                name=one.name, seed=one.seed, role=one.role, tunes=one.tunes, build_seconds=61.0,
                identity=digest_of([one.run, one.answers]), serving=invented.system("untuned").serving,
            )
        )  # fmt: skip
        for measure in map(str, suite.measures):
            mean = 0.5 + number / 100
            summaries.append(Summary(system=one.name, seed=one.seed, measure=measure, mean=mean, n=17))
        if one.name != "untuned":
            comparisons.append(gain(one.name, one.seed, number / 100))
    ledger = tuple(
        invented.ledger_row(1, planned.call.stage, planned.label, 9.0, notes={"steps": 28}).model_copy(
            update={"key": key, "systems": tuple(planned.systems)}
        )
        for key, planned in plan.calls.items()
    )
    return invented.normal(
        suite=suite.name, spec=suite.model_dump(mode="json", by_alias=True), measures=tuple(map(str, suite.measures)),
        dataset=pocket.dataset().describe("test", len(plan.sample)), systems=tuple(systems), ledger=ledger,
        summaries=tuple(summaries), comparisons=tuple(comparisons), provenance=made_by(), abstentions=(),
    )  # fmt: skip


def made_by() -> dict[str, Any]:
    git = {"commit": "3f1c2d9a7b604e5188aa0d3e6a2b9c4f5d6e7081", "dirty": True}
    packages = {"torch": "2.13.0", "sentence-transformers": "6.2.0"}
    return {"harness": "0.1.0", "git": git, "machine": "A processor, 2 cores", "python": "3.11.7", "packages": packages}


def gain(name: str, seed: int, difference: float) -> Comparison:
    return Comparison(
        family="gain", system=name, seed=seed, measure="ndcg@10", difference=difference, low=difference - 0.0421,
        high=difference + 0.0432, p_value=0.0312, margin=0.02, detectable=0.0512, n_queries=17, n_groups=8,
        verdict="improved",
    )  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return Trial(tmp_path_factory.mktemp("trial"))


@pytest.fixture
def trial(kept: Trial) -> Trial:
    kept.anew()
    return kept


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite sets it for the whole process: put it back."""
    monkeypatch.setenv(provenance.DEVICE_VARIABLE, "auto")


def refused(trial: Trial, *arguments: Any, **options: Any) -> str:
    """The one sentence that is said; nothing is written."""
    with pytest.raises(ConfigError) as caught:
        trial.export(*arguments, **options)
    (problem,) = caught.value.problems
    assert not (trial.root / "out").exists()
    assert "\n" not in str(problem)
    return str(problem)


def card_of(out: Path) -> tuple[dict[str, Any], str]:
    """Front matter and text of a card."""
    _, front, text = (out / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text
