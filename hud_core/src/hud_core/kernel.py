"""The kernel: the plugins that are there, and what they provide. An object; have as many as you like."""

from __future__ import annotations

import importlib
import inspect
import os
from contextlib import suppress
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from hud_core import hookspecs
from hud_core.entrypoints import EntryPoint, entry_points, normalise
from hud_core.errors import ConfigError, PluginError, closest, describe
from hud_core.providers import Command, Provider
from hud_core.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from hud_core.interfaces import Agent, Backend, Executor, Grader, ResultSink, TaskSink, TaskSource
    from hud_core.metering.meter import Meter

_VARIADIC = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
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


class _Manager(pluggy.PluginManager):
    """Looks for hooks among a plugin's own names; pluggy would look at those that Python gives every object, too."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        return None if name.startswith("__") else super().parse_hookimpl_opts(plugin, name)


AGENT_ALIASES = {"integration_test": "oracle"}
"""Agents of the reference SDK that are another one here."""


class Kernel:
    """The plugins of one engine, and what they provide, by name.

    Args:
        plugins: Modules or objects with hook implementations, beside those that are installed.
        autoload: Whether installed plugins (entry points of the group ``hud``) are used.
        disabled: Installed plugins to leave out, by name or distribution, beside those in ``HUD_DISABLE_PLUGINS``.
        strict: Whether a broken plugin raises; by default, whether ``HUD_STRICT_PLUGINS`` is set to 1.

    Raises:
        PluginError: In strict mode, a plugin is broken. Otherwise `failures` keeps why, and the others work.
    """

    def __init__(
        self,
        *,
        plugins: Iterable[object] = (),
        autoload: bool = True,
        disabled: Iterable[str] = (),
        strict: bool | None = None,
    ) -> None:
        self._manager = _Manager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.plugins: list[Plugin] = []
        self.failures: list[Failure] = []
        for plugin in plugins:
            self._register(_name_of(plugin), _name_of(plugin), plugin)
        if autoload:
            off = {normalise(name) for name in [*disabled, *os.environ.get("HUD_DISABLE_PLUGINS", "").split(",")]}
            for entry in entry_points(hookspecs.PROJECT):
                if not off & {normalise(entry.name), normalise(entry.distribution)}:
                    self._load(entry)
        if strict if strict is not None else os.environ.get("HUD_STRICT_PLUGINS") == "1":
            self._raise_failures()

    @cached_property
    def meter(self) -> Meter:
        """What all jobs of this kernel share: the rate limits of the models that they call."""
        from hud_core.metering.meter import Meter

        return Meter()

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
        found: dict[str, tuple[Command, str]] = {}
        for command, source in self._collect("hud_commands"):
            first = found.setdefault(command.name, (command, source))
            if first[0] is not command:
                self.failures.append(Failure(source, f"command {command.name!r} is provided by {first[1]} already"))
        return {name: command for name, (command, _) in sorted(found.items())}

    def create_agent(self, name: str, **options: Any) -> Agent:
        """Make an agent from its name, or from the name of a model that an installed agent runs.

        Raises:
            UnknownProviderError: No installed agent has the name or runs such a model.
            ConfigError: The agent does not take these options.
        """
        name = AGENT_ALIASES.get(name, str(name))
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
        problems = []
        for name in self.task_sources:
            try:
                source = self._create_source(name)
                if source.claims(ref):
                    return source
            except Exception as error:  # noqa: BLE001  one source that is broken must not hide the others
                problems.append(f"; task source {name!r} is broken: {describe(error)}")
        raise ConfigError(self._no_source(ref) + "".join(problems))

    def all_sources(self) -> list[TaskSource]:
        """Make every task source that works: one may know the form of a row that another has found."""
        sources = []
        for name in self.task_sources:
            with suppress(Exception):  # a source that is broken says so when it is asked for tasks
                sources.append(self._create_source(name))
        return sources

    def _create_source(self, name: str) -> TaskSource:
        source = self.task_sources.create(name)
        source.kernel = self
        return source

    def _no_source(self, ref: str) -> str:
        if ("/" in ref or ref.endswith((".py", ".json", ".jsonl"))) and not os.path.exists(ref):  # noqa: PTH110  pathlib is slow to import
            return f"no such file: {ref}"
        known = "; ".join(f"{name}: {p.summary}" for name, p in self.task_sources.items())
        return f"no task source knows {ref!r} (sources: {known or 'none; pip install hud-local'})"

    # --- loading ------------------------------------------------------------------------------------------------------

    def _load(self, entry: EntryPoint) -> None:
        try:
            module: Any = importlib.import_module(entry.value.partition(":")[0])
            for attribute in filter(None, entry.value.partition(":")[2].split(".")):
                module = getattr(module, attribute)
        except (Exception, SystemExit) as error:  # noqa: BLE001  a plugin that cannot be imported must not stop the others
            self.failures.append(Failure(entry.source, f"cannot be imported: {describe(error)}"))
            return
        self._register(entry.name, entry.source, module)

    def _register(self, name: str, source: str, plugin: object) -> None:
        if self._manager.is_registered(plugin):
            return  # given to the kernel and installed as well: it is one plugin
        problem = _problem(plugin, self._manager)
        if not problem:
            try:
                self._manager.register(plugin, f"{len(self.plugins)}: {name} of {source}")
            except (ValueError, pluggy.PluginValidationError) as error:
                problem = str(error)
        if problem:
            self.failures.append(Failure(source, problem))
        else:
            self.plugins.append(Plugin(name, source, plugin))

    def _collect(self, hook: str) -> list[tuple[Any, str]]:
        """Ask each plugin by itself, so that one that raises is known by name and stops no other."""
        found = []
        for plugin, implementation in self._implementations(hook):
            try:
                for record in implementation():
                    _check_record(hook, record)
                    found.append((record, plugin.source))
            except (Exception, SystemExit) as error:  # noqa: BLE001  the plugin's code: its failure is its own
                self.failures.append(Failure(plugin.source, f"{hook} failed: {describe(error)}"))
        return found

    def _implementations(self, hook: str) -> Iterator[tuple[Plugin, Any]]:
        """Give the implementations of a hook in the order in which their plugins were loaded."""
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        for plugin in self.plugins:
            yield from ((plugin, found.function) for found in implementations if found.plugin is plugin.module)

    def _registry(self, kind: str, hook: str) -> Registry[Any]:
        registry: Registry[Any] = Registry(kind, self._collect(hook))
        self.failures += [Failure(sources, problem) for sources, problem in registry.clashes]
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


def _problem(plugin: object, manager: pluggy.PluginManager) -> str:
    """Say what pluggy would let pass or report badly: unknown hooks and hooks with another signature."""
    for name in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is not None:
            if problem := _hook_problem(options.get("specname") or name, options, getattr(plugin, name)):
                return problem
        elif name in HOOKS and callable(inspect.getattr_static(plugin, name, None)):
            return f"hook {name!r} lacks the decorator @hookimpl"
    return ""


def _hook_problem(hook: str, options: Mapping[str, Any], function: Callable[..., object]) -> str:
    if hook not in HOOKS:
        # A plugin marks the hooks of a later kernel as optional, to work with this one too.
        return "" if options.get("optionalhook") else f"unknown hook {hook!r}{closest(hook, HOOKS)}"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return f"hook {hook!r} must be a plain function, not async: hooks describe, objects act"
    if not _takes_nothing(function):
        return f"hook {hook!r} takes no arguments, this one has {inspect.signature(function)}"
    if options.get("wrapper") or options.get("hookwrapper"):
        return f"hook {hook!r} must not be a wrapper"
    return ""


def _takes_nothing(function: Callable[..., object]) -> bool:
    """Whether a function has no parameters. Nearly all hooks are plain functions, whose code says so at once."""
    code = getattr(function, "__code__", None)
    if code is not None and not (code.co_argcount or code.co_kwonlyargcount or code.co_flags & _VARIADIC):
        return True
    return not inspect.signature(function).parameters


def _check_record(hook: str, record: object) -> None:
    kind = Command if hook == "hud_commands" else Provider
    if not isinstance(record, Command | Provider) or not isinstance(record, kind):
        msg = f"{hook} must yield {kind.__name__} records, got {record!r}"
        raise TypeError(msg)
    name: object = record.name
    if not name or not isinstance(name, str):
        msg = f"the name of a {kind.__name__} must be a text that is not empty, got {name!r}"
        raise TypeError(msg)
    if isinstance(record, Provider):
        _check_provider(record)


def _check_provider(provider: Provider[Any]) -> None:
    load: object = provider.load
    models: Any = provider.models
    if isinstance(load, type) or not callable(load):
        msg = f"load of {provider.name!r} must be a function that returns the class, got {load!r}"
        raise TypeError(msg)
    if not isinstance(models, tuple | list) or not all(isinstance(pattern, str) for pattern in models):
        msg = f"models of {provider.name!r} must be a tuple of patterns, got {models!r}"
        raise TypeError(msg)
