"""hud: what users import. Everything here lives in `hud_core` or in a plugin, and is imported when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud._lazy import lazy

if TYPE_CHECKING:
    from hud import eval  # noqa: A004  the module is callable: `hud.eval(task)`
    from hud_core import (
        Environment,
        EvalBatch,
        EvalContext,
        Job,
        Kernel,
        Rollout,
        Task,
        __version__,
        run,
    )
    from hud_core.instrument import instrument

__all__ = [
    "Environment", "EvalBatch", "EvalContext", "Job", "Kernel", "Rollout", "Task", "__version__", "eval", "instrument",
    "run",
]  # fmt: skip

_load = lazy(
    __name__,
    {
        **{name: f"hud_core:{name}" for name in __all__ if name not in ("eval", "instrument")},
        "instrument": "hud_core.instrument:instrument",
    },
    {"Chat": ("hud_platform.chat:Chat", "hud-platform")},
)


def __getattr__(name: str) -> object:
    if name == "eval":
        import importlib

        return importlib.import_module("hud.eval")
    return _load(name)


def __dir__() -> list[str]:
    return sorted(__all__)
