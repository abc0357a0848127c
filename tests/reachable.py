"""What a stage can reach: the definitions of the package that its function uses, and those that these use.

Names are followed from definition to definition, across modules and re-exports. So a change counts for a stage only
where the stage can come upon it, in whatever module that is.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parent.parent / "harness"
SPECS = "suite."
"""Modules of settings: what these are set to is part of every key, so their fields are not part of the code."""

Read = Callable[[str], str]


class Definition(NamedTuple):
    """A name at the top level of a module (``data.formats``); an empty name means all of the module."""

    module: str
    name: str


class Module(NamedTuple):
    """The top level of a module: statements by the name that they define, and what its imports name."""

    statements: dict[str, list[ast.stmt]]
    imports: dict[str, Definition]


@cache
def source(module: str) -> str:
    """Return the text of a module of the package; the empty name is the package itself."""
    return file_of(module).read_text(encoding="utf-8")


def file_of(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split(".")) if module else PACKAGE
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def is_module(module: str) -> bool:
    return file_of(module).is_file()


class Reach:
    """Follows names from where it is asked to start. `read` gives the text of a module."""

    def __init__(self, read: Read = source) -> None:
        self._read = read
        self._modules: dict[str, Module] = {}
        self._next: dict[Definition, list[Definition]] = {}
        self._codes: dict[Definition, bytes] = {}

    def of(self, *starts: Definition) -> set[Definition]:
        """Return every definition that these can come upon, themselves included."""
        seen: set[Definition] = set()
        waiting = list(starts)
        while waiting:
            found = self._defined(waiting.pop())
            if found is not None and found not in seen:
                seen.add(found)
                if found not in self._next:
                    self._next[found] = list(self._used(found))
                waiting += self._next[found]
        return seen

    def digest(self, *starts: Definition) -> str:
        """Return a digest of the code of all that can be reached: no comments, docstrings, formatting, or errors."""
        digest = hashlib.sha256()
        for found in sorted(self.of(*starts)):
            if found not in self._codes:
                plain = [_Plain(found.module).visit(copy.deepcopy(each)) for each in self._statements(found)]
                self._codes[found] = f"{found.module}:{' '.join(map(ast.dump, plain))}\n".encode()
            digest.update(self._codes[found])
        return digest.hexdigest()[:16]

    def _module(self, name: str) -> Module:
        if name not in self._modules:
            self._modules[name] = _top_level(ast.parse(self._read(name)))
        return self._modules[name]

    def _defined(self, asked: Definition) -> Definition | None:
        """Where a name is really defined, through re-exports; None if it is none of the package's."""
        if not is_module(asked.module):
            return None
        if not asked.name:
            return asked
        submodule = f"{asked.module}.{asked.name}".strip(".")
        module = self._module(asked.module)
        if asked.name in module.statements:
            return asked
        if asked.name in module.imports:
            return self._defined(module.imports[asked.name])
        return Definition(submodule, "") if is_module(submodule) else None

    def _statements(self, found: Definition) -> list[ast.stmt]:
        module = self._module(found.module)
        if found.name:
            return module.statements[found.name]
        return [each for statements in module.statements.values() for each in statements]

    def _used(self, found: Definition) -> Iterator[Definition]:
        module = self._module(found.module)
        for statement in self._statements(found):
            imports = module.imports | _imports(statement)
            for name, attributes in _names(statement):
                if name in module.statements:
                    yield Definition(found.module, name)
                elif name in imports:
                    yield from self._through(imports[name], attributes)

    def _through(self, target: Definition, attributes: tuple[str, ...]) -> Iterator[Definition]:
        """What ``target.first.second`` means: a definition of the module that target is, else target itself."""
        defined = self._defined(target)
        while defined is not None and not defined.name and attributes:
            defined, attributes = self._defined(Definition(defined.module, attributes[0])), attributes[1:]
        if defined is not None:
            yield defined


def _top_level(tree: ast.Module) -> Module:
    statements: dict[str, list[ast.stmt]] = {}
    imports: dict[str, Definition] = {}
    waiting = list(tree.body)
    while waiting:
        statement = waiting.pop(0)
        if isinstance(statement, ast.If | ast.Try):
            waiting = [*statement.body, *statement.orelse, *waiting]
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            imports |= _imports(statement)
        else:
            for name in _bound(statement):
                statements.setdefault(name, []).append(statement)
    return Module(statements, imports)


def _bound(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    nodes = [node for target in targets if target is not None for node in ast.walk(target)]
    return [node.id for node in nodes if isinstance(node, ast.Name)]


def _imports(node: ast.AST) -> dict[str, Definition]:
    """Names that an import inside of a node binds to something of the package."""
    found = {}
    for each in ast.walk(node):
        if isinstance(each, ast.ImportFrom) and each.module and each.module.split(".")[0] == "harness":
            module = each.module.removeprefix("harness").removeprefix(".")
            found |= {alias.asname or alias.name: Definition(module, alias.name) for alias in each.names}
        if isinstance(each, ast.Import):
            for alias in each.names:
                if alias.name.split(".")[0] == "harness":
                    whole = Definition(alias.name.removeprefix("harness").removeprefix("."), "")
                    found[alias.asname or "harness"] = whole if alias.asname else Definition("", "")
    return found


def _names(node: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every name in a node with the attributes that are asked of it: ``generation.write`` is (generation, (write,))."""
    if isinstance(node, ast.Attribute):
        attributes, inner = [node.attr], node.value
        while isinstance(inner, ast.Attribute):
            attributes.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield inner.id, tuple(attributes)
            return
    if isinstance(node, ast.Name):
        yield node.id, ()
    for child in ast.iter_child_nodes(node):
        yield from _names(child)


class _Plain(ast.NodeTransformer):
    """Takes out what computes nothing: docstrings, annotations, the words of errors, fields of settings."""

    def __init__(self, module: str) -> None:
        self._settings = module.startswith(SPECS)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        if self._settings:
            node.body = [item for item in node.body if not isinstance(item, ast.AnnAssign)]
        return self._without_docstring(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        for argument in (*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs):
            argument.annotation = None
        return self._without_docstring(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.Raise()

    def _without_docstring(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.body = [
            item for item in node.body if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))
        ] or [ast.Pass()]
        return self.generic_visit(node)
