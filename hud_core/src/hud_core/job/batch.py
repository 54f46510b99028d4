"""`hud.eval`: rollouts that you drive yourself, one in a ``with`` block or many at once."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn, overload

import anyio
from attrs import frozen

from hud_core.errors import ConfigError, closest
from hud_core.job.backends import Backends, backends_of
from hud_core.job.context import EvalContext
from hud_core.job.grading import check_tasks
from hud_core.job.limits import Timeouts
from hud_core.job.plan import Tasks, as_task, expand_variants, stream_tasks
from hud_core.job.result import Job
from hud_core.kernel import Kernel
from hud_core.model.task import Task, TaskLike

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from hud_core.interfaces import Agent

Body = Callable[[EvalContext], Awaitable[object]]
"""What is done with each rollout of a batch."""


class EvalBatch:
    """The rollouts of several tasks, variants and repeats, to be driven at once.

    ``await batch.map(body)`` awaits ``body(ctx)`` for each and gives them in their order;
    ``async for ctx in batch.as_completed(body)`` gives each as it ends. What goes wrong in one is its own ``ctx.error``
    and ends no other. Leaving the block cancels what still runs.
    """

    def __init__(self, contexts: list[EvalContext], tasks: TaskGroup, max_concurrent: int | None, job_id: str) -> None:
        self.contexts = contexts
        """The rollouts, in the order task, variant, repeat."""
        self.job_id = job_id
        self._tasks = tasks
        self._limit = min(max_concurrent or len(contexts), len(contexts))
        self._ended: MemoryObjectReceiveStream[EvalContext] | None = None

    def __len__(self) -> int:
        return len(self.contexts)

    def __getattr__(self, name: str) -> NoReturn:
        if hasattr(EvalContext, name):
            msg = (
                f"hud.eval of several rollouts gives a batch, which has no {name!r}; write "
                f"`async def body(ctx): ...` with what to do in each, and `await batch.map(body)`"
            )
            raise AttributeError(msg)
        msg = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(msg)

    async def map(self, body: Body) -> list[EvalContext]:
        """Await ``body(ctx)`` for every rollout, at most `max_concurrent` at once, and give them in their order."""
        async for _ in self.as_completed(body):
            pass
        return self.contexts

    def as_completed(self, body: Body) -> MemoryObjectReceiveStream[EvalContext]:
        """Await ``body(ctx)`` for every rollout, at most `max_concurrent` at once, and give each when it has ended.

        Raises:
            ConfigError: The batch has been driven already; a rollout runs once.
        """
        if self._ended is not None:
            msg = "this batch has been driven already; a rollout runs once, call hud.eval again"
            raise ConfigError(msg)
        send, self._ended = anyio.create_memory_object_stream[EvalContext](len(self.contexts))
        waiting = iter(self.contexts)
        for _ in range(self._limit):
            self._tasks.start_soon(_drive, waiting, body, send.clone())
        send.close()
        return self._ended

    def close(self) -> None:
        """Release what the batch holds; called when the block is left."""
        if self._ended is not None:
            self._ended.close()

    async def run(self, agent: Agent, *, max_steps: int = 10) -> list[EvalContext]:
        """Let one agent attempt every rollout."""
        return await self.map(lambda ctx: ctx.drive(agent, max_steps=max_steps))

    @property
    def job(self) -> Job:
        """The rollouts that have ended, with their aggregates."""
        results = [ctx.result for ctx in self.contexts if ctx.result is not None]
        return Job(id=self.job_id, name="", rollouts=tuple(results), total=len(self.contexts))


async def _drive(waiting: Iterator[EvalContext], body: Body, ended: MemoryObjectSendStream[EvalContext]) -> None:
    with ended:
        for ctx in waiting:
            try:
                async with ctx:
                    await body(ctx)
            except Exception as error:  # noqa: BLE001  one rollout's error is its own, never its siblings'
                ctx.fail(error)
            with suppress(anyio.BrokenResourceError):  # the block was left before every rollout had ended
                ended.send_nowait(ctx)


@overload
def evaluate(source: Task | TaskLike, **options: Any) -> AbstractAsyncContextManager[EvalContext]: ...


@overload
def evaluate(source: Iterable[Task | TaskLike] | str, **options: Any) -> AbstractAsyncContextManager[EvalBatch]: ...


def evaluate(
    source: Task | TaskLike | Iterable[Task | TaskLike] | str | None = None,
    *,
    variants: Mapping[str, Any] | None = None,
    group: int = 1,
    max_concurrent: int | None = None,
    backend: str | None = None,
    timeouts: Timeouts | None = None,
    seed: int | None = None,
    kernel: Kernel | None = None,
    job_id: str | None = None,
    **unsupported: Any,
) -> AbstractAsyncContextManager[Any]:
    """Open rollouts that you drive yourself: ``async with hud.eval(task) as ctx``.

    One task gives an `EvalContext`. Several tasks, a `group` of repeats or several variants give an `EvalBatch`, which
    drives all of them at once.

    Args:
        source: A task, tasks, or the name of a source such as ``"tasks.py"``.
        variants: Parameters to compare, read back from ``ctx.variants``: each list is a choice, each combination runs.
        group: Repeats of each task and variant.
        max_concurrent: Rollouts at once; all of them by default.
        backend: What opens environments of this process, ``local`` by default.
        timeouts: Deadlines of the phases; the agent's is the caller's own.
        seed: For backends that can seed an environment; repeat n gets ``seed + n``.
        kernel: The plugins to use; by default a kernel with every installed plugin.
        job_id: What the rollouts' records name as their job.
        unsupported: Options of the reference SDK that steer its platform are taken and do nothing.

    Raises:
        ConfigError: The source is no task, or an option is not one.
    """
    plan = _Plan(
        kernel=kernel or Kernel(),
        backend=backend,
        variants=expand_variants(variants or {}),
        group=group,
        timeouts=timeouts or Timeouts(),
        seed=seed,
        job_id=job_id or str(uuid.uuid4()),
        max_concurrent=max_concurrent,
    )
    _check(source, group, unsupported)
    if isinstance(source, Task | TaskLike) and group == 1 and len(plan.variants) == 1:
        return _one(as_task(source), plan)
    return _many(source or (), plan)


@frozen(kw_only=True)
class _Plan:
    kernel: Kernel
    backend: str | None
    variants: list[dict[str, Any]]
    group: int
    timeouts: Timeouts
    seed: int | None
    job_id: str
    max_concurrent: int | None

    def contexts(self, tasks: list[Task], backends: Backends) -> list[EvalContext]:
        """Make the rollouts, in the order task, variant, repeat.

        Raises:
            TaskDataError: Graders that a task names, or their options, are wrong.
        """
        check_tasks(tasks, self.kernel)
        made: list[EvalContext] = []
        for number, task in enumerate(tasks):
            for choice, variant in enumerate(self.variants):
                for repeat in range(self.group):
                    ctx = EvalContext(
                        task,
                        backend=backends.of(task),
                        kernel=self.kernel,
                        timeouts=self.timeouts,
                        job_id=self.job_id,
                        group_id=f"{self.job_id}/{number}/{choice}",
                        task_index=number,
                        index=len(made),
                        repeat=repeat,
                        variants=variant,
                        seed=None if self.seed is None else self.seed + repeat,
                    )
                    made.append(ctx)
        return made


@asynccontextmanager
async def _one(task: Task, plan: _Plan) -> AsyncIterator[EvalContext]:
    async with backends_of(plan.kernel, plan.backend) as backends:
        (ctx,) = plan.contexts([task], backends)
        async with ctx:
            yield ctx


@asynccontextmanager
async def _many(source: Tasks, plan: _Plan) -> AsyncIterator[EvalBatch]:
    async with backends_of(plan.kernel, plan.backend) as backends:
        contexts = plan.contexts([task async for task in stream_tasks(source, plan.kernel)], backends)
        if not contexts:
            msg = "there are no tasks to run"
            raise ConfigError(msg)
        async with anyio.create_task_group() as tasks:
            batch = EvalBatch(contexts, tasks, plan.max_concurrent, plan.job_id)
            try:
                yield batch
            finally:
                batch.close()
                tasks.cancel_scope.cancel()


def _check(source: object, group: int, unsupported: Mapping[str, Any]) -> None:
    if source is None or isinstance(source, Mapping):
        msg = f"hud.eval needs a task, tasks or the name of a source, got {source!r}"
        raise ConfigError(msg)
    if isinstance(group, bool) or not isinstance(group, int) or group < 1:
        msg = f"group must be a whole number of at least 1, got {group!r}"
        raise ConfigError(msg)
    unknown = [name for name in unsupported if name not in _PLATFORM_OPTIONS]
    if unknown:
        msg = f"hud.eval has no option {unknown[0]!r}{closest(unknown[0], evaluate.__kwdefaults__ or ())}"
        raise ConfigError(msg)


_PLATFORM_OPTIONS = frozenset({"name", "trace", "quiet", "api_key", "taskset_id", "trace_id", "group_id", "group_ids"})
"""Options of the reference that steer its platform; code written for it keeps working, and nothing is sent anywhere."""
