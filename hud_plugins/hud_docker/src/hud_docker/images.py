"""Images: whether the engine has one, how to get it, and what it says about the server in it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from attrs import frozen

from hud_docker.errors import EngineError, ImageMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hud_docker.engine import Engine
    from hud_docker.options import ContainerOptions

TRANSPORT = "org.hud.transport"
"""The label of an image that says ``stdio`` or ``http``."""
PORT = "org.hud.port"
"""The label of an image that says on which port it serves MCP over HTTP."""
DEFAULT_PORT = 8765
"""Where ``hud dev`` serves HTTP."""
_LISTENING = ("--port", "-p", "--host")
_PORT = re.compile(r"(?:--port|-p)[ =](\d+)")


@frozen(kw_only=True)
class Image:
    """What an image says."""

    id: str
    """Names exactly this image, whatever its tag will name later."""
    name: str
    """What it was asked for by."""
    command: tuple[str, ...]
    """What a container of it runs: entrypoint and arguments, as the options leave them."""
    arguments: tuple[str, ...]
    """What comes after the entrypoint."""
    port: int | None
    """The port on which its server speaks MCP over HTTP; None for stdio."""


async def find_image(engine: Engine, options: ContainerOptions, say: Callable[[str], None] = lambda _: None) -> Image:
    """Find an image, fetch it where that is asked for, and read what it says.

    Args:
        engine: Where to look.
        options: Name it, and say when it is fetched.
        say: Told when fetching begins and ends.

    Raises:
        ImageMissingError: The engine does not have it, and no registry gave it.
        EngineError: The engine failed.
    """
    return described(await inspected(engine, options, say), options)


async def inspected(engine: Engine, options: ContainerOptions, say: Callable[[str], None]) -> dict[str, Any]:
    """Give what the engine says about an image; arguments and errors as for `find_image`."""
    if options.pull == "always":
        await _pull(engine, options, say)
    try:
        found = await engine.read(engine.client.inspect_image, options.image)
    except ImageMissingError as error:
        if options.pull == "never":
            msg = f"the engine has no image {options.image!r}, and pull='never'; build it with `hud build`"
            raise ImageMissingError(msg) from error
        await _pull(engine, options, say)
        found = await engine.read(engine.client.inspect_image, options.image)
    return dict(found)


async def _pull(engine: Engine, options: ContainerOptions, say: Callable[[str], None]) -> None:
    say(f"fetching the image {options.image}")
    name = options.image
    tag = None if "@" in name or ":" in name.rpartition("/")[2] else "latest"  # without one the SDK means all of them
    try:
        await engine.read(_drain, engine, name, tag, options.platform)
    except EngineError as error:
        msg = f"no image {name!r} here, and it cannot be fetched: {error}; build it with `hud build`, or check its name"
        raise type(error)(msg) from error
    say(f"fetched the image {options.image}")


def _drain(engine: Engine, name: str, tag: str | None, platform: str | None) -> None:
    """Fetch an image, to the end of what the engine says while it does so."""
    from docker.errors import APIError, ImageNotFound

    for line in engine.client.pull(name, tag=tag, platform=platform, stream=True, decode=True):
        if said := line.get("error"):
            kind = ImageNotFound if "not found" in said or "denied" in said else APIError
            raise kind(f"no such image: {said}" if kind is ImageNotFound else said)


def described(found: Mapping[str, Any], options: ContainerOptions) -> Image:
    """Read what the engine says about an image.

    How MCP is spoken is what options or labels say. Without them it is stdio, but where the image runs ``hud dev``
    without ``--stdio``: that is added to a command line, which spares the port; a shell's script serves HTTP.
    """
    config = found.get("Config") or {}
    entrypoint = options.entrypoint if options.entrypoint is not None else tuple(config.get("Entrypoint") or ())
    arguments = options.command
    if arguments is None:  # an entrypoint of the options takes the image's command away, as in `docker run`
        arguments = () if options.entrypoint is not None else tuple(config.get("Cmd") or ())
    command = (*entrypoint, *arguments)
    is_http = _is_http(options, config)
    if is_http is None and (is_http := _serves_http(command)) and ("hud", "dev") in _pairs(_names(command)):
        is_http, arguments = False, _over_stdio(arguments)
    port = _port(options, config, command) if is_http else None
    return Image(id=found["Id"], name=options.image, arguments=arguments, command=(*entrypoint, *arguments), port=port)


def _is_http(options: ContainerOptions, config: Mapping[str, Any]) -> bool | None:
    if options.is_http is not None:
        return options.is_http
    label = _label(config, TRANSPORT)
    return None if label is None else label == "http"


def _port(options: ContainerOptions, config: Mapping[str, Any], command: tuple[str, ...]) -> int:
    if options.port is not None:
        return options.port
    if (said := _label(config, PORT) or "").isdigit():
        return int(said)
    exposed = [int(port.partition("/")[0]) for port in config.get("ExposedPorts") or {} if port.endswith("/tcp")]
    found = _PORT.search(" ".join(command))
    return int(found[1]) if found else exposed[0] if len(exposed) == 1 else DEFAULT_PORT


def _label(config: Mapping[str, Any], name: str) -> str | None:
    value = (config.get("Labels") or {}).get(name)
    return value if isinstance(value, str) else None


def _serves_http(command: tuple[str, ...]) -> bool:
    words = " ".join(command).split()
    is_stdio = any(word.startswith("--stdio") for word in words)  # in a shell's script, a semicolon may follow
    return ("hud", "dev") in _pairs(_names(words)) and not is_stdio


def _names(words: Sequence[str]) -> list[str]:
    return [word.rpartition("/")[2] for word in words]


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    return list(pairwise(words))


def _over_stdio(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Have ``hud dev`` speak over stdio: it listens nowhere then."""
    left: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in _LISTENING:
            next(words, None)
        elif not word.startswith(tuple(f"{flag}=" for flag in _LISTENING)):
            left.append(word)
    return (*left, "--stdio")
