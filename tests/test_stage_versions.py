"""Nobody changes what a stage computes and forgets its version: old artifacts would pass for new ones.

If this fails, either raise the version in the ``STAGE`` of its module, or see that the result cannot have changed; then
write the golden file anew: ``python tests/test_stage_versions.py``. It holds, for every stage, its version, a digest of
what the stage reaches in each module of the package, so that the failure says where the change is, and the defaults of
its settings. Keys are made of settings that differ from their defaults, so a changed default needs another version in
any case: the file is not written without it. A new setting needs none.
"""

import copy
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter
from sources import Name, Sources

from harness.stages import STAGES, load_stage

PACKAGE = Path(__file__).parent.parent / "harness"
GOLDEN = Path(__file__).parent / "golden" / "stage_sources.json"


PLAINLY = TypeAdapter(Any)


def roots(stage: str) -> list[Name]:
    """The function of a stage, and its spec class."""
    declared = load_stage(stage)
    return [(one.__module__, one.__name__) for one in (declared.run, declared.spec)]


def defaults_of(kind: Any, at: str = "") -> dict[str, Any]:
    """The default of every setting of a spec class, at every depth, by its dotted name."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return {name: value for inner in get_args(kind) for name, value in defaults_of(inner, at).items()}
    found: dict[str, Any] = {}
    for name, info in kind.model_fields.items():
        if not info.is_required():
            found[at + name] = PLAINLY.dump_python(
                info.get_default(call_default_factory=True), mode="json", exclude_defaults=True
            )
        found |= defaults_of(info.annotation, f"{at}{name}.")
    return found


def current(sources: Sources) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "version": load_stage(name).version,
            "defaults": defaults_of(load_stage(name).spec),
            "modules": sources.digests(roots(name)),
        }
        for name in STAGES
    }


def changed_defaults(golden: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Settings whose defaults changed though the version of their stage did not."""
    return [
        f"{stage}: {name}"
        for stage, entry in golden.items()
        if stage in now and now[stage]["version"] == entry["version"]
        for name, value in entry.get("defaults", {}).items()
        if name in now[stage]["defaults"] and now[stage]["defaults"][name] != value
    ]


PLAIN = Sources(PACKAGE)


@pytest.fixture(scope="module")
def now() -> dict[str, dict[str, Any]]:
    return current(PLAIN)


def test_a_changed_default_has_another_version(now: dict[str, dict[str, Any]]) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert changed_defaults(golden, now) == []
    was = copy.deepcopy(golden)
    assert was["tune_retriever"]["defaults"].pop("recipe.epochs") == 2
    assert changed_defaults(was, now) == [], "a new setting needs no other version"
    was["tune_retriever"]["defaults"]["recipe.epochs"] = 3
    assert changed_defaults(was, now) == ["tune_retriever: recipe.epochs"]
    was["tune_retriever"]["version"] -= 1
    assert changed_defaults(was, now) == []


@pytest.mark.parametrize("name", STAGES)
def test_a_changed_stage_has_another_version(name: str, now: dict[str, dict[str, Any]]) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")).get(name, {"version": 0, "modules": {}})
    changed = {
        module
        for module in {**golden["modules"], **now[name]["modules"]}
        if golden["modules"].get(module) != now[name]["modules"].get(module)
    }
    assert not changed, f"what {name} reaches in {', '.join(sorted(changed))} changed: see the top of this file"
    assert golden["version"] == now[name]["version"], "write the golden file anew: see the top of this file"


def altered(module: str, old: str, new: str) -> dict[str, str]:
    """The source of a module with a change in it."""
    text = Sources(PACKAGE).text(f"harness.{module}")
    assert text.count(old) >= 1, f"{old!r} stands no more in {module}: choose another place for this test"
    return {f"harness.{module}": text.replace(old, new)}


def moved(changed: dict[str, str]) -> set[str]:
    """Stages whose digests a change moves."""
    before, after = current(PLAIN), current(Sources(PACKAGE, changed, PLAIN))
    return {name for name in STAGES if before[name] != after[name]}


