"""What the code imports is declared: by the base install what every command needs, by an extra what some do."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pocket
import pytest

from harness import extras
from harness.errors import ModelMissing
from harness.planning import requirements

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTIONS = {
    "Stemmer": "PyStemmer", "yaml": "PyYAML", "markdown_it": "markdown-it-py", "faiss": "faiss-cpu",
    "qdrant_edge": "qdrant-edge-py", "mlflow": "mlflow-skinny",
}  # fmt: skip
"""Module -> its distribution, where they are called differently."""
COME_WITH_OTHERS = {
    "httpx": "openai", "jiter": "openai", "pydantic_core": "pydantic", "click": "typer", "pandas": "ranx",
    "numba": "ranx", "llvmlite": "ranx", "ir_datasets": "ranx", "tqdm": "openai", "psycopg_pool": "psycopg",
}  # fmt: skip
"""Modules that a declared distribution always brings."""
IMPORTED_BY_TRANSFORMERS = {"accelerate", "gguf"}
OWN_EXTRAS = (
    "faiss",
    "ingest",
    "ir-datasets",
    "lancedb",
    "mlflow",
    "onnx",
    "openvino",
    "pgvector",
    "qdrant",
    "qlora",
    "ray",
    "remote",
    "slurm",
    "trackio",
    "vllm",
)
"""Extras that are reported where their library is used, and not by `extras`."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", name)[0]).lower()


@cache
def declared(extra: str = "") -> frozenset[str]:
    """The distributions of the base install, or of an extra."""
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    return frozenset(map(normal, lines))


def distribution(module: str) -> str:
    return normal(DISTRIBUTIONS.get(module, module))


class Import(NamedTuple):
    """A module of another package that a file imports; `at_once` if the file does so when it is imported itself."""

    place: str
    module: str
    at_once: bool


class Imports(ast.NodeVisitor):
    """Collects the imports of a file, but for those that only type checkers see."""

    def __init__(self, path: Path) -> None:
        self.place, self.found, self._depth = path.relative_to(ROOT / "harness").as_posix(), list[Import](), 0
        self.visit(ast.parse(path.read_text(encoding="utf-8")))

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.dump(node.test):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self._note(*(alias.name for alias in node.names))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._note(node.module or "")

    def _note(self, *names: str) -> None:
        modules = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"harness", "__future__"}
        self.found += [Import(self.place, module, self._depth == 0) for module in sorted(modules)]


# The plugin is imported by pytest.
IMPORTS = [
    one for path in sorted((ROOT / "harness").rglob("*.py")) for one in Imports(path).found if one.module != "pytest"
]
LOADED_WITH_MODELS = ("execution/preload", "indexes/", "ingest/readers/", "execution/ray_executor.py")
"""Modules that are themselves imported only where their library is used."""


def test_every_import_is_declared() -> None:
    assert len(IMPORTS) > 200
    by_extra = {module: extra for extra, modules in extras.MODULES.items() for module in modules}
    own = frozenset().union(*map(declared, OWN_EXTRAS))
    for place, module, _ in IMPORTS:
        name = distribution(module)
        in_extra = module in by_extra and (name in declared(by_extra[module]) or module in COME_WITH_OTHERS)
        brought = normal(COME_WITH_OTHERS.get(module, "")) in declared() | own
        assert name in declared() | own or in_extra or brought, f"{place}: {module} is declared nowhere"


def test_no_module_of_the_base_install_imports_an_extra_at_once() -> None:
    for place, module, at_once in IMPORTS:
        if at_once and not place.startswith(LOADED_WITH_MODELS):
            brought = normal(COME_WITH_OTHERS.get(module, "")) in declared()
            assert distribution(module) in declared() or brought, f"{place} imports {module}"


def test_each_module_of_an_extra_is_imported_somewhere_and_brought_by_it() -> None:
    used = {module for _, module, _ in IMPORTS}
    for extra, modules in extras.MODULES.items():
        for module in modules:
            assert module in used | IMPORTED_BY_TRANSFORMERS, module
            assert distribution(module) in declared(extra), module


def test_what_is_declared_is_imported() -> None:
    used = {distribution(module) for _, module, _ in IMPORTS}
    bounds = {"instructor", "langchain-community"}  # ragas imports them, and leaves their versions open
    for name in declared() | declared("local") | declared("ragas"):
        assert name in used | bounds | IMPORTED_BY_TRANSFORMERS | {"ranx"}, (
            f"{name} is declared, and nothing imports it"
        )


def test_all_is_what_one_machine_needs() -> None:
    (line,) = PROJECT["optional-dependencies"]["all"]
    assert line == "rag-tuning-harness[ingest,local,ragas]"


# ---- what is said


def hide(monkeypatch: pytest.MonkeyPatch, *hidden: str) -> None:
    monkeypatch.setattr(extras, "absent", lambda extra: [name for name in extras.MODULES[extra] if name in hidden])


def test_modules_are_looked_for_and_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.MODULES, "toy", ("json", "there_is_no_such_module"))  # type: ignore[misc]
    assert extras.absent("toy") == ["there_is_no_such_module"]
    assert extras.lacking("toy", "a.b", "the part")[0].what == (
        "the part needs there_is_no_such_module, which is not installed"
    )


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("torch", "pip install 'rag-tuning-harness[local]'"),
        ("transformers.models.bert", "pip install 'rag-tuning-harness[local]'"),
        ("ragas.metrics", "pip install 'rag-tuning-harness[ragas]'"),
    ],
)
def test_an_import_that_fails_is_explained(name: str, command: str) -> None:
    explained = extras.explained(ModuleNotFoundError(f"No module named {name!r}", name=name))
    assert explained is not None
    assert str(explained) == f"the package {name.partition('.')[0]} is not installed; run: {command}"
    assert explained.exit_code == 2


def test_an_import_of_no_extra_stays_a_bug() -> None:
    assert extras.explained(ModuleNotFoundError("No module named 'json5'", name="json5")) is None
    assert extras.explained(ModuleNotFoundError("nothing is said")) is None


def test_a_suite_is_refused_before_any_work_with_every_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "torch", "trl", "ragas")
    with pytest.raises(ModelMissing) as caught:
        requirements.check(pocket.suite({"measures": ["ndcg@10", "exact_match"]}))
    said = [str(problem).partition(": ") for problem in caught.value.problems]
    assert all(where.startswith("suite.yaml:") for where, _, _ in said)
    assert [rest for _, _, rest in said] == [
        "pipeline.retriever.model: a model that runs on this machine needs torch and 1 more, which are not "
        "installed; run: pip install 'rag-tuning-harness[local]'",
        "measures: exact_match needs ragas, which is not installed; run: pip install 'rag-tuning-harness[ragas]'",
    ]


def test_measures_that_need_no_extra_ask_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "ragas")
    for measures in (["ndcg@10"], ["ndcg@10", "token_f1"], ["utility"]):
        suite = pocket.suite({"measures": measures, "gates": [], "utility": {"right": "token_f1"}})
        assert list(requirements._packages(suite)) == []
    deciding = pocket.suite({"measures": ["utility"], "gates": []})
    assert [problem.what for problem in requirements._packages(deciding)] == [
        "exact_match needs ragas, which is not installed"
    ]
