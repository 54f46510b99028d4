"""One run of a command-line agent: its command, its environment, its answer."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hud_cli_agent.program import run_program
from hud_cli_agent.replies import Reply
from hud_cli_agent.templates import fill, fill_command, fill_data, mentions
from hud_core import trace
from hud_core.errors import AgentError, ConfigError
from hud_core.model.evaluation import Answer, StopReason
from hud_core.model.rollout import Usage
from hud_core.settings import is_secret, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hud_cli_agent.config import CliConfig
    from hud_cli_agent.prompts import Folder

KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS")
"""What every program gets of the environment of hud."""
SHORTEST_SECRET = 6
"""Characters that a secret has at least; anything shorter would be found all over an answer."""


class Run:
    """One run of the program.

    Args:
        config: The agent's settings.
        folder: The files of the rollout.
        prompt: What the program is asked.
        url: Where the tools are.
        token: What must be shown to call them.
    """

    def __init__(self, config: CliConfig, folder: Folder, prompt: str, *, url: str, token: str) -> None:
        self._config = config
        self._recipe = config.recipe
        self._folder = folder
        self._prompt = prompt
        self._url = url
        self._token = token

    async def answer(self, max_steps: int) -> Answer:
        """Run the program, and read its answer.

        Raises:
            AgentError: It failed, printed too much, or gave no answer.
            ConfigError: There is no such program, or a variable that it needs is not set.
        """
        values = self._values(max_steps)
        command, env = fill_command(self._recipe.command, values), self._environment(values)
        secrets = _secrets(env)
        _check_secrets(command, secrets)
        self._write_config(values)
        clean = _cleaner(secrets.values())
        started = time.monotonic()
        try:
            finished = await run_program(
                command,
                env=env,
                cwd=str(self._folder.workdir),
                stdin=b"" if mentions(self._recipe.command, "prompt", "prompt_file") else self._prompt.encode(),
                limit=self._config.max_output,
                seconds=self._config.timeout,
                clean=clean,
            )
        except ConfigError:  # it never ran
            raise
        except BaseException:  # cancellation, too: it ran, and nobody knows what it used
            self._record(Usage(calls=1), command[0], started)
            raise
        reply = Reply(self._recipe, finished, clean(finished.stdout.decode("utf-8", "replace")), self._folder.answer)
        self._record(reply.usage(), command[0], started)
        return self._read(reply, clean, command[0])

    def _record(self, usage: Usage, program: str, started: float) -> None:
        model = self._config.model or program
        trace.model_called(model=model, seconds=time.monotonic() - started, usage=usage)

    @property
    def _config_file(self) -> Path:
        """Where the configuration is that names the tools."""
        named = self._recipe.mcp_config_file
        folders = {"home": self._folder.home, "workdir": self._folder.workdir}
        return Path(fill(named, folders)) if named else self._folder.root / "mcp.json"

    def _write_config(self, values: dict[str, object]) -> None:
        data = fill_data(self._recipe.mcp_config, {**values, "mcp_token": self._token})
        self._config_file.parent.mkdir(parents=True, exist_ok=True)
        self._config_file.write_text(json.dumps(data, default=str), "utf-8")

    def _values(self, max_steps: int) -> dict[str, object]:
        return {
            "prompt": self._prompt,
            "prompt_file": self._folder.prompt,
            "answer_file": self._folder.answer,
            "mcp_config": self._config_file,
            "mcp_url": self._url,
            "workdir": self._folder.workdir,
            "home": self._folder.home,
            "model": self._config.model,
            "max_steps": max_steps,
        }

    def _environment(self, values: dict[str, object]) -> dict[str, str]:
        """Give the program's whole environment.

        Raises:
            ConfigError: A variable that it is to get is not set.
        """
        named = {name: settings.lookup(name) for name in (*self._recipe.env, *(self._config.env or ()))}
        for name in self._config.env or ():
            if named[name] is None:
                raise ConfigError(
                    f"setting 'env' names {name!r}, which is neither in the environment nor in a .env file"
                )
        return {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            "HOME": str(self._folder.home),
            "TMPDIR": str(self._folder.root),
            "TERM": "dumb",
            "NO_COLOR": "1",
            "HUD_TOOLS_URL": self._url,
            "HUD_TOOLS_TOKEN": self._token,
            "HUD_PROMPT_FILE": str(self._folder.prompt),
            **{name: value for name, value in named.items() if value is not None},
            **{name: fill(value, values) for name, value in self._recipe.variables.items()},
            **(self._config.variables or {}),
        }

    def _read(self, reply: Reply, clean: Callable[[str], str], program: str) -> Answer:
        """Read the answer.

        Raises:
            AgentError: The program failed, or gave no answer.
        """
        if reply.finished.code is None:
            return Answer(stop_reason=StopReason.AGENT_TIMEOUT)
        if reply.ran_out_of_steps:
            return Answer(text=clean(reply.text() or ""), stop_reason=StopReason.MAX_STEPS)
        if reply.has_failed:
            raise reply.failure(program, clean(reply.finished.stderr.decode("utf-8", "replace")))
        text = reply.text()
        if text is None:
            raise AgentError(f"{program!r} gave no answer where answer={self._recipe.answer!r} looks for it")
        return Answer(text=clean(text), stop_reason=StopReason.ANSWERED if text else StopReason.EMPTY)


def _secrets(env: dict[str, str]) -> dict[str, str]:
    """Give what may not be shown, by the variables that hold it."""
    return {name: value for name, value in env.items() if is_secret(name) and len(value) >= SHORTEST_SECRET}


def _check_secrets(command: list[str], secrets: dict[str, str]) -> None:
    for name, value in secrets.items():
        if any(value in word for word in command):
            raise ConfigError(
                f"the command line holds the value of {name}, and every process can read it: use the variable"
            )


def _cleaner(secrets: Iterable[str]) -> Callable[[str], str]:
    hidden = sorted(secrets, key=len, reverse=True)

    def clean(text: str) -> str:
        for secret in hidden:
            text = text.replace(secret, "***")
        return text

    return clean
