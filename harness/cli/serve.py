"""`harness serve`: try measured systems in a browser, or behind an endpoint that speaks OpenAI's chat protocol.

Ctrl-C is how a server ends, so it exits with 0; before everything is loaded it interrupts, as of every command.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Annotated
from urllib.parse import urlsplit

import typer

from harness.cli import endings
from harness.cli.layout import what_changes
from harness.cli.options import Common, SuiteArgument, console, print_json, print_line, say, takes, warn
from harness.cli.serve_source import MOST, Chosen, choose, name_of, open_systems
from harness.errors import ConfigError, Problem
from harness.execution.environments import DEFAULTS
from harness.report import format as fmt
from harness.report.view import view
from harness.serving.access import TOKEN_VARIABLE, Access, is_loopback
from harness.serving.app import PASSAGES, About, App
from harness.serving.server import Server
from harness.serving.worker import Worker
from harness.text import decimals
from harness.values.findings import SystemInfo

HOST, PORT = "127.0.0.1", 8765
TOKEN_LENGTH = 16
"""Least characters of a token where other machines can guess at it."""
GRACE = 3.0
"""Seconds that an answer may still take when the server ends."""
BASELINES = {
    "untuned": "the pipeline as it is", "bm25": "bm25 alone", "hybrid": "bm25 fused with the retriever",
    "few-shot": "the pipeline with solved examples in the prompt",
}  # fmt: skip


@takes("store", "as_json", "verbose", "quiet")
def verb(
    suite: SuiteArgument,
    systems: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SYSTEM",
            help=f"Up to {MOST} systems of its latest outcome, as NAME or NAME:SEED. Default: the candidate that the "
            "report recommends, else untuned.",
        ),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = PORT,
    host: Annotated[
        str,
        typer.Option("--host", metavar="ADDRESS", help=f"Address to listen at; others than {HOST} need a token."),
    ] = HOST,
    passages: Annotated[
        int, typer.Option("--passages", min=1, max=1000, help="Passages to return of each ranking.")
    ] = PASSAGES,
    origins: Annotated[
        list[str] | None,
        typer.Option("--allow-origin", metavar="URL", help="Web page whose script may ask; may be repeated."),
    ] = None,
    *,
    common: Common,
) -> None:
    """Try measured systems in a browser, or behind an OpenAI-compatible endpoint."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    access = access_of(host, os.environ.get(TOKEN_VARIABLE, ""), origins or ())
    chosen = choose(suite, systems or (), common.store)
    server, worker = bound(host, port, access, _logger(common.verbose)), Worker()
    try:
        with common.progress() as display:
            opened = worker.run(lambda: open_systems(chosen, common.store, display))
        server.open(App(opened, about(chosen), worker, passages))
        _tell(server, host, chosen, common)
        _serve(server, common.quiet or common.as_json)
    except KeyboardInterrupt:
        _leave(worker, endings.INTERRUPTED, endings.INTERRUPTION)
        raise
    finally:
        server.server_close()
    _leave(worker, 0)


def _leave(worker: Worker, code: int, sentence: str = "") -> None:
    """End the process here if models still work after a while: it would fail if Python ended below them."""
    if not worker.idle(GRACE):
        sys.stdout.flush()
        sys.stderr.write(f"\n{sentence}\n" if sentence else "")
        os._exit(code)


def _serve(server: Server, quiet: bool) -> None:
    """Serve until the process is told to stop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell may have started this process deaf to Ctrl-C.
        signal.signal(number, signal.default_int_handler)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        if not quiet:
            say("", "Stopped.")


def _logger(verbose: bool) -> Callable[[str], None]:
    if verbose:
        return lambda line: print_line(console(stderr=True), line)
    return lambda line: None


def access_of(host: str, token: str, origins: Sequence[str]) -> Access:
    """Return who may ask a server at an address; warn if other machines can reach it.

    Raises ConfigError if they can and there is no good token, or if an origin is none.
    """
    token, problems = token.strip(), []
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
            problems.append(Problem("--allow-origin", f"{origin!r} is no origin", "write https://chat.example.org"))
    local = is_loopback(host)
    if not local and len(token) < TOKEN_LENGTH:
        what = "other machines could ask, and no token is set" if not token else "other machines could guess the token"
        hint = f"set {TOKEN_VARIABLE} to {TOKEN_LENGTH} characters or more, or serve on {HOST}"
        problems.append(Problem(f"--host {host}", what, hint))
    if problems:
        raise ConfigError(problems)
    if not local:
        warn(
            f"other machines can reach this server; every request needs the token of {TOKEN_VARIABLE}, and nothing is "
            "encrypted"
        )
    return Access(token, frozenset(origin.rstrip("/").lower() for origin in origins), any_name=not local)


def bound(host: str, port: int, access: Access, log: Callable[[str], None]) -> Server:
    """Return a server that has taken its port and does not listen yet. Raises ConfigError if it cannot have it."""
    try:
        return Server(host, port, access, log)
    except socket.gaierror as error:
        raise ConfigError(Problem(f"--host {host}", "is no address", "write one such as 127.0.0.1")) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            problem = Problem(f"--port {port}", "another program uses it", "choose another one, or 0 for a free one")
        elif error.errno == errno.EADDRNOTAVAIL:
            problem = Problem(f"--host {host}", "is no address of this machine", f"use {HOST}")
        elif error.errno == errno.EACCES:
            problem = Problem(f"--port {port}", "may not be used by this user", "choose one above 1023")
        else:
            raise
        raise ConfigError(problem) from error


def about(chosen: Chosen) -> About:
    """Return what the page says of the systems."""
    outcome = chosen.measured.outcome
    lines = {name_of(info): _line(chosen, info) for info in chosen.systems}
    return About(outcome.suite, outcome.title, outcome.created[:10], lines)


def _line(chosen: Chosen, info: SystemInfo) -> str:
    seen = view(chosen.measured.outcome)
    what = BASELINES.get(info.name) or what_changes(info.tunes, info.training, info.changes)
    measures = [*seen.gated, *seen.measures][:1]
    means = [f"{name} {decimals.fixed(mean)}" for name in measures if (mean := seen.mean(info, name)) is not None]
    return "; ".join([what, *means])


def _tell(server: Server, host: str, chosen: Chosen, common: Common) -> None:
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{server.server_port}/"
    labels = [info.label for info in chosen.systems]
    if common.as_json:
        names = [name_of(info) for info in chosen.systems]
        print_json({"url": url, "api": f"{url}v1", "suite": chosen.measured.outcome.suite, "models": names})
        sys.stdout.flush()
    elif not common.quiet:
        say(
            f"Serving {fmt.listed(labels)} of suite {chosen.measured.outcome.suite}.",
            f"Page: {url}",
            f"OpenAI-compatible: {url}v1 (model {' or '.join(map(name_of, chosen.systems))})",
            "Stop with Ctrl-C.",
        )
