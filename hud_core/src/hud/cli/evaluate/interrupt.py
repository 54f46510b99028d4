"""Ctrl-C, or SIGTERM, while a job runs: once stops the job, twice ends the process."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Self

from hud.cli.exits import Exit

if TYPE_CHECKING:
    from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = "\x1b[?25h\n"


class Interrupts:
    """Counts Ctrl-C and SIGTERM.

    The first is left to whoever looks at `pressed`; the second takes effect even if nobody looks.

    A handler of its own, rather than the event loop's: environments run in this process, and one that blocks the loop
    must not keep the second one from working.
    """

    def __init__(self) -> None:
        self.pressed = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python gives no signals
            self._before = {number: signal.signal(number, self._press) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _press(self, _signum: int, _frame: FrameType | None) -> None:
        self.pressed += 1
        if self.pressed > 1:
            if os.isatty(2):
                os.write(2, SHOW_CURSOR.encode())
            os._exit(Exit.INTERRUPTED)  # the run directory is whole at any moment; nothing else is worth the wait
