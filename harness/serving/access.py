"""Who may ask: requests to this machine by its own names, from pages of this server, and with the token if one is set.

A page on the web may send requests to a server on this machine. Such a page cannot read the response, unless its own
name was made to point here (DNS rebinding); so names are checked, and the origin of every request that has one.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from harness.serving.app import Refused

TOKEN_VARIABLE = "HARNESS_SERVE_TOKEN"
LOCAL_NAMES = ("localhost", "localhost.")


@dataclass(frozen=True)
class Access:
    """The rules: `token` is asked of every request if it is set, `origins` are other pages that may ask.

    With `any_name`, a server may be called by any name: only for one that has a token, which no strange page knows.
    """

    token: str = field(default="", repr=False)
    origins: frozenset[str] = frozenset()
    any_name: bool = False

    def check(self, headers: Mapping[str, str], preflight: bool = False) -> None:
        """Raise Refused if a request with these headers is not allowed. A preflight request cannot have the token."""
        host = headers.get("Host", "")
        if not self.any_name and not is_local(host):
            raise Refused(403, f"this server is not called {host!r}; use localhost or 127.0.0.1", "host")
        origin = headers.get("Origin")
        if origin is not None and not self.is_own(origin, host) and origin not in self.origins:
            sentence = f"requests of pages from {origin} are refused; start with --allow-origin {origin} to allow them"
            raise Refused(403, sentence, "origin")
        if self.token and not preflight and not self._has_token(headers.get("Authorization", "")):
            sentence = f"send the token of {TOKEN_VARIABLE} as the API key, or as the password of any user"
            raise Refused(401, sentence, "invalid_api_key")

    def is_own(self, origin: str, host: str) -> bool:
        """Return whether an origin is this server under the name that it was called by."""
        return urlsplit(origin).netloc.casefold() == host.casefold() != ""

    def _has_token(self, authorization: str) -> bool:
        """Whether the header holds the token: of a program as a bearer, of a browser as the password of a user."""
        kind, _, value = authorization.partition(" ")
        given = value.strip()
        if kind.casefold() == "basic":
            try:
                given = base64.b64decode(given, validate=True).decode("utf-8").partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return False
        elif kind.casefold() != "bearer":
            return False
        return hmac.compare_digest(given.encode(), self.token.encode())


def is_local(host: str) -> bool:
    """Return whether the host of a request is this machine by a name of its own: localhost, or an address of it.

    The port does not matter: a tunnel may have another one.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name in LOCAL_NAMES or is_loopback(name)


def is_loopback(address: str) -> bool:
    """Return whether an address can be reached from this machine alone."""
    if address in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
