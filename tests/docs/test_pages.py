"""No page is missing, every page can be reached, and every public thing is in the reference."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest
from msgspec import Struct

import hud_core
import hud_core.testing
from hud_core import Cause, Kernel, StopReason
from hud_core.kernel import HOOKS
from hud_core.model import events
from hud_core.settings import FIELDS

ROOT = Path(__file__).parents[2]
PUBLIC = [name for name in hud_core.__all__ if not name.startswith("__")]
EVENTS = get_args(events.Event)


def says(text: str, word: str) -> bool:
    """Whether a word is in the text as code."""
    return re.search(rf"`[^`\n]*(?<![\w-]){re.escape(word)}(?![\w-])[^`\n]*`", text) is not None


def section(pages: dict[str, Any], name: str, title: str) -> str:
    """Give what is below a heading of a page, up to the next one of its level."""
    assert name in pages, f"{name} is missing"
    text = pages[name].text
    found = re.search(rf"^(#+) `?{re.escape(title)}\b.*?$(.*?)(?=^\1 |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[2] if found else ""


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plugin", sorted(path.parent.name for path in ROOT.glob("hud_plugins/*/pyproject.toml")))
def test_each_plugin_has_a_page(plugin: str, pages: dict[str, Any]) -> None:
    assert f"docs/plugins/{plugin.replace('_', '-')}.md" in pages


def test_links_lead_somewhere(page: Any, pages: dict[str, Any]) -> None:
    inside = [link for link in page.links if not link.startswith(("http://", "https://"))]
    assert not [link for link in inside if not leads(link, page, pages)]


def leads(link: str, page: Any, pages: dict[str, Any]) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.path.parent / path).resolve() if path else page.path
    if not anchor:
        return bool(target.exists())
    found = pages.get(target.relative_to(ROOT).as_posix())
    return found is not None and anchor in found.anchors


def test_every_page_is_reachable(pages: dict[str, Any]) -> None:
    reached = set()
    waiting = ["docs/README.md"]
    while waiting:
        name = waiting.pop()
        if name in pages and name not in reached:
            reached.add(name)
            waiting += [relative(pages[name].path.parent / link.partition("#")[0]) for link in pages[name].links]
    assert {name for name in pages if name.startswith("docs/")} <= reached


def relative(path: Path) -> str:
    path = path.resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS)
def test_each_hook_is_documented(hook: str, pages: dict[str, Any]) -> None:
    assert section(pages, "docs/reference/hooks.md", hook)


@pytest.mark.parametrize("name", [*PUBLIC, *hud_core.testing.__all__])
def test_each_public_name_is_documented(name: str, reference: str) -> None:
    assert says(reference, name)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_parameter_is_documented(name: str, reference: str) -> None:
    missing = [parameter for parameter in parameters(getattr(hud_core, name)) if not says(reference, parameter)]
    assert not missing


def parameters(value: object) -> list[str]:
    """Give what users pass by name: parameters of a function, fields of a record."""
    if isinstance(value, type) and issubclass(value, Struct):
        return list(value.__struct_fields__)
    if isinstance(value, type) and attrs.has(value):
        return [field.name for field in attrs.fields(value) if not field.name.startswith("_")]
    return list(inspect.signature(value).parameters) if inspect.isfunction(value) else []


def test_parameters_are_found() -> None:
    assert {"reward", "cause"} <= {*parameters(hud_core.Rollout)}
    assert {"reward", "content"} <= {*parameters(hud_core.Evaluation)}
    assert {"group", "resume"} <= {*parameters(hud_core.run)}


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_is_documented(event: type, pages: dict[str, Any]) -> None:
    text = section(pages, "docs/reference/events.md", event.__name__)
    assert not [name for name in parameters(event) if not says(text, name)]


@pytest.mark.parametrize("word", [*Cause, *StopReason])
def test_each_outcome_is_documented(word: str, pages: dict[str, Any]) -> None:
    assert says(pages["docs/reference/outcomes.md"].text, word)


def test_each_variable_is_documented(pages: dict[str, Any]) -> None:
    sources = [*ROOT.glob("hud_core/src/**/*.py"), *ROOT.glob("hud_plugins/*/src/**/*.py")]
    read = {name for path in sources for name in re.findall(r"[\"'](HUD_[A-Z_]+)[\"']", path.read_text("utf-8"))}
    wanted = read | {variable for variable, _ in FIELDS.values()}
    assert not [name for name in sorted(wanted) if not says(pages["docs/reference/settings.md"].text, name)]


# --- commands ---------------------------------------------------------------------------------------------------------


def test_each_command_is_documented(pages: dict[str, Any]) -> None:
    missing = [
        f"hud {command}: {option}"
        for command, configure in ((name, found.configure) for name, found in Kernel().commands.items())
        for option in ["", *options(configure)]
        if not says_option(section(pages, "docs/reference/commands.md", f"hud {command}"), option)
    ]
    assert not missing


def says_option(text: str, option: str) -> bool:
    return says(text, option) if option else bool(text)


def options(configure: Callable[[argparse.ArgumentParser], None]) -> list[str]:
    parser = argparse.ArgumentParser()
    configure(parser)
    return list(walk(parser))


def walk(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Give every option by its long name, of subcommands too; argparse has no public way to list them."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield name
                yield from walk(inner)
        elif action.option_strings and action.help != argparse.SUPPRESS and action.dest != "help":
            yield max(action.option_strings, key=len)
