"""Where the container engine is: what the environment says, the docker context, or the sockets that engines use."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import field, frozen

from hud_core.errors import ConfigError
from hud_docker.errors import EngineRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.tls import TLSConfig

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@frozen(kw_only=True)
class Address:
    """Where an engine is, and who says so."""

    url: str
    """Such as ``unix:///var/run/docker.sock``, ``tcp://host:2376`` or ``ssh://host``."""
    origin: str
    """Who says so, for messages: ``DOCKER_HOST``, ``the docker context 'x'`` or ``the default``."""
    tls: Any = field(default=None, repr=False)
    """The SDK's `TLSConfig`; None without TLS."""

    @property
    def socket(self) -> str | None:
        """The path of the socket; None where the engine is reached in another way."""
        return urlsplit(self.url).path if self.url.startswith(("unix:", "http+unix:")) else None

    @property
    def is_local(self) -> bool:
        """Whether the engine is reached without leaving this machine."""
        return self.url.startswith(("unix:", "http+unix:", "npipe:")) or urlsplit(self.url).hostname in _LOOPBACK

    def __str__(self) -> str:
        return self.url


def find_address() -> Address:
    """Find the engine, as the ``docker`` command does; then look for Podman's and other engines' sockets.

    ``DOCKER_HOST`` comes first, then ``DOCKER_CONTEXT``, then the current docker context.

    Raises:
        ConfigError: What the environment says is no address, or there is no such context.
        EngineRefusedError: The certificates for TLS cannot be read.
    """
    from docker.errors import DockerException

    if url := os.environ.get("DOCKER_HOST", "").strip():
        return Address(url=_checked(url), origin="DOCKER_HOST", tls=_tls_of_environment())
    name = os.environ.get("DOCKER_CONTEXT") or None
    try:
        found = _of_context(name)
    except (DockerException, OSError, ValueError, KeyError) as error:
        msg = f"the docker context {name or 'in use'!r} cannot be read: {error}; see `docker context ls`"
        raise ConfigError(msg) from error
    return found or Address(url=_default(), origin="the default")


def _of_context(name: str | None) -> Address | None:
    """Read a docker context, by default the one in use; None where that is the built-in one."""
    from docker.context import ContextAPI
    from docker.context.config import get_current_context_name

    name = name or get_current_context_name()
    if name == "default":
        return None
    context = ContextAPI.get_context(name)
    if context is None or not context.Host:
        msg = f"there is no docker context {name!r}; `docker context ls` lists them, `docker context use` changes it"
        raise ConfigError(msg)
    return Address(url=_checked(context.Host), origin=f"the docker context {name!r}", tls=context.TLSConfig)


def _checked(url: str) -> str:
    from docker.errors import DockerException
    from docker.utils import parse_host

    try:
        parse_host(url)
    except (DockerException, ValueError) as error:
        msg = f"DOCKER_HOST={url!r} is no address of an engine; give unix:///path, tcp://host:port or ssh://user@host"
        raise ConfigError(msg) from error
    return url


def _tls_of_environment() -> TLSConfig | None:
    from docker.errors import TLSParameterError
    from docker.utils import kwargs_from_env

    try:
        return kwargs_from_env().get("tls")
    except TLSParameterError as error:
        folder = os.environ.get("DOCKER_CERT_PATH") or "~/.docker"
        msg = f"TLS is asked for (DOCKER_TLS_VERIFY, DOCKER_CERT_PATH), and {folder} lacks ca.pem, cert.pem or key.pem"
        raise EngineRefusedError(msg) from error


def _default() -> str:
    """Give the first socket that is there, or else the one where it should be."""
    if sys.platform == "win32":
        return "npipe:////./pipe/docker_engine"
    sockets = list(_sockets())
    return f"unix://{next((path for path in sockets if path.exists()), sockets[0])}"


def _sockets() -> Iterator[Path]:
    """Name the sockets of Docker, of Docker Desktop, and of Podman, the machine's first and then the user's."""
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    yield Path("/var/run/docker.sock")
    yield runtime / "docker.sock"
    yield Path.home() / ".docker" / "run" / "docker.sock"
    yield runtime / "podman" / "podman.sock"
    if os.getuid() == 0:
        yield Path("/run/podman/podman.sock")
