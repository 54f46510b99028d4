"""Environments in this process: who is opened, when hooks run, what is left behind."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from hud_core.environment.environment import Environment
from hud_core.errors import ConfigError, SetupError
from hud_core.job import run
from hud_core.model.evaluation import Answer
from hud_core.model.task import EnvRef
from hud_local.backend import LocalBackend

if TYPE_CHECKING:
    from conftest import Write

    from hud_core.kernel import Kernel


def environment(seen: list[str]) -> Environment:
    """Make an environment that notes what happens to it."""
    env = Environment("noted")

    @env.initialize
    async def start() -> None:
        await anyio.sleep(0.01)
        seen.append("start")

    @env.shutdown
    def broken() -> None:
        seen.append("broken")
        raise RuntimeError("no way down")

    @env.shutdown
    async def stop() -> None:
        seen.append("stop")

    @env.scenario()
    async def ask() -> AsyncGenerator[Any, Any]:
        try:
            seen.append("ask")
            yield "?"
            yield 1.0
        finally:
            await anyio.lowlevel.checkpoint()
            seen.append("closed")

    return env


# --- hooks ------------------------------------------------------------------------------------------------------------


async def test_initialize_runs_once_before_every_rollout_and_shutdown_after_them(
    kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    with caplog.at_level(logging.WARNING, logger="hud"):
        job = await run([environment(seen)("ask")] * 5, "nop", kernel=kernel, save=False)
    assert [rollout.reward for rollout in job] == [1.0] * 5
    assert seen[0] == "start"
    assert sorted(seen[1:-2]) == ["ask"] * 5 + ["closed"] * 5
    assert seen[-2:] == ["broken", "stop"]
    assert "shutdown of environment 'noted' failed: RuntimeError: no way down" in caplog.text


async def test_shutdown_does_not_run_for_what_was_never_opened() -> None:
    seen: list[str] = []
    backend = LocalBackend()
    backend.open(environment(seen))
    await backend.aclose()
    assert seen == []


async def test_a_failed_initialize_is_a_setup_error_and_the_next_to_open_tries_again() -> None:
    env, backend, calls = Environment("flaky"), LocalBackend(), []

    @env.initialize
    def start() -> None:
        calls.append(len(calls))
        if len(calls) == 1:
            raise RuntimeError("database is down")

    with pytest.raises(SetupError, match=r"'flaky' cannot be initialised: RuntimeError: database is down"):
        async with backend.open(env):
            pass
    async with backend.open(env), backend.open(env):
        pass
    assert calls == [0, 1]


async def test_a_cancelled_initialize_is_tried_again() -> None:
    seen: list[str] = []
    env, backend = environment(seen), LocalBackend()
    with anyio.move_on_after(0):
        async with backend.open(env):
            pass
    async with backend.open(env):
        assert seen == ["start"]
    await backend.aclose()


# --- what is opened ---------------------------------------------------------------------------------------------------


async def test_a_reference_with_a_file_opens_the_environment_that_the_file_declares(letters: Path) -> None:
    backend = LocalBackend()
    for _ in range(2):
        async with backend.open(EnvRef("letters", options={"file": str(letters / "env.py")})) as session:
            await session.setup("count", {"text": "strawberry", "letter": "r"})
            assert (await session.grade(Answer(text="3"))).reward == 1.0


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        (EnvRef("letters"), "put the env.py that declares it beside the task file"),
        (EnvRef("other", options={"file": "env.py"}), "env.py declares no environment 'other'; it declares 'letters'"),
        (EnvRef("letters", options={"file": "nix.py"}), "no such file: nix.py"),
        ("letters", "opens a hud Environment or an EnvRef, not str 'letters'"),
    ],
)
async def test_what_cannot_be_opened_says_what_to_do(
    letters: Path, monkeypatch: pytest.MonkeyPatch, ref: EnvRef, says: str
) -> None:
    monkeypatch.chdir(letters)
    with pytest.raises(ConfigError) as caught:
        LocalBackend().open(ref)
    assert says in str(caught.value)


async def test_a_cancelled_rollout_runs_the_scenarios_finally_block() -> None:
    seen: list[str] = []
    backend = LocalBackend()
    with anyio.CancelScope() as scope:
        async with backend.open(environment(seen)) as session:
            await session.setup("ask", {})
            scope.cancel()
            await anyio.sleep_forever()
    assert seen == ["start", "ask", "closed"]
    await backend.aclose()


async def test_rows_run_in_the_environment_beside_them(letters: Path, write: Write, kernel: Kernel) -> None:
    row = '{"scenario": "count", "args": {"text": "strawberry", "letter": "r"}, "slug": "s", "answer": "3"}'
    job = await run(str(write("tasks.json", row)), ["oracle", "nop"], kernel=kernel, save=False)
    assert [rollout.reward for rollout in job] == [1.0, 0.0]
