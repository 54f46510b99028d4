"""What a container is to be: the options of an `EnvRef` of the backend ``docker``, read strictly; safe by default."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from attrs import field, frozen

from hud_core.errors import ConfigError, closest
from hud_docker import values

if TYPE_CHECKING:
    from hud_core.model.task import EnvRef

Pull = Literal["missing", "never", "always"]
Transport = Literal["stdio", "http"]

CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")
"""What a container keeps: root in it may own, read and signal what is the container's, become another user, as ``apt``,
PostgreSQL and ``su`` do, and listen on low ports. Not: raw packets, device nodes, other roots, rights by files."""
MEMORY = 4 << 30
"""Bytes of memory that a container may use, unless told otherwise."""
PIDS = 1024
"""Processes and threads that a container may have, unless told otherwise."""


@frozen(kw_only=True)
class ContainerOptions:
    """What one container is to be. `read_options` makes one of what users write."""

    image: str
    env: Mapping[str, str] = field(factory=dict, repr=False)
    """Variables; ``${VAR}`` in their values is replaced when a container is created."""
    env_file: str | bool = False
    """A file of ``KEY=VALUE`` lines whose variables count less than `env`; True for that of the folder worked in."""
    mounts: tuple[str, ...] = ()
    """As ``docker run -v`` takes them: ``source:target[:ro]``; a source is an absolute path or a volume's name."""
    tmpfs: tuple[str, ...] = ()
    """Folders in memory, as ``/tmp`` or ``/tmp:size=64m``."""
    cpus: float | None = None
    """Cores that it may use; all of them by default."""
    memory: int | None = MEMORY
    """Bytes of memory that it may use, without swap; None for all there is."""
    pids: int | None = PIDS
    """Processes and threads that it may have; None for any number."""
    shm_size: int | None = None
    """Bytes of ``/dev/shm``, of which browsers need much; 64 MiB by default."""
    gpus: str | None = None
    """``all``, a number, or ``device=0,2``."""
    devices: tuple[str, ...] = ()
    """Devices of the machine, as ``/dev/kvm``."""
    network: str | None = None
    """``none``, or a network's name; the engine's own by default."""
    egress: tuple[str, ...] | None = None
    """The hosts that it may reach, and nothing else; not together with `network`."""
    hosts: Mapping[str, str] = field(factory=dict)
    """Names of hosts that it finds at these addresses."""
    ports: tuple[str, ...] = ()
    """Ports to publish beside that of MCP, as ``docker run -p`` takes them; on 127.0.0.1 where no address is given."""
    read_only: bool = False
    """Whether its files cannot be changed, but in mounts and in ``/tmp`` and ``/run``, which are in memory then."""
    user: str | None = None
    """Who it runs as; the image says so by default."""
    workdir: str | None = None
    command: tuple[str, ...] | None = None
    """What it runs; the image says so by default."""
    entrypoint: tuple[str, ...] | None = None
    platform: str | None = None
    """As ``linux/amd64``, for images that exist for several."""
    pull: Pull = "missing"
    """When the image is fetched from its registry."""
    transport: Transport | None = None
    """How MCP is spoken to it; the image says so by default."""
    port: int | None = None
    """The port on which it serves MCP over HTTP; implies that transport."""
    path: str = "/mcp"
    """Where it serves MCP over HTTP."""
    ready_timeout: float = 120.0
    """Seconds until it must have answered the handshake, its start included."""
    timeout: float = 600.0
    """Seconds that one request may take."""
    stop_timeout: float = 5.0
    """Seconds that it has to end once it is asked to, by the end of its stdin and by SIGTERM; then it is killed."""
    cap_add: tuple[str, ...] = ()
    """Capabilities beside `CAPABILITIES`."""
    cap_drop: tuple[str, ...] = ()
    """Capabilities of those that it is not to have; ``ALL`` for none at all."""
    new_privileges: bool = False
    """Whether programs in it may gain privileges that their caller does not have, as ``sudo`` does."""
    init: bool = True
    """Whether a small init process ends orphans and passes signals on."""
    labels: Mapping[str, str] = field(factory=dict)
    pool: int | None = None
    """Containers that are kept ready ahead of need; by default as many as rollouts run at once, 0 for none."""

    @property
    def is_http(self) -> bool | None:
        """Whether MCP is spoken over HTTP; None where the image says so."""
        if self.port is not None:
            return True
        return None if self.transport is None else self.transport == "http"


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "image": values.text,
    "env": values.texts,
    "env_file": values.text_or_flag,
    "mounts": values.mounts,
    "tmpfs": values.paths,
    "cpus": values.amount,
    "memory": values.size,
    "pids": values.count,
    "shm_size": values.size,
    "gpus": values.gpus,
    "devices": values.paths,
    "network": values.text,
    "egress": values.listed,
    "hosts": values.texts,
    "ports": values.ports,
    "read_only": values.flag,
    "user": values.text,
    "workdir": values.path,
    "command": values.command,
    "entrypoint": values.command,
    "platform": values.text,
    "pull": values.one_of(get_args(Pull)),
    "transport": values.one_of(get_args(Transport)),
    "port": values.port,
    "path": values.path,
    "ready_timeout": values.seconds,
    "timeout": values.seconds,
    "stop_timeout": values.seconds,
    "cap_add": values.capabilities,
    "cap_drop": values.capabilities,
    "new_privileges": values.flag,
    "init": values.flag,
    "labels": values.texts,
    "pool": values.pool,
}
_OTHER_NAMES = {"env_vars": "env", "docker_args": "docker_args"}
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")


