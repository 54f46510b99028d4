"""Grading stored answers again, with named graders, into a run directory of their own."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import msgspec
from attrs import frozen
from msgspec.structs import replace

from hud_core.environment.session import Session
from hud_core.errors import Cause, ConfigError, GraderError
from hud_core.job.attempt import failure_of
from hud_core.job.backends import Backends
from hud_core.job.directory import RunDirectory, read_manifest
from hud_core.job.fingerprint import digest_graders
from hud_core.job.grading import Grading, Row, grade_with, grading_with, needs_session
from hud_core.job.limits import Timeouts
from hud_core.log import logger
from hud_core.metering.meter import JobMeter
from hud_core.model.content import Message, Prompt, TextContent
from hud_core.model.events import AttemptFailed, Graded
from hud_core.model.rollout import NO_USAGE, Rollout, Status
from hud_core.trace import Recorder, current_recorder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from hud_core.interfaces import Agent
    from hud_core.kernel import Kernel
    from hud_core.model.evaluation import Answer, Evaluation
    from hud_core.model.rollout import Usage

KEY = "regraded"
"""What ``job.json`` calls the run that was graded again, and how."""


@frozen
class Regrading:
    """One rollout to grade again."""

    rollout: Rollout
    graders: list[Row] | None
    reason: str = ""
    """Why it cannot be graded again, where it has no graders."""


def plan_regrading(rollout: Rollout, graders: list[Row] | None, reason: str, kernel: Kernel) -> Regrading:
    """Say whether a rollout can be graded again.

    Args:
        rollout: The rollout.
        graders: The rows to grade it with, or None where there are none.
        reason: Why there are none.
        kernel: Provides the graders.
    """
    if rollout.answer is None:
        return Regrading(rollout, None, "there is no answer")
    if graders is None:
        return Regrading(rollout, None, reason)
    if needing := needs_session(graders, kernel):
        named = ", ".join(map(repr, needing))
        return Regrading(rollout, None, f"it needs the live environment: {named} looks at more than the answer")
    return Regrading(rollout, graders)


# --- the directory ----------------------------------------------------------------------------------------------------


def open_regraded(path: Path, old: Path, manifest: Mapping[str, Any], how: Mapping[str, Any]) -> RunDirectory:
    """Make the directory of a run that is graded again, with the old run's events; or go on with one.

    Args:
        path: The new directory.
        old: The old one, of which nothing is changed.
        manifest: What the new ``job.json`` keeps.
        how: What tells this regrading from another one.

    Raises:
        ConfigError: There is another job in `path`.
        RunDirectoryError: It cannot be written.
    """
    if (path / "job.json").exists():
        if read_manifest(path).get(KEY) != how:
            raise ConfigError(f"{path} holds another job than this regrading; give another directory")
        return RunDirectory.reopen(path)
    path.mkdir(parents=True, exist_ok=True)
    _copy_events(old / "events.jsonl", path / "events.jsonl")
    if (old / "files").is_dir():
        shutil.copytree(old / "files", path / "files", copy_function=_link, dirs_exist_ok=True)
    return RunDirectory.create(path, {**manifest, KEY: how})  # last: a copy that was cut short is no run


def _link(source: str, target: str) -> None:
    """Share a file, which is named by its digest and never changes; copy it where that is not possible."""
    with suppress(FileExistsError):
        try:
            os.link(source, target)
        except OSError as error:
            if isinstance(error, FileExistsError):
                raise
            shutil.copy2(source, target)


def _copy_events(source: Path, target: Path) -> None:
    """Copy events but those of the grading, which takes place again."""
    with target.open("wb") as new:
        if source.exists():
            with source.open("rb") as lines:
                new.writelines(line for line in lines if line.endswith(b"\n") and not _is_of_grading(line))


def _is_of_grading(line: bytes) -> bool:
    if not any(mark in line for mark in (b'"graded"', b'"judge"', b'"grade"')):
        return False  # nearly all: looking costs a tenth of reading
    event: dict[str, Any] = msgspec.json.decode(line)
    kind = event.get("type")
    is_judge = kind == "model_called" and event.get("caller") == "judge"
    return kind == "graded" or is_judge or (kind == "attempt_failed" and event.get("phase") == "grade")


# --- grading ----------------------------------------------------------------------------------------------------------


async def regrade(
    plan: Iterable[Regrading],
    kernel: Kernel,
    directory: RunDirectory,
    *,
    max_concurrent: int = 30,
    timeouts: Timeouts | None = None,
) -> Usage:
    """Grade rollouts again, and keep the record of each when it has ended.

    One that cannot be graded again is invalid, with the cause ``grader`` and the reason; one that never had an answer
    stays as it was.

    Args:
        plan: The rollouts.
        kernel: Provides the graders.
        directory: Where records and events go.
        max_concurrent: Rollouts at once.
        timeouts: Deadlines; that of the phase ``grade`` holds.

    Returns:
        What the graders used of models.

    Raises:
        RunDirectoryError: The directory cannot be written; what it holds stays readable.
    """
    waiting, prompts = iter(plan), _Prompts(directory.path / "events.jsonl")
    seconds = (timeouts or Timeouts()).grade
    spent = NO_USAGE
    meter = JobMeter(kernel.meter)
    judges: dict[str, Agent] = {}

    async def work() -> None:
        nonlocal spent
        for one in waiting:
            recorder = Recorder(one.rollout.id, meter=meter.rollout(one.rollout.repeat))
            grading = Grading(kernel, prompts.of(one.rollout.id), judges)
            record = await _again(one, grading, recorder, seconds, directory.path.name)
            directory.append_events(recorder.pending)
            directory.append_rollout(record)
            spent += recorder.usage

    try:
        async with anyio.create_task_group() as workers:
            for _ in range(max_concurrent):
                workers.start_soon(work)
    except ExceptionGroup as group:  # the directory is what can fail, for all of them
        raise group.exceptions[0] from None
    finally:
        for warning in await Backends(kernel, None).aclose(judges.values()):
            logger().warning(warning)
    return spent


async def _again(one: Regrading, grading: Grading, recorder: Recorder, seconds: float | None, job: str) -> Rollout:
    if one.rollout.answer is None:
        return replace(one.rollout, job_id=job)
    if one.graders is None:
        return _invalid(one.rollout, job, Cause.GRADER, f"not regradable: {one.reason}")
    token = current_recorder.set(recorder)
    try:
        evaluation = await _evaluate(one.graders, one.rollout.answer, grading, seconds)
    except Exception as error:  # noqa: BLE001  a rollout's error is its outcome, never its siblings'
        failure = failure_of(error, "grade")
        recorder.add(_failed(one.rollout, failure.verdict.cause, failure.text))
        return _fingerprinted(_invalid(one.rollout, job, failure.verdict.cause, failure.text), one.graders)
    finally:
        current_recorder.reset(token)
    recorder.add(Graded(rollout=one.rollout.id, evaluation=evaluation, time=time.time()))
    return _fingerprinted(_scored(one.rollout, job, evaluation), one.graders)


async def _evaluate(graders: list[Row], answer: Answer, grading: Grading, seconds: float | None) -> Evaluation:
    with anyio.move_on_after(seconds), grading_with(grading):
        return await grade_with(graders, grading.kernel, answer, GoneSession())
    raise TimeoutError(f"grading took longer than its {seconds:g} s")


def _scored(rollout: Rollout, job: str, evaluation: Evaluation) -> Rollout:
    return replace(
        rollout,
        job_id=job,
        status=Status.SCORED,
        stop_reason=None if rollout.answer is None else rollout.answer.stop_reason,
        cause=None,
        phase=None,
        error=None,
        reward=evaluation.reward,
        evaluation=evaluation,
    )


def _invalid(rollout: Rollout, job: str, cause: Cause, error: str) -> Rollout:
    return replace(
        rollout,
        job_id=job,
        status=Status.INVALID,
        stop_reason=None,
        cause=cause,
        phase="grade",
        error=error,
        reward=None,
        evaluation=None,
    )


def _fingerprinted(rollout: Rollout, graders: list[Row]) -> Rollout:
    earlier = rollout.fingerprint
    return rollout if earlier is None else replace(
        rollout, fingerprint=replace(earlier, grader=digest_graders(graders))
    )  # fmt: skip


def _failed(rollout: Rollout, cause: Cause, error: str) -> AttemptFailed:
    attempt = len(rollout.attempts) + 1
    return AttemptFailed(rollout=rollout.id, attempt=attempt, cause=cause, phase="grade", error=error, time=time.time())


class _Prompts:
    """The prompts of a run, read when they are asked for: of a large run only their places are held.

    Args:
        path: The run's events.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, int] = {}
        place = 0
        with path.open("rb") as lines:
            for line in lines:
                if b'"type":"prompted"' in line:
                    event = msgspec.json.decode(line)
                    if event.get("type") == "prompted":
                        self._places[event["rollout"]] = place
                place += len(line)

    def of(self, rollout: str) -> Prompt | None:
        """Give the text of a rollout's prompt, as a prompt; None where it had none."""
        if rollout not in self._places:
            return None
        with self._path.open("rb") as lines:
            lines.seek(self._places[rollout])
            messages = msgspec.json.decode(lines.readline())["prompt"]["messages"]
        texts = [block["text"] for message in messages for block in message["content"] if block.get("text")]
        return Prompt(messages=(Message(content=tuple(TextContent(text=text) for text in texts)),))


class GoneSession(Session):
    """Stands for an environment that is long gone."""

    @property
    def tools(self) -> NoReturn:
        """Refuse."""
        raise _gone()

    async def setup(self, scenario: str, args: Mapping[str, Any]) -> NoReturn:  # noqa: ARG002  as declared
        """Refuse."""
        raise _gone()

    async def grade(self, answer: Answer) -> NoReturn:  # noqa: ARG002  as declared
        """Refuse."""
        raise _gone()


def _gone() -> GraderError:
    return GraderError("the environment is gone: a stored answer is graded without it")
