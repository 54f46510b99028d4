"""An agent and a grader."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hud_core import Agent, Answer, Grader, StopReason, SubScore

if TYPE_CHECKING:
    from hud_core import Prompt, Session, Toolbox

_QUESTION = re.compile(r"'(.)' occur in '(.*)'")


class Counter(Agent):
    """Answers how often a letter occurs in a word; anything else it gives back.

    Args:
        model: Which of the letters models to be.
        calls: Names of tools to call first, one a step; the last one is called for ever if `stubborn`.
        stubborn: Never answer by itself.
    """

    def __init__(self, model: str = "letters-1", calls: tuple[str, ...] = (), *, stubborn: bool = False) -> None:
        self.model = model
        self.calls = calls
        self.stubborn = stubborn

    async def run(self, prompt: Prompt, toolbox: Toolbox, *, max_steps: int) -> Answer:
        """Call the tools, then count."""
        for name in self.calls[: max_steps - 1]:
            await _call(toolbox, name)
        if self.stubborn:
            for _ in range(max_steps):
                await _call(toolbox, "echo")
        if self.stubborn or len(self.calls) >= max_steps:
            return Answer(stop_reason=StopReason.MAX_STEPS)
        question = _QUESTION.search(prompt.text)
        return Answer(text=str(question[2].count(question[1])) if question else prompt.text)

    @property
    def fingerprint(self) -> str:
        """The model and the tools."""
        return f"{self.model} {self.calls} {self.stubborn}"


async def _call(toolbox: Toolbox, name: str) -> None:
    if name in {tool.name for tool in await toolbox.list_tools()}:
        await toolbox.call_tool(
            name, **({"text": "hi"} if name == "echo" else {"marks": "."} if name == "slow" else {})
        )


class Number(Grader):
    """Is 1 when the first number in the answer is the expected one."""

    async def grade(self, answer: Answer, session: Session, *, expected: int, weight: float = 1.0) -> SubScore:
        """Compare numbers."""
        found = re.search(r"-?\d+", answer.text)
        right = found is not None and int(found[0]) == expected
        return SubScore(name="number", value=right, weight=weight)
