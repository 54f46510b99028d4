"""``hud scenario``: lists, sets up and grades scenarios of a running server."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from hud_core.errors import ConfigError, closest

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from mcp import Client

    from hud_mcp.client.connection import Connection

DEFAULT_URL = "http://localhost:8765/mcp"
STATE = Path(".hud") / "scenario.json"
"""What ``setup`` leaves for ``grade``, in the current folder."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=type(parser))
    listing = _add(actions, "list", "list the scenarios and their arguments")
    listing.add_argument("--json", action="store_true", help="print JSON")
    setup = _add(actions, "setup", "set a scenario up, and print its prompt and the address for its agent")
    setup.add_argument("--json", action="store_true", help="print JSON")
    grade = _add(actions, "grade", "grade an answer to the scenario that was set up last")
    once = _add(actions, "run", "set a scenario up, and grade an answer")
    setup.add_argument("name", help="the scenario, with or without its environment's name")
    grade.add_argument("name", nargs="?", help="the scenario; the one that was set up last")
    once.add_argument("name", help="the scenario, with or without its environment's name")
    for action in (setup, once):
        action.add_argument("-a", "--args", default="{}", metavar="JSON", help="the scenario's arguments")
    for action in (grade, once):
        action.add_argument("-A", "--answer", default="", metavar="TEXT", help="the answer (default: the empty one)")


def _add(actions: Any, name: str, summary: str) -> argparse.ArgumentParser:  # noqa: ANN401  argparse's class is private
    parser: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=summary)
    url = None if name == "grade" else DEFAULT_URL
    parser.add_argument("-u", "--url", default=url, metavar="URL", help=f"the server (default: {DEFAULT_URL})")
    parser.add_argument("--token", metavar="TOKEN", help="what the server wants to be presented")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand.

    Returns:
        0, or 1 when there is no score.

    Raises:
        ConfigError: There is no such scenario, or nothing was set up.
        UnreachableError: The server does not answer.
        RefusedError: It answered with an error.
    """
    import anyio

    actions = {"list": _list, "setup": _setup, "grade": _grade, "run": _run}
    code: int = anyio.run(partial(actions[arguments.action], arguments))
    return code


async def _list(arguments: argparse.Namespace) -> int:
    from hud_mcp.commands.console import emit, plain

    async with _server(arguments) as connection:
        scenarios = await _scenarios(connection)
    if arguments.json:
        emit(json.dumps([scenario.data for scenario in scenarios], indent=2))
    else:
        emit("\n".join(plain(str(scenario)) for scenario in scenarios) or "no scenarios")
    return 0


async def _setup(arguments: argparse.Namespace) -> int:
    from hud_mcp.commands.console import emit, plain, say

    async with _server(arguments) as connection:
        episode = await _begin(connection, arguments)
    if episode.handle is None:
        msg = f"{arguments.url} gave no handle to grade the episode by; use `hud scenario run`"
        raise ConfigError(msg)
    STATE.parent.mkdir(exist_ok=True)
    STATE.write_text(json.dumps({"url": arguments.url, "scenario": episode.name, "episode": episode.handle}), "utf-8")
    if arguments.json:
        emit(json.dumps({"scenario": episode.name, "prompt": episode.prompt, "address": episode.address}, indent=2))
        return 0
    emit(plain(episode.prompt))
    if episode.address is not None:
        say(f"the address for an agent, until it is graded: {episode.address}")
    return 0


async def _grade(arguments: argparse.Namespace) -> int:
    state = _remembered(arguments.name)
    arguments.url = arguments.url or state["url"]
    async with _server(arguments) as connection:
        code = await _finish(connection, _Episode(state["scenario"], "", state["episode"]), arguments.answer)
    STATE.unlink(missing_ok=True)
    return code


async def _run(arguments: argparse.Namespace) -> int:
    from hud_mcp.commands.console import say

    async with _server(arguments) as connection:
        episode = await _begin(connection, arguments)
        say(episode.prompt)
        return await _finish(connection, episode, arguments.answer)


def _remembered(name: str | None) -> dict[str, str]:
    try:
        state: dict[str, str] = json.loads(STATE.read_text("utf-8"))
        known = state["scenario"], state["url"], state["episode"]
    except FileNotFoundError:
        msg = "nothing to grade: no scenario was set up in this folder; `hud scenario setup NAME` does that"
        raise ConfigError(msg) from None
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{STATE} is damaged; delete it, and set the scenario up again"
        raise ConfigError(msg) from error
    if name not in (None, known[0], known[0].rpartition(":")[2]):
        msg = f"scenario {known[0]!r} is set up, not {name!r}; `hud scenario setup {name}` does that"
        raise ConfigError(msg)
    return state


# --- speaking with the server -----------------------------------------------------------------------------------------


@frozen
class _Scenario:
    """A scenario as the server lists it."""

    name: str
    description: str
    arguments: tuple[tuple[str, bool], ...]
    """Their names, and whether each must be given."""

    def __str__(self) -> str:
        return f"{self.name}({', '.join(name if is_needed else f'{name}?' for name, is_needed in self.arguments)})"

    @property
    def data(self) -> dict[str, Any]:
        arguments = [{"name": name, "required": is_needed} for name, is_needed in self.arguments]
        return {"name": self.name, "description": self.description, "arguments": arguments}


@frozen
class _Episode:
    """A scenario that was set up."""

    name: str
    prompt: str
    handle: str | None
    address: str | None = None
    """Where an agent finds this episode's tools, and nothing else; None where the server gives no such address."""


