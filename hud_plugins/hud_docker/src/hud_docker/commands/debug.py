"""``hud debug``: takes an image through the phases of a rollout, and says what is wrong where it stops."""

from __future__ import annotations

import argparse
import json
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hud_core.errors import ConfigError
from hud_mcp.commands.console import emit, plain, say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import anyio

    from hud_docker.debugging.report import Examination, Phase

INTERRUPTED = 130
"""What `hud` exits with after Ctrl-C, or SIGTERM."""
_EPILOG = """\
phases:
  1  the image is there, or can be built
  2  a container starts, and its MCP server answers initialize
  3  tools and scenarios are listed
  4  a scenario is set up
  5  it is graded, and a second container at the same time shares nothing with the first

The exit code is 0, or 10 and the number of the phase that failed: 11 to 15."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog, parser.formatter_class = _EPILOG, argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add(
        "target", nargs="?", default=".", metavar="IMAGE|DIR", help="an image, or a folder to build (default: this one)"
    )
    add("docker_args", nargs="*", metavar="-- ARG", help="arguments of `docker run` stand behind a --")
    add("-p", "--max-phase", type=int, choices=range(1, 6), default=5, metavar="N", help="stop after this phase (1-5)")
    add("-e", "--env", action="append", default=[], metavar="K[=V]", help="a variable for the container; repeatable")
    add("-b", "--build", action=argparse.BooleanOptionalAction, help="build the folder's image first (default: yes)")
    add("--platform", metavar="OS/ARCH", help="build and run for this platform")
    add("-s", "--scenario", metavar="NAME", help="the scenario to try (default: one that needs the fewest arguments)")
    add("-a", "--args", metavar="JSON", help="its arguments (default: made up by their types)")
    add("-A", "--answer", default="", metavar="TEXT", help="what to answer (default: nothing)")
    add("-t", "--timeout", type=float, default=60.0, metavar="SECONDS", help="for each phase but the first (60)")
    add("--json", action="store_true", help="print what came of each phase as one JSON document")
    add("-v", "--verbose", action="store_true", help="say what each phase tries, and what containers write meanwhile")


def run(arguments: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        ConfigError: An option is wrong.
    """
    import anyio

    from hud_docker.debugging.examine import EXIT
    from hud_docker.debugging.report import as_data, summary

    examination: Examination | None = anyio.run(partial(_examined, arguments))
    if examination is None:
        say("interrupted")
        return INTERRUPTED
    if arguments.json:
        emit(json.dumps(as_data(examination), indent=2, ensure_ascii=False))
    else:
        emit(f"\n{summary(examination)}")
    return 0 if examination.failed is None else EXIT + examination.failed.number


async def _examined(arguments: argparse.Namespace) -> Examination | None:
    """Run the phases; None where a signal ended them, and their containers with them."""
    import secrets

    import anyio

    from hud_core.job.backends import backends_of
    from hud_core.kernel import Kernel
    from hud_docker.debugging.examine import Examiner, Wanted
    from hud_docker.engine import Engine
    from hud_docker.options import read_options

    folder = _folder(arguments)
    wanted = Wanted(
        image=arguments.target if folder is None else _tag(folder),
        options=_options(arguments, folder),
        max_phase=arguments.max_phase,
        timeout=arguments.timeout,
        scenario=arguments.scenario,
        arguments=_arguments(arguments.args),
        answer=arguments.answer,
        marker=secrets.token_hex(8),
    )
    read_options(wanted.ref)  # what was asked for, before anything is built for it
    tell = (lambda _: None) if arguments.json else partial(_print, arguments.verbose)
    log = say if arguments.verbose else lambda _: None
    build = None
    if folder is not None and arguments.build is not False:
        build = partial(_build, folder, wanted.image, arguments.platform)
    examination: Examination | None = None
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cancel_when_told, signals, tasks.cancel_scope)
            async with backends_of(getattr(arguments, "kernel", None) or Kernel()) as backends:
                examination = await Examiner(wanted, tell, log).run(Engine.connect, backends, build)
            tasks.cancel_scope.cancel()
    return examination


async def _cancel_when_told(signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
    await anext(signals)
    scope.cancel()


def _folder(arguments: argparse.Namespace) -> Path | None:
    """Give the folder that is to be built; None for an image.

    Raises:
        ConfigError: It has no Dockerfile, or is not there; or an image is to be built, and has no folder.
    """
    from hud_docker.building.context import find_dockerfile

    path = Path(arguments.target)
    if not path.is_dir():
        if arguments.build:
            msg = f"--build needs the folder that {arguments.target!r} is built from, as in `hud debug . --build`"
            raise ConfigError(msg)
        if arguments.target.startswith((".", "/")):
            raise ConfigError(f"there is no folder {arguments.target!r}; name one that is there, or an image")
        return None
    if find_dockerfile(path) is None:
        msg = f"no Dockerfile in {path.resolve()}; name an image, or let `hud build` write one"
        raise ConfigError(msg)
    return path.resolve()


def _tag(folder: Path) -> str:
    from hud_docker.building.names import base_name

    return f"{base_name(folder)}:dev"


def _options(arguments: argparse.Namespace, folder: Path | None) -> dict[str, Any]:
    """Give the options of the containers: what was asked for, and the folder's variables."""
    import os

    variables = {}
    for given in arguments.env:
        name, equals, value = given.partition("=")
        if not equals and name not in os.environ:
            msg = f"-e {name}: there is no such environment variable; set it, or write -e {name}=VALUE"
            raise ConfigError(msg)
        variables[name] = value if equals else os.environ[name]
    file = (folder or Path()) / ".env"
    return {
        "env": variables,
        "env_file": str(file.resolve()) if file.is_file() else None,
        "docker_args": arguments.docker_args or None,
        "platform": arguments.platform,
        "pull": "never",
    }


def _arguments(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        msg = f"--args is no JSON: {error}"
        raise ConfigError(msg) from None
    if not isinstance(found, dict):
        msg = f'--args must be a JSON object, as in --args \'{{"product": "laptop"}}\', got {text}'
        raise ConfigError(msg)
    return found


async def _build(folder: Path, tag: str, platform: str | None) -> None:
    from hud_docker.building.buildkit import find_builder
    from hud_docker.building.context import find_dockerfile
    from hud_docker.building.request import BuildRequest
    from hud_docker.engine import Engine

    engine = await Engine.connect()
    try:
        dockerfile = find_dockerfile(folder) or "Dockerfile"
        request = BuildRequest(directory=folder, dockerfile=dockerfile, tag=tag, platform=platform)
        await (await find_builder(engine)).build(request, say)
    finally:
        await engine.aclose()


def _print(is_verbose: bool, phase: Phase) -> None:  # noqa: FBT001  bound by `partial`
    from hud_docker.debugging.report import as_text

    emit(plain("\n".join(as_text(phase, is_verbose=is_verbose))))
