"""Other people's clients against `hud dev`, over HTTP and over stdio: each tells what it sees, all see the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
HANDSHAKE, MODERN = "2025-11-25", "2026-07-28"
SEEN = {
    "tools": ["add", "boom", "picture", "reload"],
    "sum": "5",
    "error": [True, "tool 'boom' failed: ValueError: no such letter"],
    "picture": ["image/png", PIXEL],
    "prompts": ["letters:counts", "letters:flag", "letters:number", "letters:say", "letters:still", "spell"],
    "prompt": "Say 007",
    "resource": "Count every letter.",
    "told": True,
    "reward": 1.0,
}
# The client, how it is run with a target, and the protocol that it must end up with; None where it does not tell.
CLIENTS: dict[str, tuple[Callable[..., list[str]], str | None]] = {
    "mcp-1.30": (lambda peers, to: peers.python("mcp1", "clients/mcp1.py", to), HANDSHAKE),
    "mcp-2.3-auto": (lambda peers, to: peers.python("fastmcp4", "clients/mcp2.py", to, "auto"), MODERN),
    "mcp-2.3-legacy": (lambda peers, to: peers.python("fastmcp4", "clients/mcp2.py", to, "legacy"), HANDSHAKE),
    "fastmcp-3": (lambda peers, to: peers.python("fastmcp3", "clients/fastmcp_any.py", to), None),
    "fastmcp-4": (lambda peers, to: peers.python("fastmcp4", "clients/fastmcp_any.py", to), None),
    "typescript-sdk-1": (lambda peers, to: peers.node("ts.mjs", to, "sdk"), HANDSHAKE),
    "typescript-client-2-legacy": (lambda peers, to: peers.node("ts.mjs", to, "legacy"), HANDSHAKE),
    "typescript-client-2-auto": (lambda peers, to: peers.node("ts.mjs", to, "auto"), MODERN),
}
# fastmcp's clients have no way of their own to wait for word of a change.
NOT_ASKED = {("fastmcp-3", "told"), ("fastmcp-4", "told")}


@pytest.fixture(scope="module")
def url(peers: Any, hud_dev: list[str]) -> Iterator[str]:
    with peers.serving(*hud_dev, "--port", "{port}") as url:
        yield url


@pytest.fixture(params=["http", "stdio"])
def target(request: pytest.FixtureRequest, hud_dev: list[str]) -> dict[str, Any]:
    """Our `hud dev`, as clients are told of it."""
    if request.param == "http":
        return {"url": request.getfixturevalue("url")}
    return {"command": hud_dev[0], "args": [*hud_dev[1:], "--stdio"]}


@pytest.mark.parametrize("client", CLIENTS)
def test_clients_of_others_see_what_we_serve(client: str, target: dict[str, Any], peers: Any) -> None:
    command, protocol = CLIENTS[client]
    report = peers.report(command(peers, json.dumps(target)))
    assert report.pop("protocol", None) == protocol
    assert report == {name: value for name, value in SEEN.items() if (client, name) not in NOT_ASKED}


INSPECTORS = {
    "inspector-0.15": "node_modules/@modelcontextprotocol/inspector-cli/build/cli.js",
    "inspector-2": "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js",
}


def inspect(peers: Any, line: str, target: dict[str, Any], *method: str) -> Any:
    """Ask the inspector's command line, which asks the server."""
    to = [target["url"], "--transport", "http"] if "url" in target else [target["command"], *target["args"]]
    ran = peers.run(peers.node(INSPECTORS[line], "--cli", *to, *method))
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("line", INSPECTORS)
def test_the_inspector_sees_what_we_serve(line: str, target: dict[str, Any], peers: Any) -> None:
    tools = inspect(peers, line, target, "--method", "tools/list")["tools"]
    assert sorted(tool["name"] for tool in tools) == SEEN["tools"]

    call = ["--method", "tools/call", "--tool-name", "add", "--tool-arg", "a=2", "--tool-arg", "b=3"]
    assert inspect(peers, line, target, *call)["content"][0]["text"] == SEEN["sum"]

    read = ["--method", "resources/read", "--uri", "letters://rules"]
    assert inspect(peers, line, target, *read)["contents"][0]["text"] == SEEN["resource"]

    prompt = ["--method", "prompts/get", "--prompt-name", "letters:say", "--prompt-args", "expected=007"]
    assert inspect(peers, line, target, *prompt)["messages"][0]["content"]["text"] == SEEN["prompt"]
