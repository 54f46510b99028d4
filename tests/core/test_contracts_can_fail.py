"""Each contract fails where it should: broken implementations, each with the checks that find it, and a good one.

The implementations are in `broken/`, run by a pytest of their own. A class there says in `fails` which tests must
fail; every other test of the contract must pass or be skipped, so that a failure points at the mistake and at nothing
else.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

BROKEN = Path(__file__).with_name("broken")

GOOD_PLUGIN = """
from hud_core.hookspecs import hookimpl
from hud_core.providers import Command, Provider

def load():
    from hud_core.testing.fakes import ScriptedAgent
    return ScriptedAgent

@hookimpl
def hud_agents():
    yield Provider("scripted", load, "says what it is told")

@hookimpl
def hud_commands() -> "list[Command]":
    return [Command("hello", "say hello", lambda parser: None, lambda arguments: 0)]
"""
BAD_PLUGINS = {  # what to replace in the good plugin, and which tests must find it
    "misspelt": (("def hud_agents", "def hud_agent"), ("registers_alone", "provides_something")),
    "silent": (("@hookimpl\n", ""), ("registers_alone", "provides_something")),
    "annotated": (('-> "list[Command]"', "-> 'list[Provider[Agent]]'"), ("annotated_as_their_specs",)),
    "fickle": (('"scripted"', "str(id(object()))[-1:] + __import__('os').urandom(3).hex()"), ("the_same_each_time",)),
    "wrong_kind": (("import ScriptedAgent", "import MemorySink as ScriptedAgent"), ("providers_load",)),
    "abstract": (
        ("from hud_core.testing.fakes import ScriptedAgent", "from hud_core.interfaces import Agent as ScriptedAgent"),
        ("providers_load",),
    ),
    "wordy": (("says what it is told", "says\\nwhat it is told"), ("summaries",)),
    "heavy": (("\ndef load", "import anyio\n\ndef load"), ("imports_nothing_heavy",)),
    "eager": (
        ("hookimpl\ndef hud_agents():\n", "hookimpl\ndef hud_agents():\n    load()\n"),
        ("imports_nothing_heavy",),
    ),
    "slow": (
        ("\ndef load", "import time\nend = time.process_time() + 0.1\nwhile time.process_time() < end: pass\ndef load"),
        ("takes_little_time",),
    ),
    "loud": (("\ndef load", "print('hello')\n\ndef load"), ("does_nothing_else",)),
    "opens": (("\ndef load", "import socket\nsocket.socket().close()\n\ndef load"), ("does_nothing_else",)),
    "starts": (
        ("\ndef load", "import subprocess\nsubprocess.run(['true'], check=False)\n\ndef load"), ("does_nothing_else",),
    ),
    "patches": (("\ndef load", "import sys\nsys.excepthook = lambda *a: None\n\ndef load"), ("does_nothing_else",)),
}  # fmt: skip

PLUGINS = """
from hud_core.testing import PluginContract


class TestGood(PluginContract):
    fails = ()
    plugin = "p_good"


class TestNotInstalled(PluginContract):
    fails = ("distribution_names_the_plugin",)
    plugin = "p_good"
    distribution = "p-good"


class TestUntyped(PluginContract):
    fails = ("package_is_typed",)
    plugin = "p_untyped"
"""


@pytest.fixture(autouse=True)
def same_path(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the other pytest import what this one can, from its own folder."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(pytester.path), *map(os.path.abspath, sys.path)]))


def outcomes(pytester: pytest.Pytester, code: str) -> dict[str, dict[str, set[str]]]:
    """Run contract classes; give the names of their failed tests, and of those that ran, by class."""
    pytester.makeini("[pytest]\nfilterwarnings = error\nanyio_mode = auto\n")
    pytester.makepyfile(test_broken=code)
    result = pytester.runpytest_subprocess("-q", "-rA", "--tb=line", "-p", "no:cacheprovider")
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for line in result.outlines:
        if match := re.match(r"(PASSED|FAILED|ERROR) test_broken.py::(Test\w+)::test_(\w+)", line):
            found[match[2]][match[1]].add(match[3])
    assert found, result.stdout.str() + result.stderr.str()
    return found


CLASS = """

class Test{title}(PluginContract):
    fails = {fails!r}
    plugin = "p_{name}"
    import_seconds = {seconds}
"""


def expected(code: str) -> dict[str, tuple[str, ...]]:
    """Read which tests each class says must fail."""
    return {
        node.name: ast.literal_eval(statement.value)
        for node in ast.parse(code).body
        if isinstance(node, ast.ClassDef)
        for statement in node.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "fails"
    }


def verify(pytester: pytest.Pytester, code: str) -> None:
    found, wanted = outcomes(pytester, code), expected(code)
    assert found.keys() == wanted.keys()
    mistakes = {}
    for name, fails in wanted.items():
        failed = found[name]["FAILED"] | found[name]["ERROR"]
        missed = [part for part in fails if not any(part in test for test in failed)]
        surprising = [test for test in failed if not any(part in test for part in fails)]
        if missed or surprising or not found[name]["PASSED"]:
            mistakes[name] = f"not found {missed}, found as well {surprising}"
    assert mistakes == {}


@pytest.mark.parametrize("file", sorted(BROKEN.glob("*.py")), ids=lambda file: file.stem)
def test_a_contract_finds_what_is_broken_and_nothing_else(pytester: pytest.Pytester, file: Path) -> None:
    verify(pytester, file.read_text("utf-8"))


def test_the_plugin_contract_finds_what_is_broken_and_nothing_else(pytester: pytest.Pytester) -> None:
    code = PLUGINS
    good = GOOD_PLUGIN
    pytester.makepyfile(p_good=good)
    pytester.mkpydir("p_untyped").joinpath("__init__.py").write_text(good, "utf-8")
    for name, ((old, new), fails) in BAD_PLUGINS.items():
        assert old in good
        pytester.makepyfile(**{f"p_{name}": good.replace(old, new)})
        code += CLASS.format(title=name.title(), name=name, fails=fails, seconds=0.05 if name == "slow" else 10.0)
    verify(pytester, code)


def test_a_contract_without_its_fixture_says_what_to_override(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("from hud_core.testing import BackendContract\nclass TestNothing(BackendContract): pass\n")
    result = pytester.runpytest_subprocess("-q", "-k", "check_passes")
    assert "override the fixture 'backend' of TestNothing" in result.stdout.str()