def read_options(ref: EnvRef) -> ContainerOptions:
    """Read the options of a reference. ``docker_args`` count less than options, ``env_vars`` more than ``env``.

    Raises:
        ConfigError: An option is unknown or wrong, or two do not go together; the message names it and the fix.
    """
    where = f"environment {ref.name!r} (docker)"
    given = {name: value for name, value in ref.options.items() if value is not None}
    known = [*_READERS, *_OTHER_NAMES]
    for name in given:
        if name not in known:
            msg = f"{where}: unknown option {name!r}{closest(name, known)}; there are {', '.join(known)}"
            raise ConfigError(msg)
    try:
        return _checked(_merged(given))
    except values.WrongValueError as error:
        msg = f"{where}: {error}"
        raise ConfigError(msg) from None


def _merged(given: dict[str, Any]) -> ContainerOptions:
    """Put together what is said in several ways."""
    from hud_docker.docker_args import parse_docker_args

    written = {name: _READERS[name](name, value) for name, value in given.items() if name in _READERS}
    parsed = parse_docker_args(values.listed("docker_args", given.get("docker_args") or []))
    parsed = {name: _READERS[name](name, value) for name, value in parsed.items()}
    for name in ("mounts", "tmpfs", "devices", "ports", "cap_add", "cap_drop"):
        if name in parsed:
            written[name] = (*parsed.pop(name), *written.get(name, ()))
    for name in ("hosts", "labels", "env"):
        written[name] = {**parsed.pop(name, {}), **written.get(name, {})}
    written["env"] |= values.texts("env_vars", given.get("env_vars") or {})
    merged = {**parsed, **written}
    if not merged.get("image"):
        raise values.WrongValueError("image", "is needed: the name of an image, as 'my-env:latest'", None)
    return ContainerOptions(**merged)


def _checked(options: ContainerOptions) -> ContainerOptions:
    """See that options go together."""
    if not _IMAGE.fullmatch(options.image):
        raise values.WrongValueError("image", "must be the name of an image, as 'my-env:latest'", options.image)
    if options.transport == "stdio" and options.port is not None:
        raise values.WrongValueError("port", "is for HTTP: leave out transport='stdio', or the port", options.port)
    if options.egress is not None and options.network is not None:
        raise values.WrongValueError("egress", "makes a network of its own: leave out network", options.egress)
    if options.network == "host":
        msg = "must not be the machine's own: name a network, or leave it out"
        raise values.WrongValueError("network", msg, options.network)
    if options.is_http and (options.network == "none" or options.egress is not None):
        raise values.WrongValueError(
            "transport", "must be 'stdio' where network='none' or egress= leaves no port", "http"
        )
    return options
