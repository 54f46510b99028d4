"""`hud.eval(task)` opens a rollout that you drive yourself; this module is callable, and holds the types beside it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hud._lazy import lazy

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from hud_core import EvalBatch, EvalContext, Task, evaluate

__all__ = ["EvalBatch", "EvalContext", "Task", "evaluate"]

__getattr__ = lazy(
    __name__,
    {
        "EvalBatch": "hud_core:EvalBatch",
        "EvalContext": "hud_core:EvalContext",
        "Task": "hud_core:Task",
        "evaluate": "hud_core:evaluate",
    },
    {
        "build_env_from_v4": ("hud_huggingface.legacy:build_env_from_v4", "hud-huggingface"),
        "is_v4_format": ("hud_huggingface.legacy:is_v4_format", "hud-huggingface"),
        "validate_v4_task": ("hud_huggingface.legacy:validate_v4_task", "hud-huggingface"),
    },
)


class _Callable(ModuleType):
    """A module that can be called: importing `hud.eval.task` would otherwise hide the function `hud.eval`."""

    def __call__(self, *args: Any, **kwargs: Any) -> AbstractAsyncContextManager[Any]:
        """Open rollouts that you drive yourself; see `hud_core.evaluate`."""
        import hud_core

        return hud_core.evaluate(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
