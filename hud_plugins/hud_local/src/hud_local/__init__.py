"""Everything that runs on this machine alone: environments, task files, and agents that need no model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core.hookspecs import hookimpl
from hud_core.providers import Command, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hud_core.interfaces import Agent, Backend, TaskSource

# --- backends ---------------------------------------------------------------------------------------------------------


def _local() -> Callable[..., Backend]:
    from hud_local.backend import LocalBackend

    return LocalBackend


def _process() -> Callable[..., Backend]:
    from hud_local.process.backend import ProcessBackend

    return ProcessBackend


@hookimpl
def hud_backends() -> Iterable[Provider[Backend]]:
    """Provide environments in this process, and in a process of their own."""
    yield Provider("local", _local, "environments of Python code, in this process")
    yield Provider("process", _process, "environments of Python code, each rollout in a process of its own")


# --- task sources -----------------------------------------------------------------------------------------------------


def _python() -> Callable[..., TaskSource]:
    from hud_local.python import PythonSource

    return PythonSource


def _rows() -> Callable[..., TaskSource]:
    from hud_local.rows import RowSource

    return RowSource


def _directory() -> Callable[..., TaskSource]:
    from hud_local.directory import DirectorySource

    return DirectorySource


@hookimpl
def hud_task_sources() -> Iterable[Provider[TaskSource]]:
    """Provide tasks out of files and folders."""
    yield Provider("python", _python, "tasks.py is every task that the file defines")
    yield Provider("json", _rows, "tasks.json or tasks.jsonl is one task a row")
    yield Provider("directory", _directory, "a folder is the tasks of its Python files")


# --- agents -----------------------------------------------------------------------------------------------------------


def _oracle() -> Callable[..., Agent]:
    from hud_local.oracle import OracleAgent

    return OracleAgent


def _nop() -> Callable[..., Agent]:
    from hud_local.nop import NopAgent

    return NopAgent


def _scripted() -> Callable[..., Agent]:
    from hud_local.scripted import ScriptedAgent

    return ScriptedAgent


def _human() -> Callable[..., Agent]:
    from hud_local.human import HumanAgent

    return HumanAgent


@hookimpl
def hud_agents() -> Iterable[Provider[Agent]]:
    """Provide agents that need no model."""
    yield Provider("oracle", _oracle, "solves each task with its own validation calls and answer")
    yield Provider("nop", _nop, "answers nothing")
    yield Provider("scripted", _scripted, "does what a file says")
    yield Provider("human", _human, "asks you, in the terminal")


@hookimpl
def hud_commands() -> Iterable[Command]:
    """Provide ``hud check``."""
    summary = "find tasks that cannot be solved, or that are solved by doing nothing"
    yield Command.from_module("check", summary, "hud_local.check")
