"""What a rollout depends on, as digests, and what may be kept of an earlier one."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from hud_core.environment.environment import Environment
from hud_core.environment.scenario import digest
from hud_core.model.rollout import Fingerprint
from hud_core.model.task import EnvRef

if TYPE_CHECKING:
    from hud_core.interfaces import Agent
    from hud_core.model.task import Task

_encoder = msgspec.json.Encoder(order="sorted", enc_hook=repr)
_SCALARS = frozenset({str, int, float, bool, type(None)})


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
            grader = digest_graders(task.graders)
        return Fingerprint(task=digest_task(task), environment=environment, grader=grader, agent=agent.fingerprint)

    def _environment(self, task: Task) -> tuple[str | None, str | None]:
        env = task.env
        if isinstance(env, EnvRef):
            return digest(_encoder.encode(env)), None
        key = (id(env), task.scenario)
        if key not in self._environments:
            self._environments[key] = _digests(env, task.scenario)
        return self._environments[key]


def digest_task(task: Task) -> str:
    """Digest what a task asks and of whom, without its environment, its graders and its names."""
    args, validation, answer = _ordered(task.args), _ordered(task.validation), _ordered(task.answer)
    return digest(_encoder.encode((task.scenario, args, task.agent_config, validation, answer)))


def digest_graders(rows: list[dict[str, Any]]) -> str:
    """Digest named graders with their options."""
    return digest(_encoder.encode(rows))


def _ordered(data: Any) -> Any:  # noqa: ANN401  whatever a task holds
    """Put lists in the place of sets, whose order is another one in every process."""
    if type(data) in _SCALARS:
        return data
    if isinstance(data, dict):
        if _SCALARS.issuperset(map(type, data.values())):  # as most are; looking closer costs 2 us
            return data
        return {key: _ordered(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_ordered(item) for item in data]
    if isinstance(data, set | frozenset):
        return sorted(map(_ordered, data), key=_encoder.encode)
    return data


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
