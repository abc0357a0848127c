"""Conflicts between settings of a suite. Knows what specs mean, and nothing of files and lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import ValidationError

from harness.suite.recipes import PARTS, changed
from harness.suite.renamed import KeyPath
from harness.suite.spec import SERVED, Candidate, Suite, combinations_of
from harness.values.measures import Measure, parse


class Conflict(NamedTuple):
    """A conflict: the key it is reported at, what it is, what to do, and the other keys it was read from."""

    at: KeyPath
    what: str
    hint: str
    read: tuple[KeyPath, ...] = ()


def conflicts(suite: Suite) -> Iterator[Conflict]:
    """Yield every conflict in what could be read of a suite."""
    depth, read_depth = suite.pipeline.depth, (("pipeline", "depth"),)
    raise_depth, add_pattern = "raise the depth", "add answer_format: {pattern: ...}"
    for number, measure in enumerate(suite.measures):
        at: KeyPath = ("measures", number)
        if measure.cutoff is not None and measure.cutoff > depth:
            yield Conflict(at, f"{measure} has a cutoff above pipeline.depth {depth}", raise_depth, read_depth)
        if not measure.is_rank and suite.pipeline.generator is None:
            yield Conflict(at, f"{measure} needs a generator", "add pipeline.generator", (("pipeline", "generator"),))
        if "format" in measure.kind.reads and suite.answer_format is None:
            yield Conflict(at, f"{measure} needs a pattern", add_pattern, (("answer_format",),))
    if (
        suite.answerer is not None
        and suite.pipeline.generator
        and "thinking" in suite.pipeline.generator.model_fields_set
    ):
        what = "applies to a model that runs here, and the generator is at an endpoint"
        yield Conflict(("pipeline", "generator", "thinking"), what, "switch it in llm.generator", (("llm",),))
    if suite.pipeline.context > depth:
        yield Conflict(("pipeline", "context"), f"more than pipeline.depth {depth}", raise_depth, read_depth)
    if "rerank_depth" in suite.pipeline.model_fields_set and suite.pipeline.rerank_depth > depth:
        yield Conflict(("pipeline", "rerank_depth"), f"more than pipeline.depth {depth}", raise_depth, read_depth)
    for number, gate in enumerate(suite.gates):
        key = "measure" if gate.measure else "probe"
        if gate.measure is not None and gate.measure not in suite.measures:
            what = f"{gate.measure} is not measured"
            yield Conflict(("gates", number, key), what, "add it to 'measures'", (("measures",),))
        if any(gate.bounds == other.bounds for other in suite.gates[:number]):
            yield Conflict(("gates", number, key), f"{gate.measure or gate.probe} has two gates", "keep one")
        if gate.advisory and gate.on_inconclusive == "fail":
            yield Conflict(
                ("gates", number, "on_inconclusive"), "an advisory gate never fails", "remove one of the two"
            )
    rule = suite.data.synthesize
    # An endpoint is asked for all queries of a kind at once, and told to make them differ.
    alike = rule.temperature == 0 and suite.llm.synthesizer.in_process
    if alike and rule.queries_per_document > len(rule.kinds):
        section: KeyPath = ("data", "synthesize")
        what = f"{rule.queries_per_document} queries of {len(rule.kinds)} kinds would be alike at temperature 0"
        read: tuple[KeyPath, ...] = ((*section, "kinds"), (*section, "temperature"))
        yield Conflict((*section, "queries_per_document"), what, "add kinds or raise the temperature", read)
    if suite.utility.right == "key_match" and parse("utility") in suite.measures and suite.answer_format is None:
        yield Conflict(("utility", "right"), "key_match needs a pattern", add_pattern, (("answer_format",),))
    if "untuned" not in suite.baseline_rows:
        what = "'untuned' is missing: gains are measured against it"
        yield Conflict(("baseline_rows",), what, "add it")
    yield from _forgetting_conflicts(suite)
    yield from _llm_conflicts(suite)
    yield from _candidate_conflicts(suite)


def _forgetting_conflicts(suite: Suite) -> Iterator[Conflict]:
    """Yield conflicts of the section `forgetting`."""
    rule, own, no_generator = suite.forgetting, suite.dataset, suite.pipeline.generator is None
    if rule is None:
        return
    at, data = ("forgetting",), ("dataset",)
    if (rule.dataset.path, rule.dataset.builder) == (own.path, own.builder):
        yield Conflict(
            (*at, "dataset"), "forgetting needs another dataset than the suite's own", "name another", (data,)
        )
    if rule.generation_queries and no_generator:
        answers, read = (*at, "generation_queries"), (("pipeline", "generator"),)
        yield Conflict(answers, "there is no generator to ask", "add pipeline.generator, or set it to 0", read)
    if not any(measure.is_rank or rule.generation_queries for measure in suite.margins):
        what = "forgetting is measured by gated measures, and none of them applies there"
        yield Conflict(at, what, "gate a rank measure, or set generation_queries", (("gates",),))


def _llm_conflicts(suite: Suite) -> Iterator[Conflict]:
    """Yield conflicts of the roles of language models."""
    generator = suite.pipeline.generator
    if generator is not None and generator.model == SERVED and suite.llm.generator is None:
        at: KeyPath = ("pipeline", "generator", "model")
        yield Conflict(at, f"{SERVED!r} names a role that is not given", "add llm.generator", (("llm", "generator"),))
    if Measure("rubric") in suite.measures and not suite.rubric:
        yield Conflict(("measures",), "rubric needs a text", "add 'rubric: ...'", (("rubric",),))
    for number, gate in enumerate(suite.gates):
        if gate.measure is not None and gate.measure.is_judged:
            what = f"{gate.measure} is judged by an LLM and scores answered questions only, so it cannot gate"
            yield Conflict(("gates", number, "measure"), what, "gate utility, and let it decide utility.right")
    right = Measure(suite.utility.right)
    if right.is_judged and Measure("utility") in suite.measures:
        read: tuple[KeyPath, ...] = (("llm", "judge"), ("measures",))
        if suite.llm.judge is None:
            what = f"utility.right is {right}, and there is no judge"
            yield Conflict(("utility", "right"), what, "add llm.judge, or let another measure decide", read)
        if right.name == "rubric" and not suite.rubric:
            yield Conflict(("utility", "right"), "rubric needs a text", "add 'rubric: ...'", (("rubric",),))


def _candidate_conflicts(suite: Suite) -> Iterator[Conflict]:
    """Yield conflicts of the candidates and of `factorial`."""
    no_generator = suite.pipeline.generator is None
    need, add, read = "there is no generator to tune", "add pipeline.generator", (("pipeline", "generator"),)
    served, name_one = "a generator behind an endpoint cannot be tuned here", "name a folder or an embedded model"
    if no_generator and "generator" in suite.factorial:
        yield Conflict(("factorial",), need, add, read)
    if suite.answerer is not None and "generator" in suite.factorial:
        yield Conflict(("factorial",), served, name_one, read)
    made = combinations_of(suite.factorial)
    for name, candidate in suite.candidates.items():
        at: KeyPath = ("candidates", name)
        if no_generator and "generator" in candidate.tune:
            yield Conflict((*at, "tune"), need, add, read)
        if suite.answerer is not None and "generator" in candidate.tune:
            yield Conflict((*at, "tune"), served, name_one, read)
        if name in made:
            yield Conflict(at, f"'factorial' makes a candidate {name!r} too", "rename this one", (("factorial",),))
        for section in candidate.changes:
            if section in PARTS and section not in candidate.tune:
                what = f"changes a recipe that is not used: this candidate does not tune the {section}"
                yield Conflict((*at, section), what, "add it to 'tune', or remove this", ((*at, "tune"),))
        yield from _recipe_conflicts(suite, at, candidate)
    if suite.factorial:
        yield from _recipe_conflicts(suite, ("factorial",), Candidate(tune=suite.factorial))


def _recipe_conflicts(suite: Suite, at: KeyPath, candidate: Candidate) -> Iterator[Conflict]:
    """Yield conflicts of the recipes and the data of a candidate, with its changes applied."""
    whole: dict[str, Any] = {}
    for section in ("retriever", "reranker", "generator", "mine", "label", "instruct"):
        home = "recipes" if section in PARTS else "data"
        read = ((home, section), (*at, section))
        try:
            whole[section] = changed(getattr(getattr(suite, home), section), getattr(candidate, section))
        except ValidationError as error:
            yield Conflict((*at, section), error.errors()[0]["msg"].removeprefix("Value error, "), "", read)
    retriever, mine = whole.get("retriever"), whole.get("mine")
    triplets = "retriever" in candidate.tune and retriever is not None and retriever.recipe == "triplet"
    if mine is not None and triplets and mine.hard + mine.random == 0:
        seen: tuple[KeyPath, ...] = (("recipes", "retriever"), ("data", "mine"), (*at, "mine"))
        yield Conflict(at, "recipe triplet needs negatives, and none are mined", "set mine.hard or mine.random", seen)
