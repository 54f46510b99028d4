"""The records that hooks yield. Light on purpose: `hud --help` imports this module and little else."""

from __future__ import annotations

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


AnyProvider = Provider[Any]
