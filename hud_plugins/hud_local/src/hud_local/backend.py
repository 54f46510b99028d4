"""The backend ``local``: environments that are declared in Python, run in this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from hud_core.environment.environment import Environment, run_hooks
from hud_core.errors import ConfigError, SetupError, describe
from hud_core.interfaces import Backend
from hud_core.log import logger
from hud_core.model.task import EnvRef

if TYPE_CHECKING:
    from types import TracebackType

    from hud_core.environment.live import LiveSession
    from hud_core.model.task import Recipe

TEARDOWN_SECONDS = 30.0
"""How long a scenario's ``finally`` blocks may take when its rollout is cancelled."""


class LocalBackend(Backend):
    """Opens environments in this process. They share its memory: use ``process`` to keep rollouts apart."""

    def __init__(self) -> None:
        self._ready: dict[Environment, None] = {}  # in the order they were initialised
        self._starting: dict[Environment, anyio.Lock] = {}
        self._files: dict[str, dict[str, Environment]] = {}

    def open(self, ref: Recipe | EnvRef, *, seed: int | None = None) -> _Opened:  # noqa: ARG002  nothing here to seed
        """Open an environment: one that is declared in this process, or an `EnvRef` with the option ``file``.

        Raises:
            ConfigError: The environment is not to be found here.
        """
        return _Opened(self, ref if isinstance(ref, Environment) else self._find(ref))

    async def initialise(self, environment: Environment) -> None:
        """Run the environment's initialize functions, once; whoever else opens it meanwhile waits.

        Raises:
            SetupError: One of them failed. The next to open the environment tries again.
        """
        lock = self._starting.setdefault(environment, anyio.Lock())
        async with lock:
            if environment in self._ready:
                return
            try:
                await run_hooks(environment.on_initialize)
            except ConfigError:
                raise
            except Exception as error:
                msg = f"environment {environment.name!r} cannot be initialised: {describe(error)}"
                raise SetupError(msg) from error
            self._ready[environment] = None

    def is_ready(self, environment: Environment) -> bool:
        """Whether the environment was initialised."""
        return environment in self._ready

    async def aclose(self) -> None:
        """Run the shutdown functions of what was initialised, the latest first; one that fails stops no other."""
        while self._ready:
            environment, _ = self._ready.popitem()
            for hook in environment.on_shutdown:
                try:
                    await run_hooks([hook])
                except Exception as error:  # noqa: BLE001  protects the other environments from one's shutdown
                    logger().warning(f"shutdown of environment {environment.name!r} failed: {describe(error)}")

    def _find(self, ref: Recipe | EnvRef) -> Environment:
        if not isinstance(ref, EnvRef):
            msg = f"backend 'local' opens a hud Environment or an EnvRef, not {type(ref).__name__} {ref!r}"
            raise ConfigError(msg)
        file = ref.options.get("file")
        if not isinstance(file, str | Path):
            msg = (
                f"environment {ref.name!r} is not declared in this process; put the env.py that declares it beside the "
                f"task file, name the file with EnvRef(options={{'file': 'env.py'}}), or choose another backend"
            )
            raise ConfigError(msg)
        return self._declared(str(file), ref.name)

    def _declared(self, file: str, name: str) -> Environment:
        from hud_local.python import environments_of

        if file not in self._files:
            self._files[file] = environments_of(Path(file))
        return self._files[file][name] if name in self._files[file] else _missing(file, name, self._files[file])


def _missing(file: str, name: str, found: dict[str, Environment]) -> Environment:
    msg = f"{file} declares no environment {name!r}; it declares {', '.join(map(repr, found)) or 'none'}"
    raise ConfigError(msg)


class _Opened:
    """One open environment. A class rather than `asynccontextmanager`: that one costs as much as a small rollout."""

    __slots__ = ("_backend", "_environment", "_session")

    def __init__(self, backend: LocalBackend, environment: Environment) -> None:
        self._backend = backend
        self._environment = environment

    async def __aenter__(self) -> LiveSession:
        if not self._backend.is_ready(self._environment):
            await self._backend.initialise(self._environment)
        self._session = self._environment.session()
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, Exception):
            await self._session.aclose()
            return
        with anyio.move_on_after(TEARDOWN_SECONDS, shield=True):  # cancelled: the generator still gets to clean up
            await self._session.aclose()
