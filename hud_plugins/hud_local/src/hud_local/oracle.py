"""The agent ``oracle``: solves a task with the solution that the task itself carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hud_core.errors import AgentError
from hud_core.interfaces import Agent, Solution, SolutionAgent
from hud_core.model.evaluation import Answer

if TYPE_CHECKING:
    from typing import NoReturn

    from hud_core.environment.session import Toolbox
    from hud_core.model.content import Prompt


class OracleAgent(SolutionAgent):
    """Makes a task's validation calls, then gives its answer, to prove that the task can be solved."""

    name = "oracle"

    def with_solution(self, solution: Solution) -> Agent:
        """Make the agent that attempts the task of this solution."""
        return _Solver(solution)

    async def run(self, prompt: Prompt, toolbox: Toolbox, *, max_steps: int) -> NoReturn:  # noqa: ARG002
        """Refuse: without a solution there is nothing to do.

        Raises:
            AgentError: Always.
        """
        msg = "the oracle solves tasks, each with its own solution; run it as a job's agent, or use with_solution()"
        raise AgentError(msg)


class _Solver(Agent):
    name = "oracle"

    def __init__(self, solution: Solution) -> None:
        self._solution = solution

    async def run(self, prompt: Prompt, toolbox: Toolbox, *, max_steps: int) -> Answer:  # noqa: ARG002  calls are no turns
        calls, answer = self._solution.calls, self._solution.answer
        if not calls and answer is None:
            msg = (
                "the task has no solution to replay; give it one: task.answer = ... for what to answer, "
                "task.validation = [ToolCall(name, arguments), ...] for what to do before"
            )
            raise AgentError(msg)
        for number, call in enumerate(calls):
            result = await toolbox.call_tool(call)
            if result.is_error:
                msg = f"validation[{number}] {call.name}({_shown(call.arguments)}) failed: {result.text}"
                raise AgentError(msg)
        return _answer(answer)


def _answer(value: object) -> Answer:
    """Give text as it is, and anything else as JSON text and as data."""
    if value is None:
        return Answer()
    if isinstance(value, str):
        return Answer(text=value)
    return Answer(text=msgspec.json.encode(value).decode(), structured=msgspec.to_builtins(value))


def _shown(arguments: dict[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())
