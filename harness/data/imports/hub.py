"""Datasets of Hugging Face: by name where the hub can be reached, or a folder saved with `save_to_disk`.

A name is ``hf://owner/name[@revision][/config]``. Configurations `corpus` and `queries` belong together, with their
judgements in `default` or `qrels`, or, as BEIR has them, in the dataset ``owner/name-qrels``.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from harness.data.imports.files import columns_of, split_of
from harness.data.imports.imported import Note, Row, Table
from harness.errors import DataError, Problem
from harness.files import stays_inside

PREFIX = "hf://"
ADDRESS = re.compile(
    r"hf://(?:datasets/)?(?P<name>[\w.-]+/[\w.-]+|[\w.-]+(?=$|@))"
    r"(?:@(?P<revision>refs/convert/\w+|refs/pr/\d+|[^/]+))?(?:/(?P<config>[^/@]+))?"
)
FORM = "hf://owner/name[@revision][/config]"
SAVED = ("dataset_dict.json", "state.json")
PATIENCE = 3.0
"""Seconds in which the hub must answer."""
ASKING = 10.0
"""Seconds in which it must tell the commit of a dataset."""
OWN_BRANCHES = "refs/"
HEAVY = ("Image", "Audio", "Video", "Pdf", "Nifti", "Array2D", "Array3D", "Array4D", "Array5D")
"""Features whose cells are no text, and which may need more packages to be read."""
SCRIPT = "use a revision without code, such as @refs/convert/parquet, or another copy of it"
ELSEWHERE = "load it where the hub can be reached, save it with save_to_disk, and give that folder"


class Address(NamedTuple):
    """The parts of a name on the hub."""

    name: str
    revision: str | None
    config: str | None


def parse(source: str) -> Address:
    """Return the parts of ``hf://owner/name[@revision][/config]``; raise DataError for another form."""
    match = ADDRESS.fullmatch(source)
    if match is None or match["name"].startswith("."):
        raise DataError(Problem(source, "not a name of a dataset on the hub", f"write {FORM}"))
    return Address(match["name"], match["revision"], match["config"])


def is_saved(folder: Path) -> bool:
    """Return whether a folder was written by `save_to_disk`."""
    return any((folder / name).is_file() for name in SAVED)


def read_saved(folder: Path, problems: list[Problem]) -> tuple[list[Table], dict[str, Any]]:
    """Return the tables of a folder that `save_to_disk` wrote, and what it says of itself."""
    import datasets

    if elsewhere := _elsewhere(folder):
        what = f"names a file outside of it ({elsewhere!r})"
        raise DataError(Problem(str(folder), what, "use a folder that holds all of its files"))
    try:
        loaded = datasets.load_from_disk(str(folder))
        tables = list(_tables(loaded, str(folder), "", problems))
    except Exception as error:
        raise DataError(Problem(str(folder), f"cannot be loaded ({_first_line(error)})", "save it again")) from None
    return tables, _about(loaded)


def _elsewhere(folder: Path) -> str:
    """Return the first file or split outside of a saved folder that a file of it names; empty if there is none."""
    for name in SAVED:
        for path in sorted(folder.rglob(name)):
            try:
                value = json.loads(path.read_text(encoding="utf-8"))
                named = [*(value.get("splits") or ()), *(row["filename"] for row in value.get("_data_files") or ())]
            except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
                # The library says what is wrong with it.
                continue
            if outside := [one for one in named if not stays_inside(one)]:
                return str(outside[0])
    return ""


def read_hub(source: str, problems: list[Problem]) -> tuple[list[Table], dict[str, Any]]:
    """Return the tables of a dataset on the hub. Raises DataError if it cannot be loaded, or if a choice is missing."""
    address = parse(source)
    tables: list[Table] = []
    about: dict[str, Any] = {}
    reachable = is_reachable()
    revisions = _Revisions(address, reachable)
    with contextlib.nullcontext() if reachable else _offline():
        for name, config, role in _parts(address._replace(revision=revisions.of(address.name)), source):
            loaded = _load(name, config, revisions.of(name), source)
            tables += _tables(loaded, f"{name}/{config}" if config else name, role, problems)
            about |= {key: value for key, value in _about(loaded).items() if key not in about}
    return tables, {**about, **revisions.told()}


class _Revisions:
    """The revision that each dataset of an address is read at: its commit of now, so that all parts are of one commit.

    Where a commit cannot be told, it is what the address says. Branches of the hub's own keep their names.
    """

    def __init__(self, address: Address, reachable: bool) -> None:
        self.address, self.reachable = address, reachable
        self.commits: dict[str, str | None] = {}

    def of(self, name: str) -> str | None:
        """Return the revision to read a dataset at; None for its newest."""
        written = self.address.revision if name == self.address.name else None
        if name not in self.commits:
            self.commits[name] = commit_of(name, written) if self.reachable else None
        return written if written and written.startswith(OWN_BRANCHES) else self.commits[name] or written

    def told(self) -> dict[str, Any]:
        """What a result says about revisions: the commit of the dataset, and those of datasets that belong to it."""
        name = self.address.name
        others = {other: commit for other, commit in self.commits.items() if other != name and commit}
        revision = self.commits.get(name) or self.address.revision
        return {**({"revision": revision} if revision else {}), **({"revisions": others} if others else {})}


