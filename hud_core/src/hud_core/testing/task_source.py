"""What every source of tasks must do."""

# ruff: noqa: D102  a test's name says what it shows

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, ClassVar

import pytest

from hud_core.errors import ConfigError, TaskDataError
from hud_core.model.task import Task
from hud_core.testing.contract import Contract, check, optional, required

if TYPE_CHECKING:
    from hud_core.interfaces import TaskSource

FOREIGN = ("", "nobody-knows-this-kind-of-source:x", "no/such/folder/file.unknown")
"""What no source should claim."""


class TaskSourceContract(Contract):
    """Proves a source of tasks.

    ```python
    import pytest

    from hud_core.testing import TaskSourceContract
    from my_plugin.source import Numbers


    class TestNumbers(TaskSourceContract):
        ref = "numbers:3"
        labels = ("add(n=0)", "add(n=1)", "add(n=2)")
        missing = "numbers:none"

        @pytest.fixture
        def source(self):
            return Numbers()
    ```

    The refs are fixtures as well: override ``good_ref``, ``missing_ref`` and ``bad_ref`` where they need a folder.
    """

    ref: ClassVar[str] = ""
    """What the source knows."""
    labels: ClassVar[tuple[str, ...]] = ()
    """The labels of the tasks behind `ref`, in their order of definition."""
    missing: ClassVar[str] = ""
    """What the source claims, and what is not there."""
    mistakes: ClassVar[int] = 2
    """How many mistakes there are behind ``bad_ref``."""

    @pytest.fixture
    def source(self) -> TaskSource:
        """The source to prove."""
        what, owner = "source", type(self).__name__
        raise required(what, owner)

    @pytest.fixture
    def good_ref(self) -> str:
        """What the source knows: `ref`."""
        if not self.ref:
            what, owner = "good_ref", type(self).__name__
            raise required(what, owner)
        return self.ref

    @pytest.fixture
    def missing_ref(self) -> str:
        """What is not there: `missing`."""
        if not self.missing:
            optional("missing_ref", "a ref that is not there is a ConfigError")
        return self.missing

    @pytest.fixture
    def bad_ref(self) -> str:  # type: ignore[return]  # skips
        """What has `mistakes` mistakes in its rows."""
        optional("bad_ref", "every mistake in the rows is named")

    def test_it_claims_its_own_refs_and_no_others(self, source: TaskSource, good_ref: str) -> None:
        check(source.claims(good_ref) is True, f"claims({good_ref!r}) must be True: it is the source's own")
        for foreign in FOREIGN:
            check(source.claims(foreign) is False, f"claims({foreign!r}) must be False: other sources come after this")

    def test_claiming_needs_no_network(
        self, source: TaskSource, good_ref: str, missing_ref: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[object] = []

        def refuse(*arguments: object, **_: object) -> object:
            opened.append(arguments)
            msg = "the network is closed in this test"
            raise OSError(msg)

        for name in ("socket", "create_connection", "getaddrinfo"):
            monkeypatch.setattr(socket, name, refuse)
        for ref in (good_ref, missing_ref, *FOREIGN):
            source.claims(ref)
        check(not opened, f"claims must judge by the ref and the local disk alone, it went to the network: {opened}")

    def test_claiming_twice_says_the_same(self, source: TaskSource, good_ref: str) -> None:
        check(source.claims(good_ref) == source.claims(good_ref), "claims must be pure: asking must change nothing")

    async def test_tasks_come_in_their_order_of_definition(self, source: TaskSource, good_ref: str) -> None:
        tasks = [task async for task in source.load(good_ref)]
        check(all(isinstance(task, Task) for task in tasks), f"load must yield Task objects, it gave {tasks}")
        check(tasks, f"the contract needs at least one task behind {good_ref!r}")
        labels = tuple(task.label for task in tasks)
        if self.labels:
            check(labels == self.labels, f"expected the tasks {self.labels} in this order, load gave {labels}")

    async def test_loading_twice_gives_the_same(self, source: TaskSource, good_ref: str) -> None:
        first = [task.label async for task in source.load(good_ref)]
        again = [task.label async for task in source.load(good_ref)]
        check(first == again, f"a second load must give the same tasks, it gave {again} after {first}")

    async def test_loading_may_stop_early(self, source: TaskSource, good_ref: str) -> None:
        stream = source.load(good_ref)
        await anext(aiter(stream))
        if aclose := getattr(stream, "aclose", None):
            await aclose()

    async def test_what_is_missing_is_a_config_error(self, source: TaskSource, missing_ref: str) -> None:
        try:
            tasks = [task async for task in source.load(missing_ref)]
        except ConfigError as error:
            check(str(error), "the ConfigError must say what is missing")
            return
        check(holds=False, message=f"load({missing_ref!r}) must raise ConfigError, it gave {len(tasks)} tasks")

    async def test_every_mistake_is_named(self, source: TaskSource, bad_ref: str) -> None:
        try:
            tasks = [task async for task in source.load(bad_ref)]
        except TaskDataError as error:
            check(
                len(error.problems) >= self.mistakes,
                f"all {self.mistakes} mistakes must be named, one line each, not only the first: {error.problems}",
            )
            return
        check(holds=False, message=f"load({bad_ref!r}) must raise TaskDataError, it gave {len(tasks)} tasks")
