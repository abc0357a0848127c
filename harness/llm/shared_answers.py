"""LLM answers that machines share through an address: each uploads what it paid for, and takes over what others did.

Answers travel in files that are written once, ``llm/answers/<random name>.jsonl.gz``. The SQLite file itself stays on
its machine, and so do spending and budgets. For a plain folder, nothing here does anything.
"""

from __future__ import annotations

import gzip
import json
import logging
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.files import gunzipped, write_atomically
from harness.llm.dialects import FILE as DIALECTS
from harness.llm.protocol import RequestCost
from harness.llm.responses import FILE, Responses, StoredAnswer
from harness.remote.mirror import Mirror, mirror_of

ANSWERS = "answers"
STATE = "shared.json"
log = logging.getLogger(__name__)


def exchange(folder: Path) -> None:
    """Upload the answers in a folder of responses that are new, and take over those of other machines.

    Raises ConfigError if the address cannot be used.
    """
    mirror = mirror_of(folder)
    if mirror is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{STATE}.lock"):
        _exchange_answers(folder, mirror)
        _push_changed(folder / DIALECTS, mirror)


def _exchange_answers(folder: Path, mirror: Mirror) -> None:
    below = mirror.name_of(folder / ANSWERS)
    known, last = _state(folder)
    news = sorted({*mirror.objects.list(below)} - known)
    if not news and not (folder / FILE).is_file():
        return
    with closing(Responses(folder)) as responses:
        if responses.last_row() < last:
            # The file was damaged and replaced by an empty one: everything is taken over again.
            known, last, news = set(), 0, sorted(mirror.objects.list(below))
        theirs = [answer for name in news for answer in _answers(name, mirror)]
        ours, last = responses.take_over(theirs, last)
    if ours:
        name = f"{below}/{uuid.uuid4().hex}.jsonl.gz"
        mirror.objects.write(name, gzip.compress("".join(_lines(ours)).encode(), mtime=0))
        known.add(name)
    if ours or news:
        state = {"known": sorted({*known, *news}), "last": last}
        write_atomically(folder / STATE, json.dumps(state))


def _lines(answers: Iterable[StoredAnswer]) -> Iterator[str]:
    for answer in answers:
        cost = {"prompt_tokens": answer.cost.prompt_tokens, "new_tokens": answer.cost.new_tokens}
        row = {"key": answer.key, "text": answer.text, **cost, "dollars": answer.cost.dollars, "cut": answer.cut}
        yield json.dumps(row) + "\n"


def _answers(name: str, mirror: Mirror) -> list[StoredAnswer]:
    """The answers of one file; none, with a warning, if it cannot be read."""
    try:
        text = gunzipped(mirror.objects.read(name) or gzip.compress(b"")).decode()
        return [_answer(json.loads(line)) for line in text.splitlines()]
    except (OSError, EOFError, ValueError, RecursionError, KeyError, TypeError):
        log.warning("%s/%s cannot be read; its LLM answers are asked for again", mirror.objects.address, name)
        return []


def _answer(row: dict[str, Any]) -> StoredAnswer:
    cost = RequestCost(int(row["prompt_tokens"]), int(row["new_tokens"]), float(row["dollars"]))
    return StoredAnswer(str(row["key"]), str(row["text"]), cost, bool(row["cut"]))


def _push_changed(path: Path, mirror: Mirror) -> None:
    if path.is_file() and mirror.objects.read(mirror.name_of(path)) != path.read_bytes():
        mirror.push(path)


def _state(folder: Path) -> tuple[set[str], int]:
    """The files that are known here, and the last row that was uploaded or taken over."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        return {str(name) for name in state["known"]}, int(state["last"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return set(), 0
