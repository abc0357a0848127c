"""Run files of any system, judged: a TREC run and judgements in, scores by query out. Knows no suite and no store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness import scoring
from harness.data.judgements import add, read_judgements
from harness.errors import DataError, Problem, few_of_each
from harness.gates.run_lines import RunFile, read_run
from harness.values.grades import LEVEL, judged_queries, left_out_in_words, without_own, without_own_judgement
from harness.values.measures import Measure
from harness.values.records import Qrels
from harness.values.repairs import Repair, Repairing, in_words

STANDARD = ("trec-judgement", "spaces")
"""What is a repair in a folder is an accepted form of a file of judgements."""


class RelevanceRules(NamedTuple):
    """From which grade on a document is relevant, and whether the document with the query's own id is left out."""

    level: int = LEVEL
    exclude_own: bool = False

    def remarks(self) -> list[str]:
        told = []
        if self.level != LEVEL:
            told.append(f"A document is relevant from grade {self.level} on; ndcg alone reads lower grades, as gains.")
        if self.exclude_own:
            told.append("The document that has the id of its query is left out of every list.")
        return told


DEFAULT_RULES = RelevanceRules()


class QrelsFile(NamedTuple):
    """Judgements as read, and what was repaired in them."""

    qrels: Qrels
    repairs: tuple[Repair, ...] = ()

    def remarks(self, rules: RelevanceRules) -> list[str]:
        told = rules.remarks()
        if self.repairs:
            told.append(in_words(self.repairs))
        told += left_out_in_words(self.qrels, rules.level)
        return told


class RunScores(NamedTuple):
    """Scores by measure and query, over every judged query, and what a reader must know of the two files.

    `missing_lists`: judged queries that the run lacks (each an empty list: 0). `unjudged_queries`: queries of the run
    that nobody judged (left out). `unknown_documents`: listed documents, of `documents`, that no judgement names.
    `left_out`: judged queries without a relevant document. `own_documents`: lists that held the document of their
    query, and go without it. `contradicted`, `tied` and `close` count judged lists; see `RunFile`.
    """

    values: dict[Measure, dict[str, float]]
    queries: int
    queries_without_run: int
    unjudged_queries: int
    documents: int
    unknown_documents: int
    left_out: int = 0
    own_documents: int = 0
    contradicted: int = 0
    tied: int = 0
    close: int = 0
    lists: int = 0
    rules: RelevanceRules = DEFAULT_RULES
    run_repairs: tuple[Repair, ...] = ()
    judged: QrelsFile = QrelsFile({})

    @property
    def means(self) -> dict[str, float]:
        return {str(measure): sum(found.values()) / len(found) for measure, found in self.values.items() if found}

    def lines(self) -> list[str]:
        """The means, and everything that a reader must know of them."""
        means = self.means
        counts = {str(measure): len(found) for measure, found in self.values.items()}
        return [f"{name}  {means[name]:.4f}  over {counts[name]:,} queries" for name in means] + self.remarks()

    def remarks(self) -> list[str]:
        """Everything that was applied: to the judgements, then to the run."""
        return [*self.judged.remarks(self.rules), *self.run_remarks()]

    def run_remarks(self) -> list[str]:
        """What was applied to the run."""
        told = []
        if self.run_repairs:
            told.append(in_words(self.run_repairs))
        if self.queries_without_run:
            told.append(
                f"{self.queries_without_run} of {self.queries} judged queries have no list in the run: each scores 0."
            )
        if self.unjudged_queries:
            told.append(f"{self.unjudged_queries} queries of the run are not judged, and are left out.")
        if self.contradicted:
            told.append(
                f"Ranks contradict scores in {self.contradicted:,} of {self.lists:,} lists; scores count, as in "
                "trec_eval."
            )
        if self.tied:
            told.append(
                f"{self.tied:,} of {self.lists:,} lists hold equal scores, ordered by document id, descending, as in "
                "trec_eval."
            )
        if self.close:
            told.append(
                f"{self.close:,} of {self.lists:,} lists hold scores that differ, but not in single precision: "
                "ties for trec_eval, none here."
            )
        if self.own_documents:
            told.append(f"{self.own_documents:,} lists held the document of their own query, and go without it.")
        if self.unknown_documents:
            share = self.unknown_documents / self.documents
            told.append(
                f"{self.unknown_documents:,} of {self.documents:,} listed documents ({share:.0%}) are in no judgement, "
                "and count as not relevant."
            )
        return told

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        hidden = ("values", "rules", "run_repairs", "judged")
        counts = {name: value for name, value in self._asdict().items() if name not in hidden}
        per_query = {str(measure): found for measure, found in self.values.items()}
        repairs = [repair.model_dump(mode="json") for repair in (*self.judged.repairs, *self.run_repairs)]
        told = {"repairs": repairs, "remarks": self.remarks()}
        return {"means": self.means, **counts, **self.rules._asdict(), **told, "per_query": per_query}


