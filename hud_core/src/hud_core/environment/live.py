"""A session of an environment that lives in this process: drives the scenario's generator."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import attrs

from hud_core.environment.connections import LOCAL
from hud_core.environment.session import Session
from hud_core.environment.tools import LocalTools, current_tools
from hud_core.environment.values import NoScoreError, evaluation_from, prompt_from
from hud_core.errors import ConfigError, GraderError, RolloutError, SetupError, closest, describe
from hud_core.model.evaluation import AgentAnswer, Evaluation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from hud_core.environment.environment import Environment
    from hud_core.environment.scenario import ScenarioHandle
    from hud_core.model.content import Prompt
    from hud_core.model.evaluation import Answer
    from hud_core.model.publications import ListedPrompt


class LiveSession(Session):
    """Runs one scenario of an environment here. Open, drive and close it in one task, as generators need.

    A scenario of one of its connections runs there; the agent has the same tools all the same.
    """

    __slots__ = ("_elsewhere", "_environment", "_generator", "_joined", "_scenario", "_tools")

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._tools = LocalTools(environment.tool_functions, environment.begin_mocks(), environment.published)
        self._joined: Mapping[str, Session] | None = None if environment.connections else {}
        self._elsewhere: Session | None = None
        self._scenario: ScenarioHandle[...] | None = None
        self._generator: AsyncGenerator[Any, Any] | None = None

    @property
    def tools(self) -> LocalTools:
        """The environment's tools, and those of its connections once `join` has them."""
        return self._tools

    @property
    def environment(self) -> Environment:
        """The environment that is live here."""
        return self._environment

    async def join(self, sessions: Mapping[str, Session]) -> None:
        """Take the sessions of the environment's connections, by the connections' names, while they are open.

        Raises:
            BackendError: A connection is lost.
            ConfigError: Two connections offer a tool of one name and that is an error, a tool that is to be included or
                mocked does not exist, or a transform fails.
        """
        from hud_core.environment.joined import JoinedTools, Source  # most environments have no connections

        environment = self._environment
        connections = [environment.connections[name] for name in sessions]
        sources = [Source(connection, sessions[connection.name].tools) for connection in connections]
        tools = JoinedTools(
            environment.tool_functions,
            sources,
            environment.conflict_resolution,
            self._tools.mocks,
            environment.published,
        )
        await tools.read()
        tools.check_names(connections)
        self._tools, self._joined = tools, dict(sessions)

    async def list_scenarios(self) -> list[str]:
        """List the environment's scenarios."""
        return [f"{self._environment.name}:{name}" for name in self._environment.scenarios]

    async def describe_scenarios(self) -> list[ListedPrompt]:
        """Describe the environment's scenarios, with the types of their parameters where they have a plain one."""
        return [_described(self._environment.name, handle) for handle in self._environment.scenarios.values()]

    async def connected_scenarios(self) -> list[ListedPrompt]:
        """Describe the scenarios of the environment's connections, which `setup` runs there.

        Raises:
            BackendError: A connection is lost.
            ConfigError: Nobody opened the connections.
        """
        return [one for session in self._offered_by().values() for one in await session.describe_scenarios()]

    async def setup(self, scenario: str, args: Mapping[str, Any]) -> Prompt:
        """Run a scenario up to its first yield.

        Raises:
            ConfigError: The environment has connections, and nobody opened them.
            SetupError: There is no such scenario, or it gave no prompt.
        """
        if self._generator is not None or self._elsewhere is not None:
            await self.aclose()
        handle = self._find(scenario)
        if handle is None:
            return await self._set_up_elsewhere(scenario, args)
        if self._joined is None:
            raise ConfigError(_unopened(self._environment))
        if handle.options.required_env_vars:
            _check_variables(handle)
        if handle.options.exclude_sources:
            _check_sources(handle, self._environment)
        self._tools.hide(handle.options)
        self._scenario = handle
        self._generator = handle.function(**handle.signature.bind(args))
        self._tools.setup_output = []
        try:
            first = await self._step(None)
        except StopAsyncIteration:
            msg = f"{handle.subject} ended without a prompt; its first yield is the prompt"
            raise SetupError(msg) from None
        finally:
            output, self._tools.setup_output = self._tools.setup_output, None
        prompt = prompt_from(first)
        citations = handle.options.enable_citations
        if handle.answer_type is None and not output and not citations:
            return prompt
        schema = None if handle.answer_type is None else handle.answer_type.schema
        return attrs.evolve(prompt, answer_schema=schema, enable_citations=citations, setup_output=tuple(output))

    async def grade(self, answer: Answer) -> Evaluation:
        """Send the answer into the generator and read its second yield."""
        if self._elsewhere is not None:
            return await self._elsewhere.grade(answer)
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
        elsewhere, self._elsewhere = self._elsewhere, None
        if isinstance(elsewhere, LiveSession):  # its generator was driven in this task
            await elsewhere.aclose()
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

    def _find(self, scenario: str) -> ScenarioHandle[...] | None:
        owner, _, name = scenario.rpartition(":")
        return self._environment.scenarios.get(name) if owner in ("", self._environment.name) else None

    async def _set_up_elsewhere(self, scenario: str, args: Mapping[str, Any]) -> Prompt:
        """Run a scenario of a connection up to its prompt.

        Raises:
            SetupError: No connection has it, or more than one.
        """
        from hud_core.environment.joined import JoinedTools

        name, session = await self._offering(scenario)
        self._tools.hide(None)
        self._elsewhere = session  # before setup: whatever comes of it, there is something to close
        prompt = await session.setup(name, args)
        if isinstance(self._tools, JoinedTools):  # what the scenario shows of the tools there
            await self._tools.read()
        return prompt

    async def _offering(self, scenario: str) -> tuple[str, Session]:
        """Find the session that has a scenario, and the scenario's name there."""
        offers = {(name, key): session for key, session in self._offered_by().items() for name in await _names(session)}
        known = [*self._environment.scenarios, *(name for name, _ in offers)]
        found = [offer for offer in offers if _means(scenario, *offer)]
        if len(found) == 1:
            return found[0][0], offers[found[0]]
        environment = f"environment {self._environment.name!r}"
        if found:
            both = " and ".join(repr(key) for _, key in found)
            raise SetupError(f"{environment} has a scenario {scenario!r} at each of its connections {both}; name one")
        near = closest(scenario.rpartition(":")[2], [*known, *(name.rpartition(":")[2] for name in known)])
        raise SetupError(f"{environment} has no scenario {scenario!r}{near}; it has {', '.join(known) or 'none'}")

    def _offered_by(self) -> Mapping[str, Session]:
        if self._joined is None:
            raise ConfigError(_unopened(self._environment))
        return self._joined


