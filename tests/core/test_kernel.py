"""Kernels are objects: two in one process, one in a thread, none of them global, and making one does nothing else."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hud_core import hookspecs
from hud_core.errors import ConfigError, PluginError, UnknownProviderError
from hud_core.hookspecs import hookimpl
from hud_core.interfaces import Agent, TaskSource
from hud_core.kernel import HOOKS, Kernel
from hud_core.model.content import Prompt
from hud_core.model.task import Task
from hud_core.providers import Provider


class Parrot(Agent):
    def __init__(self, model: str = "parrot-1", volume: int = 1) -> None:
        self.model = model
        self.volume = volume

    async def run(self, prompt: Prompt, toolbox: object, *, max_steps: int) -> str:
        return prompt.text


class Named:
    """A plugin object that provides one agent."""

    def __init__(self, name: str, models: tuple[str, ...] = ()) -> None:
        self.name = name
        self.models = models

    @hookimpl
    def hud_agents(self) -> Any:
        yield Provider(self.name, lambda: Parrot, "for tests", self.models)


def test_the_hooks_are_those_of_the_design() -> None:
    assert set(HOOKS) == {
        "hud_backends", "hud_agents", "hud_graders", "hud_task_sources", "hud_task_sinks", "hud_result_sinks",
        "hud_executors", "hud_commands",
    }  # fmt: skip


def test_two_kernels_know_nothing_of_each_other() -> None:
    one, two = Kernel(plugins=[Named("one")], autoload=False), Kernel(plugins=[Named("two")], autoload=False)
    assert list(one.agents) == ["one"]
    assert list(two.agents) == ["two"]
    with pytest.raises(UnknownProviderError):
        one.create_agent("two")


def test_two_objects_of_one_class_are_two_plugins() -> None:
    kernel = Kernel(plugins=[Named("one"), Named("two")], autoload=False)
    assert (list(kernel.agents), kernel.failures) == (["one", "two"], [])


def test_the_same_object_twice_is_one_plugin() -> None:
    plugin = Named("one")
    kernel = Kernel(plugins=[plugin, plugin], autoload=False)
    assert (list(kernel.agents), kernel.failures, len(kernel.plugins)) == (["one"], [], 1)


def test_a_module_is_a_plugin() -> None:
    module = ModuleType("a_module")
    vars(module)["hud_agents"] = hookimpl(lambda: [Provider("mine", lambda: Parrot)])
    vars(module)["hud_agents"].__name__ = "hud_agents"
    assert list(Kernel(plugins=[module], autoload=False).agents) == ["mine"]


def test_a_class_is_a_plugin_when_its_hooks_are_static() -> None:
    class Plugin:
        @staticmethod
        @hookimpl
        def hud_agents() -> Any:
            return [Provider("static", lambda: Parrot)]

    kernel = Kernel(plugins=[Plugin], autoload=False)
    assert kernel.agents.source("static") == "Plugin"


def test_a_class_with_plain_methods_is_told_about_self() -> None:
    [failure] = Kernel(plugins=[Named], autoload=False).failures
    assert failure.source == "Named"
    assert failure.problem == "hook 'hud_agents' takes no arguments, this one has (self) -> 'Any'"


def test_a_given_plugin_that_is_broken_is_kept_as_a_failure_or_raised() -> None:
    class Misspelt:
        @hookimpl
        def hud_agnts(self) -> Any:
            return []

    [failure] = Kernel(plugins=[Misspelt()], autoload=False).failures
    assert failure == ("Misspelt", "unknown hook 'hud_agnts'; did you mean 'hud_agents'?")
    with pytest.raises(PluginError, match="Misspelt: unknown hook"):
        Kernel(plugins=[Misspelt()], autoload=False, strict=True)


def test_failures_are_not_repeated() -> None:
    class Raises:
        @hookimpl
        def hud_agents(self) -> Any:
            raise OSError

    kernel = Kernel(plugins=[Raises()], autoload=False)
    for _ in range(3):
        kernel.load_everything()
    assert len(kernel.failures) == 1


def test_an_agent_is_made_by_its_name_and_carries_it() -> None:
    agent = Kernel(plugins=[Named("polly")], autoload=False).create_agent("polly", volume=11)
    assert isinstance(agent, Parrot)
    assert (agent.name, agent.volume) == ("polly", 11)


def test_an_agent_is_made_by_a_models_name() -> None:
    kernel = Kernel(plugins=[Named("any", ("*",)), Named("polly", ("parrot-*",))], autoload=False)
    agent = kernel.create_agent("parrot-xl")
    assert isinstance(agent, Parrot)
    assert (agent.model, agent.name) == ("parrot-xl", "parrot-xl")
    named = kernel.create_agent("parrot-xl", model="other")
    assert isinstance(named, Parrot)
    assert named.model == "other"


def test_an_unknown_agent_says_what_to_do() -> None:
    with pytest.raises(UnknownProviderError) as caught:
        Kernel(plugins=[Named("polly")], autoload=False).create_agent("claude")
    assert str(caught.value) == "no agent 'claude' is installed; pip install hud-anthropic; installed: polly"


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("tasks.py", "no such file: tasks.py"),
        ("some/folder", "no such file: some/folder"),
        ("rows.jsonl", "no such file: rows.jsonl"),
        ("word", "no task source knows 'word' (sources: none; pip install hud-local)"),
    ],
)
def test_a_source_that_nobody_knows(ref: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Kernel(autoload=False).source_for(ref)
    assert str(caught.value) == said


def test_a_file_that_is_there_and_that_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(
        ConfigError, match=r"no task source knows '.*rows\.jsonl' \(sources: none; pip install hud-local\)"
    ):
        Kernel(autoload=False).source_for(str(tmp_path / "rows.jsonl"))


class Numbers(TaskSource):
    def claims(self, ref: str) -> bool:
        return ref.startswith("numbers:")

    async def load(self, ref: str) -> AsyncIterator[Task]:
        yield Task(scenario="add")


class NumbersPlugin:
    @hookimpl
    def hud_task_sources(self) -> Iterable[Provider[TaskSource]]:
        def broken() -> type[TaskSource]:
            raise OSError("no disk")

        yield Provider("broken", broken, "for tests")
        yield Provider("numbers", lambda: Numbers, "for tests")


async def test_what_sources_do_unless_they_say_otherwise() -> None:
    kernel = Kernel(autoload=False, plugins=[NumbersPlugin()])
    source = kernel.source_for("numbers:3")
    assert source.kernel is kernel
    assert [type(one) for one in kernel.all_sources()] == [Numbers]  # the broken one stands in nobody's way
    assert await source.pin("numbers:3") == "numbers:3"
    assert source.read_row({"question": "why?"}, "tasks[0]") is None
    with pytest.raises(ConfigError, match="numbers:3 has no splits, so there is none called 'test'"):
        source.with_split("numbers:3", "test")


def test_kernels_in_threads_see_the_same() -> None:
    found: list[object] = []

    def make() -> None:
        kernel = Kernel(plugins=[Named("polly")])
        kernel.load_everything()
        found.append((sorted(kernel.agents), sorted(kernel.commands), kernel.failures))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(one == found[0] for one in found)
    assert "polly" in found[0][0]  # type: ignore[index]  # the names of the agents


def test_installed_plugins_are_left_out_on_request() -> None:
    assert Kernel(autoload=False).plugins == []


# --- the examples in the hooks' own documentation ---------------------------------------------------------------------


def example_of(hook: str) -> ModuleType:
    """Run the example in a hook's documentation, as a module."""
    [code] = re.findall(r"```python\n(.*?)```", inspect.getdoc(getattr(hookspecs, hook)) or "", re.DOTALL)
    module = ModuleType(f"example_of_{hook}")
    exec(code, vars(module))
    return module


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_of_a_hook_is_a_whole_plugin(hook: str) -> None:
    documentation = inspect.getdoc(getattr(hookspecs, hook)) or ""
    module = example_of(hook)
    kernel = Kernel(plugins=[module], autoload=False, strict=True)
    registry = kernel.commands if hook == "hud_commands" else getattr(kernel, hook.removeprefix("hud_"))
    assert len(registry) == 1
    assert documentation.splitlines()[0].startswith("Provide ")


