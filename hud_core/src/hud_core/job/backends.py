"""The backends of one job: made when a task first needs one, closed together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from hud_core.errors import describe
from hud_core.model.task import EnvRef

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hud_core.interfaces import Agent, Backend
    from hud_core.kernel import Kernel
    from hud_core.model.task import Task

CLOSE_SECONDS = 30.0
"""How long backends and agents may take to close when the job ends."""


class Backends:
    """Opens each task with the backend that its reference, or else the job, or else ``local`` names."""

    def __init__(self, kernel: Kernel, default: str | None) -> None:
        self._kernel = kernel
        self._default = default or "local"
        self._made: dict[str, Backend] = {}

    def of(self, task: Task) -> Backend:
        """Give the backend that opens a task's environment.

        Raises:
            UnknownProviderError: No installed plugin provides it.
        """
        name = (task.env.backend if isinstance(task.env, EnvRef) else None) or self._default
        backend = self._made.get(name)
        if backend is None:
            backend = self._made[name] = self._kernel.backends.create(name)
        return backend

    async def aclose(self, agents: Iterable[Agent] = ()) -> list[str]:
        """Close every backend, and agents with them, all at once, within a deadline, whatever happened.

        Returns:
            What went wrong, one line each: it is no reason to lose the results.
        """
        warnings: list[str] = []
        with anyio.move_on_after(CLOSE_SECONDS, shield=True) as limit:
            async with anyio.create_task_group() as tasks:
                resources: list[Backend | Agent] = [*self._made.values(), *agents]
                for resource in resources:
                    tasks.start_soon(_close, resource, warnings)
        if limit.cancelled_caught:
            warnings.append(f"closing took longer than {CLOSE_SECONDS:.0f} s and was given up")
        return warnings


async def _close(resource: Backend | Agent, warnings: list[str]) -> None:
    try:
        await resource.aclose()
    except Exception as error:  # noqa: BLE001  protects the results from the teardown
        warnings.append(f"closing {type(resource).__name__} failed: {describe(error)}")
