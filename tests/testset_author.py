"""A scripted model that writes and checks test questions, with a share of every fault that models have."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.llm import Ask
from harness.testset import folder as files
from harness.testset.items import Item, id_of
from harness.testset.passages import Passage
from harness.testset.sentences import facts_of

TOPICS = (
    "tide gauge", "kiln door", "signal lamp", "grain scale", "rope walk", "ice saw", "bell frame", "salt pan",
    "oil press", "sail loft", "peat cutter", "lime pit", "fish trap", "water clock", "bee skep", "coal barge",
)  # fmt: skip
FAULTS = (
    "empty", "talk", "statement", "copied", "german", "title", "no quote", "abstains", "refers", "prompt", "long",
    "same words", "unsupported", "answered", "unclear", "one enough", "elsewhere", "failed",
)  # fmt: skip


def corpus(documents: int = len(TOPICS)) -> Iterator[dict[str, Any]]:
    """Whole documents with headings, each about a trade of its own with numbers of its own."""
    for number in range(documents):
        name = TOPICS[number % len(TOPICS)] + (f" {number}" if number >= len(TOPICS) else "")
        text = "\n\n".join(
            [
                f"## Care\n\nThe {name} must be greased every {number + 3} weeks with tallow from the northern yard. "
                f"A keeper who forgets it loses {number + 11} shillings of the quarter wage. "
                f"Spare grease is kept under the stairs of house {number + 31}, away from the children and the dogs.",
                f"## History\n\nThe first {name} was built in {1700 + number} by joiner Aldous{number}. It burned "
                f"down after {number + 2} winters and was rebuilt from larch beams by the harbour guild. "
                f"Its old iron was sold for {number + 41} guilders to a smith who made ploughs of it for the farms.",
                f"## Rules\n\nOnly {number + 4} people may stand near the {name} while the warden counts the tokens. "
                f"Visitors leave their boots at post {number + 20} and wait until the whistle has sounded twice. "
                f"Whoever breaks this rule pays {number + 51} pence into the box beside the gate before sunset.",
            ]
        )
        yield {"_id": f"doc-{number}", "title": name.title(), "text": text, "metadata": {}}


def write_corpus(folder: Path, documents: int = len(TOPICS)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = "".join(json.dumps(row) + "\n" for row in corpus(documents))
    (folder / "corpus.jsonl").write_text(rows, encoding="utf-8")
    return folder


class Author:
    """Answers by what it is asked; a question about a passage has one of `FAULTS` for a share of the passages."""

    def __init__(self, faulty: float = 0.0) -> None:
        self.faulty = faulty
        self.made: Counter[str] = Counter()

    def __call__(self, ask: Ask) -> str:
        text = ask.messages[-1].content
        return self.answer(text)

    def answer(self, text: str) -> str:
        """Return the JSON that a prompt is answered with."""
        if '"answered": false' in text:
            return json.dumps({"answered": "answered question" in text, "clear": "unclear question" not in text})
        if '"elsewhere": false' in text:
            return json.dumps({"elsewhere": "elsewhere question" in _between(text, "question")})
        if '"title_enough"' in text:
            question = _between(text, "question")
            return json.dumps(
                {
                    "answerable": True, "supported": "unsupported question" not in question,
                    "needed": "one enough question" not in question, "title_enough": False,
                    "clear": "unclear question" not in question,
                }
            )  # fmt: skip
        return self._written(text)

    def _written(self, text: str) -> str:
        passages = [_between(text, "passage")] if "<passage>" in text else []
        passages += [_between(text, name) for name in ("first_passage", "second_passage") if f"<{name}>" in text]
        title = _between(text, "title" if "<title>" in text else "first_title").split(" > ")[0]
        dice = int(hashlib.sha256(text.encode()).hexdigest(), 16)
        fault = FAULTS[dice % len(FAULTS)] if (dice >> 64) % 1000 < 1000 * self.faulty else ""
        quotes = [_fact(passage) for passage in passages]
        names = _words(quotes[0])
        kind = "paraphrased" if "in other words than" in text else "single"
        question = f"What holds for the {title} as to {' and '.join(names[:2])}?"
        if kind == "paraphrased":
            question = f"Regarding the {title}, which duty, sum or date is laid down by custom number {dice % 97}?"
        if len(passages) == 2:
            question = f"How do {names[0]} of the {title} and {_words(quotes[1])[0]} of the other go together?"
        if "does not answer" in text and len(passages) == 1:
            question = f"Who paid for the paint of the {title} in the {' and '.join(names[:1])} season?"
        self.made[fault or "good"] += 1
        return json.dumps(_with_fault(fault, question, quotes, title))


def _with_fault(fault: str, question: str, quotes: list[str], title: str) -> Any:
    answer = " ".join(" ".join(quotes).split())
    changed: dict[str, tuple[str, str, list[str]]] = {
        "empty": ("", answer, quotes),
        "talk": ("Here are two potential questions based on the provided context information:", answer, quotes),
        "statement": (answer, answer, quotes),
        "copied": (f"{' '.join(quotes[0].split()).rstrip('.')}?", answer, quotes),
        "german": (f"Wie ist das mit dem Gerät {title} und was wird dort nicht von der Zunft bezahlt?", answer, quotes),
        "title": (f"What is the {title}?", answer, quotes),
        "no quote": (question, answer, ["Nothing of the kind is written anywhere in all these many documents."]),
        "abstains": (question, "The answer to the given question is not present in the context.", quotes),
        "refers": (f"According to the passage, {question[:1].lower()}{question[1:]}", answer, quotes),
        "prompt": ("How long must the stone soak before sharpen_blade hones a blade?", answer, quotes),
        "long": (f"{question[:-1]} and {'so on and ' * 40}more?", answer, quotes),
        "same words": (f"What of {title} {' '.join(_words(quotes[0])[:6])} then?", answer, quotes),
        **{name: (f"{question[:-1]} (an {name} question)?", answer, quotes)
           for name in ("unsupported", "answered", "unclear", "one enough", "elsewhere")},
    }  # fmt: skip
    if fault == "failed":
        return {"nothing": True}
    asked, said, found = changed.get(fault, (question, answer, quotes))
    return {"question": asked, "answer": said, "quotes": found}


def _between(text: str, name: str) -> str:
    match = re.search(rf"<{name}>\n(.*?)\n</{name}>", text, re.DOTALL)
    return match[1] if match else ""


def _fact(passage: str) -> str:
    facts = list(facts_of(Passage("", "", 0, len(passage), passage)))
    return facts[0] if facts else passage.split("\n")[-1]


def _words(text: str) -> list[str]:
    return [*dict.fromkeys(word for word in re.findall(r"\w+", text) if len(word) > 4), "matter", "question"]


def filled(place: Path, **changes: Any) -> list[str]:
    """A folder with three questions, one of them without an answer; return their ids."""
    write_corpus(place, 6)
    contents = files.read(place)
    items = []
    for number, kind in enumerate(("single", "unanswerable", "several")):
        doc_ids = [f"doc-{number}"] + (["doc-5"] if kind == "several" else [])
        spans = tuple((doc_id, 9, 60) for doc_id in doc_ids)
        text = f"Question {number} about grease?"
        answer = "" if kind == "unanswerable" else "tallow"
        passages = tuple((doc_id, 0, 200) for doc_id in doc_ids)
        found = () if kind == "unanswerable" else spans
        split = "test" if number else "dev"
        item = Item(id_of(kind, spans, text), text, kind, split, answer, passages, found, "big-model")
        items.append(item._replace(**changes) if not number else item)
    files.write(place, contents, items, {})
    return [item.query_id for item in items]


def rows_of(path: Path) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
