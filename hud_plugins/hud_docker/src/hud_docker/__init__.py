"""Environments in Docker containers for hud-core: build, debug, run, and leave nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core.hookspecs import hookimpl
from hud_core.providers import Command, Provider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hud_core.interfaces import Backend

__all__ = ["hud_backends", "hud_commands"]


def _docker() -> Callable[..., Backend]:
    from hud_docker.backend import DockerBackend

    return DockerBackend


@hookimpl
def hud_backends() -> Iterable[Provider[Backend]]:
    """Provide environments in containers."""
    yield Provider("docker", _docker, "environments in containers of Docker or Podman")


@hookimpl
def hud_commands() -> Iterable[Command]:
    """Provide the commands that build and check images, and that remove what was left on an engine."""
    yield Command.from_module("build", "build an environment's image and its lock file", "hud_docker.commands.build")
    yield Command.from_module("debug", "find out why an image fails, phase by phase", "hud_docker.commands.debug")
    yield Command.from_module("gc", "remove what clients that are gone left on the engine", "hud_docker.commands.gc")
    yield Command.from_module("init", "write a small whole environment to start from", "hud_docker.commands.init")
    yield Command.from_module("push", "push an environment's image to a registry", "hud_docker.commands.push")
