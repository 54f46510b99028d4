"""A container's options as the engine's API takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hud_docker.options import CAPABILITIES
from hud_docker.values import split_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hud_docker.options import ContainerOptions

_WRITABLE = ("/tmp", "/run")  # noqa: S108  in the container
"""What is in memory where all else is read-only: programs keep sockets and scratch files there."""


def engine_config(
    options: ContainerOptions,
    *,
    image: str,
    env: Mapping[str, str],
    labels: Mapping[str, str],
    command: Sequence[str] | None = None,
    port: int | None = None,
) -> dict[str, Any]:
    """Give what creates a container.

    Args:
        options: What it is to be.
        image: The image, by its id.
        env: Its variables.
        labels: Its owner's.
        command: Its command; by default that of the options.
        port: Its MCP server's port, which is published on a free one of 127.0.0.1.
    """
    ports = [split_port("ports", item) for item in options.ports]
    if port is not None:
        ports.append(("127.0.0.1", 0, f"{port}/tcp"))
    config: dict[str, Any] = {
        "Image": image,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Cmd": _listed(command if command is not None else options.command),
        "Entrypoint": _listed(options.entrypoint),
        "User": options.user,
        "WorkingDir": options.workdir,
        "Labels": {**options.labels, **labels},
        "Tty": False,
        "OpenStdin": True,
        "StdinOnce": True,  # the end of what we send is the end of its stdin
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "ExposedPorts": {inside: {} for _, _, inside in ports},
        "HostConfig": {
            **_rights(options),
            **_limits(options),
            **_files(options),
            "NetworkMode": options.network,
            "ExtraHosts": [f"{name}:{address}" for name, address in options.hosts.items()],
            "PortBindings": _bindings(ports),
            # Its stdout is the protocol, images and all: whoever is attached has it, and no file of the engine.
            "LogConfig": {"Type": "none", "Config": {}},
        },
    }
    return {name: value for name, value in config.items() if value is not None}


def _listed(words: Sequence[str] | None) -> list[str] | None:
    return None if words is None else list(words)


def _rights(options: ContainerOptions) -> dict[str, Any]:
    dropped = {*options.cap_drop}
    kept = [] if "ALL" in dropped else [name for name in CAPABILITIES if name not in dropped]
    return {
        "CapDrop": ["ALL"],
        "CapAdd": [*kept, *(name for name in options.cap_add if name not in kept)],
        "SecurityOpt": [] if options.new_privileges else ["no-new-privileges"],
        "Init": options.init,
    }


def _limits(options: ContainerOptions) -> dict[str, Any]:
    limits = {
        "Memory": options.memory,
        "MemorySwap": options.memory,  # as much as memory alone: none beside it
        "PidsLimit": options.pids,
        "NanoCpus": None if options.cpus is None else round(options.cpus * 1e9),
        "ShmSize": options.shm_size,
        "DeviceRequests": None if options.gpus is None else [_gpus(options.gpus)],
    }
    return {name: value for name, value in limits.items() if value is not None}


def _gpus(asked: str) -> dict[str, Any]:
    request: dict[str, Any] = {"Driver": "", "Capabilities": [["gpu"]]}
    if asked.startswith("device="):
        return {**request, "DeviceIDs": asked.removeprefix("device=").split(",")}
    return {**request, "Count": -1 if asked == "all" else int(asked)}


def _files(options: ContainerOptions) -> dict[str, Any]:
    tmpfs = dict(item.partition(":")[::2] for item in options.tmpfs)
    if options.read_only:
        tmpfs = dict.fromkeys(_WRITABLE, "") | tmpfs
    relabelled = [item for item in options.mounts if {"z", "Z"} & {*_modes(item)}]
    return {
        "ReadonlyRootfs": options.read_only,
        "Tmpfs": tmpfs,
        "Binds": relabelled,  # only these take SELinux's labels; and they make folders that are not there
        "Mounts": [_mount(item) for item in options.mounts if item not in relabelled],
        "Devices": [_device(item) for item in options.devices],
    }


def _modes(mount: str) -> list[str]:
    return mount.split(":")[2:][0].split(",") if mount.count(":") > 1 else []


def _mount(item: str) -> dict[str, Any]:
    source, target = item.split(":")[:2]
    kind = "bind" if source.startswith("/") else "volume"
    return {"Type": kind, "Source": source, "Target": target, "ReadOnly": "ro" in _modes(item)}


def _device(item: str) -> dict[str, str]:
    parts = item.split(":")
    inside = parts[1] if len(parts) > 1 and parts[1].startswith("/") else parts[0]
    rights = parts[-1] if len(parts) > 1 and not parts[-1].startswith("/") else "rwm"
    return {"PathOnHost": parts[0], "PathInContainer": inside, "CgroupPermissions": rights}


def _bindings(ports: Sequence[tuple[str, int, str]]) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for address, port, inside in ports:
        bindings.setdefault(inside, []).append({"HostIp": address, "HostPort": str(port or "")})
    return bindings
