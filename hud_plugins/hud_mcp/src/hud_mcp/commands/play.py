"""``hud dev my_task``: one task, opened for a person to try."""

from __future__ import annotations

import json
import os
import re
import sys
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from hud_core import Kernel, evaluate
from hud_core.errors import ConfigError, closest
from hud_mcp.commands.console import emit, plain, say

if TYPE_CHECKING:
    from pathlib import Path

    from hud_core import EvalContext
    from hud_core.model.evaluation import Evaluation
    from hud_core.model.task import Task

HELP = """\
  TOOL {"argument": value}   call a tool; without arguments, just its name
  tools                      list the tools
  prompt                     read the prompt again
  grade ANSWER               grade an answer, and end
  quit                       end without an answer"""
_CALL = re.compile(r"(?:call\s+)?([\w-]+)\s*(\{.*\})?", re.DOTALL)


def play(name: str, file: Path, kernel: Kernel | None) -> int:
    """Open a task, follow what is typed until it is graded, and give the exit code.

    Raises:
        ConfigError: The file has no such task.
        RolloutError: The task cannot be set up or graded.
    """
    anyio.run(partial(_play, name, os.path.relpath(file), kernel or Kernel()))
    return 0


async def _play(name: str, file: str, kernel: Kernel) -> None:
    tasks = [task async for task in kernel.source_for(file).load(file)]
    task = _pick(name, tasks, file)
    async with evaluate(task, kernel=kernel) as ctx:
        say(f"{ctx.prompt}\n")
        await _list_tools(ctx)
        say(f"\n{HELP}\n")
        while await _turn(ctx):
            pass


def _pick(name: str, tasks: list[Task], file: str) -> Task:
    known = {task.slug or task.label: task for task in tasks}
    if name not in known:
        msg = f"no module and no task {name!r} here{closest(name, known)}; {file} has {', '.join(known)}"
        raise ConfigError(msg)
    return known[name]


async def _turn(ctx: EvalContext) -> bool:
    """Do what one line says; whether there may be another one."""
    say("> ", end="")
    line = await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
    text = line.strip()
    word, _, rest = text.partition(" ")
    if not line or text == "quit":
        say("not graded")
        return False
    if word == "grade":
        await ctx.submit(rest.strip())
        emit(plain(_graded(await ctx.grade())))
        return False
    if text == "prompt":
        say(ctx.prompt)
    elif text == "tools":
        await _list_tools(ctx)
    elif text:
        await _call(ctx, text)
    return True


async def _list_tools(ctx: EvalContext) -> None:
    tools = await ctx.list_tools()
    for tool in tools:
        arguments = ", ".join(tool.input_schema.get("properties", {}))
        say(f"  {tool.name}({arguments})  {(tool.description.splitlines() or [''])[0]}".rstrip())
    if not tools:
        say("  (no tools)")


async def _call(ctx: EvalContext, text: str) -> None:
    match = _CALL.fullmatch(text)
    if match is None:
        say(f"what is {text!r}? you can write:\n{HELP}")
        return
    try:
        arguments = json.loads(match[2] or "{}")
    except ValueError as error:
        say(f"the arguments of {match[1]} are no JSON: {error}")
        return
    result = await ctx.call_tool(match[1], **arguments)
    say(f"{'error: ' if result.is_error else ''}{result.text or '(no text)'}")


def _graded(evaluation: Evaluation) -> str:
    lines = [f"reward {evaluation.reward:.3f}"]
    lines += [f"  {score.name}  {score.value:.3f}  (weight {score.weight:g})" for score in evaluation.subscores or ()]
    return "\n".join([*lines, *([evaluation.content] if evaluation.content else [])])
