"""concatenate: queries and the turns before them in, queries out that begin with what the user said before.

The text is cut to what the model that reads it takes, the oldest turns first, so that the query is never truncated. A
query without earlier turns is the same.
"""

from __future__ import annotations

from pathlib import Path

from harness.llm import Reply
from harness.llm.prompt_templates import rough_tokens
from harness.models.architecture import Role
from harness.models.inspection import inspect
from harness.models.loaders import locate, token_counter
from harness.stages import Inputs, Stage, Step, Takes
from harness.stages.shared import common
from harness.stages.shared.turns import Count, concatenated
from harness.suite.fields import Positive, Spec
from harness.values.records import Progress, Usage

WITH_TURNS, LEFT_OUT = "with earlier turns", "some turns left out"
ADDED = 4
"""Tokens that a model may put around a text: of BERT, two around a text and one more between two."""


class Reader(Spec):
    """The model that reads the queries, of which kind it is, and how many tokens of a text it takes.

    `prompt` comes before a query, in the place of the model's own. `pairs`: it reads query and passage together, so
    that a query has half of the tokens.
    """

    model: str
    kind: Role
    max_length: Positive
    prompt: str = ""
    pairs: bool = False


class ConcatenateSpec(Spec):
    """`reader` is None for bm25, which reads a text whole."""

    reader: Reader | None = None


def concatenate(spec: ConcatenateSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Write the queries, each below the user's earlier turns."""
    queries, histories = common.read_queries(inputs["queries"]), common.read_histories(inputs["history"])
    limit, count = _limit(spec.reader)
    longer = {key: concatenated(histories.get(key, ()), text, limit, count) for key, text in queries.items()}
    common.write_queries(out, longer)
    progress(len(queries), len(queries))
    said = {key: sum(turn.role == "user" for turn in histories.get(key, ())) for key in queries}
    kept = {key: text.removesuffix(queries[key]).count("\n") for key, text in longer.items()}
    notes = {
        "queries": len(queries),
        WITH_TURNS: sum(map(bool, said.values())),
        LEFT_OUT: sum(kept[key] < said[key] for key in queries),
    }
    return Usage(units=len(queries), notes=notes)


def _limit(reader: Reader | None) -> tuple[int | None, Count]:
    """Return how many tokens a query may have, None for any number, and what counts them."""
    if reader is None:
        return None, rough_tokens
    count = token_counter(reader.model) or rough_tokens
    model = inspect(locate(reader.model), reader.kind, headless_ok=True)
    takes, prompt = model.takes(reader.max_length), reader.prompt or model.prompts.query
    if takes is None:
        return None, count
    share = takes // 2 if reader.pairs else takes
    return share - ADDED - (count(prompt) if prompt else 0), count


def serve(spec: ConcatenateSpec, inputs: Inputs) -> Step:
    """Put one query below the user's earlier turns, as the stage does. Its time is not worth a measurement."""
    limit, count = _limit(spec.reader)
    return lambda asked: Reply(concatenated(asked.turns, asked.text, limit, count))


STAGE = Stage(
    run=concatenate,
    spec=ConcatenateSpec,
    version=1,
    takes=Takes(("queries", "history")),
    heavy=False,
    packages=("tokenizers",),
    rate=2000.0,
    unit="queries",
    serve=serve,
)
