"""``hud dev``: serves an environment to MCP clients, and loads again what is saved; or opens one task."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from hud_core.errors import ConfigError
from hud_mcp import wire
from hud_mcp.project.dockerfiles import NEEDED, has_dockerfile, is_inside

DEFAULT_PORT = 8765


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add("module", nargs="?", metavar="MODULE", help="MODULE[:ATTR] with the environment, or a task of tasks.py")
    add("docker_args", nargs="*", metavar="-- ARG", help="arguments of `docker run` for a container stand behind a --")
    add("-w", "--watch", action="append", default=[], metavar="PATH", help="a file or folder to watch; repeatable")
    add("--stdio", action="store_true", help="speak MCP on stdin and stdout, for a client that starts this command")
    add("-p", "--port", type=int, metavar="N", help=f"the port (default: {DEFAULT_PORT}, or the next one free)")
    host = os.environ.get(wire.HOST_VARIABLE) or "127.0.0.1"
    add("--host", default=host, metavar="HOST", help=f"the address to listen at (default: {host})")
    token = os.environ.get(wire.TOKEN_VARIABLE) or None
    add("--token", default=token, metavar="TOKEN", help="what clients must present; made up for a host beyond this one")
    add(
        "--docker",
        action=argparse.BooleanOptionalAction,
        help="build the folder's image and serve a container of it (default: where the folder has a Dockerfile)",
    )
    add("--inspector", action="store_true", help="run the MCP Inspector beside the server (needs Node.js)")
    add("--interactive", action="store_true", help="call tools from this terminal while it serves")
    add("--keep-state", action="store_true", help="keep globals that are plain data when a module is loaded again")
    add("--json", action="store_true", help="print what happens as JSON, one object a line")
    add("-v", "--verbose", action="store_true", help="name the modules that are reloaded, and show whole tracebacks")


def run(arguments: argparse.Namespace) -> int:
    """Run the command until it is stopped.

    Raises:
        ConfigError: There is no such environment or task, it cannot be imported, or the port is in use.
    """
    from hud_mcp.project.targets import find_target

    _check(arguments)
    # Whoever set it knows it. What is served here does not, nor do the programs that that starts.
    arguments.known_token = os.environ.pop(wire.TOKEN_VARIABLE, None)
    folder = Path.cwd()
    is_container = _is_container(arguments, folder)
    if arguments.docker_args and not is_container:
        msg = "what stands behind -- is for `docker run`, and nothing runs in a container here; leave it out"
        raise ConfigError(msg)
    if is_container and arguments.module is None:
        from hud_mcp.commands.serving import serve_container

        return serve_container(arguments, folder)
    try:
        target = find_target(arguments.module, folder)
    except ConfigError as error:
        return _play(arguments, folder, error, is_container=is_container)
    from hud_mcp.commands.serving import serve, serve_container

    if is_container:
        return serve_container(arguments, folder)
    if arguments.docker is None and has_dockerfile(folder) and not is_inside():
        from hud_mcp.commands.console import say

        say(f"the Dockerfile here is not used; {NEEDED}")
    return serve(arguments, target)


def _is_container(arguments: argparse.Namespace, folder: Path) -> bool:
    """Whether the environment is to run in a container: where that was asked for, or there is a Dockerfile.

    In a container, it runs where it is.

    Raises:
        ConfigError: A container was asked for, and there is no Dockerfile.
    """
    if arguments.docker is False:
        return False
    if not has_dockerfile(folder):
        if arguments.docker:
            msg = f"--docker: no Dockerfile in {folder}; `hud build` writes one, or leave --docker out"
            raise ConfigError(msg)
        return False
    return arguments.docker or ("docker" in arguments.kernel.backends and not is_inside())


def _check(arguments: argparse.Namespace) -> None:
    """See that the options go together."""
    if not arguments.stdio:
        return
    for option in ("json", "port", "inspector", "interactive"):
        if getattr(arguments, option) not in (None, False):
            msg = f"--{option} does not go with --stdio: stdin and stdout are the protocol's there; leave one out"
            raise ConfigError(msg)


def _play(arguments: argparse.Namespace, folder: Path, error: ConfigError, *, is_container: bool) -> int:
    """Open a task, when what was asked for is the name of one and not of a module."""
    name, file = arguments.module, folder / "tasks.py"
    if not name or ":" in name or name.endswith(".py") or "/" in name or not file.is_file():
        raise error
    from hud_mcp.commands.play import play
    from hud_mcp.commands.serving import containers

    source = containers(arguments, folder, None) if is_container else None
    return play(name, file, arguments.kernel, source, is_verbose=arguments.verbose)
