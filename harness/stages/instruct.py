"""instruct: questions, a run and judgements in, examples for the generator out.

An example is a question, passages as the pipeline really retrieves them, and the answer. In some the passage that holds
the answer was left out, or the dataset says that none does: these are answered with the agreed sentence. RAFT (Zhang
et al. 2024, arXiv 2403.10131) trains so, with distractors and a share of examples without the oracle passage.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import model_validator

from harness.data.formats import read_run, write_jsonl
from harness.stages import Inputs, SpeedRule, Stage, Takes
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.stages.shared.answer_writers import Answerer, Form, LocalAnswerer, ServedAnswerer, WritingSettings, holds
from harness.stages.shared.remote import MayAskEndpoint
from harness.suite.local_models import LocalModel
from harness.suite.recipes import ABSTENTION
from harness.suite.training_data import Instruct as InstructRule
from harness.text import ENGLISH
from harness.values.grades import relevant_grades
from harness.values.records import Document, Progress, Qrels, Reference, Run, Usage

INSTRUCTIONS_FILE = "instructions.jsonl"


class InstructSpec(InstructRule, MayAskEndpoint):
    """See `training_data.Instruct`; `model` is the LLM that writes the answers, if any: in process, or at `endpoint`.

    `language` says what the words of an answer are, `sentence` what is written where there is none.
    """

    model: str | None = None
    language: str = ENGLISH
    sentence: str = ABSTENTION
    local: LocalModel = LocalModel()

    @model_validator(mode="after")
    def _named(self) -> InstructSpec:
        if (self.answers == "llm") != (self.model is not None):
            raise ValueError("'answers: llm' needs 'model', and 'answers: references' takes none")
        if self.endpoint is not None and self.model is None:
            raise ValueError("'endpoint' belongs to 'answers: llm'")
        return self


class Mix(NamedTuple):
    """Which questions become which kind of example, each at most once."""

    oracle: list[str]
    without_oracle: list[str]
    unanswerable: list[str]

    @property
    def size(self) -> int:
        return sum(map(len, self))


class ShownPassages(NamedTuple):
    """Ids of passages in the order shown; `skipped` were passed over because the answer stands in them."""

    context: list[str]
    skipped: int = 0


class Material(NamedTuple):
    """What the dataset and the pipeline say of the training questions."""

    queries: dict[str, str]
    documents: dict[str, Document]
    run: Run
    qrels: Qrels
    references: dict[str, Reference]
    language: str = ENGLISH

    @classmethod
    def read(cls, inputs: Inputs, language: str = ENGLISH) -> Material:
        return cls(
            common.read_queries(inputs["queries"]),
            common.read_corpus(inputs["corpus"]),
            read_run(inputs["run"] / RUN_FILE, escaped=True),
            common.read_judgements(inputs["qrels"]),
            common.read_references(inputs["references"]) if "references" in inputs else {},
            language,
        )

    def relevant(self, query_id: str) -> list[str]:
        return common.relevant_passages(query_id, self.qrels, self.references)

    def answers(self, query_id: str) -> list[str]:
        """Reference answers in their lines, each with single spaces; those without a word are left out."""
        found = self.references[query_id].answers if query_id in self.references else ()
        whole = ("\n".join(" ".join(line.split()) for line in text.strip().splitlines()) for text in found)
        return [text for text in whole if text]

    def is_declined(self, query_id: str) -> bool:
        """Whether the dataset calls the question unanswerable."""
        return query_id in self.references and not self.references[query_id].answerable

    def retrieved(self, query_id: str) -> list[str]:
        """What the retriever found and nobody calls relevant, best first."""
        known = set(relevant_grades(self.qrels.get(query_id, {})))
        known |= set(self.references[query_id].source_passages if query_id in self.references else ())
        return [doc_id for doc_id, _ in self.run.get(query_id, []) if doc_id not in known]

    def lacking(self, query_id: str, count: int) -> ShownPassages:
        """The first passages retrieved that are not relevant and in which no reference answer stands."""
        kept: list[str] = []
        skipped = 0
        for doc_id in self.retrieved(query_id):
            if len(kept) == count:
                break
            text = self.documents[doc_id].content
            if any(holds(text, answer, self.language) for answer in self.answers(query_id)):
                skipped += 1
            else:
                kept.append(doc_id)
        return ShownPassages(kept, skipped)

    def around(self, query_id: str, distractors: int, seed: int) -> ShownPassages:
        """The relevant passage (or the one the question was written against) somewhere among distractors."""
        context = self.retrieved(query_id)[:distractors]
        chosen = self.relevant(query_id)[:1]
        place = random.Random(f"place {seed} {query_id}").randrange(len(context) + 1)
        return ShownPassages([*context[:place], *chosen, *context[place:]])


def instruct(spec: InstructSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write the examples; raises ValueError if there is none whose answer is known.

    The inputs `queries` and `qrels` are those of the train split, or both the folder of synthetic pairs; `references`
    may be missing where an LLM writes the answers.
    """
    material = Material.read(inputs, spec.language)
    answerable, unanswerable = pools(material, spec, seed)
    lackable = [key for key in reversed(answerable) if spec.without_oracle and material.lacking(key, 1).context]
    if spec.answers == "llm":
        answerer = _answerer(spec, inputs)
        mixed, answers = _written(spec, material, Mix(answerable, lackable, unanswerable), answerer, progress)
        usage = answerer.usage()
    else:
        mixed = mix(spec, answerable, lackable, unanswerable)
        answers = {key: material.answers(key)[0] for key in mixed.oracle}
        usage = Usage()
    if not mixed.oracle:
        raise ValueError(
            "no training question has both a relevant passage and a usable answer; judge some, or let an LLM write "
            "answers (instruct.answers: llm)"
        )
    rows, notes = rows_of(spec, material, mixed, answers, seed)
    write_jsonl(out / INSTRUCTIONS_FILE, rows)
    progress(len(rows), len(rows))
    unused = len(material.queries) - len(answerable) - len(unanswerable)
    return usage._replace(
        units=len(rows), notes={**notes, "questions without a passage or an answer": unused, **usage.notes}
    )


