"""The kernel's logger. The one place that imports structlog, and only when something is logged."""

from __future__ import annotations

from typing import Protocol


class Logger(Protocol):
    """**Protocol:** what the kernel asks of a logger."""

    def debug(self, event: str, **data: object) -> object:
        """Log something for developers."""

    def info(self, event: str, **data: object) -> object:
        """Log something."""

    def warning(self, event: str, **data: object) -> object:
        """Log something that people should look at."""


def logger() -> Logger:
    """Give the logger ``hud``; its records go to the standard library's logging, where the program sends them on."""
    import logging

    import structlog

    wrapped: Logger = structlog.wrap_logger(
        logging.getLogger("hud"),
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return wrapped
