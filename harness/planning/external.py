"""The plan of a candidate that is a whole RAG system elsewhere: one call that gives its run and its answers."""

from __future__ import annotations

from typing import Any

from harness.errors import ConfigError, Problem
from harness.planning.calls import TunedPipeline
from harness.planning.graph import ExpectedWork, ServingKeys, SystemPlan
from harness.planning.rankings import Rankings
from harness.planning.served import QUERY_TOKENS
from harness.suite.external import External


def external_system(planner: Rankings, name: str, rule: External) -> SystemPlan:
    """Add the call of an external system to a plan, and return the system. Its run is not made on dev.

    Raises ConfigError if it only has answers, and there is no generator to compare with.
    """
    keys, split = planner.artifacts.keys, planner.split
    endpoint = rule.named(name)
    answers = endpoint is not None or rule.answers is not None
    asked = bool(planner.generation_sample.query_ids) and planner.suite.generator is not None and answers
    ranked = endpoint is not None or rule.run is not None
    if not asked and not ranked:
        what = "gives answers alone, and the suite measures none"
        raise ConfigError(Problem(f"candidates.{name}.external", what, "add 'run', or pipeline.generator"))
    # What it searches and shows are documents, however the suite's own pipeline cuts them.
    settings = planner.suite.pipeline.model_copy(update={"chunking": None})
    pipeline = TunedPipeline(settings, name=name)
    inputs = {
        "queries": keys[f"{split}.queries"],
        "corpus": keys["corpus"],
        "files": planner.artifacts.add_files(rule.files) if rule.files else None,
        "sample": keys["sample"] if asked else None,
        "history": keys.get(f"{split}.history") if endpoint is not None else None,
    }
    spec: dict[str, Any] = {"depth": planner.depth_of(pipeline), "exclude_own": planner.suite.evaluate.exclude_own}
    queries = planner.size_of(split)
    work, label = ExpectedWork(queries), f"read {name} on {split}"
    if endpoint is not None:
        spec |= {"endpoint": endpoint.identity | {"model": name}}
        tokens = queries * QUERY_TOKENS
        work = ExpectedWork(queries, queries, tokens, endpoint.dollars(tokens, queries), "system")
        label = f"ask {name} about {split}"
    key = planner.call("external", label, spec, inputs, work)
    run = key if ranked else None
    path = (key,) if endpoint is not None else ()
    return SystemPlan(
        name, 0, "candidate", (), planner.scored(pipeline, run, split), key if asked else None, None,
        ServingKeys(path), settings, scores_run=ranked, changes=(f"external={rule.words}",),
    )  # fmt: skip
