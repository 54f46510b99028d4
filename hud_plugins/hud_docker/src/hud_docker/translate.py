"""What the docker SDK raises, as this plugin's errors: what failed where, and the fix."""

from __future__ import annotations

import os
import re
import ssl
import sys
from pathlib import Path
from socket import gaierror
from typing import TYPE_CHECKING, TypeVar

from hud_docker.errors import (
    ConflictError,
    EngineError,
    EngineRefusedError,
    EngineUnreachableError,
    ImageMissingError,
    MissingError,
    NoSpaceError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.errors import APIError

    from hud_docker.address import Address

E = TypeVar("E", bound=BaseException)

_NO_SPACE = re.compile(r"no space left|disk quota exceeded|not enough space", re.IGNORECASE)
_NO_IMAGE = re.compile(
    r"no such image|manifest.*(unknown|not found)|repository does not exist|pull access denied|image not known"
    r"|not found: does not exist", re.IGNORECASE,
)  # fmt: skip
_FIXES = (
    (
        re.compile(r"does not match the (specified|detected) platform|no matching manifest", re.IGNORECASE),
        "build or pull it for this platform, or choose one with the option platform (`--platform`)",
    ),
    (
        re.compile("could not select device driver"),
        "for GPUs, install the NVIDIA Container Toolkit where the engine is, or leave the option gpus out",
    ),
    (
        re.compile("container-init binary not found"),  # Podman's package only recommends it
        "install catatonit where the engine is, or use the option init=False",
    ),
)


def translated(error: Exception, address: Address) -> EngineError | None:
    """Say an exception of the SDK as an error of this plugin; None where the engine has no part in it."""
    from docker.errors import APIError, DockerException
    from requests import JSONDecodeError, RequestException
    from urllib3.exceptions import HTTPError

    if isinstance(error, APIError):
        return _answered(error, address)
    if isinstance(error, JSONDecodeError):
        return EngineRefusedError(f"what answers at {address} is no container engine: it sends no JSON")
    if isinstance(error, (DockerException, RequestException, HTTPError, OSError)):
        return _unanswered(error, address)
    return None


# --- the engine said no -----------------------------------------------------------------------------------------------


def _answered(error: APIError, address: Address) -> EngineError:
    said = str(error.explanation or error).strip()
    status = error.status_code or 0
    if _NO_SPACE.search(said):
        freed = "`hud gc` and `docker system df` show what could go"
        return NoSpaceError(f"the engine at {address} has no space left on its disk: {said}; {freed}")
    for pattern, fix in _FIXES:
        if pattern.search(said):
            return EngineRefusedError(f"{said}; {fix}")
    if _NO_IMAGE.search(said):
        return ImageMissingError(f"{said}; build it with `hud build`, or pull it, and check its name")
    if status == 404:  # noqa: PLR2004
        return MissingError(f"the engine at {address}: {said}")
    if status == 409:  # noqa: PLR2004
        return ConflictError(f"the engine at {address}: {said}")
    kind = EngineRefusedError if 400 <= status < 500 else EngineError  # noqa: PLR2004
    return kind(f"the engine at {address} refused: {said}" if kind is EngineRefusedError else f"{address}: {said}")


# --- nobody said anything ---------------------------------------------------------------------------------------------


def _unanswered(error: Exception, address: Address) -> EngineError:
    if refused := _find(error, PermissionError):
        return EngineRefusedError(_no_permission(address, refused))
    if untrusted := _find(error, ssl.SSLError):
        return EngineRefusedError(_no_trust(address, untrusted))
    if _find(error, gaierror):
        msg = f"{address.origin} names the engine {address}, and no host of that name is known; correct or unset it"
        return EngineUnreachableError(msg)
    if _find(error, TimeoutError) or "timed out" in str(error).lower():
        return EngineError(f"the engine at {address} does not answer in time; see whether it is overloaded, or hangs")
    if _find(error, FileNotFoundError) or _find(error, ConnectionRefusedError):
        return EngineUnreachableError(_not_running(address))
    return EngineUnreachableError(f"the engine at {address} went away: {error}; see whether it is running")


def _find(error: BaseException, kind: type[E]) -> E | None:
    return next((one for one in _causes(error) if isinstance(one, kind)), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an exception and what led to it; requests and urllib3 hide that in arguments and attributes."""
    todo: list[object] = [error]
    seen: set[int] = set()
    while todo:
        one = todo.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            todo += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]


def _not_running(address: Address) -> str:
    if address.origin != "the default":
        return f"no engine answers at {address}, which {address.origin} names; start it, or correct or unset that"
    return f"no container engine answers at {address}; {_how_to_start()}"


def _how_to_start() -> str:
    if sys.platform == "darwin":
        return "start Docker Desktop (`open -a Docker`), or set DOCKER_HOST to where another engine listens"
    if sys.platform == "win32":
        return "start Docker Desktop, and wait until it says that its engine is running"
    return (
        "start it (`sudo systemctl start docker`; Podman: `systemctl --user start podman.socket`), install one "
        "(`apt install docker.io`), or set DOCKER_HOST to where it listens"
    )


def _no_permission(address: Address, error: PermissionError) -> str:
    if address.socket is None:
        return f"no permission to reach the engine at {address}: {error}"
    group = _group_of(address.socket)
    return (
        f"no permission on the engine's socket {address.socket}: it belongs to the group {group!r}; join it with "
        f"`sudo usermod -aG {group} $USER` and log in again, or use a rootless engine"
    )


def _group_of(socket: str) -> str:
    try:
        return Path(socket).group()
    except (OSError, KeyError, NotImplementedError):  # a folder that may not be read; a group without a name
        return "docker"


def _no_trust(address: Address, error: ssl.SSLError) -> str:
    where = os.environ.get("DOCKER_CERT_PATH") or "~/.docker"
    return (
        f"the engine at {address} is not trusted, or does not trust us: {error.reason or error}; check ca.pem, "
        f"cert.pem and key.pem in {where} (DOCKER_CERT_PATH), and that TLS is spoken on this port (DOCKER_TLS_VERIFY)"
    )
