"""Importing a project, and importing again what changed."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hud_core.environment.environment import Environment
from hud_core.errors import ConfigError
from hud_mcp.project.reload import Project
from hud_mcp.project.targets import Target, find_target

pytestmark = pytest.mark.slow  # each starts servers as processes of their own

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")

    write("one.py", "import two\nfrom hud_core import Environment\nenv = Environment('one')\nvalue = two.value\n")
    write("two.py", "import three\nvalue = three.value\n")
    write("three.py", "value = 1\n")
    write("apart.py", "value = object()\n")
    return write


@pytest.fixture
def project(write: Write, tmp_path: Path) -> Iterator[Project]:
    project = Project(Target(tmp_path, "one"))
    with project.importable():
        yield project
    assert not {"one", "two", "three", "apart"} & sys.modules.keys()


def test_only_what_changed_and_what_depends_on_it(project: Project, write: Write) -> None:
    write("one.py", (Path("one.py").read_text() + "import apart\n"))
    project.load()
    apart = sys.modules["apart"].value
    assert project.reload() is None
    write("two.py", "import three\nvalue = three.value + 1\n")
    three = sys.modules["three"]
    found = project.reload()
    assert found is not None
    assert found[1] == ["one", "two"]
    assert sys.modules["one"].value == 2
    assert sys.modules["three"] is three
    assert sys.modules["apart"].value is apart
    write("three.py", "value = 5\n")
    found = project.reload()
    assert found is not None
    assert found[1] == ["one", "three", "two"]
    assert sys.modules["one"].value == 6


def test_a_save_within_the_same_second_and_of_the_same_size(project: Project, write: Write) -> None:
    project.load()
    for number in (2, 3, 4):
        write("three.py", f"value = {number}\n")
        assert project.reload() is not None
        assert sys.modules["one"].value == number


def test_tools_that_register_themselves(project: Project, write: Write) -> None:
    write("base.py", "from hud_core import Environment\nenv = Environment('base')\n")
    write("more.py", "from base import env\n@env.tool\ndef first() -> int:\n    return 1\n")
    write("one.py", "import more\nfrom base import env\n")
    assert list(project.load().tool_functions) == ["first"]
    write("more.py", "from base import env\n@env.tool\ndef second() -> int:\n    return 1\n")
    found = project.reload()
    assert found is not None
    assert list(found[0].tool_functions) == ["second"]
    assert found[1] == ["base", "more", "one"]


def test_what_fails_changes_nothing(project: Project, write: Write) -> None:
    before = project.load()
    modules = {name: sys.modules[name] for name in ("one", "two", "three")}
    write("new.py", "raise ValueError('no')\n")
    write("two.py", "import new\n")
    with pytest.raises(ConfigError, match=r"(?s)cannot import one: ValueError: no.*new.py:1: raise ValueError"):
        project.reload()
    assert {name: sys.modules[name] for name in modules} == modules
    assert "new" not in sys.modules
    assert {path.name for path in project.files} == {"one.py", "two.py", "three.py", "new.py"}
    write("new.py", "")
    write("two.py", "import new\nvalue = 9\n")
    found = project.reload()
    assert found is not None
    assert found[0] is not before
    assert sys.modules["one"].value == 9


def test_packages_and_relative_imports(write: Write, tmp_path: Path) -> None:
    write("pack/__init__.py", "")
    write("pack/inner.py", "from . import other\nfrom hud_core import Environment\nenv = Environment(other.name)\n")
    write("pack/other.py", "name = 'before'\n")
    project = Project(find_target("pack.inner", tmp_path))
    with project.importable():
        assert project.load().name == "before"
        write("pack/other.py", "name = 'after'\n")
        found = project.reload()
        assert found is not None
        assert (found[0].name, found[1]) == ("after", ["pack.inner", "pack.other"])
        assert sys.modules["pack"].other is sys.modules["pack.other"]


def test_state_is_kept_when_asked(write: Write, tmp_path: Path) -> None:
    body = (
        "from hud_core import Environment\nenv = Environment('s')\ncount = 0\nlimit = 3\nseen = []\nthing = object()\n"
    )
    write("one.py", body)
    project = Project(Target(tmp_path, "one"), keep_state=True)
    with project.importable():
        project.load()
        old = sys.modules["one"]
        old.count, old.limit = 5, 4
        old.seen.append("a")
        write("one.py", body.replace("limit = 3", "limit = 30") + "more = 1\n")
        assert project.reload() is not None
        new = sys.modules["one"]
    assert new is not old
    assert (new.count, new.seen, new.more) == (5, ["a"], 1)
    assert new.limit == 30, "who edits a value wants it"
    assert new.thing is not old.thing


def test_state_is_not_kept_otherwise(project: Project, write: Write) -> None:
    write("one.py", "from hud_core import Environment\nenv = Environment('s')\ncount = 0\n")
    project.load()
    sys.modules["one"].count = 5
    write("one.py", "from hud_core import Environment\nenv = Environment('s')\ncount = 0\n\n")
    assert project.reload() is not None
    assert sys.modules["one"].count == 0


@pytest.mark.parametrize(
    ("text", "module", "attribute"),
    [
        ("one", "one", None),
        ("one:env", "one", "env"),
        ("one.py:env", "one", "env"),
        ("deep/env.py", "env", None),
        ("deep", "env", None),
        ("pack", "pack", None),
        ("pack/inner.py", "pack.inner", None),
        ("pack.inner:x", "pack.inner", "x"),
    ],
)
def test_ways_to_name_a_module(write: Write, tmp_path: Path, text: str, module: str, attribute: str | None) -> None:
    for name in ("deep/env.py", "pack/__init__.py", "pack/inner.py"):
        write(name, "")
    target = find_target(text, tmp_path)
    assert (target.module, target.attribute) == (module, attribute)
    assert target.file.is_file()


def test_no_module_named(write: Write, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no env.py and no __init__.py"):
        find_target(None, tmp_path)
    write("env.py", "")
    assert find_target(None, tmp_path).module == "env"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("a = Environment('a')", "a"),
        ("a = b = Environment('a')", "a"),
        ("a = Environment('a')\nenv = Environment('e')", "e"),
        ("server = Environment('s')\nmcp = Environment('m')", "m"),
    ],
)
def test_which_environment(project: Project, write: Write, body: str, found: str) -> None:
    write("one.py", f"from hud_core import Environment\n{body}\n")
    environment = project.load()
    assert isinstance(environment, Environment)
    assert environment.name == found


def test_which_environment_cannot_be_told(project: Project, write: Write) -> None:
    write("one.py", "from hud_core import Environment\na = Environment('a')\nb = Environment('b')\n")
    with pytest.raises(ConfigError, match=r"one.py has 2 environments; say which: one:a"):
        project.load()
    write("one.py", "")
    with pytest.raises(ConfigError, match=r"one.py has no Environment; add env = Environment\('my-env'\)"):
        project.load()


def test_a_name_that_is_taken(write: Write, tmp_path: Path) -> None:
    write("json.py", "")
    project = Project(find_target("json", tmp_path))
    with project.importable(), pytest.raises(ConfigError, match="rename your file"):
        project.load()
