"""synthesize: a corpus and an LLM in, training queries out, each with the passage it was written about.

Everything that was written is kept; what of it may be used is decided by `sift`, so that a stricter rule does not
cost another evening of writing. A model in process continues a few examples, a query at a time; one at an endpoint is
asked for all queries of a kind about a passage at once, so that they differ.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel

from harness.llm import Ask, Message, services
from harness.llm.prompt_templates import messages, shorten
from harness.models import generation
from harness.models.language_models import load_generator
from harness.stages import Inputs, SpeedRule, Stage, Takes
from harness.stages.shared.common import model_folder, read_corpus, read_judgements, read_queries, write_pairs
from harness.stages.shared.own_examples import Example, own_examples
from harness.stages.shared.prompts import shown_examples, synthesis_head, synthesis_tail
from harness.stages.shared.remote import MayAskEndpoint, check_failures, reasons, sound, usage
from harness.stages.shared.wording import clean_query
from harness.suite.local_models import LocalModel
from harness.suite.training_data import QueryKind
from harness.values.grades import relevant_grades
from harness.values.records import Document, Pair, Progress, Usage

Jobs = Mapping[QueryKind, Sequence[Document]]
"""The passages that each kind of query is written about; one that stands there twice gets two queries."""


class SynthesizeSpec(MayAskEndpoint):
    """See `training_data.Synthesize`; here are only the settings that change what is written.

    Of `endpoint`, the prompts are named by kind. There `max_new_tokens` and `batch_size` mean nothing, and a
    `temperature` of 0 leaves it at that of the role. With ``examples: train``, the inputs hold that split.
    """

    model: str
    queries_per_document: int
    kinds: tuple[QueryKind, ...]
    max_documents: int | None
    passage_tokens: int
    max_new_tokens: int
    temperature: float
    batch_size: int | None
    examples: Literal["built-in", "train"] = "built-in"
    local: LocalModel = LocalModel()


class _Work(NamedTuple):
    """What is to be written, and the examples of each kind; a kind without any has the built-in ones."""

    jobs: Jobs
    examples: Mapping[QueryKind, Sequence[Example]]


def synthesize(spec: SynthesizeSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write queries about passages, kind by kind, and leave them as pairs.

    The input `excluded`, if given, holds the judgements of the scored split, whose relevant passages are not written
    about.
    """
    chosen, about = passages_to_use(inputs, spec.max_documents, seed)
    work = _Work(assign_kinds(chosen, spec), _own(spec, inputs))
    ask = _in_process if spec.endpoint is None else _at_endpoint
    pairs, used = ask(spec, work, inputs, seed, progress)
    write_pairs(out, pairs)
    notes = {
        **about,
        "written about": len(chosen),
        "queries written": len(pairs),
        **{f"of kind {kind}": count for kind, count in sorted(Counter(pair.kind for pair in pairs).items())},
        **{f"own examples of kind {kind}": len(shown) for kind, shown in sorted(work.examples.items())},
        **used.notes,
    }
    return used._replace(notes=notes)


def _own(spec: SynthesizeSpec, inputs: Inputs) -> dict[QueryKind, list[Example]]:
    """Examples out of train, where the spec wants them. Raises ValueError if there is none of any kind."""
    if spec.examples == "built-in":
        return {}
    queries, qrels = read_queries(inputs["train_queries"]), read_judgements(inputs["train_qrels"])
    examples = own_examples(spec.kinds, queries, qrels, usable_passages(inputs)[0])
    if not any(examples.values()):
        kinds = " or ".join(spec.kinds)
        raise ValueError(f"no train query is a {kinds} about a passage that may be used; set examples: built-in")
    return examples


def _in_process(
    spec: SynthesizeSpec, work: _Work, inputs: Inputs, seed: int, progress: Progress
) -> tuple[list[Pair], Usage]:
    """Pairs written by a model that runs here."""
    jobs = work.jobs
    model, tokenizer = load_generator(model_folder(spec.model, inputs), local=spec.local)
    pairs: list[Pair] = []
    prompt_tokens = new_tokens = done = 0
    wanted = sum(map(len, jobs.values()))
    for number, kind in enumerate(spec.kinds):
        docs = jobs[kind]
        passages = generation.truncate(tokenizer, [document.content for document in docs], spec.passage_tokens)
        tails = [synthesis_tail(kind, passage) for passage in passages]
        sampling = generation.Sampling(
            spec.max_new_tokens, spec.batch_size, spec.temperature, one_line=True,
            seed=seed * len(spec.kinds) + number, max_tokens_per_batch=spec.local.max_tokens_per_batch,
        )  # fmt: skip
        base = done
        own = work.examples.get(kind, ())
        cut = generation.truncate(tokenizer, [example.passage for example in own], spec.passage_tokens)
        prefix = synthesis_head(kind, zip(cut, (example.query for example in own), strict=True))
        head = generation.PromptPrefix(model, tokenizer, prefix)
        written = generation.write(head, tails, sampling, lambda part, _, base=base: progress(base + part, wanted))  # type: ignore[misc]
        done += len(docs)
        for document, one in zip(docs, written, strict=True):
            pairs.append(Pair(clean_query(one.text, document.content), document.doc_id, kind, "synthetic"))
            prompt_tokens += one.prompt_tokens
            new_tokens += one.new_tokens
    return pairs, Usage(len(pairs), len(pairs), prompt_tokens, new_tokens)


def _one_line(texts: list[str]) -> list[str]:
    """Queries as written, each once and on one line; raises ValueError if none is left when they are cleaned."""
    found = list(dict.fromkeys(line for text in texts if (line := " ".join(sound(text).split()))))
    if not any(map(clean_query, found)):
        raise ValueError("no query")
    return found