def _answerer(spec: InstructSpec, inputs: Inputs) -> Answerer:
    assert spec.model is not None
    form = Form(spec.language, spec.sentence)
    settings = WritingSettings(spec.passage_tokens, spec.max_new_tokens, spec.batch_size, form, spec.local)
    if spec.endpoint is not None:
        return ServedAnswerer(spec.endpoint.prompts["instruct"], settings)
    return LocalAnswerer(common.model_folder(spec.model, inputs), settings)


def pools(material: Material, spec: InstructSpec, seed: int) -> tuple[list[str], list[str]]:
    """Questions that can be answered, and those that the dataset calls unanswerable, in an order drawn by the seed."""
    answerable, unanswerable = [], []
    order = sorted(material.queries, key=lambda key: (random.Random(f"order {seed} {key}").random(), key))
    for query_id in order:
        if material.is_declined(query_id):
            if material.relevant(query_id) or material.retrieved(query_id):
                unanswerable.append(query_id)
        elif material.relevant(query_id) and (spec.answers == "llm" or material.answers(query_id)):
            answerable.append(query_id)
    return answerable, unanswerable


def mix(rule: InstructRule, answered: Sequence[str], lackable: Sequence[str], unanswerable: Sequence[str]) -> Mix:
    """Choose as many questions as `examples` and the shares allow, each kind from the front of its list.

    Of a mix of n, ``round(share * n)`` are without oracle and unanswerable; where there are too few of a kind, the
    others are answered. If `lackable` runs against `answered`, a larger mix holds the smaller.
    """
    known = set(answered)
    taken = [0, *accumulate(key in known for key in lackable)]
    most = len(known | set(lackable)) + len(unanswerable)
    for total in range(min(rule.examples or most, most), 0, -1):
        without = min(round(rule.without_oracle * total), len(lackable))
        declined = min(round(rule.unanswerable * total), len(unanswerable))
        if total - without - declined <= len(answered) - taken[without]:
            left = _except(answered, lackable[:without])[: total - without - declined]
            return Mix(left, list(lackable[:without]), list(unanswerable[:declined]))
    return Mix([], [], [])


def _except(ids: Sequence[str], others: Collection[str]) -> list[str]:
    excluded = set(others)
    return [key for key in ids if key not in excluded]


def _written(
    spec: InstructSpec, material: Material, pool: Mix, answerer: Answerer, progress: Progress
) -> tuple[Mix, dict[str, str]]:
    """Let the LLM answer until every answered example of the mix has an answer worth training on."""
    answers: dict[str, str] = {}
    tried: set[str] = set()
    while True:
        hopeful = [key for key in pool.oracle if key in answers or key not in tried]
        mixed = mix(spec, hopeful, pool.without_oracle, pool.unanswerable)
        asked = [key for key in mixed.oracle if key not in tried]
        if not asked:
            return mixed, answers
        before, total = len(tried), len(tried) + len(asked)
        passages = [material.documents[material.relevant(key)[0]].content for key in asked]
        pairs = [(material.queries[key], passage) for key, passage in zip(asked, passages, strict=True)]
        texts = answerer.write(pairs, lambda done, _, before=before, total=total: progress(before + done, total))  # type: ignore[misc]
        answers |= {key: text for key, text in zip(asked, texts, strict=True) if text is not None}
        tried |= set(asked)


def rows_of(
    spec: InstructSpec, material: Material, mixed: Mix, answers: dict[str, str], seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The examples in an order that does not tell their kinds, and what the ledger is told of them."""
    kinds = {key: kind for kind, keys in zip(Mix._fields, mixed, strict=True) for key in keys}
    rows, skipped, short = [], 0, 0
    for query_id in sorted(kinds, key=lambda key: (random.Random(f"row {seed} {key}").random(), key)):
        kind, wanted = kinds[query_id], spec.distractors + 1
        if kind == "without_oracle":
            shown = material.lacking(query_id, wanted)
        elif material.relevant(query_id):
            shown = material.around(query_id, spec.distractors, seed)
        else:
            shown = ShownPassages(material.retrieved(query_id)[:wanted])
        skipped += shown.skipped
        short += len(shown.context) < wanted
        answer = answers[query_id] if kind == "oracle" else spec.sentence
        rows.append(
            {"query_id": query_id, "query": material.queries[query_id], "context": shown.context, "answer": answer,
             "kind": kind}
        )  # fmt: skip
    return rows, {
        "examples": len(rows),
        "with the relevant passage": len(mixed.oracle),
        "with it left out": len(mixed.without_oracle),
        "unanswerable": len(mixed.unanswerable),
        "too few to leave it out": round(spec.without_oracle * len(rows)) - len(mixed.without_oracle),
        "too few unanswerable": round(spec.unanswerable * len(rows)) - len(mixed.unanswerable),
        "fewer passages than asked": short,
        "passages skipped, holding the answer": skipped,
    }


STAGE = Stage(
    run=instruct,
    spec=InstructSpec,
    version=3,
    takes=Takes(("corpus", "queries", "qrels", "run"), ("references", "model")),
    heavy=True,
    packages=("transformers", "torch"),
    rate=lambda spec: 1.0 if spec.get("answers") == "llm" else 1000.0,
    unit="examples",
    speed=SpeedRule(kind=("answers",), size=("passage_tokens", "max_new_tokens")),
    role="synthesizer",
    all_at_endpoint=True,
)
