"""What every plugin must do."""

# ruff: noqa: D102  a test's name says what it shows

from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from hud_core import hookspecs, interfaces
from hud_core.entrypoints import entry_points
from hud_core.kernel import HOOKS, Kernel
from hud_core.testing.contract import check, optional

if TYPE_CHECKING:
    from hud_core.registry import Registry

PROBE = Path(__file__).with_name("probe.py")
REGISTRIES: dict[str, type[object]] = {
    "backends": interfaces.Backend,
    "agents": interfaces.Agent,
    "graders": interfaces.Grader,
    "task_sources": interfaces.TaskSource,
    "task_sinks": interfaces.TaskSink,
    "result_sinks": interfaces.ResultSink,
    "executors": interfaces.Executor,
}
SUMMARY_LENGTH = 100
RUNS = 3
"""Measurements of the import's cost; the least counts."""


class PluginContract:
    """Proves a plugin as a whole: it registers alone, its hooks are right, and importing it costs nothing.

    ```python
    from hud_core.testing import PluginContract


    class TestPlugin(PluginContract):
        plugin = "my_plugin"
        distribution = "my-plugin"
    ```
    """

    plugin: ClassVar[str] = ""
    """The module that the entry point names."""
    distribution: ClassVar[str] = ""
    """The distribution's name, to check how it is installed; empty to leave that out."""
    import_seconds: ClassVar[float] = 0.05
    """CPU time that importing the plugin and asking it for its providers may take, beyond the kernel's own."""

    @pytest.fixture
    def module(self) -> Any:  # noqa: ANN401  a module, or an object in one
        """The plugin itself."""
        check(self.plugin, f"set `plugin` of {type(self).__name__} to the module that the entry point names")
        name, _, attribute = self.plugin.partition(":")
        module = importlib.import_module(name)
        return getattr(module, attribute) if attribute else module

    @pytest.fixture
    def kernel(self, module: object) -> Kernel:
        """A kernel that has this plugin and no other."""
        return Kernel(autoload=False, plugins=[module], strict=False)

    @pytest.fixture
    def probe(self) -> dict[str, Any]:
        """What importing the plugin does, seen from outside, in a process of its own."""
        return _probe(self.plugin)

    # --- hooks --------------------------------------------------------------------------------------------------------

    def test_it_registers_alone_without_failures(self, kernel: Kernel) -> None:
        kernel.load_everything()
        failures = "\n".join(f"{failure.source}: {failure.problem}" for failure in kernel.failures)
        check(not failures, f"the plugin must load where no other is installed:\n{failures}")

    def test_it_provides_something(self, kernel: Kernel) -> None:
        provided = [name for name in REGISTRIES if len(getattr(kernel, name))]
        check(
            provided or kernel.commands,
            f"the plugin has no hook that yields anything; its hooks must be in {self.plugin!r} itself: {HOOKS}",
        )

    def test_hooks_are_annotated_as_their_specs(self, module: object) -> None:
        for name in HOOKS:
            hook = getattr(module, name, None)
            annotation = getattr(hook, "__annotations__", {}).get("return")
            if annotation is None:
                continue
            wanted, given = _yielded(getattr(hookspecs, name).__annotations__["return"]), _yielded(annotation)
            check(wanted == given, f"{name} must be annotated as yielding {wanted}, it is annotated {annotation!r}")

    def test_hooks_give_the_same_each_time(self, module: object) -> None:
        first, again = ([_names(hook) for hook in _hooks(module)] for _ in range(2))
        check(first == again, f"a hook must describe the same things each time, got {first}, then {again}")

    @pytest.mark.parametrize("kind", list(REGISTRIES))
    def test_providers_load_what_their_hook_promises(self, kernel: Kernel, kind: str) -> None:
        registry: Registry[Any] = getattr(kernel, kind)
        for name, provider in registry.items():
            factory = provider.load()
            check(callable(factory), f"load of {name!r} must return a class or a function, it returned {factory!r}")
            check(
                not isinstance(factory, type) or issubclass(factory, REGISTRIES[kind]),
                f"{name!r} must be a subclass of hud_core.{REGISTRIES[kind].__name__}, it is {factory!r}",
            )
            check(
                not inspect.isabstract(factory),
                f"{name!r} leaves methods abstract: {', '.join(getattr(factory, '__abstractmethods__', ()))}",
            )

    def test_summaries_are_one_line(self, kernel: Kernel) -> None:
        records: list[Any] = [provider for kind in REGISTRIES for provider in getattr(kernel, kind).values()]
        for record in [*records, *kernel.commands.values()]:
            is_line = 0 < len(record.summary) <= SUMMARY_LENGTH and "\n" not in record.summary
            check(
                is_line,
                f"the summary of {record.name!r} must be one line of at most {SUMMARY_LENGTH} characters, "
                f"`hud plugins` shows it; it is {record.summary!r}",
            )

    # --- import -------------------------------------------------------------------------------------------------------

    def test_importing_it_imports_nothing_heavy(self, probe: dict[str, Any]) -> None:
        check(
            not probe["heavy"],
            f"importing {self.plugin!r} and asking its hooks imports {', '.join(probe['heavy'])}, by way of "
            f"{', '.join(probe['own'])}; import them inside `load` and the functions that need them",
        )

    def test_importing_it_takes_little_time(self) -> None:
        seconds = min(_probe(self.plugin)["seconds"] for _ in range(RUNS))
        check(
            seconds <= self.import_seconds,
            f"importing {self.plugin!r} takes {seconds:.3f} s of CPU, {self.import_seconds} s are allowed: "
            "`hud --help` waits for it; see what takes long with python -X importtime",
        )

    def test_importing_it_does_nothing_else(self, probe: dict[str, Any]) -> None:
        check(not probe["printed"], f"importing {self.plugin!r} must print nothing, it printed {probe['printed']!r}")
        check(not probe["did"], f"importing {self.plugin!r} must open and start nothing, it did: {probe['did']}")
        check(not probe["patched"], f"importing {self.plugin!r} must patch nothing, it changed: {probe['patched']}")

    # --- packaging ----------------------------------------------------------------------------------------------------

    def test_the_distribution_names_the_plugin(self) -> None:
        if not self.distribution:
            optional("distribution", "the distribution has an entry point in the group 'hud'")
        values = [e.value for e in entry_points(hookspecs.PROJECT) if e.distribution == self.distribution]
        check(
            self.plugin in values,
            f"{self.distribution!r} must be installed with [project.entry-points.hud] x = {self.plugin!r}; "
            f"its entry points are {values}",
        )

    def test_the_package_is_typed(self, module: object) -> None:
        file = inspect.getfile(module if inspect.ismodule(module) else type(module))
        if Path(file).name != "__init__.py":
            pytest.skip("the plugin is a single module: py.typed is for packages")
        check(Path(file).with_name("py.typed").exists(), f"add an empty file py.typed beside {file}")


def _hooks(module: object) -> list[Any]:
    return [getattr(module, name) for name in HOOKS if hasattr(module, name)]


def _names(hook: Any) -> list[str]:  # noqa: ANN401  a hook of any kind
    return [record.name for record in hook()]


def _yielded(annotation: object) -> str:
    """Give what an annotation says is yielded: ``Provider[Agent]`` or ``Command``."""
    found = re.search(r"Provider\[[\w.]*?(\w+)\]|Command", str(annotation))
    return str(annotation) if found is None else f"Provider[{found[1]}]" if found[1] else "Command"


def _probe(plugin: str) -> dict[str, Any]:
    command = [sys.executable, "-B", str(PROBE), plugin, json.dumps(sys.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own file
    check(done.returncode == 0, f"{plugin!r} cannot be imported in a process of its own:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    result["printed"] = "\n".join(done.stdout.splitlines()[:-1]) + done.stderr
    return result
