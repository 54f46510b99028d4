"""``hud analyze``: prints what an environment or a server offers."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hud_core.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Mapping

    from mcp import Client

    from hud_core.environment.environment import Environment
    from hud_core.environment.live import LiveSession
    from hud_core.environment.publications import Publications
    from hud_core.model.content import ResourceContent

FORMATS = ("interactive", "json", "markdown")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("source", nargs="?", metavar="MODULE|URL", help="MODULE[:ATTR] with an environment, or a server's address")
    add("-c", "--config", metavar="FILE", help="a client's configuration: every server in it")
    add("-f", "--format", choices=FORMATS, default=FORMATS[0], help="how to print it (default: for people)")
    add("--token", metavar="TOKEN", help="what the server at the address wants to be presented")
    add("-v", "--verbose", action="store_true", help="also print the arguments' JSON Schemas")


def run(arguments: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        0, or 3 when a server of the configuration cannot be reached.

    Raises:
        ConfigError: There is no such module or file, or it cannot be read.
        UnreachableError: The server does not answer.
    """
    import anyio

    from hud_mcp.commands.console import emit, plain

    if arguments.config and arguments.source:
        msg = "give a module or an address, or --config; not both"
        raise ConfigError(msg)
    if arguments.config:
        found = anyio.run(_configured, Path(arguments.config))
    elif (arguments.source or "").startswith(("http://", "https://")):
        options = {"url": arguments.source, "token": arguments.token}
        found = [anyio.run(partial(_server, "server", options, arguments.source))]
    else:
        found = [_module(arguments.source)]
    if arguments.format == "json":
        emit(json.dumps({"servers": found} if arguments.config else found[0], indent=2))
    else:
        lay_out = _markdown if arguments.format == "markdown" else _text
        emit(plain("\n\n".join("\n".join(lay_out(one, is_verbose=arguments.verbose)) for one in found)))
    return 3 if any("error" in one for one in found) else 0


# --- an environment's own code ----------------------------------------------------------------------------------------


def _module(source: str | None) -> dict[str, Any]:
    import anyio

    from hud_mcp.commands.console import stdout_is_talk
    from hud_mcp.project.adopted import AdoptedServer
    from hud_mcp.project.reload import Project
    from hud_mcp.project.targets import find_target

    project = Project(find_target(source, Path.cwd()))
    shown = source or project.target.module
    with project.importable(), stdout_is_talk():
        environment = project.load()
        if isinstance(environment, AdoptedServer):  # it knows what it offers once it runs
            return anyio.run(partial(_server, environment.name, {"object": environment.server}, shown))
        return anyio.run(_described, environment, shown)


async def _described(environment: Environment, source: str) -> dict[str, Any]:
    """Describe an environment as a server of it would: with what it is connected to, without running its own hooks.

    Raises:
        UnreachableError: A connection cannot be opened.
    """
    from hud_core.errors import BackendError
    from hud_core.job.backends import connected
    from hud_mcp.client.described import prompt_data
    from hud_mcp.commands.remote import UnreachableError
    from hud_mcp.server.convert import scenario_prompt

    session = environment.session()
    try:
        async with connected(session):
            offered = await _offered(session)
    except BackendError as error:
        raise UnreachableError(str(error)) from error
    scenarios = [prompt_data(scenario_prompt(environment.name, handle)) for handle in environment.scenarios.values()]
    return {"name": environment.name, "source": source, "scenarios": scenarios, **offered}


async def _offered(session: LiveSession) -> dict[str, Any]:
    from hud_core.environment.publications import nothing
    from hud_mcp.client.described import prompt_data, resource_data, tool_data

    published = session.tools.publications or nothing()
    resources = await published.list_resources()
    uris = {it.uri for it in resources}
    tools = [tool for tool in await session.list_tools() if not tool.name.startswith("_")]
    return {
        "tools": [await tool_data(tool, uris, partial(_read, published)) for tool in tools],
        "prompts": [prompt_data(prompt) for prompt in await published.list_prompts()],
        "resources": [resource_data(it.uri, it) for it in resources if not it.is_template],
        "templates": [resource_data(it.uri, it) for it in resources if it.is_template],
    }


async def _read(published: Publications, uri: str) -> Iterable[ResourceContent]:
    """Read a resource; one of the module's own that fails holds nothing: its initialize functions have not run."""
    from hud_core.errors import HudError

    try:
        return await published.read_resource(uri)
    except HudError:  # of a connection
        raise
    except Exception:  # noqa: BLE001  users' code, which may raise anything
        return ()


