"""Conflicts between settings of a suite. Knows what specs mean, and nothing of files and lines."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from pydantic import ValidationError

from harness.errors import nearest
from harness.suite.conflict import Conflict
from harness.suite.local_models import LocalModel
from harness.suite.pipeline import Pipeline
from harness.suite.recipes import PARTS, RerankerRecipe, changed
from harness.suite.renamed import KeyPath
from harness.suite.served_conflicts import external_conflicts, served_conflicts
from harness.suite.spec import SERVED, Candidate, Suite
from harness.suite.uses import CandidateUses
from harness.values.measures import Measure, parse

NOTHING = "changes nothing"
LOCAL_ONLY = ("thinking", *LocalModel.model_fields)
"""Settings of a generator that have no meaning at an endpoint."""


def conflicts(suite: Suite) -> Iterator[Conflict]:
    """Yield every conflict in what could be read of a suite."""
    depth, add_pattern = suite.pipeline.depth, "add answer_format: {pattern: ...}"
    for number, measure in enumerate(suite.measures):
        at: KeyPath = ("measures", number)
        if measure.cutoff is not None and measure.cutoff > depth and not measure.in_words:
            read_depth = (("pipeline", "depth"),)
            yield Conflict(at, f"{measure} has a cutoff above pipeline.depth {depth}", "raise the depth", read_depth)
        if not measure.is_rank and suite.pipeline.generator is None:
            yield Conflict(at, f"{measure} needs a generator", "add pipeline.generator", (("pipeline", "generator"),))
        if "format" in measure.kind.reads and suite.answer_format is None:
            yield Conflict(at, f"{measure} needs a pattern", add_pattern, (("answer_format",),))
    yield from _chunking_conflicts(suite)
    yield from _served_generators(suite)
    yield from served_conflicts(suite)
    yield from _depth_conflicts(suite.pipeline, ("pipeline",), suite.pipeline.model_fields_set)
    for number, gate in enumerate(suite.gates):
        key = "measure" if gate.measure else "probe" if gate.probe else "served"
        if gate.measure is not None and gate.measure not in suite.measures:
            what = f"{gate.measure} is not measured"
            yield Conflict(("gates", number, key), what, "add it to 'measures'", (("measures",),))
        if any(gate.bounds == other.bounds for other in suite.gates[:number]):
            yield Conflict(("gates", number, key), f"{gate.measure or gate.probe or 'it'} has two gates", "keep one")
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
    yield from _search_conflicts(suite)
    yield from _candidate_conflicts(suite)


def _chunking_conflicts(suite: Suite) -> Iterator[Conflict]:
    """Yield settings that do not go with chunks."""
    if not suite.evaluate.exclude_own:
        return
    what = "chunks have ids of their own, so exclude_own cannot leave out the document of a query"
    read: tuple[KeyPath, ...] = (("evaluate", "exclude_own"),)
    if suite.pipeline.chunking is not None:
        yield Conflict(("pipeline", "chunking"), what, "remove one of the two", read)
    for name, candidate in suite.candidates.items():
        if getattr(candidate.pipeline, "chunking", None) is not None:
            yield Conflict(("candidates", name, "pipeline", "chunking"), what, "remove one of the two", read)


def _forgetting_conflicts(suite: Suite) -> Iterator[Conflict]:
    """Yield conflicts of the section `forgetting`."""
    rule, own, no_generator = suite.forgetting, suite.dataset, suite.pipeline.generator is None
    if rule is None:
        return
    at, data = ("forgetting",), ("dataset",)
    if (rule.dataset.path, rule.dataset.source, rule.dataset.builder) == (own.path, own.source, own.builder):
        yield Conflict(
            (*at, "dataset"), "forgetting needs another dataset than the suite's own", "name another", (data,)
        )
    if rule.generation_queries and no_generator:
        answers, read = (*at, "generation_queries"), (("pipeline", "generator"),)
        yield Conflict(answers, "there is no generator to ask", "add pipeline.generator, or set it to 0", read)
    if not any(measure.is_rank or rule.generation_queries for measure in suite.margins):
        what = "forgetting is measured by gated measures, and none of them applies there"
        yield Conflict(at, what, "gate a rank measure, or set generation_queries", (("gates",),))


def _search_conflicts(suite: Suite) -> Iterator[Conflict]:
    """Yield conflicts of the section `search`."""
    sample = suite.search.sample if suite.search else None
    if sample is not None and sample.of not in suite.candidates:
        hint = nearest(sample.of, suite.candidates)
        yield Conflict(("search", "sample", "of"), f"there is no candidate {sample.of!r}", hint, (("candidates",),))
    if suite.search is None or suite.search.halving is None:
        return
    at: KeyPath = ("search", "halving")
    trained = [name for name, candidate in suite.candidates.items() if candidate.tune]
    if len(trained) < 2:
        what = "halving chooses among trained candidates, and there are fewer than two"
        yield Conflict(at, what, "add candidates with 'tune', or remove 'search'", (("candidates",),))
    if suite.evaluate.split == "dev":
        what = "halving chooses on dev, which is also the split that is scored"
        yield Conflict(at, what, "score test, or remove 'search'", (("evaluate", "split"),))


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
            what = f"{gate.measure} is judged by an LLM and scores answered queries only, so it cannot gate"
            yield Conflict(("gates", number, "measure"), what, "gate utility, and let it decide utility.right")
    right = Measure(suite.utility.right)
    if right.is_judged and Measure("utility") in suite.measures:
        read: tuple[KeyPath, ...] = (("llm", "judge"), ("measures",))
        if suite.llm.judge is None:
            what = f"utility.right is {right}, and there is no judge"
            yield Conflict(("utility", "right"), what, "add llm.judge, or let another measure decide", read)
        if right.name == "rubric" and not suite.rubric:
            yield Conflict(("utility", "right"), "rubric needs a text", "add 'rubric: ...'", (("rubric",),))


def _served_generators(suite: Suite) -> Iterator[Conflict]:
    """Yield settings of a model that runs here, of generators that are at an endpoint."""
    pipelines: list[tuple[KeyPath, Pipeline, Any]] = [(("pipeline",), suite.pipeline, suite.pipeline)]
    for name, candidate in suite.candidates.items():
        pipeline = _pipeline_of(suite, candidate)
        if pipeline is not None:
            pipelines.append((("candidates", name, "pipeline"), pipeline, candidate.pipeline))
    what = "applies to a model that runs here, and the generator is at an endpoint"
    for at, pipeline, written in pipelines:
        own: set[str] = getattr(getattr(written, "generator", None), "model_fields_set", set())
        for setting in LOCAL_ONLY if suite.answerer_of(pipeline) is not None else ():
            if setting in own:
                hint = "switch it in llm.generator" if setting == "thinking" else "leave it out"
                yield Conflict((*at, "generator", setting), what, hint, (("llm",),))


def _depth_conflicts(pipeline: Pipeline, at: KeyPath, named: Collection[str]) -> Iterator[Conflict]:
    """Yield settings that count more documents than runs have; `named` are the keys that are set at `at`."""
    for name in ("context", "rerank_depth"):
        # The default of rerank_depth is a bound, not a demand.
        if getattr(pipeline, name) > pipeline.depth and (name in named or (name == "context" and at == ("pipeline",))):
            what = f"more than pipeline.depth {pipeline.depth}"
            yield Conflict((*at, name), what, "raise the depth", (("pipeline", "depth"),))


def _candidate_conflicts(suite: Suite) -> Iterator[Conflict]:
    """Yield conflicts of the candidates and of `factorial`."""
    crossed, unlike = suite.crossed, False
    for factor, levels in suite.factorial.items():
        first = next(iter(levels))
        if suite.factorial[factor][first].tune or not _as_pipeline(suite, levels[first]):
            unlike = True
            what = f"its first level, {first!r}, is not what the pipeline has"
            yield Conflict(("factorial", factor), what, "put the level first that the pipeline has", (("pipeline",),))
    for name, candidate in suite.candidates.items():
        at: KeyPath = ("candidates", name)
        if name in crossed:
            yield Conflict(at, f"'factorial' makes a candidate {name!r} too", "rename this one", (("factorial",),))
        for section in candidate.changes:
            if section in PARTS and section not in candidate.tune:
                what = f"changes a recipe that is not used: this candidate does not tune the {section}"
                yield Conflict((*at, section), what, "add it to 'tune', or remove this", ((*at, "tune"),))
        yield from _change_conflicts(suite, at, candidate)
    said: set[tuple[str, str]] = set()
    # Of a factorial that starts from another pipeline, no more can be said.
    for name, candidate in ({} if unlike else crossed).items():
        for conflict in _change_conflicts(suite, ("factorial",), candidate):
            if (conflict.what, conflict.hint) not in said:
                said.add((conflict.what, conflict.hint))
                what = f"{name} {NOTHING}" if conflict.what == NOTHING else conflict.what
                yield Conflict(("factorial",), what, conflict.hint, conflict.read)


def _pipeline_of(suite: Suite, candidate: Candidate) -> Pipeline | None:
    """The pipeline with a candidate's settings; None where they do not go together, which is told of the candidate."""
    try:
        return suite.pipeline_of(candidate)
    except ValidationError:
        return None


