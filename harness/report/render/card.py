"""The model card of an exported candidate: what it is, what it gained, how it was made, how it is loaded.

A card is about one system and reads what the outcome says about it; it computes no number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from harness.report import format as fmt
from harness.report.content.comparisons import MDE, comparison_cells
from harness.report.content.details import pairs
from harness.report.content.questions import first_line
from harness.report.model import Column, Table, cells, left, number
from harness.report.render.markdown import environment
from harness.report.render.model_index import model_index
from harness.report.render.serving import conversions, graph_loaders, merged_said, serve_commands, serving_notes
from harness.report.render.templates import yaml_text
from harness.report.view import BASELINE, View, identical, view
from harness.text import decimals
from harness.values.exported import ConvertedEncoder, MergedGenerator
from harness.values.findings import Comparison, Outcome, SystemInfo, Timing

TEMPLATE = "card.md.j2"
UPSTREAM = {
    "embedded:all-minilm-l6-v2": "sentence-transformers/all-MiniLM-L6-v2",
    "embedded:smollm2-135m-instruct": "HuggingFaceTB/SmolLM2-135M-Instruct",
}
"""What embedded models are called on the hub."""
TAGS = {
    "retriever": ("sentence-transformers", "sentence-similarity", "feature-extraction"),
    "cross-encoder": ("sentence-transformers", "cross-encoder", "reranker"),
    "late-interaction": ("sentence-transformers", "multi-vector", "reranker"),
    "causal-lm": ("peft", "lora", "reranker"),
    "generator": ("peft", "lora", "text-generation"),
}
TASKS = {"retriever": "sentence-similarity", "reranker": "text-ranking", "generator": "text-generation"}
WHAT = {
    "retriever": "a bi-encoder, as sentence-transformers loads it",
    "cross-encoder": "a cross-encoder, as sentence-transformers loads it",
    "late-interaction": "an encoder whose token vectors are compared (late interaction)",
    "causal-lm": "a LoRA adapter for a causal language model that answers yes or no, as peft loads it",
    "generator": "a LoRA adapter, as peft loads it",
}
Place = Literal["package", "folder", "hub"]


@dataclass(frozen=True)
class TunedPart:
    """A part that lies in `folder` of the export; `base` names what it was tuned from, at `place`.

    `form` is the part, or the kind of a reranker.
    """

    part: str
    folder: str
    base: str
    place: Place
    recipe: Mapping[str, Any]
    max_length: int | None = None
    form: str = ""


class TokenLoader(NamedTuple):
    """How the token vectors of a part are had: `place` is Python, the model's folder in the export or its name."""

    part: str
    place: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Card:
    """A system of an outcome with what was exported of it.

    `parts` stand in the order in which they were tuned, `data` is how their training data was made, `pipeline` the
    section as written to `pipeline.yaml`, `calls` the keys of the stage calls that made the models, `changes` the
    settings that the candidate changes, `encoders` and `merged` what was converted for servers.
    """

    outcome: Outcome
    system: SystemInfo
    parts: tuple[TunedPart, ...]
    data: Mapping[str, Any]
    pipeline: Mapping[str, Any]
    calls: frozenset[str]
    changes: tuple[str, ...] = ()
    encoders: tuple[ConvertedEncoder, ...] = ()
    merged: MergedGenerator | None = None


def render_card(card: Card) -> str:
    """Return the card as Markdown with YAML front matter."""
    seen, gains = view(card.outcome), _gains(card)
    by_part = {one.part: one for one in card.parts}
    retriever = card.pipeline["retriever"]
    prompts = {role: retriever[f"{role}_prompt"] for role in ("query", "document") if retriever[f"{role}_prompt"]}
    licence = card.outcome.dataset.source.get("license") or card.outcome.dataset.source.get("licence")
    drawn = environment()
    # Text and mappings of text are written alike in JSON and in Python.
    drawn.filters["py"] = json.dumps
    return drawn.get_template(TEMPLATE).render(
        card=card,
        outcome=card.outcome,
        parts=by_part,
        pipeline=card.pipeline,
        token_loaders=_token_loaders(card),
        prompts=prompts,
        base_place=by_part["generator"].place if "generator" in by_part else "",
        front_matter=yaml_text(_front_matter(card)),
        title=card.outcome.title or card.outcome.suite,
        intro=_intro(card),
        files=_files(card),
        gains=_gain_table(card, gains),
        gains_said=_gains_said(card, gains),
        scores=_scores(card, seen),
        cautions=list(_cautions(card)),
        made=[_made(one) for one in card.parts],
        recipes=yaml_text({"recipes": {one.part: dict(one.recipe) for one in card.parts}, "data": dict(card.data)}),
        steps=_steps(card),
        costs=_costs(card),
        converted=conversions(card),
        merged_said=merged_said(card),
        encoders=graph_loaders(card),
        commands=serve_commands(card),
        serving_notes=serving_notes(card, prompts),
        provenance=_provenance(card),
        packages=_packages(card),
        data_licence=licence or "",
    )  # fmt: skip


