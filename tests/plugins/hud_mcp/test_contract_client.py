from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from free_ports import free_port

from hud_core.model.task import EnvRef
from hud_core.testing import BackendContract
from hud_core.testing.environments import contract
from hud_mcp.client.backend import MCPBackend

# On trio, the SDK's HTTP client leaves a generator of its own behind, half-read; nothing else warns here.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*(EventSource|ByteStream):pytest.PytestUnraisableExceptionWarning"),
]
SERVER = Path(__file__).parent / "servers" / "contract.py"


class _Contract(BackendContract):
    __test__ = False

    @pytest.fixture
    def backend(self):
        return MCPBackend()


class TestInProcess(_Contract):
    __test__ = True

    @pytest.fixture
    def ref(self):
        return EnvRef("contract", "mcp", {"object": contract})


class TestStdio(_Contract):
    __test__ = True
    isolates_module_state = True

    @pytest.fixture
    def ref(self):
        return EnvRef("contract", "mcp", {"command": sys.executable, "args": [str(SERVER), "stdio"]})


@pytest.fixture(scope="module")
def url():
    port = free_port()
    process = _start(port)
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    process.wait()


class TestHttp(_Contract):
    __test__ = True

    @pytest.fixture
    def ref(self, url):
        return EnvRef("contract", "mcp", {"url": url})

    async def test_a_killed_environment_is_a_backend_error(self, opened, ref):
        pytest.skip("the server is somebody else's and is not started again; see test_client_connections.py")


def _start(port: int) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, str(SERVER), str(port)])
    while True:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        assert process.poll() is None, "the server did not start"
        time.sleep(0.02)
