"""The program of the process that speaks to a tracker: a request on standard input, a reply in the file it names."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from harness.tracking.sent import Reply, Request, sentence_of


def main() -> None:
    """Write what standard input asks for, and say in the file of the first argument what came of it."""
    reply = Path(sys.argv[1])
    request = Request.model_validate_json(sys.stdin.buffer.read())
    try:
        writer = import_module(f"harness.tracking.{request.tracker}_writer")
        answer: Reply = writer.write(request)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != request.tracker:
            answer = Reply(problem=sentence_of(error))
        else:
            answer = Reply(problem=f"it is not installed: pip install 'rag-tuning-harness[{request.tracker}]'")
    except Exception as error:
        answer = Reply(problem=sentence_of(error))
    reply.write_text(answer.model_dump_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
