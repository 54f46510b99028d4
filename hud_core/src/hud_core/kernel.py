"""The kernel: the plugins that are there, and what they provide. An object; have as many as you like."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Iterable
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from hud_core import hookspecs
from hud_core.entrypoints import EntryPoint, entry_points
from hud_core.errors import ConfigError, PluginError, closest, describe
from hud_core.providers import Command, Provider
from hud_core.registry import Registry

if TYPE_CHECKING:
    from hud_core.interfaces import Agent, Backend, Executor, Grader, ResultSink, TaskSink, TaskSource

HOOKS = tuple(name for name in vars(hookspecs) if name.startswith("hud_"))


class Failure(NamedTuple):
    """A plugin that could not be used, and why."""

    source: str
    """Its distribution and version, or what it was given as."""
    problem: str


class Plugin(NamedTuple):
    """A plugin that is in use."""

    name: str
    source: str
    module: Any


class Kernel:
    """The plugins of one engine, and what they provide, by name.

    Args:
        plugins: Modules or objects with hook implementations, beside those that are installed.
        autoload: Whether installed plugins (entry points of the group ``hud``) are used.
        disabled: Names of installed plugins to leave out, beside those in ``HUD_DISABLE_PLUGINS``.
        strict: Whether a broken plugin raises; by default, whether ``HUD_STRICT_PLUGINS`` is set to 1.

    Raises:
        PluginError: In strict mode, a plugin is broken. Otherwise its failure is kept in `failures` and the others work.
    """

    def __init__(
        self,
        *,
        plugins: Iterable[object] = (),
        autoload: bool = True,
        disabled: Iterable[str] = (),
        strict: bool | None = None,
    ) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.plugins: list[Plugin] = []
        self.failures: list[Failure] = []
        for plugin in plugins:
            self._register(_name_of(plugin), "given", plugin)
        if autoload:
            off = {*disabled, *filter(None, os.environ.get("HUD_DISABLE_PLUGINS", "").split(","))}
            for entry in entry_points(hookspecs.PROJECT):
                if entry.name not in off:
                    self._load(entry)
        if strict if strict is not None else os.environ.get("HUD_STRICT_PLUGINS") == "1":
            self._raise_failures()

    # --- what plugins provide -----------------------------------------------------------------------------------------

    @cached_property
    def backends(self) -> Registry[Backend]:
        """Ways to open an environment."""
        return self._registry("backend", "hud_backends")

    @cached_property
    def agents(self) -> Registry[Agent]:
        """Agents."""
        return self._registry("agent", "hud_agents")

    @cached_property
    def graders(self) -> Registry[Grader]:
        """Graders that task rows name."""
        return self._registry("grader", "hud_graders")

    @cached_property
    def task_sources(self) -> Registry[TaskSource]:
        """Places that tasks come from."""
        return self._registry("task source", "hud_task_sources")

    @cached_property
    def task_sinks(self) -> Registry[TaskSink]:
        """Places that tasks go to."""
        return self._registry("task sink", "hud_task_sinks")

    @cached_property
    def result_sinks(self) -> Registry[ResultSink]:
        """Places that a job's events go to."""
        return self._registry("result sink", "hud_result_sinks")

    @cached_property
    def executors(self) -> Registry[Executor]:
        """Places that run a job's rollouts."""
        return self._registry("executor", "hud_executors")

    @cached_property
    def commands(self) -> dict[str, Command]:
        """The subcommands of ``hud``, sorted; of two with one name the first plugin's counts and the other fails."""
        found: dict[str, Command] = {}
        for command, source in self._collect("hud_commands"):
            if command.name in found:
                self.failures.append(Failure(source, f"command {command.name!r} exists already"))
            found.setdefault(command.name, command)
        return dict(sorted(found.items()))

    def create_agent(self, name: str, **options: Any) -> Agent:
        """Make an agent from its name, or from the name of a model that an installed agent runs.

        Raises:
            UnknownProviderError: No installed agent has the name or runs such a model.
            ConfigError: The agent does not take these options.
        """
        if name in self.agents:
            agent = self.agents.create(name, **options)
        elif provider := self.agents.for_model(name):
            agent = self.agents.create(provider.name, **{"model": name, **options})
        else:
            self.agents[name]  # raises, with what is installed and what to install
            raise AssertionError
        agent.name = agent.name or name
        return agent

    def source_for(self, ref: str) -> TaskSource:
        """Find the task source that knows `ref`.

        Raises:
            ConfigError: None does.
        """
        for name in self.task_sources:
            source = self.task_sources.create(name)
            if source.claims(ref):
                return source
        known = "; ".join(f"{name}: {p.summary}" for name, p in self.task_sources.items()) or "none; pip install hud-local"
        looks_like_a_file = "/" in ref or ref.endswith((".py", ".json", ".jsonl"))
        msg = f"no such file: {ref}" if looks_like_a_file else f"no task source knows {ref!r} (sources: {known})"
        raise ConfigError(msg)

    # --- loading ------------------------------------------------------------------------------------------------------

    def _load(self, entry: EntryPoint) -> None:
        try:
            module: Any = importlib.import_module(entry.value.partition(":")[0])
            for attribute in filter(None, entry.value.partition(":")[2].split(".")):
                module = getattr(module, attribute)
        except Exception as error:  # noqa: BLE001  one plugin's failure to import must not stop the others
            self.failures.append(Failure(entry.source, f"cannot be imported: {describe(error)}"))
            return
        self._register(entry.name, entry.source, module)

    def _register(self, name: str, source: str, plugin: object) -> None:
        if problem := _problem(plugin):
            self.failures.append(Failure(source if source != "given" else name, problem))
            return
        unique = f"{name} of {source}"
        try:
            self._manager.register(plugin, unique)
        except (ValueError, pluggy.PluginValidationError) as error:
            self.failures.append(Failure(source, str(error)))
            return
        self.plugins.append(Plugin(name, source if source != "given" else name, plugin))

    def _collect(self, hook: str) -> list[tuple[Any, str]]:
        """Ask each plugin by itself, so that one that raises is known by name and stops no other."""
        found = []
        kind = Command if hook == "hud_commands" else Provider
        for plugin in self.plugins:
            implementation = getattr(plugin.module, hook, None)
            if implementation is None:
                continue
            try:
                for record in implementation():
                    _check_record(hook, record, kind)
                    found.append((record, plugin.source))
            except Exception as error:  # noqa: BLE001  the plugin's code: its failure is its own
                self.failures.append(Failure(plugin.source, f"{hook} failed: {describe(error)}"))
        return found

    def _registry(self, kind: str, hook: str) -> Registry[Any]:
        registry: Registry[Any] = Registry(kind, self._collect(hook))
        self.failures += [Failure(kind, clash) for clash in registry.clashes]
        return registry

    def load_everything(self) -> None:
        """Ask every plugin for everything, so that `failures` is complete."""
        for registry in ("backends", "agents", "graders", "task_sources", "task_sinks", "result_sinks", "executors"):
            getattr(self, registry)
        _ = self.commands

    def _raise_failures(self) -> None:
        self.load_everything()
        if self.failures:
            raise PluginError("\n".join(f"{failure.source}: {failure.problem}" for failure in self.failures))