@pytest.mark.parametrize(("module", "old", "new", "stages"), [
    # The four that the guard did not see, and others that are reached on the way.
    ("values.ideals", "1.0 / rank", "2.0 / rank", {"substitute"}),
    ("data.formats", "def load_jsonl(path", "def load_jsonl(path, odd=1, *rest", {"mine", "label", "tune_retriever"}),
    ("hashing", "hashlib.sha256(text.encode())", "hashlib.md5(text.encode())", {"tune_retriever", "tune_reranker"}),
    ("llm.structured", "_DECODER = ", "_DECODER = None or ", {"label", "synthesize"}),
    ("training.batches", "TRIES = 24", "TRIES = 25", {"tune_retriever"}),
    ("training.raw", "CLIP = 1.0", "CLIP = 2.0", {"tune_retriever"}),
    ("stages.shared.known_positives", "\"known.jsonl\"", "\"other.jsonl\"", {"mine", "label", "tune_retriever"}),
    ("models.search", "SEARCH_CHUNK = 256", "SEARCH_CHUNK = 255", {"mine", "retrieve"}),
    ("stages.shared.dev_evaluation", "place + 2", "place + 3", {"tune_retriever", "tune_reranker"}),
])  # fmt: skip
def test_a_change_is_seen_by_the_stages_that_reach_it(module: str, old: str, new: str, stages: set[str]) -> None:
    assert stages <= moved(altered(module, old, new))


def test_a_change_is_not_seen_by_stages_that_do_not_reach_it() -> None:
    assert moved(altered("values.ideals", "1.0 / rank", "2.0 / rank")) == {"substitute"}
    assert "fuse" not in moved(altered("training.raw", "CLIP = 1.0", "CLIP = 2.0"))


def test_what_cannot_change_a_result_moves_nothing() -> None:
    quiet = altered(
        "hashing", "def digest_of(value: Any) -> str:", "# A word more.\ndef digest_of(value: object) -> str:"
    )
    assert moved(quiet) == set()
    assert moved(altered("hashing", '"""Return the full SHA-256', '"""Return the whole SHA-256')) == set()
    assert moved(altered("training.retrievers", "and none were mined;", "and there are none;")) == set()


SMALL = {
    "harness.a": "from harness import b\nfrom harness.c import Base as Other\nimport harness.d.e as e\n"
    "def top(x):\n    from harness.f import late\n    return b.used(x) + late() + e.deep()\n"
    "class Kind(Other):\n    pass\ndef unused():\n    return b.other()\n",
    "harness.b": "LIMIT = 3\nUNUSED = 4\ndef used(x):\n    return helper(x)\ndef helper(x):\n    return x + LIMIT\n"
    "def other():\n    return UNUSED\n",
    "harness.c": "class Base:\n    def method(self):\n        return 1\n",
    "harness.d": "",
    "harness.d.e": "from harness.b import UNUSED\ndef deep():\n    return 1\n",
    "harness.f": "TABLE = {}\nTABLE['x'] = 1\ndef late():\n    return TABLE\n",
}


def reached(changed: dict[str, tuple[str, str]] | None = None) -> dict[str, str]:
    texts = dict(SMALL)
    for name, (old, new) in (changed or {}).items():
        assert old in texts[name]
        texts[name] = texts[name].replace(old, new)
    sources = Sources(PACKAGE, texts)
    sources.__dict__["names"] = set(texts)
    return sources.digests([("harness.a", "top"), ("harness.a", "Kind")])


@pytest.mark.parametrize(("module", "old", "new", "seen"), [
    ("harness.b", "LIMIT = 3", "LIMIT = 4", True),
    ("harness.b", "return helper(x)", "return helper(x + 1)", True),
    ("harness.b", "UNUSED = 4", "UNUSED = 5", False),
    ("harness.b", "return UNUSED", "return UNUSED + 1", False),
    ("harness.c", "return 1", "return 2", True),
    ("harness.d.e", "return 1", "return 2", True),
    ("harness.f", "TABLE['x'] = 1", "TABLE['x'] = 2", True),
    ("harness.f", "return TABLE", "return dict(TABLE)", True),
    ("harness.a", "return b.other()", "return 1", False),
])  # fmt: skip
def test_names_are_followed_through_every_form_of_import(module: str, old: str, new: str, seen: bool) -> None:
    assert (reached({module: (old, new)}) != reached()) == seen


if __name__ == "__main__":
    if odd := changed_defaults(json.loads(GOLDEN.read_text(encoding="utf-8")), current(PLAIN)):
        raise SystemExit(f"a default changed: raise the version of its stage first ({', '.join(odd)})")
    GOLDEN.write_text(json.dumps(current(PLAIN), indent=1) + "\n", encoding="utf-8")
