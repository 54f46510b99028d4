"""What came of the phases: as records, as text for people, as JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import asdict, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LOG_LINES = 30
"""How many of the container's last lines are shown where a phase failed."""
MAX_WIDTH = 500
"""How many characters of a line are shown."""


def _last(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(lines)[-LOG_LINES:]


@frozen(kw_only=True)
class Phase:
    """One phase: what was tried, and what came of it."""

    number: int
    title: str
    """Says what is so: that the image exists, or that tool discovery failed."""
    passed: bool
    seconds: float
    tried: str
    found: tuple[str, ...] = ()
    """What came back, a line each."""
    error: str | None = None
    fix: str | None = None
    """What usually helps; None where nothing failed, or nobody knows."""
    log: tuple[str, ...] = field(default=(), converter=_last)
    """What the container wrote last, where the phase failed."""


@frozen(kw_only=True)
class Examination:
    """All the phases that were run."""

    image: str
    phases: tuple[Phase, ...]
    max_phase: int

    @property
    def failed(self) -> Phase | None:
        """The phase that failed; None where none did."""
        return next((phase for phase in self.phases if not phase.passed), None)


def as_text(phase: Phase, *, is_verbose: bool = False) -> Iterator[str]:
    """Say a phase to a person."""
    mark = "✓" if phase.passed else "✗"
    yield f"{mark} Phase {phase.number}: {phase.title}  ({phase.seconds:.1f} s)"
    if not phase.passed:
        yield f"  → Error: {_indented(phase.error or 'unknown')}"
        if phase.fix:
            yield f"  → Fix: {_indented(phase.fix)}"
    if is_verbose or not phase.passed:
        yield f"  → Tried: {_cut(phase.tried)}"
    yield from (f"    {_cut(line)}" for line in phase.found)
    if phase.log:
        yield "  → The container wrote last:"
        yield from (f"    | {_cut(line)}" for line in phase.log)


def summary(examination: Examination) -> str:
    """Say all of it in a line."""
    done = sum(phase.passed for phase in examination.phases)
    if examination.failed is not None:
        return f"{examination.image}: phase {examination.failed.number} failed, {done} before it passed"
    return f"{examination.image}: all {done} phases passed"


def as_data(examination: Examination) -> dict[str, Any]:
    """Give it as JSON data."""
    failed = examination.failed
    return {
        "image": examination.image,
        "passed": failed is None,
        "failed_phase": None if failed is None else failed.number,
        "max_phase": examination.max_phase,
        "phases": [asdict(phase) for phase in examination.phases],
    }


def _indented(text: str) -> str:
    return "\n    ".join(map(_cut, text.splitlines()))


def _cut(line: str) -> str:
    return line if len(line) <= MAX_WIDTH else f"{line[:MAX_WIDTH]} …"
