"""What an engine says no to, as the kernel's errors: each names what was asked of which engine, and the fix.

BackendError
└── EngineError                   the engine failed; another attempt may help
    ├── EngineUnreachableError    nobody answers there (exit code 3)
    ├── MissingError              a container, network or volume that is not, or no longer, there
    └── EngineRefusedError        (not retried) it will say no again
        ├── ImageMissingError
        ├── ConflictError         a name or a state that is taken
        └── NoSpaceError
"""

from __future__ import annotations

from typing import ClassVar

from hud_core.errors import BackendError, Cause, Verdict

__all__ = [
    "ConflictError", "EngineError", "EngineRefusedError", "EngineUnreachableError", "ImageMissingError", "MissingError",
    "NoSpaceError",
]  # fmt: skip

_CONNECTION = 3


class EngineError(BackendError):
    """The container engine failed at something; another attempt may help."""


class EngineUnreachableError(EngineError):
    """No container engine answers; the message says what to start, or what to change."""

    exit_code = _CONNECTION


class MissingError(EngineError):
    """A container, a network or a volume that is not there, or no longer."""


class EngineRefusedError(EngineError):
    """The engine says no, and will say no again."""

    verdict: ClassVar[Verdict] = Verdict(Cause.BACKEND, retry=False)


class ImageMissingError(EngineRefusedError):
    """The engine has no such image, and no registry gave it one."""


class ConflictError(EngineRefusedError):
    """A name that is taken, or a state in which the engine does not do that."""


class NoSpaceError(EngineRefusedError):
    """The engine's disk is full."""
