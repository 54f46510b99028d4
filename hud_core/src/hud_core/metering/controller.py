"""How many calls of one model run at once: a controller that learns it from what the endpoint refuses.

There is no limit until an endpoint says that it is overloaded. Then time is cut into windows. After a window with
refusals the limit goes down, at most once, towards what the endpoint got done (the rate of its answers times how long
one takes: Little's law). After one without, it goes up by a step, if calls waited for it.

Not every refusal means that fewer calls would help: some endpoints refuse a share of all calls, whatever the load. So a
cut is on trial. If the endpoint refuses clearly less afterwards, the cut stays. If it still refuses and gets as much
done as before, it is cut again. If it still refuses and gets less done, the cut did harm: the limit goes back to where
it was, and the controller leaves it for a time that doubles with each such trial.
"""

from __future__ import annotations

import math
from typing import NamedTuple

WINDOW = 1.0
"""Seconds of a window at the least; it is longer where calls take long, or few are answered."""
FIRST_WINDOW = 60.0
"""Seconds that an endpoint has for its first answer, before refusals mean that it answers nobody."""
LATENCIES = 3.0
"""How many calls' time a window is at the least."""
SAMPLES = 20
"""Answers of a window at the least."""
TOLERATED = 0.02
"""The share of refusals that is as good as none, at the least."""
TOLERATED_CALLS = 0.5
"""How many of the calls at once may be refused, as good as none: to have one less costs more."""
DEEPEST, SHALLOWEST = 0.3, 0.9
"""What a cut leaves of the limit, at the least and at the most."""
HELPED = 0.6
"""A cut helped if the share of refusals fell to this share of what it was, and not by chance."""
HARMED = 0.85
"""A cut did harm if the rate of answers fell below this share of what it was."""
STEP = 0.05
"""By what share of the last cut's limit the limit grows; by one at the least."""
STEPS = 4
"""After so many windows without refusals the steps double."""
FORGOTTEN = 120.0
"""Seconds without a call after which it does not count that the endpoint refused all."""
FIRST_REST, LONGEST_REST = 8, 256
"""For how many windows the limit is left alone after a cut that did harm."""


