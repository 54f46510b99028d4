"""A client that runs jobs in containers, in a process of its own, and prints what happens until it is killed."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio

import hud_docker
from hud_core import Agent, Answer, EnvRef, Prompt, ResultSink, Task, Toolbox
from hud_core.job import run
from hud_core.kernel import Kernel

FILE = str(Path(__file__))
ENV = """
import sys
import anyio
from hud import Environment

env = Environment("letters")

@env.tool(blocking=False)
def count_letter(text: str, letter: str) -> int:
    return text.count(letter)

@env.scenario()
async def count():
    print("setting up", file=sys.stderr, flush=True)
    await anyio.sleep(0.1)
    answer = yield "How often is r in strawberry?"
    print("grading", file=sys.stderr, flush=True)
    await anyio.sleep(0.1)
    yield float(answer == "3")
"""


class Counting(Agent):
    """Counts with the tool."""

    name = "counting"

    async def run(self, prompt: Prompt, toolbox: Toolbox, *, max_steps: int) -> Answer | str:
        await anyio.sleep(0.1)
        return (await toolbox.call_tool("count_letter", text="strawberry", letter="r")).text


class Printing(ResultSink):
    """Prints the type of each event, and of lines what they say."""

    async def handle(self, event: Any) -> None:
        """Print it."""
        text = event.text if event.type == "log_line" else ""
        sys.stdout.write(" ".join(f"{event.type} {text}".split()) + "\n")
        sys.stdout.flush()


async def main(image: str, number: int = 1000, max_concurrent: int = 1, **options: Any) -> None:
    """Run a job of rollouts in containers of an image."""
    ref = EnvRef("letters", "docker", {"image": image, **options})
    tasks = [Task(env=ref, scenario="count", args={}, slug=f"count-{index}") for index in range(number)]
    kernel = Kernel(plugins=[hud_docker], autoload=False)
    sinks = [Printing()]
    job = await run(tasks, Counting(), kernel=kernel, save=False, sinks=sinks, max_concurrent=max_concurrent)
    outcomes = [[it.reward, it.cause, it.error, len(it.attempts) + 1] for it in job]
    sys.stdout.write(f"outcomes {json.dumps(outcomes)}\n")


if __name__ == "__main__":
    anyio.run(partial(main, **json.loads(sys.argv[1])))
