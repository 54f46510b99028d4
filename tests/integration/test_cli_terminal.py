"""``hud`` in a terminal: progress, the picker, Ctrl-C once and twice, narrow windows."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Any]
Hud = Callable[..., "subprocess.CompletedProcess[str]"]


def records(folder: Path) -> list[dict[str, Any]]:
    (file,) = folder.glob(".hud/runs/*/rollouts.jsonl")
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def cursor_is_shown(raw: str) -> bool:
    return raw.rfind("\x1b[?25h") >= raw.rfind("\x1b[?25l")


def test_progress_is_shown_and_taken_away(slow_folder: Path, terminal: Start) -> None:
    shown = terminal("eval", "tasks.py", "oracle", "--full")
    shown.wait_for("5/30")
    shown.wait_for("mean 1.000 · 25 running")
    shown.type("\x03")
    shown.wait()
    assert cursor_is_shown(shown.raw)


def test_what_environments_print_stays_readable(folder: Path, terminal: Start) -> None:
    shown = terminal("eval", "tasks.py", "oracle", "--full")
    assert shown.wait() == 0
    assert shown.text.count("the environment prints this\n") == 3
    assert "coverage  3/3 (100%)" in shown.text
    assert "read one: hud trace" in shown.text


@pytest.mark.parametrize("columns", [20, 40])
def test_a_narrow_window_is_not_overrun(slow_folder: Path, terminal: Start, columns: int) -> None:
    shown = terminal("eval", "tasks.py", "oracle", "--full", columns=columns)
    shown.wait_for("25 run")
    panel = shown.text[shown.text.rindex("run ") :].splitlines()[1:]
    assert panel
    assert max(map(len, panel)) <= columns
    shown.type("\x03")
    shown.wait()
    rows = [line for line in shown.text.splitlines() if line.startswith("twice")]
    assert len(rows) == 30
    assert max(map(len, rows)) <= columns


def test_ctrl_c_once_stops_the_job_and_says_how_to_go_on(slow_folder: Path, terminal: Start, hud: Hud) -> None:
    shown = terminal("eval", "tasks.py", "oracle", "--full")
    shown.wait_for("5/30")
    shown.type("\x03")
    assert shown.wait() == 130
    assert "stopped: 5 of 30 rollouts are done; go on: hud eval --resume" in shown.text
    assert "5/30 (16.7%), bounds 0.167 to 1.000" in shown.text
    assert len(records(slow_folder)) == 5
    tasks = slow_folder / "tasks.py"
    tasks.write_text(tasks.read_text("utf-8").replace("seconds if number > 4 else 0", "seconds * 0"), "utf-8")
    resumed = hud("eval", "--resume", "-y")
    assert "30 to run: 25 without a score so far, 5 because the environment changed" in resumed.stderr
    assert "coverage  30/30 (100%)" in resumed.stdout


def test_ctrl_c_stops_rollouts_in_processes_of_their_own(slow_folder: Path, terminal: Start) -> None:
    shown = terminal("eval", "tasks.py", "oracle", "--full", "--isolate")
    shown.wait_for("5/30")
    shown.type("\x03")
    assert shown.wait() == 130
    assert "stopped: 5 of 30 rollouts are done" in shown.text
    assert "Traceback" not in shown.text


def test_sigterm_stops_the_job_too_and_leaves_the_terminal_as_it_was(slow_folder: Path, terminal: Start) -> None:
    shown = terminal("eval", "tasks.py", "oracle", "--full")
    shown.wait_for("5/30")
    assert not cursor_is_shown(shown.raw)
    shown.process.terminate()
    assert shown.wait() == 130
    assert "stopped: 5 of 30 rollouts are done; go on: hud eval --resume" in shown.text
    assert cursor_is_shown(shown.raw)


def test_ctrl_c_twice_ends_the_process_at_once(slow_folder: Path, terminal: Start) -> None:
    text = (slow_folder / "tasks.py").read_text("utf-8")
    stubborn = """
    while True:
        try:
            await anyio.sleep(seconds)
            break
        except BaseException:
            print("I stay")
"""
    (slow_folder / "tasks.py").write_text(
        text.replace("    await anyio.sleep(seconds if number > 4 else 0)\n", stubborn)
    )
    shown = terminal("eval", "tasks.py", "oracle", "--full")
    shown.wait_for("30 running")
    shown.type("\x03")
    shown.wait_for("I stay")
    shown.type("\x03")
    assert shown.wait() == 130
    assert cursor_is_shown(shown.raw)


def test_ctrl_c_twice_works_while_an_environment_blocks_the_loop(slow_folder: Path, terminal: Start) -> None:
    text = (slow_folder / "tasks.py").read_text("utf-8")
    (slow_folder / "tasks.py").write_text(
        text.replace(
            "await anyio.sleep(seconds if number > 4 else 0)", "print('blocked'); __import__('time').sleep(999)"
        )
    )
    shown = terminal("eval", "tasks.py", "oracle", "--full", "-q")
    shown.wait_for("blocked")
    shown.type("\x03")
    shown.wait_for("^C")
    while shown.process.poll() is None:  # two signals at the very same time are one
        shown.type("\x03")
        time.sleep(0.1)
    assert shown.process.returncode == 130


def test_an_agent_is_picked_by_number_or_name(folder: Path, terminal: Start) -> None:
    shown = terminal("eval", "tasks.py")
    shown.wait_for("number or name: ")
    names = [line.split()[1] for line in shown.text.splitlines() if line.strip()[:1].isdigit()]
    shown.type("99\n")
    shown.wait_for("'99' is not one of them")
    shown.type(f"{names.index('nop') + 1}\n")
    shown.wait_for("1 task with nop")
    assert shown.wait() == 0
    by_name = terminal("eval", "tasks.py")
    by_name.wait_for("number or name: ")
    by_name.type("oracle\n")
    by_name.wait_for("1 task with oracle")


@pytest.mark.parametrize(("keys", "code"), [("\x04", 2), ("\x03", 130)])
def test_the_picker_can_be_left(folder: Path, terminal: Start, keys: str, code: int) -> None:
    shown = terminal("eval", "tasks.py")
    shown.wait_for("number or name: ")
    shown.type(keys)
    assert shown.wait() == code
    assert "Traceback" not in shown.text


@pytest.mark.parametrize(("keys", "code"), [("n\n", 1), ("\n", 1), ("\x03", 130), ("y\n", 0)])
def test_nothing_scored_is_run_again_without_a_yes(
    folder: Path, terminal: Start, hud: Hud, keys: str, code: int
) -> None:
    hud("eval", "tasks.py", "oracle", "--full", "--out", "run")
    tasks = folder / "tasks.py"
    tasks.write_text(tasks.read_text("utf-8").replace("return 2 * number", "return number + number"), "utf-8")
    shown = terminal("eval", "--resume", "run")
    shown.wait_for("run again what has a score already (3)? [y/N] ")
    shown.type(keys)
    assert shown.wait() == code
    lines = (folder / "run" / "rollouts.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == (6 if code == 0 else 3)


def test_colours_stay_in_terminals(folder: Path, terminal: Start, hud: Hud) -> None:
    assert "\x1b" not in hud("eval", "tasks.py", "oracle", "--full").stdout
    assert "\x1b[1m" in finished(terminal("runs")).raw
    assert "\x1b[1m" not in finished(terminal("runs", env={"NO_COLOR": "1"})).raw


def finished(shown: Any) -> Any:
    shown.wait()
    return shown