@asynccontextmanager
async def _server(arguments: argparse.Namespace) -> AsyncIterator[Connection]:
    from mcp import MCPError

    from hud_mcp.client.connection import text_of
    from hud_mcp.commands.remote import RefusedError, UnreachableError, connected

    try:
        async with connected("scenario", {"url": arguments.url, "token": arguments.token}) as connection:
            yield connection
    except UnreachableError as error:
        msg = f"{error}; does `hud dev` run there?"
        raise UnreachableError(msg) from error
    except MCPError as error:
        raise RefusedError(text_of(error)) from error


async def _scenarios(connection: Connection) -> list[_Scenario]:
    from hud_mcp.client.lists import everything
    from hud_mcp.commands.remote import harness_meta

    prompts = await connection.ask(lambda client: everything(client, "prompts", meta=harness_meta()))
    return [
        _Scenario(
            prompt.name,
            (prompt.description or "").removeprefix("[Setup] "),
            tuple((argument.name, bool(argument.required)) for argument in prompt.arguments or ()),
        )
        for prompt in prompts
        if ":" in prompt.name
    ]


async def _begin(connection: Connection, arguments: argparse.Namespace) -> _Episode:
    from hud_mcp.commands.remote import harness_meta
    from hud_mcp.wire import AGENT, EPISODE, episode_url

    given = _arguments(arguments.args)
    scenario = _find(arguments.name, await _scenarios(connection))
    result = await connection.ask(lambda client: client.get_prompt(scenario, given, meta=harness_meta()))
    texts = [getattr(message.content, "text", f"({message.content.type})") for message in result.messages]
    meta = result.meta or {}
    address = episode_url(arguments.url, meta[AGENT]) if AGENT in meta else None
    return _Episode(scenario, "\n".join(texts), meta.get(EPISODE), address)


def _find(name: str, scenarios: list[_Scenario]) -> str:
    """Find a scenario by its name, with or without its environment's."""
    known = [scenario.name for scenario in scenarios]
    found = [one for one in known if name in (one, one.rpartition(":")[2])]
    if len(found) == 1:
        return found[0]
    if found:
        msg = f"several environments have a scenario {name!r}; say which: {', '.join(found)}"
    else:
        guess = closest(name, [*(one.rpartition(":")[2] for one in known), *known])
        msg = f"no scenario {name!r}{guess}; there are {', '.join(known) or 'none'}"
    raise ConfigError(msg)


def _arguments(text: str) -> dict[str, str]:
    """Read a scenario's arguments, as the protocol carries them: text as it is, and everything else as JSON."""
    try:
        data = json.loads(text)
    except ValueError as error:
        msg = f'--args must be a JSON object, as in \'{{"text": "moon"}}\', got {text!r}: {error}'
        raise ConfigError(msg) from error
    if not isinstance(data, dict):
        msg = f'--args must be a JSON object, as in \'{{"text": "moon"}}\', got {text!r}'
        raise ConfigError(msg)
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in data.items()}


async def _finish(connection: Connection, episode: _Episode, answer: str) -> int:
    from hud_mcp.commands.console import emit

    evaluation = await connection.ask(lambda client: _submit(client, episode, answer))
    emit(json.dumps(evaluation, indent=2))
    return 1 if evaluation.get("isError") else 0


async def _submit(client: Client, episode: _Episode, answer: str) -> dict[str, Any]:
    from mcp.types import TextResourceContents

    from hud_mcp.commands.remote import RefusedError, harness_meta
    from hud_mcp.wire import SUBMIT

    meta = harness_meta(episode.handle)
    sent = {"scenario": episode.name.rpartition(":")[2], "answer": answer}
    result = await client.call_tool(SUBMIT, sent, meta=meta)
    if result.is_error:
        raise RefusedError("; ".join(getattr(block, "text", "") for block in result.content))
    read = await client.read_resource(episode.name, meta=meta)
    text = next((content.text for content in read.contents if isinstance(content, TextResourceContents)), None)
    if text is None:
        raise RefusedError(f"{episode.name} was graded without a result")
    evaluation: dict[str, Any] = json.loads(text)
    return evaluation
