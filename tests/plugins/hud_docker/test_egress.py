"""The proxy lets its clients reach the hosts of its list and nothing else; a container has no other way out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import owning
import pytest
from anyio.abc import SocketAttribute, SocketStream
from hypothesis import given
from hypothesis import strategies as st

from hud_core.errors import ConfigError
from hud_docker.address import Address
from hud_docker.egress import Egress
from hud_docker.engine import Engine
from hud_docker.ownership import Owner
from hud_docker.proxy import MOST_HEAD, ForwardProxy, read_host
from hud_docker.sweeping import leave

Handler = Callable[[SocketStream], Any]


@asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Serve on a free port."""
    listener = await anyio.create_tcp_listener(local_host=host)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handler)
        yield listener.extra(SocketAttribute.local_address)[1]
        tasks.cancel_scope.cancel()


async def repeat(stream: SocketStream) -> None:
    """Send back what comes, once."""
    async with stream:
        data = await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))


class Asking:
    """A proxy for some hosts, and what it refused."""

    def __init__(self, *hosts: str, clients: Callable[[str], bool] = lambda address: True) -> None:
        self.refused: list[tuple[str, str]] = []
        self.proxy = ForwardProxy(map(read_host, hosts), clients, lambda *what: self.refused.append(what))

    async def ask(self, *messages: bytes) -> bytes:
        """Send messages, wait for an answer after each, and give all that came."""
        said = b""
        async with serving(self.proxy.serve) as port, await anyio.connect_tcp("127.0.0.1", port) as stream:
            try:
                for message in messages:
                    await stream.send(message)
                    said += await stream.receive()
                while True:
                    said += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return said


async def test_a_host_of_the_list_is_reached_by_connect() -> None:
    async with serving(repeat) as port:
        asking = Asking(f"127.0.0.1:{port}")
        said = await asking.ask(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), b"\x16\x03\x01 hello")
    assert said.startswith(b"HTTP/1.1 200 Connection established\r\n\r\n")
    assert said.endswith(b"\x16\x03\x01 hello")
    assert asking.refused == []


async def test_a_host_of_the_list_is_reached_by_plain_http() -> None:
    async with serving(repeat) as port:
        asking = Asking(f"127.0.0.1:{port}")
        said = await asking.ask(
            f"POST http://127.0.0.1:{port}/a/b?c=d HTTP/1.1\r\nHost: it\r\nProxy-Connection: keep-alive\r\n"
            "Proxy-Authorization: Basic secret\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi".encode()
        )
    passed = said.partition(b"\r\n\r\n")[2]
    assert passed == b"POST /a/b?c=d HTTP/1.1\r\nHost: it\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"


