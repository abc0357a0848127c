"""substitute: the output of an oracle in the place of a real part.

``retriever``: relevant documents are put in front of the pool. ``reranker``: the first `depth` documents of the pool
are ordered by the judgements. ``generator``: the first reference answer where a relevant passage was shown, else an
abstention. Judgements of the scored split go in, so nothing that is tuned or served may read the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from harness.data.formats import read_run, write_run
from harness.stages import Inputs, Stage, Takes
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.suite.fields import Spec
from harness.suite.recipes import ABSTENTION
from harness.values.ideals import ideal_order, ideal_pool
from harness.values.records import Answer, Progress, Qrels, Reference, Usage


class SubstituteSpec(Spec):
    """`depth`: length of the list for a retriever, how much of it is ordered anew for a reranker."""

    part: Literal["retriever", "reranker", "generator"]
    depth: int


def substitute(spec: SubstituteSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Replace the input `run`, or for a generator the input `answers`, by the output of an oracle."""
    qrels = common.read_judgements(inputs["qrels"])
    if spec.part == "generator":
        answers = common.read_answers(inputs["answers"])
        ideal = recited(answers, qrels, common.read_references(inputs["references"]))
        common.write_answers(out, ideal)
        count = len(ideal)
    else:
        run = read_run(inputs["run"] / RUN_FILE, escaped=True)
        make = ideal_pool if spec.part == "retriever" else ideal_order
        write_run(out / RUN_FILE, {key: make(hits, qrels.get(key, {}), spec.depth) for key, hits in run.items()})
        count = len(run)
    progress(count, count)
    return Usage(units=count, notes={"questions": count})


def recited(answers: Mapping[str, Answer], qrels: Qrels, references: Mapping[str, Reference]) -> list[Answer]:
    """Return the reference answer where a shown passage is relevant, and an abstention elsewhere."""
    found = []
    for query_id, answer in answers.items():
        reference = references[query_id]
        holds = reference.answerable and set(answer.context) & set(
            common.relevant_passages(query_id, qrels, references)
        )
        text = reference.answers[0] if holds and reference.answers else ABSTENTION
        found.append(answer._replace(text=text, new_tokens=len(text.split())))
    return found


STAGE = Stage(
    run=substitute,
    spec=SubstituteSpec,
    version=1,
    takes=Takes(("qrels",), ("run", "answers", "references")),
    heavy=False,
    rate=2000.0,
    unit="questions",
)
