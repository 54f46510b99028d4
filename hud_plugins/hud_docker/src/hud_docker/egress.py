"""Containers that may reach some hosts and nothing else: an internal network whose only way out is a proxy of ours."""

from __future__ import annotations

import ipaddress
import secrets
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import SocketAttribute

from hud_core.errors import ConfigError
from hud_core.log import logger
from hud_docker.errors import EngineError, MissingError
from hud_docker.proxy import ForwardProxy, read_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

    from anyio.abc import SocketStream, TaskGroup
    from anyio.streams.stapled import MultiListener

    from hud_docker.engine import Engine
    from hud_docker.ownership import Owner

__all__ = ["Egress"]

_NOWHERE = "127.0.0.1"
"""The DNS server of such containers: none. Older engines would ask others for them: a way out, for data too."""
_SOON = ["timeout:1", "attempts:1"]
"""A name that cannot be resolved is to be known as such at once."""


class Egress:
    """A network of containers that may reach some hosts. `open` makes one; `aclose` comes after its last container.

    Each container reaches the proxy on the network's own address, and neither other containers nor anything else, but
    for what this machine itself serves on all of its addresses.
    """

    def __init__(self, engine: Engine, network: str, listener: MultiListener[SocketStream]) -> None:
        self.engine = engine
        self.network = network
        self._listener = listener
        self._serving = anyio.CancelScope()
        self._ended = anyio.Event()

    @classmethod
    async def open(
        cls,
        engine: Engine,
        owner: Owner,
        hosts: Iterable[str],
        tasks: TaskGroup,
        *,
        on_refusal: Callable[[str, str], None] | None = None,
    ) -> Self:
        """Make the network, and serve the proxy.

        Args:
            engine: Where containers run: on this machine.
            owner: Whose network it is.
            hosts: Names of hosts, with a port or for 80 and 443; ``*.pypi.org`` is every name below it.
            tasks: Where the proxy runs.
            on_refusal: Called with a container's address and what it was not let to, as ``host:port``.

        Raises:
            ConfigError: The engine is elsewhere, or a host is none.
            EngineError: The engine refuses.
        """
        allowed = [read_host(host) for host in hosts]
        if not engine.is_local:
            raise ConfigError(_elsewhere(engine))
        network = f"hud-egress-{owner.id}-{secrets.token_hex(4)}"
        await engine.call(
            engine.client.create_network, network, driver="bridge", internal=True, labels=owner.labels("egress"),
            options={"com.docker.network.bridge.enable_icc": "false"},
        )  # fmt: skip
        try:
            gateway, subnet = _addresses(await engine.read(engine.client.inspect_network, network))
            egress = cls(engine, network, await _listen(engine, gateway))
        except BaseException:
            with anyio.CancelScope(shield=True):
                await _remove(engine, network)
            raise
        proxy = ForwardProxy(allowed, clients=_members(gateway, subnet), on_refusal=on_refusal or _log_refusal)
        tasks.start_soon(egress._serve, proxy, name="egress proxy")
        return egress

    async def _serve(self, proxy: ForwardProxy) -> None:
        try:
            async with self._listener:
                with self._serving:
                    await self._listener.serve(proxy.serve)
        finally:
            self._ended.set()

    def configured(self, config: dict[str, Any]) -> dict[str, Any]:
        """Give what creates a container, with what makes it use this network, the proxy, and no names of its own.

        Args:
            config: As the engine's API takes it.
        """
        host = {**config.get("HostConfig", {}), "NetworkMode": self.network, "Dns": [_NOWHERE], "DnsOptions": _SOON}
        given = {item.partition("=")[0] for item in config.get("Env", ())}
        added = [f"{name}={value}" for name, value in self._variables().items() if name not in given]
        return {**config, "Env": [*config.get("Env", ()), *added], "HostConfig": host}

    def _variables(self) -> dict[str, str]:
        """Give the variables by which programs know a proxy; some read them in capitals, some do not."""
        where = self._listener.extra(SocketAttribute.local_address)  # noqa: S610  not Django's
        names = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), f"http://{where[0]}:{where[1]}")
        names["NO_PROXY"] = "localhost,127.0.0.1,::1"
        return names | {name.lower(): value for name, value in names.items()}

    async def aclose(self) -> None:
        """End the proxy, and remove the network; what cannot be removed is left to ``hud gc``."""
        self._serving.cancel()
        await self._ended.wait()
        await _remove(self.engine, self.network)


def _addresses(found: dict[str, Any]) -> tuple[str, ipaddress.IPv4Network | ipaddress.IPv6Network]:
    (config, *_) = found["IPAM"]["Config"]
    if not config.get("Gateway"):
        msg = (
            "egress: this engine gives a network without a way out no address on this machine, where the proxy would "
            "be (Podman gives none); use network='none', or Docker"
        )
        raise ConfigError(msg)
    return config["Gateway"], ipaddress.ip_network(config["Subnet"])


def _members(gateway: str, subnet: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Callable[[str], bool]:
    """Tell the network's containers from this machine, which has its gateway's address, and from everybody else."""
    return lambda address: address != gateway and ipaddress.ip_address(address) in subnet


async def _listen(engine: Engine, gateway: str) -> MultiListener[SocketStream]:
    try:
        return await anyio.create_tcp_listener(local_host=gateway)
    except OSError as error:  # a rootless engine, or one in a virtual machine: its networks are not this machine's
        raise ConfigError(_elsewhere(engine)) from error


def _elsewhere(engine: Engine) -> str:
    return (
        f"egress: the engine at {engine.address} does not run containers on a network of this machine, where the "
        "proxy would be; use network='none', or a network of the engine with rules of its own"
    )


async def _remove(engine: Engine, network: str) -> None:
    try:
        await engine.call(engine.client.remove_network, network)
    except MissingError:
        pass  # swept already
    except EngineError as error:
        logger().warning(f"network {network} is not removed: {error}; `hud gc` will do it")


def _log_refusal(address: str, target: str) -> None:
    logger().warning(f"egress: a container at {address} may not reach {target}")