@pytest.mark.parametrize("request_line", ["CONNECT evil.example:443", "GET http://evil.example/x"])
async def test_another_host_is_refused_and_told_of(request_line: str) -> None:
    asking = Asking("pypi.org", "*.good.example")
    said = await asking.ask(f"{request_line} HTTP/1.1\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    (refused,) = asking.refused
    assert refused in {("127.0.0.1", "evil.example:443"), ("127.0.0.1", "evil.example:80")}


async def test_a_name_that_leads_to_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns a domain of the list decides what its names resolve to."""

    async def resolve(*_: Any, **__: Any) -> list[Any]:
        return [(2, 1, 6, "", ("127.0.0.1", 80)), (2, 1, 6, "", ("169.254.169.254", 80))]

    monkeypatch.setattr(anyio, "getaddrinfo", resolve)
    asking = Asking("*.good.example")
    assert b"403 Forbidden" in await asking.ask(b"CONNECT a.good.example:443 HTTP/1.1\r\n\r\n")
    assert asking.refused == [("127.0.0.1", "a.good.example:443")]


async def test_strangers_get_no_answer() -> None:
    asking = Asking("pypi.org", clients=lambda address: False)
    assert await asking.ask(b"CONNECT pypi.org:443 HTTP/1.1\r\n\r\n") == b""


async def test_a_host_that_is_not_there_is_a_bad_gateway() -> None:
    said = await Asking("127.0.0.1:1").ask(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET ftp://pypi.org/ HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT pypi.org HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT [::1:443 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT pypi.org:99999 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT user@pypi.org@evil.example:443 HTTP/1.1\r\n\r\n", b"403"),
        (b"CONNECT pypi.org:22 HTTP/1.1\r\n\r\n", b"403"),
        (b"x" * (MOST_HEAD + 1), b"431"),
    ],
)
async def test_what_is_no_request_is_refused(message: bytes, status: bytes) -> None:
    assert (await Asking("pypi.org").ask(message)).startswith(b"HTTP/1.1 " + status)


# --- the list ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "name", "port", "is_meant"),
    [
        ("pypi.org", "pypi.org", 443, True),
        ("pypi.org", "PyPI.org.", 80, True),
        ("pypi.org", "files.pypi.org", 443, False),
        ("pypi.org", "pypi.org", 8080, False),
        ("pypi.org", "notpypi.org", 443, False),
        ("*.pypi.org", "files.pypi.org", 443, True),
        ("*.pypi.org", "a.b.pypi.org", 443, True),
        ("*.pypi.org", "pypi.org", 443, False),
        ("*.pypi.org", "evilpypi.org", 443, False),
        ("db.internal:5432", "db.internal", 5432, True),
        ("db.internal:5432", "db.internal", 443, False),
        ("[::1]:99", "::1", 99, True),
    ],
)
def test_an_entry_means_its_own_names_and_ports(entry: str, name: str, port: int, is_meant: bool) -> None:
    assert read_host(entry).matches(name, port) is is_meant


@pytest.mark.parametrize("entry", ["", "*", "https://pypi.org", "pypi.org/simple", "pypi.org:", "a:0", "a:70000"])
def test_what_is_no_host_is_a_mistake(entry: str) -> None:
    with pytest.raises(ConfigError, match="egress: "):
        read_host(entry)


@given(st.from_regex(r"[a-z0-9-]{1,9}(\.[a-z0-9-]{1,9}){1,3}", fullmatch=True))
def test_a_domain_never_opens_another(name: str) -> None:
    assert not read_host("*.pypi.org").matches(name, 443) or name.endswith(".pypi.org")


# --- containers -------------------------------------------------------------------------------------------------------

TRIES = """
import json, os, socket, urllib.request
def outcome(function, *args, **options):
    try: return str(function(*args, **options))
    except Exception as error: return f"{type(error).__name__}: {error}"
get = lambda url: urllib.request.urlopen(url, timeout=60).read().decode()
print(json.dumps({
    "allowed": outcome(get, os.environ["ALLOWED"]),
    "refused": outcome(get, os.environ["REFUSED"]),
    "name": outcome(socket.getaddrinfo, "pypi.org", 443),
    "outside": outcome(socket.create_connection, ("1.1.1.1", 443), timeout=1),
    "neighbour": outcome(socket.create_connection, (os.environ["NEIGHBOUR"], 9999), timeout=1),
}))
"""


async def answer(stream: SocketStream) -> None:
    async with stream:
        await stream.receive()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


async def test_a_container_has_no_other_way_out(engine: Engine) -> None:
    owner, client, refused = Owner(), engine.client, list[str]()

    async def started(egress: Egress, command: list[str], *env: str) -> dict[str, Any]:
        config = {"Image": owning.IMAGE, "Cmd": command, "Env": [*env], "Labels": owner.labels("rollout")}
        made = await engine.call(client.create_container_from_config, egress.configured(config))
        await engine.call(client.start, made["Id"])
        return await engine.call(client.inspect_container, made["Id"])

    await owner.begin(engine)
    async with serving(answer, "127.0.0.2") as port, anyio.create_task_group() as tasks:
        hosts = [f"127.0.0.2:{port}"]
        egress = await Egress.open(engine, owner, hosts, tasks, on_refusal=lambda _, what: refused.append(what))
        neighbour = await started(egress, ["python3", "-m", "http.server", "9999"])
        address = neighbour["NetworkSettings"]["Networks"][egress.network]["IPAddress"]
        urls = [f"ALLOWED=http://127.0.0.2:{port}/", "REFUSED=http://pypi.org/", f"NEIGHBOUR={address}"]
        container = await started(egress, ["python3", "-c", TRIES], *urls)
        await engine.read(client.wait, container["Id"])
        said = await engine.read(client.logs, container["Id"])
        for it in (container, neighbour):
            await engine.call(client.remove_container, it["Id"], v=True, force=True)
        await egress.aclose()
        await leave(engine, owner)
    tried = json.loads(said)
    assert tried.pop("allowed") == "hello"
    assert tried.pop("refused") == "HTTPError: HTTP Error 403: Forbidden"
    assert refused == ["pypi.org:80"]
    assert tried.pop("name").startswith("gaierror: ")
    # Newer engines give such a network no route at all.
    assert tried.pop("outside") in ("TimeoutError: timed out", "OSError: [Errno 101] Network is unreachable")
    assert tried == {"neighbour": "TimeoutError: timed out"}
    assert not await engine.read(client.networks, names=[egress.network])


async def test_an_engine_elsewhere_is_a_mistake() -> None:
    far = Engine(None, Address(url="tcp://far.example:2376", origin="DOCKER_HOST"))  # type: ignore[arg-type]
    async with anyio.create_task_group() as tasks:
        with pytest.raises(ConfigError, match="does not run containers on a network of this machine"):
            await Egress.open(far, Owner(), ["pypi.org"], tasks)