def test_the_example_of_an_agent_is_found_by_a_models_name() -> None:
    assert Kernel(plugins=[example_of("hud_agents")], autoload=False).create_agent("parrot-9").name == "parrot-9"


# --- importing does nothing else --------------------------------------------------------------------------------------

WATCH = """
import json, sys, builtins
sys.path[:] = json.loads(sys.argv[1])
seen = []
def audit(event, arguments):
    mode = arguments[1] if event == "open" and len(arguments) > 1 else ""
    writes = isinstance(mode, str) and set(mode) & set("wax+")
    reads = event == "open" and not str(arguments[0]).endswith((".py", ".pyc"))
    if event.startswith(("socket.", "subprocess.", "os.", "shutil.", "tempfile.")) and event not in QUIET or writes:
        seen.append([event, repr(arguments)])
    elif reads and READS:
        seen.append([event, repr(arguments)])
QUIET = {"os.listdir", "os.scandir"}
READS = READ_TOO
def state():
    system = ("excepthook", "displayhook", "unraisablehook", "breakpointhook", "stdout", "stderr", "path_hooks")
    streams = {f"sys.{k}": id(getattr(sys, k)) for k in system}
    return {**{f"builtins.{k}": id(v) for k, v in vars(builtins).items()}, **streams,
            "meta_path": [type(f).__name__ for f in sys.meta_path], "path": list(sys.path)}
import threading, signal, warnings, locale, os
before = (state(), dict(os.environ), threading.active_count(), signal.getsignal(signal.SIGINT) , list(warnings.filters))
sys.addaudithook(audit)
CODE
audit = lambda *a: None
after = (state(), dict(os.environ), threading.active_count(), signal.getsignal(signal.SIGINT), list(warnings.filters))
print("\\n" + json.dumps({"seen": seen, "same": before == after, "modules": sorted(sys.modules)}))
"""


