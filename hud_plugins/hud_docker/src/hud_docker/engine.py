"""One container engine's door: finds it, and runs the docker SDK's blocking calls in threads."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from hud_docker.address import find_address
from hud_docker.errors import EngineRefusedError
from hud_docker.translate import translated

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from docker import APIClient

    from hud_docker.address import Address

__all__ = ["MOST_CALLS", "TIMEOUT", "Engine"]

T = TypeVar("T")

MOST_CALLS = 64
"""How many calls to one engine are under way at once; the others wait."""
TIMEOUT = 60.0
"""Seconds without a byte after which a call to the engine has failed."""
_OLDEST = (1, 40)
"""The API of Docker 19.03, and of Podman 3; Docker 20.10 has 1.41."""


class Engine:
    """A container engine that answers: Docker, or what speaks its API. `connect` makes one.

    Args:
        client: The docker SDK's low-level client.
        address: Where the engine is.
    """

    def __init__(self, client: APIClient, address: Address) -> None:
        self.client = client
        self.address = address
        self._limiter = anyio.CapacityLimiter(MOST_CALLS)

    @classmethod
    async def connect(cls, address: Address | None = None, *, timeout: float = TIMEOUT) -> Self:  # noqa: ASYNC109  of each later call
        """Find the engine and agree on a version of its API.

        Args:
            address: Where it is; by default where `find_address` finds it.
            timeout: Seconds without a byte after which a call has failed.

        Raises:
            EngineUnreachableError: Nobody answers; the message says what to start, or what to change.
            EngineRefusedError: No permission, no trust, or no version of the API that both speak.
            ConfigError: What the environment says is no address.
        """
        connecting = partial(_connect, address, timeout)
        client, found = await anyio.to_thread.run_sync(connecting, abandon_on_cancel=True)
        return cls(client, found)

    @property
    def is_local(self) -> bool:
        """Whether the engine is reached without leaving this machine."""
        return self.address.is_local

    async def call(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a blocking call of the SDK in a thread.

        A cancelled caller gets its result all the same, and is cancelled at its next ``await``: so what a call has
        created is always known, and ``try/finally`` around what follows removes it.

        Raises:
            EngineError: As its class and message say; see `hud_docker.errors`.
        """
        return await self._run(partial(function, *args, **options), is_abandoned=False)

    async def read(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run a blocking call that creates nothing: cancelling does not wait for it, and drops what it gives.

        Raises:
            EngineError: As its class and message say; see `hud_docker.errors`.
        """
        return await self._run(partial(function, *args, **options), is_abandoned=True)

    async def _run(self, function: Callable[[], T], *, is_abandoned: bool) -> T:
        try:
            return await anyio.to_thread.run_sync(function, abandon_on_cancel=is_abandoned, limiter=self._limiter)
        except Exception as error:
            if (said := translated(error, self.address)) is None:
                raise  # a mistake of ours, not the engine's
            raise said from error

    async def info(self) -> dict[str, Any]:
        """Ask what the engine is: its ``ID``, ``SystemTime``, ``ServerVersion`` and much more."""
        found: dict[str, Any] = await self.read(self.client.info)
        return found

    async def aclose(self) -> None:
        """Close the connections that are kept."""
        self.client.close()


def _connect(address: Address | None, timeout: float) -> tuple[APIClient, Address]:
    """Make a client that speaks the newest API that both sides know."""
    from docker.constants import DEFAULT_DOCKER_API_VERSION

    found = address or find_address()
    try:
        _knock(found, timeout)
        client = _client(found, DEFAULT_DOCKER_API_VERSION, timeout)
        said = client.version(api_version=False)
    except Exception as error:
        if (explained := translated(error, found)) is None:
            raise  # a mistake of ours, not the engine's
        raise explained from error
    version = _agreed(said, DEFAULT_DOCKER_API_VERSION, found)
    return (client if version == DEFAULT_DOCKER_API_VERSION else _client(found, version, timeout)), found


def _knock(address: Address, timeout: float) -> None:
    """See whether somebody listens on a socket: the SDK leaves one of its own open when nobody does."""
    if address.socket is not None:
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(timeout)
            knocking.connect(address.socket)


def _client(address: Address, version: str, timeout: float) -> APIClient:
    import docker
    from requests.adapters import HTTPAdapter

    # The SDK passes the number on to sockets and requests, which take fractions; its type says int.
    options: dict[str, Any] = {"version": version, "timeout": timeout, "tls": address.tls or False}
    client = docker.APIClient(base_url=address.url, max_pool_size=MOST_CALLS, **options)
    if address.socket is not None:
        client.trust_env = False  # proxies and ~/.netrc are nothing to a socket, and read for each call
    else:
        for scheme in ("http://", "https://"):
            client.mount(scheme, HTTPAdapter(pool_maxsize=MOST_CALLS))
    return client


def _agreed(said: dict[str, Any], ours: str, address: Address) -> str:
    """Choose the newest version of the API that both sides know.

    Raises:
        EngineRefusedError: There is none.
    """
    newest, oldest = str(said.get("ApiVersion")), str(said.get("MinAPIVersion") or "1.24")
    try:
        versions = [_number(newest), _number(oldest), _number(ours)]
    except ValueError:
        msg = f"what answers at {address} is no container engine: its API has the version {newest!r}"
        raise EngineRefusedError(msg) from None
    if versions[0] < _OLDEST:
        msg = (
            f"the engine at {address} is too old: its API is {newest}, at least {'.'.join(map(str, _OLDEST))} is "
            "needed; update it to Docker 20.10 or newer"
        )
        raise EngineRefusedError(msg)
    if versions[1] > versions[2]:
        msg = (
            f"the engine at {address} wants an API of {oldest} or newer, and the docker SDK here speaks {ours}; "
            "update it: pip install -U docker"
        )
        raise EngineRefusedError(msg)
    return newest if versions[0] < versions[2] else ours


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
