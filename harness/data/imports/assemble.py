"""From tables to a dataset: tell what each table holds, and read documents before questions before judgements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.data.imports import articles, autorag, judged, questions
from harness.data.imports.articles import Articles
from harness.data.imports.gathering import Gathering
from harness.data.imports.imported import Columns, Imported, Table
from harness.data.imports.locate import Search
from harness.data.imports.names import FIELDS, ID, absent_column, find, layout_of
from harness.data.imports.placing import move_contexts, pieces_of
from harness.errors import DataError, Problem

SHOWN = 12


def assemble(
    tables: Sequence[Table],
    stated: Columns,
    where: str,
    source: Mapping[str, Any],
    problems: list[Problem],
    squads: Sequence[tuple[str, str | None, Any]] = (),
) -> Imported:
    """Return the dataset that the tables make together; `squads` are places, splits and values of SQuAD files.

    Raises DataError if a table holds neither documents, questions nor judgements, or lacks a column that is named.
    """
    absent = [name for name in stated if name and not any(name in table.columns for table in tables)]
    if absent and tables:
        raise DataError([absent_column(name, tables[0].columns, where) for name in absent])
    gathering = Gathering(where, source, problems)
    whole = Articles(gathering)
    kinds = [(kind_of(table, stated, len(tables)), table) for table in tables]
    pieces: dict[str, autorag.Piece] = {}
    for kind, table in kinds:
        if kind == "autorag-corpus":
            pieces |= autorag.read_corpus(table, gathering)
        elif kind == "documents":
            layout = layout_of(table.columns, _own(stated, table, tables), table.where)
            questions.read_documents(table, layout, gathering)
    gathering.pending = any(kind == "qrels" for kind, _ in kinds)
    for place, split, value in squads:
        articles.read_squad(value, place, split, whole)
    layouts = {
        id(table): layout_of(table.columns, _own(stated, table, tables), table.where)
        for kind, table in kinds
        if kind == "questions"
    }
    # A split in which no question has an answer does not show by itself that answers have places.
    in_shape = {
        layouts[id(table)]
        for kind, table in kinds
        if kind == "questions" and articles.has_places(table, layouts[id(table)])
    }
    for kind, table in kinds:
        if kind == "queries":
            judged.read_queries(table, gathering)
        elif kind == "autorag-qa":
            autorag.read_qa(table, pieces, gathering)
        elif kind == "questions":
            layout = layouts[id(table)]
            if layout in in_shape:
                articles.read_squad_table(table, layout, whole)
            else:
                questions.read_questions(table, layout, gathering)
    whole.flush()
    for kind, table in kinds:
        if kind == "qrels":
            judged.read_qrels(table, gathering)
    return _placed(gathering)


def _placed(gathering: Gathering) -> Imported:
    """Return the dataset; contexts that are a part of its other documents are spans of those."""
    whole = gathering.imported()
    known = [row for row in whole.documents if row["_id"] not in whole.contexts]
    if not known or not whole.contexts:
        return whole
    search = Search(pieces_of(whole))
    for row in known:
        search.see(row["_id"], row["text"])
    return move_contexts(whole, search.place).imported


def _own(stated: Columns, table: Table, tables: Sequence[Table]) -> Columns:
    """Return the names that the user gives; of several tables, each need have only those that it has."""
    if len(tables) == 1:
        return stated
    return Columns(*(name if name in table.columns else None for name in stated))


def kind_of(table: Table, stated: Columns, count: int = 1) -> str:
    """Return what a table holds. Raises DataError, with the columns that there are, if its columns do not say."""
    given = any(name in table.columns for name in stated if name)
    if not given:
        if autorag.is_qa(table):
            return "autorag-qa"
        if autorag.is_corpus(table):
            return "autorag-corpus"
        if judged.is_qrels(table):
            return "qrels"
        if table.name == "queries" and find(table.columns, ("text",)) and find(table.columns, ID):
            return "queries"
    layout = layout_of(table.columns, stated if count == 1 else _own(stated, table, [table, table]), table.where)
    if layout.question or layout.turns or layout.scenario:
        return "documents" if table.name == "corpus" and layout.text else "questions"
    if layout.text or layout.title:
        return "documents"
    shown = ", ".join(map(str, table.columns[:SHOWN])) + (", ..." if len(table.columns) > SHOWN else "")
    what = f"no column of texts or questions is recognised; the columns are {shown or 'none'}"
    raise DataError(Problem(table.where, what, f"name them ({', '.join(FIELDS)})"))
