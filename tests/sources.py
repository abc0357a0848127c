"""What a function of the package rests on, read from the source: every name that it reaches, through any module.

Names are followed, not values: a function, class or constant is reached if its name stands in what is reached already.
A method comes with its class. Not followed, and not part of a digest: comments, docstrings, formatting, annotations of
functions, and what an error says.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

ROOT = "harness"
Name = tuple[str, str]
"""A module, as the package is imported, and a name at its top level."""


@dataclass
class Module:
    """A module taken apart: statements by the name that they define, what is imported, and all that is left."""

    name: str
    tree: ast.Module
    defined: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imported: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """Name here -> (module, name there), or (module, None) where the name is a module's."""
    always: list[ast.stmt] = field(default_factory=list)
    """Statements that define nothing: they run whenever the module is imported."""
    dumps: dict[int, bytes] = field(default_factory=dict)
    uses: dict[int, list[Name]] = field(default_factory=dict)

    def dump(self, statement: ast.stmt) -> bytes:
        """What a statement does, made once."""
        if id(statement) not in self.dumps:
            self.dumps[id(statement)] = ast.dump(statement).encode()
        return self.dumps[id(statement)]


class Sources:
    """The package as it lies in a folder, with changes of some files put over it."""

    def __init__(self, package: Path, changed: dict[str, str] | None = None, like: Sources | None = None) -> None:
        """`like` has read the same folder: what it knows of modules that are not changed is taken from it."""
        self._package, self._changed = package, changed or {}
        known = like._modules if like else {}
        self._modules = {name: module for name, module in known.items() if name not in self._changed}

    @cached_property
    def names(self) -> set[str]:
        """All modules of the package, as they are imported."""
        paths = (path.relative_to(self._package.parent).with_suffix("") for path in self._package.rglob("*.py"))
        return {".".join(path.parts).removesuffix(".__init__") for path in paths}

    def text(self, name: str) -> str:
        if name in self._changed:
            return self._changed[name]
        parts = self._package.parent.joinpath(*name.split("."))
        path = parts / "__init__.py" if parts.is_dir() else parts.with_suffix(".py")
        return path.read_text(encoding="utf-8")

    def module(self, name: str) -> Module:
        if name not in self._modules:
            self._modules[name] = self._taken_apart(name)
        return self._modules[name]

    def digests(self, roots: list[Name]) -> dict[str, str]:
        """Digest of what is reached in each module, by the module's name inside the package."""
        reached = self.reached(roots)
        found: dict[str, str] = {}
        for name in sorted({module for module, _ in reached}):
            module, digest = self.module(name), hashlib.sha256()
            statements = list(module.always)
            for _, one in sorted(one for one in reached if one[0] == name):
                statements += module.defined.get(one, [])
            for statement in statements:
                digest.update(module.dump(statement))
            found[name.removeprefix(f"{ROOT}.")] = digest.hexdigest()[:12]
        return found

    def reached(self, roots: list[Name]) -> set[Name]:
        """All names that these rest on, themselves included."""
        seen: set[Name] = set()
        entered: set[str] = set()
        waiting = list(roots)
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            module = self.module(one[0])
            statements = list(module.defined.get(one[1], []))
            if one[0] not in entered:
                entered.add(one[0])
                statements += module.always
            for statement in statements:
                if id(statement) not in module.uses:
                    module.uses[id(statement)] = list(dict.fromkeys(self._uses(module, statement)))
                waiting += module.uses[id(statement)]
            if one[1] in module.imported:
                waiting += self._resolved(*module.imported[one[1]])
        return seen

    def _uses(self, module: Module, statement: ast.stmt) -> Iterator[Name]:
        """Names of the package that a statement names, by itself or through a module that it names."""
        local = {**module.imported, **self._imports(module.name, statement)}
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                if node.id in module.defined:
                    yield module.name, node.id
                elif node.id in local and local[node.id][1] is not None:
                    yield from self._resolved(*local[node.id])
            if isinstance(node, ast.Attribute):
                yield from self._through(node, local)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from self._by_string(node.value)

    def _through(self, node: ast.Attribute, local: dict[str, tuple[str, str | None]]) -> Iterator[Name]:
        """`module.name`, and `package.module.name`, of a module that was imported as a whole."""
        chain, inner = [node.attr], node.value
        while isinstance(inner, ast.Attribute):
            chain.insert(0, inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name) or local.get(inner.id, ("", ""))[1] is not None:
            return
        module = local[inner.id][0]
        while len(chain) > 1 and f"{module}.{chain[0]}" in self.names:
            module = f"{module}.{chain.pop(0)}"
        yield from self._resolved(module, chain[0])

    def _by_string(self, text: str) -> Iterator[Name]:
        """A function that is named as ``module:name``."""
        module, colon, name = text.partition(":")
        if colon and module in self.names and name.isidentifier():
            yield module, name

    def _resolved(self, module: str, name: str | None) -> Iterator[Name]:
        if module not in self.names or name is None:
            return
        there = self.module(module)
        if name in there.defined or name in there.imported:
            yield module, name

    def _taken_apart(self, name: str) -> Module:
        tree = _Plain().visit(ast.parse(self.text(name)))
        module = Module(name, tree)
        for statement in tree.body:
            self._sort(module, statement)
        return module

    def _sort(self, module: Module, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            module.imported |= self._imports(module.name, statement)
            return
        if isinstance(statement, ast.If | ast.Try):
            # Imports for type checkers, and definitions that hang on what is installed.
            module.imported |= self._imports(module.name, statement)
        names = _defines(statement)
        for one in names:
            module.defined.setdefault(one, []).append(statement)
        if not names and not isinstance(statement, ast.If | ast.Pass):
            module.always.append(statement)

    def _imports(self, name: str, tree: ast.AST) -> dict[str, tuple[str, str | None]]:
        """What the imports in a tree, those inside of functions included, bring in from the package."""
        found: dict[str, tuple[str, str | None]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split(".")[0] == ROOT:
                        found[alias.asname or ROOT] = (alias.name if alias.asname else ROOT, None)
            if isinstance(node, ast.ImportFrom):
                base = self._base(name, node)
                for alias in node.names if base.split(".")[0] == ROOT else ():
                    whole = f"{base}.{alias.name}"
                    found[alias.asname or alias.name] = (whole, None) if whole in self.names else (base, alias.name)
        return found

    def _base(self, name: str, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        path = self._package.parent.joinpath(*name.split("."))
        parts = name.split(".")[: None if path.is_dir() else -1]
        parts = parts[: len(parts) - node.level + 1]
        return ".".join([*parts, *([node.module] if node.module else [])])


def _defines(statement: ast.stmt) -> set[str]:
    """Names at the top level of a module that a statement defines or changes."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.If | ast.Try | ast.With | ast.For):
        return {
            name for node in ast.iter_child_nodes(statement) if isinstance(node, ast.stmt) for name in _defines(node)
        }
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    elif isinstance(statement, ast.TypeAlias if hasattr(ast, "TypeAlias") else ()):
        targets = [statement.name]
    return {
        node.id for target in targets for node in ast.walk(target)
        if isinstance(node, ast.Name) and not isinstance(target, ast.Call)
    }  # fmt: skip


class _Plain(ast.NodeTransformer):
    """Takes out what changes no result: docstrings, annotations of functions, the words of errors."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.roi = None
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        for argument in every:
            if argument is not None:
                argument.annotation = None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.copy_location(ast.Raise(exc=None, cause=None), node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)
