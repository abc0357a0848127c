"""Rank run files, or files of scores by query, with confidence intervals for the ranks. Knows no suite and no store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import ConfigError, NotComparable, Problem
from harness.gates.asked import named_measures, rank_measures
from harness.gates.published import AS_PUBLISHED, ScoreFile, read_score_file, unknown_in_words
from harness.gates.run_files import OWN_GROUPS, PLAIN, RunRules, RunScores, read_all, read_qrels_file, score
from harness.gates.run_lines import read_run
from harness.report.format import counted, listed
from harness.statistics.ranks import ranks
from harness.values.boards import FileBoard, RankedFile
from harness.values.measures import Measure, parse
from harness.values.records import ScoreColumn
from harness.values.repairs import Repair


class RankedFiles(NamedTuple):
    """A board for each measure, with what was applied to the files; `questions` says that questions are synthetic."""

    boards: list[FileBoard]
    remarks: list[str]
    repairs: Sequence[Repair] = ()
    questions: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "boards": [board.model_dump(mode="json") for board in self.boards],
            "questions": list(self.questions),
            "remarks": self.remarks,
            "repairs": [repair.model_dump(mode="json") for repair in self.repairs],
        }


def rank_files(
    files: Sequence[Path], qrels: Path | None, measures: Sequence[str] = (), rules: RunRules = PLAIN
) -> RankedFiles:
    """Rank run files by judgements, or files of scores by query without, for every measure that is asked for.

    Raises ConfigError if there are fewer than two files, DataError with the problems of all files, and NotComparable if
    files of scores share no measure.
    """
    labels = _labels(files)
    if qrels is None:
        return _published(files, labels, named_measures(measures))
    read = read_all((read_qrels_file, qrels), *((read_run, path) for path in files))
    judged, asked = read[0], rank_measures(measures)
    scores: dict[str, RunScores] = {
        label: score(file, judged, asked, path, qrels, rules)
        for label, path, file in zip(labels, files, read[1:], strict=True)
    }
    remarks = judged.remarks(rules)
    remarks += [f"{label}: {line}" for label, one in scores.items() for line in one.run_remarks()]
    repairs = [*judged.repairs, *(repair for one in scores.values() for repair in one.run_repairs)]
    columns = {str(measure): {label: one.values[measure] for label, one in scores.items()} for measure in asked}
    boards = [_board(name, by_file, {}) for name, by_file in columns.items()]
    about = next((one.questions for one in scores.values() if one.questions), None)
    return RankedFiles(boards, [*remarks, OWN_GROUPS], repairs, [about.sentence] if about else [])


def _labels(files: Sequence[Path]) -> list[str]:
    """The names of files; their whole paths where names are equal."""
    if len(set(files)) < max(2, len(files)):
        what = "a file is named twice" if len(files) > 1 else "one file alone has no rank"
        raise ConfigError(Problem("", what, "give two or more files, each once"))
    names = [path.name for path in files]
    return [str(path) if names.count(path.name) > 1 else path.name for path in files]


def _published(files: Sequence[Path], labels: Sequence[str], asked: Sequence[Measure]) -> RankedFiles:
    read: list[ScoreFile] = read_all(*((read_score_file, path) for path in files))
    by_label = dict(zip(labels, read, strict=True))
    shared = [name for name in read[0].table.values if all(name in file.table.values for file in read)]
    chosen = [name for name in shared if not asked or parse(name) in asked]
    if not chosen:
        what = "have no measure in common" if not shared else f"have in common only {listed(shared)}"
        raise NotComparable(Problem(listed(labels), what, "give scores by the same measure"))
    groups = next((file.table.groups for file in read if file.grouped), {})
    columns = {name: {label: file.table.values[name] for label, file in by_label.items()} for name in chosen}
    boards = [_board(name, by_file, groups) for name, by_file in columns.items()]
    remarks = [AS_PUBLISHED, *unknown_in_words(by_label), *_left_out(columns)]
    return RankedFiles(boards, remarks if groups else [*remarks, OWN_GROUPS])


def _left_out(columns: Mapping[str, Mapping[str, ScoreColumn]]) -> list[str]:
    lines = []
    for name, by_file in columns.items():
        every = {query for column in by_file.values() for query in column}
        left = len(every) - len(_shared(by_file))
        if left:
            told = counted(left, "query has", "queries have")
            lines.append(f"{name}: {told} no score in some file and {'is' if left == 1 else 'are'} left out.")
    return lines


def _shared(by_file: Mapping[str, ScoreColumn]) -> list[str]:
    """The queries that every file has."""
    first, *others = by_file.values()
    return [query for query in first if all(query in column for column in others)]


def _board(name: str, by_file: Mapping[str, ScoreColumn], groups: Mapping[str, str]) -> FileBoard:
    queries = _shared(by_file)
    if not queries:
        raise NotComparable(Problem(listed(list(by_file)), f"share no query of {name}", "give scores of one test set"))
    of_query = {query: groups.get(query, query) for query in queries}
    columns = {label: {query: column[query] for query in queries} for label, column in by_file.items()}
    whole = {label: column for label, column in columns.items() if None not in column.values()}
    ranked = ranks(whole, of_query, parse(name)) if whole else []
    rows = tuple(
        RankedFile(label=row.name, mean=row.mean, place=row.place, best=row.best, worst=row.worst) for row in ranked
    )
    return FileBoard(
        measure=name,
        queries=len(queries),
        groups=len(set(of_query.values())),
        rows=rows,
        unranked=tuple(sorted(columns.keys() - whole.keys())),
    )
