"""Says how clients reach a server, with what to paste where, and what happens to it."""

from __future__ import annotations

import base64
import json
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import quote

from attrs import field, frozen

from hud_core.errors import describe
from hud_core.model.events import LogLine
from hud_core.trace import Recorder
from hud_mcp.commands.console import emit, say
from hud_mcp.commands.dev import DEFAULT_PORT
from hud_mcp.project.mistakes import account_of, whole_account_of

if TYPE_CHECKING:
    from hud_core.model.events import Event

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


def stdio_introduction(name: str, module: str) -> str:
    """Say to a person who has started a server on stdio by hand how a client does."""
    program = shutil.which("hud")
    start, *words = [program] if program else [sys.executable, "-m", "hud"]
    words += ["dev", module, "--stdio"]
    return "\n".join([
        f"{name} speaks MCP on stdin and stdout, for a client that starts it:",
        "",
        f"any client:   {json.dumps({name: {'command': start, 'args': words}})}",
        f"Claude Code:  claude mcp add {name} -- {shlex.join([start, *words])}",
        "",
        "Ctrl-C stops",
    ])  # fmt: skip


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


class Voice:
    """Says what happens: to people on stderr, or to a program as JSON, one object a line."""

    def __init__(self, stream: TextIO | None, *, is_verbose: bool) -> None:
        self._stream = stream
        self._is_verbose = is_verbose

    def _event(self, event: str, **values: Any) -> None:
        emit(json.dumps({"event": event, **values}), self._stream)

    def introduce(self, address: Address, watched: str) -> None:
        """Say where the server is."""
        if self._stream is not None:
            self._event("serving", url=address.url, name=address.name, config=address.config)
        else:
            say(introduction(address, watched))

    def moved(self, port: int) -> None:
        """Say that the usual port was taken."""
        say(f"port {DEFAULT_PORT} is in use, so this is port {port}; --port asks for one")

    def reloaded(self, modules: list[str], seconds: float, *, is_copied: bool = False) -> None:
        """Say what was imported again; nothing, where what failed is as it was before.

        What is only copied into a container is imported there, which then says so itself.
        """
        if self._stream is not None:
            self._event("reloaded", modules=modules, seconds=round(seconds, 3))
        elif modules:
            done = "brought into the container" if is_copied else "reloaded"
            say(f"{done} in {seconds * 1000:.0f} ms" + (f": {', '.join(modules)}" if self._is_verbose else ""))
        else:
            say("works again, as it was before")

    def raised(self, what: str, error: BaseException) -> None:
        """Say what a tool or a scenario raised, and where."""
        if self._stream is not None:
            self._event("raised", what=what, error=describe(error), where=account_of(error))
            return
        lines = whole_account_of(error) if self._is_verbose else account_of(error)
        say("\n  ".join([f"{what} failed: {describe(error)}", *lines]))

    def failed(self, text: str, *, serves_on: bool = True) -> None:
        """Say why what was saved is not served, or why nothing is."""
        if self._stream is not None:
            self._event("failed", error=text)
        else:
            say(f"error: {text}" + ("\n  still serving what was there before" if serves_on else ""))

    def recorder(self) -> Recorder:
        """Make a recorder that says each line of log at once, and keeps nothing: what connected servers write."""
        recorder = Recorder("hud dev")
        recorder.add = self._logged
        return recorder

    def _logged(self, event: Event) -> None:
        if not isinstance(event, LogLine):
            return
        if self._stream is not None:
            self._event("log", source=event.source, text=event.text)
        else:
            say(f"{event.source} | {event.text}" if event.source else event.text)
