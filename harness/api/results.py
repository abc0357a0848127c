"""What the functions of the package return: a frozen value, where it was written, and ways to look at it.

Each result shows itself in a notebook (`_repr_html_`: self-contained, in the colours of the notebook's theme) and gives
its tables as frames. The values inside are those of `outcome.json` and `diagnosis.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness.api.frames import Framed, of_file, of_rows
from harness.api.tables import (
    COMPARISON,
    DIAGNOSIS,
    OUTCOME,
    Columns,
    comparison_rows,
    diagnosis_rows,
    labels_of,
    outcome_rows,
)
from harness.gates.compare import SCORES_FILE, Compared
from harness.report.untrusted import plain
from harness.values.findings import Outcome
from harness.values.insights import Diagnosis

if TYPE_CHECKING:
    import pyarrow

ROWS = {"queries": SCORES_FILE, "answers": "answers.parquet"}
"""Tables that are files beside a value."""


@dataclass(frozen=True, repr=False)
class OutcomeResult(Framed):
    """The outcome of a suite: its value, and the folder of its report, rows and runs.

    Tables: ``systems``, ``summaries`` (the default), ``comparisons``, ``queries``, ``answers``, ``ledger``.
    """

    outcome: Outcome
    folder: Path
    tables: ClassVar[Mapping[str, Columns]] = OUTCOME
    default: ClassVar[str] = "summaries"

    @property
    def report(self) -> Path:
        """The page of the report."""
        from harness.report import PAGE_FILE

        return self.folder / PAGE_FILE

    def _made(self, table: str, columns: Columns) -> pyarrow.Table:
        if table in ROWS:
            return of_file(self.folder / ROWS[table], columns, labels_of(self.outcome))
        return of_rows(outcome_rows(table, self.outcome), columns)

    def _repr_html_(self) -> str:
        from harness.report.render.fragment import outcome_fragment

        return outcome_fragment(self.outcome)

    def __repr__(self) -> str:
        from harness.report.content.outcome import contents

        about = f"{type(self).__name__} of {self.outcome.suite}, {self.outcome.created}"
        return plain(f"<{about}: {contents(self.outcome).headline.first}>")


@dataclass(frozen=True, repr=False)
class RunResult(OutcomeResult):
    """The outcome of a run, and how much of it was computed in this run.

    `failed_share` is the largest share of scores that failed, of any system on any measure.
    """

    calls_made: int
    calls_failed: int
    failed_share: float
    failure_limit: float
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether something was measured, and no more scores failed than the suite's `failure_limit` allows."""
        return any(row.n for row in self.outcome.summaries) and self.failed_share <= self.failure_limit


@dataclass(frozen=True, repr=False)
class DiagnosisResult(Framed):
    """The diagnosis of a suite: its value, and the folder of its report and rows.

    Tables: ``funnels``, ``oracle_gains``, ``advice`` (the default), ``queries``.
    """

    diagnosis: Diagnosis
    folder: Path
    tables: ClassVar[Mapping[str, Columns]] = DIAGNOSIS
    default: ClassVar[str] = "advice"

    @property
    def report(self) -> Path:
        """The page of the report."""
        from harness.report import DIAGNOSIS_PAGE

        return self.folder / DIAGNOSIS_PAGE

    def _made(self, table: str, columns: Columns) -> pyarrow.Table:
        if table in ROWS:
            return of_file(self.folder / ROWS[table], columns, {})
        return of_rows(diagnosis_rows(table, self.diagnosis), columns)

    def _repr_html_(self) -> str:
        from harness.report.render.fragment import diagnosis_fragment

        return diagnosis_fragment(self.diagnosis)

    def __repr__(self) -> str:
        from harness.report.content.diagnosis import diagnosed

        about = f"{type(self).__name__} of {self.diagnosis.suite}, {self.diagnosis.created}"
        return plain(f"<{about}: {diagnosed(self.diagnosis).headline.first}>")


@dataclass(frozen=True, repr=False)
class ComparisonResult(Framed):
    """Differences between two sides, the second minus the first. It has one table, ``comparisons``."""

    compared: Compared
    tables: ClassVar[Mapping[str, Columns]] = COMPARISON
    default: ClassVar[str] = "comparisons"

    def _made(self, table: str, columns: Columns) -> pyarrow.Table:
        return of_rows(comparison_rows(self.compared.rows, self.compared.labels), columns)

    def _repr_html_(self) -> str:
        from harness.report.content.comparisons import compared
        from harness.report.render.fragment import table_fragment

        title = f"{self.compared.second} minus {self.compared.first} (exploratory)"
        table = compared(self.compared.rows, self.compared.labels, title)
        return table_fragment(table, self.compared.questions, self.compared.remarks)

    def __repr__(self) -> str:
        verdicts = {row.verdict: 0 for row in self.compared.rows}
        for row in self.compared.rows:
            verdicts[row.verdict] += 1
        counts = ", ".join(f"{number} {verdict}" for verdict, number in verdicts.items())
        return plain(f"<{type(self).__name__}, {self.compared.second} minus {self.compared.first}: {counts}>")
