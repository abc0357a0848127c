"""Invented evidence for pages: what every system of an outcome found and wrote, query by query.

`evidence` makes as much of it as is asked for; `hostile` gives the same with text that tries to break out of the page.
"""

from __future__ import annotations

import random
from typing import Any

from harness.values.evidence import Evidence
from harness.values.findings import Outcome
from harness.values.records import Answer, Document, Query, Reference, Score

DEPTH = 30
WORDS = [
    "matrix",
    "spline",
    "window",
    "filter",
    "signal",
    "sparse",
    "root",
    "fourier",
    "kernel",
    "norm",
    "sample",
    "curve",
]
ATTACKS = (
    "<script>window.broken = 1; document.title = 'broken'</script>",
    "</script><script>window.broken = 2</script>",
    "</style></title></textarea><img src=x onerror='window.broken = 3'>",
    "<svg onload='window.broken = 4'><a href='javascript:window.broken=5'>click</a></svg>",
    "[a](javascript:window.broken=6) {{ 7 * 7 }} {% raw %} $x^2$ \\u003c",
    "\u202eright to left\u2066 never closed, \x00\x07\x1b[31m controls \u2028\u2029 and <!-- a comment",
    "\"'><iframe srcdoc='<script>parent.broken = 7</script>'></iframe><base href='https://example.org/'>",
)


def evidence(outcome: Outcome, queries: int = 12, failed: int = 1, words: int = 40) -> Evidence:
    """Evidence of every system: `failed` queries of the last one have no score for any measure."""
    dice = random.Random(0)
    documents = {f"d{n}": Document(f"d{n}", f"Title {n}", _text(dice, words)) for n in range(max(60, queries))}
    ids = [f"q{n}" for n in range(queries)]
    keys = list(documents)
    qrels = {key: {f"d{number}": 1 + number % 2, keys[-1 - number]: 0} for number, key in enumerate(ids)}
    runs = {info.label: {key: _list(dice, keys, key) for key in ids} for info in outcome.systems}
    answers = {
        info.label: {
            key: Answer(key, f"{info.name}: {_text(dice, 12)}", 90, 12, (f"d{dice.randrange(60)}",)) for key in ids
        }
        for info in outcome.systems
    }
    rows = [row for info in outcome.systems for row in _rows(dice, outcome, info, ids, failed)]
    references = {key: Reference(key, (_text(dice, 6),), answerable=n % 4 != 3) for n, key in enumerate(ids)}
    asked = {key: Query(key, f"Which {_text(dice, 7)}?", f"g{n // 2}") for n, key in enumerate(ids)}
    return Evidence(rows, runs, answers, asked, qrels, references, documents)


def _text(dice: random.Random, words: int) -> str:
    return " ".join(dice.choices(WORDS, k=words))


def _list(dice: random.Random, keys: list[str], query_id: str) -> list[tuple[str, float]]:
    found = dice.sample(keys, DEPTH - 1)
    relevant = f"d{query_id[1:]}"
    if relevant not in found:
        found.insert(dice.randrange(DEPTH), relevant)
    return [(key, 1 / rank) for rank, key in enumerate(found, start=1)]


def _rows(dice: random.Random, outcome: Outcome, info: Any, ids: list[str], failed: int) -> list[Score]:
    rows = []
    for measure in outcome.measures:
        for number, key in enumerate(ids):
            lost = info is outcome.systems[-1] and number < failed
            value = None if lost else round(dice.random(), 6)
            state: Any = ("failed", "the judge gave no number") if lost else ("ok", "")
            rows.append(Score(info.name, info.seed, outcome.split, key, f"g{number // 2}", measure, value, *state))
    return rows


def hostile(outcome: Outcome) -> tuple[Outcome, Evidence]:
    """The outcome and evidence with an attack in every text that a stranger may have written."""
    names = {
        info.name: f"{info.name} {ATTACKS[(n - 1) % len(ATTACKS)]} \u6f22\u5b57 $x_1$"
        for n, info in enumerate(outcome.systems)
        if info.role == "candidate"
    }

    def renamed(rows: Any) -> tuple[Any, ...]:
        return tuple(row.model_copy(update={"system": names.get(row.system, row.system)}) for row in rows)

    changed = outcome.model_copy(
        update={
            "title": ATTACKS[0],
            "suite": ATTACKS[1],
            "systems": tuple(
                info.model_copy(update={"name": names.get(info.name, info.name)}) for info in outcome.systems
            ),
            "summaries": renamed(outcome.summaries),
            "comparisons": renamed(outcome.comparisons),
            "notes": ATTACKS,
            "not_run": {ATTACKS[2]: ATTACKS[3]},
            "settings": {ATTACKS[4]: ATTACKS[5]},
            "spec": {**outcome.spec, ATTACKS[1]: ATTACKS[6]},
            "provenance": {"harness": ATTACKS[1], "packages": {ATTACKS[0]: ATTACKS[1]}},
            "ledger": tuple(
                row.model_copy(update={"label": ATTACKS[6], "notes": {ATTACKS[0]: ATTACKS[1]}})
                for row in outcome.ledger
            ),
        }
    )
    given = evidence(changed, len(ATTACKS) + 1)
    attack = {key: ATTACKS[number % len(ATTACKS)] for number, key in enumerate(given.queries)}
    documents = {
        key: Document(key, f"{ATTACKS[n % len(ATTACKS)]} {n}", ATTACKS[n % 7] * 3)
        for n, key in enumerate(given.documents)
    }
    documents["d0"] = Document("d0", "long", "<b>long</b>" + "x" * 1_000_000)
    return changed, Evidence(
        [row._replace(reason=ATTACKS[0]) if row.reason else row for row in given.rows],
        given.runs,
        {
            label: {key: answer._replace(text=attack[key]) for key, answer in found.items()}
            for label, found in given.answers.items()
        },
        {key: query._replace(text=f"{attack[key]} {key}", group=attack[key]) for key, query in given.queries.items()},
        given.qrels,
        {key: reference._replace(answers=(attack[key],)) for key, reference in given.references.items()},
        documents,
    )