def _front_matter(card: Card) -> dict[str, Any]:
    """The keys that hubs read. A base model is named if it is on a hub; a licence never: that is its owner's word."""
    bases = [one.base.partition("@")[0] for one in card.parts if one.place != "folder"]
    names = [UPSTREAM.get(base, base) for base in bases]
    tags = dict.fromkeys(tag for one in card.parts for tag in TAGS[one.form or one.part])
    value: dict[str, Any] = {"base_model": list(dict.fromkeys(names))} if names else {}
    if card.parts:
        value["library_name"] = TAGS[card.parts[0].form or card.parts[0].part][0]
    if len(card.parts) == 1:
        value["pipeline_tag"] = TASKS[card.parts[0].part]
    return {**value, "tags": ["rag", *tags], **model_index(card.outcome, card.system, _task(card))}


def _task(card: Card) -> str:
    """The task that hubs file the results under: that of the last part, whose output the scores are of."""
    return TASKS[card.parts[-1].part] if card.parts else TASKS["reranker"]


def _intro(card: Card) -> str:
    tuned = fmt.listed([one.part for one in card.parts])
    order = ", in this order, each on what the ones before it produce" if len(card.parts) > 1 else ""
    made = f"a RAG pipeline whose {tuned} {'was' if len(card.parts) == 1 else 'were'} tuned{order}"
    made = made if card.parts else "a RAG pipeline with other settings, in which nothing was trained"
    settings = f" Changed settings: {', '.join(card.changes)}." if card.changes else ""
    return (
        f"Candidate {card.system.label} of the suite {card.outcome.suite}: {made}.{settings} "
        f"Dataset: {card.outcome.dataset.name}, {fmt.counted(card.outcome.dataset.documents, 'document')}."
    )


def _token_loaders(card: Card) -> list[TokenLoader]:
    """The parts that compare token vectors, each model once."""
    found = []
    for part in ("retriever", "reranker"):
        section = card.pipeline[part]
        if section is None or section["kind"] != "late-interaction":
            continue
        # Without a model of its own, a reranker takes the retriever's.
        model = section["model"] or card.pipeline["retriever"]["model"]
        place = f"Path({json.dumps(model[2:])})" if model.startswith("./") else f"locate({json.dumps(model)})"
        found.append(TokenLoader(part, place, section))
    return found


def _files(card: Card) -> list[tuple[str, str]]:
    tuned = [(f"{one.folder}/", f"{WHAT[one.form or one.part]}; tuned from {one.base}") for one in card.parts]
    converted = [(one.file, f"the same bi-encoder for another runtime: {one.form}") for one in card.encoders]
    if card.merged is not None:
        converted.append((f"{card.merged.folder}/", f"the generator with its adapter merged, in {card.merged.dtype}"))
    return [*tuned, *converted, ("pipeline.yaml", "the pipeline that was measured")]


def _made(one: TunedPart) -> str:
    return f"The {one.part}: recipe {one.recipe['recipe']}, from {one.base}."


def _gains(card: Card) -> list[Comparison]:
    mine = (card.system.name, card.system.seed)
    return [row for row in card.outcome.comparisons if row.family == "gain" and (row.system, row.seed) == mine]


def _gain_table(card: Card, gains: list[Comparison]) -> Table | None:
    names = (f"gain over {BASELINE}", "simultaneous interval", "p", "margin", MDE, "queries / groups")
    columns = (*left("measure"), *map(Column, names), *left("verdict"))
    rows = [cells(row.measure, *comparison_cells(row)) for row in gains]
    caption = "Intervals and p hold for all gains of the outcome together, not only for those shown here."
    return Table("Gains", columns, tuple(rows), caption) if rows else None


def _gains_said(card: Card, gains: list[Comparison]) -> str:
    if not gains:
        return "No gain was tested: the suite gates no measure that was run."
    verdicts = [f"{row.verdict} on {row.measure}" for row in gains]
    return f"Against the same pipeline untuned, on the same queries: {fmt.listed(verdicts)}."


