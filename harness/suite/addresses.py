"""Fields that say how a server is reached: its address, the name of its key, headers, query, more of the body.

A secret in one of them is refused where it is read. Knows texts only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from harness.suite import secrets
from harness.suite.fields import Place

Dollars = Annotated[float, Field(ge=0)]


def _texts(value: object) -> object:
    """YAML reads ``api-version: 2024-10-21`` as a date, and a number as a number; both are sent as texts."""
    if not isinstance(value, Mapping):
        return value
    return {str(name): _text(one) for name, one in value.items()}


def _text(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, int | float) else value


def _names_a_variable(name: str) -> str:
    if not secrets.VARIABLE.fullmatch(name) or secrets.looks_like_key(name):
        raise ValueError(
            "is no name of an environment variable; write the name of the variable that holds the key, such as "
            "OPENAI_API_KEY, and never the key itself"
        )
    return name


def _gives_nothing_away(key: str, instead: str) -> AfterValidator:
    """A check of the address at a key: what stands in a suite is written into reports, so no secret may."""

    def checked(address: str) -> str:
        if wrong := secrets.wrong_in_address(address):
            raise ValueError(f"{key!r} {wrong}; {instead}")
        return address

    return AfterValidator(checked)


def _refers_to_secrets(given: dict[str, str]) -> dict[str, str]:
    found = [secrets.mask(name) for name, value in given.items() if secrets.literal_secret(name, value)]
    if found:
        raise ValueError(f"holds a secret ({', '.join(found)}); write ${{VARIABLE}}, and set it in the environment")
    wrong = [name for name, value in given.items() if not (name.isascii() and value.isascii() and name.strip())]
    if wrong or any("\n" in value or "\r" in value for value in given.values()):
        raise ValueError("must be plain ASCII on one line")
    return given


def can_be_sent(body: dict[str, Any]) -> dict[str, Any]:
    """Return a part of a body as it is. Raises ValueError if it holds a secret, or what is no JSON."""
    if found := list(secrets.in_body(body)):
        raise ValueError(f"holds a secret ({', '.join(found)}); write ${{VARIABLE}}, and set it in the environment")
    try:
        json.dumps(body, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError("holds what is no JSON, such as a date or NaN; put it in quotes") from None
    return body


Url = Annotated[str, _gives_nothing_away("base_url", "use 'api_key_env', or 'query' or 'headers' with a ${VARIABLE}")]
"""Where a model is served; its secrets have keys of their own."""
Address = Annotated[Place, _gives_nothing_away("address", "set it in the environment")]
"""Where a server or a store is, whose clients read secrets from variables of their own."""
Variable = Annotated[str, AfterValidator(_names_a_variable)]
Texts = Annotated[dict[str, str], BeforeValidator(_texts), AfterValidator(_refers_to_secrets)]
"""Headers, or parameters of an address."""
Header = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
