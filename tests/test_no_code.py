"""Nothing that a user is given is run: the package has no call that would, wherever it stands in the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "harness"
RUNS_CODE = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.execve", "os.spawnv",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "dill.load", "dill.loads", "cloudpickle.load",
    "cloudpickle.loads", "joblib.load", "marshal.load", "marshal.loads", "shelve.open", "torch.load", "pd.read_pickle",
    "pandas.read_pickle", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "runpy.run_path",
    "runpy.run_module", "torch.hub.load", "subprocess.getoutput", "pty.spawn",
}  # fmt: skip
UNPACKS = {
    "tarfile.open", "shutil.unpack_archive", "extractall", "gzip.decompress", "zlib.decompress", "bz2.decompress",
    "lzma.decompress",
}  # fmt: skip
"""Calls that write where an archive says, or as much as it says."""
IMPORTED = {
    "harness/__init__.py": "names of the package itself",
    "harness/data/builders/__init__.py": "a literal table",
    "harness/data/builders/scipy_symbols.py": "modules of SciPy, which a suite cannot name",
    "harness/execution/executors.py": "functions of stages, by name",
    "harness/indexes/registry.py": "a literal table",
    "harness/stages/__init__.py": "a literal table",
}
"""Where a module is imported by a name that is computed, and why nobody else chooses it."""


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield name_of(node.func), node


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in call.keywords if one.arg == name), None)


def is_fixed(module: ast.expr) -> bool:
    """Whether the name of a module is written out, at least that of its package."""
    first = module.values[0] if isinstance(module, ast.JoinedStr) else module
    return isinstance(first, ast.Constant)


def is_true(value: ast.expr | None) -> bool:
    return value is not None and not (isinstance(value, ast.Constant) and not value.value)


def faults(source: str, where: str) -> Iterator[str]:
    """What in a source could run something that it is given, or unpack it without a bound."""
    tree = ast.parse(source)
    for name, call in calls(tree):
        at = f"{where}:{call.lineno}: {name}"
        last = name.rpartition(".")[2]
        if name in RUNS_CODE:
            yield f"{at} runs code"
        if name in UNPACKS or last in UNPACKS:
            yield f"{at} unpacks without a bound"
        for option in ("shell", "allow_pickle", "trust_remote_code"):
            if is_true(keyword(call, option)):
                yield f"{at}({option}=...) runs code"
        if last == "import_module" and where not in IMPORTED and not is_fixed(call.args[0]):
            yield f"{at} imports what it is told"
        if last == "from_pretrained" and name.split(".")[-2].startswith("Auto"):
            starred = any(one.arg is None for one in call.keywords)
            trusted = keyword(call, "trust_remote_code")
            if trusted is None and not starred:
                yield f"{at} asks at the terminal whether to run code"
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and any(name == "json.loads" for part in node.body for name, _ in calls(part)):
            caught = {part for one in node.handlers if one.type for part in caught_by(one.type)}
            if "ValueError" in caught and "RecursionError" not in caught:
                yield f"{where}:{node.lineno}: JSON that is nested deeply is not caught"


def caught_by(kind: ast.expr) -> list[str]:
    return [name_of(part) for part in kind.elts] if isinstance(kind, ast.Tuple) else [name_of(kind)]


def test_every_exception_is_one() -> None:
    for name in IMPORTED:
        source = (PACKAGE.parent / name).read_text(encoding="utf-8")
        assert any("imports" in fault for fault in faults(source, "harness/x.py")), name


def test_no_call_of_the_package_runs_what_it_is_given() -> None:
    paths = sorted(PACKAGE.rglob("*.py"))
    assert len(paths) > 200
    found = [
        fault
        for path in paths
        for fault in faults(path.read_text(encoding="utf-8"), path.relative_to(PACKAGE.parent).as_posix())
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)", "pickle.loads(raw)", "torch.load(path)", "yaml.load(text, Loader)",
        "np.load(path, allow_pickle=True)", "subprocess.run(text, shell=True)", "AutoModel.from_pretrained(folder)",
        "archive.extractall(folder)",
        "AutoTokenizer.from_pretrained(folder, trust_remote_code=True)", "importlib.import_module(name)",
        "gzip.decompress(raw)", "transformers.AutoConfig.from_pretrained(folder)",
        "try:\n    json.loads(text)\nexcept ValueError:\n    pass",
    ],
)  # fmt: skip
def test_such_a_call_is_found(source: str) -> None:
    assert list(faults(source, "harness/x.py"))


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()", "AutoModel.from_pretrained(folder, trust_remote_code=False)", "np.load(path)",
        "importlib.import_module('torch')", "subprocess.run(command)", "ast.literal_eval(text)", "yaml.safe_load(text)",
        "try:\n    json.loads(text)\nexcept (ValueError, RecursionError):\n    pass",
    ],
)  # fmt: skip
def test_other_calls_are_let_through(source: str) -> None:
    assert not list(faults(source, "harness/x.py"))
