"""A session of an environment that lives in this process: drives the scenario's generator."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from hud_core.environment.session import Session
from hud_core.environment.tools import LocalTools, current_tools
from hud_core.environment.values import NoScoreError, evaluation_from, prompt_from
from hud_core.errors import GraderError, RolloutError, SetupError, closest, describe
from hud_core.model.content import Prompt
from hud_core.model.evaluation import AgentAnswer, Evaluation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from hud_core.environment.environment import Environment
    from hud_core.environment.scenario import ScenarioHandle
    from hud_core.model.evaluation import Answer


class LiveSession(Session):
    """Runs one scenario of an environment here. Open, drive and close it in one task, as generators need."""

    __slots__ = ("_environment", "_generator", "_scenario", "_tools")

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._tools = LocalTools(environment.tool_functions)
        self._scenario: ScenarioHandle[...] | None = None
        self._generator: AsyncGenerator[Any, Any] | None = None

    @property
    def tools(self) -> LocalTools:
        """The environment's tools."""
        return self._tools

    async def setup(self, scenario: str, args: Mapping[str, Any]) -> Prompt:
        """Run a scenario up to its first yield."""
        if self._generator is not None:
            await self.aclose()
        handle = self._find(scenario)
        _check_variables(handle)
        self._hide(handle)
        self._scenario = handle
        self._generator = handle.function(**handle.signature.bind(args))
        try:
            first = await self._step(None)
        except StopAsyncIteration:
            msg = f"{handle.subject} ended without a prompt; its first yield is the prompt"
            raise SetupError(msg) from None
        prompt = prompt_from(first)
        if handle.answer_type is None:
            return prompt
        return Prompt(messages=prompt.messages, system=prompt.system, answer_schema=handle.answer_type.schema)

    async def grade(self, answer: Answer) -> Evaluation:
        """Send the answer into the generator and read its second yield."""
        if self._generator is None or self._scenario is None:
            msg = "nothing to grade: no scenario was set up"
            raise GraderError(msg)
        received = self._scenario.receive(answer)
        misfit = received.error if isinstance(received, AgentAnswer) else None
        try:
            return evaluation_from(await self._step(received))
        except StopAsyncIteration:
            msg = f"{self._scenario.subject} ended without a second yield, so there is no score"
            raise GraderError(msg) from None
        except Exception as error:
            if misfit is None or (isinstance(error, RolloutError) and not isinstance(error, NoScoreError)):
                raise
            return _misfit(misfit, error)

    async def aclose(self) -> None:
        """Close the generator, so that the ``finally`` blocks of the scenario run now."""
        generator, self._generator = self._generator, None
        if generator is not None:
            token = current_tools.set(self._tools)
            try:
                await generator.aclose()
            except BaseExceptionGroup as group:  # how a task group that the scenario holds open passes its end on
                _raise_others(group)
            finally:
                current_tools.reset(token)

    async def _step(self, value: Any) -> Any:  # noqa: ANN401  scenarios yield anything; `values` judges it
        """Run the generator to its next yield, with this session's tools behind ``env.call_tool``."""
        assert self._generator is not None  # noqa: S101  both callers have just seen to it
        token = current_tools.set(self._tools)
        try:
            return await self._generator.asend(value)
        finally:
            current_tools.reset(token)

    def _find(self, scenario: str) -> ScenarioHandle[...]:
        owner, _, name = scenario.rpartition(":")
        scenarios = self._environment.scenarios
        if (owner and owner != self._environment.name) or name not in scenarios:
            known = ", ".join(scenarios) or "none"
            msg = (
                f"environment {self._environment.name!r} has no scenario {scenario!r}"
                f"{closest(name, scenarios)}; it has {known}"
            )
            raise SetupError(msg)
        return scenarios[name]

    def _hide(self, handle: ScenarioHandle[...]) -> None:
        options = handle.options
        if not (options.exclude_tools or options.exclude_sources):
            self._tools.hide(())
            return
        names = self._environment.tool_functions
        local = "__local__" in options.exclude_sources
        hidden = {name for name in names if local or _matches(name, options.exclude_tools)}
        self._tools.hide({name for name in hidden if not _matches(name, options.allowed_tools)})


def _raise_others(group: BaseExceptionGroup[BaseException]) -> None:
    """Raise what is in a group beside the generator's end; one that stands alone as itself: it may be cancellation."""
    others: BaseException | None = group.split(GeneratorExit)[1]
    while isinstance(others, BaseExceptionGroup) and len(others.exceptions) == 1:
        (others,) = others.exceptions
    if others is not None:
        raise others from None


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _check_variables(handle: ScenarioHandle[...]) -> None:
    missing = [name for name in handle.options.required_env_vars if not os.environ.get(name)]
    if missing:
        msg = f"{handle.subject} needs the environment variables {', '.join(missing)}; set them before the run"
        raise SetupError(msg)


def _misfit(problem: str, error: Exception) -> Evaluation:
    """Score 0: the agent was given the schema, and the scenario does not care for answers outside it."""
    return Evaluation(reward=0.0, content=problem, info={"answer_error": problem, "raised": describe(error)})
