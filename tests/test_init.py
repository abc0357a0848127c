"""What `harness init` writes loads as it is, says every key there is, and shows the defaults that there are."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from harness.cli.init import FILES, begin
from harness.data.datasets import load_dataset
from harness.errors import ConfigError
from harness.models.loaders import EMBEDDED
from harness.planning.plan import build_plan
from harness.suite import builtin
from harness.suite.files import load_suite, parse_suite
from harness.suite.recipes import PARTS
from harness.suite.spec import Suite

TEMPLATE = builtin.folder("suites") / "template" / "suite.yaml"
TEXT = TEMPLATE.read_text(encoding="utf-8")
NOT_SET = re.compile(r"^(\s*)#((?:- |(?:  )*)(?:[a-z0-9_]+|\"[a-z_.]+\"):)")
"""A key that is commented out: no blank, or an even number of them, between the sign and the key."""
WHOLE = "\n".join(NOT_SET.sub(r"\1\2", line) for line in TEXT.splitlines())
"""The template with every key set."""

Key = tuple[str, ...]
RETRIEVER_ENDPOINT: Key = ("pipeline", "retriever", "endpoint")
SYSTEM_ENDPOINT: Key = ("candidates", "*", "external", "endpoint")
NAMED: tuple[Key, ...] = (("candidates",), ("published",), ("search", "sample", "space"))
"""Sections whose keys are names that a user chooses."""


def spec_inside(annotation: Any) -> type[BaseModel] | None:
    """The spec class in something like ``Relabel | None`` or ``tuple[Gate, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := spec_inside(inner))), None)