class Queries(BaseModel):
    """What an endpoint is asked for: as many different queries as wanted."""

    queries: Annotated[list[str], AfterValidator(_one_line)]


class _Job(NamedTuple):
    kind: QueryKind
    document: Document
    wanted: int


def _at_endpoint(
    spec: SynthesizeSpec, work: _Work, inputs: Inputs, seed: int, progress: Progress
) -> tuple[list[Pair], Usage]:
    """Pairs written through an endpoint: one question for each kind and passage, by the kind's own prompt.

    Passages are cut in words, as no tokenizer is at hand. Each query wanted is written, or counted with the reason why
    not; raises ValueError if more than half are not. At a temperature above 0 another seed asks anew.
    """
    assert spec.endpoint is not None
    chat, prompts = services.chat("synthesizer"), spec.endpoint.prompts
    temperature = spec.temperature or spec.endpoint.temperature
    asked = [_Job(kind, *job) for kind in spec.kinds for job in _counted(work.jobs[kind])]
    asks = [
        Ask(
            _with_examples(
                messages(prompts[kind], passage=shorten(document.content, spec.passage_tokens), count=str(wanted)),
                [(shorten(passage, spec.passage_tokens), query) for passage, query in work.examples.get(kind, ())],
            ),
            Queries, temperature=temperature, repeat=seed if temperature else 0,
        )
        for kind, document, wanted in asked
    ]  # fmt: skip
    pairs: list[Pair] = []
    failed: Counter[str] = Counter()
    for (kind, document, wanted), reply in zip(asked, chat.ask_all(asks, progress), strict=True):
        written = [] if reply.failure else [clean_query(text, document.content) for text in reply.value.queries]
        queries = [query for query in dict.fromkeys(written) if query][:wanted]
        pairs += [Pair(query, document.doc_id, kind, "synthetic") for query in queries]
        failed.update({reply.failure or "fewer different ones than asked for": wanted - len(queries)})
    check_failures("queries", failed := +failed, sum(job.wanted for job in asked))
    notes = {"queries that failed": failed.total(), **reasons("queries that failed", failed)}
    return pairs, usage(len(pairs), chat, notes)


def _with_examples(asked: Sequence[Message], examples: Sequence[tuple[str, str]]) -> tuple[Message, ...]:
    """The messages with examples before the first text of the user; the same without any."""
    if not examples:
        return tuple(asked)
    first = next(place for place, message in enumerate(asked) if message.role == "user")
    told = asked[first]._replace(content=shown_examples(examples) + asked[first].content)
    return (*asked[:first], told, *asked[first + 1 :])


def _counted(documents: Sequence[Document]) -> list[tuple[Document, int]]:
    """Each passage once, with the number of queries wanted about it."""
    counts = Counter(document.doc_id for document in documents)
    return [(document, counts[key]) for key, document in {one.doc_id: one for one in documents}.items()]


def passages_to_use(inputs: Inputs, most: int | None, seed: int) -> tuple[list[Document], dict[str, int]]:
    """Return the passages that training queries may be about, at most so many, and counts of those left out."""
    usable, notes = usable_passages(inputs)
    return choose_documents(list(usable.values()), most, seed), notes


def usable_passages(inputs: Inputs) -> tuple[dict[str, Document], dict[str, int]]:
    """Return the passages that have text and are not relevant for scored queries, if these are given, and counts."""
    documents = read_corpus(inputs["corpus"])
    excluded = read_judgements(inputs["excluded"]) if "excluded" in inputs else {}
    left_out = {doc_id for docs in excluded.values() for doc_id in relevant_grades(docs)}
    empty = {key for key, item in documents.items() if not item.content.strip()}
    notes = {"passages": len(documents), "left out, being relevant for scored queries": len(left_out)}
    notes |= {"left out, having no text": len(empty)} if empty else {}
    return {key: item for key, item in documents.items() if key not in left_out and key not in empty}, notes


def choose_documents(documents: list[Document], most: int | None, seed: int) -> list[Document]:
    """Return all documents, or a seeded sample of `most` of them, in corpus order."""
    if most is None or most >= len(documents):
        return documents
    chosen = set(random.Random(seed).sample(range(len(documents)), most))
    return [document for number, document in enumerate(documents) if number in chosen]


def assign_kinds(documents: list[Document], spec: SynthesizeSpec) -> dict[QueryKind, list[Document]]:
    """Deal the kinds out in turn, so that one query a document still gives every kind its share."""
    jobs: dict[QueryKind, list[Document]] = {kind: [] for kind in spec.kinds}
    turn = 0
    for document in documents:
        for _ in range(spec.queries_per_document):
            jobs[spec.kinds[turn % len(spec.kinds)]].append(document)
            turn += 1
        # A document with as many queries as there are kinds would else always begin with the same kind.
        turn += spec.queries_per_document % len(spec.kinds) == 0
    return jobs


STAGE = Stage(
    run=synthesize,
    spec=SynthesizeSpec,
    version=2,
    takes=Takes(("corpus",), ("model", "excluded", "train_queries", "train_qrels")),
    heavy=True,
    packages=("transformers", "torch"),
    # A prompt is its passage and a line; its examples stand in the prefix, which is read once.
    rate=lambda spec: 1 / ((50 + spec.get("passage_tokens", 160)) / 1000 + spec.get("max_new_tokens", 24) / 120),
    unit="queries",
    speed=SpeedRule(size=("passage_tokens", "max_new_tokens")),
    role="synthesizer",
    all_at_endpoint=True,
)
