"""What every sink of tasks must do."""

# ruff: noqa: D102  a test's name says what it shows

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hud_core.model.task import EnvRef, Task
from hud_core.testing.contract import Contract, check, required

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hud_core.interfaces import SyncPlan, TaskSink

SLUGS = ("one", "two", "three")


class TaskSinkContract(Contract):
    """Proves a sink of tasks.

    ```python
    import pytest

    from hud_core.testing import TaskSinkContract
    from my_plugin.sink import Folder


    class TestFolder(TaskSinkContract):
        @pytest.fixture
        def sink(self):
            return Folder()

        @pytest.fixture
        def target(self, tmp_path):
            return f"folder:{tmp_path}"
    ```
    """

    @pytest.fixture
    def sink(self) -> TaskSink:
        """The sink to prove."""
        what, owner = "sink", type(self).__name__
        raise required(what, owner)

    @pytest.fixture
    def target(self) -> str:
        """Where the tasks go: a ref that holds no tasks yet, another one for each test."""
        what, owner = "target", type(self).__name__
        raise required(what, owner)

    @pytest.fixture
    def tasks(self) -> list[Task]:
        """Three tasks with the slugs one, two and three; override it if the sink needs another environment."""
        return [_task(slug, number) for number, slug in enumerate(SLUGS)]

    async def test_a_plan_changes_nothing(self, sink: TaskSink, target: str, tasks: list[Task]) -> None:
        for attempt in ("first", "second"):
            plan = await sink.plan(tasks, target)
            created = [task.slug for task in plan.create]
            check(created == list(SLUGS), f"the {attempt} plan for an empty target must create {SLUGS}, not {created}")

    async def test_after_apply_there_is_nothing_to_do(self, sink: TaskSink, target: str, tasks: list[Task]) -> None:
        report = await sink.apply(await sink.plan(tasks, target))
        check((report.created, report.updated) == (3, 0), f"apply must report 3 created and 0 updated, got {report}")
        _check_unchanged(await sink.plan(tasks, target), SLUGS, "after apply")
        again = await sink.apply(await sink.plan(tasks, target))
        check((again.created, again.updated) == (0, 0), f"applying an empty plan must change nothing, got {again}")

    async def test_a_changed_task_is_updated(self, sink: TaskSink, target: str, tasks: list[Task]) -> None:
        await sink.apply(await sink.plan(tasks, target))
        changed = [tasks[0], _task(SLUGS[1], 99), tasks[2]]
        plan = await sink.plan(changed, target)
        updates = [task.slug for task, _ in plan.update]
        check(updates == [SLUGS[1]], f"only {SLUGS[1]!r} changed, the plan updates {updates}")
        check(plan.update[0][1], "an update must say what changed")
        check(not plan.create, f"a changed task must not be created again: {[task.slug for task in plan.create]}")
        report = await sink.apply(plan)
        check((report.created, report.updated) == (0, 1), f"apply must report 1 updated, got {report}")
        _check_unchanged(await sink.plan(changed, target), SLUGS, "after the update")

    async def test_nothing_is_ever_deleted(self, sink: TaskSink, target: str, tasks: list[Task]) -> None:
        await sink.apply(await sink.plan(tasks, target))
        plan = await sink.plan(tasks[:1], target)
        check(
            set(plan.remote_only) == set(SLUGS[1:]),
            f"tasks that exist only there must be in remote_only, got {plan.remote_only}",
        )
        await sink.apply(plan)
        _check_unchanged(await sink.plan(tasks, target), SLUGS, "a sync of one task must leave the others; after it")

    async def test_the_plan_names_its_target(self, sink: TaskSink, target: str, tasks: list[Task]) -> None:
        plan = await sink.plan(tasks, target)
        check(plan.ref == target, f"the plan's ref must be {target!r}, so that apply knows where; it is {plan.ref!r}")


def _task(slug: str, number: int) -> Task:
    return Task(env=EnvRef("contract"), scenario="letters", args={"word": "r" * number, "letter": "r"}, slug=slug)


def _check_unchanged(plan: SyncPlan, slugs: Sequence[str], when: str) -> None:
    moves = {"create": [task.slug for task in plan.create], "update": [task.slug for task, _ in plan.update]}
    check(
        not plan.create and not plan.update and set(plan.unchanged) == set(slugs),
        f"{when}, {tuple(slugs)} must be unchanged; the plan says {moves}, unchanged {plan.unchanged}",
    )