def keys_of(spec: type[BaseModel], at: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    """Every key of a suite with its field; a candidate's own are walked once, its changes of sections not again."""
    for name, info in spec.model_fields.items():
        key = (*at, info.alias or name)
        yield key, info
        inner = spec_inside(info.annotation)
        if get_origin(info.annotation) is dict:
            key = (*key, "*")
        # The levels of a factor are candidates, whose keys are walked with these.
        if inner is not None and not inner.__name__.endswith("Change") and key[0] != "factorial":
            yield from keys_of(inner, key)


def nodes_of(node: yaml.Node, at: Key = ()) -> Iterator[tuple[Key, int, Any]]:
    """Every key of a YAML text with its line (from 0) and its value; names of candidates become ``*``."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from nodes_of(item, at)
    if isinstance(node, yaml.MappingNode):
        for name, item in node.value:
            key = (*at, "*" if at in NAMED else name.value)
            yield key, name.start_mark.line, item
            yield from nodes_of(item, key)


FIELDS = dict(keys_of(Suite))
NODES = list(nodes_of(yaml.compose(WHOLE, Loader=yaml.SafeLoader)))
LINES = TEXT.splitlines()


def test_the_walk_finds_keys_of_every_depth() -> None:
    """If it did not, the tests below could not fail."""
    assert {
        ("schema",), ("dataset", "group", "metadata"), ("recipes", "generator", "rank"), ("gates", "relative"),
        ("data", "mine", "relabel", "threshold"), ("candidates", "*", "tune"), ("llm", "labeler", "model"),
    } <= FIELDS.keys()  # fmt: skip
    assert ("candidates", "*", "retriever", "epochs") not in FIELDS
    assert len(FIELDS) > 120


@pytest.mark.parametrize("key", FIELDS, ids=".".join)
def test_every_key_stands_in_the_template(key: Key) -> None:
    explained = {at for at, *_ in NODES}
    if key[:1] == ("llm",) and len(key) == 3:
        # The keys that all roles share are explained with the first.
        explained |= {("llm", key[1], at[2]) for at in explained if at[:2] == ("llm", "synthesizer") and len(at) == 3}
    if key[:3] == ("pipeline", "reranker", "endpoint"):
        # The keys that both endpoints share are explained with the retriever's.
        explained |= {("pipeline", "reranker", *at[2:]) for at in explained if at[:3] == RETRIEVER_ENDPOINT}
    if key[:4] == SYSTEM_ENDPOINT:
        explained |= {(*SYSTEM_ENDPOINT, *at[3:]) for at in explained if at[:3] == RETRIEVER_ENDPOINT}
        # It has no name of its own.
        explained |= {(*SYSTEM_ENDPOINT, "model")}
    if key[:2] == ("forgetting", "dataset"):
        # It has the keys of the suite's own dataset.
        explained |= {("forgetting", *at) for at in explained if at[0] == "dataset"}
    assert key in explained, f"{'.'.join(key)} is not explained in suites/template/suite.yaml"


def own(nodes: list[tuple[Key, int, Any]]) -> Iterator[tuple[Key, int, Any]]:
    """The keys that are no example of a candidate or of a figure from elsewhere."""
    return (node for node in nodes if node[0][0] not in ("candidates", "published") or len(node[0]) == 1)


@pytest.mark.parametrize(("key", "line"), [(key, line) for key, line, _ in own(NODES)])
def test_every_key_is_explained(key: Key, line: int) -> None:
    """By a comment in its line or right above it; a part of the file, by its headline."""
    above = (LINES[line - 1] or LINES[line - 2]) if len(key) == 1 else LINES[line - 1]
    assert re.search(r"\s#\s\S", LINES[line]) or above.lstrip().startswith("# ")


@pytest.mark.parametrize(("key", "line", "node"), [one for one in own(NODES) if isinstance(one[2], yaml.ScalarNode)])
def test_defaults_are_shown_as_they_are(key: Key, line: int, node: yaml.ScalarNode) -> None:
    """What is commented out is the default; what is set to something else names the default beside it."""
    info = FIELDS[key]
    value, wanted = yaml.safe_load(yaml.serialize(node)), info.get_default(call_default_factory=True)
    if info.is_required() or value == wanted:
        return
    if NOT_SET.match(LINES[line]):
        assert wanted is None, f"{'.'.join(key)} is shown as {value!r} and is {wanted!r} by default"
        section = FIELDS[key[:-1]]
        given = section.is_required() or section.get_default() in (None, ())
        assert given, f"{'.'.join(key)} is null by default"
    elif wanted not in (None, "", ()) and key not in {("pipeline", "generator", "instruction")}:
        shown = re.search(r"[( ]default ([\w.-]+)", LINES[line])
        assert shown is not None, f"{'.'.join(key)}: its default {wanted!r} is not shown"
        assert yaml.safe_load(shown[1]) == wanted


def test_the_template_with_every_key_set_is_a_suite() -> None:
    whole = yaml.safe_load(WHOLE)
    parts = [whole["pipeline"][part] for part in ("retriever", "reranker")]
    endpoints = [part.pop("endpoint") for part in parts]
    # Files of an external system are no part of the template, and one behind an address takes no fixed passages.
    del whole["candidates"]["theirs"]
    service = whole["candidates"].pop("service")
    drift = [whole["gates"].pop(number) for number, gate in enumerate(whole["gates"]) if "served" in gate]
    suite = parse_suite(yaml.safe_dump(whole), TEMPLATE)
    assert suite.pipeline.reranker is not None
    assert suite.data.mine.relabel is not None

    # An endpoint takes the place of what says how a model is used here.
    whole["pipeline"]["retriever"] = {"kind": "endpoint", "endpoint": endpoints[0]}
    whole["pipeline"]["reranker"] = {"kind": "endpoint", "endpoint": endpoints[1]}
    whole["factorial"], whole["candidates"], whole["search"] = [], {"service": service}, None
    whole["gates"] += drift
    del whole["evaluate"]["contexts"]
    served = parse_suite(yaml.safe_dump(whole), TEMPLATE)
    assert served.pipeline.retriever.endpoint is not None
    assert served.candidates["service"].external is not None


def test_the_template_shows_every_kind_of_candidate() -> None:
    suite, _ = load_suite("template")
    tuned = {candidate.tune for candidate in suite.all_candidates.values()}
    assert {
        ("retriever",), ("reranker",), ("generator",), ("reranker", "retriever"), ("retriever", "reranker"), PARTS,
    } <= tuned  # fmt: skip
    recipes = {
        suite.recipe(candidate, "retriever").recipe
        for candidate in suite.all_candidates.values() if "retriever" in candidate.tune
    }  # fmt: skip
    assert recipes == {"mnrl", "triplet", "distill", "raw"}


def test_the_lines_are_short_enough_to_read() -> None:
    assert max(map(len, LINES)) <= 120


def test_a_copy_is_the_suite_under_the_name_of_its_folder(tmp_path: Path) -> None:
    assert begin(tmp_path / "new" / "Our Manuals_2") == FILES
    suite, path = load_suite(tmp_path / "new" / "Our Manuals_2")
    assert suite == load_suite("template")[0].model_copy(update={"name": "our-manuals-2"})
    copied = path.read_text(encoding="utf-8").splitlines()
    (changed,) = [(old, new) for old, new in zip(LINES, copied, strict=True) if old != new]
    assert changed[0].index("#") == changed[1].index("#")
    assert (path.parent / "README.md").read_text(encoding="utf-8").startswith("# Your own suite")


def test_a_folder_whose_name_is_no_name(tmp_path: Path) -> None:
    begin(tmp_path / "\N{GREEK SMALL LETTER ALPHA}")
    assert load_suite(tmp_path / "\N{GREEK SMALL LETTER ALPHA}")[0].name == "template"


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_overwritten(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=f"{name} would be overwritten; choose a new folder"):
        begin(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text(encoding="utf-8") == "mine"


def test_data_that_lies_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    begin(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"data", *FILES}


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="a file, not a folder"):
        begin(tmp_path / "here")


@pytest.mark.skipif(
    not all(importlib.util.find_spec(one.module) for one in EMBEDDED.values()),
    reason="the embedded models are not installed, whose digests are part of a plan",
)
def test_a_copy_can_be_planned_as_it_is(tmp_path: Path) -> None:
    begin(tmp_path)
    suite, _ = load_suite(tmp_path)
    plan = build_plan(suite, load_dataset(suite.dataset, suite.evaluate.split))
    assert {system.name for system in plan.systems} == {*suite.all_candidates, *suite.baseline_rows}
    assert len(plan.calls) < plan.calls_without_sharing / 2


def test_the_readme_names_keys_and_commands_that_exist() -> None:
    from harness.cli.main import VERBS

    readme = (TEMPLATE.parent / "README.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"harness (\w+) ", readme)) - {"would"}
    assert {"doctor", "run", "plan", "export", "ingest", "testset"} == commands & set(VERBS)
    sizes = re.search(r"small for the first run\.(.*?)\n\n", readme, re.DOTALL)
    assert sizes is not None
    is_set = {key[-1]: LINES[line] for key, line, _ in NODES if not NOT_SET.match(LINES[line])}
    named = set(re.findall(r"`(\w+)`", sizes[1]))
    assert named <= is_set.keys()
    # Nothing small is left behind.
    sized = {key for key, line in is_set.items() if re.search(r"default:? (\d|all)", line)} - {"threshold"}
    assert sized <= named


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_copy_runs_as_it_is_and_what_it_makes_can_be_exported(tmp_path: Path) -> None:
    from harness.cli.export import export
    from harness.experiments import benchmark

    begin(tmp_path / "mine")
    done = benchmark.run(tmp_path / "mine", tmp_path / "store")
    assert done.failed_share == 0.0
    assert not [info.label for info in done.outcome.systems if info.failed]
    written = export("staged", tmp_path / "out", tmp_path / "store")
    assert written == ("README.md", "generator-adapter", "pipeline.yaml", "reranker", "retriever")
