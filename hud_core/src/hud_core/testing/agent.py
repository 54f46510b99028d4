"""What every agent must do."""

# ruff: noqa: D102  a test's name says what it shows

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import pytest

from hud_core.environment.session import Toolbox
from hud_core.environment.tools import LocalTools
from hud_core.model.content import Message, Prompt, TextContent
from hud_core.model.evaluation import Answer, StopReason
from hud_core.testing.contract import Contract, check, optional, required
from hud_core.testing.environments import contract

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hud_core.interfaces import Agent
    from hud_core.model.tools import Tool, ToolCall, ToolResult

ROLLOUTS = 8
"""Rollouts at once on one object."""
MAX_STEPS = 3
PROMPT = Prompt(messages=(Message(content=(TextContent(text="How many times does 'r' occur in 'strawberry'?"),)),))


class AgentContract(Contract):
    """Proves an agent. Its fixtures are agents whose model, a double, behaves in one way each.

    ```python
    import pytest

    from hud_core.testing import AgentContract
    from my_plugin.agent import Parrot


    class TestParrot(AgentContract):
        @pytest.fixture
        def agent(self):
            return Parrot()
    ```

    An agent that calls tools also overrides `stumbling`, `endless` and `sleeping`, as far as its model's double can.
    The toolbox has the tools of `hud_core.testing.environments.contract`.
    """

    is_deterministic: ClassVar[bool] = True
    """Whether the agent, with its double, answers the same prompt the same way each time."""

    @pytest.fixture
    def agent(self) -> Agent:
        """An agent that answers any prompt, after no or some tool calls."""
        what, owner = "agent", type(self).__name__
        raise required(what, owner)

    @pytest.fixture
    def stumbling(self) -> Agent:  # type: ignore[return]  # skips
        """An agent that calls the tool ``boom`` at least once, and then answers."""
        optional("stumbling", "an agent goes on after a tool that failed")

    @pytest.fixture
    def endless(self) -> Agent:  # type: ignore[return]  # skips
        """An agent that calls the tool ``echo`` once in every step, and never answers by itself."""
        optional("endless", "an agent honours max_steps")

    @pytest.fixture
    def sleeping(self) -> Agent:  # type: ignore[return]  # skips
        """An agent that calls the tool ``slow`` first; the argument `marks` may be any folder, such as ``/tmp``."""
        optional("sleeping", "an agent that is cancelled lets the cancellation through")

    @pytest.fixture
    async def closing(self) -> AsyncIterator[list[Agent]]:
        """Agents to close after the test."""
        agents: list[Agent] = []
        yield agents
        for agent in agents:
            await agent.aclose()

    async def test_run_gives_text_or_an_answer(self, agent: Agent, closing: list[Agent]) -> None:
        closing.append(agent)
        answer = await agent.run(PROMPT, Watched(), max_steps=10)
        check(isinstance(answer, str | Answer), f"run must return a str or an Answer, it returned {answer!r}")

    async def test_an_agent_without_tools_answers(self, agent: Agent, closing: list[Agent]) -> None:
        closing.append(agent)
        answer = await agent.run(PROMPT, Toolbox(LocalTools({})), max_steps=10)
        check(isinstance(answer, str | Answer), f"run must work with an empty toolbox, it returned {answer!r}")

    async def test_the_agent_uses_only_list_tools_and_call_tool(self, agent: Agent, closing: list[Agent]) -> None:
        closing.append(agent)
        toolbox = Watched()
        await agent.run(PROMPT, toolbox, max_steps=10)
        check(
            not watched(toolbox).touched,
            f"an agent may use list_tools and call_tool of a toolbox, nothing else; it read {watched(toolbox).touched}",
        )

    async def test_a_tool_that_fails_does_not_end_the_run(self, stumbling: Agent, closing: list[Agent]) -> None:
        closing.append(stumbling)
        toolbox = Watched()
        answer = await stumbling.run(PROMPT, toolbox, max_steps=10)
        check("boom" in watched(toolbox).called, "the fixture 'stumbling' must give an agent that calls 'boom'")
        check(isinstance(answer, str | Answer), f"run must go on after a tool error and answer, it gave {answer!r}")

    @pytest.mark.parametrize("max_steps", [1, MAX_STEPS])
    async def test_max_steps_are_honoured(self, endless: Agent, closing: list[Agent], max_steps: int) -> None:
        closing.append(endless)
        toolbox = Watched()
        with anyio.move_on_after(self.patience) as limit:
            answer = await endless.run(PROMPT, toolbox, max_steps=max_steps)
        calls = len(watched(toolbox).called)
        check(not limit.cancelled_caught, f"run did not end by itself with max_steps={max_steps}, after {calls} calls")
        check(calls, "the fixture 'endless' must give an agent that calls the tool 'echo' in every step")
        check(calls <= max_steps, f"max_steps={max_steps} allows {max_steps} calls, one a step; the agent made {calls}")
        check(
            isinstance(answer, Answer) and answer.stop_reason is StopReason.MAX_STEPS,
            f"an agent that runs out of steps returns Answer(stop_reason=StopReason.MAX_STEPS), not {answer!r}",
        )

    async def test_cancellation_goes_through(self, sleeping: Agent, closing: list[Agent]) -> None:
        closing.append(sleeping)
        toolbox = Watched()
        outcome: list[object] = []

        async def attempt() -> None:
            outcome.append(await sleeping.run(PROMPT, toolbox, max_steps=10))

        with anyio.move_on_after(self.patience) as limit:
            async with anyio.create_task_group() as group:
                group.start_soon(attempt)
                await watched(toolbox).asleep.wait()
                group.cancel_scope.cancel()
        check(not limit.cancelled_caught, "a cancelled run must end, or 'sleeping' never calls the tool 'slow'")
        check(not outcome, f"a cancelled run must let the cancellation through; it was caught, and run gave {outcome}")

    async def test_one_object_runs_many_rollouts_at_once(self, agent: Agent, closing: list[Agent]) -> None:
        closing.append(agent)
        alone = await _attempt(agent)
        together: list[tuple[str, list[str]]] = []

        async def attempt() -> None:
            together.append(await _attempt(agent))

        async with anyio.create_task_group() as group:
            for _ in range(ROLLOUTS):
                group.start_soon(attempt)
        if self.is_deterministic:
            check(
                all(one == alone for one in together),
                f"alone a run gives {alone}, {ROLLOUTS} at once give {together}; keep a run's state in local variables",
            )

    async def test_aclose_may_be_called_twice_and_without_a_run(self, agent: Agent) -> None:
        await agent.aclose()
        await agent.aclose()

    async def test_the_fingerprint_stays(self, agent: Agent, closing: list[Agent]) -> None:
        closing.append(agent)
        before = agent.fingerprint
        await agent.run(PROMPT, Watched(), max_steps=10)
        check(isinstance(before, str), f"fingerprint must be a text, got {before!r}")
        check(agent.fingerprint == before, "fingerprint tells agents apart by their settings; a run must not change it")


