"""hud-http works with nothing but what it declares. It has no hooks, and so no contract of the kernel's."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

import pytest

from hud_http.pool import Pool
from hud_http.route import read_url


@pytest.fixture
def url():
    """An endpoint that answers once."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


async def test_a_request_is_answered(url: str) -> None:
    origin, path, _ = read_url(url)
    pool = Pool(origin, where=url, timeout=10)
    reply = await pool.send("POST", f"{path}/", b"host: x\r\n", b"hello")
    await pool.close()
    assert (reply.status, reply.body) == (200, b"ok")


def test_importing_it_imports_no_vendor() -> None:
    code = "import sys, hud_http.pool; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"anthropic", "google", "httpx2", "openai", "pydantic", "trio"} & {*done.stdout.split()}