def _as_pipeline(suite: Suite, level: Candidate) -> bool:
    """Whether a level leaves the pipeline as it is, as far as that can be told."""
    return _pipeline_of(suite, level) in (suite.pipeline, None)


def _change_conflicts(suite: Suite, at: KeyPath, candidate: Candidate) -> Iterator[Conflict]:
    """Yield conflicts of what a candidate changes with the rest of the suite."""
    if candidate.external is not None:
        yield from external_conflicts(suite, at, candidate)
        return
    try:
        pipeline = suite.pipeline_of(candidate)
    except ValidationError as error:
        yield Conflict((*at, "pipeline"), error.errors()[0]["msg"].removeprefix("Value error, "), "", (("pipeline",),))
        return
    if not candidate.tune and pipeline == suite.pipeline:
        hint = "name parts to 'tune', or settings that differ under 'pipeline'"
        yield Conflict(at, NOTHING, hint, ((*at, "pipeline"), ("pipeline",)))
    # A depth of the suite itself that is too small is told where measures are checked.
    cut = [measure for measure in suite.measures if suite.pipeline.depth >= (measure.cutoff or 0) > pipeline.depth]
    if cut:
        what = f"{pipeline.depth} is less than the cutoff of {', '.join(map(str, cut))}"
        yield Conflict((*at, "pipeline", "depth"), what, "raise the depth", (("measures",), ("pipeline", "depth")))
    tune: KeyPath = (*at, "tune")
    if "generator" in candidate.tune and pipeline.generator is None:
        add, read = "add pipeline.generator", (("pipeline", "generator"),)
        yield Conflict(tune, "there is no generator to tune", add, read)
    if "generator" in candidate.tune and suite.answerer_of(pipeline) is not None:
        what, read = "a generator behind an endpoint cannot be tuned here", (("pipeline", "generator"),)
        yield Conflict(tune, what, "name a folder or an embedded model", read)
    if "retriever" in candidate.tune and pipeline.retriever.kind in ("bm25", "sparse", "endpoint"):
        what = f"a retriever of kind {pipeline.retriever.kind} is not tuned here"
        yield Conflict(tune, what, "tune one of kind dense or late-interaction", ((*at, "pipeline"), ("pipeline",)))
    uses = CandidateUses(suite, "", candidate)
    if "reranker" in candidate.tune and pipeline.reranker is not None and pipeline.reranker.kind == "endpoint":
        what, hint = "a reranker of kind endpoint is not tuned here", "tune one that runs here"
        yield Conflict(tune, what, hint, ((*at, "pipeline"), ("pipeline",)))
    elif (tuned := _reranker_recipe(uses)) is not None and uses.pipeline.reranker is not None:
        kind, recipe = uses.pipeline.reranker.kind, tuned.recipe
        known = {"cross-encoder": ("bce", "listwise"), "late-interaction": ("contrastive",), "causal-lm": ("bce",)}
        if recipe != "auto" and recipe not in known[kind]:
            what = f"recipe {recipe} does not tune a reranker of kind {kind}"
            seen: tuple[KeyPath, ...] = (("recipes", "reranker"), (*at, "reranker"), ("pipeline",))
            hint = "use recipe: auto" + ("" if kind != "late-interaction" else ", or name a cross-encoder as 'model'")
            yield Conflict(tune, what, hint, seen)
    yield from _depth_conflicts(pipeline, (*at, "pipeline"), candidate.pipeline.model_fields_set)
    yield from _recipe_conflicts(suite, at, candidate)


def _reranker_recipe(uses: CandidateUses) -> RerankerRecipe | None:
    """The recipe of a reranker that is tuned; None also where its settings do not go together, which is told later."""
    try:
        return uses.reranker
    except ValidationError:
        return None


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
