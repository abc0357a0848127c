"""SQuAD and what has its shape: questions about paragraphs of articles, with the places of the answers.

A document is a whole article, its paragraphs joined by blank lines, so that chunkings can be compared; spans say where
the answers are. Paragraphs without a title are documents by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from harness.data.imports.cells import cell, identifier, is_missing, metadata_of, text_of
from harness.data.imports.gathering import Gathering
from harness.data.imports.imported import Damaged, Note, Table
from harness.data.imports.names import Layout, find
from harness.errors import Problem
from harness.text.decimals import is_finite

JOIN = "\n\n"


class _Question(NamedTuple):
    where: str
    split: str | None
    text: str
    key: str | None
    answers: list[tuple[str, int]]
    answerable: bool
    metadata: dict[str, Any]
    paragraph: int


class Articles:
    """Paragraphs and questions by article, until all are read."""

    def __init__(self, gathering: Gathering) -> None:
        self.gathering = gathering
        self.paragraphs: dict[str, dict[str, int]] = {}
        self.titles: dict[str, str] = {}
        self.questions: dict[str, list[_Question]] = {}

    def paragraph(self, title: str, text: str) -> tuple[str, int]:
        """Add a paragraph, and return its article and its number there."""
        if not text.strip():
            raise Damaged("a paragraph without text")
        article = title.strip() or f"\0{text}"
        self.titles[article] = title.strip()
        known = self.paragraphs.setdefault(article, {})
        return article, known.setdefault(text, len(known))

    def question(self, article: str, question: _Question) -> None:
        """Add a question about an article."""
        self.questions.setdefault(article, []).append(question)

    def flush(self) -> None:
        """Give everything to the gathering."""
        for article, paragraphs in self.paragraphs.items():
            texts = list(paragraphs)
            starts = [0]
            for text in texts:
                starts.append(starts[-1] + len(text) + len(JOIN))
            title = self.titles[article]
            key = identifier(title) if title else None
            while key is not None and key in self.gathering.documents:
                key += "-2"
            pieces = [(start, start + len(text)) for start, text in zip(starts, texts, strict=False)]
            doc_id = self.gathering.context(JOIN.join(texts), title.replace("_", " "), key, pieces=pieces)
            for question in self.questions.get(article, []):
                try:
                    self._add(question, doc_id, texts, starts)
                except Damaged as error:
                    self.gathering.failed(question.where, error)

    def _add(self, question: _Question, doc_id: str, texts: list[str], starts: list[int]) -> None:
        gathering, paragraph = self.gathering, texts[question.paragraph]
        query_id = gathering.query(
            question.text, question.split, question.key, metadata=question.metadata, where=question.where
        )
        answers = [text for text, _ in question.answers] if question.answerable else []
        gathering.answer(query_id, answers, question.answerable and None, [doc_id])
        if not question.answerable:
            return
        gathering.judge(query_id, doc_id)
        start = starts[question.paragraph]
        lost = 0
        for text, stated in question.answers:
            place = nearest_place(paragraph, text, stated)
            if place is None:
                lost += 1
            else:
                gathering.span(query_id, doc_id, start + place, start + place + len(text))
        if lost or not question.answers:
            if lost:
                what = f"{lost} of {len(question.answers)} answers are not in the paragraph"
                gathering.problems.append(Note(question.where, what, "its span is the paragraph"))
            gathering.span(query_id, doc_id, start, start + len(paragraph))


def nearest_place(paragraph: str, answer: str, stated: int) -> int | None:
    """Return where the answer starts, next to the stated place; None if it is not in the paragraph.

    Places that count bytes or other line ends are wrong by a few characters.
    """
    if not answer:
        return None
    if stated >= 0 and paragraph.startswith(answer, stated):
        return stated
    places, place = [], paragraph.find(answer)
    while place >= 0:
        places.append(place)
        place = paragraph.find(answer, place + 1)
    return min(places, key=lambda place: (abs(place - stated), place)) if places else None


def is_squad(value: Any) -> bool:
    """Return whether a JSON value has the shape of SQuAD."""
    data = value.get("data") if isinstance(value, Mapping) else value
    return isinstance(data, list) and any(isinstance(item, Mapping) and "paragraphs" in item for item in data)


def read_squad(value: Any, where: str, split: str | None, articles: Articles) -> None:
    """Read a JSON value in the shape of SQuAD 1.1 or 2.0."""
    for number, entry in enumerate(value["data"] if isinstance(value, Mapping) else value, start=1):
        at = f"{where}: article {number}"
        paragraphs = entry.get("paragraphs") if isinstance(entry, Mapping) else None
        if not isinstance(paragraphs, list):
            articles.gathering.problems.append(Problem(at, "no list of paragraphs", 'write {"paragraphs": [...]}'))
            continue
        for place, item in enumerate(paragraphs, start=1):
            try:
                _read_paragraph(entry, item, f"{at}, paragraph {place}", split, articles)
            except Damaged as error:
                articles.gathering.failed(f"{at}, paragraph {place}", error)


def _read_paragraph(entry: Mapping[str, Any], item: Any, where: str, split: str | None, articles: Articles) -> None:
    if not isinstance(item, Mapping):
        raise Damaged("not an object", 'write {"context": ..., "qas": [...]}')
    title = text_of(entry.get("title"), "title")
    article, paragraph = articles.paragraph(title, text_of(item.get("context"), "context"))
    questions = item.get("qas")
    for number, question in enumerate(questions if isinstance(questions, list) else [], start=1):
        at = f"{where}, question {number}"
        try:
            if not isinstance(question, Mapping):
                raise Damaged("not an object", 'write {"question": ..., "answers": [...]}')
            answers = answers_of(question.get("answers"))
            impossible = question.get("is_impossible") is True
            plausible = [text for text, _ in answers_of(question.get("plausible_answers"))]
            metadata: dict[str, Any] = {"plausible_answers": plausible} if plausible else {}
            text = text_of(question.get("question"), "question")
            if is_missing(text):
                raise Damaged("a question without text")
            key = identifier(question.get("id"))
            articles.question(article, _Question(at, split, text, key, answers, not impossible, metadata, paragraph))
        except Damaged as error:
            articles.gathering.failed(at, error)


def answers_of(value: Any) -> list[tuple[str, int]]:
    """Return answers and their places, from a list of objects or, as in columns of a dataset, an object of lists."""
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start")
        if not isinstance(texts, list):
            return []
        starts = starts if isinstance(starts, list) and len(starts) == len(texts) else [-1] * len(texts)
        value = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    pairs = []
    for item in value if isinstance(value, list) else []:
        text = text_of(item.get("text"), "text") if isinstance(item, Mapping) else ""
        start = item.get("answer_start") if isinstance(item, Mapping) else -1
        if text.strip():
            whole = int(start) if is_finite(start) else -1
            pairs.append((text, whole))
    return list(dict.fromkeys(pairs))


def has_places(table: Table, layout: Layout) -> bool:
    """Return whether answers of a table come with their places in the context."""
    if layout.answer is None or layout.context is None:
        return False
    cells = (row.cells.get(layout.answer) for row in table.rows[:50])
    return any(
        (isinstance(cell, Mapping) and "answer_start" in cell)
        or (isinstance(cell, list) and any(isinstance(item, Mapping) and "answer_start" in item for item in cell))
        for cell in cells
    )


def read_squad_table(table: Table, layout: Layout, articles: Articles) -> None:
    """Read a table with the columns of SQuAD: title, context, question and ``answers: {text, answer_start}``."""
    impossible = find(table.columns, ("isimpossible",))
    for row in table.rows:
        cells = row.cells
        try:
            title = text_of(cell(cells, layout.title), str(layout.title))
            context = text_of(cell(cells, layout.context), str(layout.context))
            article, paragraph = articles.paragraph(title, context)
            answers = answers_of(cell(cells, layout.answer))
            answerable = bool(answers) and not (impossible and cells.get(impossible) is True)
            split = articles.gathering.split(cell(cells, layout.split)) or table.split
            text = text_of(cell(cells, layout.question), str(layout.question))
            if is_missing(text):
                raise Damaged("a question without text")
            metadata = metadata_of(cells, [*layout.used, "is_impossible"])
            key = identifier(cell(cells, layout.id))
            articles.question(article, _Question(row.where, split, text, key, answers, answerable, metadata, paragraph))
        except Damaged as error:
            articles.gathering.failed(row.where, error)