def _scores(card: Card, seen: View) -> Table:
    untuned = next((info for info in seen.systems if info.name == BASELINE), None)
    rows = []
    for name in seen.measures:
        mine = seen.summary(card.system, name)
        other = seen.summary(untuned, name) if untuned else None
        if mine is not None:
            means = (number(row.mean if row else None, "mean") for row in (other, mine))
            rows.append(cells(name, *means, number(mine.n, "count"), number(mine.failed or None, "count")))
    columns = (*left("measure"), *(Column(text) for text in (BASELINE, card.system.name, "queries", "failed")))
    return Table("Scores", columns, tuple(rows), f"Means. Gated: {fmt.listed(list(seen.gated)) or 'none'}.")


def _cautions(card: Card) -> Iterable[str]:
    outcome = card.outcome
    if synthetic := first_line(outcome.dataset.questions):
        yield synthetic
    if card.parts:
        yield (
            f"The scores are of one checkpoint, trained with seed {card.system.seed}. Another training run of the same "
            "recipe may score differently."
        )
    for claim in outcome.recipe_claims:
        if claim.system == card.system.name:
            seeds = fmt.counted(len(claim.seeds), "seed")
            said = decimals.difference(claim.difference, claim.low, claim.high)
            yield f"Over {seeds} of the recipe, {claim.measure}: {said}, {claim.verdict or 'too few for a verdict'}."
    for what, other in identical(card.system):
        if what != "weights":
            yield f"Its {what} are identical to those of {other}."
    if outcome.split != "test":
        yield f"Scored on the split {outcome.split}, where choices are made: confirm it on test."
    elif outcome.times_scored > 1:
        yield f"The test split has been scored {outcome.times_scored} times for this suite, with choices in between."
    yield "It was measured on one dataset: other documents and queries may give other results."


def _steps(card: Card) -> Table | None:
    rows = [
        cells(row.label or row.stage, number(row.seconds, "seconds"), fmt.anything(row.notes) or decimals.NONE)
        for row in card.outcome.ledger
        if row.key in card.calls
    ]
    columns = (*left("step"), Column("took"), Column("counts", "left", wraps=True))
    caption = "A step that candidates share runs once and has the name of the first of them."
    return Table("Steps", columns, tuple(rows), caption) if rows else None


def _costs(card: Card) -> Table | None:
    serving = card.system.serving
    retrieval, total = (serving.retrieval, serving.total) if serving else (None, None)
    rows = [
        ("build time, with data and index", fmt.duration(card.system.build_seconds)),
        ("build cost, in dollars", fmt.dollars(card.system.build_dollars)),
        ("retrieval of a query, p50 and p95", _times(retrieval)),
        ("a query from question to answer, p50 and p95", _times(total)),
        ("1,000 queries, in dollars", fmt.dollars(serving.dollars_per_1000 if serving else None)),
        ("measured on", fmt.anything(card.outcome.provenance.get("machine"))),
    ]
    return pairs("Costs", ("what", "value"), rows)


def _times(timing: Timing | None) -> str:
    if timing is None:
        return decimals.NONE
    return f"{fmt.milliseconds(timing.p50_ms)} and {fmt.milliseconds(timing.p95_ms)} ms ({timing.n} queries)"


def _provenance(card: Card) -> Table | None:
    outcome, system = card.outcome, card.system
    git = outcome.provenance.get("git") or {}
    commit = str(git.get("commit") or "unknown") + (" with changes" if git.get("dirty") else "")
    rows = [
        ("measured", f"{outcome.created}, split {outcome.split} of suite {outcome.suite}"),
        ("harness", str(outcome.provenance.get("harness", decimals.NONE))),
        ("commit of the suite's folder", commit),
        ("seed; data seed", f"{system.seed}; {card.data['data_seed']}"),
        ("dataset", f"{outcome.dataset.name}, digest {outcome.dataset.digest}"),
        ("system identity", system.identity),
        ("python", str(outcome.provenance.get("python", decimals.NONE))),
    ]
    return pairs("Provenance", ("what", "value"), rows)


def _packages(card: Card) -> Table | None:
    packages = card.outcome.provenance.get("packages") or {}
    rows = [(str(name), str(version)) for name, version in sorted(packages.items())]
    return pairs("Packages", ("what", "value"), rows)
