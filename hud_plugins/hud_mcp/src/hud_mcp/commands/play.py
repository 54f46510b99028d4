"""``hud dev my_task``: one task, opened for a person to try."""

from __future__ import annotations

import os
import sys
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

import anyio

from hud_core import Environment, evaluate
from hud_core.errors import ConfigError, closest
from hud_core.failures import current_listener
from hud_mcp.commands import typed
from hud_mcp.commands.announce import Voice
from hud_mcp.commands.console import emit, plain, say, stdout_is_talk
from hud_mcp.server.stdio import Lines

if TYPE_CHECKING:
    from pathlib import Path

    from hud_core import EvalContext, Kernel
    from hud_core.model.evaluation import Evaluation
    from hud_core.model.task import Task
    from hud_mcp.project.source import Containers

HELP = f"""\
{typed.HELP}
  prompt                     read the prompt again
  grade ANSWER               grade an answer, and end
  quit                       end without an answer"""
_OUTSIDE = (
    "  the task runs in the container, and is read here: instead of importing env.py, tasks.py may name the scenario,\n"
    '  as in Environment("my-env")("checkout", product="laptop")'
)


def play(name: str, file: Path, kernel: Kernel, container: Containers | None, *, is_verbose: bool) -> int:
    """Open a task, follow what is typed until it is graded, and give the exit code.

    Args:
        name: The task's slug.
        file: The file of tasks.
        kernel: Reads it, and opens the task.
        container: What the task runs in, where its environment is the code that a container has; None runs it here.
        is_verbose: Whether whole tracebacks are shown of tools that fail.

    Raises:
        ConfigError: The file has no such task.
        RolloutError: The task cannot be set up or graded.
    """
    with stdout_is_talk() as stdout:
        voice = Voice(None, is_verbose=is_verbose)
        evaluation = anyio.run(partial(_play, name, os.path.relpath(file), kernel, container, voice))
        if evaluation is None:
            say("not graded")
        else:
            emit(plain(_graded(evaluation)), stdout)
    return 0


async def _play(name: str, file: str, kernel: Kernel, container: Containers | None, voice: Voice) -> Evaluation | None:
    current_listener.set(voice.raised)
    try:
        tasks = [task async for task in kernel.source_for(file).load(file)]
    except ConfigError as error:
        if container is not None:
            error.add_note(_OUTSIDE)
        raise
    task = _pick(name, tasks, file)
    if container is not None:
        await _put_into(container, task)
    async with evaluate(task, kernel=kernel) as ctx:
        say(f"{ctx.prompt}\n")
        await typed.list_tools(ctx)
        say(f"\n{HELP}\n")
        async with aclosing(aiter(Lines(sys.stdin.fileno()))) as lines:
            while await _turn(ctx, await typed.read(lines)):
                pass
        return ctx.evaluation_result


async def _put_into(container: Containers, task: Task) -> None:
    """Have a task run in the container, unless its environment says itself where it runs.

    Raises:
        ConfigError: It does, and there are arguments for the container.
    """
    if isinstance(task.env, Environment) and not task.env.connections:
        task.env = await container.load()
    elif container.docker_args:
        msg = "the task's environment says itself where it runs: give what stands behind -- there, as docker_args="
        raise ConfigError(msg)


def _pick(name: str, tasks: list[Task], file: str) -> Task:
    known = {task.slug or task.label: task for task in tasks}
    if name not in known:
        msg = f"no module and no task {name!r} here{closest(name, known)}; {file} has {', '.join(known)}"
        raise ConfigError(msg)
    return known[name]


async def _turn(ctx: EvalContext, text: str) -> bool:
    """Do what one line says; whether there may be another one."""
    word, _, rest = text.partition(" ")
    if text == "quit":
        return False
    if word == "grade":
        await ctx.submit(rest.strip())
        await ctx.grade()
        return False
    if text == "prompt":
        say(ctx.prompt)
    elif text == "tools":
        await typed.list_tools(ctx)
    elif text:
        await typed.call(ctx, text, HELP)
    return True


def _graded(evaluation: Evaluation) -> str:
    lines = [f"reward {evaluation.reward:.3f}"]
    lines += [f"  {score.name}  {score.value:.3f}  (weight {score.weight:g})" for score in evaluation.subscores or ()]
    return "\n".join([*lines, *([evaluation.content] if evaluation.content else [])])
