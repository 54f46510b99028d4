from __future__ import annotations

import time
from pathlib import Path

import anyio
import pytest

from hud.native.graders import BashGrader
from hud_core import GraderError
from hud_graders import shell


def is_gone(pid: int) -> bool:
    try:
        return "zombie" in Path(f"/proc/{pid}/status").read_text("utf-8")
    except OSError:
        return True


async def wait_until_gone(pid: int) -> None:
    with anyio.fail_after(60):
        while not is_gone(pid):
            await anyio.sleep(0.01)


async def test_an_exit_code_is_a_score(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here", "utf-8")
    good = await BashGrader.grade(weight=2.0, command="cat file; echo oops >&2", cwd=str(tmp_path))
    assert (good.name, good.value, good.weight) == ("BashGrader", 1.0, 2.0)
    assert good.metadata is not None
    assert good.metadata["_parameters"] == {"command": "cat file; echo oops >&2", "cwd": str(tmp_path)}
    assert [good.metadata[key] for key in ("exit_code", "stdout", "stderr")] == [0, "here", "oops\n"]
    bad = await BashGrader.grade(weight=1.0, command="exit 7")
    assert (bad.value, (bad.metadata or {})["exit_code"]) == (0.0, 7)


async def test_a_command_that_takes_too_long_is_killed_with_its_children_and_its_output_is_kept(tmp_path: Path) -> None:
    command = "sleep 600 & echo $! > pid; echo early; sleep 600"
    score = await BashGrader.grade(weight=1.0, command=command, cwd=str(tmp_path), timeout_seconds=2.0)
    assert score.value == 0.0
    assert score.metadata is not None
    assert (score.metadata["timed_out"], score.metadata["exit_code"]) == (True, None)
    assert score.metadata["stdout"] == "early\n"
    await wait_until_gone(int((tmp_path / "pid").read_text("utf-8")))


async def test_a_background_child_is_not_waited_for(tmp_path: Path) -> None:
    started = time.monotonic()
    score = await BashGrader.grade(weight=1.0, command="sleep 600 & echo $! > pid", cwd=str(tmp_path))
    assert score.value == 1.0
    assert time.monotonic() - started < 300  # it would be 600
    await wait_until_gone(int((tmp_path / "pid").read_text("utf-8")))


async def test_a_cancelled_command_is_killed_with_its_children(tmp_path: Path) -> None:
    async with anyio.create_task_group() as tasks:
        command = "sleep 600 & echo $! > .pid; mv .pid pid; sleep 600"
        tasks.start_soon(shell.run_bash, command, str(tmp_path), None)
        with anyio.fail_after(60):
            while not (tmp_path / "pid").exists():
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    await wait_until_gone(int((tmp_path / "pid").read_text("utf-8")))


async def test_a_folder_that_is_missing_is_named() -> None:
    with pytest.raises(GraderError, match="cwd '/no/such/folder' is no folder"):
        await BashGrader.grade(weight=1.0, command="true", cwd="/no/such/folder")


async def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraderError, match="cannot run /no/bash: No such file"):
        await shell.run_command(["/no/bash"], cwd=None, timeout_seconds=1)


async def test_long_output_loses_its_middle() -> None:
    score = await BashGrader.grade(weight=1.0, command="echo first; head -c 1000000 /dev/zero | tr '\\0' é; echo last")
    told = (score.metadata or {})["stdout"]
    assert told.startswith("first\n")
    assert told.endswith("last\n")
    assert "[... left out ...]" in told
    assert len(told) < shell.KEPT + 100


async def test_a_command_that_prints_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "MOST", 1 << 16)
    monkeypatch.setattr(shell, "LOOK_SECONDS", 0.01)
    with pytest.raises(GraderError, match="printed more than"):
        await BashGrader.grade(weight=1.0, command="yes")


async def test_descriptors_are_given_back() -> None:
    await BashGrader.grade(weight=1.0, command="true")
    before = len(list(Path("/proc/self/fd").iterdir()))
    await BashGrader.grade(weight=1.0, command="true")
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
