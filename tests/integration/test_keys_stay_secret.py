"""No key reaches a log line, a trace, a run directory, the terminal or an argument list, whatever the endpoint says."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from urllib.parse import unquote

import pytest

KEY = "planted-7f3a2c91d-key"
VARIABLES = {
    "openai": "OPENAI_API_KEY",
    "openai_compatible": "OPENAI_API_KEY",
    "claude": "ANTHROPIC_API_KEY",
    "gemini": "GEMINI_API_KEY",
}
HEADER = "planted-5c1d-header"
QUERY = "planted-9be0-query"
TOLD = {
    "openai": f'completion_kwargs={{"extra_headers": {{"x-tenant": "{HEADER}"}}}}',
    "openai_compatible": f'completion_kwargs={{"extra_headers": {{"x-tenant": "{HEADER}"}}}}',
    "claude": f'extra_headers={{"x-tenant": "{HEADER}"}}',
    "gemini": f'extra_headers={{"x-tenant": "{HEADER}"}}',
}
STATUSES = (401, 429, 500, 400, 403, 529, 404, 200)

Hud = Callable[..., "subprocess.CompletedProcess[str]"]


class Tattler(BaseHTTPRequestHandler):
    """Fails in every way that endpoints fail, and repeats all that it was told, as careless gateways do."""

    protocol_version = "HTTP/1.1"
    asked = count()
    heard: list[str]

    def do_POST(self) -> None:
        told = f"{unquote(self.path)} {dict(self.headers)}"
        self.server.heard.append(told)  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status = STATUSES[next(self.asked) % len(STATUSES)]
        error = {"message": f"no: {told}", "type": "authentication_error", "code": status, "status": told}
        body = json.dumps({"type": "error", "error": error, "detail": told}).encode()
        if status == 200:
            body = body[:-3]
        self.send_response(status, "no")
        for name, value in {"content-type": "application/json", "content-length": str(len(body))}.items():
            self.send_header(name, value)
        if status in (429, 529):
            self.send_header("retry-after", "0")
        self.send_header("x-request-id", "req-1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def tattler() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Tattler)
    server.heard = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("agent", VARIABLES)
def test_no_key_leaves_the_request(agent: str, hud: Hud, folder: Path, tattler: ThreadingHTTPServer) -> None:
    url = f"http://127.0.0.1:{tattler.server_port}"
    if agent.startswith("openai"):  # the SDKs of the others have no place for a query
        url += f"?key={QUERY}"
    told = {"HUD_LOGGING": "true", VARIABLES[agent]: KEY, "PYTHONWARNINGS": "always"}
    words = ["tasks.py", agent, "-m", "model-1", "--full", "-y", "-vv", "--group-size", "3"]
    ran = hud("eval", *words, "-c", f"base_url={url}", "-c", "max_retries=1", "-c", TOLD[agent], env=told)
    shown = hud("runs", "show", "last", "--json").stdout + hud("trace", "last", "0").stdout
    heard = tattler.heard  # type: ignore[attr-defined]
    assert heard, ran.stderr
    secrets = [secret for secret in (KEY, HEADER, QUERY) if secret is not QUERY or QUERY in url]
    assert all(secret in request for request in heard for secret in secrets), "the endpoint is told, and nobody else"
    assert ran.returncode == 1, "nothing has a score"
    assert "planted" not in ran.stdout + ran.stderr + shown
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert any(path.name == "rollouts.jsonl" for path in files)
    assert [str(path) for path, content in files.items() if b"planted" in content] == []
    again = hud("eval", "--resume", "last", "-y", env=told)
    if QUERY in url:  # the run must not go on at another address
        assert again.returncode == 2
        assert "an address with a secret in it is not stored: give base_url again with -c" in again.stderr
    else:
        assert "secrets are not stored: give extra_headers.x-tenant again with -c" in again.stderr


def test_no_key_is_in_an_argument_list(hud: Hud, folder: Path, tattler: ThreadingHTTPServer) -> None:
    seen: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    seen.append((process / "cmdline").read_text(errors="replace"))
                except OSError:
                    continue

    if not Path("/proc/self/cmdline").exists():
        pytest.skip("there is no /proc to look at other processes' arguments")
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        url = f"base_url=http://127.0.0.1:{tattler.server_port}"
        words = ["tasks.py", "openai_compatible", "-m", "m", "--full", "-y", "--isolate", "-c", url]
        hud("eval", *words, env={"OPENAI_API_KEY": KEY})
    finally:
        over.set()
        watcher.join()
    assert any("tasks.py" in line for line in seen), "the command itself was seen"
    assert not [line for line in seen if KEY in line]
    assert os.environ.get("OPENAI_API_KEY") != KEY
