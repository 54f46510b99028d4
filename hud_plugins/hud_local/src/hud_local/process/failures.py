"""Exceptions on their way from a child to the job: their class and text cross, so that they mean the same there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hud_core.errors import (
    AgentError,
    ArgumentError,
    BackendError,
    BudgetError,
    ConfigError,
    GraderError,
    LostError,
    ProviderError,
    SetupError,
    ToolError,
    describe,
)
from hud_core.failures import place_of
from hud_local.process.messages import Failure

_PLAIN: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (
        AgentError, BackendError, BudgetError, ConfigError, GraderError, LostError, SetupError, ToolError,
        ConnectionError, TimeoutError,
    )
}  # fmt: skip
"""Classes that are made from their text alone. A subclass of one travels as that one."""
_OTHERWISE = {"grade": "GraderError", "call_tool": "ToolError"}
_OWN = str(Path(__file__).parents[1])


def capture(error: BaseException, method: str) -> Failure:
    """Make the failure of what `method` raised; an exception of no kernel class is one of the setup or the grading."""
    if isinstance(error, ArgumentError):
        return Failure("ArgumentError", str(error), {"subject": error.subject, "problems": error.problems})
    text = describe(error) + where(error)
    if isinstance(error, ProviderError):
        return Failure("ProviderError", text, {"retry": error.retry, "retry_after": error.retry_after})
    ancestors = (kind.__name__ for kind in type(error).__mro__ if _PLAIN.get(kind.__name__) is kind)
    kind = next(ancestors, _OTHERWISE.get(method, "SetupError"))
    return Failure(kind, text.removeprefix(f"{kind}: "))  # whoever shows it names a Python class again


def rebuild(failure: Failure) -> Exception:
    """Make the exception of a failure."""
    details: dict[str, Any] = failure.details
    if failure.kind == "ArgumentError":
        return ArgumentError(**details)
    if failure.kind == "ProviderError":
        return ProviderError(failure.text, **details)
    return _PLAIN[failure.kind](failure.text)


def where(error: BaseException) -> str:
    """Name the file and line of the user's code to look at; empty where there is none."""
    return place_of(error, _OWN)
