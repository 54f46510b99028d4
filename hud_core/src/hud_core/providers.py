"""The records that hooks yield. Light on purpose: `hud --help` imports this module and little else."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

T = TypeVar("T")


class Provider(NamedTuple, Generic[T]):
    """Something a plugin provides, by name, imported on first use.

    Args:
        name: What users call it.
        load: Imports and returns the class, or any callable that makes the object from keyword options.
        summary: One line for ``hud plugins``.
        models: For agents: `fnmatch` patterns of the model names that this agent runs.
    """

    name: str
    load: Callable[[], Callable[..., T]]
    summary: str = ""
    models: tuple[str, ...] = ()


class Command(NamedTuple):
    """A subcommand of ``hud``.

    Args:
        name: The word behind ``hud``.
        summary: One line for ``hud --help``.
        configure: Adds the command's arguments to its parser.
        run: Runs it and returns the exit code; imports what it needs itself.
    """

    name: str
    summary: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]

    @classmethod
    def from_module(cls, name: str, summary: str, module: str) -> Command:
        """Make a command of a module's functions ``configure`` and ``run``; it is imported when the command is used."""

        def configure(parser: argparse.ArgumentParser) -> None:
            importlib.import_module(module).configure(parser)

        def run(arguments: argparse.Namespace) -> int:
            code: int = importlib.import_module(module).run(arguments)
            return code

        return cls(name, summary, configure, run)


AnyProvider = Provider[Any]
