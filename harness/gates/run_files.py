"""Score TREC run files of any system against judgements, by query. This module knows no suite and no store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness import scoring
from harness.data.beside import synthetic_beside
from harness.data.judgements import add, read_judgements
from harness.errors import DataError, Problem, few_of_each
from harness.gates.run_lines import RunFile, read_run
from harness.report.format import counted
from harness.text.decimals import percent
from harness.values.grades import LEVEL, judged_queries, left_out_in_words, without_own, without_own_judgement
from harness.values.measures import Measure
from harness.values.questions import SyntheticQuestions
from harness.values.records import Qrels
from harness.values.repairs import Repair, Repairing, in_words

STANDARD = ("trec-judgement", "spaces")
"""Forms that need a repair in a dataset folder, but are normal in a file of judgements."""


class RunRules(NamedTuple):
    """The lowest relevant grade, and whether the document with the id of its query is left out."""

    level: int = LEVEL
    exclude_own: bool = False

    def remarks(self) -> list[str]:
        lines = []
        if self.level != LEVEL:
            lines.append(
                f"Documents of grade {self.level} or higher are relevant; only ndcg uses lower grades, as gains."
            )
        if self.exclude_own:
            lines.append("The document with the id of its query is left out of every ranking.")
        return lines


PLAIN = RunRules()
OWN_GROUPS = "Every query is its own group: the intervals are too narrow if queries belong together."


class QrelsFile(NamedTuple):
    """Judgements and the repairs made when they were read."""

    qrels: Qrels
    repairs: tuple[Repair, ...] = ()

    def remarks(self, rules: RunRules) -> list[str]:
        lines = rules.remarks()
        if self.repairs:
            lines.append(in_words(self.repairs))
        lines += left_out_in_words(self.qrels, rules.level)
        return lines


class RunScores(NamedTuple):
    """Scores by measure and query, over every judged query, and counts that describe the two files.

    `queries_without_run`: judged queries that the run lacks (score 0). `unjudged_queries`: queries of the run without
    judgements (left out). `unknown_documents`: retrieved documents, of `documents`, that no judgement names.
    `left_out`: judged queries without a relevant document. `own_documents`: rankings whose own document was removed.
    `lists` counts judged rankings; `contradicted`, `tied` and `close` are among these, see `RunFile`. `questions` is
    what the folder of the judgements says of synthetic ones.
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
    rules: RunRules = PLAIN
    run_repairs: tuple[Repair, ...] = ()
    judged: QrelsFile = QrelsFile({})
    questions: SyntheticQuestions | None = None

    @property
    def means(self) -> dict[str, float]:
        return {str(measure): sum(scores.values()) / len(scores) for measure, scores in self.values.items() if scores}

    def lines(self) -> list[str]:
        """Return that questions are synthetic, the means as text, and the remarks."""
        means, first = self.means, [self.questions.sentence] if self.questions else []
        counts = {str(measure): counted(len(scores), "query", "queries") for measure, scores in self.values.items()}
        return [*first, *(f"{name}  {means[name]:.4f}  over {counts[name]}" for name in means), *self.remarks()]

    def remarks(self) -> list[str]:
        """Return what was applied to the judgements, then to the run, in sentences."""
        return [*self.judged.remarks(self.rules), *self.run_remarks()]

    def run_remarks(self) -> list[str]:
        """Return what was applied to the run, in sentences."""
        lines = []
        if self.run_repairs:
            lines.append(in_words(self.run_repairs))
        if self.queries_without_run:
            lines.append(
                f"Judged queries that the run lacks: {self.queries_without_run:,} of {self.queries:,}; each scores 0."
            )
        if self.unjudged_queries:
            lines.append(f"Queries of the run without judgements: {self.unjudged_queries:,}, which are left out.")
        if self.contradicted:
            lines.append(
                f"Rankings whose ranks contradict the scores: {self.contradicted:,} of {self.lists:,}; scores decide, "
                "as in trec_eval."
            )
        if self.tied:
            lines.append(
                f"Rankings with equal scores: {self.tied:,} of {self.lists:,}; these are ordered by document id, "
                "descending, as in trec_eval."
            )
        if self.close:
            lines.append(
                f"Rankings with scores that differ only beyond single precision: {self.close:,} of {self.lists:,}; "
                "trec_eval treats them as ties, the harness does not."
            )
        if self.own_documents:
            lines.append(f"Rankings from which the query's own document was removed: {self.own_documents:,}.")
        if self.unknown_documents:
            share = self.unknown_documents / self.documents
            lines.append(
                f"Retrieved documents without a judgement: {self.unknown_documents:,} of {self.documents:,} "
                f"({percent(share)}), which count as not relevant."
            )
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        hidden = ("values", "rules", "run_repairs", "judged", "questions")
        counts = {name: value for name, value in self._asdict().items() if name not in hidden}
        per_query = {str(measure): scores for measure, scores in self.values.items()}
        repairs = [repair.model_dump(mode="json") for repair in (*self.judged.repairs, *self.run_repairs)]
        texts = {"repairs": repairs, "remarks": self.remarks()}
        questions = self.questions.model_dump(mode="json") if self.questions else None
        values = {"means": self.means, "questions": questions, **counts, **self.rules._asdict()}
        return {**values, **texts, "per_query": per_query}


def score_files(
    run_file: Path, qrels_file: Path, measures: Sequence[Measure], rules: RunRules = PLAIN
) -> RunScores:  # fmt: skip
    """Score a TREC run. Raises DataError if a file cannot be read, or if they share no query or no document."""
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
    rules: RunRules = PLAIN,
) -> RunScores:  # fmt: skip
    """Score a run that was read; the paths are for error messages."""
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
        what = f"no document of its rankings has a judgement in {qrels_file}, such as {listed[0]!r} here and "
        what += f"{next(iter(named))!r} there"
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
        questions=synthetic_beside(qrels_file, judged),
    )


def _check(file: RunFile, judged_by: QrelsFile, rules: RunRules, run_file: Path, qrels_file: Path) -> None:
    judged = judged_queries(judged_by.qrels, rules.level)
    if not judged:
        what = "no document is relevant to any query"
        what += f" at grade {rules.level} or more" if rules.level != LEVEL else ""
        raise DataError(Problem(str(qrels_file), what, "give judgements with grades above 0"))
    if not set(judged) & file.run.keys():
        like = f"such as {next(iter(file.run))!r} and {judged[0]!r}" if file.run else "it is empty"
        what = f"no query in common with {qrels_file} ({like})"
        raise DataError(Problem(str(run_file), what, "give a run and judgements of the same queries"))


def read_qrels_file(path: Path) -> QrelsFile:
    """Read judgements: TREC (``query 0 document relevance``), BEIR (``query document relevance``) or JSON Lines.

    Raises DataError with file and line for every line of another form, and for pairs with two different grades.
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
    """Read judgements without their repairs; see `read_qrels_file`."""
    return read_qrels_file(path).qrels
