"""The probes that the systems of a plan need, and the latency of each system as the sum of its parts.

Encoders of one shape are timed once: tuning changes weights, and the time of a query does not depend on these. Two
times of the same part would differ by chance, and be read as a cost of tuning. Generators differ in what they write, so
each has its own times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import fsum
from pathlib import Path
from statistics import fmean
from typing import Any

from harness import provenance
from harness.errors import StageFailed
from harness.execution.environments import environment_now
from harness.execution.executors import Executor, Request, run
from harness.execution.probe import PROBE_VERSION, TIMES_FILE, Probe, quantile
from harness.execution.scheduler import Display
from harness.hashing import by_hash, digest_of
from harness.llm.services import Services
from harness.models.loaders import model_digest
from harness.planning.graph import Plan, SystemPlan
from harness.stages import load_stage
from harness.stages.shared import common
from harness.store import Store
from harness.suite.recipes import Part
from harness.suite.spec import SERVED
from harness.values.findings import ServingCost, Timing

RETRIEVAL = ("dense", "bm25", "fuse", "rerank")


class Latencies:
    """Runs the probes of a plan, each once, and stores their times."""

    def __init__(
        self, plan: Plan, store: Store, executor: Executor, display: Display, services: Services | None = None
    ) -> None:
        self.plan, self.store, self.executor, self.display, self.services = plan, store, executor, display, services
        self.times: dict[str, list[float]] = {}
        self.used: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, str] = {}
        self._machine = provenance.machine_class()
        self._queries = self._publish_queries()

    def _publish_queries(self) -> str:
        """Store the queries of the scored split in the order of a hash of their ids, and return their key."""
        part = self.plan.artifacts.queries
        wanted = by_hash(list(part))
        queries = {query_id: part[query_id] for query_id in wanted}
        key = digest_of(["part", "queries", list(queries.items())])
        if self.store.get(key) is None:
            with self.store.claim(key) as folder:
                common.write_queries(folder, queries)
                self.store.commit(key, folder, {"part": "probe"})
        return key

    def measure(self, system: SystemPlan) -> ServingCost | None:
        """Return the latency of a system; None for a row that is not deployable (`oracle-context`)."""
        if system.serving.prompt == "relevant":
            return None
        names = self._parts(system)
        if any(name not in self.times for name in names):
            return None
        retrieval = _sum([self.times[name] for name in names if name.split(":")[0] in RETRIEVAL])
        total = _sum([self.times[name] for name in names])
        price = self.plan.suite.prices
        hour = price.cpu_hour if provenance.device_class() == "cpu" else price.gpu_hour
        return ServingCost(
            parts=tuple(names),
            retrieval=timing("retrieval", retrieval),
            total=timing("total", total),
            dollars_per_1000=fmean(total) / 3600 * hour + self._paid_per_1000(names) if total else None,
        )

    def _paid_per_1000(self, names: Sequence[str]) -> float:
        """Dollars of 1,000 answers at the endpoint of the generator, from the tokens of the probe's requests."""
        role = self.plan.suite.answerer
        used = [usage for name in names if (usage := self.used.get(name)) and usage.get("llm_calls")]
        if role is None:
            return 0.0
        each: list[float] = [
            role.dollars(usage["prompt_tokens"], usage["new_tokens"]) / usage["llm_calls"] for usage in used
        ]
        return 1000 * fsum(each)

    def timings(self) -> tuple[Timing, ...]:
        """Return the times of every part that was timed."""
        timings = (timing(name, times) for name, times in self.times.items())
        return tuple(item for item in timings if item is not None)

    def _parts(self, system: SystemPlan) -> list[str]:
        """Names of the parts of a system; those that have no times yet are timed."""
        serving, suite = system.serving, self.plan.suite
        base: dict[str, Any] = {
            "queries": suite.evaluate.probe_queries, "machine": self._machine, "depth": suite.pipeline.depth,
            "fuse_k": suite.pipeline.fuse_k,
        }  # fmt: skip
        names = []
        if serving.dense:
            spec = {**base, "part": "dense", "retriever": suite.pipeline.retriever.model_dump()}
            plainest = self._plainest([other for other in self.plan.systems if other.serving.dense])
            inputs = {"index": plainest.serving.dense, "model": plainest.models.get("retriever")}
            names.append(self._time("dense", spec, inputs))
        if serving.bm25:
            names.append(self._time("bm25", {**base, "part": "bm25"}, {"index": serving.bm25}))
        if serving.dense and serving.bm25 and system.run:
            names.append(self._time("fuse", {**base, "part": "fuse"}, self.plan.calls[system.run].call.inputs))
        if serving.reranked and system.run:
            shape = self._reranker(system)
            plainest = self._plainest([other for other in self.plan.systems if self._reranker(other) == shape])
            call = self.plan.calls[str(plainest.run)].call
            inputs = {key: call.inputs[key] for key in ("run", "corpus", "model", "adapter") if key in call.inputs}
            spec = {**base, "part": "rerank", "rerank": dict(call.spec)}
            names.append(self._time(f"rerank:{plainest.label}", spec, inputs))
        if system.answers and serving.prompt:
            names.append(self._time_generator(system, base))
        return names

    def _time_generator(self, system: SystemPlan, base: dict[str, Any]) -> str:
        """Time a generator. Systems that show it the passages of a run are timed once for all."""
        call = self.plan.calls[str(system.answers)].call
        name = {"run": "generator", "few-shot": "generator:few-shot", "none": "generator:closed-book"}
        label = name[str(system.serving.prompt)]
        if "generator" in system.models:
            label = f"{label}:{self._owner(system.models, 'generator')}"
        count = self.plan.suite.evaluate.probe_generations
        spec = {**base, "part": "generator", "queries": count, "reply": dict(call.spec)}
        # Where the suite fixes the passages, only the sampled questions have some.
        queries = call.inputs["queries"] if call.spec["source"] == "given" else self._queries
        return self._time(label, spec, {**call.inputs, "queries": queries})

    def _owner(self, models: Mapping[Part, str], part: Part) -> str:
        """The system with this model that tunes the fewest parts: systems that share a model share its times."""
        sharing = [system for system in self.plan.systems if system.models.get(part) == models[part]]
        return min(sharing, key=lambda system: len(system.tunes)).label

    def _plainest(self, alike: Sequence[SystemPlan]) -> SystemPlan:
        """Of systems with a part of one shape, the one that tunes the fewest parts and whose artifacts are stored."""

        def is_stored(system: SystemPlan) -> bool:
            keys = [system.serving.dense, system.serving.reranked, *system.models.values()]
            return all(self.store.has(key) for key in keys if key)

        return min([*filter(is_stored, alike)] or alike, key=lambda system: len(system.tunes))

    def _reranker(self, system: SystemPlan) -> tuple[Any, ...] | None:
        """The shape of a system's reranker: its untuned model, its depth, and its maximum length."""
        if not system.serving.reranked or not system.run:
            return None
        spec, tuned = self.plan.calls[system.run].call.spec, system.models.get("reranker")
        start = self.plan.calls[tuned].call.spec["model"] if tuned else spec["model"]
        return start, spec["depth"], spec["max_length"]

    def _time(self, name: str, spec: dict[str, Any], inputs: Any) -> str:
        if name in self.times or name in self.failed:
            return name
        keys = {label: key for label, key in {"queries": self._queries, **inputs}.items() if key is not None}
        checked = Probe.model_validate(spec)
        resolved = checked.model_dump(mode="json")
        models = sorted({value["model"] for value in _models(resolved)})
        stage = {"generator": "answer", "rerank": "rerank"}.get(resolved["part"], "retrieve")
        packages = load_stage(stage).packages
        versions = {package: provenance.package_version(package) for package in packages}
        identity = [
            PROBE_VERSION,
            checked.key_settings(),
            keys,
            {model: model_digest(model) for model in models if model != SERVED},
            versions,
        ]
        key = digest_of(["probe", identity])
        asks = (resolved.get("reply") or {}).get("endpoint") is not None
        try:
            if self.store.get(key) is None:
                if asks and self.services is not None and self.services.replay:
                    raise StageFailed("not timed: a replay asks no endpoint")
                self._run(name, key, resolved, keys)
        except StageFailed as error:
            self.failed[name] = str(error)
            return name
        place = self.store.get(key)
        assert place is not None
        self.times[name] = json.loads((place / TIMES_FILE).read_text(encoding="utf-8"))
        self.used[name] = self.store.facts(key).get("usage", {})
        return name

    def _run(self, name: str, key: str, spec: dict[str, Any], keys: dict[str, str]) -> None:
        with self.store.claim(key) as folder, self.display(f"probe {name}") as progress:
            inputs = self._inputs(name, keys)
            request = Request(
                "harness.execution.probe:probe", "harness.execution.probe:Probe", spec, inputs, folder, 0,
                self.services, environment_now(self.plan.suite.device),
            )  # fmt: skip
            cost = run(self.executor, request, progress)
            facts = {"stage": "probe", "label": name, "seconds": cost.seconds, "usage": asdict_usage(cost.usage)}
            self.store.commit(key, folder, facts)

    def _inputs(self, name: str, keys: dict[str, str]) -> dict[str, Path]:
        folders = {}
        for label, key in keys.items():
            place = self.store.get(key)
            if place is None:
                raise StageFailed(f"probe {name}: its input {label} is not in the store any more; run again")
            folders[label] = place
        return folders


def asdict_usage(usage: Any) -> dict[str, Any]:
    """Return a usage as JSON."""
    return {**usage._asdict(), "notes": dict(usage.notes)}


def _models(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the sections of a probe's spec that name a model."""
    sections = [spec.get("retriever"), (spec.get("reply") or {}).get("generator"), spec.get("rerank")]
    return [section for section in sections if section and section.get("model")]


def _sum(parts: list[list[float]]) -> list[float]:
    """Sum the parts query by query, over the queries that all of them timed."""
    return [sum(row) for row in zip(*parts, strict=False)]


def timing(part: str, times: list[float]) -> Timing | None:
    """Return the quantiles of the times of a part in milliseconds; None if it has no times."""
    if not times:
        return None
    return Timing(part=part, n=len(times), p50_ms=quantile(times, 0.5), p95_ms=quantile(times, 0.95))
