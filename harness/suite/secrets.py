"""Keys that do not belong in a suite: recognized, masked, refused.

A text looks like a key if it begins as the keys of known services do, or, where a key may be expected, if it is one
long mix of letters and digits. An address gives a secret away by its user, its password or its query. Knows texts only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

MASK = "***"
SHOWN = 3
"""Characters of a key that its mask shows, so that its owner knows which one is meant."""
LONG = 16
SURE, CHANGES = 20, 4
_DIGIT_SOON = r"(?=[A-Za-z0-9_-]{0,200}[0-9])"
"""So that a long text without digits is not read to its end from each of its parts."""
_PREFIXED = re.compile(
    rf"""(?<![A-Za-z0-9_]) (?:
        (?:sk|csk|pk|rk|xai|pplx|nvapi|glpat|sess|tvly|jina|voyage|nvkey)-{_DIGIT_SOON}[A-Za-z0-9_-]{{12,}}
      | (?:gsk|fw|r8|tgp_v1|npm|lsv2_pt|lsv2_sk|sk_live|sk_test|nvapi|jina|whsec)_{_DIGIT_SOON}[A-Za-z0-9_-]{{16,}}
      | hf_(?=[A-Za-z]*[A-Z0-9])[A-Za-z0-9]{{20,}}
      | (?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{{20,}}
      | AIza[A-Za-z0-9_-]{{30,}}
      | (?:AKIA|ASIA)[A-Z0-9]{{16}}
      | xox[abprs]-[A-Za-z0-9-]{{10,}}
      | ya29\.[A-Za-z0-9_-]{{20,}}
      | dapi[0-9a-f]{{32}}
      | pypi-[A-Za-z0-9_-]{{30,}}
      | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----
    )""",
    re.VERBOSE,
)
_SIGNED = re.compile(
    r"(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]++\.[A-Za-z0-9_-]{8,}+\.)(?P<before>(?:[A-Za-z0-9_-]*?-)??)"
    r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
)
"""A JSON Web Token, and what is joined to its front by a hyphen."""
_PIECE = re.compile(rf"[A-Za-z0-9]{{{LONG},}}")
_CHANGE = re.compile(r"(?<=[0-9])(?=[A-Za-z])|(?<=[A-Za-z])(?=[0-9])")
_USER = re.compile(r"(?<=://)[^/\s@?#]+(?=@)")
_QUERY = re.compile(r"(?<=[?&])([\w.-]+)=([^&\s#\"']+)")
_SETTING = re.compile(r"(?:^|[\s;])(\w+)\s*=\s*('[^']*'|[^\s;']+)")
"""A setting of an address that is a list of them, as libpq and drivers of ADO take it: ``host=db user=me``."""
_SECRET_WORDS = frozenset(
    ("key", "apikey", "token", "secret", "password", "passwd", "pwd", "authorization", "auth", "cookie", "credential",
     "credentials", "signature", "sig", "bearer", "code", "accesskey")
)  # fmt: skip
_BODY_NAMES = frozenset(
    ("key", "api_key", "apikey", "api-key", "access_token", "token", "secret", "password", "authorization", "bearer",
     "client_secret", "auth_token")
)  # fmt: skip
REFERENCE = re.compile(r"\$\{(\w+)\}")
"""What stands for the value of an environment variable."""
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def looks_like_key(text: str) -> bool:
    """Whether a text where a key may be expected is one: known by its beginning, or letters and digits at random."""
    return _known(text) or any(_random(piece) for piece in _PIECE.findall(text))


def _known(text: str) -> bool:
    """Whether a text holds a key of a known service."""
    return bool(_PREFIXED.search(text) or _SIGNED.search(text))


def _random(piece: str) -> bool:
    """Whether digits stand among the letters, and not only at an end as in a date or a version."""
    return len(_CHANGE.findall(piece)) >= 3


def _surely(piece: str) -> bool:
    """Whether a piece is a key wherever it stands: capitals, small letters and digits, thrown together.

    Digests have no capitals, and names of models few changes between letters and digits.
    """
    mixed = any(map(str.isupper, piece)) and any(map(str.islower, piece)) and any(map(str.isdigit, piece))
    return len(piece) >= SURE and mixed and len(_CHANGE.findall(piece)) >= CHANGES


def mask(text: str) -> str:
    """The text with everything that looks like a key of a known service, or is a secret of an address, masked."""
    text = _SIGNED.sub(lambda found: found["before"] + "eyJ" + MASK, text)
    text = _PREFIXED.sub(lambda found: found[0][:SHOWN] + MASK, text)
    text = _PIECE.sub(lambda found: found[0][:SHOWN] + MASK if _surely(found[0]) else found[0], text)
    text = _USER.sub(MASK, text)
    return _QUERY.sub(lambda found: f"{found[1]}={MASK}" if _secret(found[1], found[2]) else found[0], text)


def secret_name(name: str) -> bool:
    """Whether a header or a parameter of an address is called as those are that hold a secret."""
    return not _SECRET_WORDS.isdisjoint(re.split(r"[-_.]", name.casefold()))


def _secret(name: str, value: str) -> bool:
    return not REFERENCE.fullmatch(value) and (secret_name(name) or looks_like_key(value))


def literal_secret(name: str, value: str) -> bool:
    """Whether the value of a header or a query parameter is a secret that is written out."""
    rest = REFERENCE.sub("", value)
    if rest != value and rest.strip().casefold() in ("", "bearer", "basic", "token", "api-key"):
        return False
    return bool(value) and (secret_name(name) or looks_like_key(rest))


def wrong_in_address(url: str) -> str:
    """What an address gives away, in words; empty if nothing."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if "@" in parts.netloc:
        return "holds a user or a password, which would be written down"
    given = [*parse_qsl(parts.query, keep_blank_values=True), *_SETTING.findall(url)]
    names = [name for name, value in given if literal_secret(name, value)]
    if names:
        return f"holds a secret ({', '.join(map(mask, names))}), which would be written down"
    if looks_like_key(parts.path) or looks_like_key(parts.fragment):
        return "holds what looks like a key, which would be written down"
    return ""


def in_body(value: Any, name: str = "") -> Iterator[str]:
    """Names of the entries of a body at which a secret is written out; numbers and references are none."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if looks_like_key(str(key)):
                yield mask(str(key))
            yield from in_body(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from in_body(inner, name)
    elif isinstance(value, str):
        own = name.rpartition(".")[2].casefold()
        reference = REFERENCE.sub("", value)
        if (own in _BODY_NAMES and reference.strip()) or looks_like_key(reference):
            yield mask(name)


def revealed(text: str) -> str:
    """What a text anywhere in a suite gives away, in words; empty if nothing."""
    if _known(text) or any(map(_surely, _PIECE.findall(text))):
        return "holds what looks like a key"
    if _USER.search(text):
        return "holds an address with a user or a password"
    if any(_secret(name, value) for name, value in _QUERY.findall(text)) and "://" in text:
        return "holds an address with a secret in its query"
    return ""
