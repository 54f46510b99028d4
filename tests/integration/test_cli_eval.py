"""``hud eval`` without a terminal: what it prints where, its exit codes, and how it takes bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Hud = Callable[..., "subprocess.CompletedProcess[str]"]

AGENTS = '''
from __future__ import annotations

import sys

from hud_core import Agent, AgentError, Command, Provider, ProviderError, hookimpl


class Keyed(Agent):
    """Tells the tools that it sees, and its options; fails when it is told to."""

    def __init__(self, api_key="", words=1, model="none", mood=None):
        self.api_key, self.words, self.mood = api_key, words, mood

    async def run(self, prompt, toolbox, *, max_steps):
        if self.mood == "ill":
            raise AgentError("first line of trouble\\nsecond line")
        tools = ",".join(tool.name for tool in await toolbox.list_tools())
        return f"{self.api_key}|{self.words!r}|{tools}|{max_steps}"


@hookimpl
def hud_agents():
    yield Provider("keyed", lambda: Keyed, "for tests", models=("keyed-*",))


def fail(arguments):
    raise {"bug": ValueError, "timeout": TimeoutError, "network": ConnectionError, "model": ProviderError}[
        arguments.how
    ]("it went wrong")


@hookimpl
def hud_commands():
    yield Command("fail", "fail", lambda parser: parser.add_argument("how"), fail)
'''


@pytest.fixture
def plugin(tmp_path: Path) -> dict[str, str]:
    """An agent ``keyed`` and a command ``fail``, installed beside the others."""
    site = tmp_path / "site"
    info = site / "hud_keyed-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "hud_keyed.py").write_text(AGENTS, "utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hud-keyed\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[hud]\nkeyed = hud_keyed\n", "utf-8")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")]))}


def document(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """Read the one JSON document on stdout."""
    found: dict[str, object] = json.loads(done.stdout)
    return found


def answers(done: subprocess.CompletedProcess[str]) -> list[str]:
    rollouts = document(done)["rollouts"]
    assert isinstance(rollouts, list)
    return [rollout["answer"]["text"] for rollout in rollouts]


def tasks_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    rollouts = document(done)["rollouts"]
    assert isinstance(rollouts, list)
    return [rollout["task"] for rollout in rollouts]


# --- which tasks ------------------------------------------------------------------------------------------------------


def test_the_first_task_in_order_of_definition_is_run_by_default(folder: Path, hud: Hud) -> None:
    done = hud("eval", "tasks.py", "oracle", "--json")
    assert done.returncode == 0
    assert tasks_of(done) == ["twice-0"]
    assert "the first task only: 'twice-0'" in done.stderr


def test_full_runs_every_task_with_a_hundred_steps(folder: Path, hud: Hud, plugin: dict[str, str]) -> None:
    full = hud("eval", "tasks.py", "keyed", "--full", "--json", env=plugin)
    assert tasks_of(full) == ["twice-0", "twice-1", "twice-2"]
    assert answers(full)[0].endswith("|100")
    assert answers(hud("eval", "tasks.py", "keyed", "--all", "--json", env=plugin))[0].endswith("|10")
    assert answers(hud("eval", "tasks.py", "keyed", "--full", "--max-steps", "3", "--json", env=plugin))[0][-2:] == "|3"


def test_tasks_are_chosen_by_slug_and_by_place(folder: Path, hud: Hud) -> None:
    assert tasks_of(hud("eval", "tasks.py", "oracle", "--task-ids", "2, twice-0", "--json")) == ["twice-0", "twice-2"]


def test_unknown_tasks_are_all_named_with_the_closest(folder: Path, hud: Hud) -> None:
    done = hud("eval", "tasks.py", "oracle", "--task-ids", "twice-9,7,1")
    assert done.returncode == 2
    assert "no task 'twice-9' in tasks.py; did you mean 'twice-" in done.stderr
    assert "no task '7' in tasks.py: it has 3" in done.stderr
    assert not (folder / ".hud").exists()


def test_the_source_is_found_when_it_is_the_only_one(tmp_path: Path, hud: Hud) -> None:
    nothing = hud("eval")
    assert nothing.returncode == 2
    assert "which tasks?" in nothing.stderr
    (tmp_path / "rows.jsonl").write_text('{"env": {"name": "x"}, "scenario": "s", "args": {}}\n', "utf-8")
    assert "rows.jsonl: 1 task with nop" in hud("eval", env={"HUD_AGENT": "nop"}).stderr
    (tmp_path / "more.json").write_text("[]", "utf-8")
    assert "there are more.json, rows.jsonl" in hud("eval", env={"HUD_AGENT": "nop"}).stderr


def test_a_long_file_is_streamed(folder: Path, hud: Hud) -> None:
    row = {"env": {"name": "numbers"}, "scenario": "double", "args": {"number": 1}}
    rows = "".join(json.dumps({**row, "slug": f"row-{number}"}) + "\n" for number in range(10_050))
    (folder / "rows.jsonl").write_text(rows, "utf-8")
    done = hud("eval", "rows.jsonl", "nop", "--full", "-q")
    assert "10,050 rollouts of 10,050 tasks" in done.stdout
    assert len(done.stdout.splitlines()) < 60
    assert max(map(len, done.stdout.splitlines())) < 300
    assert "10,030 more: hud runs show" in done.stdout


# --- the agent --------------------------------------------------------------------------------------------------------


def test_without_agent_and_without_terminal_the_installed_ones_are_listed(folder: Path, hud: Hud) -> None:
    done = hud("eval", "tasks.py")
    assert done.returncode == 2
    assert "which agent?" in done.stderr
    assert "nop, " in done.stderr
    assert done.stdout == ""


def test_an_agent_that_is_not_installed_says_what_to_install(folder: Path, hud: Hud) -> None:
    done = hud("eval", "tasks.py", "claude", "--full", env={"HUD_DISABLE_PLUGINS": "hud-anthropic"})
    assert done.returncode == 2
    assert "pip install hud-anthropic" in done.stderr


def test_an_agent_in_the_place_of_the_source_is_recognised(folder: Path, hud: Hud) -> None:
    assert "hud eval tasks.py oracle" in hud("eval", "oracle").stderr


def test_options_reach_the_agent(folder: Path, hud: Hud, plugin: dict[str, str]) -> None:
    done = hud("eval", "tasks.py", "keyed-1", "-c", "words=[1, 2]", "-c", "keyed.api_key=abc", "--json", env=plugin)
    assert answers(done) == ["abc|[1, 2]|double|10"]
    foreign = hud("eval", "tasks.py", "keyed", "-c", "oracle.words=1", env=plugin)
    assert (foreign.returncode, "for agent 'oracle'" in foreign.stderr) == (2, True)
    unknown = hud("eval", "tasks.py", "keyed", "-c", "colour=1", env=plugin)
    assert (unknown.returncode, "colour" in unknown.stderr) == (2, True)


def test_tools_are_hidden(folder: Path, hud: Hud, plugin: dict[str, str]) -> None:
    hidden = hud("eval", "tasks.py", "keyed", "--disallowed-tools", "dou*", "--json", env=plugin)
    assert answers(hidden) == ["|1||10"]
    assert answers(hud("eval", "tasks.py", "keyed", "--allowed-tools", "other", "--json", env=plugin)) == ["|1||10"]


def test_variants_are_compared(folder: Path, hud: Hud, plugin: dict[str, str]) -> None:
    done = hud("eval", "tasks.py", "keyed", "--variant", "words=a,2", "--all", env=plugin)
    assert "keyed words=a: 0.000 over 3 scored" in done.stdout
    assert "keyed words=2: 0.000 over 3 scored" in done.stdout
    assert "6 rollouts of 3 tasks" in done.stdout


# --- the config file --------------------------------------------------------------------------------------------------


def test_the_config_file_is_the_lowest_layer(folder: Path, hud: Hud, plugin: dict[str, str]) -> None:
    (folder / ".hud_eval.toml").write_text(
        '[eval]\nsource = "tasks.py"\nagent = "nop"\nall = true\nmax_steps = 4\n'
        '[agent]\ndisallowed_tools = "double"\n[keyed]\napi_key = "${KEY_OF_TEST}"\nwords = 5\n'
        '[claude]\nx = "${UNSET}"\n',
        "utf-8",
    )
    env = {**plugin, "HUD_AGENT": "keyed", "KEY_OF_TEST": "k"}
    assert answers(hud("eval", "--json", env=env)) == ["k|5||4"] * 3
    over = hud("eval", "--task-ids", "1", "--max-steps", "2", "-c", "words=6", "--json", env=env)
    assert (tasks_of(over), answers(over)) == (["twice-1"], ["k|6||2"])
    assert answers(hud("eval", "tasks.py", "nop", "--json", env=plugin)) == [""] * 3
    unset = hud("eval", env={**plugin, "HUD_AGENT": "keyed"})
    assert (unset.returncode, "keyed.api_key needs the environment variable KEY_OF_TEST" in unset.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[eval\n", "no valid TOML"),
        ("[eval]\nmax_step = 1\n", "did you mean 'eval.max_steps'?"),
        ("[eval]\nmax_steps = true\n", "eval.max_steps must be a whole number, got True"),
        ("[eval]\nmax_steps = 0\n", "max_steps must be at least 1"),
        ("[eval]\nremote = true\n", "hud-platform"),
        ("[agnet]\nallowed_tools = []\n", "unknown section 'agnet'; did you mean 'agent'?"),
        ("max_steps = 1\n", "outside a section"),
    ],
)
def test_a_config_file_that_is_wrong_is_an_error(folder: Path, hud: Hud, text: str, problem: str) -> None:
    (folder / ".hud_eval.toml").write_text(text, "utf-8")
    done = hud("eval", "tasks.py", "nop")
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_config_of_a_platform_job_can_be_used(folder: Path, hud: Hud, plugin: dict[str, str]) -> None:
    config = {
        "source": "tasks.py", "agent_type": "keyed", "model": None, "all": True, "max_concurrent": 30, "max_steps": 7,
        "verbose": False, "very_verbose": False, "auto_respond": False, "group_size": 2, "remote": False,
        "quiet": False, "gateway": False, "allowed_tools": ["double"],
        "agent_config": {"keyed": {"words": 9}, "claude": {}},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    assert answers(hud("eval", "--from-json", "config.json", "--json", env=plugin)) == ["|9|double|7"] * 6


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["missing.py", "nop"], "missing.py"),
        (["missing.json", "nop"], "missing.json"),
        (["somewhere", "nop"], "no task source knows 'somewhere'"),
        (["tasks.py", "nop", "--group-size", "0"], "group_size must be at least 1"),
        (["tasks.py", "nop", "--max-concurrent", "many"], "invalid int value"),
        (["tasks.py", "nop", "--timeout", "-1"], "timeout must be more than 0"),
        (["tasks.py", "nop", "--min-coverage", "2"], "between 0 and 1"),
        (["tasks.py", "nop", "--ful"], "unknown option '--ful'; did you mean '--full'?"),
        (["tasks.py", "nop", "more"], "unknown argument 'more'"),
        (["tasks.py", "nop", "-c", "words"], "-c takes KEY=VALUE, got 'words'"),
        (["tasks.py", "nop", "--task-ids", ","], "--task-ids is empty"),
        (["--resume", "nothing"], "no run 'nothing'"),
        (["--resume"], "no unfinished run"),
        (["--from-json", "gone.json"], "no such file: gone.json"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(folder: Path, hud: Hud, words: list[str], problem: str) -> None:
    done = hud("eval", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr


# --- outcomes ---------------------------------------------------------------------------------------------------------


def test_invalid_rollouts_are_told_by_cause_with_the_first_message(
    folder: Path, hud: Hud, plugin: dict[str, str]
) -> None:
    done = hud("eval", "tasks.py", "keyed", "--all", "--variant", "mood=ill,well", env=plugin)
    assert done.returncode == 0
    assert "coverage  3/6 (50.0%), bounds 0.000 to 0.500" in done.stdout
    assert "twice-0: first line of trouble" in done.stdout
    assert "second line" not in done.stdout


def test_a_job_without_any_score_fails(folder: Path, hud: Hud, plugin: dict[str, str]) -> None:
    done = hud("eval", "tasks.py", "keyed", "-c", "mood=ill", env=plugin)
    assert done.returncode == 1
    assert "no mean: the rollout has no score" in done.stdout


def test_a_coverage_below_the_least_fails(folder: Path, hud: Hud, plugin: dict[str, str]) -> None:
    words = ["eval", "tasks.py", "keyed", "--all", "--variant", "mood=ill,well", "--min-coverage"]
    assert hud(*words, "0.5", env=plugin).returncode == 0
    done = hud(*words, "0.6", env=plugin)
    assert done.returncode == 1
    assert "coverage 0.500 is below --min-coverage 0.6" in done.stderr


def test_the_agent_may_run_out_of_time(folder: Path, hud: Hud) -> None:
    (folder / "answer.py").write_text("", "utf-8")
    done = hud("eval", "tasks.py", "oracle", "--timeout", "30", "--group-size", "3")
    assert "pass^3    1.000" in done.stdout


def test_each_rollout_may_have_a_process(folder: Path, hud: Hud) -> None:
    done = hud("eval", "tasks.py", "oracle", "--full", "--isolate", "--json")
    assert (done.returncode, document(done)["total"]) == (0, 3)
    manifest = json.loads((Path(folder) / str(document(done)["directory"]) / "job.json").read_text("utf-8"))
    assert manifest["backend"] == "process"


# --- streams ----------------------------------------------------------------------------------------------------------


def test_stdout_holds_one_json_document_though_environments_print(folder: Path, hud: Hud) -> None:
    done = hud("eval", "tasks.py", "oracle", "--full", "--json")
    assert document(done)["summary"]
    assert "the environment prints this" in done.stderr


def test_quiet_says_nothing_but_the_result(folder: Path, hud: Hud) -> None:
    text = (folder / "tasks.py").read_text("utf-8").replace('    print("the environment prints this")\n', "")
    (folder / "tasks.py").write_text(text, "utf-8")
    done = hud("eval", "tasks.py", "oracle", "--full", "-q")
    assert done.stderr == ""
    assert "coverage  3/3 (100%)" in done.stdout


def test_verbose_prints_each_rollout(folder: Path, hud: Hud) -> None:
    done = hud("eval", "tasks.py", "oracle", "--full", "-v")
    assert [f"1.000  twice-{number}  oracle #0" in done.stderr for number in range(3)] == [True] * 3


def test_a_reader_that_leaves_is_no_error(folder: Path, hud: Hud) -> None:
    for words in (["--help"], ["eval", "--help"], ["eval", "tasks.py", "nop", "--full", "--json"]):
        reader, writer = os.pipe()
        os.close(reader)
        with subprocess.Popen(
            [sys.executable, "-m", "hud", *words], cwd=folder, stdout=writer, stderr=subprocess.PIPE, text=True
        ) as process:
            os.close(writer)
            _, stderr = process.communicate(timeout=120)
        assert process.returncode == 141
        assert "Traceback" not in stderr
        assert "Exception ignored" not in stderr


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_secrets_are_neither_printed_nor_stored(folder: Path, hud: Hud, plugin: dict[str, str]) -> None:
    done = hud(
        "eval", "tasks.py", "keyed", "-c", "api_key=sk-very-secret", "-c", "words=3", "-vv", "--out", "run", env=plugin
    )
    assert done.returncode == 0
    assert "sk-very-secret" not in done.stdout + done.stderr
    stored = (folder / "run" / "job.json").read_text("utf-8")
    assert "sk-very-secret" not in stored
    assert json.loads(stored)["command"]["options"] == ['api_key="***"', "words=3"]
    resumed = hud("eval", "--resume", "run", env=plugin)
    assert "secrets are not stored: give api_key again" in resumed.stderr
    again = hud("eval", "--resume", "run", "-c", "api_key=sk-very-secret", env=plugin)
    assert "secrets" not in again.stderr


def test_a_template_is_stored_as_it_is(folder: Path, hud: Hud, plugin: dict[str, str]) -> None:
    (folder / ".hud_eval.toml").write_text('[keyed]\napi_key = "${KEY_OF_TEST}"\n', "utf-8")
    hud("eval", "tasks.py", "keyed", "--out", "run", env={**plugin, "KEY_OF_TEST": "sk-very-secret"})
    manifest = json.loads((folder / "run" / "job.json").read_text("utf-8"))
    assert manifest["command"]["options"] == ['api_key="${KEY_OF_TEST}"']
    assert hud("eval", "--resume", "run", env={**plugin, "KEY_OF_TEST": "k"}).returncode == 0


# --- going on ---------------------------------------------------------------------------------------------------------


def test_a_finished_run_has_nothing_left(folder: Path, hud: Hud) -> None:
    hud("eval", "tasks.py", "oracle", "--full", "--out", "run")
    done = hud("eval", "--resume", "run", "--json")
    assert (done.returncode, document(done)["reused"]) == (0, 3)
    assert "3 of 3 rollouts are kept; nothing is left to run" in done.stderr


def test_what_changed_runs_again_and_is_said_beforehand(folder: Path, hud: Hud) -> None:
    hud("eval", "tasks.py", "oracle", "--full", "--out", "run")
    tasks = folder / "tasks.py"
    changed = tasks.read_text("utf-8").replace(
        'task.args["number"])\n', 'task.args["number"]) if task.args["number"] else ""\n'
    )
    tasks.write_text(changed, "utf-8")
    done = hud("eval", "--resume", "run", "--json")
    assert "2 of 3 rollouts are kept; 1 to run: 1 because the task changed" in done.stderr
    assert document(done)["reused"] == 2


def test_tasks_that_share_a_slug_are_foretold_as_they_come(tmp_path: Path, folder: Path, hud: Hud) -> None:
    rows = [{"env": {"name": "numbers"}, "scenario": "double", "args": {"number": number}} for number in (1, 2, 1)]
    (tmp_path / "rows.json").write_text(json.dumps(rows), "utf-8")
    hud("eval", "rows.json", "nop", "--full", "--group-size", "2", "--out", "run")
    done = hud("eval", "--resume", "run", "--json")
    kept = int(done.stderr.split(" of 6 rollouts are kept")[0].rpartition(" ")[2])
    assert kept == document(done)["reused"]


def test_the_newest_unfinished_run_is_meant(folder: Path, hud: Hud) -> None:
    first = document(hud("eval", "tasks.py", "oracle", "--full", "--json"))
    hud("eval", "tasks.py", "nop", "--json")
    lines = Path(folder, str(first["directory"]), "rollouts.jsonl").read_bytes().splitlines(keepends=True)
    Path(folder, str(first["directory"]), "rollouts.jsonl").write_bytes(b"".join(lines[:1]))
    Path(folder, str(first["directory"]), "summary.json").unlink()
    done = hud("eval", "--resume", "--json")
    assert (document(done)["job"], document(done)["reused"]) == (first["job"], 1)


def test_what_defines_a_job_cannot_change(folder: Path, hud: Hud) -> None:
    hud("eval", "tasks.py", "nop", "--out", "run")
    done = hud("eval", "--resume", "run", "--group-size", "2")
    assert (done.returncode, "--group-size cannot be changed" in done.stderr) == (2, True)


def test_a_run_directory_is_used_once(folder: Path, hud: Hud) -> None:
    hud("eval", "tasks.py", "nop", "--out", "run")
    done = hud("eval", "tasks.py", "nop", "--out", "run")
    assert (done.returncode, "holds a job already" in done.stderr) == (2, True)


# --- errors of commands -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "code"), [("bug", 1), ("timeout", 4), ("network", 3), ("model", 3)])
def test_exceptions_become_exit_codes(hud: Hud, plugin: dict[str, str], how: str, code: int) -> None:
    done = hud("fail", how, env=plugin)
    assert done.returncode == code
    assert "it went wrong" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in hud("fail", how, env={**plugin, "HUD_DEBUG": "1"}).stderr
