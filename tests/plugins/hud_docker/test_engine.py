"""Finding the engine, and what is said when it cannot be reached or says no."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import anyio
import owning
import pytest
from docker import APIClient

from hud_core.errors import ConfigError, verdict_for
from hud_docker import address
from hud_docker.address import Address, find_address
from hud_docker.engine import MOST_CALLS, Engine
from hud_docker.errors import (
    ConflictError,
    EngineError,
    EngineRefusedError,
    EngineUnreachableError,
    ImageMissingError,
    MissingError,
    NoSpaceError,
)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without a docker context, and an environment that says nothing of engines."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


async def refusal(url: str, origin: str = "DOCKER_HOST") -> EngineError:
    with pytest.raises(EngineError) as caught:
        await Engine.connect(Address(url=url, origin=origin), timeout=60)
    return caught.value


# --- where it is ------------------------------------------------------------------------------------------------------


def _context(home: Path, name: str, host: str) -> None:
    import hashlib

    folder = home / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (folder / "meta.json").write_text(json.dumps(meta))


def test_docker_host_comes_before_the_context(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _context(nowhere, "far", "tcp://far.example:2375")
    (nowhere / ".docker" / "config.json").write_text('{"currentContext": "far"}')
    found = find_address()
    assert (found.url, found.origin, found.is_local) == ("tcp://far.example:2375", "the docker context 'far'", False)
    _context(nowhere, "near", "unix:///near.sock")
    monkeypatch.setenv("DOCKER_CONTEXT", "near")
    assert (find_address().url, find_address().socket, find_address().is_local) == (
        "unix:///near.sock",
        "/near.sock",
        True,
    )
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@far.example")
    assert (find_address().url, find_address().origin) == ("ssh://me@far.example", "DOCKER_HOST")


def test_podmans_socket_is_found_where_docker_is_not_there(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sockets = [nowhere / "docker.sock", nowhere / "run" / "podman" / "podman.sock"]
    monkeypatch.setattr(address, "_sockets", lambda: iter(sockets))
    assert find_address().url == f"unix://{sockets[0]}", "where none is there, the first is named"
    sockets[1].parent.mkdir(parents=True)
    sockets[1].touch()
    assert find_address().url == f"unix://{sockets[1]}"


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"DOCKER_HOST": "foo://bar"}, "DOCKER_HOST='foo://bar' is no address of an engine; give unix:///path"),
        ({"DOCKER_HOST": "tcp://far.example"}, "DOCKER_HOST='tcp://far.example' is no address"),
        ({"DOCKER_CONTEXT": "gone"}, "there is no docker context 'gone'; `docker context ls` lists them"),
    ],
)
def test_what_is_no_address_is_a_mistake(variables: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        find_address()
    assert says in str(caught.value)


def test_certificates_that_are_missing_are_named(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://far.example:2376")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(nowhere / "certs"))
    with pytest.raises(EngineRefusedError, match=r"certs lacks ca.pem, cert.pem or key.pem"):
        find_address()


# --- nobody, or somebody else, answers --------------------------------------------------------------------------------


async def test_an_engine_that_is_not_running_says_what_to_start(nowhere: Path) -> None:
    error = await refusal(f"unix://{nowhere}/docker.sock", "the default")
    assert isinstance(error, EngineUnreachableError)
    assert str(error).startswith(f"no container engine answers at unix://{nowhere}/docker.sock; start")
    assert error.exit_code == 3
    assert verdict_for(error, "open").retry, "it may be starting"


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:1", "unix:///no/such.sock"])
async def test_who_says_where_the_engine_is_is_named(url: str) -> None:
    assert (
        str(await refusal(url))
        == f"no engine answers at {url}, which DOCKER_HOST names; start it, or correct or unset that"
    )


async def test_a_socket_that_is_left_over_is_no_engine(nowhere: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(nowhere / "old.sock"))
    assert isinstance(await refusal(f"unix://{nowhere}/old.sock"), EngineUnreachableError)


async def test_an_unknown_host_is_named() -> None:
    error = await refusal("tcp://no-such-host.invalid:2375")
    assert "DOCKER_HOST names the engine tcp://no-such-host.invalid:2375, and no host of that name is known" in str(
        error
    )


FORBIDDEN = """
import anyio, os
from hud_core.errors import verdict_for
from hud_docker.address import Address
from hud_docker.engine import Engine
from hud_docker.errors import EngineError
def ask():
    try:
        anyio.run(Engine.connect, Address(url="unix:///var/run/docker.sock", origin="the default"))
    except EngineError as error:
        return f"{error} {verdict_for(error, 'open').retry}"
ask()  # imports what a user without rights may not read
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(ask())
"""


def test_without_permission_the_sockets_group_is_named(docker: APIClient) -> None:
    """As every user who is not in the group: another user of this machine asks."""
    said = subprocess.run([sys.executable, "-c", FORBIDDEN], capture_output=True, text=True, check=False)
    group = Path("/var/run/docker.sock").group()
    fix = f"it belongs to the group {group!r}; join it with `sudo usermod -aG {group} $USER` and log in again"
    assert f"no permission on the engine's socket /var/run/docker.sock: {fix}" in said.stdout, said.stderr
    assert said.stdout.endswith(" False\n"), "trying again does not help"


async def test_an_engine_that_hangs_is_given_up(nowhere: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(nowhere / "hangs.sock"))
        silent.listen()
        with pytest.raises(EngineError, match="does not answer in time"):
            await Engine.connect(Address(url=f"unix://{nowhere}/hangs.sock", origin="the default"), timeout=0.2)


@contextmanager
def answering(version: bytes, status: int = 200) -> Iterator[str]:
    """Run something that answers to every question as an engine does when asked for its version."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(version)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("version", "says"),
    [
        (b'{"ApiVersion": "1.24"}', "is too old: its API is 1.24, at least 1.40 is needed; update it to Docker 20.10"),
        (b'{"ApiVersion": "9.0", "MinAPIVersion": "8.0"}', "wants an API of 8.0 or newer"),
        (b'{"name": "something"}', "is no container engine"),
        (b"<html>", "is no container engine"),
    ],
)
async def test_versions_without_a_common_one_are_named(version: bytes, says: str) -> None:
    with answering(version) as url:
        assert says in str(await refusal(url))


