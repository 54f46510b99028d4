"""`instrument`: records calls of a function in the trace of the rollout that is running."""

from __future__ import annotations

import functools
import inspect
import time
from typing import TYPE_CHECKING, Any, TypeVar, overload

from hud_core.errors import describe
from hud_core.trace import log_line

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
_LONGEST = 500


@overload
def instrument(function: F, /) -> F: ...


@overload
def instrument(
    *, name: str | None = None, category: str = "function", record_args: bool = True, record_result: bool = True
) -> Callable[[F], F]: ...


def instrument(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    category: str = "function",
    record_args: bool = True,
    record_result: bool = True,
) -> Any:
    """Record each call of a sync or async function as a line of the running rollout's trace: ``@instrument``.

    Args:
        function: What to record, when used without parentheses.
        name: What the trace calls it; the function's qualified name by default.
        category: Kept with each line.
        record_args: Whether to keep the arguments, as shortened text.
        record_result: Whether to keep the result, as shortened text.
    """
    if function is None:
        return functools.partial(
            instrument, name=name, category=category, record_args=record_args, record_result=record_result
        )
    label = name or function.__qualname__

    def note(started: float, args: object, kwargs: object, outcome: dict[str, str]) -> None:
        given = {"args": _short(args), "kwargs": _short(kwargs)} if record_args else {}
        seconds = time.perf_counter() - started
        log_line(label, source="instrument", category=category, seconds=seconds, **given, **outcome)

    def result_of(value: object) -> dict[str, str]:
        return {"result": _short(value)} if record_result else {}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  the function's own result
        started = time.perf_counter()
        try:
            value = function(*args, **kwargs)
        except Exception as error:
            note(started, args, kwargs, {"error": describe(error)})
            raise
        note(started, args, kwargs, result_of(value))
        return value

    @functools.wraps(function)
    async def call_async(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  as above
        started = time.perf_counter()
        try:
            value = await function(*args, **kwargs)
        except Exception as error:
            note(started, args, kwargs, {"error": describe(error)})
            raise
        note(started, args, kwargs, result_of(value))
        return value

    return call_async if inspect.iscoroutinefunction(function) else call


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
