"""One object for several processes: a context server holds it, and servers that are reloaded attach to it.

Calls and their results are pickled, and unpickling runs what it is told to. So nothing is unpickled before both sides
have proved that they know a secret: 32 random bytes in a file that only this user can read, beside a socket that only
this user can open.
"""

from __future__ import annotations

import inspect
import os
import secrets
import socket
import stat
import tempfile
import threading
from contextlib import ExitStack, suppress
from functools import partial
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.to_thread

from hud_core.errors import BackendError, ConfigError, describe

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Context", "attach_context", "run_context_server", "serve_context"]

_OPEN_TO_OTHERS = 0o077


class Context:
    """An object in a context server. Its public methods are this one's; arguments and results are copies.

    A method that raises does so here. Use it from any thread; a call waits for its answer.

    Args:
        path: The server's socket.
        key: The secret that it shares with those who may attach.

    Raises:
        BackendError: No server listens there.
        ConfigError: It has another secret.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._key = key
        self._kept = threading.local()
        self._methods: frozenset[str] = self._ask(None, (), {})

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Give a method."""
        if name.startswith("_") or name not in self._methods:
            known = ", ".join(sorted(self._methods)) or "none"
            msg = f"the context at {str(self._path)!r} has no method {name!r}; it has {known}"
            raise AttributeError(msg)
        return partial(self._call, name)

    def __dir__(self) -> list[str]:
        return sorted(self._methods)

    def _call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  the method's
        return self._ask(name, args, kwargs)

    def _ask(self, name: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        connection = self._connection()
        try:
            connection.send((name, args, kwargs))
            has_failed, value = connection.recv()
        except (EOFError, OSError) as error:
            connection.close()
            self._kept.connection = None
            msg = f"the context server at {str(self._path)!r} broke off; start it again"
            raise BackendError(msg) from error
        if has_failed:
            raise value
        return value

    def _connection(self) -> Connection:
        """Give this thread's connection: answers to two threads must not meet."""
        kept: Connection | None = getattr(self._kept, "connection", None)
        if kept is None:
            kept = self._kept.connection = _connect(self._path, self._key)
        return kept


def attach_context(sock_path: str | os.PathLike[str] | None = None, authkey: bytes | None = None) -> Context:
    """Attach to the object of a context server.

    Args:
        sock_path: The server's socket; by default one in this user's own folder for temporary files.
        authkey: The secret that it was started with; by default that in the file beside the socket.

    Raises:
        BackendError: No server listens there.
        ConfigError: The secret is another one, or the file with it is not this user's alone.
    """
    path = _path(sock_path)
    return Context(path, _read_key(path) if authkey is None else authkey)


async def run_context_server(
    context: object, sock_path: str | os.PathLike[str] | None = None, authkey: bytes | None = None
) -> None:
    """Let other processes of this user call an object's public methods, until cancelled.

    Sync methods run in worker threads, several at once where several callers ask; async ones on this event loop.

    Args:
        context: The object.
        sock_path: Where to listen; by default in this user's own folder for temporary files.
        authkey: The secret that callers must know; by default a new one, in a file beside the socket.

    Raises:
        ConfigError: A context server listens there already, or the place cannot be used.
    """
    path = _path(sock_path)
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(path))
        stack.callback(path.unlink, missing_ok=True)
        key = stack.enter_context(_KeyFile(path)).key if authkey is None else authkey
        listener.listen()
        async with anyio.create_task_group() as tasks:
            while True:
                await anyio.wait_readable(listener)
                with suppress(OSError):  # who asked has left again
                    accepted, _ = listener.accept()
                    accepted.setblocking(True)  # noqa: FBT003  the standard library's own signature
                    tasks.start_soon(_serve, Connection(accepted.detach()), key, context)


def serve_context(
    context: object, sock_path: str | os.PathLike[str] | None = None, authkey: bytes | None = None
) -> None:
    """Run `run_context_server` as all that a process does, until it is interrupted."""
    with suppress(KeyboardInterrupt):
        anyio.run(run_context_server, context, sock_path, authkey)


async def _serve(connection: Connection, key: bytes, context: object) -> None:
    """Answer one caller until it leaves."""
    with connection, suppress(EOFError, OSError):
        is_known = await anyio.to_thread.run_sync(_authenticate, connection, key, abandon_on_cancel=True)
        while is_known:
            await anyio.wait_readable(connection)
            answer = await _answer(context, connection)
            await anyio.to_thread.run_sync(_send, connection, answer, abandon_on_cancel=True)


