"""external: what a whole RAG system gives for queries, a run and answers: asked here, or read from files.

Its passages are named by ids of documents. A document that is named twice counts once, where it stands first. An id
that no document has stays in the run as a miss. What failed has a row with its reason: see `shared.failed_rankings`;
for answers it is `failed.jsonl`, as of a generator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.formats import read_jsonl, read_run, write_jsonl, write_run
from harness.errors import DataError, Problem
from harness.llm import Reply, services
from harness.llm.prompt_templates import rough_tokens
from harness.llm.served_system import SystemClient, SystemQuestion
from harness.stages import Asked, Inputs, Stage, Step, Takes
from harness.stages.answer import FAILED_FILE
from harness.stages.retrieve import RUN_FILE, silent
from harness.stages.shared import common, remote
from harness.stages.shared.failed_rankings import write_failed
from harness.suite.fields import Positive, Spec
from harness.suite.served_models import SystemEndpoint
from harness.values.grades import without_own
from harness.values.records import Answer, Document, Progress, Run, Turn, Usage

NO_ANSWER, NO_PASSAGES = "it gave no answer", "it gave no passages"
UNKNOWN, TWICE = "passages that are not in the corpus", "passages named before"
RUN_ONLY = "queries of the files that are not in the split"
FORM = 'write {"query_id": "q1", "answer": "..."}'


class ExternalSpec(Spec):
    """At most `depth` passages a query. `endpoint` is the identity of a system; without it, the input `files` is read.

    With `exclude_own`, the document that has the id of the query is left out.
    """

    depth: Positive
    endpoint: SystemEndpoint | None = None
    exclude_own: bool = False


class Given(NamedTuple):
    """What a system gave, by query: rankings of document ids, answers, and what failed with its reason."""

    rankings: dict[str, tuple[str, ...]]
    answers: dict[str, str]
    failed_rankings: dict[str, str]
    failed_answers: dict[str, str]
    scores: Run


def external(spec: ExternalSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write the run of the input `queries` and the answers of those in `sample`.

    Raises ValueError if nothing that the system gave can be used, and DataError for a file that cannot be read.
    """
    queries, documents = common.read_queries(inputs["queries"]), common.read_corpus(inputs["corpus"])
    sample = common.read_queries(inputs["sample"]) if "sample" in inputs else {}
    if spec.endpoint is None:
        given, notes = _read(inputs["files"], queries, sample)
        client = None
    else:
        client = services.system(spec.endpoint)
        given, notes = _asked(client, questions_of(spec, inputs, queries, sample), sample, progress), {}
    notes |= _write(out, spec, given, documents)
    progress(len(queries), len(queries))
    if client is None:
        return Usage(units=len(queries), notes=notes)
    failed = len(given.failed_rankings.keys() | given.failed_answers.keys())
    return remote.usage(len(queries), client, notes)._replace(failed=failed)


def questions_of(
    spec: ExternalSpec, inputs: Inputs, queries: Mapping[str, str], sample: Collection[str]
) -> dict[str, SystemQuestion]:
    """Return what a system is asked for each query; only those of the sample need an answer."""
    histories = common.read_histories(inputs["history"]) if "history" in inputs else {}
    depth = spec.depth + spec.exclude_own
    none: tuple[Turn, ...] = ()
    return {
        query_id: SystemQuestion(text, depth, query_id in sample, tuple(histories.get(query_id, none)))
        for query_id, text in queries.items()
    }


def _asked(
    client: SystemClient, questions: Mapping[str, SystemQuestion], sample: Collection[str], progress: Progress
) -> Given:
    replies = dict(zip(questions, client.ask(list(questions.values()), progress), strict=True))
    failed = Counter(reply.failure for reply in replies.values() if reply.failure)
    remote.check_failures("questions to the external system", failed, len(questions))
    written = {key: reply.answer for key, reply in replies.items() if key in sample and reply.answer}
    lost = {key: reply.failure for key, reply in replies.items() if reply.failure}
    if not any(reply.passages for reply in replies.values()):
        lost = {key: reply.failure or NO_PASSAGES for key, reply in replies.items()}
    return Given(
        {key: reply.passages for key, reply in replies.items() if key not in lost},
        written,
        lost,
        {key: replies[key].failure or NO_ANSWER for key in sample if key not in written},
        {},
    )


