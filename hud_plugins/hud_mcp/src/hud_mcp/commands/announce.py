"""Says how clients reach a server: its address, and what to paste where."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

from attrs import field, frozen

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@frozen
class Address:
    """Where a server listens, and what it must be told."""

    name: str
    host: str
    port: int
    token: str | None = field(default=None, repr=False)

    @property
    def reachable(self) -> str:
        """The host to connect to, where the server listens at every address of this machine."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  connected to, not bound

    @property
    def url(self) -> str:
        """The address that a client on this machine connects to."""
        if self.host in {*LOOPBACK[:2], "0.0.0.0", "::"}:  # noqa: S104  compared with, not bound
            return f"http://localhost:{self.port}/mcp"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/mcp"

    @property
    def server(self) -> dict[str, Any]:
        """The server as client configurations have it."""
        headers = {"headers": {"Authorization": f"Bearer {self.token}"}} if self.token else {}
        return {"url": self.url, **headers}

    @property
    def config(self) -> dict[str, Any]:
        """The piece of a client's configuration."""
        return {self.name: self.server}

    @property
    def claude(self) -> str:
        """The command that adds the server to Claude Code."""
        header = f' --header "Authorization: Bearer {self.token}"' if self.token else ""
        return f"claude mcp add --transport http {self.name} {self.url}{header}"

    @property
    def cursor(self) -> str:
        """The link that adds the server to Cursor."""
        config = base64.b64encode(json.dumps(self.server).encode()).decode()
        return f"cursor://anysphere.cursor-deeplink/mcp/install?name={quote(self.name)}&config={quote(config)}"


def introduction(address: Address, watched: str) -> str:
    """Say everything that a person needs to connect."""
    return "\n".join([
        f"{address.name} is served at {address.url}",
        "",
        f"any client:   {json.dumps(address.config)}",
        f"Claude Code:  {address.claude}",
        f"Cursor:       {address.cursor}",
        "",
        f"watching {watched}; Ctrl-C stops",
    ])  # fmt: skip
