"""The pages of exit codes and of measures, and the gallery of shipped suites."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import yaml
from markup import GENERATED, code, page, prose, summary, table

from harness import errors
from harness.cli import endings
from harness.cli.main import VERBS
from harness.suite import builtin
from harness.values.measures import KINDS

POPULATIONS = {
    "judged": "queries with judgements",
    "answerable": "queries with a reference answer",
    "all": "every query",
}


def exit_codes_page() -> str:
    """Return the page of exit codes, from the family of errors and the ends of the command."""
    families = [
        (name, kind)
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.HarnessError) and kind is not errors.HarnessError
    ]
    rows = [(str(kind.exit_code), code(name), summary(kind.__doc__)) for name, kind in families]
    gate = VERBS["gate"][1]
    ends = [
        ("0", "", "The command did what it was asked for."),
        ("1", code("gate"), prose(gate)),
        *sorted(rows),
        *((number, "", prose(text)) for number, text in _ends()),
    ]
    return page(
        "Exit codes",
        f"How a command ends. {GENERATED}",
        table(("code", "error or command", "meaning"), ends),
        "Of several codes, a gate exits with the first of 2, 4, 3, 1. [Gates](../gate.md) says when each of them "
        "applies, and [CI examples](../ci/index.md) what to do about it. An error is one sentence on standard error: "
        f"place, what is wrong, what to do. `{endings.DEBUG}=1` shows its traceback.",
    )


def _ends() -> Iterator[tuple[str, str]]:
    """Codes and meanings that the docstring of `endings` lists, but for those of the errors."""
    for number, text in re.findall(r"^    (\d+) +(\S.*)$", inspect.cleandoc(endings.__doc__ or ""), re.MULTILINE):
        if int(number) in (endings.BUG, endings.INTERRUPTED):
            yield number, text[0].upper() + text[1:]


def measures_page() -> str:
    """Return the page of measures."""
    parts = []
    for family, title in (("rank", "Measures of rankings"), ("answer", "Measures of answers")):
        rows = [
            (
                code(f"{name}@k" if family == "rank" else name),
                prose(kind.about),
                POPULATIONS[kind.population],
                f"{kind.low:g} to {kind.high:g}",
                "an LLM" if kind.judged else "a rule",
                "less" if kind.better == "lower" else "more",
            )
            for name, kind in KINDS.items()
            if kind.family == family
        ]
        head = ("measure", "what it is", "taken over", "range", "judged by", "better")
        parts += [f"## {title}", table(head, rows)]
    return page(
        "Measures",
        f"What a suite can name under `measures`; `k` is a number, as in `ndcg@10`. {GENERATED}",
        *parts,
        "A measure that an LLM judges cannot gate by itself; see [numbers](../numbers.md#utility) and "
        "[endpoints](../endpoints.md).",
    )


# ---- the gallery


def gallery_page(board: str) -> str:
    """Return the page of shipped suites; `board` is the text of the leaderboard, whose sections are linked."""
    sections = [line.removeprefix("## ") for line in board.splitlines() if line.startswith("## ")]
    parts = [_suite(name, [one for one in sections if one.partition(":")[0] == name]) for name in shipped()]
    return page(
        "Gallery",
        "The suites that come with the harness: the question that each one asks, what it compares, and the report of "
        f"its accepted scores. {GENERATED}",
        "![What `harness run quickstart` prints](quickstart.svg)",
        "Every run also writes `report.html`, one page that needs no network, with every query and what each system "
        "found for it. [Results](results.md) puts all suites side by side: what paid, and what did not.",
        *parts,
    )


def shipped() -> list[str]:
    """Return the shipped suites that ask something: all but the template."""
    return [name for name in builtin.suite_names() if name != "template"]


def _suite(name: str, boards: list[str]) -> str:
    text = (Path(str(builtin.folder("suites"))) / name / builtin.SUITE_FILE).read_text(encoding="utf-8")
    value = yaml.safe_load(text)
    links = [f"[{one.partition(': ')[2]}](leaderboard.md#{_slug(one)})" for one in boards]
    report = f"Accepted scores: {', '.join(links)}." if links else "No scores are accepted for this suite."
    given = value.get("candidates") or {}
    factors = value.get("factorial") or {}
    told = [f"candidates {', '.join(map(code, given))}"] if given else []
    told += [f"every combination of {', '.join(map(code, factors))}"] if factors else []
    return "\n\n".join(
        [
            f"## {name}",
            prose(value.get("title") or ""),
            f"It compares {' and '.join(told)}. {report}" if told else report,
            f"```sh\nharness run {name}\n```",
        ]
    )


def _slug(heading: str) -> str:
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())
