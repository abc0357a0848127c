"""The suite that `harness init --from DIR` writes: settings that fit the dataset, and what the dataset still lacks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from harness.ingest.survey import Survey
from harness.report import format
from harness.text import ENGLISH, decimals, name_of

LONG_SHARE = 0.1
"""Share of long documents from which on they are cut into chunks."""
SECTIONED_SHARE = 0.3
"""Share of documents with headings from which on chunks do not cross these."""
UNSCORED = "so nothing can be scored"
ENOUGH_QUERIES = 200
CUTOFFS = (100, 50, 20, 10, 5, 1)
DEPTH, RERANK_DEPTH, CONTEXT = 100, 50, 5
EVIDENCE = "evidence@500"
SCORED, TRAINED, CHOSEN = "test", "train", "dev"


def suite_text(name: str, path: str, survey: Survey) -> str:
    """Return the suite as YAML. `path` is that of the dataset, relative to the suite."""
    return "\n".join(line.rstrip() for line in _lines(name, path, survey)) + "\n"


def relative_path(dataset: Path, folder: Path) -> str:
    """Return the path of a dataset as the suite in a folder names it."""
    try:
        return Path(os.path.relpath(dataset.absolute(), folder.absolute())).as_posix()
    except ValueError:
        return dataset.absolute().as_posix()


def scored_split(survey: Survey) -> str:
    """Return the split that is scored: test, or dev if only that is judged."""
    return CHOSEN if SCORED not in survey.splits and CHOSEN in survey.splits else SCORED


def _lines(name: str, path: str, survey: Survey) -> Iterator[str]:
    # Chunks are more than documents.
    by = _cut_by(survey)
    depth = DEPTH if by else min(DEPTH, survey.documents)
    answered = survey.answers > survey.unanswerable
    yield "# Written by `harness init --from`. `harness init FOLDER` writes a suite with every key explained."
    yield "schema: harness/suite-2"
    yield f"name: {name}"
    # Queries about one document, or of one conversation, are alike.
    group = f", group: {{metadata: {survey.group}}}" if survey.group else ""
    yield f"dataset: {{path: {_quoted(path)}{group}}}   # {_about(survey)}"
    if scored_split(survey) != SCORED:
        yield f"evaluate: {{split: {scored_split(survey)}}}   # there is no split test"
    yield "pipeline:"
    if by:
        share = decimals.percent(survey.long)
        yield f"  chunking: {{by: {by}, tokens: 256, overlap: 32}}   # {share} of the documents are longer"
    yield '  retriever: {model: "embedded:all-minilm-l6-v2", max_length: 256}'
    if answered:
        yield '  generator: {model: "embedded:smollm2-135m-instruct", max_new_tokens: 48}'
    else:
        yield "  generator: null   # there are no reference answers, so only retrieval is measured"
    if depth < DEPTH:
        yield f"  depth: {depth}"
        yield f"  rerank_depth: {min(RERANK_DEPTH, depth)}"
        yield f"  context: {min(CONTEXT, depth)}"
    if not answered:
        yield "baseline_rows: [bm25, hybrid, untuned]"
    yield "candidates:"
    yield from _candidates(survey, by)
    cutoffs = [cutoff for cutoff in CUTOFFS if cutoff <= depth]
    rank = f"ndcg@{min(10, cutoffs[0])}"
    evidence = [EVIDENCE] if by and survey.spans else []
    measures = [rank, f"recall@{cutoffs[0]}", *evidence, *(["token_f1", "utility"] if answered else [])]
    yield f"measures: [{', '.join(measures)}]" + ("   # evidence: read within so many words" if evidence else "")
    if answered:
        yield "utility: {right: token_f1, threshold: 0.5}"
    yield "gates:"
    yield f"  - {{measure: {rank}, margin: 0.01}}"
    if evidence:
        yield f"  - {{measure: {evidence[0]}, margin: 0.02}}   # does not depend on the length of chunks"


def _candidates(survey: Survey, by: str) -> Iterator[str]:
    # A weight that is chosen on the split that is scored looks better than it is.
    weight = CHOSEN if CHOSEN in survey.splits and scored_split(survey) != CHOSEN else "0.3"
    yield f"  fused: {{pipeline: {{retriever: {{bm25_weight: {weight}}}}}}}   # bm25 mixed in"
    yield "  late-interaction: {pipeline: {reranker: {kind: late-interaction}}}"
    if by:
        yield "  chunks-128: {pipeline: {chunking: {tokens: 128, overlap: 16}}}"
        yield "  whole: {pipeline: {chunking: null}}   # documents as they are, cut off after 256 tokens"
    if TRAINED in survey.splits:
        yield "  judged: {tune: [retriever], pairs: judged}   # learns from the judged queries of train"
    yield "  synthetic: {tune: [retriever]}   # learns from queries that a language model writes"


def _cut_by(survey: Survey) -> str:
    """How documents are cut: by headings or by tokens; not at all if few are long."""
    if survey.long < LONG_SHARE:
        return ""
    return "headings" if survey.sectioned >= SECTIONED_SHARE else "tokens"


def _about(survey: Survey) -> str:
    language = name_of(survey.language.language) if survey.language.certain else "language not recognised"
    return f"{format.counted(survey.documents, 'document')}, {language}"


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def missing(dataset: Path, survey: Survey) -> list[str]:
    """Return what a dataset lacks for a sound comparison, and what to do, a sentence each."""
    lines: list[str] = []
    if not survey.queries or not survey.splits:
        what = "no judged questions" if survey.queries else "no questions"
        lines.append(f"It has {what}, {UNSCORED}: harness testset {dataset} writes some.")
        return lines
    if scored_split(survey) not in survey.splits:
        lines.append(f"It has no split test, {UNSCORED}: judge queries in qrels/test.tsv.")
    elif SCORED not in survey.splits:
        lines.append("It has no split test, so dev is scored: judge queries that nothing else uses.")
    if CHOSEN not in survey.splits:
        lines.append("It has no split dev, by which weights and checkpoints are chosen: add qrels/dev.tsv.")
    if TRAINED not in survey.splits:
        lines.append("It has no split train: candidates learn from synthetic queries only.")
    if survey.answers <= survey.unanswerable:
        lines.append("It has no reference answers (answers.jsonl), so only retrieval is measured.")
    judged = survey.splits.get(scored_split(survey), 0)
    if 0 < judged < ENOUGH_QUERIES:
        queries = format.counted(judged, "judged query", "judged queries")
        lines.append(f"It has {queries} to score; about {ENOUGH_QUERIES} show differences of a few points.")
    if survey.synthetic:
        lines.append(
            f"{survey.synthetic:,} of its questions are synthetic, and a person has reviewed {survey.reviewed:,}: "
            f"harness testset {dataset} --apply FILE applies a review."
        )
    if survey.language.certain and survey.language.language != ENGLISH:
        lines.append(
            f"It is in {name_of(survey.language.language)}, and the embedded models read English only: name others in "
            "pipeline (docs/languages.md)."
        )
    return lines
