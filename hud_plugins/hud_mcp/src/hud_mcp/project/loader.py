"""Imports a project's modules for Python: from their source, and noting what each of them imports."""

from __future__ import annotations

import ast
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType, ModuleType


class Imports(Protocol):
    """What is told of imports."""

    def owns(self, name: str, file: str) -> bool:
        """Whether a module is one of the project's."""

    def begin(self, name: str, file: str) -> None:
        """Note that a module begins to be imported."""

    def end(self, module: ModuleType, source: bytes, imports: set[str]) -> None:
        """Note a module that was imported."""

    def leave(self) -> None:
        """Note that an import is over, well or not."""


class Finder(MetaPathFinder):
    """Finds the project's modules, for `_Loader`."""

    def __init__(self, project: Imports) -> None:
        self._project = project

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module as Python does; one of the project's has a loader of ours."""
        spec = PathFinder.find_spec(fullname, path, target)
        if (
            spec is None
            or not isinstance(spec.loader, SourceFileLoader)
            or not self._project.owns(fullname, spec.loader.path)
        ):
            return None
        spec.loader = _Loader(fullname, spec.loader.path, self._project)
        return spec


class _Loader(SourceFileLoader):
    """Loads a module from its source, never from a cache: there, two saves within a second may look alike."""

    def __init__(self, fullname: str, path: str, project: Imports) -> None:
        super().__init__(fullname, path)
        self._project = project
        self._source = b""
        self._imports: set[str] = set()

    def get_code(self, fullname: str) -> CodeType:
        self._source = self.get_data(self.path)
        tree = ast.parse(self._source, self.path)
        package = fullname if self.is_package(fullname) else fullname.rpartition(".")[0]
        self._imports = set(_imports(tree, package))
        code: CodeType = compile(tree, self.path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        self._project.begin(module.__name__, self.path)
        try:
            super().exec_module(module)
            self._project.end(module, self._source, self._imports)
        finally:
            self._project.leave()


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    """Name every module that a file may import, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from _with_parents(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _with_parents(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]