def _name_of(plugin: object) -> str:
    return plugin.__name__ if isinstance(plugin, ModuleType | type) else type(plugin).__name__


def _problem(plugin: object) -> str:
    """Say what pluggy would let pass or report badly: unknown hooks and hooks with another signature."""
    marker = f"{hookspecs.PROJECT}_impl"
    for name in dir(plugin):
        is_marked = hasattr(inspect.getattr_static(plugin, name), marker)
        if name in HOOKS and not is_marked:
            return f"hook {name!r} lacks the decorator @hookimpl"
        if not is_marked:
            continue
        if name not in HOOKS:
            return f"unknown hook {name!r}{closest(name, HOOKS)}"
        function = getattr(plugin, name)
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            return f"hook {name!r} must be a plain function, not async: hooks describe, objects act"
        if inspect.signature(function).parameters:
            return f"hook {name!r} takes no arguments, this one has {inspect.signature(function)}"
        options = getattr(function, marker)
        if options.get("wrapper") or options.get("hookwrapper"):
            return f"hook {name!r} must not be a wrapper"
    return ""


def _check_record(hook: str, record: object, kind: type) -> None:
    if not isinstance(record, kind):
        msg = f"{hook} must yield {kind.__name__} records, got {record!r}"
        raise TypeError(msg)
