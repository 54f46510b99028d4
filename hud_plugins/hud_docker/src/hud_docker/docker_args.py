"""Arguments of ``docker run``, as users of `connect_image` write them, as options. No ``docker`` is run with them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hud_core.errors import closest
from hud_core.settings import read_env_file
from hud_docker.values import WrongValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_SHORT = {
    "-e": "--env", "-v": "--volume", "-m": "--memory", "-u": "--user", "-w": "--workdir", "-p": "--publish",
    "-l": "--label", "--net": "--network", "-i": "--interactive", "-c": "--cpu-shares", "-h": "--hostname",
    "-t": "--tty", "-d": "--detach", "-P": "--publish-all",
}  # fmt: skip
_TEXTS = {
    "--cpus": "cpus", "--memory": "memory", "--pids-limit": "pids", "--shm-size": "shm_size", "--gpus": "gpus",
    "--network": "network", "--user": "user", "--workdir": "workdir", "--platform": "platform", "--pull": "pull",
}  # fmt: skip
"""Flags with a value that are an option."""
_LISTS = {
    "--volume": "mounts", "--tmpfs": "tmpfs", "--device": "devices", "--publish": "ports", "--cap-add": "cap_add",
    "--cap-drop": "cap_drop",
}  # fmt: skip
"""Flags that are given again and again, and together are an option."""
_FLAGS = {"--read-only": "read_only", "--init": "init"}
_IMPLIED = frozenset({"--rm", "--interactive"})
"""What every container of ours is."""
_PAIRED = frozenset({"--env", "--env-file", "--label", "--add-host", "--mount", "--entrypoint", "--security-opt"})
_INSTEAD = {
    "--name": "each rollout has a container of its own; leave it out",
    "--tty": "MCP needs plain streams; leave it out",
    "--detach": "containers are run for as long as a rollout; leave it out",
    "--privileged": "it would hand over the machine; cap_add=['...'] and devices=['...'] give single rights",
    "--pid": "a container's processes are its own; leave it out",
    "--ipc": "a container's memory is its own; shm_size='1g' gives it more",
    "--publish-all": "give ports=['8080'] for each port that is needed",
    "--runtime": "gpus='all' gives GPUs",
    "--restart": "a container that ends is an error of its rollout, which is tried again",
    "--memory-swap": "memory='4g' is the limit, and there is no swap beside it",
    "--cpu-shares": "cpus=2 limits the cores",
    "--hostname": "hosts={'name': '127.0.0.1'} lets a container find itself",
    "--network-alias": "network='name' joins a network",
    "--link": "network='name' joins a network on which containers find each other",
}


def parse_docker_args(args: Sequence[str]) -> dict[str, Any]:
    """Give the options that arguments of ``docker run`` stand for, not yet read.

    Raises:
        WrongValueError: One is no argument, or one that has no option; the message says what to use instead.
    """
    found: dict[str, Any] = {}
    for flag, value in _flags(args):
        _take(found, flag, value)
    return found


def _flags(args: Sequence[str]) -> Iterator[tuple[str, Callable[[], str] | bool]]:
    """Give each flag by its long name, with what gives its value, or with what it says by itself."""
    rest = iter(args)
    for written in rest:
        flag, equals, value = written.partition("=") if written.startswith("--") else _short(written)
        flag = _SHORT.get(flag, flag)
        if flag in _FLAGS or flag in _IMPLIED:
            yield flag, value.lower() not in ("false", "0", "f")
        elif equals:
            yield flag, lambda value=value: value  # type: ignore[misc]  # the default binds it now
        else:
            yield flag, lambda flag=flag: _following(flag, rest)  # type: ignore[misc]


def _short(written: str) -> tuple[str, str, str]:
    """Split ``-eA=b``, ``-e=A=b`` and ``-it``."""
    if not written.startswith("-") or len(written) < 2:  # noqa: PLR2004  a dash and a letter
        word = written.partition("=")[0]
        problem = f"are flags of `docker run`, and {word!r} is none; the image's own command is command=[...]"
        raise WrongValueError("docker_args", problem, None)
    flag, rest = written[:2], written[2:]
    if flag == "-i" and rest:  # joined to others, as in -it and -id
        return _short(f"-{rest}")
    return flag, "=" if rest else "", rest.removeprefix("=")


def _following(flag: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None:
        raise WrongValueError("docker_args", f"end in {flag}, which needs a value", None)
    return value


def _take(found: dict[str, Any], flag: str, value: Callable[[], str] | bool) -> None:  # noqa: FBT001  a flag's
    if isinstance(value, bool):
        if flag in _FLAGS:
            found[_FLAGS[flag]] = value
    elif flag in _TEXTS:
        found[_TEXTS[flag]] = value()
    elif flag in _LISTS:
        found.setdefault(_LISTS[flag], []).append(value())
    elif flag in _PAIRED:
        _take_special(found, flag, value())
    else:
        raise WrongValueError("docker_args", f"have {flag}, {_reason(flag)}", None)


def _reason(flag: str) -> str:
    if flag in _INSTEAD:
        return f"which is not offered: {_INSTEAD[flag]}"
    known = [*_TEXTS, *_LISTS, *_FLAGS, *_PAIRED]
    return f"which is not known{closest(flag, known)}; there are {', '.join(sorted(known))}"


def _take_special(found: dict[str, Any], flag: str, value: str) -> None:
    if flag == "--env":
        found.setdefault("env", {}).update(_variable(value))
    elif flag == "--env-file":
        found.setdefault("env", {}).update(_file(value))
    elif flag == "--label":
        name, _, text = value.partition("=")
        found.setdefault("labels", {})[name] = text
    elif flag == "--add-host":
        name, _, address = value.partition("=" if "=" in value else ":")
        found.setdefault("hosts", {})[name] = address
    elif flag == "--entrypoint":
        found["entrypoint"] = [value] if value else []
    elif flag == "--security-opt":
        found["new_privileges"] = _may_gain(value)
    else:
        option, item = _mount(value)
        found.setdefault(option, []).append(item)


def _variable(value: str) -> dict[str, str]:
    """Read ``A=b``, or ``A`` for the variable of this process; one that is not set is left out, as Docker does."""
    name, equals, text = value.partition("=")
    if equals:
        return {name: text}
    return {name: os.environ[name]} if name in os.environ else {}


def _file(value: str) -> dict[str, str]:
    from pathlib import Path

    file = Path(value)
    if not file.is_file():
        raise WrongValueError("docker_args", f"have --env-file {value}, and there is no such file", None)
    return read_env_file(file)


def _may_gain(value: str) -> bool:
    name, _, text = value.replace(":", "=").partition("=")
    if name != "no-new-privileges":
        problem = f"have --security-opt {name}, which is not offered; new_privileges=True lets sudo work"
        raise WrongValueError("docker_args", problem, None)
    return text.lower() == "false"


def _mount(value: str) -> tuple[str, str]:
    """Read ``type=bind,source=/a,target=/b,readonly``."""
    parts = dict(part.partition("=")[::2] for part in value.split(","))
    source, target = parts.get("source") or parts.get("src") or "", ""
    for name in ("target", "destination", "dst"):
        target = target or parts.get(name, "")
    if parts.get("type") == "tmpfs":
        return "tmpfs", target
    if not source or not target or parts.get("type", "volume") not in ("bind", "volume"):
        problem = f"have --mount {value}, which must be type=bind|volume|tmpfs,source=...,target=/..."
        raise WrongValueError("docker_args", problem, None)
    is_fixed = any(parts.get(name, "false").lower() in ("", "true", "1") for name in ("readonly", "ro"))
    return "mounts", f"{source}:{target}{':ro' if is_fixed else ''}"