class Notes:
    """What an agent did with its toolbox."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.touched: list[str] = []
        self.asleep: anyio.Event = anyio.Event()


class Watched(Toolbox):
    """A toolbox that notes what an agent does with it. The notes are read with `watched`."""

    __slots__ = ("notes", "real")

    def __init__(self) -> None:
        object.__setattr__(self, "notes", Notes())
        object.__setattr__(self, "real", Toolbox(LocalTools(contract.tool_functions)))

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401  any attribute
        if name not in {"list_tools", "call_tool", "__class__"}:
            watched(self).touched.append(name)
        return object.__getattribute__(self, name)

    async def list_tools(self) -> list[Tool]:
        """List the tools."""
        return await _real(self).list_tools()

    async def call_tool(self, call: ToolCall | str, /, **arguments: Any) -> ToolResult:
        """Note the call, and make it."""
        name = call if isinstance(call, str) else call.name
        watched(self).called.append(name)
        if name == "slow":
            watched(self).asleep.set()
            await anyio.sleep_forever()
        return await _real(self).call_tool(call, **arguments)


def watched(toolbox: Watched) -> Notes:
    """Read the notes, past what they watch."""
    notes: Notes = object.__getattribute__(toolbox, "notes")
    return notes


def _real(toolbox: Watched) -> Toolbox:
    real: Toolbox = object.__getattribute__(toolbox, "real")
    return real


async def _attempt(agent: Agent) -> tuple[str, list[str]]:
    toolbox = Watched()
    answer = await agent.run(PROMPT, toolbox, max_steps=10)
    return answer if isinstance(answer, str) else answer.text, watched(toolbox).called
