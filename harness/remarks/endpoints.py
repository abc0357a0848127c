"""What a reader must know of how endpoints were asked: what their servers refused, and what was sent instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from harness.llm.address import address_of
from harness.llm.dialects import Dialect, known_dialect
from harness.llm.services import Services
from harness.stages.shared.remote import MENDED
from harness.suite.roles import Llm, Role
from harness.suite.spec import Suite
from harness.suite.uses import endpoint_roles
from harness.values.findings import LedgerRow

PLAIN = {
    "seed": "no seed was sent, so that repeats are drawn apart by the server alone",
    "response_format": "JSON was asked for in words, and not by a schema",
}


def dialects(suite: Suite, services: Services) -> list[str]:
    """One sentence for every model whose server refused something of what the suite as it is written asks for."""
    found: dict[str, list[Role]] = {}
    told: dict[str, str] = {}
    for role in endpoint_roles(suite):
        llm = suite.llm.roles[role]
        dialect = known_dialect(llm, services.folder).now()
        if changes := list(changed(llm, dialect)):
            place = f"{llm.model} at {address_of(llm).shown} refuses {_refused(llm, dialect)}: {'; '.join(changes)}."
            found.setdefault(place, []).append(role)
            told[place] = place
    return [f"As {_listed(roles)}, {told[place]}" for place, roles in found.items()]


def mended(ledger: Iterable[LedgerRow]) -> list[str]:
    """One sentence on the answers whose JSON was read though it had damage, by who wrote them."""
    counts = Counter[str]()
    for row in ledger:
        counts[row.role or row.stage] += int(row.notes.get(MENDED, 0))
    if not (counts := +counts):
        return []
    who = _listed([f"{count:,} of the {role}" for role, count in counts.items()])
    return [f"The JSON of answers had damage with one reading and was mended: {who}."]


def changed(llm: Llm, dialect: Dialect) -> Iterator[str]:
    """What is done about each thing that a server refused, and that a role would have sent."""
    spoken = dialect.adapted(llm)
    if spoken.temperature is None and llm.temperature is not None:
        yield "it answers at a temperature of its own, so equal questions may be answered otherwise"
    elif spoken.temperature != llm.temperature:
        yield f"a temperature of {spoken.temperature:g} was sent in place of {llm.temperature:g}"
    if spoken.system_turn != llm.system_turn:
        yield "what a system turn says was put in front of the question"
    if "seed" in dialect.instead and llm.seed is not None:
        yield PLAIN["seed"]
    if "response_format" in dialect.instead and llm.structured != "plain":
        yield PLAIN["response_format"]
    if "max_tokens" in dialect.instead and dialect.limit is None:
        yield "answers had no limit"


def quiet(llm: Llm, dialect: Dialect) -> Iterator[str]:
    """What is sent in another way without any meaning for an answer."""
    if dialect.limit == "max_completion_tokens":
        yield "the limit of an answer is sent as max_completion_tokens"
    if "stream" in dialect.instead and llm.stream == "auto":
        yield "answers come as a stream"


def _refused(llm: Llm, dialect: Dialect) -> str:
    names = {
        "temperature": "a temperature", "temperature of 0": "a temperature of 0", "seed": "a seed",
        "system": "a turn of the system", "response_format": "a schema", "max_tokens": "max_tokens",
    }  # fmt: skip
    silent = {"seed": llm.seed is None, "temperature": llm.temperature is None,
              "response_format": llm.structured == "plain", "max_tokens": dialect.limit is not None,
              "system": not llm.system_turn}  # fmt: skip
    return _listed([text for name, text in names.items() if name in dialect.instead and not silent.get(name)])


def _listed(words: Sequence[str]) -> str:
    *before, last = words
    return f"{', '.join(before)} and {last}" if before else last