class Window(NamedTuple):
    """What happened in one window."""

    limit: float
    seconds: float
    answered: int
    refused: int
    peak: int
    """Calls at once at the most."""
    is_bound: bool
    """Whether calls had to wait for the limit."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds

    @property
    def share(self) -> float:
        """The share of calls that were refused."""
        return self.refused / max(self.answered + self.refused, 1)

    @property
    def is_clean(self) -> bool:
        """Whether refusals were as good as none."""
        return self.share <= max(TOLERATED, TOLERATED_CALLS / min(self.limit, max(self.peak, 1)))


class Controller:
    """Holds the limit of one model at one endpoint. Time is what it is told, in seconds of any clock.

    Args:
        now: The time.
    """

    def __init__(self, now: float) -> None:
        self.limit: float = math.inf
        """How many calls may run at once."""
        self.latency: float = 0.0
        """Seconds that an answer takes, on average."""
        self.refused: int = 0
        """Calls that the endpoint refused, in all."""
        self._running = 0
        """Calls at once when the last one was sent."""
        self._quiet_since: float | None = None
        """Since when the endpoint has refused calls and answered none."""
        self._last_refusal = now
        self._before: Window | None = None
        """The window before the cuts that are on trial."""
        self._steps = 0
        """Windows in which the limit grew, since the last cut."""
        self._reach = 0.0
        """From half of here on the limit grows by steps; it doubles below."""
        self._rest = FIRST_REST
        self._rests_until = -math.inf
        self._was_harmful = False
        """Whether the last cut did harm, so that refusals are no reason not to grow."""
        self._known_share = 0.0
        """The share of refusals that is known to be independent of the limit."""
        self._begin(now)

    def _begin(self, start: float) -> None:
        self._start = start
        self._due = start + (max(WINDOW, LATENCIES * self.latency) if self.latency else FIRST_WINDOW)
        self._answered = self._refused = 0
        self._peak = self._running
        self._is_bound = False

    # --- what happens -------------------------------------------------------------------------------------------------

    def sent(self, running: int) -> None:
        """Take note that a call was sent, and how many run now."""
        self._running = running
        if running > self._peak:  # noqa: PLR1730  `max` costs more, and this is done for every call
            self._peak = running

    def held(self) -> None:
        """Take note that a call must wait for the limit."""
        self._is_bound = True

    def answered(self, now: float, seconds: float) -> None:
        """Take note of an answer that took so long."""
        self._quiet_since = None
        if not self.latency:  # only now is there a rate to measure
            self.latency = max(seconds, 1e-6)
            self._begin(now)
        self.latency += (seconds - self.latency) * 0.05
        if now >= self._start:
            self._answered += 1
            if now >= self._due:
                self._close(now)

    def refuse(self, now: float) -> None:
        """Take note that the endpoint refused a call."""
        self.refused += 1
        if self._quiet_since is None or now - self._last_refusal > FORGOTTEN:
            self._quiet_since = now
        self._last_refusal = now
        if now >= self._start:
            self._refused += 1
            if now >= self._due:
                self._close(now)

    def cooling(self, now: float, sent: float, wait: float) -> float:
        """Say for how much longer a call that was refused counts as one that runs, of the time that it waits.

        It counts as long as an answer takes. So refusals that come at once do not call others in at once, and so many
        calls a second are tried as can be answered.
        """
        if self.limit == math.inf:
            return 0.0
        return min(wait, max(0.0, sent + self.latency - now) if self.latency else wait)

    def silence(self, now: float) -> float:
        """Say for how many seconds the endpoint has refused calls and answered none."""
        return 0.0 if self._quiet_since is None else now - self._quiet_since

    # --- what follows -------------------------------------------------------------------------------------------------

    def _close(self, now: float) -> None:
        """End the window, if it says enough, and draw conclusions from it."""
        if self._answered + self._refused < SAMPLES:
            return
        window = Window(self.limit, now - self._start, self._answered, self._refused, self._peak, self._is_bound)
        if self._before is not None:
            self._judge(window, self._before, now)
        elif not (window.is_clean or self._is_resting(window, now)):
            self._before = window
            self._cut(window)
        elif window.is_bound and (window.is_clean or self._was_harmful):
            self._grow()
        self._begin(now if self.limit == window.limit else now + self.latency)

    def _is_resting(self, window: Window, now: float) -> bool:
        return now < self._rests_until and window.share <= 1.5 * self._known_share + 0.05

    def _judge(self, window: Window, before: Window, now: float) -> None:
        """Decide about the cuts on trial."""
        is_refused_less = window.is_clean or _has_fallen(window, before)
        is_as_fast = not window.is_bound or window.rate >= HARMED * before.rate
        if not window.answered or (window.is_bound and is_as_fast and not is_refused_less and self.limit > 1):
            self._cut(window)
            return
        self._before = None
        if is_refused_less:
            self._rest = FIRST_REST
            if not is_as_fast:  # it was cut too far
                self.limit = min(before.limit, math.ceil(self.limit * before.rate / window.rate))
            return
        if not (window.is_bound and is_as_fast):  # it did harm, or nobody waited for the limit
            self.limit = before.limit
        self._known_share, self._was_harmful = window.share, not is_as_fast
        self._rests_until = now + self._rest * window.seconds
        self._rest = min(2 * self._rest, LONGEST_REST)

    def _cut(self, window: Window) -> None:
        base = min(self.limit, window.peak)
        useful = window.rate * self.latency
        self.limit = max(1, math.floor(min(max(useful, DEEPEST * base), SHALLOWEST * base)))
        self._reach = self.limit if window.answered else max(self._reach, base)  # an outage says nothing of the load
        self._steps = 0

    def _grow(self) -> None:
        self._steps += 1
        if 2 * self.limit < self._reach:
            self.limit *= 2
        else:
            self.limit += max(1, round(STEP * self._reach)) * 2 ** max(0, self._steps - STEPS)


def _has_fallen(window: Window, before: Window) -> bool:
    """Whether the share of refusals fell, by much and not by chance (two standard errors)."""
    chance = before.share * (1 - before.share)
    error = math.sqrt(chance / (before.answered + before.refused) + chance / (window.answered + window.refused))
    return window.share < HELPED * before.share and before.share - window.share > 2 * error