def _read(folder: Path, queries: Collection[str], sample: Collection[str]) -> tuple[Given, dict[str, Any]]:
    """Read the files of a system; a query that they lack has an empty list, or an answer that failed."""
    run, answers = folder / "run", folder / "answers"
    scores = read_run(run) if run.is_file() else {}
    written = _read_answers(answers) if answers.is_file() else {}
    for name, found in (("run", scores), ("answers", written)):
        if found and not found.keys() & set(queries):
            like = f"{next(iter(found))!r} there, and {next(iter(queries))!r} here"
            raise ValueError(f"no query of its {name} is in the split (such as {like}); give those of the scored split")
    given = Given(
        {}, {key: text for key, text in written.items() if key in sample and text}, {},
        {key: NO_ANSWER for key in sample if not written.get(key)} if written else {},
        {key: sorted(scores.get(key, []), key=lambda hit: -hit[1]) for key in queries} if scores else {},
    )  # fmt: skip
    others = len((scores.keys() | written.keys()) - set(queries))
    return given, {RUN_ONLY: others} if others else {}


def _read_answers(path: Path) -> dict[str, str]:
    problems: list[Problem] = []
    answers: dict[str, str] = {}
    for number, row in read_jsonl(path, problems):
        key, text = row.get("query_id"), row.get("answer")
        if not isinstance(key, str) or not isinstance(text, str | None):
            problems.append(Problem(f"answers:{number}", "no 'query_id' and 'answer' that are texts", FORM))
        elif key in answers:
            problems.append(Problem(f"answers:{number}", f"query {key!r} is answered twice", "keep one"))
        else:
            answers[key] = remote.sound(text or "").strip()
    if problems:
        raise DataError(problems)
    return answers


def _write(out: Path, spec: ExternalSpec, given: Given, documents: Mapping[str, Document]) -> dict[str, Any]:
    """Write what a system gave; return what the ledger is told. Raises ValueError if no passage is in the corpus."""
    twice = sum(len(ids) - len({*ids}) for ids in given.rankings.values())
    # The place decides, whatever a system calls a score.
    run: Run = given.scores or {
        key: [(doc_id, float(len(ids) - place)) for place, doc_id in enumerate(dict.fromkeys(ids))]
        for key, ids in given.rankings.items()
    }
    run = without_own(run) if spec.exclude_own else run
    run = {key: hits[: spec.depth] for key, hits in run.items()}
    listed = [doc_id for hits in run.values() for doc_id, _ in hits]
    unknown = sum(doc_id not in documents for doc_id in listed)
    if listed and unknown == len(listed):
        like = f"{listed[0]!r} there, and {next(iter(documents))!r} here"
        raise ValueError(f"none of its {unknown:,} passages is in the corpus (such as {like}); use ids of documents")
    write_run(out / RUN_FILE, run)
    write_failed(out, given.failed_rankings)
    write_jsonl(out / FAILED_FILE, [{"query_id": k, "reason": why} for k, why in given.failed_answers.items()])
    contexts = {key: tuple(doc_id for doc_id, _ in hits if doc_id in documents) for key, hits in run.items()}
    common.write_answers(
        out, [Answer(key, text, 0, rough_tokens(text), contexts.get(key, ())) for key, text in given.answers.items()]
    )
    counts = {
        UNKNOWN: unknown, TWICE: twice, "empty lists": sum(not hits for hits in run.values()),
        "rankings that failed": len(given.failed_rankings), "answers that failed": len(given.failed_answers),
    }  # fmt: skip
    told = {name: count for name, count in counts.items() if count}
    return {"queries": len(run), "answers": len(given.answers), **told}


def serve(spec: ExternalSpec, inputs: Inputs) -> Step:
    """Ask for one query, passages and an answer, past the cache. Raises ValueError if it fails."""
    assert spec.endpoint is not None
    client = services.system(spec.endpoint)

    def step(asked: Asked) -> Reply:
        before = client.spent
        question = SystemQuestion(asked.text, spec.depth, "sample" in inputs, tuple(asked.turns))
        (reply,) = client.ask([question], silent, fresh=True)
        if reply.failure:
            raise ValueError(f"the external system did not answer: {reply.failure}")
        return client.since(before)

    return step


STAGE = Stage(
    run=external,
    spec=ExternalSpec,
    version=1,
    takes=Takes(("queries", "corpus"), ("files", "sample", "history")),
    heavy=True,
    rate=1.0,
    unit="queries",
    role="system",
    all_at_endpoint=True,
    serve=serve,
)
