"""The hooks. Each yields records and does nothing else; what is provided is imported when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hud_core.interfaces import Agent, Backend, Executor, Grader, ResultSink, TaskSink, TaskSource
    from hud_core.providers import Command, Provider

PROJECT = "hud"
"""The entry-point group, and the project name of the hook markers."""

hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker(PROJECT)
hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker(PROJECT)


@hookspec
def hud_backends() -> Iterable[Provider[Backend]]:  # type: ignore[empty-body]
    """Provide ways to open an environment.

    ```python
    from hud_core import Provider, hookimpl


    def load():
        from my_plugin.backend import ShipBackend

        return ShipBackend


    @hookimpl
    def hud_backends():
        yield Provider("ship", load, "opens environments on a ship")
    ```
    """


@hookspec
def hud_agents() -> Iterable[Provider[Agent]]:  # type: ignore[empty-body]
    """Provide agents, and say which models they run.

    ```python
    from hud_core import Agent, Provider, hookimpl


    class Parrot(Agent):
        def __init__(self, model="parrot-1"):
            self.model = model

        async def run(self, prompt, toolbox, *, max_steps):
            return prompt.text


    @hookimpl
    def hud_agents():
        yield Provider("parrot", lambda: Parrot, "repeats the prompt", models=("parrot-*",))
    ```
    """


@hookspec
def hud_graders() -> Iterable[Provider[Grader]]:  # type: ignore[empty-body]
    """Provide graders that task rows name.

    ```python
    from hud_core import Grader, Provider, SubScore, hookimpl


    class Polite(Grader):
        async def grade(self, answer, session, *, weight=1.0):
            return SubScore(name="polite", value="please" in answer.text, weight=weight)


    @hookimpl
    def hud_graders():
        yield Provider("polite", lambda: Polite, "looks for a please")
    ```
    """


@hookspec
def hud_task_sources() -> Iterable[Provider[TaskSource]]:  # type: ignore[empty-body]
    """Provide places that tasks come from.

    ```python
    from hud_core import Provider, Task, TaskSource, hookimpl


    class Numbers(TaskSource):
        def claims(self, ref):
            return ref.startswith("numbers:")

        async def load(self, ref):
            for n in range(int(ref.removeprefix("numbers:"))):
                yield Task(scenario="add", args={"n": n})


    @hookimpl
    def hud_task_sources():
        yield Provider("numbers", lambda: Numbers, "numbers:10 is ten tasks")
    ```
    """


@hookspec
def hud_task_sinks() -> Iterable[Provider[TaskSink]]:  # type: ignore[empty-body]
    """Provide places that tasks go to.

    ```python
    from hud_core import Provider, SyncPlan, SyncReport, TaskSink, hookimpl


    class Void(TaskSink):
        async def plan(self, tasks, ref):
            return SyncPlan(ref=ref, create=tuple(tasks))

        async def apply(self, plan):
            return SyncReport(created=len(plan.create), updated=0)


    @hookimpl
    def hud_task_sinks():
        yield Provider("void", lambda: Void, "forgets every task")
    ```
    """


@hookspec
def hud_result_sinks() -> Iterable[Provider[ResultSink]]:  # type: ignore[empty-body]
    """Provide places that events of a job go to.

    ```python
    from hud_core import Provider, ResultSink, hookimpl


    class Printer(ResultSink):
        async def handle(self, event):
            print(event.type)


    @hookimpl
    def hud_result_sinks():
        yield Provider("printer", lambda: Printer, "prints the type of each event")
    ```
    """


@hookspec
def hud_executors() -> Iterable[Provider[Executor]]:  # type: ignore[empty-body]
    """Provide places that run a job's rollouts.

    ```python
    from hud_core import Executor, Provider, hookimpl


    class Elsewhere(Executor):
        async def submit(self, job):
            raise NotImplementedError("the other place is closed")


    @hookimpl
    def hud_executors():
        yield Provider("elsewhere", lambda: Elsewhere, "runs jobs in the other place")
    ```
    """


@hookspec
def hud_commands() -> Iterable[Command]:  # type: ignore[empty-body]
    """Provide subcommands of ``hud``.

    ```python
    from hud_core import Command, hookimpl


    def run(arguments):
        print("hello")
        return 0


    @hookimpl
    def hud_commands():
        yield Command("hello", "say hello", lambda parser: None, run)
    ```
    """
