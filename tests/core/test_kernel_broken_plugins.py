"""A broken plugin never stops the others, and the kernel says which distribution and version is broken and why."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from hud_core.errors import ConfigError, DuplicateProviderError, PluginError
from hud_core.kernel import Kernel

HEAD = "from hud_core.hookspecs import hookimpl\nfrom hud_core.providers import Command, Provider\n"
GOOD = """
@hookimpl
def hud_agents():
    yield Provider("good", lambda: dict, "works")
"""

BROKEN = {
    "import": ("raise RuntimeError('no such luck')", "cannot be imported: RuntimeError: no such luck"),
    "missing": ("import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
    "exits": ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
    "syntax": ("def (", "cannot be imported: SyntaxError"),
    "misspelt": ("@hookimpl\ndef hud_agent():\n    yield", "unknown hook 'hud_agent'; did you mean 'hud_agents'?"),
    "signature": ("@hookimpl\ndef hud_agents(config):\n    yield", "hook 'hud_agents' takes no arguments"),
    "async": ("@hookimpl\nasync def hud_agents():\n    return []", "must be a plain function, not async"),
    "asyncgen": ("@hookimpl\nasync def hud_agents():\n    yield", "must be a plain function, not async"),
    "wrapper": ("@hookimpl(wrapper=True)\ndef hud_agents():\n    yield", "must not be a wrapper"),
    "undecorated": ("def hud_agents():\n    yield", "hook 'hud_agents' lacks the decorator @hookimpl"),
    "raises": ("@hookimpl\ndef hud_agents():\n    raise OSError('gone')", "hud_agents failed: OSError: gone"),
    "quits": ("@hookimpl\ndef hud_agents():\n    raise SystemExit('bye')", "hud_agents failed: SystemExit: bye"),
    "notaprovider": ("@hookimpl\ndef hud_agents():\n    yield 'x'", "must yield Provider records, got 'x'"),
    "nothing": ("@hookimpl\ndef hud_agents():\n    return None", "hud_agents failed: TypeError"),
    "command": ("@hookimpl\ndef hud_commands():\n    yield Provider('x', list)", "must yield Command records"),
    "class": ("@hookimpl\ndef hud_agents():\n    yield Provider('x', dict)", "load of 'x' must be a function"),
    "models": (
        "@hookimpl\ndef hud_agents():\n    yield Provider('x', lambda: dict, '', 'x-*')",
        "models of 'x' must be a tuple of patterns, got 'x-*'",
    ),
    "unnamed": (
        "@hookimpl\ndef hud_agents():\n    yield Provider('', lambda: dict)",
        "must be a text that is not empty",
    ),
}


class Site:
    """A folder as pip leaves it: modules, and what it wrote down about their distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, code: str, *, version: str = "1.0", entry: str = "", value: str = "") -> None:
        module = name.replace("-", "_")
        (self.folder / f"{module}.py").write_text(HEAD + dedent(code), "utf-8")
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n", "utf-8")
        (info / "entry_points.txt").write_text(f"[hud]\n{entry or name} = {value or module}\n", "utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("HUD_DISABLE_PLUGINS", "HUD_STRICT_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def own_failures(kernel: Kernel) -> list[tuple[str, str]]:
    """Give the failures of this test's distributions; whatever else is installed here is not the question."""
    kernel.load_everything()
    return [
        (failure.source, failure.problem)
        for failure in kernel.failures
        if failure.source.partition(" ")[0].startswith("t-")
    ]


@pytest.mark.parametrize("kind", list(BROKEN))
def test_a_broken_plugin_is_named_and_stops_no_other(site: Site, kind: str) -> None:
    code, problem = BROKEN[kind]
    site.install(f"t-a-{kind}", code, version="2.3.4")
    site.install(f"t-b-{kind}", GOOD)
    kernel = Kernel()
    [(source, said)] = own_failures(kernel)
    assert source == f"t-a-{kind} 2.3.4"
    assert problem in said
    assert kernel.agents.source("good") == f"t-b-{kind} 1.0"
    assert kernel.agents.create("good", a=1) == {"a": 1}


def test_all_of_them_together_leave_the_good_one_working(site: Site) -> None:
    for kind, (code, _) in BROKEN.items():
        site.install(f"t-all-{kind}", code)
    site.install("t-zz-good", GOOD)
    kernel = Kernel()
    assert len(own_failures(kernel)) == len(BROKEN)
    assert kernel.agents.create("good") == {}


def test_an_entry_point_to_a_missing_attribute_is_a_failure(site: Site) -> None:
    site.install("t-attribute", GOOD, value="t_attribute:plugin.inner")
    [(_, said)] = own_failures(Kernel())
    assert "AttributeError" in said
    assert "'plugin'" in said


def test_an_entry_point_may_name_an_object_in_a_module(site: Site) -> None:
    code = """
    class Plugin:
        @hookimpl
        def hud_agents(self):
            yield Provider("inner", lambda: dict)
    class box:
        plugin = Plugin()
    """
    site.install("t-object", code, value="t_object:box.plugin")
    kernel = Kernel()
    assert own_failures(kernel) == []
    assert kernel.agents.source("inner") == "t-object 1.0"


def test_two_providers_of_one_name_are_an_error_that_names_both(site: Site) -> None:
    two = GOOD + "    yield Provider('{}', lambda: dict)\n"
    site.install("t-one", two.format("first"), version="1.1")
    site.install("t-two", two.format("second"), version="2.2")
    kernel = Kernel()
    [(sources, said)] = own_failures(kernel)
    assert sources == "t-one 1.1 and t-two 2.2"
    assert said == (
        "agent 'good' is provided by t-one 1.1 and t-two 2.2; uninstall one, or name it in HUD_DISABLE_PLUGINS"
    )
    with pytest.raises(DuplicateProviderError, match=r"t-one 1\.1 and t-two 2\.2"):
        kernel.agents.create("good")
    assert kernel.agents.create("first") == kernel.agents.create("second") == {}


@pytest.mark.parametrize("off", ["t-one", "T_One", " t-one ,t-three", "entry-one"])
def test_disabling_one_of_two_settles_it(site: Site, monkeypatch: pytest.MonkeyPatch, off: str) -> None:
    site.install("t-one", GOOD, entry="entry-one")
    site.install("t-two", GOOD)
    monkeypatch.setenv("HUD_DISABLE_PLUGINS", off)
    kernel = Kernel()
    assert own_failures(kernel) == []
    assert kernel.agents.source("good") == "t-two 1.0"


def test_a_disabled_plugin_is_not_imported(site: Site) -> None:
    site.install("t-off", "raise RuntimeError")
    assert own_failures(Kernel(disabled=["t-off"])) == []
    assert "t_off" not in sys.modules


def test_one_plugin_that_gives_a_name_twice_is_told_so(site: Site) -> None:
    site.install("t-twice", GOOD + "    yield Provider('good', lambda: dict)\n")
    kernel = Kernel()
    [(source, said)] = own_failures(kernel)
    assert source == "t-twice 1.0"
    assert "provided twice by t-twice 1.0" in said


def test_two_commands_of_one_name(site: Site) -> None:
    code = "@hookimpl\ndef hud_commands():\n    yield Command('{0}', '{1}', lambda parser: None, lambda args: 0)"
    site.install("t-first", code.format("twin", "one"))
    site.install("t-second", code.format("twin", "two"))
    kernel = Kernel()
    assert own_failures(kernel) == [("t-second 1.0", "command 'twin' is provided by t-first 1.0 already")]
    assert kernel.commands["twin"].summary == "one"


def test_strict_mode_raises_with_every_failure(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.install("t-x", "raise RuntimeError('first')", version="3.0")
    site.install("t-y", "@hookimpl\ndef hud_agents():\n    raise OSError('second')")
    monkeypatch.setenv("HUD_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError) as caught:
        Kernel()
    assert "t-x 3.0: cannot be imported: RuntimeError: first" in str(caught.value)
    assert "t-y 1.0: hud_agents failed: OSError: second" in str(caught.value)
    assert own_failures(Kernel(strict=False))


@pytest.mark.parametrize("value", ["", "0", "no"])
def test_strict_mode_is_off_unless_it_is_1(site: Site, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    site.install("t-lenient", "raise RuntimeError")
    monkeypatch.setenv("HUD_STRICT_PLUGINS", value)
    assert len(own_failures(Kernel())) == 1


def test_a_provider_whose_module_is_missing_says_whose_it_is(site: Site) -> None:
    code = """
    def load():
        import no_such_dependency
    @hookimpl
    def hud_agents():
        yield Provider("needy", load)
    """
    site.install("t-needy", code, version="0.9")
    with pytest.raises(ConfigError, match=r"agent 'needy' of t-needy 0\.9 cannot be imported.*no_such_dependency"):
        Kernel().agents.create("needy")


def test_a_provider_that_cannot_be_loaded_says_whose_it_is(site: Site) -> None:
    site.install("t-div", "@hookimpl\ndef hud_agents():\n    yield Provider('div', lambda: 1 / 0)")
    with pytest.raises(PluginError, match=r"agent 'div' of t-div 1\.0 cannot be loaded: ZeroDivisionError"):
        Kernel().agents.create("div")


def test_lazy_names_of_a_plugin_stay_asleep(site: Site) -> None:
    code = GOOD + (
        "def __getattr__(name):\n    raise RuntimeError(f'woke {name}')\n"
        "def __dir__():\n    return ['hud_agents', 'heavy']\n"
    )
    site.install("t-lazy", code)
    kernel = Kernel()
    assert own_failures(kernel) == []
    assert "good" in kernel.agents


def test_an_object_with_every_attribute_is_no_hook(site: Site) -> None:
    site.install("t-mock", "from unittest.mock import call, MagicMock\nthing = MagicMock()\n" + GOOD)
    assert own_failures(Kernel()) == []


def test_a_hook_may_have_another_function_name(site: Site) -> None:
    site.install("t-spec", "@hookimpl(specname='hud_agents')\ndef mine():\n    yield Provider('mine', lambda: dict)")
    kernel = Kernel()
    assert own_failures(kernel) == []
    assert kernel.agents.create("mine") == {}


def test_hooks_of_a_later_kernel_may_be_optional(site: Site) -> None:
    later = "@hookimpl(optionalhook=True)\ndef hud_dashboards():\n    yield 1\n"
    site.install("t-later", later + GOOD)
    kernel = Kernel()
    assert own_failures(kernel) == []
    assert "good" in kernel.agents


def test_a_broken_task_source_does_not_hide_the_others(site: Site) -> None:
    code = """
    class Bad:
        def claims(self, ref):
            raise OSError("no disk")
    class Fine:
        def claims(self, ref):
            return ref == "fine:1"
    @hookimpl
    def hud_task_sources():
        yield Provider("a-bad", lambda: Bad)
        yield Provider("b-fine", lambda: Fine)
    """
    site.install("t-sources", code)
    kernel = Kernel()
    assert type(kernel.source_for("fine:1")).__name__ == "Fine"
    with pytest.raises(ConfigError, match="task source 'a-bad' is broken: OSError: no disk"):
        kernel.source_for("other:1")


def test_the_environment_is_read_when_a_kernel_is_made_in_a_new_process(site: Site) -> None:
    site.install("t-proc", "raise RuntimeError('always')")
    code = "from hud_core.kernel import Kernel; print(Kernel().failures)"
    for value, returncode in (("1", 1), ("0", 0)):
        environment = {**os.environ, "HUD_STRICT_PLUGINS": value, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == returncode
        assert "t-proc 1.0" in done.stdout + done.stderr
