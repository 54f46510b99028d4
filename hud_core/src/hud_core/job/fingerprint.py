"""What a rollout depends on, as digests, and what may be kept of an earlier one."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from hud_core.environment.environment import Environment
from hud_core.environment.scenario import digest
from hud_core.model.rollout import Fingerprint
from hud_core.model.task import EnvRef

if TYPE_CHECKING:
    from hud_core.interfaces import Agent
    from hud_core.model.task import Task

_encoder = msgspec.json.Encoder(order="sorted", enc_hook=repr)


class Decision(StrEnum):
    """What a later run may do with an earlier rollout."""

    REUSE = "reuse"
    REGRADE = "regrade"
    """Only the grading changed: the answer still holds, its score does not."""
    RERUN = "rerun"


class Fingerprints:
    """Makes fingerprints, and remembers those of environments."""

    def __init__(self) -> None:
        self._environments: dict[tuple[int, str | None], tuple[str | None, str | None]] = {}

    def of(self, task: Task, agent: Agent) -> Fingerprint:
        """Make the fingerprint of one agent's rollout of one task."""
        environment, grader = self._environment(task)
        if task.graders:
            grader = digest(_encoder.encode(task.graders))
        data = _encoder.encode((task.scenario, task.args, task.agent_config, task.validation, task.answer))
        return Fingerprint(task=digest(data), environment=environment, grader=grader, agent=agent.fingerprint)

    def _environment(self, task: Task) -> tuple[str | None, str | None]:
        env = task.env
        if isinstance(env, EnvRef):
            return digest(_encoder.encode(env)), None
        key = (id(env), task.scenario)
        if key not in self._environments:
            self._environments[key] = _digests(env, task.scenario)
        return self._environments[key]


def _digests(env: object, scenario: str | None) -> tuple[str | None, str | None]:
    """Digest an environment's tools with the setup of a scenario, and that scenario's grading."""
    if not isinstance(env, Environment):
        return None, None
    owner, _, name = (scenario or "").rpartition(":")
    handle = env.scenarios.get(name)
    if handle is None or owner not in ("", env.name):
        return env.digest(), None
    return digest(env.digest(), handle.digests.setup), handle.digests.grading


def compare(earlier: Fingerprint | None, now: Fingerprint | None) -> Decision:
    """Say what holds of an earlier rollout."""
    if earlier is None or now is None:
        return Decision.RERUN
    same = (earlier.task, earlier.environment, earlier.agent) == (now.task, now.environment, now.agent)
    if not same:
        return Decision.RERUN
    return Decision.REUSE if earlier.grader == now.grader else Decision.REGRADE
