"""Context servers: one object that several processes call, and only those of this user."""

from __future__ import annotations

import importlib
import os
import pickle
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from hud.server.context import attach_context, run_context_server, serve_context
from hud_core.errors import BackendError, ConfigError

SCRIPT = """
import asyncio, sys
from hud.server.context import run_context_server

class Counter:
    def __init__(self):
        self.count = 0

    def act(self, by=1):
        self.count += by
        return self.count

asyncio.run(run_context_server(Counter(), sock_path=sys.argv[1]))
"""


class Things:
    def __init__(self):
        self.kept = {}
        self.barrier = threading.Barrier(2, timeout=60)

    def put(self, key, value):
        self.kept[key] = value
        return self.kept

    async def later(self, value):
        await anyio.lowlevel.checkpoint()
        return value

    def fail(self):
        raise KeyError("no such thing")

    def give_lock(self):
        return threading.Lock()

    def meet(self):
        return self.barrier.wait() >= 0

    def _hidden(self):
        return "secret"


class FromElsewhere:
    """What the server cannot read: its class is of a module that only the caller has."""

    def __reduce__(self):
        return importlib.import_module, ("only_here",)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.sock"


async def serving(path, use, **options):
    """Serve an object, and use it in a worker thread meanwhile, as a process of its own would."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: run_context_server(Things(), **{"sock_path": path, **options}))
        with anyio.fail_after(60):
            while not path.is_socket() or not connects(path):
                await anyio.sleep(0.01)
        result = await anyio.to_thread.run_sync(use)
        tasks.cancel_scope.cancel()
    return result


def connects(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


async def test_methods_are_called_and_raise(path):
    def use():
        context = attach_context(str(path))
        assert context.put("a", value=[1, {"b": (2,)}]) == {"a": [1, {"b": (2,)}]}
        assert context.later("soon") == "soon"
        with pytest.raises(KeyError, match="no such thing"):
            context.fail()
        with pytest.raises(TypeError, match="cannot be sent to the caller"):
            context.give_lock()
        with pytest.raises(ModuleNotFoundError, match="only_here"):
            context.put("b", FromElsewhere())
        assert context.put("c", 1)["c"] == 1
        with pytest.raises(AttributeError, match="no method 'nope'; it has fail, give_lock, later, meet, put"):
            context.nope()
        with pytest.raises(AttributeError):
            context._hidden()
        with pytest.raises(AttributeError):
            context._ask("_hidden", (), {})
        assert "put" in dir(context)

    await serving(path, use)


async def test_threads_do_not_wait_for_each_other(path):
    def use():
        context = attach_context(path)
        met = []
        threads = [threading.Thread(target=lambda: met.append(context.meet())) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return met

    assert await serving(path, use) == [True, True]


async def test_only_this_user_gets_in(path):
    def use():
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.with_name("x.sock.key").stat().st_mode & 0o777 == 0o600
        with pytest.raises(ConfigError, match="has another secret"):
            attach_context(path, authkey=b"guessed")

    await serving(path, use)
    assert not path.exists()
    assert not path.with_name("x.sock.key").exists()


def rest(connection):
    """Read what is sent until the other side hangs up."""
    with suppress(EOFError, OSError):
        return connection.recv_bytes()
    return b""


class Bomb:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


async def test_nothing_is_unpickled_before_the_secret_is_proved(path, tmp_path):
    mark = tmp_path / "went off"

    def use():
        from multiprocessing.connection import Client

        for payload in (pickle.dumps(Bomb(mark)), b"", b"\x00" * 100):
            with Client(str(path), "AF_UNIX") as connection:  # it does not answer the challenge
                connection.send_bytes(payload)
                connection.recv_bytes()  # the challenge
                assert rest(connection) in (b"", b"#FAILURE#")
        assert attach_context(path).later(1) == 1

    await serving(path, use)
    assert not mark.exists()


async def test_a_caller_that_does_not_go_on_after_its_proof_harms_nobody(path):
    def use():
        from multiprocessing.connection import Client, answer_challenge

        for payload in (b"no challenge", b"", b"x" * 300):
            with Client(str(path), "AF_UNIX") as connection:
                answer_challenge(connection, path.with_name("x.sock.key").read_bytes())
                connection.send_bytes(payload)
                rest(connection)
        return attach_context(path).later(6)

    assert await serving(path, use) == 6


async def test_a_secret_of_ones_own(path):
    assert await serving(path, lambda: attach_context(path, b"ours").later(2), authkey=b"ours") == 2
    assert not path.with_name("x.sock.key").exists()


def test_a_secret_that_others_can_read_is_a_trap(path):
    path.with_name("x.sock.key").write_bytes(b"trap")
    path.with_name("x.sock.key").chmod(0o644)
    with pytest.raises(ConfigError, match="must be this user's alone"):
        attach_context(path)


async def test_the_place_of_a_running_server_is_taken(path):
    async def second():
        await run_context_server(Things(), path)

    def use():
        with pytest.raises(ConfigError, match=r"cannot listen at .*already in use"):
            anyio.run(second)
        return attach_context(path).later(3)

    assert await serving(path, use) == 3


def test_without_a_server_it_says_how_to_start_one(path):
    with pytest.raises(BackendError, match="start it with run_context_server"):
        attach_context(path)
    with pytest.raises(BackendError, match="no context server listens"):
        attach_context(path, b"key")


def test_a_process_holds_what_reloads_must_not_lose(path):
    with start(path) as server:
        assert attach_wait(path).act() == 1
        again = attach_context(path)  # what a reloaded server does
        assert again.act(by=4) == 5
        server.kill()
        server.wait()
        with pytest.raises(BackendError, match="broke off; start it again"):
            again.act()
    with start(path) as server:  # where the killed one left its socket
        assert attach_wait(path).act() == 1
        with pytest.raises(ConfigError, match="another secret"):
            again.act()
        server.kill()


def start(path):
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)])


def attach_wait(path):
    for _ in range(1200):
        try:
            return attach_context(path)
        except (BackendError, ConfigError):  # it is not there yet, or is what a killed one left
            threading.Event().wait(0.05)
    return attach_context(path)


async def test_the_default_place_is_this_users_own(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / f"hud-{os.getuid()}"

    def use():
        assert folder.stat().st_mode & 0o777 == 0o700
        return attach_context().later(4)

    assert await serving(folder / "context.sock", use, sock_path=None) == 4


def test_a_process_may_do_nothing_else(path, monkeypatch):
    def interrupt(function, *arguments):
        assert (function, arguments[1:]) == (run_context_server, (path, None))
        raise KeyboardInterrupt

    monkeypatch.setattr(anyio, "run", interrupt)
    serve_context(Things(), path)