def do(code: str, *, reads: bool = True) -> tuple[str, dict[str, Any]]:
    """Run code in a process that watches itself: give what it printed, and what it did."""
    script = WATCH.replace("CODE", code).replace("READ_TOO", str(reads))
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, json.dumps(sys.path)], capture_output=True, text=True, check=True
    )
    printed, _, report = done.stdout.rstrip("\n").rpartition("\n")
    return printed.strip() + done.stderr, json.loads(report)


@pytest.mark.parametrize(
    "code",
    [
        "import hud_core",
        "import hud_core.kernel",
        "import hud",
        "from hud_core.kernel import Kernel; Kernel(autoload=False).load_everything()",
        "import hud_core; [getattr(hud_core, name) for name in hud_core.__all__ if name != '__version__']",
    ],
)
def test_importing_prints_opens_and_patches_nothing(code: str) -> None:
    printed, did = do(code)
    assert printed == ""
    assert did["seen"] == []
    assert did["same"]


def test_a_kernel_reads_what_is_installed_and_nothing_else() -> None:
    printed, did = do("from hud_core.kernel import Kernel\nKernel()", reads=True)
    assert printed == ""
    assert did["same"]
    opened = [what for event, what in did["seen"] if event == "open"]
    assert [event for event, _ in did["seen"] if event != "open"] == []
    assert [what for what in opened if "-info" not in what] == []


def test_the_watcher_sees_what_it_should() -> None:
    _, did = do(f"open({str(Path(__file__).parent)!r} + '/../../pyproject.toml').close()")
    assert did["seen"]
    _, did = do("import socket; socket.socket().close()")
    assert [event for event, _ in did["seen"]] == ["socket.__new__"]
    assert not do("import builtins; builtins.abs = len")[1]["same"]
    assert do("print('x')")[0] == "x"


@pytest.mark.parametrize("code", ["import hud_core", "from hud_core.kernel import Kernel; Kernel(autoload=False)"])
def test_the_kernel_is_light(code: str) -> None:
    _, did = do(code)
    heavy = {"asyncio", "anyio", "attr", "attrs", "cattrs", "msgspec", "structlog", "rich", "httpx", "pydantic",
             "importlib.metadata", "email", "logging", "trio", "ssl"}  # fmt: skip
    assert heavy & set(did["modules"]) == set()
