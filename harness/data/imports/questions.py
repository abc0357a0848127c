"""Tables of questions, with answers and contexts where they have some: support desks, ragas testsets, DeepEval goldens.

Relevant are the contexts that a table calls its reference. What a system retrieved is no judgement: these contexts
become documents that no question is judged on, so that the corpus has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.data.imports.cells import cell, context_of, identifier, is_missing, messages, metadata_of, strings, text_of
from harness.data.imports.gathering import Gathering
from harness.data.imports.imported import Damaged, Row, Table
from harness.data.imports.names import Layout, find, squashed

TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0")
GRADES = {"false": 0, "true": 1} | {form: grade for grade in range(11) for form in (f"{grade}", f"{grade}.0")}
"""Grades of relevance as cells hold them."""
IDS_REPEAT = 0.1
"""Share of rows with a repeated id from which a column that was not named by the user is no id."""


def read_questions(table: Table, layout: Layout, gathering: Gathering) -> None:
    """Read every row of a table of questions; a row that cannot be used is left out, with its place."""
    reader = _Reader(table, layout, gathering)
    for row in table.rows:
        try:
            reader.row(row)
        except Damaged as error:
            gathering.failed(row.where, error)
    if reader.unanswered:
        gathering.note(f"{reader.unanswered:,} of {len(table.rows):,} questions have no answer ({layout.answer!r})")
    if not reader.judged and reader.asked:
        gathering.note(
            "no question has contexts or ids of documents, so none is judged", "import its documents as well"
        )
    if reader.retrieved:
        hint = f"name the column as the context if it is the reference: {layout.retrieved!r}"
        gathering.note("retrieved contexts are documents and judge nothing", hint)


def is_deepeval(columns: list[str]) -> bool:
    """Return whether a table has the columns of goldens of DeepEval."""
    names = {squashed(name) for name in columns}
    return {"input", "expectedoutput"} <= names or {"input", "sourcefile"} <= names or "scenario" in names


class _Reader:
    def __init__(self, table: Table, layout: Layout, gathering: Gathering) -> None:
        self.table, self.layout, self.gathering = table, layout, gathering
        self.joined = is_deepeval(list(table.columns))
        self.unanswered = self.retrieved = self.judged = 0
        self.asked: dict[Any, str] = {}
        grades = [cell(row.cells, layout.grade) for row in table.rows]
        self.graded = bool(grades) and all(str(grade).lower() in GRADES for grade in grades)
        self.keyed = layout.id is not None and self._ids_differ(layout)

    def _ids_differ(self, layout: Layout) -> bool:
        """Return whether the column of ids tells the questions apart; one that the user names does."""
        ids: dict[str, str] = {}
        repeats = 0
        for row in self.table.rows:
            text = str(cell(row.cells, layout.question))
            repeats += ids.setdefault(str(cell(row.cells, layout.id)), text) != text
        if layout.stated_id or repeats <= IDS_REPEAT * len(self.table.rows):
            return True
        self.gathering.note(f"the column {layout.id!r} repeats its values, so it is not read as the id")
        return False

    def row(self, row: Row) -> None:
        cells, layout, gathering = row.cells, self.layout, self.gathering
        split = gathering.split(cell(cells, layout.split)) or self.table.split
        text, history, answers, extra = self._asked(cells)
        contexts = self._contexts(cells, layout.context)
        key = identifier(cell(cells, layout.id)) if self.keyed else None
        answerable = self._answerable(cells)
        more = cell(cells, find(cells, ("additionalmetadata", "metadata")))
        metadata = {
            **metadata_of(cells, layout.used),
            **metadata_of(more if isinstance(more, Mapping) else {}, ()),
            **extra,
        }
        ids, grade = self._context_ids(cells), self._grade(cells)
        passages = []
        for place, (context, source) in enumerate(contexts):
            title = text_of(cell(cells, layout.title), str(layout.title)) if len(contexts) == 1 else ""
            known = ids[place] if len(ids) == len(contexts) else None
            about = {"source": source} if source else {}
            passages.append(gathering.context(context, title, known, about, row.where))
        passages = passages or ids
        same = (split, text, tuple(map(str, history)), tuple(answers))
        query_id = self.asked.get(same) if key is None else None
        if query_id is None:
            query_id = gathering.query(text, split, key, history, metadata, row.where)
            self.asked[same] = query_id
        for doc_id in passages if answerable is not False else ():
            gathering.judge(query_id, doc_id, grade)
        for context, source in self._contexts(cells, layout.retrieved):
            self.retrieved += 1
            gathering.context(context, metadata={"source": source} if source else {}, where=row.where)
        self.judged += bool(passages)
        self.unanswered += layout.answer is not None and not answers and answerable is not False
        gathering.answer(query_id, [] if answerable is False else answers, answerable, passages if grade else [])

    def _asked(self, cells: Mapping[str, Any]) -> tuple[str, list[dict[str, str]], list[str], dict[str, Any]]:
        """Return question, history, reference answers, and what else is known of the row."""
        layout = self.layout
        answers = strings(cells.get(layout.answer), layout.answer) if layout.answer else []
        for column in filter(None, (layout.question, layout.turns)):
            turns = messages(cells.get(column))
            if turns is None:
                continue
            last = max((place for place, turn in enumerate(turns) if turn["role"] == "user"), default=-1)
            if last < 0:
                raise Damaged("a conversation in which the user says nothing")
            extra = {}
            outcome = find(cells, ("expectedoutcome",))
            for name in filter(None, (layout.scenario, outcome)):
                extra[name] = text_of(cells.get(name), name)
            return turns[last]["content"], turns[:last], answers, extra
        goldens = cell(cells, layout.turns)
        if isinstance(goldens, list) and goldens and all(isinstance(item, Mapping) for item in goldens):
            return self._of_goldens(goldens)
        if layout.question is None or is_missing(cells.get(layout.question)):
            if layout.scenario and not is_missing(cells.get(layout.scenario)):
                raise Damaged("a scenario without turns, which asks nothing", "simulate its turns first")
            raise Damaged(f"no question in {layout.question or layout.turns!r}")
        return text_of(cells[layout.question], layout.question), [], answers, {}

    @staticmethod
    def _of_goldens(goldens: list[Any]) -> tuple[str, list[dict[str, str]], list[str], dict[str, Any]]:
        """Return the last golden of a conversation as the question, and the earlier ones as its history."""
        history: list[dict[str, str]] = []
        for golden in goldens:
            named = {squashed(name): value for name, value in golden.items()}
            text = text_of(named.get("input"), "input")
            said = text_of(named.get("actualoutput"), "actual_output") or text_of(named.get("expectedoutput"), "turns")
            history += [{"role": "user", "content": text}, {"role": "assistant", "content": said}]
        question = history[-2]["content"]
        answers = strings({squashed(name): value for name, value in goldens[-1].items()}.get("expectedoutput"), "turns")
        return question, [turn for turn in history[:-2] if turn["content"].strip()], answers, {}

    def _contexts(self, cells: Mapping[str, Any], column: str | None) -> list[tuple[str, str]]:
        if column is None:
            return []
        value = cells.get(column)
        if self.joined and isinstance(value, str) and "|" in value and len(strings(value, column, joined=True)) == 1:
            hint = "save the goldens as JSON if it holds several contexts"
            self.gathering.note(f"a cell of {column!r} with '|' in its text is read as one context", hint)
        source = find(cells, ("sourcefile",))
        about = text_of(cells.get(source), source) if source else ""
        found = [context_of(text) for text in strings(value, column, joined=self.joined)]
        return list(dict.fromkeys((text, own or about) for text, own in found if text.strip()))

    def _context_ids(self, cells: Mapping[str, Any]) -> list[str]:
        value = cell(cells, self.layout.context_ids)
        if isinstance(value, list):
            return [key for item in value if (key := identifier(item)) is not None]
        return [key for item in strings(value, "reference_context_ids") if (key := identifier(item)) is not None]

    def _grade(self, cells: Mapping[str, Any]) -> int:
        """Return how relevant the contexts of a row are, if the column of it holds whole numbers in every row."""
        return GRADES.get(str(cell(cells, self.layout.grade)).lower(), 1) if self.graded else 1

    def _answerable(self, cells: Mapping[str, Any]) -> bool | None:
        """Return whether the row says that it can be answered; None if it does not say."""
        for column, meaning in ((self.layout.answerable, True), (self.layout.unanswerable, False)):
            text = str(cell(cells, column)).lower().removesuffix(".0")
            if column and text in TRUE:
                return meaning
            if column and text in FALSE:
                return not meaning
        return None


def read_documents(table: Table, layout: Layout, gathering: Gathering) -> None:
    """Read every row of a table of documents."""
    for row in table.rows:
        try:
            text = text_of(cell(row.cells, layout.text), str(layout.text))
            title = text_of(cell(row.cells, layout.title), str(layout.title))
            key = identifier(cell(row.cells, layout.id))
            inner = row.cells.get("metadata")
            metadata = metadata_of(inner if isinstance(inner, Mapping) else {}, ())
            metadata |= metadata_of(row.cells, [*layout.used, "metadata"])
            gathering.document(text, title, key, metadata, row.where)
        except Damaged as error:
            gathering.failed(row.where, error)
