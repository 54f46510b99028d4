"""Finds the command, runs it, and turns whatever happens into one message and an exit code."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from hud.cli.console import complain, emit, say
from hud.cli.exits import Exit, exit_code, message_of
from hud_core.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hud_core.providers import Command

HOMES = {
    "analyze": "hud-mcp", "build": "hud-docker", "cancel": "hud-huggingface", "check": "hud-local",
    "convert": "hud-huggingface", "debug": "hud-docker", "deploy": "hud-platform", "dev": "hud-mcp", "gc": "hud-docker",
    "init": "hud-docker", "login": "hud-platform", "push": "hud-docker", "scenario": "hud-mcp", "serve": "hud-server",
    "sync": "hud-sync",
}  # fmt: skip
"""Which distribution brings a well-known command, for the message when it is not installed."""

QUICK_START = """\
quick start:
  hud eval tasks.py oracle --full    run every task offline: the oracle replays known solutions
  hud check tasks.py                 find tasks that cannot be solved, or that doing nothing solves
  hud eval --resume                  go on with a job that was stopped
  hud trace last TASK                read one rollout as a conversation
  hud plugins                        see what is installed"""


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command that `argv` asks for, and give the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    _replace_unprintable()
    try:
        code = _guarded(words)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the interpreter flushes, and fails, once more
        return Exit.PIPE_CLOSED
    return code


def _guarded(words: list[str]) -> int:
    try:
        return _dispatch(words)
    except BrokenPipeError:
        raise
    except SystemExit as stop:  # argparse, after --help or a usage error
        return stop.code if isinstance(stop.code, int) else Exit.OK if stop.code is None else _failed(str(stop.code))
    except KeyboardInterrupt:
        say("\ninterrupted")
        return Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001  users get one message, whatever a command or a plugin runs into
        if is_debugging(words):
            import traceback

            traceback.print_exception(error)
        complain("error", message_of(error))
        return exit_code(error)


def _failed(text: str) -> int:
    complain("error", text)
    return Exit.FAILED


def is_debugging(words: Sequence[str] = ()) -> bool:
    """Whether tracebacks are wanted."""
    return os.environ.get("HUD_DEBUG", "0") not in ("", "0") or "-vv" in words


def _replace_unprintable() -> None:
    """Never fail because a terminal's encoding lacks a character."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _dispatch(words: list[str]) -> int:
    name, rest = (words[0], words[1:]) if words else ("--help", [])
    if name in ("--version", "-V"):
        name = "version"
    kernel = Kernel(strict=False if name == "plugins" else None)  # that command shows what is broken
    if name in ("--help", "-h", "help"):
        if rest[:1] and rest[0] in kernel.commands:
            name, rest = rest[0], ["--help"]
        else:
            emit(help_text(kernel))
            return Exit.OK
    if name == "__complete":
        from hud.cli.completion import candidates

        if found := candidates(kernel, rest):
            emit("\n".join(found))
        return Exit.OK
    return _run_command(_command(kernel, name), rest, kernel)


def _run_command(command: Command, words: list[str], kernel: Kernel) -> int:
    from hud.cli.parser import parser_for

    arguments = parser_for(command).parse(words)
    arguments.kernel = kernel
    return command.run(arguments)


def _command(kernel: Kernel, name: str) -> Command:
    if name in kernel.commands:
        return kernel.commands[name]
    from hud_core.errors import ConfigError, closest

    what = "option" if name.startswith("-") else "command"
    fix = f"; pip install {HOMES[name]}" if name in HOMES else closest(name, kernel.commands)
    raise ConfigError(f"no {what} {name!r}{fix}; `hud --help` lists what there is")


def help_text(kernel: Kernel) -> str:
    """Say what ``hud`` does, how to begin, and which commands there are."""
    commands = [f"  {name:<11} {command.summary}" for name, command in kernel.commands.items()]
    broken = [f"\n{len(kernel.failures)} plugin problem(s): see `hud plugins`"] if kernel.failures else []
    return "\n".join([
        "usage: hud COMMAND [OPTIONS]\n\nEvaluate agents, and run environments for reinforcement learning.\n",
        QUICK_START, "\ncommands:", *commands, "\n`hud COMMAND --help` explains a command.", *broken,
    ])  # fmt: skip
