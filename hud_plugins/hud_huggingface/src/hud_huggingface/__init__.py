"""Datasets and LegacyTask for hud-core: load, save and run rows from the HuggingFace Hub and from files."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from hud_core.hookspecs import hookimpl
from hud_core.providers import Command, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hud_core.interfaces import Backend, TaskSource

_NAMES = {
    "cancelling": ("cancel_all_jobs", "cancel_job", "cancel_task"),
    "convert": ("converted",),
    "execution": ("legacy_environment", "scored", "set_up"),
    "hub": ("HubError",),
    "legacy": ("LegacyAgentConfig", "LegacyTask", "LegacyTaskWarning"),
    "loading": ("iter_tasks", "load_tasks"),
    "rewards": ("reward_of",),
    "running": ("Trace", "run_single_task", "run_tasks"),
    "saving": ("save_tasks",),
}
"""The modules behind the names of `hud.datasets`: pydantic and pyarrow take long to import."""


def _legacy() -> Callable[..., Backend]:
    from hud_huggingface.execution import LegacyBackend

    return LegacyBackend


@hookimpl
def hud_backends() -> Iterable[Provider[Backend]]:
    """Provide the environments of LegacyTask rows."""
    yield Provider("legacy", _legacy, "the MCP servers of a LegacyTask, with its setup and evaluate tools")


@hookimpl
def hud_commands() -> Iterable[Command]:
    """Provide the commands for old task files, and for jobs elsewhere."""
    yield Command.from_module("cancel", "stop jobs that run on a remote platform", "hud_huggingface.commands.cancel")
    yield Command.from_module(
        "convert", "write old task files (LegacyTask rows) as tasks.py", "hud_huggingface.commands.convert"
    )


def __getattr__(name: str) -> object:
    """Give the names that bring pydantic and pyarrow along; nothing else here does."""
    for module, names in _NAMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


# --- task sources -----------------------------------------------------------------------------------------------------


def _dataset() -> Callable[..., TaskSource]:
    from hud_huggingface.sources import DatasetSource

    return DatasetSource


@hookimpl
def hud_task_sources() -> Iterable[Provider[TaskSource]]:
    """Provide tasks out of datasets."""
    yield Provider("dataset", _dataset, "org/name is a dataset on the Hub; tasks.parquet or tasks.csv is a task a row")
