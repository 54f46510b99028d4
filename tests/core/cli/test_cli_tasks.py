"""Which tasks are chosen, in which order, and that a long source is not read at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hud.cli.evaluate.settings import ALL, FIRST, SOME, Settings
from hud.cli.evaluate.tasks import HELD, select
from hud_core import ConfigError, Kernel, Provider, Task, TaskSource, hookimpl


class Numbers(TaskSource):
    """``numbers:N`` is N tasks; counts how far it was read, and whether it was closed."""

    read = 0
    closed = 0

    def claims(self, ref: str) -> bool:
        return ref.startswith("numbers:")

    async def load(self, ref: str) -> AsyncIterator[Task]:
        kind = type(self)
        try:
            for number in range(int(ref.partition(":")[2])):
                kind.read = number + 1
                yield Task(scenario="s", args={}, slug=None if number % 2 else f"even-{number}", id=f"id-{number}")
        finally:
            kind.closed += 1


def kernel() -> Kernel:
    Numbers.read = Numbers.closed = 0

    class Plugin:
        @hookimpl
        def hud_task_sources(self) -> Any:
            yield Provider("numbers", lambda: Numbers)

    return Kernel(plugins=[Plugin()], autoload=False)


def settings(source: str, chosen: str, *ids: str) -> Settings:
    return Settings(source=source, agent="nop", chosen=chosen, task_ids=list(ids))


async def ids(source: str, chosen: str, *wanted: str) -> list[str | None]:
    async with select(settings(source, chosen, *wanted), kernel()) as selection:
        assert isinstance(selection.tasks, list)
        assert selection.total == len(selection.tasks)
        return [task.id for task in selection.tasks]


async def test_the_first_task_is_read_alone_and_the_source_closed() -> None:
    assert await ids("numbers:1000000", FIRST) == ["id-0"]
    assert (Numbers.read, Numbers.closed) == (1, 1)


async def test_tasks_keep_their_order_whichever_way_they_are_named() -> None:
    assert await ids("numbers:10", SOME, "7", "even-2", "id-1", "2") == ["id-1", "id-2", "id-7"]


async def test_a_slug_wins_over_a_place() -> None:
    class Named(Numbers):
        async def load(self, ref: str) -> AsyncIterator[Task]:
            for slug in ("2", "1", "0"):
                yield Task(scenario="s", args={}, slug=slug)

    class Plugin:
        @hookimpl
        def hud_task_sources(self) -> Any:
            yield Provider("numbers", lambda: Named)

    async with select(settings("numbers:", SOME, "0"), Kernel(plugins=[Plugin()], autoload=False)) as selection:
        assert isinstance(selection.tasks, list)
        assert [task.slug for task in selection.tasks] == ["0"]


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ("even-3", "no task 'even-3' in numbers:5; did you mean 'even-"),
        ("5", "no task '5' in numbers:5: it has 5, counted from 0"),
        ("xyz", "it has even-0, id-1, even-2, id-3, even-4"),
    ],
)
async def test_an_unknown_task_is_named(wanted: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await ids("numbers:5", SOME, wanted)
    assert problem in str(caught.value)


async def test_a_short_source_is_counted_and_a_long_one_is_streamed() -> None:
    assert len(await ids("numbers:50", ALL)) == 50
    async with select(settings(f"numbers:{HELD * 3}", ALL), kernel()) as selection:
        assert selection.total is None
        assert not isinstance(selection.tasks, list)
        assert Numbers.read == HELD
        count = 0
        async for task in selection.tasks:
            assert task.id == f"id-{count}"
            count += 1
            assert Numbers.read <= max(HELD, count)
        assert count == HELD * 3


@pytest.mark.parametrize("chosen", [FIRST, ALL])
async def test_no_tasks_are_an_error(chosen: str) -> None:
    with pytest.raises(ConfigError, match="there are no tasks in numbers:0"):
        await ids("numbers:0", chosen)