def commit_of(name: str, revision: str | None) -> str | None:
    """Return the commit of a dataset at a revision; None if the hub does not tell, which loading then explains."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return None
    with contextlib.suppress(Exception):
        sha = HfApi().dataset_info(name, revision=revision, timeout=ASKING).sha
        return str(sha) if sha else None
    return None


def is_reachable(patience: float = PATIENCE) -> bool:
    """Return whether the hub answers a small request within so many seconds, whatever it answers.

    The library itself repeats each request for half a minute. True in its offline mode, in which it asks nothing.
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return True
    answered = threading.Event()

    def ask() -> None:
        # Any failure means the same here; loading tells them apart if there is an answer.
        with contextlib.suppress(Exception):
            get_session().head(constants.ENDPOINT, timeout=patience)
            answered.set()

    # A name that no server resolves is waited for beyond any timeout of a request.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience)
    return answered.is_set()


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Let the library read what it has downloaded before, and ask nothing."""
    import datasets
    from huggingface_hub import constants

    places = (constants, datasets.config)
    before = [place.HF_HUB_OFFLINE for place in places]
    try:
        for place in places:
            place.HF_HUB_OFFLINE = True
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.HF_HUB_OFFLINE = value


def _parts(address: Address, source: str) -> list[tuple[str, str | None, str]]:
    """Return dataset, configuration and role of everything to load."""
    configs = _configs(address.name, address.revision, source)
    prefix = f"{address.config}-" if address.config and address.config not in configs else ""
    if {f"{prefix}corpus", f"{prefix}queries"} <= set(configs) and address.config not in configs:
        corpus = [(address.name, f"{prefix}corpus", "corpus"), (address.name, f"{prefix}queries", "queries")]
        if qrels := next((name for name in (f"{prefix}qrels", "default") if name in configs), None):
            return [*corpus, (address.name, qrels, "qrels")]
        sibling = f"{address.name}-qrels"
        return [*corpus, (sibling, None, "qrels")]
    if {"corpus", "qa"} <= set(configs) and address.config is None:
        return [(address.name, "corpus", "corpus"), (address.name, "qa", "qa")]
    if address.config is not None and address.config not in configs:
        known = ", ".join(configs[:12]) or "none"
        raise DataError(Problem(source, f"no configuration {address.config!r}; there are {known}", "name one of these"))
    config = address.config or ("default" if "default" in configs else configs[0] if len(configs) == 1 else None)
    if config is None and configs:
        some = ", ".join(configs[:12]) + (", ..." if len(configs) > 12 else "")
        hint = f"name one: hf://{address.name}/{configs[0]}"
        raise DataError(Problem(source, f"has several configurations ({some})", hint))
    return [(address.name, config, "")]


def _configs(name: str, revision: str | None, source: str) -> list[str]:
    import datasets

    try:
        return list(datasets.get_dataset_config_names(name, **({"revision": revision} if revision else {})))
    except Exception as error:
        raise DataError(_unloaded(error, name, source)) from None


def _load(name: str, config: str | None, revision: str | None, source: str) -> Any:
    import datasets

    try:
        return datasets.load_dataset(name, config, **({"revision": revision} if revision else {}))
    except Exception as error:
        raise DataError(_unloaded(error, name, source)) from None


def _unloaded(error: Exception, name: str, source: str) -> Problem:
    """Return the problem that an exception of the library means."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    text = str(error)
    if "DatasetNotFoundError" in kinds or "RepositoryNotFoundError" in kinds:
        hint = "check the name; log in with 'hf auth login' if it is private or asks to agree to terms"
        return Problem(source, f"no dataset {name!r} on the hub", hint)
    if "scripts are no longer supported" in text or "trust_remote_code" in text:
        return Problem(source, f"{name!r} needs code of its own, which is not run", SCRIPT)
    if kinds & {"ConnectionError", "TimeoutError", "OfflineModeIsEnabled", "LocalEntryNotFoundError", "ConnectError"}:
        return Problem(source, "the hub cannot be reached from here", ELSEWHERE)
    what = f"{name!r} cannot be loaded ({_first_line(error)})"
    return Problem(source, what, "check name, revision and configuration")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:120]


def _tables(loaded: Any, where: str, role: str, problems: list[Problem]) -> Iterator[Table]:
    """Yield the tables of a Dataset or DatasetDict, their splits by name."""
    parts: Mapping[str, Any] = loaded if isinstance(loaded, Mapping) else {"": loaded}
    # A dataset that was never split is called "train" by the library, or by what it holds.
    unsplit = len(parts) == 1 and role != "qrels" and split_of(next(iter(parts))) in (None, "train")
    if unsplit and next(iter(parts)) == "train" and role == "":
        problems.append(Note(where, "its only split, 'train', is read as not split"))
    for name, part in parts.items():
        features: Mapping[str, Any] = part.features
        heavy = [column for column, feature in features.items() if type(feature).__name__ in HEAVY]
        rows = (part.remove_columns(heavy) if heavy else part).to_list()
        at = f"{where} ({name})" if name and len(parts) > 1 else where
        placed = [Row(f"{at}:{number}", row) for number, row in enumerate(rows, start=1)]
        columns: Sequence[str] = [column for column in features if column not in heavy] or columns_of(rows)
        own_role = role or {"corpus": "corpus", "queries": "queries", "qrels": "qrels"}.get(name, "")
        split = None if unsplit or own_role in ("corpus", "queries") else split_of(name)
        yield Table(at, own_role, split, columns, placed)


def _about(loaded: Any) -> dict[str, Any]:
    """Return licence and homepage, where the dataset names them."""
    part = next(iter(loaded.values()), None) if isinstance(loaded, Mapping) else loaded
    info = getattr(part, "info", None)
    pairs = {"licence": getattr(info, "license", ""), "homepage": getattr(info, "homepage", "")}
    return {name: value for name, value in pairs.items() if isinstance(value, str) and value}
