"""What is wrong with an address is said in a sentence with what to do, and no secret is repeated."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faulty import Faults

from harness.cli import main as cli
from harness.errors import ConfigError
from harness.remote import failures
from harness.remote.mirror import opened
from harness.remote.objects import Objects, expect, is_address

SECRET = "wJalrXUtnFEMI7K7MDENG8bPxRfiCYEXAMPLEKEY"


def named(name: str, text: str = "it said so", base: type[Exception] = Exception) -> Exception:
    """An exception as packages raise them that are not installed everywhere."""
    return type(name, (base,), {})(text)


def answered(code: str, error: Exception) -> Exception:
    cause = named("ClientError")
    cause.response = {"Error": {"Code": code}}  # type: ignore[attr-defined]
    error.__cause__ = cause
    return error


CASES: list[tuple[str, Exception, str, str]] = [
    ("s3://b/p", ImportError("Install s3fs to access S3"), "not installed", "rag-tuning-harness[remote]"),
    ("gs://b/p", ImportError("Please install gcsfs to access Google Storage"), "not installed", "gcsfs"),
    ("s3://b/p", named("NoCredentialsError", "Unable to locate credentials"), "no usable credentials", "AWS_PROFILE"),
    ("s3://b/p", named("ProfileNotFound"), "no usable credentials", "AWS_PROFILE"),
    ("gs://b/p", named("DefaultCredentialsError"), "no usable credentials", "GOOGLE_APPLICATION_CREDENTIALS"),
    ("s3://b/p", PermissionError("Access Denied"), "access is denied (Access Denied)", "rights"),
    ("s3://b/p", answered("NoSuchBucket", FileNotFoundError("gone")), "no such bucket", "create it"),
    ("s3://b/p", named("EndpointConnectionError", "Could not connect"), "cannot be reached", "AWS_ENDPOINT_URL"),
    ("s3://b/p", ConnectionRefusedError("refused"), "cannot be reached", "network"),
    ("s3://b/p", TimeoutError("too long"), "cannot be reached", "network"),
    ("https://h/p", NotImplementedError(), "cannot be written to", "name a place"),
    ("s3://b/p", OSError("SlowDown"), "cannot be used (SlowDown)", "run the same command again"),
]


@pytest.mark.parametrize(("address", "error", "what", "hint"), CASES)
def test_an_error_is_a_problem_with_what_to_do(address: str, error: Exception, what: str, hint: str) -> None:
    problem = failures.problem_of(error, address)
    assert problem.where == address
    assert what in problem.what
    assert hint in problem.hint
    assert "\n" not in str(problem)


def test_no_secret_is_repeated() -> None:
    text = f"PUT https://b.example/k?X-Amz-Signature={SECRET}&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE was refused"
    text += " for AKIAIOSFODNN7EXAMPLE"
    shown = str(failures.problem_of(OSError(text), "s3://b/p"))
    assert SECRET not in shown
    assert "AKIAIOSFODNN7EXAMPLE" not in shown


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nosuch://bucket/prefix", "unknown protocol nosuch://"),
        ("abfz://bucket/prefix", "did you mean 'abfs'?"),
        (f"sftp://me:{SECRET}@host/place", "holds a user or a password"),
        ("simplecache::s3://bucket/prefix", "holds a chain"),
    ],
)
def test_an_address_without_use_is_refused_in_a_sentence(
    address: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setattr("sys.argv", ["harness", "store", "verify", "--store", address])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert words in printed.err
    assert SECRET not in printed.err + printed.out
    assert len(printed.err.splitlines()) == 1
    assert not any(tmp_path.rglob("*"))


@pytest.mark.parametrize("place", ["store", "/store", "C:\\store", "a:b", ".harness", "", "./s3:x"])
def test_what_is_no_address_is_a_folder(place: str) -> None:
    assert not is_address(place)


METHODS: dict[str, tuple[Any, ...]] = {
    "read": ("name",), "write": ("name", b""), "create": ("name", b""), "list": ("",), "delete": ("name",),
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_every_call_that_fails_is_a_sentence(method: str) -> None:
    objects = Objects("faulty://failures/prefix")
    Faults.plan(0, after=False)
    try:
        with pytest.raises(ConfigError, match="cannot be reached"):
            getattr(objects, method)(*METHODS[method])
    finally:
        Faults.plan(-1, after=False)


def test_a_full_disk_is_no_fault_of_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = Objects("memory://full/prefix")
    objects.write("name", b"content")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "file"))

    monkeypatch.setattr(type(objects.fs), "get_file", full)
    with pytest.raises(OSError, match="No space left"):
        objects.download("name", tmp_path / "file")


def test_names_that_lead_elsewhere_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = Objects("memory://names/prefix")
    plain = ["a", "b/c d", "b/100%#?.txt"]
    listed = {f"{objects.base}/{name}": {"size": 1, "type": "file"} for name in [*plain, "../x", "b/../../x", "b//x"]}
    monkeypatch.setattr(type(objects.fs), "find", lambda *_, **__: listed)
    assert list(objects.list("")) == plain


def test_the_folder_of_an_address_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, other = opened("memory://bucket/a"), opened("memory://bucket/b")
    assert first != other
    assert opened("memory://bucket/a/") == first


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """How long it was waited before each repetition; time goes by only then."""
    waited: list[float] = []
    # Of this module alone: threads that other tests have left may sleep, too.
    clock = SimpleNamespace(sleep=waited.append, monotonic=lambda: sum(waited))
    monkeypatch.setattr("harness.remote.objects.time", clock)
    yield waited
    Faults.plan(-1, after=False)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_an_address_that_answered_before_is_asked_again(method: str, after: bool, pauses: list[float]) -> None:
    objects = Objects(f"faulty://again/{method}-{after}")
    objects.write("name", b"")
    Faults.plan(0, after)
    getattr(objects, method)(*METHODS[method])
    assert pauses == [1.0]


def test_whoever_comes_later_to_a_bucket_is_as_patient(pauses: list[float]) -> None:
    """As a worker that begins while the server is away."""
    Objects("faulty://later/one").write("name", b"")
    Faults.plan(0, after=False)
    Objects("faulty://later/other").read("name")
    assert pauses == [1.0]
    expect("faulty://sent/prefix")
    Faults.plan(0, after=False)
    Objects("faulty://sent/prefix/store").read("name")
    assert pauses == [1.0, 1.0]
    Faults.plan(0, after=False)
    with pytest.raises(ConfigError, match="cannot be reached"):
        Objects("faulty://misspelt/prefix").read("name")
    assert pauses == [1.0, 1.0]


def test_an_address_that_is_gone_for_long_is_told(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    objects = Objects("faulty://gone/prefix")
    objects.write("name", b"content")

    def gone(*_: object, **__: object) -> bytes:
        raise ConnectionRefusedError("nobody listens")

    monkeypatch.setattr(type(objects.fs), "cat_file", gone)
    with pytest.raises(ConfigError, match="cannot be reached"):
        objects.read("name")
    assert 20 < sum(pauses) <= 60


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (OSError(errno.EBUSY, "Please reduce your request rate."), True),
        (TimeoutError("read timed out"), True),
        (PermissionError("Access Denied"), False),
        (OSError(errno.EIO, "disk"), False),
    ],
)
def test_only_what_may_be_over_soon_is_waited_for(
    error: OSError, again: bool, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = Objects("memory://soon/prefix")
    objects.write("name", b"content")
    left, plain = [error], objects.fs.cat_file

    def busy(*given: object, **options: object) -> bytes:
        if left:
            raise left.pop()
        content: bytes = plain(*given, **options)
        return content

    monkeypatch.setattr(objects.fs, "cat_file", busy)
    if again:
        assert objects.read("name") == b"content"
    else:
        with pytest.raises(ConfigError):
            objects.read("name")
    assert pauses == ([1.0] if again else [])