# --- servers ----------------------------------------------------------------------------------------------------------


async def _configured(file: Path) -> list[dict[str, Any]]:
    """Ask every server of a client's configuration; one that cannot be asked says why."""
    from hud_core.errors import HudError, describe

    found = []
    for name, options in _servers(file).items():
        try:
            found.append(await _server(name, dict(options), str(options.get("url") or options.get("command"))))
        except HudError as error:
            found.append({"name": name, "error": describe(error)})
    return found


def _servers(file: Path) -> Mapping[str, Mapping[str, Any]]:
    try:
        data = json.loads(file.read_text("utf-8"))
    except OSError as error:
        msg = f"cannot read {file}: {error.strerror}"
        raise ConfigError(msg) from error
    except ValueError as error:
        msg = f"{file} is no JSON: {error}"
        raise ConfigError(msg) from error
    servers = data.get("mcpServers", data) if isinstance(data, dict) else None
    if not isinstance(servers, dict) or not all(isinstance(options, dict) for options in servers.values()):
        msg = f'{file} must be a JSON object of servers, as in {{"mcpServers": {{"my-env": {{"url": "http://..."}}}}}}'
        raise ConfigError(msg)
    return servers


async def _server(name: str, options: dict[str, Any], source: str) -> dict[str, Any]:
    from mcp import MCPError

    from hud_mcp.client.connection import text_of
    from hud_mcp.commands.remote import RefusedError, connected

    async with connected(name, options) as connection:
        try:
            return await connection.ask(lambda client: _ask(client, source))
        except MCPError as error:
            raise RefusedError(f"{connection}: {text_of(error)}") from error


async def _ask(client: Client, source: str) -> dict[str, Any]:
    from hud_mcp.client.described import described
    from hud_mcp.commands.remote import harness_meta

    name = client.server_info.name if client.server_info else source
    return {"name": name, "source": source, **await described(client, harness_meta())}


# --- printing ---------------------------------------------------------------------------------------------------------


def _text(found: dict[str, Any], *, is_verbose: bool) -> Iterator[str]:
    if "error" in found:
        yield f"{found['name']}: {found['error']}"
        return
    yield f"{found['name']} ({found['source']})"
    for title, rows in _sections(found, is_verbose=is_verbose):
        yield f"\n{title}"
        width = max(len(name) for name, _, _ in rows)
        for name, description, schema in rows:
            yield f"  {name:{width}}  {description}".rstrip()
            if schema:
                yield "\n".join(f"      {line}" for line in schema.splitlines())


def _markdown(found: dict[str, Any], *, is_verbose: bool) -> Iterator[str]:
    yield f"# {found['name']}"
    if "error" in found:
        yield f"\n{found['error']}"
        return
    for title, rows in _sections(found, is_verbose=is_verbose):
        yield f"\n## {title.capitalize()}\n"
        for name, description, schema in rows:
            yield f"- `{name}`: {description}" if description else f"- `{name}`"
            if schema:
                yield "\n".join(f"  {line}" for line in ["```json", *schema.splitlines(), "```"])


def _sections(found: dict[str, Any], *, is_verbose: bool) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Give what there is: for each kind its rows of a name with arguments, a line of description, and a schema."""
    for kind in ("tools", "scenarios", "prompts", "resources", "templates"):
        if rows := [_row(item, is_verbose=is_verbose) for item in found[kind]]:
            yield kind, rows


def _row(item: Mapping[str, Any], *, is_verbose: bool) -> tuple[str, str, str]:
    if "uri" in item:
        return item["uri"], item["name"], ""
    first = next(iter(item["description"].strip().splitlines()), "")
    schema = json.dumps(item["inputSchema"], indent=2) if is_verbose and "inputSchema" in item else ""
    return f"{item['name']}({', '.join(_arguments(item))})", first, schema


def _arguments(item: Mapping[str, Any]) -> Iterable[str]:
    """Name the arguments; those that may be left out end in a question mark."""
    if "inputSchema" not in item:
        return [it["name"] if it["required"] else f"{it['name']}?" for it in item["arguments"]]
    schema = item["inputSchema"]
    return [name if name in schema.get("required", ()) else f"{name}?" for name in schema.get("properties", ())]
