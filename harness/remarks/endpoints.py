"""Remarks on endpoints: what their servers refused, and what was sent instead."""

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
    "seed": "no seed was sent, so only the server makes repeats differ",
    "response_format": "JSON was asked for in the prompt, not by a schema",
}


def dialects(suite: Suite, services: Services) -> list[str]:
    """Return one sentence for every model whose server refused something that the suite asks for."""
    roles_of: dict[str, list[Role]] = {}
    for role in endpoint_roles(suite):
        llm = suite.llm.roles[role]
        dialect = known_dialect(llm, services.folder).now()
        if changes := list(changed(llm, dialect)):
            sentence = f"{llm.model} at {address_of(llm).shown} refuses {_refused(llm, dialect)}: {'; '.join(changes)}."
            roles_of.setdefault(sentence, []).append(role)
    return [f"As {_listed(roles)}, {sentence}" for sentence, roles in roles_of.items()]


def mended(ledger: Iterable[LedgerRow]) -> list[str]:
    """Return one sentence on the responses whose JSON was repaired, by role."""
    counts = Counter[str]()
    for row in ledger:
        counts[row.role or row.stage] += int(row.notes.get(MENDED, 0))
    if not (counts := +counts):
        return []
    who = _listed([f"{count:,} of the {role}" for role, count in counts.items()])
    return [f"Responses with damaged JSON were repaired: {who}."]


def changed(llm: Llm, dialect: Dialect) -> Iterator[str]:
    """Yield what was done about each parameter that a server refused and that the role would have sent."""
    spoken = dialect.adapted(llm)
    if spoken.temperature is None and llm.temperature is not None:
        yield "it answers at its own temperature, so two runs may differ"
    elif spoken.temperature != llm.temperature:
        yield f"a temperature of {spoken.temperature:g} was sent instead of {llm.temperature:g}"
    if spoken.system_turn != llm.system_turn:
        yield "the system turn was put before the query"
    if "seed" in dialect.instead and llm.seed is not None:
        yield PLAIN["seed"]
    if "response_format" in dialect.instead and llm.structured != "plain":
        yield PLAIN["response_format"]
    if "max_tokens" in dialect.instead and dialect.limit is None:
        yield "the length of responses was not limited"


def quiet(llm: Llm, dialect: Dialect) -> Iterator[str]:
    """Yield what is sent in another way without an effect on responses."""
    if dialect.limit == "max_completion_tokens":
        yield "the length limit is sent as max_completion_tokens"
    if "stream" in dialect.instead and llm.stream == "auto":
        yield "answers come as a stream"


def _refused(llm: Llm, dialect: Dialect) -> str:
    names = {
        "temperature": "a temperature", "temperature of 0": "a temperature of 0", "seed": "a seed",
        "system": "a system turn", "response_format": "a schema", "max_tokens": "max_tokens",
    }  # fmt: skip
    silent = {"seed": llm.seed is None, "temperature": llm.temperature is None,
              "response_format": llm.structured == "plain", "max_tokens": dialect.limit is not None,
              "system": not llm.system_turn}  # fmt: skip
    return _listed([text for name, text in names.items() if name in dialect.instead and not silent.get(name)])


def _listed(words: Sequence[str]) -> str:
    *before, last = words
    return f"{', '.join(before)} and {last}" if before else last
