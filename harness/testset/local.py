"""A small language model in this process as a writer.

A model of some hundred million parameters cannot read a passage and choose what to ask. So it is shown one sentence of
the passage, after a few examples; the sentence is the evidence, and the answer. What it wrote is kept in a file beside
the questions, so that no run writes it twice.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.hashing import digest_of
from harness.llm.prompt_templates import rough_tokens
from harness.stages.shared.wording import clean_query
from harness.suite.local_models import AUTOMATIC, LocalModel
from harness.testset.dealing import Job
from harness.testset.drafts import Check, Draft, Requests, Similarity
from harness.testset.passages import Passage
from harness.testset.patterns import Pattern, turns
from harness.testset.sentences import fact_of, facts_of, plain
from harness.testset.wordings import shared_words
from harness.values.records import Progress

PATTERNS_VERSION = 1
"""Raise it when a pattern changes: what was written by another is not used again."""
NO_FACT = "no sentence states a fact on its own"
NEW_TOKENS = 40
SAMPLES = 3
"""Paraphrases that are drawn for a question; the one with the fewest words of the passage is taken."""
WARMTH = 0.7
_NAME = re.compile(r"[_.\d][A-Za-z]|\b\w+[A-Z]\w*")
"""A word that reads as a name: with a dot, an underscore, a digit or a capital inside."""


PARAPHRASE = 0.45
"""The least similarity of a paraphrase to what it asks for."""


class _Text(NamedTuple):
    """A text to be written about a fact of a passage; at `draw` 0 greedily, else sampled."""

    pattern: Pattern
    passage: Passage
    fact: str
    draw: int = 0


class LocalWriter:
    """Implements `Writer` with a causal language model from a folder, by its own chat template."""

    capable = False

    def __init__(
        self, folder: Callable[[], Path], name: str, digest: str, kept: Path, passages: Iterable[Passage],
        similarity: Similarity, local: LocalModel = AUTOMATIC, seed: int = 0,
    ) -> None:  # fmt: skip
        """`folder` gives the model when it is first needed, `digest` is that of its content.

        What is written is kept in the file `kept`. Sentences that several of the `passages` have state nothing about
        one of them. `similarity` chooses paraphrases.
        """
        self.name, self._folder, self._kept, self._local, self._seed = name, folder, kept, local, seed
        self._similarity = similarity
        self._identity = [digest, PATTERNS_VERSION]
        self._model: tuple[Any, Any] | None = None
        self._known = _read(kept)
        self._facts: dict[Passage, str] = {}
        counts = Counter(
            found for passage in passages for found in {plain(fact, passage.title) for fact in facts_of(passage)}
        )
        self._common = frozenset(found for found, count in counts.items() if count > 1)

    def _fact(self, passage: Passage) -> str:
        if passage not in self._facts:
            self._facts[passage] = fact_of(passage, self._common)
        return self._facts[passage]

    def lacks(self, passage: Passage) -> str:
        """See `Writer`."""
        return "" if self._fact(passage) else NO_FACT

    def write(self, jobs: Sequence[Job], progress: Progress) -> list[Draft]:
        """See `Writer`."""
        texts = {
            self._key(text): text for job in jobs for passage in job.passages for text in self._texts(job, passage)
        }
        missing = {key: text for key, text in texts.items() if key not in self._known}
        groups: dict[tuple[Pattern, int], list[str]] = {}
        for key, text in missing.items():
            groups.setdefault((text.pattern, text.draw), []).append(key)
        done = 0
        for (_, draw), keys in groups.items():
            self._fill(keys, [missing[key] for key in keys], draw)
            done += len(keys)
            progress(done, len(missing))
        return [self._draft(job) for job in jobs]

    def check(self, checks: Sequence[Check], progress: Progress) -> list[str]:
        """See `Writer`; such a model is no judge, so nothing is dropped."""
        return ["" for _ in checks]

    def estimate(self, job: Job) -> Requests:
        """See `Writer`."""
        texts = [text for passage in job.passages for text in self._texts(job, passage)]
        read = sum(rough_tokens(content) for text in texts for _, content in turns(*text[:3]))
        return Requests(len(texts), read + len(texts) * NEW_TOKENS)

    def _texts(self, job: Job, passage: Passage) -> list[_Text]:
        fact = self._fact(passage)
        pattern: Pattern = "single" if job.kind == "several" else job.kind
        draws = range(1, SAMPLES + 1) if pattern == "paraphrased" else (0,)
        return [_Text(pattern, passage, fact, draw) for draw in draws] if fact else []

    def _draft(self, job: Job) -> Draft:
        facts = [self._fact(passage) for passage in job.passages]
        questions = [self._question(job, passage, fact) for passage, fact in zip(job.passages, facts, strict=True)]
        if job.kind == "unanswerable":
            return Draft(questions[0])
        answer = " ".join(" ".join(fact.split()) for fact in facts)
        return Draft(_joined(questions), answer, tuple(facts), parts=tuple(zip(questions, facts, strict=True)))

    def _question(self, job: Job, passage: Passage, fact: str) -> str:
        """Return the question about a passage, the least like it of those that are near; empty if it has no fact."""
        drawn = [self._cleaned(text) for text in self._texts(job, passage)]
        if not drawn:
            return ""
        near = [one for one in drawn if self._alike(one, fact) >= PARAPHRASE] or drawn
        best = min(near, key=lambda one: (not one.endswith("?"), shared_words(one, passage.text, passage.title)))
        return named(best, passage.title)

    def _alike(self, question: str, fact: str) -> float:
        return self._similarity(question, fact) if question else 0.0

    def _cleaned(self, text: _Text) -> str:
        return clean_query(self._known.get(self._key(text), "").strip().split("\n")[0], text.passage.text)

    def _key(self, text: _Text) -> str:
        return digest_of([*self._identity, *turns(*text[:3]), text.draw, self._seed if text.draw else 0])

    def _fill(self, keys: Sequence[str], texts: Sequence[_Text], draw: int) -> None:
        """Write texts of one pattern, and keep them."""
        from harness.models.chat_templates import ChatTemplate
        from harness.models.generation import Conversations, Sampling
        from harness.models.language_models import load_generator

        self._model = self._model or load_generator(self._folder(), local=self._local)
        model, tokenizer = self._model
        chats = Conversations(model, ChatTemplate(tokenizer), [turns(*text[:3]) for text in texts])
        sampling = Sampling(
            NEW_TOKENS, temperature=WARMTH if draw else 0.0, seed=self._seed * (SAMPLES + 1) + draw,
            max_tokens_per_batch=self._local.max_tokens_per_batch,
        )  # fmt: skip
        self._keep({key: one.text for key, one in zip(keys, chats.write(sampling), strict=True)})

    def _keep(self, written: Mapping[str, str]) -> None:
        """Add texts to the file, after a line that an interruption may have cut off."""
        self._known |= written
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        torn = self._kept.exists() and not self._kept.read_bytes().endswith(b"\n")
        with self._kept.open("a", encoding="utf-8") as file:
            file.write("\n" if torn else "")
            file.writelines(json.dumps({"key": key, "text": text}) + "\n" for key, text in written.items())


def named(question: str, title: str) -> str:
    """Return a question that says what it is about: with the title in front, unless it has a name or a word of it."""
    if not question or not title.strip() or _NAME.search(question) or shared_words(title, question) > 0:
        return question
    return f"In {' '.join(title.split())}, {_lower(question)}"


def _lower(question: str) -> str:
    """Return a question as it goes on inside of a sentence."""
    return question[:1].lower() + question[1:] if question[1:2].islower() or question[1:2] == " " else question


def _joined(questions: Sequence[str]) -> str:
    """Return one question that asks for what several ask for; empty if one of them is."""
    if not all(questions):
        return ""
    *before, last = questions
    if not before:
        return last
    first = " and ".join(question.rstrip(" ?") for question in before)
    return f"{first}, and {_lower(last)}"


def _read(path: Path) -> dict[str, str]:
    """Return what was written before, by key; a line that an interruption cut off is left out."""
    known: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return known
    for line in lines:
        try:
            row = json.loads(line)
            known[str(row["key"])] = str(row["text"])
        except (ValueError, RecursionError, KeyError, TypeError):
            continue
    return known