def score_files(
    run_file: Path, qrels_file: Path, measures: Sequence[Measure], rules: RelevanceRules = DEFAULT_RULES
) -> RunScores:  # fmt: skip
    """Score a TREC run. Raises DataError for files that cannot be read, or that have no query or document in common."""
    run, judged = read_all((read_run, run_file), (read_qrels_file, qrels_file))
    return score(run, judged, measures, run_file, qrels_file, rules)


def read_all(*files: tuple[Callable[[Path], Any], Path]) -> list[Any]:
    """Read every file with its reader; raise DataError with the problems of all of them."""
    problems: list[Problem] = []
    read = []
    for reader, path in files:
        try:
            read.append(reader(path))
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    return read


def score(
    file: RunFile, judged_by: QrelsFile, measures: Sequence[Measure], run_file: Path, qrels_file: Path,
    rules: RelevanceRules = DEFAULT_RULES,
) -> RunScores:  # fmt: skip
    """Score lists that were read; the files are named in errors."""
    lists = without_own(file.run) if rules.exclude_own else file.run
    if rules.exclude_own:
        judged_by = judged_by._replace(qrels=without_own_judgement(judged_by.qrels))
    qrels = judged_by.qrels
    judged = judged_queries(qrels, rules.level)
    _check(file, judged_by, rules, run_file, qrels_file)
    named = dict.fromkeys(doc_id for documents in qrels.values() for doc_id in documents)
    asked = dict.fromkeys([*judged, *judged_queries(qrels)])
    listed = [doc_id for query in asked for doc_id, _ in lists.get(query, [])]
    unknown = sum(doc_id not in named for doc_id in listed)
    if listed and unknown == len(listed):
        what = f"none of its {len(listed):,} listed documents is named in {qrels_file}, such as {listed[0]!r} "
        what += f"and {next(iter(named))!r}"
        raise DataError(Problem(str(run_file), what, "give a run and judgements of the same corpus"))
    return RunScores(
        values=scoring.score_run(file.run, qrels, measures, rules.level, rules.exclude_own),
        queries=len(judged),
        queries_without_run=scoring.queries_without_run(lists, qrels, rules.level),
        unjudged_queries=len(file.run.keys() - qrels.keys()),
        documents=len(listed),
        unknown_documents=unknown,
        left_out=len(qrels) - len(judged),
        own_documents=sum(len(lists[query]) < len(file.run[query]) for query in asked.keys() & file.run.keys()),
        contradicted=len(file.contradicted & asked.keys()),
        tied=len(file.tied & asked.keys()),
        close=len(file.close & asked.keys()),
        lists=len(asked.keys() & file.run.keys()),
        rules=rules,
        run_repairs=file.repairs,
        judged=judged_by,
    )


def _check(file: RunFile, judged_by: QrelsFile, rules: RelevanceRules, run_file: Path, qrels_file: Path) -> None:
    judged = judged_queries(judged_by.qrels, rules.level)
    if not judged:
        what = "no document is relevant to any query"
        what += f" at grade {rules.level} or more" if rules.level != LEVEL else ""
        raise DataError(Problem(str(qrels_file), what, "give judgements above 0"))
    if not set(judged) & file.run.keys():
        like = f"such as {next(iter(file.run))!r} and {judged[0]!r}" if file.run else "it is empty"
        what = f"no query in common with {qrels_file} ({like})"
        raise DataError(Problem(str(run_file), what, "give both of one set"))


def read_qrels_file(path: Path) -> QrelsFile:
    """Read judgements: TREC (``query 0 document relevance``), BEIR (``query document relevance``) or JSON Lines.

    Raises DataError with file and line for every line that is none of these, or judges a pair twice by two grades.
    """
    problems: list[Problem] = []
    repairing = Repairing()
    qrels: Qrels = {}
    lines: dict[str, str] = {}
    for item in read_judgements(path, problems, repairing):
        add(item, qrels, lines, problems, repairing)
    if problems:
        raise DataError(few_of_each(problems))
    return QrelsFile(qrels, tuple(repair for repair in repairing.made() if repair.kind not in STANDARD))


def read_qrels(path: Path) -> Qrels:
    """Read judgements alone; see `read_qrels_file`."""
    return read_qrels_file(path).qrels
