"""The run directory: what is kept, what survives, and how a job goes on."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_core import ConfigError, Environment, ImageContent, RunDirectoryError, TextContent, run
from hud_core.job.directory import (
    RunDirectory,
    find_run,
    list_runs,
    new_job_id,
    read_events,
    read_manifest,
    read_rollouts,
    read_scored,
)
from hud_core.job.lines import LineFile
from hud_core.testing import ScriptedAgent

env = Environment("kept")
PIXEL = base64.b64encode(b"\x89PNG not really").decode()


@env.tool
async def look() -> list[object]:
    return ["a dot", ImageContent(data=PIXEL)]


@env.scenario()
async def say(word: str):
    answer = yield [TextContent(text=f"Say {word}"), ImageContent(data=PIXEL)]
    yield float(answer == word)


def tasks(*words):
    made = [say.task(word) for word in words]
    for task, word in zip(made, words, strict=True):
        task.slug = word
    return made


async def test_a_rollout_is_read_back_as_it_was(kernel, tmp_path):
    job = await run(tasks("a", "b"), ScriptedAgent(answer="a"), kernel=kernel, directory=tmp_path / "run", group=2)
    assert sorted(read_rollouts(tmp_path / "run"), key=lambda r: r.id) == sorted(job.rollouts, key=lambda r: r.id)


async def test_runs_are_listed_newest_first_and_found_by_the_beginning_of_their_id(kernel):
    for number in range(3):
        await run(tasks("a"), ScriptedAgent(), kernel=kernel, directory=f".hud/runs/2026-{number}")
    assert [path.name for path in list_runs()] == ["2026-2", "2026-1", "2026-0"]
    assert find_run("2026-1").name == "2026-1"
    assert find_run(None).name == "2026-2"
    with pytest.raises(ConfigError, match="3 runs begin with '2026'"):
        find_run("2026")
    with pytest.raises(ConfigError, match="no run 'x'"):
        find_run("x")


async def test_events_tell_the_whole_story_with_images_as_files(kernel, tmp_path):
    agent = ScriptedAgent([("look", {})], answer="a")
    job = await run(tasks("a", "b"), agent, kernel=kernel, directory=tmp_path / "run")
    events = list(read_events(tmp_path / "run", job.rollouts[0].id))
    assert [event["type"] for event in events] == [
        "rollout_started", "prompted", "tool_called", "tool_returned", "answered", "graded",
    ]  # fmt: skip
    image = events[3]["result"]["content"][1]
    assert (tmp_path / "run" / image["uri"]).read_bytes() == base64.b64decode(PIXEL)
    assert PIXEL not in (tmp_path / "run" / "events.jsonl").read_text()
    assert len(list((tmp_path / "run" / "files").iterdir())) == 1  # one content, one file


async def test_a_resumed_job_runs_only_what_has_no_score(kernel, tmp_path):
    class Once(ScriptedAgent):
        async def run(self, prompt, toolbox, *, max_steps):
            asked.append(prompt.text)
            if prompt.text == "Say b":
                raise ValueError("not today")
            return prompt.text.removeprefix("Say ")

    asked = []
    first = await run(tasks("a", "b", "c"), Once(), kernel=kernel, directory=tmp_path / "run")
    assert (first.coverage, len(asked)) == (2 / 3, 3)
    asked.clear()
    again = await run(tasks("a", "b", "c", "d"), Once(), kernel=kernel, directory=tmp_path / "run", resume=True)
    assert asked == ["Say b", "Say d"]
    assert (again.reused, again.total, len(again)) == (2, 4, 4)
    assert [rollout.task for rollout in again] == ["a", "b", "c", "d"]


async def test_what_a_rollout_depends_on_decides_whether_it_is_kept(kernel, tmp_path):
    await run(tasks("a", "b"), ScriptedAgent(answer="a"), kernel=kernel, directory=tmp_path / "run")
    changed = tasks("a", "b")
    changed[1].args = {"word": "B"}
    again = await run(changed, ScriptedAgent(answer="a"), kernel=kernel, directory=tmp_path / "run", resume=True)
    assert again.reused == 1  # the task changed
    again = await run(changed, ScriptedAgent(answer="B"), kernel=kernel, directory=tmp_path / "run", resume=True)
    assert again.reused == 0  # the agent changed
    assert again.rollouts[1].reward == 1.0
    assert len(read_rollouts(tmp_path / "run")) == 2  # the last record of an id counts
    assert len((tmp_path / "run" / "rollouts.jsonl").read_text().splitlines()) == 5  # and no evidence is lost


async def test_a_new_job_does_not_write_over_another(kernel, tmp_path):
    await run(tasks("a"), ScriptedAgent(), kernel=kernel, directory=tmp_path / "run")
    with pytest.raises(ConfigError, match="holds a job already"):
        await run(tasks("a"), ScriptedAgent(), kernel=kernel, directory=tmp_path / "run")


async def test_two_processes_do_not_run_one_job(kernel, tmp_path):
    await run(tasks("a"), ScriptedAgent(), kernel=kernel, directory=tmp_path / "run")
    held = RunDirectory.reopen(tmp_path / "run")
    with pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"):
        await run(tasks("a"), ScriptedAgent(), kernel=kernel, directory=tmp_path / "run", resume=True)
    held.close()
    assert (await run(tasks("a"), ScriptedAgent(), kernel=kernel, directory=tmp_path / "run", resume=True)).total == 1


@pytest.mark.parametrize("broken", ['{"id": "x"', "not json", ""])
async def test_a_line_that_was_cut_short_is_dropped_and_the_job_goes_on(broken, kernel, tmp_path):
    await run(tasks("a", "b"), ScriptedAgent(answer="a"), kernel=kernel, directory=tmp_path / "run")
    with (tmp_path / "run" / "rollouts.jsonl").open("a") as file:
        file.write(broken)
    assert len(read_rollouts(tmp_path / "run")) == 2
    job = await run(
        tasks("a", "b", "c"), ScriptedAgent(answer="a"), kernel=kernel, directory=tmp_path / "run", resume=True
    )
    assert job.reused == 2
    assert len(read_scored(tmp_path / "run")) == 3


async def test_a_damaged_line_is_named(kernel, tmp_path):
    await run(tasks("a"), ScriptedAgent(), kernel=kernel, directory=tmp_path / "run")
    with (tmp_path / "run" / "rollouts.jsonl").open("a") as file:
        file.write('{"id": 3}\n')
    with pytest.raises(ConfigError, match=r"rollouts.jsonl line 2 is damaged"):
        read_rollouts(tmp_path / "run")


def test_a_folder_without_a_job_is_said_to_have_none(tmp_path):
    with pytest.raises(ConfigError, match="no run in"):
        read_manifest(tmp_path)


async def test_a_manifest_of_another_format_is_refused(kernel, tmp_path):
    await run(tasks("a"), ScriptedAgent(), kernel=kernel, directory=tmp_path / "run")
    manifest = read_manifest(tmp_path / "run")
    (tmp_path / "run" / "job.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(ConfigError, match="format 99, this version reads 1"):
        await run(tasks("a"), ScriptedAgent(), kernel=kernel, directory=tmp_path / "run", resume=True)


async def test_what_users_put_into_a_score_is_kept_even_when_it_is_no_json(kernel, tmp_path):
    odd = Environment("odd")

    @odd.scenario()
    async def strange():
        yield "go"
        yield {"reward": 1.0, "info": {"when": complex(1, 2), "set": {1}}}

    await run(strange.task(), ScriptedAgent(), kernel=kernel, directory=tmp_path / "run")
    (rollout,) = read_rollouts(tmp_path / "run")
    assert rollout.info == {"when": "(1+2j)", "set": [1]}


async def test_a_directory_that_cannot_be_written_is_one_clear_error(kernel, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunDirectoryError, match="cannot write"):
        await run(tasks("a"), ScriptedAgent(), kernel=kernel, directory=tmp_path / "file" / "run")


async def test_secrets_do_not_reach_the_directory(kernel, tmp_path):
    agent = ScriptedAgent(answer="a")
    await run(
        tasks("a"),
        agent,
        kernel=kernel,
        directory=tmp_path / "run",
        manifest={"options": {"api_key": "sk-very-secret"}},
    )
    text = "".join(path.read_text() for path in (tmp_path / "run").glob("*.json*"))
    assert "sk-very-secret" not in text


def test_ids_sort_by_time_and_do_not_repeat():
    ids = [new_job_id() for _ in range(200)]
    assert len(set(ids)) == 200
    assert [id_[:15] for id_ in ids] == sorted(id_[:15] for id_ in ids)


@given(
    st.lists(st.binary(min_size=1, max_size=50).filter(lambda line: b"\n" not in line), max_size=8),
    st.binary(max_size=30),
)
def test_a_line_file_drops_what_is_torn_and_nothing_else(tmp_path_factory, lines, torn):
    path = tmp_path_factory.mktemp("lines") / "x.jsonl"
    torn = torn.replace(b"\n", b"")
    whole = b"".join(line + b"\n" for line in lines)
    path.write_bytes(whole + torn)
    file = LineFile(path)
    assert path.read_bytes() == whole
    file.append(b"next\n")
    file.close()
    assert path.read_bytes() == whole + b"next\n"


def test_a_full_disk_leaves_whole_lines(tmp_path):
    """A limit on the file's size stands for the disk: the write that crosses it comes back short."""
    script = f"""
import resource, signal
from pathlib import Path
from hud_core import RunDirectoryError
from hud_core.job.lines import LineFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
file = LineFile(Path({str(tmp_path / "x.jsonl")!r}))
try:
    while True:
        file.append(b"x" * 149 + b"\\n")
except RunDirectoryError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout
    data = (tmp_path / "x.jsonl").read_bytes()
    assert len(data) == 900
    assert data.endswith(b"\n")
