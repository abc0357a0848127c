"""substitute: what an ideal part would have made, in the place of what the real one made.

``retriever``: relevant documents are put into the pool, before the others. ``reranker``: the first `depth` documents of
the pool are ordered by the judgements. ``generator``: the first reference answer wherever a relevant passage was shown,
else an abstention. Judgements of the scored split go in, so nothing that is tuned or served may read this.
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
    """Put an ideal part in place: of the input `run`, or, for a generator, of the input `answers`."""
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
    """The reference where the passages shown hold it; a question whose passages do not is declined."""
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
