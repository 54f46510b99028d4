"""What plugins implement: abstract classes with few abstract methods, the rest with defaults."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import field, frozen

from hud_core.environment.session import Session, Toolbox
from hud_core.errors import ConfigError
from hud_core.model.task import Task
from hud_core.model.tools import ToolCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from anyio.abc import TaskGroup

    from hud_core.job.plan import JobSpec
    from hud_core.job.result import Job
    from hud_core.kernel import Kernel
    from hud_core.model.content import Prompt
    from hud_core.model.evaluation import Answer, SubScore
    from hud_core.model.events import Event
    from hud_core.model.task import EnvRef, Recipe

__all__ = [
    "Agent", "Backend", "Cancelled", "Executor", "Grader", "JobHandle", "ResultSink", "Session", "Solution",
    "SolutionAgent", "SyncPlan", "SyncReport", "TaskSink", "TaskSource", "Toolbox",
]  # fmt: skip


class Backend(ABC):
    """Knows how to open an environment. One object serves one job."""

    tasks: TaskGroup | None = None
    """Where tasks may be started that live longer than a rollout, and that `aclose` ends; None outside any job."""
    upcoming: Callable[[], int] | None = None
    """Says how many rollouts are still to be begun, for what is prepared ahead; as many as run at once where that is
    not known yet. None outside any job."""

    @abstractmethod
    def open(self, ref: Recipe | EnvRef, *, seed: int | None = None) -> AbstractAsyncContextManager[Session]:
        """Open a live environment for one rollout; leaving the context tears it down.

        It is entered, driven and left in one task. Two of them never share state that the backend can keep apart.

        Raises:
            BackendError: The environment cannot be opened; another attempt may help.
            ConfigError: This backend can never open such a `ref`.
        """

    async def check(self) -> None:
        """Find out before a job whether the backend works here.

        Raises:
            BackendError: It does not; the message says what to do.
        """

    async def aclose(self) -> None:
        """Release what outlives a rollout: pools, servers, initialised environments."""


class Agent(ABC):
    """Turns a prompt and a toolbox into an answer. One object may run many rollouts at once."""

    name: str = ""
    """What records call it; the provider's name where it is empty."""
    uses_terminal: ClassVar[bool] = False
    """Whether the agent itself talks to the person at the terminal, so that nobody else may draw there."""
    wants_setup_output: bool = False
    """Whether prompts come with what the scenario's own tool calls gave (`Prompt.setup_output`)."""

    @abstractmethod
    async def run(self, prompt: Prompt, toolbox: Toolbox, *, max_steps: int) -> Answer | str:
        """Attempt the task.

        Args:
            prompt: What is asked, with roles and images.
            toolbox: The tools; the only way to the environment.
            max_steps: Model turns at the most.

        Raises:
            ProviderError: The model's endpoint failed; another attempt may help.
            AgentError: The agent failed.
        """

    @property
    def called_models(self) -> tuple[str, ...]:
        """The models that the agent is known to call: a budget in dollars needs their prices before a job starts."""
        return ()

    @property
    def fingerprint(self) -> str:
        """What tells this agent from one that would behave differently: its name and settings."""
        return self.name

    async def aclose(self) -> None:
        """Release what outlives a rollout, such as connections."""


@frozen(kw_only=True)
class Solution:
    """What solves a task: the calls to make and the answer to give."""

    calls: tuple[ToolCall, ...] = ()
    answer: Any = None


class SolutionAgent(Agent):
    """An agent that is given each task's solution, to prove that tasks can be solved. Never a contestant.

    Other agents never see a solution: this class is the only door to it, and records say so (`Rollout.sees_solution`).
    """

    @abstractmethod
    def with_solution(self, solution: Solution) -> Agent:
        """Make the agent that attempts the task of this solution."""


class Grader(ABC):
    """Turns an answer, and the live environment, into a sub-score."""

    needs_session: bool = True
    """Whether it looks at the live environment. One that does not can grade a stored answer again (``hud regrade``)."""

    def check(self, **options: Any) -> None:
        """Check a row's options before the job begins, so that a mistake costs nothing; by default they are taken.

        That `grade` takes options of these names is checked already.

        Raises:
            ConfigError, ArgumentError: An option cannot be right; the message names it and the fix.
        """

    @abstractmethod
    async def grade(self, answer: Answer, session: Session, *_: Any, **options: Any) -> SubScore:
        """Grade an answer.

        Args:
            answer: What the agent answered.
            session: The live environment, as the agent left it.
            options: The row's options but ``name`` and ``weight``. Name those you take, as ``*, expected: str``: type
                checkers accept that, and a row with another option is an error.

        Raises:
            GraderError: It could not be measured. Never a 0 instead.
        """


