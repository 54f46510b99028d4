"""What is found in an image: its server is started once, asked for all that it offers, and removed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs

from hud_docker.images import find_image
from hud_docker.peer import Plan
from hud_docker.session import open_container_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from hud_docker.engine import Engine
    from hud_docker.options import ContainerOptions
    from hud_docker.ownership import Owner


@attrs.frozen(kw_only=True)
class Introspection:
    """What an image's server offers.

    Args:
        offered: Its tools, scenarios, prompts and resources, as `hud analyze --format json` prints them.
        initialize_ms: Milliseconds from the container's creation to the server's answer to the handshake.
    """

    offered: dict[str, Any]
    initialize_ms: int

    def lock_parts(self) -> dict[str, Any]:
        """Give what the lock file says of it."""
        offered = self.offered
        scenarios = [_scenario(one) for one in offered["scenarios"]]
        hubs = {tool["name"]: tool["internalTools"] for tool in offered["tools"] if "internalTools" in tool}
        setups = [{**one, "description": f"[Setup] {one['description']}".strip()} for one in offered["scenarios"]]
        return {
            "tools": offered["tools"],
            **({"hubTools": hubs} if hubs else {}),
            # Readers of the format find scenarios among the prompts and resources, too.
            "prompts": [*setups, *offered["prompts"]],
            "resources": [*map(_evaluation, scenarios), *map(_resource, offered["resources"])],
            "scenarios": scenarios,
        }


async def introspect(
    engine: Engine, owner: Owner, name: str, options: ContainerOptions, log: Callable[..., None]
) -> Introspection:
    """Run an image's server once, and ask it for what it offers.

    Args:
        engine: Where the image is.
        owner: Who owns the container meanwhile.
        name: What messages call the environment.
        options: Name the image, and say how it runs.
        log: Is given what the container writes.

    Raises:
        BackendError: It does not start, or does not answer as an MCP server; the message has its last lines.
    """
    # Messages call it by the name that it will have, not by the one that it has for the while.
    image = attrs.evolve(await find_image(engine, options), name=name)
    plan = Plan(engine=engine, owner=owner, name=name, options=options, image=image, kind="build")
    began = time.monotonic()
    async with open_container_session(plan, log=log) as session:
        took = time.monotonic() - began
        return Introspection(offered=await session.describe(), initialize_ms=round(took * 1000))


def _scenario(found: dict[str, Any]) -> dict[str, Any]:
    environment, _, name = found["name"].rpartition(":")
    return {
        "id": found["name"],
        "env": environment,
        "name": name,
        "setup_description": found["description"],
        "arguments": found["arguments"],
        "has_setup_prompt": True,
        "has_evaluate_resource": True,
        **{option: found[option] for option in ("exclude_tools", "exclude_sources") if option in found},
    }


def _evaluation(scenario: dict[str, Any]) -> dict[str, Any]:
    description = f"[Evaluate] {scenario['setup_description']}".strip()
    return {
        "uri": scenario["id"],
        "name": scenario["name"],
        "description": description,
        "mime_type": "application/json",
    }


def _resource(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "uri": found["uri"],
        "name": found["name"],
        "description": found["description"],
        "mime_type": found["mimeType"],
    }
