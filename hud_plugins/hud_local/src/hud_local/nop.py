"""The agent ``nop``: does nothing and answers nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hud_core.interfaces import Agent
from hud_core.model.evaluation import Answer

if TYPE_CHECKING:
    from hud_core.environment.session import Toolbox
    from hud_core.model.content import Prompt


class NopAgent(Agent):
    """Answers nothing. A task that it solves measures nothing."""

    name = "nop"

    async def run(self, prompt: Prompt, toolbox: Toolbox, *, max_steps: int) -> Answer:  # noqa: ARG002
        """Answer with an empty text."""
        return Answer()