def _authenticate(connection: Connection, key: bytes) -> bool:
    """Let a caller prove that it knows the secret, and prove it to the caller."""
    try:
        deliver_challenge(connection, key)
        answer_challenge(connection, key)
    except Exception:  # noqa: BLE001  protects the server from whatever a stranger sends instead
        return False
    return True


async def _answer(context: object, connection: Connection) -> tuple[bool, object]:
    """Read a call and do it: whether it failed, and what it gave or raised. No name asks for the names of all."""
    try:
        name, args, kwargs = await anyio.to_thread.run_sync(connection.recv, abandon_on_cancel=True)
        if name is None:
            return False, frozenset(found for found in dir(context) if _is_method(context, found))
        if not _is_method(context, name):
            raise AttributeError(name)  # noqa: TRY301  answered as any other error
        method = getattr(context, name)
        if inspect.iscoroutinefunction(method):
            return False, await method(*args, **kwargs)
        return False, await anyio.to_thread.run_sync(partial(method, *args, **kwargs))
    except EOFError:
        raise
    except Exception as error:  # noqa: BLE001  the caller's to handle, in its own process
        return True, error


def _is_method(context: object, name: str) -> bool:
    return not name.startswith("_") and callable(getattr(context, name, None))


def _send(connection: Connection, answer: tuple[bool, object]) -> None:
    """Send an answer, or say that it cannot be sent."""
    try:
        connection.send(answer)
    except (EOFError, OSError):
        raise
    except Exception as error:  # noqa: BLE001  objects raise anything when they are pickled
        what = "error" if answer[0] else "result"
        connection.send((True, TypeError(f"the {what} {answer[1]!r} cannot be sent to the caller: {describe(error)}")))


def _connect(path: Path, key: bytes) -> Connection:
    try:
        connection: Connection = Client(str(path), "AF_UNIX", authkey=key)
    except AuthenticationError as error:
        msg = f"the context server at {str(path)!r} has another secret; give both sides the same authkey, or none"
        raise ConfigError(msg) from error
    except (EOFError, OSError) as error:
        msg = f"no context server listens at {str(path)!r}: {describe(error)}; start it with run_context_server"
        raise BackendError(msg) from error
    return connection


def _path(given: str | os.PathLike[str] | None) -> Path:
    if given is not None:
        return Path(given).absolute()
    folder = Path(tempfile.gettempdir()) / f"hud-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    _check_owner(folder, "the folder of context servers")
    return folder / "context.sock"


def _key_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.key")


def _listen(path: Path) -> socket.socket:
    """Bind a socket that only this user can open; nobody can connect before it listens."""
    listener = socket.socket(socket.AF_UNIX)
    listener.settimeout(0)
    try:
        _remove_stale(path)
        listener.bind(str(path))
        path.chmod(0o600)
    except OSError as error:
        listener.close()
        msg = f"a context server cannot listen at {str(path)!r}: {error.strerror or error}; name another sock_path"
        raise ConfigError(msg) from error
    return listener


def _remove_stale(path: Path) -> None:
    """Take away the socket of a server that was killed; one that is in use stays, and binding says so."""
    with socket.socket(socket.AF_UNIX) as probe, suppress(FileNotFoundError):
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)


class _KeyFile:
    """A new secret, in a file of this user alone, for as long as a server runs."""

    def __init__(self, path: Path) -> None:
        self._file = _key_path(path)
        self.key = secrets.token_bytes(32)

    def __enter__(self) -> Self:
        self._file.unlink(missing_ok=True)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, self.key)
        os.close(descriptor)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.unlink(missing_ok=True)


def _read_key(path: Path) -> bytes:
    file = _key_path(path)
    if not file.exists():
        msg = f"no context server listens at {str(path)!r}; start it with run_context_server"
        raise BackendError(msg)
    _check_owner(file, "the secret of the context server")
    return file.read_bytes()


def _check_owner(path: Path, what: str) -> None:
    """Refuse what somebody else made, or can read: it could be a trap."""
    status = path.lstat()
    if status.st_uid != os.getuid() or status.st_mode & _OPEN_TO_OTHERS or stat.S_ISLNK(status.st_mode):
        msg = f"{what}, {str(path)!r}, must be this user's alone; remove it, or name another sock_path"
        raise ConfigError(msg)
