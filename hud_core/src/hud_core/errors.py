"""Every exception the kernel raises, and the one table that says what an exception means for a rollout.

HudError
├── ConfigError              a setting, option or call that cannot be right (exit code 2)
├── PluginError              a plugin that cannot be used
│   ├── DuplicateProviderError
│   └── UnknownProviderError
├── DefinitionError          an environment, tool or scenario that is declared wrongly
├── ArgumentError            wrong, missing or unknown arguments of a tool or scenario
├── TaskDataError            a task file or row with mistakes, all of them listed
├── ToolError                a tool says no: becomes a result with ``is_error``, never ends a rollout
├── RunDirectoryError        the run directory cannot be written or read
└── RolloutError             ends a rollout as ``invalid``; its class says why
    ├── SetupError
    ├── BackendError         (retried)
    ├── ProviderError        (retried, honours ``retry_after``)
    │   └── ContextOverflowError   (the agent's loop ends with it as its stop reason)
    ├── AgentError
    ├── GraderError
    ├── BudgetError
    └── LostError            (retried)
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Cause(StrEnum):
    """Why a rollout has no score."""

    SETUP = "setup"
    BACKEND = "backend"
    PROVIDER = "provider"
    AGENT = "agent"
    GRADER = "grader"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    BUDGET = "budget"
    LOST = "lost"


class Verdict(NamedTuple):
    """What an exception means: the cause that is recorded, and whether another attempt may help."""

    cause: Cause
    retry: bool = False


class HudError(Exception):
    """Base class of every error that the kernel and its plugins raise on purpose."""


class ConfigError(HudError):
    """A setting, an option or a call that cannot be right; the message names it and the fix."""


class PluginError(HudError):
    """A plugin that cannot be used; the message names its distribution."""


class DuplicateProviderError(PluginError):
    """Two plugins provide one name."""


class UnknownProviderError(PluginError, LookupError):
    """No installed plugin provides a name; the message says what is installed and what to install."""


class DefinitionError(HudError, TypeError):
    """An environment, tool or scenario that is declared wrongly; raised where it is declared."""


class ArgumentError(HudError, TypeError, ValueError):
    """Arguments that a tool or scenario does not accept, every one of them listed.

    It is a `TypeError` and a `ValueError` too, because callers of plain Python functions expect those.
    """

    def __init__(self, subject: str, problems: Iterable[str]) -> None:
        self.subject = subject
        self.problems: tuple[str, ...] = tuple(problems)
        super().__init__(f"{subject}: " + "; ".join(self.problems))


class TaskDataError(HudError, ValueError):
    """Task data with mistakes: one line each, ``what @ where``."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        super().__init__("\n".join(self.problems))


class ToolError(HudError):
    """Raised by a tool to answer the agent with an error; its text is what the agent reads."""


class RunDirectoryError(HudError):
    """The run directory cannot be written or read; what it holds so far stays readable."""


class RolloutError(HudError):
    """Base class of what ends a rollout as ``invalid``. Plugins raise its subclasses, or subclass them."""

    verdict: ClassVar[Verdict] = Verdict(Cause.AGENT)


class SetupError(RolloutError):
    """The scenario could not produce its prompt."""

    verdict: ClassVar[Verdict] = Verdict(Cause.SETUP)


class BackendError(RolloutError):
    """The environment's backend failed: a crashed process, a lost container, a dead server."""

    verdict: ClassVar[Verdict] = Verdict(Cause.BACKEND, retry=True)
    is_unsent: bool = False
    """Whether what was asked is known not to have arrived, so that asking again does nothing twice."""


class ProviderError(RolloutError):
    """A model endpoint failed: rate limit, overload, network, refused credentials.

    Args:
        message: What the endpoint answered.
        retry: Whether another attempt may help; false for refused credentials and the like.
        retry_after: Seconds the endpoint asked to wait, when it did.
        overloaded: Whether the endpoint has too much to do at the moment (429, 503, 529 and the like): the same request
            will succeed once it has less.
    """

    verdict: ClassVar[Verdict] = Verdict(Cause.PROVIDER, retry=True)

    def __init__(
        self, message: str, *, retry: bool = True, retry_after: float | None = None, overloaded: bool = False
    ) -> None:
        super().__init__(message)
        self.retry = retry
        self.retry_after = retry_after
        self.overloaded = overloaded


class ContextOverflowError(ProviderError):
    """The conversation does not fit into the model's context. `ToolLoopAgent` ends and is graded as it stands."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry=False)


class AgentError(RolloutError):
    """The agent itself failed."""

    verdict: ClassVar[Verdict] = Verdict(Cause.AGENT)


class GraderError(RolloutError):
    """Grading failed, or gave something that is not a finite reward."""

    verdict: ClassVar[Verdict] = Verdict(Cause.GRADER)


class BudgetError(RolloutError):
    """A budget was spent before the rollout ended."""

    verdict: ClassVar[Verdict] = Verdict(Cause.BUDGET)


class LostError(RolloutError):
    """The executor lost the rollout."""

    verdict: ClassVar[Verdict] = Verdict(Cause.LOST, retry=True)


PHASE_CAUSES = {
    "open": Cause.BACKEND,
    "setup": Cause.SETUP,
    "agent": Cause.AGENT,
    "grade": Cause.GRADER,
    "close": Cause.BACKEND,
}
"""What an exception of any other class means, by the phase that it ended."""


def verdict_for(error: BaseException, phase: str) -> Verdict:
    """Say what an exception that ended `phase` means for the rollout."""
    if isinstance(error, ProviderError):
        return error.verdict._replace(retry=error.retry)
    if isinstance(error, RolloutError):
        return error.verdict
    if isinstance(error, TimeoutError):
        return Verdict(Cause.TIMEOUT)
    return Verdict(PHASE_CAUSES[phase], retry=isinstance(error, ConnectionError))


def describe(error: BaseException) -> str:
    """Say an exception in one piece of text: its class unless it is one of ours, its message, its notes."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(describe(inner) for inner in error.exceptions)
    text = str(error)
    named = text if isinstance(error, HudError) and text else f"{type(error).__name__}: {text}".rstrip(": ")
    return "\n".join([named, *getattr(error, "__notes__", ())])


def closest(name: str, known: Iterable[str]) -> str:
    """Say which known name is meant, as ``; did you mean 'x'?``, or nothing."""
    import difflib  # only a mistake pays for it

    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""