@pytest.mark.parametrize(
    ("said", "spoken"),
    [
        (b'{"ApiVersion": "1.41", "MinAPIVersion": "1.12"}', "1.41"),
        (b'{"ApiVersion": "1.99", "MinAPIVersion": "1.44"}', "1.45"),
        (b'{"ApiVersion": "1.41"}', "1.41"),
    ],
)
async def test_the_newest_version_that_both_know_is_spoken(said: bytes, spoken: str) -> None:
    with answering(said) as url:
        engine = await Engine.connect(Address(url=url, origin="DOCKER_HOST"))
        assert engine.client.api_version == spoken
        await engine.aclose()


async def test_an_engine_without_tls_is_not_trusted(nowhere: Path) -> None:
    from docker.tls import TLSConfig

    with answering(b"{}") as url:
        found = Address(url=url.replace("tcp", "https"), origin="DOCKER_HOST", tls=TLSConfig(verify=True))
        with pytest.raises(EngineRefusedError, match=r"is not trusted, or does not trust us: .*DOCKER_CERT_PATH"):
            await Engine.connect(found)


# --- it says no -------------------------------------------------------------------------------------------------------


async def test_what_is_not_there_is_named_with_the_fix(engine: Engine) -> None:
    with pytest.raises(ImageMissingError, match="No such image: hud-no-such:1; build it with `hud build`") as image:
        await engine.call(engine.client.create_container, "hud-no-such:1")
    assert not verdict_for(image.value, "open").retry
    with pytest.raises(MissingError, match="No such container: hud-no-such"):
        await engine.call(engine.client.inspect_container, "hud-no-such")
    with pytest.raises(MissingError, match="hud-no-such"):
        await engine.call(engine.client.remove_volume, "hud-no-such")


async def test_a_name_that_is_taken_is_a_conflict(engine: Engine) -> None:
    name = f"hud-test-{os.getpid()}-{time.monotonic_ns()}"
    made = await engine.call(engine.client.create_container, owning.IMAGE, name=name)
    try:
        with pytest.raises(ConflictError, match=name):
            await engine.call(engine.client.create_container, owning.IMAGE, name=name)
    finally:
        await engine.call(engine.client.remove_container, made["Id"])


async def test_a_full_disk_is_said_as_such() -> None:
    with answering(b'{"ApiVersion": "1.41"}') as url:
        engine = await Engine.connect(Address(url=url, origin="DOCKER_HOST"))
    full = b'{"message": "write /var/lib/docker/tmp/x: no space left on device"}'
    with answering(full, status=500) as url:
        engine.client.base_url = url.replace("tcp", "http")
        with pytest.raises(NoSpaceError, match=r"no space left on its disk: write .*; `hud gc`"):
            await engine.call(engine.client.containers)
    await engine.aclose()


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        (b"could not select device driver with capabilities: [[gpu]]", "install the NVIDIA Container Toolkit"),
        (b"exec: container-init binary not found in $PATH", "install catatonit where the engine is"),
    ],
)
async def test_what_an_engine_lacks_is_said_with_the_fix(said: bytes, fix: str) -> None:
    with answering(b'{"ApiVersion": "1.41"}') as url:
        engine = await Engine.connect(Address(url=url, origin="DOCKER_HOST"))
    with answering(b'{"message": "%s"}' % said, status=500) as url:
        engine.client.base_url = url.replace("tcp", "http")
        with pytest.raises(EngineRefusedError, match=fix):
            await engine.call(engine.client.containers)
    await engine.aclose()


# --- threads ----------------------------------------------------------------------------------------------------------


async def test_many_calls_run_at_once(engine: Engine) -> None:
    """As many as the engine takes: each waits until all of them are there."""
    together = threading.Barrier(MOST_CALLS, timeout=60)
    async with anyio.create_task_group() as tasks:
        for _ in range(MOST_CALLS):
            tasks.start_soon(engine.call, together.wait)


async def test_what_a_cancelled_call_creates_is_known(engine: Engine) -> None:
    begun, made = threading.Event(), list[str]()

    def create() -> str:
        begun.set()
        time.sleep(0.2)
        return "created"

    async def owner() -> None:
        made.append(await engine.call(create))
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(owner)
        while not begun.is_set():
            await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert made == ["created"]


async def test_a_question_is_dropped_when_it_is_cancelled(engine: Engine) -> None:
    may_end = threading.Event()
    with anyio.move_on_after(0.05) as limit:
        await engine.read(may_end.wait, 30)
    may_end.set()
    assert limit.cancelled_caught


async def test_a_mistake_of_ours_is_not_the_engines(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        await engine.call(lambda: 1 // 0)
