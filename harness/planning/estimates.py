"""Cost estimates of candidates, once and per query, before any of them is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from harness.data.datasets import Dataset
from harness.errors import ConfigError, ModelMissing
from harness.hashing import digest_of
from harness.llm import prompt_templates
from harness.planning.graph import Plan, PlannedCall, SystemPlan
from harness.planning.ledger import CallEstimate, estimate, hourly
from harness.planning.plan import build_plan
from harness.planning.speed import Rates, rates
from harness.stages import load_stage
from harness.store import Store
from harness.suite.pipeline import Generator, Reranker, Retriever, settings_of
from harness.suite.spec import Candidate, Suite
from harness.suite.uses import CandidateUses
from harness.values.findings import Timing
from harness.values.insights import CostEstimate

TAIL = 1.1
"""A guess at p95 over the mean for reranking, which reads the same number of passages for every query."""
Basis = Literal["measured", "guessed"]


class Planned(NamedTuple):
    """The plan of all candidates that can be planned, and why the others (by name) cannot."""

    plan: Plan
    left_out: Mapping[str, str]

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"No cost estimate for {name}: {why}" for name, why in self.left_out.items())


def plan_of(suite: Suite, dataset: Dataset) -> Planned:
    """Plan a suite without the candidates that cannot be planned because models or data are missing.

    Raises ConfigError or ModelMissing if it cannot be planned without any of them either.
    """
    try:
        return Planned(build_plan(suite, dataset), {})
    except (ConfigError, ModelMissing):
        kept, left_out = {}, {}
    for name, candidate in suite.all_candidates.items():
        alone = {"candidates": {name: candidate}, "factorial": {}, "baseline_rows": ()}
        try:
            build_plan(suite.model_copy(update=alone), dataset)
            kept[name] = candidate
        except (ConfigError, ModelMissing) as error:
            left_out[name] = str(error)
    return Planned(build_plan(suite.model_copy(update={"candidates": kept, "factorial": {}}), dataset), left_out)


def estimates(plan: Plan, store: Store, untuned: Timing | None) -> tuple[CostEstimate, ...]:
    """Estimate the cost of every candidate of a plan; `untuned` is the latency of the pipeline as it is.

    The build cost counts every call upstream of what serves, as the ledger does afterwards. A reranker where there was
    none adds to the latency; tuning does not, as it changes weights, not shapes. What other settings add is unknown.
    """
    known, guesses = rates(store), estimate(plan, store)
    found: dict[str, CostEstimate] = {}
    for system in plan.systems:
        if system.role == "candidate" and system.name not in found:
            keys = plan.upstream(system.serving.keys)
            added = _reranks(plan, system)
            adds = _mean_ms(added, plan, known) if added else 0.0
            hour = hourly(added.call.device, plan.suite.prices) if added else 0.0
            found[system.name] = CostEstimate(
                candidate=system.name,
                identity=recipe_identity(plan.suite, plan.suite.all_candidates[system.name]),
                tunes=system.tunes,
                seconds=sum(guesses[key].seconds for key in keys),
                seconds_in_full=sum(_whole(guesses[key], store, key) for key in keys),
                dollars=sum(_dollars(plan, store, guesses[key], key) for key in keys),
                added_p95_ms=TAIL * adds if _is_known(system, plan.suite) and (untuned or not adds) else None,
                # The seconds of 1,000 queries are as many as the milliseconds of one.
                added_dollars_per_1000=adds / 3600 * hour if _is_known(system, plan.suite) else None,
                basis=_basis(plan, [*keys, *([added.key] if added else [])], guesses, known),
            )
    return tuple(found.values())


def recipe_identity(suite: Suite, candidate: Candidate) -> str:
    """Digest of a candidate with its resolved recipes and data, the LLMs that it asks, and the pipeline's models.

    What it does not use is not in it, nor is what only changes the scores: seeds, splits, measures.
    """
    uses = CandidateUses(suite, "", candidate)
    pipeline = uses.pipeline
    asked = {role: suite.llm.roles[role].identity for role in sorted(uses.roles)}
    remote = any(not suite.llm.roles[role].in_process for role in uses.roles)
    data = {*uses.sections, "pairs", "data_seed"}
    parts = (pipeline.retriever, pipeline.reranker, suite.generator_of(pipeline))
    return digest_of(
        {
            "tune": candidate.tune,
            "recipes": {part: suite.recipe(candidate, part).key_settings() for part in candidate.tune},
            "data": uses.data.model_dump(mode="json", include=data, exclude_defaults=True),
            "llm": asked,
            "prompts": {name: prompt_templates.load(name, path) for name, path in suite.llm.prompts.items()}
            if remote
            else {},
            "models": [_model_of(part) for part in parts],
            "settings": settings_of(candidate.pipeline),
            **({"external": candidate.external.words} if candidate.external else {}),
        }
    )


def _model_of(part: Retriever | Reranker | Generator | None) -> Any:
    """The name of a part's model, or what is known of one at an endpoint."""
    if isinstance(part, Retriever | Reranker) and part.endpoint is not None:
        return part.endpoint.identity
    return part.model if part is not None else None


def _is_known(system: SystemPlan, suite: Suite) -> bool:
    """Whether the latency that a candidate adds can be told: its settings change no more than add a reranker."""
    others = ("reranker.", "retriever.bm25_weight=") if suite.pipeline.reranker is None else ("retriever.bm25_weight=",)
    return all(change.startswith(others) for change in system.changes)


def _whole(guess: CallEstimate, store: Store, key: str) -> float:
    """Seconds of the machine that a call takes, or took."""
    facts = store.facts(key) if guess.stored else {"seconds": guess.seconds}
    return float(facts.get("seconds", 0.0) * facts.get("share", 1.0))


def _dollars(plan: Plan, store: Store, guess: CallEstimate, key: str) -> float:
    """As the ledger counts them: the machine's time, and what an endpoint is paid."""
    paid = float(store.facts(key).get("llm_dollars", 0.0)) if guess.stored else guess.dollars
    return _whole(guess, store, key) / 3600 * hourly(plan.calls[key].call.device, plan.suite.prices) + paid


def _reranks(plan: Plan, system: SystemPlan) -> PlannedCall | None:
    """The call that reranks with a candidate's reranker; None if it has none, or the pipeline had one before."""
    if plan.suite.pipeline.reranker is not None:
        return None
    path = (plan.calls[key] for key in system.serving.path)
    return next((planned for planned in path if planned.call.stage == "rerank"), None)


def _mean_ms(added: PlannedCall, plan: Plan, known: Rates) -> float:
    """Milliseconds that a reranker takes for the list of a query."""
    return 1000 * float(added.call.spec["depth"]) / known.of(added.call, plan.calls).units


def _basis(plan: Plan, keys: Sequence[str], guesses: dict[str, CallEstimate], known: Rates) -> dict[str, Basis]:
    """How the speed of each stage is known: guessed as soon as that of one of its calls is.

    What is in the store was measured when it was made.
    """
    found: dict[str, Basis] = {}
    for key in dict.fromkeys(keys):
        call = plan.calls[key].call
        if not load_stage(call.stage).heavy:
            # It takes no time that matters.
            continue
        sure = guesses[key].stored or known.of(call, plan.calls).measured
        found[call.stage] = "measured" if sure and found.get(call.stage) != "guessed" else "guessed"
    return found
