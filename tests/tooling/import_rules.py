"""Import-linter contract types of this workspace: which outside libraries a package may import, and who owns which.

The contracts that use them are in the root pyproject.toml.
"""

from __future__ import annotations

import abc
import sys
from typing import TYPE_CHECKING, ClassVar

from importlinter import Contract, ContractCheck, fields, output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from grimp import ImportGraph

NOT_OUTSIDE = sys.stdlib_module_names | {"_typeshed"}
"""The standard library, and the one package of it that only type checkers see."""

Import = tuple[str, str]
"""An importer and what it imports."""


class ExternalsContract(Contract, abc.ABC):
    """Kept while no import of an outside library is illegal."""

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Look at every direct import of an outside library."""
        output.verbose_print(verbose, f"Looking at the outside imports of {self.name!r}...")
        illegal = [
            f"{importer} -> {imported} (l. {line_number(graph, importer, imported)})"
            for importer, imported in iter_external_imports(graph)
            if self.is_illegal(importer, imported)
        ]
        return ContractCheck(kept=not illegal, metadata={"illegal": illegal})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the illegal imports, one a line."""
        for line in check.metadata["illegal"]:
            output.print_error(f"- {line}", bold=False)
        output.new_line()

    @abc.abstractmethod
    def is_illegal(self, importer: str, imported: str) -> bool:
        """Whether `importer`, one of our modules, may not import the outside library `imported`."""


class AllowedExternals(ExternalsContract):
    """`package` imports no outside library but those in `allowed`."""

    type_name: ClassVar[str] = "allowed_externals"

    package = fields.StringField()
    allowed = fields.SetField(subfield=fields.StringField())

    def is_illegal(self, importer: str, imported: str) -> bool:
        """Whether an import from the package goes past the list."""
        return is_within(importer, [str(self.package)]) and not is_within(imported, self.allowed)


class OwnedExternals(ExternalsContract):
    """Each library of `owners`, written as `library -> module`, is imported by that module and its submodules only."""

    type_name: ClassVar[str] = "owned_externals"

    owners = fields.SetField(subfield=fields.StringField())

    def is_illegal(self, importer: str, imported: str) -> bool:
        """Whether the library has an owner, and it is somebody else."""
        owners = [owner for library, owner in parse_owners(self.owners) if is_within(imported, [library])]
        return bool(owners) and not is_within(importer, owners)


def parse_owners(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Split each `library -> module` into its two names."""
    for line in lines:
        library, arrow, owner = line.partition(" -> ")
        if not arrow:
            msg = f"expected 'library -> module', got {line!r}"
            raise ValueError(msg)
        yield library, owner


def iter_external_imports(graph: ImportGraph) -> Iterator[Import]:
    """Every import of something neither ours nor of the standard library. Grimp keeps outside packages squashed."""
    for module in sorted(graph.modules):
        if graph.is_module_squashed(module) and module not in NOT_OUTSIDE:
            for importer in sorted(graph.find_modules_that_directly_import(module)):
                yield importer, module


def is_within(module: str, packages: Iterable[str]) -> bool:
    """Whether `module` is one of `packages` or inside one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def line_number(graph: ImportGraph, importer: str, imported: str) -> int | None:
    """The line of the first such import."""
    return next((one["line_number"] for one in graph.get_import_details(importer=importer, imported=imported)), None)
