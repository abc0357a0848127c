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
from harness.execution.endpoints import served_by
from harness.execution.environments import environment_now
from harness.execution.executors import Executor, Request, run
from harness.execution.making import Display
from harness.execution.probe import PROBE_VERSION, STEPS, TIMES_FILE, Probe, is_noisy, quantile, quantile_range
from harness.hashing import by_hash, digest_of
from harness.llm.services import Services
from harness.models.loaders import model_digest
from harness.planning.calls import engine_packages
from harness.planning.graph import MAKES_QUERIES, Plan, SystemPlan
from harness.stages import load_stage
from harness.stages.shared import common
from harness.store import Store
from harness.suite.served_uses import Endpoint
from harness.suite.spec import SERVED
from harness.values.findings import ServingCost, Timing
from harness.values.records import StageCall


class Latencies:
    """Runs the probes of a plan, each once, and stores their times."""

    def __init__(
        self, plan: Plan, store: Store, executor: Executor, display: Display, services: Services | None = None
    ) -> None:
        self.plan, self.store, self.executor, self.display, self.services = plan, store, executor, display, services
        self.times: dict[str, list[float]] = {}
        self.used: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, str] = {}
        self.noisy: set[str] = set()
        self.retrieval: set[str] = set()
        self._owners: dict[str, str] = {}
        self._prices: dict[str, Endpoint | None] = {}
        self._machine = provenance.stage_machine()
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
        retrieval = _sum([self.times[name] for name in names if name in self.retrieval])
        total = _sum([self.times[name] for name in names])
        price = self.plan.suite.prices
        hour = price.cpu_hour if provenance.stage_device() == "cpu" else price.gpu_hour
        return ServingCost(
            parts=tuple(names),
            retrieval=timing("retrieval", retrieval, bool(self.noisy & self.retrieval & {*names})),
            total=timing("total", total, bool(self.noisy & {*names})),
            dollars_per_1000=fmean(total) / 3600 * hour + self._paid_per_1000(names) if total else None,
        )

    def _paid_per_1000(self, names: Sequence[str]) -> float:
        """Dollars of 1,000 queries at endpoints, from the tokens of the probes."""
        used = {name: usage for name in names if (usage := self.used.get(name)) and usage.get("llm_calls")}
        each: list[float] = []
        for name, usage in used.items():
            served = usage.get("notes", {}).get(STEPS, usage["llm_calls"])
            if (endpoint := self._prices.get(name)) is not None:
                each.append(endpoint.dollars(usage["prompt_tokens"], usage["llm_calls"]) / served)
                continue
            role = self.plan.suite.llm.rewriter if name.startswith("rewrite") else self.plan.suite.answerer
            if role is not None:
                # Not every query has earlier turns, and so a rewrite.
                each.append(role.dollars(usage["prompt_tokens"], usage["new_tokens"]) / served)
        return 1000 * fsum(each)

    def timings(self) -> tuple[Timing, ...]:
        """Return the times of every part that was timed."""
        timings = (timing(name, times, name in self.noisy) for name, times in self.times.items())
        return tuple(item for item in timings if item is not None)

    def _parts(self, system: SystemPlan) -> list[str]:
        """Names of the parts of a system; those that have no times yet are timed."""
        suite = self.plan.suite
        by_p95 = suite.limits.max_p95_ms is not None or any(gate.probe == "p95_ms" for gate in suite.gates)
        base: dict[str, Any] = {
            "queries": suite.evaluate.probe_queries, "machine": self._machine, "every": by_p95,
        }  # fmt: skip
        names = [self._time_step(key, base) for key in system.serving.path]
        if system.answers and system.serving.prompt:
            names.append(self._time_generator(system, base))
        return names

    def _time_step(self, key: str, base: Mapping[str, Any]) -> str:
        """Time a call that ranks, as the plainest system does that has one of its shape."""
        shape = self._shape(key)
        alike = [
            system for system in self.plan.systems if any(self._shape(one) == shape for one in system.serving.path)
        ]
        plainest = self._plainest(alike)
        key = next(one for one in plainest.serving.path if self._shape(one) == shape)
        call = self.plan.calls[key].call
        kind = _kind(call)
        first = kind not in self._owners or self._owners[kind] == shape
        self._owners.setdefault(kind, shape)
        name = kind if first and kind not in ("rerank", "external") else f"{kind}:{plainest.label}"
        if call.stage != "external":
            self.retrieval.add(name)
        self._prices.setdefault(name, served_by(call, self.plan.suite))
        # A language model takes as long for a rewrite as for an answer, and a whole system writes one.
        writes = call.stage in ("rewrite", "external")
        count = {"queries": self.plan.suite.evaluate.probe_generations} if writes else {}
        return self._time(name, {**base, **count, "stage": call.stage, "spec": dict(call.spec)}, call.inputs)

    def _shape(self, key: str) -> str:
        """Digest of what the time of a call that ranks depends on: its settings, the shape of its model, its inputs.

        A tuned model has the shape of the one that it started from, and an adapter is merged into its model.
        """
        call = self.plan.calls[key].call
        tuned = self.plan.calls.get(call.inputs.get("model", ""))
        start = tuned.call.spec.get("model") if tuned is not None else call.spec.get("model")
        spec = {name: value for name, value in call.spec.items() if name != "model"}
        of_runs = load_stage(call.stage).runs_of(call.inputs)
        named = sorted({*call.inputs} - {*of_runs, "model", "adapter", "weight"})
        return digest_of(
            [call.stage, spec, start, named, len(of_runs), *self._passages(call), *self._queries_made(call)]
        )

    def _queries_made(self, call: StageCall) -> list[str]:
        """The stage that makes the queries of a call, if one does: those with earlier turns are longer."""
        asked = self.plan.calls.get(call.inputs.get("queries", ""))
        return [asked.call.stage] if asked is not None and asked.call.stage in MAKES_QUERIES else []

    def _passages(self, call: StageCall) -> list[str]:
        """The corpus that a call searches or reads, if it is one of chunks: their number and length take time."""
        index = self.plan.calls.get(call.inputs.get("index", ""))
        corpus = (index.call if index is not None else call).inputs.get("corpus", "")
        return [corpus] if corpus in self.plan.calls else []

    def _time_generator(self, system: SystemPlan, base: dict[str, Any]) -> str:
        """Time a generator, once for all systems whose prompts have one form and whose generator is the same.

        Which passages a run puts into the prompt makes no difference that is worth another timing.
        """
        call, shape = self.plan.calls[str(system.answers)].call, self._generator_shape(system)
        name = {"run": "generator", "few-shot": "generator:few-shot", "none": "generator:closed-book"}
        label = name[str(system.serving.prompt)]
        if self._owners.setdefault(label, shape) != shape:
            alike = [other for other in self.plan.systems if other.answers and self._generator_shape(other) == shape]
            label = f"{label}:{min(alike, key=_changes).label}"
        count = self.plan.suite.evaluate.probe_generations
        spec = {**base, "stage": "answer", "queries": count, "reply": dict(call.spec)}
        # Where the suite fixes the passages, only the sampled questions have some.
        queries = call.inputs["queries"] if call.spec["source"] == "given" else self._queries
        given = {**call.inputs, "queries": queries}
        if "history" in given and queries == self._queries:
            given["history"] = self.plan.artifacts.keys[f"{self.plan.suite.evaluate.split}.history"]
        return self._time(label, spec, given)

    def _generator_shape(self, system: SystemPlan) -> str:
        """Digest of what the time of a system's answers depends on: settings, model, and kind of prompt."""
        call = self.plan.calls[str(system.answers)].call
        models = call.inputs.get("model"), call.inputs.get("adapter")
        return digest_of([system.serving.prompt, dict(call.spec), *models, *self._passages(call)])

    def _plainest(self, alike: Sequence[SystemPlan]) -> SystemPlan:
        """Of systems with a part of one shape, the one with the fewest changes whose artifacts are stored."""

        def is_stored(system: SystemPlan) -> bool:
            return all(self.store.has(key) for key in [*system.serving.path, *system.serving.keys])

        return min([*filter(is_stored, alike)] or alike, key=_changes)

    def _time(self, name: str, spec: dict[str, Any], inputs: Any) -> str:
        if name in self.times or name in self.failed:
            return name
        keys = {label: key for label, key in {"queries": self._queries, **inputs}.items() if key is not None}
        checked = Probe.model_validate(spec)
        resolved = checked.model_dump(mode="json")
        models = sorted({value["model"] for value in _models(resolved)})
        packages = (*load_stage(checked.stage).packages, *engine_packages(resolved))
        versions = {package: provenance.package_version(package) for package in packages}
        identity = [
            PROBE_VERSION,
            checked.key_settings(),
            keys,
            {model: model_digest(model) for model in models if model != SERVED},
            versions,
        ]
        key = digest_of(["probe", identity])
        asks = (resolved.get("reply") or resolved["spec"]).get("endpoint") is not None
        try:
            if self.store.get(key) is None:
                if asks and self.services is not None and self.services.replay:
                    raise StageFailed("not timed: a replay asks no endpoint")
                self._run(name, key, resolved, keys, self.services if asks else None)
        except StageFailed as error:
            self.failed[name] = str(error)
            return name
        place = self.store.get(key)
        assert place is not None
        self.times[name] = json.loads((place / TIMES_FILE).read_text(encoding="utf-8"))
        if is_noisy(place):
            self.noisy.add(name)
        self.used[name] = self.store.facts(key).get("usage", {})
        return name

    def _run(self, name: str, key: str, spec: dict[str, Any], keys: dict[str, str], services: Services | None) -> None:
        with self.store.claim(key) as folder, self.display(f"probe {name}") as progress:
            if self.store.has(key):
                # Another process timed it while this one waited for the lock.
                return
            inputs = self._inputs(name, keys)
            request = Request(
                "harness.execution.probe:probe", "harness.execution.probe:Probe", spec, inputs, folder, 0,
                services, environment_now(self.plan.suite.device), keys=keys,
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


def _kind(call: StageCall) -> str:
    """What a call that ranks is called: the kind of a first stage, or the stage."""
    if call.stage != "retrieve":
        return call.stage
    return "endpoint" if call.spec.get("endpoint") else str(call.spec.get("kind", call.stage))


def _changes(system: SystemPlan) -> int:
    """How much a system changes: tuned parts and settings."""
    return len(system.tunes) + len(system.changes)


def asdict_usage(usage: Any) -> dict[str, Any]:
    """Return a usage as JSON."""
    return {**usage._asdict(), "notes": dict(usage.notes)}


def _models(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the sections of a probe's spec that name a model."""
    asked = {} if spec["spec"].get("endpoint") else spec["spec"]
    sections = [asked, asked.get("retriever"), asked.get("encoder"), (spec.get("reply") or {}).get("generator")]
    return [section for section in sections if section and section.get("model")]


def _sum(parts: list[list[float]]) -> list[float]:
    """Sum the parts query by query, over the queries that all of them timed."""
    return [sum(row) for row in zip(*parts, strict=False)]


def timing(part: str, times: list[float], noisy: bool = False) -> Timing | None:
    """Return the quantiles of the times of a part in milliseconds; None if it has no times."""
    if not times:
        return None
    return Timing(
        part=part, n=len(times), p50_ms=quantile(times, 0.5), p95_ms=quantile(times, 0.95),
        p50_range=quantile_range(times, 0.5), p95_range=quantile_range(times, 0.95), noisy=noisy,
    )  # fmt: skip