class TaskSource(ABC):
    """Knows where tasks come from."""

    kernel: Kernel | None = None
    """The kernel that found the source; None for one that was made by hand."""

    @abstractmethod
    def claims(self, ref: str) -> bool:
        """Whether `ref` is one of this source's, judged without loading it and without the network."""

    @abstractmethod
    def load(self, ref: str) -> AsyncIterator[Task]:
        """Read the tasks, in their order of definition, as they come.

        Raises:
            TaskDataError: Rows are wrong; all of them are named.
            ConfigError: There is no such thing.
        """

    async def pin(self, ref: str) -> str:
        """Name exactly what `ref` means now, such as a commit for a branch, so that a resumed job reads the same.

        Raises:
            ConfigError: There is no such thing.
        """
        return ref

    def with_split(self, ref: str, split: str) -> str:
        """Name a part of what `ref` names, as ``hud eval --split`` asks for.

        Raises:
            ConfigError: It has no such parts.
        """
        msg = f"{ref} has no splits, so there is none called {split!r}"
        raise ConfigError(msg)

    def read_row(self, row: Mapping[str, Any], where: str) -> Task | None:  # noqa: ARG002  for those that know a form
        """Make a task of a row that another source found, and that has a form of this source's own.

        Args:
            row: JSON data that is no task in the kernel's form.
            where: What problems call the row.

        Returns:
            None for a row of any other form.

        Raises:
            TaskDataError: The row has the form, and mistakes; every one is named.
        """
        return None


@frozen(kw_only=True)
class SyncPlan:
    """What a sync would do, by slug."""

    ref: str
    create: tuple[Task, ...] = ()
    update: tuple[tuple[Task, str], ...] = ()
    """Tasks with what changed in them."""
    unchanged: tuple[str, ...] = ()
    remote_only: tuple[str, ...] = ()
    """Tasks that exist there and not here; a sync never deletes them."""


@frozen(kw_only=True)
class SyncReport:
    """What a sync did."""

    created: int
    updated: int
    url: str | None = None


class TaskSink(ABC):
    """Knows where tasks go: a file, a dataset, a platform's taskset."""

    @abstractmethod
    async def plan(self, tasks: Sequence[Task], ref: str) -> SyncPlan:
        """Compare tasks with what `ref` holds. Changes nothing."""

    @abstractmethod
    async def apply(self, plan: SyncPlan) -> SyncReport:
        """Carry a plan out."""


class ResultSink(ABC):
    """Receives what happens in a job, one frozen event each."""

    @abstractmethod
    async def handle(self, event: Event) -> None:
        """Take an event. Called from one task, in order; what it raises is counted, shown once and goes no further."""

    async def aclose(self) -> None:
        """Write what is left; called with a deadline when the job ends."""


class JobHandle(ABC):
    """A job that an executor runs."""

    @abstractmethod
    async def wait(self) -> Job:
        """Wait until the job has ended."""

    @abstractmethod
    async def cancel(self) -> None:
        """Stop the job; rollouts that have ended are kept."""


@frozen(kw_only=True)
class Cancelled:
    """What an executor stopped."""

    found: int = 0
    """Tasks that had not ended."""
    jobs: Mapping[str, int] = field(factory=dict)
    """How many tasks of each job were stopped, by the job's id."""


class Executor(ABC):
    """Runs a job's rollouts somewhere: a cluster, a platform."""

    @abstractmethod
    async def submit(self, job: JobSpec) -> JobHandle:
        """Start a job."""

    async def cancel(self, job: str | None = None, task: str | None = None) -> Cancelled:
        """Stop what this or another process submitted: a job, one task of it, or without arguments all of one's own.

        Raises:
            ConfigError: This executor keeps no jobs that others submitted; it is what happens by default.
        """
        what = f"task {task!r} of job {job!r}" if task else f"job {job!r}" if job else "jobs"
        raise ConfigError(f"executor {type(self).__name__} cannot stop {what}: it knows only what it was handed here")
