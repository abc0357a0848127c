"""How commands end: what is the user's is one sentence, and a bug says so, with a code of its own."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import outcomes as invented
import pytest
from test_cli import Leave, leave  # noqa: F401

from harness.cli import endings
from harness.cli.run import check_complete, closing_line
from harness.errors import ConfigError, Incomplete, LlmStopped, NotComparable
from harness.experiments.benchmark import Finished
from harness.values.findings import Outcome, Summary

DESCRIBE = "harness.cli.list.describe"


def ends(leave: Leave, monkeypatch: pytest.MonkeyPatch, error: BaseException, *more: str) -> tuple[int, str]:  # noqa: F811
    """The code and the standard error of a command in which something is raised."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(DESCRIBE, fail)
    code, _, told = leave("list", *more)
    return code, told


def os_error(number: int, path: str | None = None, second: str | None = None) -> OSError:
    if path is None:
        return OSError(number, os.strerror(number))
    return OSError(number, os.strerror(number), path, None, second)


MANY = list(endings.FULL + endings.REFUSED + endings.OF_THE_MACHINE)


@pytest.mark.parametrize("number", MANY, ids=errno.errorcode.get)
def test_disks_permissions_and_machines_are_one_sentence_with_the_path(
    number: int, leave: Leave, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    code, told = ends(leave, monkeypatch, os_error(number, "/data/store/x.bin"))
    assert code == 2
    assert told.startswith(f"error: /data/store/x.bin: {os.strerror(number)}")
    assert told.count("\n") == 1


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EEXIST], ids=errno.errorcode.get)
def test_a_path_is_the_users_if_it_was_typed(
    number: int, leave: Leave, monkeypatch: pytest.MonkeyPatch, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    for place in ("kept/board.md", "kept", str(tmp_path / "kept" / "board.md"), "kept/.board.md.x1"):
        sentence = endings.sentence_of(os_error(number, place), ["report", "--html", "kept/board.md"])
        assert sentence == f"{place}: {os.strerror(number)}; give another path"
        assert endings.sentence_of(os_error(number, place), ["report", "--html=kept/board.md"])
    for place in ("other/board.md", "kept/board.md.json", "/usr/lib/harness/template.html"):
        assert endings.sentence_of(os_error(number, place), ["report", "--html", "kept/board.md"]) == ""
    code, told = ends(leave, monkeypatch, os_error(number, "nobody/typed/this"))
    assert code == 70
    assert "Traceback" in told


def test_a_file_where_the_store_should_be_is_the_users(leave: Leave, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / ".harness").write_text("a file")
    place = ".harness/outcomes/x"
    assert endings.sentence_of(os_error(errno.ENOTDIR, place), ["run", "x"]).startswith(f"{place}: Not a directory")
    assert endings.sentence_of(os_error(errno.ENOENT, ".harness/store/lost"), ["run", "x"]) != ""
    (tmp_path / ".harness").unlink()
    assert endings.sentence_of(os_error(errno.ENOENT, ".harness/store/lost"), ["run", "x"]) == "", "that is a bug"


@pytest.mark.parametrize(
    "error",
    [TypeError("data type 'bfloat16' not understood"), KeyError("dense"), OSError("no number at all"),
     ConnectionResetError(104, "Connection reset by peer"), TimeoutError("timed out"), ZeroDivisionError(),
     BrokenPipeError(32, "Broken pipe"), MemoryError(), RecursionError("too deep"), UnicodeError("half a letter")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_bug_is_no_verdict_and_has_a_code_of_its_own(
    error: Exception, leave: Leave, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    code, told = ends(leave, monkeypatch, error)
    assert code == 70
    assert "Traceback (most recent call last)" in told
    last = told.splitlines()[-1]
    assert last.startswith(f"error: this is a bug in the harness ({type(error).__name__}")
    assert "report it" in last


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("a"), 2), (Incomplete("a"), 3), (LlmStopped("a"), 3), (NotComparable("a"), 4),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: getattr(type(value), "__name__", value),
)  # fmt: skip
def test_each_kind_of_error_has_its_code(
    error: BaseException, code: int, leave: Leave, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    assert ends(leave, monkeypatch, error)[0] == code
    assert "Traceback" not in ends(leave, monkeypatch, error)[1]


def test_who_wants_it_gets_the_traceback(leave: Leave, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv(endings.DEBUG, "1")
    code, told = ends(leave, monkeypatch, ConfigError("no such thing"))
    assert code == 2
    assert "Traceback" in told
    assert told.endswith("error: no such thing\n")


def test_a_full_disk_without_a_path_names_the_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = endings.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(endings.shutil, "disk_usage", lambda place: usage._replace(free=0))
    sentence = endings.sentence_of(os_error(errno.ENOSPC), ["run", "x", "--store", str(tmp_path / "store")])
    assert sentence.startswith(f"{Path.cwd()}: No space left on device; free some space and run the same command again")


def command(code: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run `harness list` in a process of its own, whose listing is what the code writes."""
    text = (
        "import sys; from harness.cli import main as cli, list as listing\n"
        f"def describe(suites, recipes, screen, verbose):\n    {code}\n"
        "listing.describe = describe\nsys.argv = ['harness', 'list']\ncli.main()"
    )
    return subprocess.run([sys.executable, "-c", text], timeout=120, check=False, **options)


def test_a_reader_that_goes_away_ends_nothing(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    mark = tmp_path / "done"
    code = f"[screen.print('x' * 5000) for _ in range(50)]; print('more'); open({str(mark)!r}, 'w').close()"
    done = command(code, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
    assert mark.exists(), "the command went on to its end"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_output_that_is_lost_is_no_success() -> None:
    with Path("/dev/full").open("wb") as full:
        done = command("print('a verdict')", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: standard output: No space left on device")
    assert b"Exception ignored" not in done.stderr


def test_a_pipe_that_must_not_be_waited_for_loses_nothing() -> None:
    """Some CI tools set the pipe of a child not to block."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    text = (
        "import sys; from harness.cli import endings; endings.settle_streams(); print('x' * 300_000); endings.flush()"
    )
    with subprocess.Popen([sys.executable, "-c", text], stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            assert len(pipe.read()) == 300_001
        assert process.wait(60) == 0


def test_a_terminal_that_lacks_letters_shows_others() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = command("print('\\u2013 \\u57fa')", capture_output=True, env=environment)
    assert (done.returncode, done.stdout) == (0, b"? ?\n")


def test_a_limit_on_the_size_of_files_is_told_with_the_path(tmp_path: Path) -> None:
    code = (
        "import resource, signal; from pathlib import Path; from harness.files import write_atomically; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        "write_atomically(Path('out.txt'), 'x' * 100_000)"
    )
    done = command(code, capture_output=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: out.txt: File too large")
    assert list(tmp_path.iterdir()) == []


# ---- the last lines of a run


def finished(outcome: Outcome, made: int = 0, scored: int = 0, failed: int = 0, share: float = 0.0) -> Finished:
    return Finished(outcome, Path("place"), made, scored, share, 0.0, 3.0, failed)


def summary(n: int, failed: int) -> Summary:
    reasons = {"answers 400: no temperature": failed} if failed else {}
    return Summary(
        system="untuned", seed=0, measure="ndcg@10", mean=0.5 if n else None, n=n, failed=failed, reasons=reasons
    )


@pytest.mark.parametrize("made", [0, 1, 4])
@pytest.mark.parametrize("scored", [0, 2])
@pytest.mark.parametrize("failed", [0, 3])
@pytest.mark.parametrize(("n", "lost"), [(10, 0), (5, 5), (0, 10)])
def test_the_last_line_says_nothing_that_the_table_does_not(
    made: int, scored: int, failed: int, n: int, lost: int
) -> None:
    done = finished(invented.normal(summaries=(summary(n, lost),)), made, scored, failed, lost / (n + lost))
    line = closing_line(done)
    whole = "Every stage and every score came from the cache" in line
    assert whole == (not made and not scored and not failed and not lost)
    if failed:
        assert f"{failed} stage calls failed" in line
    if lost:
        with pytest.raises(Incomplete) as caught:
            check_complete(done)
        assert "answers 400: no temperature" in str(caught.value)
        assert ("nothing was measured" in str(caught.value)) == (n == 0)
        assert "run again" not in str(caught.value), "no remedy that does not fit the cause"
    else:
        check_complete(done)


def test_a_run_that_measured_nothing_is_no_success() -> None:
    done = finished(invented.normal(summaries=(), not_run={"utility": "the dataset has no reference answers"}))
    with pytest.raises(Incomplete, match="nothing was measured: utility: the dataset has no reference answers"):
        check_complete(done)
