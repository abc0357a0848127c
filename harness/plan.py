"""The graph of stage calls of all systems, each distinct call once.

Building a plan computes keys and nothing else: no model is loaded, nothing is written. It decides what to call; where
results live is the store's business, how calls are run the executors'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness import provenance
from harness.datasets import Dataset
from harness.digests import digest_of
from harness.errors import ConfigError, Problem
from harness.graph import Plan, PlannedCall, Serving, SystemPlan, Work
from harness.models import locate, model_digest
from harness.parts import Parts, sample_queries
from harness.recipes import Mine
from harness.records import StageCall
from harness.spec import Candidate, Retriever, Suite
from harness.stages import STAGES, load_stage


def build_plan(suite: Suite, dataset: Dataset) -> Plan:
    """Plan every reference row and every candidate with every seed.

    Raises ModelMissing if a model cannot be found.
    """
    planner = _Planner(suite, dataset)
    systems = planner.reference_rows()
    for name, candidate in suite.candidates.items():
        systems += [planner.candidate(name, candidate, seed) for seed in suite.seeds]
    plan = Plan(suite, planner.parts, planner.sample, planner.calls, systems)
    for system in systems:
        for key in plan.upstream(system.goals):
            plan.calls[key].systems.append(system.label)
    plan.calls = {key: planned for key, planned in plan.calls.items() if planned.systems}
    return plan


class _Planner:
    """Adds calls to the graph; each method returns the key of the call that makes what it is named after."""

    def __init__(self, suite: Suite, dataset: Dataset) -> None:
        self.suite = suite
        self.dataset = dataset
        self.split = suite.evaluate.split
        asked = suite.pipeline.generator is not None and any(not measure.is_rank for measure in suite.measures)
        count = suite.evaluate.generation_queries if asked else 0
        self.sample = sample_queries(dataset.splits[self.split], count)
        self.parts = Parts(dataset, self.split, self.sample)
        self.calls: dict[str, PlannedCall] = {}
        self.untuned = suite.pipeline.retriever
        self.depth = min(suite.pipeline.depth, len(dataset.documents))

    def _call(
        self, stage: str, label: str, spec: Mapping[str, Any], inputs: Mapping[str, str | None], work: Work,
        seed: int = 0, models: Sequence[str] = (),
    ) -> str:  # fmt: skip
        """Add a call, checked against the stage's spec class, unless the same one is there already."""
        entry = STAGES[stage]
        resolved = load_stage(stage)[1].model_validate(spec).model_dump(mode="json")
        call = StageCall(
            stage=stage,
            version=entry.version,
            spec=resolved,
            inputs={name: key for name, key in inputs.items() if key is not None},
            seed=seed,
            device=provenance.device_class() if entry.heavy else "any",
            models={name: model_digest(name) for name in models},
            packages={name: provenance.package_version(name) for name in entry.packages},
        )
        key = digest_of(asdict(call))
        if key not in self.calls:
            self.calls[key] = PlannedCall(key, call, label, work)
        return key

    def unpacked(self, model: str) -> str | None:
        """The plain form of a model that comes as one packed file; None for a folder, which needs no unpacking."""
        if locate(model).is_dir():
            return None
        return self._call("unpack", f"unpack {model}", {"model": model}, {}, Work(1), models=[model])

    def _models(self, *retrievers: Retriever) -> list[str]:
        return sorted({retriever.model for retriever in retrievers})

    def bm25_index(self) -> str:
        size = len(self.dataset.documents)
        inputs = {"corpus": self.parts.keys["corpus"]}
        return self._call("index", "index for bm25", {"kind": "bm25"}, inputs, Work(size))

    def dense_index(self, model: str | None = None, label: str = "untuned") -> str:
        spec = {"kind": "dense", "retriever": self.untuned.model_dump()}
        inputs = {"corpus": self.parts.keys["corpus"], "model": model}
        work = Work(len(self.dataset.documents))
        return self._call("index", f"index with {label}", spec, inputs, work, models=self._models(self.untuned))

    def retrieved(self, index: str, split: str, kind: str, model: str | None = None, label: str = "") -> str:
        queries = self.parts.keys[f"{split}.queries"]
        spec: dict[str, Any] = {"kind": kind, "depth": self.depth}
        models: list[str] = []
        if kind == "dense":
            spec["retriever"] = self.untuned.model_dump()
            models = self._models(self.untuned)
        work = Work(len(self.dataset.splits[split].queries))
        inputs = {"index": index, "queries": queries, "model": model}
        return self._call("retrieve", f"retrieve {split} with {label}", spec, inputs, work, models=models)

    def fused(self, runs: Sequence[str], split: str) -> str:
        spec = {"depth": self.depth, "k": self.suite.pipeline.fuse_k}
        inputs = {f"run{number}": key for number, key in enumerate(runs)}
        work = Work(len(self.dataset.splits[split].queries))
        return self._call("fuse", f"fuse bm25 and untuned on {split}", spec, inputs, work)

    def answered(self, source: str, label: str, run: str | None = None, few_shot: bool = False) -> str | None:
        generator = self.suite.pipeline.generator
        if generator is None or not self.sample:
            return None
        keys = self.parts.keys
        inputs = {"queries": keys["sample"], "corpus": keys["corpus"], "model": self.unpacked(generator.model)}
        if source == "run":
            inputs["run"] = run
        if source == "relevant":
            inputs |= {"qrels": keys[f"{self.split}.qrels"], "references": keys[f"{self.split}.references"]}
        if few_shot:
            inputs |= {f"train_{part}": keys[f"train.{part}"] for part in ("queries", "qrels", "references")}
        spec = {
            "generator": generator.model_dump(exclude={"few_shot"}),
            "context": self.suite.pipeline.context,
            "source": source,
            "few_shot": generator.few_shot if few_shot else 0,
        }
        passages = 0 if source == "none" else self.suite.pipeline.context
        tokens = 80 + passages * generator.passage_tokens + generator.max_new_tokens // 2
        work = Work(len(self.sample), len(self.sample), tokens * len(self.sample))
        return self._call("answer", f"answer as {label}", spec, inputs, work, models=[generator.model])

    def pairs(self) -> str:
        """Synthetic pairs that passed the filters."""
        rule, model = self.suite.data.synthesize, self.suite.llm.synthesizer.model
        keys, seed = self.parts.keys, self.suite.data.data_seed
        kept = {"round_trip", "test_documents", "leakage"}
        inputs = {"corpus": keys["corpus"], "model": self.unpacked(model)}
        if not rule.test_documents:
            inputs["barred"] = keys[f"{self.split}.qrels"]
        documents = min(rule.max_documents or len(self.dataset.documents), len(self.dataset.documents))
        count = documents * rule.queries_per_document
        work = Work(count, count, count * (250 + rule.passage_tokens + rule.max_new_tokens // 2))
        spec = {"model": model, **rule.model_dump(exclude=kept)}
        written = self._call("synthesize", "synthesize", spec, inputs, work, seed, [model])
        spec = {"leakage": rule.leakage, "round_trip": rule.round_trip, "retriever": self.untuned}
        inputs = {"pairs": written, "corpus": keys["corpus"], "bm25": self.bm25_index(), "dense": self.dense_index()}
        for split in ("dev", "test"):
            inputs[f"heldout_{split}"] = keys.get(f"{split}.queries")
        return self._call("sift", "sift", spec, inputs, Work(count), models=self._models(self.untuned))

    def triplets(self, rule: Mine, which: str) -> tuple[str, int]:
        """Triplets, and a guess at how many they are."""
        keys = self.parts.keys
        inputs: dict[str, str | None] = {"dense": self.dense_index()}
        guess = 0
        if which != "judged":
            pairs = self.pairs()
            inputs["pairs"] = pairs
            guess += self.calls[pairs].work.units * 2 // 3
        if which != "synthetic":
            if "train" not in self.dataset.splits or not self.dataset.splits["train"].judged:
                what = f"pairs: {which} needs judged queries in split 'train', and there are none"
                raise ConfigError(Problem(self.dataset.name, what, "use pairs: synthetic, or judge some"))
            inputs |= {"train_queries": keys["train.queries"], "train_qrels": keys["train.qrels"]}
            guess += sum(map(len, self.dataset.splits["train"].qrels.values()))
        spec = {**rule.model_dump(), "pairs": which, "retriever": self.untuned.model_dump()}
        models = self._models(self.untuned)
        key = self._call("mine", f"mine ({which} pairs)", spec, inputs, Work(guess), self.suite.data.data_seed, models)
        return key, guess

    def tuned(self, name: str, candidate: Candidate, seed: int) -> str:
        recipe = candidate.recipe(self.suite.recipes)
        data = self.suite.data
        triplets, guess = self.triplets(candidate.mine or data.mine, candidate.pairs or data.pairs)
        spec = {"retriever": self.untuned.model_dump(), "recipe": recipe.model_dump()}
        inputs = {"triplets": triplets, "corpus": self.parts.keys["corpus"]}
        work, models = Work(guess * recipe.epochs), self._models(self.untuned)
        return self._call("tune_retriever", f"tune {name}, seed {seed}", spec, inputs, work, seed, models)

    def reference_rows(self) -> list[SystemPlan]:
        dev = self._dev()
        bm25, dense = self.bm25_index(), self.dense_index()
        lists = {
            "bm25": self.retrieved(bm25, self.split, "bm25", label="bm25"),
            "untuned": self.retrieved(dense, self.split, "dense", label="untuned"),
        }
        lists["hybrid"] = self.fused([lists["bm25"], lists["untuned"]], self.split)
        lists["few-shot"] = lists["untuned"]
        dev_runs = {"untuned": self.retrieved(dense, dev, "dense", label="untuned")} if dev else {}
        parts = {
            "bm25": Serving(bm25=bm25, prompt="run"),
            "untuned": Serving(dense=dense, prompt="run"),
            "hybrid": Serving(bm25=bm25, dense=dense, prompt="run"),
            "few-shot": Serving(dense=dense, prompt="few-shot"),
            "closed-book": Serving(prompt="none"),
            "oracle-context": Serving(prompt="relevant"),
        }
        rows = []
        for name in self.suite.reference_rows:
            run = lists.get(name)
            source = {"closed-book": "none", "oracle-context": "relevant"}.get(name, "run")
            if name == "few-shot" and not self._has_examples():
                continue
            answers = self.answered(source, name, run, few_shot=name == "few-shot")
            scores_run = name != "few-shot"
            if answers or (run and scores_run):
                rows.append(
                    SystemPlan(name, 0, "reference", (), run, answers, dev_runs.get(name), parts[name], scores_run)
                )
        return rows

    def _has_examples(self) -> bool:
        """Whether the train split has an answered question with a relevant passage to show."""
        train = self.dataset.splits.get("train")
        return train is not None and any(
            key in train.references and train.references[key].answers for key in train.judged
        )

    def _dev(self) -> str | None:
        """The split that choices are made on, if it is another than the one scored."""
        dev = self.dataset.splits.get("dev")
        return "dev" if dev is not None and dev.judged and self.split != "dev" else None

    def candidate(self, name: str, candidate: Candidate, seed: int) -> SystemPlan:
        model = self.tuned(name, candidate, seed)
        label = f"{name}, seed {seed}"
        index = self.dense_index(model, label)
        run = self.retrieved(index, self.split, "dense", model, label)
        dev = self._dev()
        dev_run = self.retrieved(index, dev, "dense", model, label) if dev else None
        answers = self.answered("run", label, run)
        serving = Serving(dense=index, model=model, prompt="run")
        return SystemPlan(name, seed, "candidate", candidate.tune, run, answers, dev_run, serving)
