"""The agent ``scripted``: does what a file says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hud_core.errors import AgentError, ConfigError
from hud_core.interfaces import Agent
from hud_core.model.evaluation import Answer, StopReason
from hud_core.model.tools import ToolCall

if TYPE_CHECKING:
    from hud_core.environment.session import Toolbox
    from hud_core.model.content import Prompt


class Step(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One tool call of a script."""

    name: str
    arguments: dict[str, Any] = {}


class Script(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What to do for one kind of prompt."""

    prompt: str = ""
    """A piece of the prompts that the script is for; empty is for every prompt."""
    calls: tuple[Step, ...] = ()
    """The tool calls to make, one a turn. One that fails is passed over, as a model may do."""
    answer: Any = ""
    """What to answer then: text, or JSON data for a typed answer."""


class ScriptedAgent(Agent):
    """Plays scripts: the first whose ``prompt`` is part of the task's prompt is played.

    Args:
        file: A JSON file with a script or a list of them, or a JSONL file with one on each line.
        answer: What to answer every time, without a file.

    Raises:
        ConfigError: Neither or both are given, or the file is not one of scripts.
    """

    name = "scripted"

    def __init__(self, file: str | None = None, answer: str | float | None = None) -> None:
        if (file is None) == (answer is None):
            msg = "agent 'scripted' takes either file=PATH or answer=TEXT"
            raise ConfigError(msg)
        self._scripts = [Script(answer=answer)] if file is None else read_scripts(Path(file).expanduser())

    async def run(self, prompt: Prompt, toolbox: Toolbox, *, max_steps: int) -> Answer:
        """Play the script of this prompt.

        Raises:
            AgentError: No script is for it.
        """
        text = prompt.text
        script = next((script for script in self._scripts if script.prompt in text), None)
        if script is None:
            msg = f"no script is for the prompt {text[:80]!r}; add one without 'prompt' for all others"
            raise AgentError(msg)
        for step in script.calls[:max_steps]:
            await toolbox.call_tool(ToolCall(step.name, dict(step.arguments)))
        if len(script.calls) >= max_steps:  # the answer is a turn too
            return Answer(stop_reason=StopReason.MAX_STEPS)
        return _answer(script.answer)

    @property
    def fingerprint(self) -> str:
        """Tell this script from another."""
        return f"{self.name} {msgspec.json.encode(self._scripts).decode()}"


def read_scripts(path: Path) -> list[Script]:
    """Read scripts from a JSON or JSONL file.

    Raises:
        ConfigError: There is no such file, or it holds something else.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        msg = f"no such file: {path}" if not path.exists() else f"cannot read {path}: {error.strerror}"
        raise ConfigError(msg) from error
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    return [script for number, line in enumerate(lines, 1) if line.strip() for script in _read(line, path, number)]


def _read(text: bytes, path: Path, number: int) -> list[Script]:
    try:
        found = msgspec.json.decode(text, type=Script | list[Script])
    except msgspec.DecodeError as error:
        place = f"{path}:{number}" if path.suffix == ".jsonl" else str(path)
        msg = f"not a script: {str(error).replace('`', '')} ({place})"
        raise ConfigError(msg) from error
    return found if isinstance(found, list) else [found]


def _answer(value: object) -> Answer:
    if isinstance(value, str):
        return Answer(text=value)
    return Answer(text=msgspec.json.encode(value).decode(), structured=value)
