"""The address of an endpoint: base URL, query, headers with the key, proxy; and which of its texts are secret.

Azure differs from other servers: the path names a deployment, the query holds the version of the API, and the key has a
header of its own. Must not make requests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from harness.suite.roles import Llm
from harness.suite.secrets import REFERENCE, looks_like_key

DEFAULT_URL = "https://api.openai.com/v1"
COMPLETIONS, EMBEDDINGS, RERANK = "/chat/completions", "/embeddings", "/rerank"
AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com", ".azure-api.net")
AZURE_KEY = "api-key"
DEPLOYMENTS = "/openai/deployments/"
LOCAL = ("localhost", "127.", "[::1]", "::1", "0.0.0.0", "10.", "192.168.", "host.docker.internal")
KEY_HEADERS = ("authorization", "api-key", "x-api-key", "x-goog-api-key")


class Address(NamedTuple):
    """A parsed base URL, without query and without the path of a request.

    `base` is what requests are sent to, `shown` what may be printed; both are empty if the URL is not valid. `secret`
    says that it holds a user or password.
    """

    base: str
    shown: str
    host: str
    path: str
    scheme: str
    secret: bool = False

    @property
    def azure(self) -> bool:
        """Whether the key goes into Azure's own header."""
        return self.host.endswith(AZURE_HOSTS) or DEPLOYMENTS in self.path

    @property
    def deployment(self) -> bool:
        """Whether it is an Azure deployment, which needs the version of the API."""
        return DEPLOYMENTS in self.path

    @property
    def local(self) -> bool:
        """Whether it is on this machine or in a private network."""
        return self.host.startswith(LOCAL)


def address_of(llm: Llm) -> Address:
    """Return the address of a role: its `base_url`, else that of the environment, else OpenAI's."""
    url = llm.base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL
    try:
        parts = urlsplit(url.strip())
        named = parts.scheme in ("http", "https") and bool(parts.hostname)
        port = parts.port
    except ValueError:
        named = False
    if not named:
        return Address("", "", "", "", "")
    host, path = parts.hostname or "", parts.path.rstrip("/")
    for known in (COMPLETIONS, EMBEDDINGS, RERANK):
        path = path.removesuffix(known)
    netloc = f"[{host}]" if ":" in host else host
    netloc += f":{port}" if port is not None else ""
    # A suite's own address was checked when it was read; one of the environment was not.
    shown = f"{parts.scheme}://{netloc}" + ("" if looks_like_key(path) else path)
    base = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    return Address(base, shown, host, path, parts.scheme, "@" in parts.netloc)


def key_of(llm: Llm) -> str:
    """Return the key of a role from the environment, stripped: keys read from files end in a newline."""
    return os.environ.get(llm.api_key_env, "").strip()


def headers_of(llm: Llm, address: Address) -> dict[str, str]:
    """Return the headers of a role with their variables filled in, the key in the one that the server expects."""
    headers = {name: filled(value) for name, value in llm.headers.items()}
    key = key_of(llm)
    if not {name.casefold() for name in headers} & set(KEY_HEADERS) and key:
        name = llm.key_header or (AZURE_KEY if address.azure else "Authorization")
        headers[name] = f"Bearer {key}" if name.casefold() == "authorization" else key
    return headers


def carries_key(llm: Llm) -> bool:
    """Whether the suite sets a header for the key itself, so that no other key is needed."""
    return bool({name.casefold() for name in llm.headers} & set(KEY_HEADERS))


def query_of(llm: Llm) -> dict[str, str]:
    """Return the query parameters of a role, with their variables filled in."""
    query = "" if llm.base_url else urlsplit(os.environ.get("OPENAI_BASE_URL") or "").query
    return dict(parse_qsl(query)) | {name: filled(value) for name, value in llm.parameters.items()}


def filled(value: Any) -> Any:
    """Return a value with each ``${NAME}`` in its texts replaced by that environment variable."""
    if isinstance(value, str):
        return REFERENCE.sub(lambda match: os.environ.get(match[1], "").strip(), value)
    if isinstance(value, Mapping):
        return {name: filled(inner) for name, inner in value.items()}
    return [filled(inner) for inner in value] if isinstance(value, list | tuple) else value


def variables(value: Any) -> Iterator[str]:
    """Yield the names of the environment variables in the texts of a value."""
    if isinstance(value, str):
        yield from REFERENCE.findall(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from variables(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from variables(inner)


def secrets_of(llm: Llm) -> list[str]:
    """Return the texts that no message may hold: the key, and what the environment fills in or adds."""
    names = dict.fromkeys(variables([llm.headers, llm.parameters, llm.extra_body]))
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()
    secrets = [key_of(llm), *(os.environ.get(name, "").strip() for name in names)]
    secrets += [line.partition(":")[2].strip() for line in lines]
    for url in (os.environ.get("OPENAI_BASE_URL") or "", *getproxies().values()):
        try:
            parts = urlsplit(url)
        except ValueError:
            continue
        secrets += [parts.password or "", *(text.partition("=")[2] for text in parts.query.split("&"))]
    return [text for text in secrets if text]


def proxy_of(address: Address) -> str:
    """Return host and port of the proxy that the environment sets for an address; empty if there is none."""
    known = getproxies()
    url = known.get(address.scheme) or known.get("all") or ""
    try:
        if not url or proxy_bypass(address.host):
            return ""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
    except (ValueError, OSError):
        return ""
