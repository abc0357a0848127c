"""Errors of fsspec and of the packages behind it, as problems: what is wrong, and what to install or to set.

The packages are not imported: their exceptions are known by name. Nothing that looks like a key is repeated.
"""

from __future__ import annotations

import errno
import re

from harness.errors import Problem, nearest
from harness.suite.secrets import mask

CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "s3a": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS",
    "gcs": "set GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "set AZURE_STORAGE_CONNECTION_STRING",
    "az": "set AZURE_STORAGE_CONNECTION_STRING",
}
ENDPOINT = {"s3": "check the network and AWS_ENDPOINT_URL", "s3a": "check the network and AWS_ENDPOINT_URL"}
PACKAGES = {"s3": "'rag-tuning-harness[remote]'", "s3a": "'rag-tuning-harness[remote]'"}
NO_CREDENTIALS = re.compile(r"Credential|TokenRetrieval|UnauthorizedSSO|SSOToken|ProfileNotFound|AuthError")
NO_CONNECTION = re.compile(r"Connection|Connect|Timeout|Gaierror|DNS|Endpoint", re.IGNORECASE)
USUAL = ("abfs", "file", "gs", "s3", "sftp")
"""Protocols that are named if somebody mistypes one."""
DENIED = "access is denied"
LONGEST = 200
"""Characters of a message that are repeated."""


def protocol_of(address: str) -> str:
    """Return the protocol of an address, ``s3`` of ``s3://bucket``."""
    return address.partition("://")[0]


def is_missing_bucket(error: BaseException) -> bool:
    """Whether an error says that the bucket itself does not exist, and not only an object in it."""
    response = getattr(error.__cause__, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return code == "NoSuchBucket" or "bucket does not exist" in str(error)


def is_passing(error: BaseException | None) -> bool:
    """Whether an exception of a file system may be over soon: the address cannot be reached, or asks to slow down."""
    if isinstance(error, PermissionError) or NO_CREDENTIALS.search(type(error).__name__):
        return False
    return is_unreachable(error) or (isinstance(error, OSError) and error.errno == errno.EBUSY)


def is_unreachable(error: BaseException | None) -> bool:
    """Whether an exception says that nobody answers."""
    return isinstance(error, ConnectionError | TimeoutError) or bool(NO_CONNECTION.search(type(error).__name__))


def problem_of(error: BaseException, address: str) -> Problem:
    """Return what is wrong with an address, and what to do, from an exception that its file system raised."""
    protocol = protocol_of(address)
    name, credentials = type(error).__name__, CREDENTIALS.get(protocol, "set the credentials that fsspec expects")
    if isinstance(error, ImportError):
        return Problem(address, f"{protocol}:// needs a package that is not installed", _install(error, protocol))
    if isinstance(error, ValueError) and "rotocol" in str(error):
        return Problem(address, f"unknown protocol {protocol}://", nearest(protocol, USUAL))
    if NO_CREDENTIALS.search(name):
        return Problem(address, f"no usable credentials ({_said(error)})", credentials)
    if isinstance(error, PermissionError):
        return Problem(address, f"{DENIED} ({_said(error)})", f"check its rights, and {credentials}")
    if is_missing_bucket(error):
        return Problem(address, "no such bucket", "create it, or correct the address")
    if is_unreachable(error):
        return Problem(address, f"cannot be reached ({_said(error)})", ENDPOINT.get(protocol, "check the network"))
    if isinstance(error, NotImplementedError):
        return Problem(address, f"{protocol}:// cannot be written to", "name a place that can")
    return Problem(address, f"cannot be used ({_said(error)})", "correct that and run the same command again")


def _install(error: ImportError, protocol: str) -> str:
    if protocol in PACKAGES:
        return f"pip install {PACKAGES[protocol]}"
    return f"install it: {_said(error)}"


def _said(error: BaseException) -> str:
    """The first words of a message, without keys and without the query of an address, which may hold a signature."""
    text = mask(re.sub(r"\?\S+", "", " ".join(str(error).split())))
    return (text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " ...") or type(error).__name__