def _described(environment: str, handle: ScenarioHandle[...]) -> ListedPrompt:
    from hud_core.model.publications import ListedPrompt, PromptArgument  # only who serves an environment asks

    schemas = handle.signature.schema["properties"]
    parameters = handle.signature.parameters.values()
    return ListedPrompt(
        name=f"{environment}:{handle.name}",
        description=handle.description,
        arguments=tuple(
            PromptArgument(name=p.name, description=schemas[p.name].get("description", ""), required=p.is_required)
            for p in parameters
        ),
        meta={"arguments": [{"name": p.name, "type": schemas[p.name].get("type", "json")} for p in parameters]},
    )


def _raise_others(group: BaseExceptionGroup[BaseException]) -> None:
    """Raise what is in a group beside the generator's end; one that stands alone as itself: it may be cancellation."""
    others: BaseException | None = group.split(GeneratorExit)[1]
    while isinstance(others, BaseExceptionGroup) and len(others.exceptions) == 1:
        (others,) = others.exceptions
    if others is not None:
        raise others from None


async def _names(session: Session) -> Sequence[str]:
    return await session.list_scenarios() or ()


def _means(scenario: str, name: str, connection: str) -> bool:
    """Whether a scenario's name means one of a connection, by its full name, its short one, or the connection's."""
    short = name.rpartition(":")[2]
    return scenario in (name, short, f"{connection}:{short}")


def _check_variables(handle: ScenarioHandle[...]) -> None:
    missing = [name for name in handle.options.required_env_vars if not os.environ.get(name)]
    if missing:
        msg = f"{handle.subject} needs the environment variables {', '.join(missing)}; set them before the run"
        raise SetupError(msg)


def _check_sources(handle: ScenarioHandle[...], environment: Environment) -> None:
    """See that what a scenario hides is there: a name that is misspelt would hide nothing."""
    known = [LOCAL, *environment.connections]
    for source in handle.options.exclude_sources:
        if source not in known:
            near = closest(source, known) or f"; there are {', '.join(known)}"
            msg = f"{handle.subject}: exclude_sources names {source!r}, and {environment.name!r} has no such connection"
            raise SetupError(msg + near)


def _unopened(environment: Environment) -> str:
    return (
        f"environment {environment.name!r} has connections ({', '.join(environment.connections)}) that are not open; "
        "run its tasks with hud.run or hud.eval, which open them, or enter hud_core.job.backends.connected(session)"
    )


def _misfit(problem: str, error: Exception) -> Evaluation:
    """Score 0: the agent was given the schema, and the scenario does not care for answers outside it."""
    return Evaluation(reward=0.0, content=problem, info={"answer_error": problem, "raised": describe(error)})
