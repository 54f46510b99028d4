"""What people see while a job runs: a few lines that stay in place, or a plain line now and then."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from hud.cli.console import is_terminal, plain, say
from hud_core.metering.budget import dollars

if TYPE_CHECKING:
    from types import TracebackType

    from rich.text import Text

    from hud_core.job import Progress

PLAIN_SECONDS = 5.0
"""How often a line is printed where there is no terminal."""


def duration(seconds: float) -> str:
    """Say a duration with its two largest units."""
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004
        return f"{whole}s"
    if whole < 3600:  # noqa: PLR2004
        return f"{whole // 60}m {whole % 60}s"
    return f"{whole // 3600:,}h {whole % 3600 // 60}m"


def counts(progress: Progress) -> str:
    """Say how many rollouts ended, of how many."""
    return f"{progress.done:,}/{progress.total:,}" if progress.total is not None else f"{progress.done:,} done"


def facts(progress: Progress) -> list[str]:
    """Say the rest, the most important first."""
    found = [f"mean {progress.mean:.3f}" if progress.mean is not None else "", f"{progress.running:,} running"]
    found.append(f"{progress.reused:,} kept" if progress.reused else "")
    found.append(spent(progress))
    found.append(f"{progress.retried:,} retried" if progress.retried else "")
    return list(filter(None, found))


def spent(progress: Progress) -> str:
    """Say what was spent on models; the tokens where their price is not known."""
    usage = progress.usage
    if not usage.calls:
        return ""
    return f"{usage.tokens:,} tokens" if usage.cost is None else f"{dollars(usage.cost)} spent"


def pressure(progress: Progress) -> str:
    """Say how the endpoints of models cope that have been overloaded."""
    return "; ".join(map(str, progress.pressure))


def invalid(progress: Progress) -> str:
    """Say how many rollouts have no score, by cause; nothing when all have one."""
    causes = ", ".join(f"{cause} {count:,}" for cause, count in progress.causes.most_common())
    return f"{progress.causes.total():,} invalid: {causes}" if causes else ""


def time_left(progress: Progress) -> str:
    """Say how much longer it takes, where there is an estimate."""
    seconds = progress.seconds_left
    return "" if seconds is None or progress.done == progress.total else f"{duration(seconds)} left"


class Display(ABC):
    """Shows a job's progress."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def update(self, progress: Progress) -> None:
        """Show how far the job is; called ten times a second."""

    def note(self, text: str) -> None:
        """Say something beside the progress."""
        say(text)

    def close(self) -> None:
        """Leave the terminal as it was."""


class Silent(Display):
    """Shows nothing, for ``--quiet``."""

    def update(self, progress: Progress) -> None:
        """Show nothing."""


class Lines(Display):
    """Prints a line every few seconds when something changed; for logs."""

    def __init__(self, seconds: float = PLAIN_SECONDS) -> None:
        self._seconds = seconds
        self._next = time.monotonic() + seconds
        self._last = ""

    def update(self, progress: Progress) -> None:
        """Print a line when it is time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._seconds
        parts = [counts(progress), *facts(progress), pressure(progress), invalid(progress), time_left(progress)]
        line = ", ".join(filter(None, parts))
        if line != self._last:
            self._last = line
            say(line)


class Panel(Display):
    """Keeps a bar and two lines at the bottom of the terminal; what is printed meanwhile scrolls above them."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        self._note = ""

    def update(self, progress: Progress) -> None:
        """Draw the lines anew."""
        from rich.console import Group
        from rich.text import Text

        lines = [
            self._bar(progress),
            Text(" · ".join(facts(progress)), style="dim"),
            Text(pressure(progress), style="dim"),
            Text(invalid(progress), style="yellow"),
            Text(self._note, style="bold"),
        ]
        shown = [line for line in lines if line.plain]
        for line in shown:
            line.no_wrap, line.overflow = True, "ellipsis"
        self._live.update(Group(*shown), refresh=True)

    def _bar(self, progress: Progress) -> Text:
        from rich.text import Text

        label, left = counts(progress), time_left(progress)
        if left and len(label) + len(left) + 10 <= self._console.width:
            label = f"{label}  {left}"
        if not progress.total:
            return Text(label)
        width = max(5, min(40, self._console.width - len(label) - 3))
        full = round(width * min(progress.done / progress.total, 1))
        return Text.assemble(("━" * full, "green"), ("─" * (width - full), "dim"), "  ", label)

    def note(self, text: str) -> None:
        """Say something below the progress, until the job ends."""
        self._note = plain(text)

    def close(self) -> None:
        """Take the lines away."""
        self._live.stop()


def choose_display(*, quiet: bool, can_draw: bool = True) -> Display:
    """Choose how a job's progress is shown here.

    Args:
        quiet: Whether nothing is to be shown.
        can_draw: Whether nobody else uses the terminal meanwhile.
    """
    if quiet:
        return Silent()
    if not is_terminal(sys.stderr):
        return Lines()
    return Panel() if can_draw else Silent()
