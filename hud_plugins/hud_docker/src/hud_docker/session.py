"""Sessions with the server in a container: the container is started for the session, and removed with it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from hud_docker.peer import ContainerPeer, ServingContainerPeer
from hud_mcp import PeerOpener, ServedOpener, open_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from anyio import CapacityLimiter

    from hud_docker.peer import Plan
    from hud_mcp import MCPSession


def open_container_session(
    plan: Plan, *, log: Callable[..., None] | None = None, gate: CapacityLimiter | None = None
) -> AbstractAsyncContextManager[MCPSession]:
    """Start a container and connect to its server; leaving ends and removes it. Enter and leave it in one task.

    Args:
        plan: What the container is to be.
        log: Takes what it writes beside MCP, line by line; by default that goes to the rollout's log.
        gate: Is passed while it is started.

    Raises:
        BackendError: On entering: it cannot be started, ended, or does not answer; the message has its last lines.
        ConfigError: On entering: its options cannot be right.
    """
    capability = secrets.token_urlsafe(24)
    opener = _opener(plan, capability, log)
    opener.patience = "ready_timeout"
    return open_session(plan.name, opener, capability=capability, gate=gate)


def _opener(plan: Plan, capability: str, log: Callable[..., None] | None) -> PeerOpener | ServedOpener:
    shown = f"container of image {plan.image.name!r}"
    options = plan.options
    if plan.image.port is None:
        return PeerOpener(
            plan.name,
            shown,
            lambda: ContainerPeer(plan, capability),
            connect_timeout=options.ready_timeout,
            timeout=options.timeout,
            log=log,
        )
    token = secrets.token_urlsafe(24)  # of a client that is no harness: what runs in the container may come to know it
    return ServedOpener(
        plan.name,
        f"{shown}, at its port {plan.image.port}",
        lambda: ServingContainerPeer(plan, capability, token),
        headers={"Authorization": f"Bearer {token}"},
        connect_timeout=options.ready_timeout,
        timeout=options.timeout,
        log=log,
    )
