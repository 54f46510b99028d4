"""What every executor must do."""

# ruff: noqa: D102  a test's name says what it shows

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import pytest

from hud_core.errors import Cause
from hud_core.job.plan import JobSpec
from hud_core.job.result import Job
from hud_core.kernel import Kernel
from hud_core.testing import fakes
from hud_core.testing.contract import Contract, check, required
from hud_core.testing.environments import contract

if TYPE_CHECKING:
    from pathlib import Path

    from hud_core.interfaces import Executor, JobHandle
    from hud_core.model.task import Task

WORD = "strawberry"


class ExecutorContract(Contract):
    """Proves an executor.

    ```python
    import pytest

    from hud_core.testing import ExecutorContract
    from my_plugin.executor import Cluster


    class TestCluster(ExecutorContract):
        @pytest.fixture
        def executor(self):
            return Cluster()
    ```
    """

    shares_files: ClassVar[bool] = True
    """Whether rollouts see the files of this machine. Without it, cancelling is not shown."""

    @pytest.fixture
    def executor(self) -> Executor:
        """The executor to prove."""
        what, owner = "executor", type(self).__name__
        raise required(what, owner)

    @pytest.fixture
    def kernel(self) -> Kernel:
        """The kernel whose plugins the job uses: one with the fakes."""
        return Kernel(autoload=False, plugins=[fakes])

    async def test_a_job_that_is_submitted_gives_its_rollouts(self, executor: Executor, kernel: Kernel) -> None:
        job = await self._run(executor, _spec(kernel, [_letters("r" * n) for n in range(3)], "2", group=2))
        check(isinstance(job, Job), f"wait must give a Job, it gave {job!r}")
        rewards = [rollout.reward for rollout in job.rollouts]
        expected = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]
        check(rewards == expected, f"3 tasks twice must earn {expected} in the tasks' order, they earned {rewards}")
        check(job.total == len(expected), f"job.total counts the rollouts asked for, {len(expected)}, not {job.total}")

    async def test_waiting_twice_gives_the_same_job(self, executor: Executor, kernel: Kernel) -> None:
        with anyio.move_on_after(self.patience) as limit:
            handle = await executor.submit(_spec(kernel, [_letters(WORD)], "3"))
            first, again = await handle.wait(), await handle.wait()
            check(first.id == again.id, f"wait must give the same job each time, it gave {first.id} and {again.id}")
        check(not limit.cancelled_caught, "a second wait must return at once when the job has ended")

    async def test_a_rollout_that_fails_is_invalid_and_ends_no_other(self, executor: Executor, kernel: Kernel) -> None:
        tasks = [contract("broken_grading"), _letters(WORD)]
        job = await self._run(executor, _spec(kernel, tasks, "3"))
        causes = [rollout.cause for rollout in job.rollouts]
        check(causes == [Cause.GRADER, None], f"the first rollout fails in grading, the second not; causes: {causes}")
        check(job.rollouts[0].reward is None, f"an invalid rollout has no reward, got {job.rollouts[0].reward}")

    async def test_cancelling_keeps_what_has_ended(self, executor: Executor, kernel: Kernel, tmp_path: Path) -> None:
        if not self.shares_files:
            pytest.skip("shares_files is False: how far the job is cannot be seen from here")
        job = await self._cancelled(executor, _spec(kernel, [_letters(WORD), _marked(tmp_path)], tmp_path), tmp_path)
        check(job.stopped, "a job that was cancelled must say so: job.stopped")
        kept = [rollout.reward for rollout in job.rollouts if rollout.is_scored]
        check(kept == [0.0], f"the rollout that had ended must be kept with its reward 0.0, the job has {kept}")
        check(job.total == 2, f"job.total counts the 2 rollouts asked for, not {job.total}")  # noqa: PLR2004
        check(not (tmp_path / "tool-ended").exists(), "cancel must stop rollouts that are running")

    async def _run(self, executor: Executor, spec: JobSpec) -> Job:
        jobs: list[Job] = []
        with anyio.move_on_after(self.patience) as limit:
            await _collect(await executor.submit(spec), jobs)
        check(not limit.cancelled_caught, f"the job did not end within {self.patience} s: wait hangs, or submit does")
        return jobs[0]

    async def _cancelled(self, executor: Executor, spec: JobSpec, marks: Path) -> Job:
        jobs: list[Job] = []
        with anyio.move_on_after(self.patience) as limit:
            handle = await executor.submit(spec)
            async with anyio.create_task_group() as group:
                group.start_soon(_collect, handle, jobs)
                while not (marks / "tool-began").exists():  # noqa: ASYNC110  another process may write it
                    await anyio.sleep(0.005)
                await handle.cancel()
        check(not limit.cancelled_caught, "after cancel, wait must return; it hangs, or no rollout ever began")
        return jobs[0]


def _letters(word: str) -> Task:
    return contract("letters", word=word)


def _marked(marks: Path) -> Task:
    return contract("closing", marks=str(marks))


def _spec(kernel: Kernel, tasks: list[Task], answer: str | Path, **options: Any) -> JobSpec:
    """Make a job whose agent answers with a text; given a folder, it stays in the tool ``slow`` on the second task."""
    agent = fakes.ScriptedAgent(answer=answer) if isinstance(answer, str) else Sleeper(answer)
    return JobSpec(tasks=tasks, agents=(agent,), kernel=kernel, max_concurrent=1, **options)


class Sleeper(fakes.ScriptedAgent):
    """Answers questions about letters at once, and stays in the tool ``slow`` for any other prompt."""

    def __init__(self, marks: Path) -> None:
        super().__init__([("slow", {"marks": str(marks)})], name="sleeper")

    async def run(self, prompt: Any, toolbox: Any, *, max_steps: int) -> Any:  # noqa: ANN401  as its base declares
        """Sleep unless letters are to be counted."""
        if WORD in prompt.text:
            return "no idea"
        return await super().run(prompt, toolbox, max_steps=max_steps)


async def _collect(handle: JobHandle, jobs: list[Job]) -> None:
    jobs.append(await handle.wait())
