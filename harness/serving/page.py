"""The page on which a person asks the systems, and what its script is told. It loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.report.render import html
from harness.report.untrusted import plain
from harness.serving.app import QUESTION, App, Refused, checked, milliseconds, passages, question_id
from harness.serving.messages import read_messages

SCRIPTS, STYLES = ("serve.js",), (*html.STYLES, "serve.css")
OWN = "'self'"
SOURCE = "harness serve"
"""What the metadata of a saved question says of where it comes from."""


def render(app: App) -> tuple[str, str]:
    """Return the page and its content security policy."""
    systems = [
        {"name": name, "label": system.label, "line": app.about.lines.get(name, "")}
        for name, system in app.systems.items()
    ]
    text = html.page(
        "serve.html.j2", SCRIPTS, STYLES, OWN, about=app.about, systems=systems, longest=QUESTION, source=SOURCE,
    )  # fmt: skip
    return text, f"{html.policy(SCRIPTS, STYLES, OWN)}; frame-ancestors 'none'"


def ask(body: Any, app: App, gone: Callable[[], bool]) -> dict[str, Any]:
    """Answer a question of the page's script: ``{"system": ..., "question": ..., "turns": [...]}``. Raises Refused.

    `turns` are messages, and may be missing.
    """
    if not isinstance(body, dict) or not isinstance(body.get("question"), str):
        raise Refused(400, 'the body has no question; send {"question": "..."}')
    name = body.get("system") or app.first
    if not isinstance(name, str):
        raise Refused(400, "'system' is not a text; name a system", param="system")
    question = checked(body["question"])
    turns = read_messages(body["turns"], "turns")[0] if body.get("turns") else []
    served = app.ask(name, question, turns, gone)
    reply = served.reply
    first = next((turn.content for turn in turns if turn.role == "user"), None)
    shown = [{**row, "title": plain(row["title"]), "text": plain(row["text"])} for row in passages(served)]
    return {
        "id": question_id(question, turns), "question": question, "system": app.systems[name].label,
        "conversation": question_id(question if first is None else first.strip()),
        "searched": plain(served.searched) if served.searched != question else "",
        "answers": reply is not None, "answer": plain(reply.text) if reply else "",
        "failure": reply.failure if reply else "", "cut": bool(reply and reply.cut),
        "milliseconds": milliseconds(served), "passages": shown,
    }  # fmt: skip
