"""How long each phase of a rollout may take, and when a failed attempt is tried again."""

from __future__ import annotations

from typing import Any

from attrs import Attribute, field, frozen

from hud_core.errors import Cause, ConfigError, ProviderError, Verdict


def _positive(_: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None and not value > 0:
        msg = f"timeout {attribute.name!r} must be more than 0 seconds, got {value}"
        raise ConfigError(msg)


@frozen(kw_only=True)
class Timeouts:
    """Deadlines of the phases of a rollout, in seconds; None is none."""

    open: float | None = field(default=120.0, validator=_positive)
    setup: float | None = field(default=120.0, validator=_positive)
    agent: float | None = field(default=None, validator=_positive)
    """A rollout whose agent runs out of time is graded as it stands."""
    grade: float | None = field(default=600.0, validator=_positive)
    close: float = field(default=30.0, validator=_positive)


@frozen(kw_only=True)
class Retries:
    """When a failed attempt is tried again, by cause.

    The wait doubles with each attempt, with jitter of up to a half; it is never less than a provider's ``Retry-After``.
    """

    attempts: int = 3
    """Attempts at the most, the first included."""
    delay: float = 0.5
    """Seconds before the second attempt."""
    max_delay: float = 60.0
    causes: frozenset[Cause] = frozenset({Cause.BACKEND, Cause.PROVIDER, Cause.LOST})

    def wait(self, attempt: int, verdict: Verdict, error: BaseException) -> float | None:
        """Say how many seconds to wait after attempt number `attempt` failed, or None not to try again."""
        if attempt >= self.attempts or not verdict.retry or verdict.cause not in self.causes:
            return None
        import random  # only a failure pays for it

        backoff: float = min(self.delay * 2 ** (attempt - 1), self.max_delay)
        backoff *= 1 + random.random() / 2  # noqa: S311  jitter keeps nothing secret
        asked = error.retry_after if isinstance(error, ProviderError) and error.retry_after else 0.0
        return max(backoff, asked)
