"""An agent that is a program of its own: it gets the prompt and the tools, and what it prints is the answer."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, cast

import attrs

from hud_cli_agent.config import CliConfig
from hud_cli_agent.prompts import open_folder, write_prompt
from hud_cli_agent.run import Run
from hud_core.agents.conversation import read_structured
from hud_core.agents.loop import screenshot
from hud_core.environment.session import Toolbox, ToolFilter
from hud_core.errors import ConfigError
from hud_core.interfaces import Agent
from hud_core.trace import current_recorder

if TYPE_CHECKING:
    from typing import Self

    from hud_core.environment.session import Tools
    from hud_core.model.content import Prompt
    from hud_core.model.evaluation import Answer


class CliAgent(Agent):
    """Runs a command-line agent for each rollout.

    Args:
        options: The settings of `CliConfig`.

    Raises:
        ConfigError: A setting is unknown, missing or wrong.
    """

    config_class = CliConfig

    def __init__(self, **options: Any) -> None:
        self.config: CliConfig = CliConfig.from_options(options)
        self.wants_setup_output = self.config.append_setup_output

    @classmethod
    def create(cls, **options: Any) -> Self:
        """Make the agent from its settings."""
        return cls(**options)

    @property
    def fingerprint(self) -> str:
        """The program, the model, and a digest of every setting that decides how the agent behaves."""
        recipe = attrs.asdict(self.config.recipe)
        told = json.dumps([self.config.described(), recipe], sort_keys=True, default=repr)
        return f"{self._program}:{self.config.model}:{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    @property
    def called_models(self) -> tuple[str, ...]:
        """The model, where the program tells how many tokens it used, and not what they cost."""
        is_priced_here = self.config.recipe.usage and "cost" not in self.config.recipe.usage
        return (self.config.model,) if is_priced_here and self.config.model else ()

    @property
    def _program(self) -> str:
        first = self.config.recipe.command[0]
        return first if isinstance(first, str) else first[0]

    def __repr__(self) -> str:
        return f"CliAgent({self._program!r}, model={self.config.model!r})"

    async def run(self, prompt: Prompt, toolbox: Toolbox, *, max_steps: int) -> Answer:
        """Run the program on a prompt.

        Args:
            prompt: What is asked.
            toolbox: The tools, which the program finds over MCP.
            max_steps: What the program is told of its steps, where it has a flag for that.

        Raises:
            AgentError: It failed, or printed too much, or no answer.
            ConfigError: It is not installed, a variable that it needs is not set, it does not tell what it uses
                although there is a budget, or the event loop is not asyncio's.
        """
        from hud_mcp.server.toolbox import serve_toolbox

        self._check_budget()
        toolbox = self._shown(toolbox)
        with open_folder(self.config.workdir) as folder:
            asked = write_prompt(await self._begun(prompt, toolbox), self.config.system_prompt, folder)
            async with serve_toolbox(toolbox) as address:
                run = Run(self.config, folder, asked, url=address.url, token=address.token)
                answer = await run.answer(max_steps)
            if prompt.answer_schema is not None:
                answer = attrs.evolve(answer, structured=read_structured(answer.text))
            return answer

    def _check_budget(self) -> None:
        recorder = current_recorder.get()
        meter = None if recorder is None else recorder.meter
        if meter is not None and meter.job.is_limited and not self.config.recipe.usage:
            raise ConfigError(
                f"{self._program!r} does not tell what it uses, so a budget of dollars or tokens cannot be kept, and "
                "it was not run: limit the time instead (max_time, rollout_max_time), or use a preset that tells"
            )

    def _shown(self, toolbox: Toolbox) -> Toolbox:
        if self.config.allowed_tools is None and not self.config.disallowed_tools:
            return toolbox
        return Toolbox(cast("Tools", toolbox), ToolFilter(self.config.allowed_tools, self.config.disallowed_tools))

    async def _begun(self, prompt: Prompt, toolbox: Toolbox) -> Prompt:
        """Give the prompt with what the settings want the agent to see beside it."""
        if self.config.append_setup_output:
            prompt = prompt.showing(prompt.setup_output)
        if self.config.initial_screenshot or prompt.initial_screenshot:
            prompt = prompt.showing(await screenshot(await toolbox.list_tools(), toolbox))
        return prompt
