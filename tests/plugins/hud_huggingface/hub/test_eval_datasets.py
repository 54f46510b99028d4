"""``hud eval`` of datasets and of old task files, as people type it: a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COUNTER = Path(__file__).parents[1] / "servers" / "counter.py"
ENVIRONMENT = """
from hud import Environment

env = Environment("letters")


@env.scenario("count")
async def count(n: int):
    answer = yield f"Say {n}"
    yield float(answer == str(n))
"""


def row(name, target=3):
    return {
        "id": name,
        "prompt": f"Count to {target}.",
        "mcp_config": {"counter": {"command": "${PYTHON}", "args": [str(COUNTER)]}},
        "setup_tool": {"name": "setup", "arguments": {"start": 0}},
        "evaluate_tool": {"name": "evaluate", "arguments": {"target": target}},
        "integration_test_tool": [{"name": "act"}] * 3,
    }


def new_row(slug, n=1):
    return {"slug": slug, "env": "letters", "scenario": "count", "args": {"n": n}, "answer": str(n)}


def jsonl(*rows):
    return "".join(json.dumps(one) + "\n" for one in rows)


@pytest.fixture
def hud(hub, environment):
    def run(*words, **more):
        return subprocess.run(
            [sys.executable, "-m", "hud", *words],
            env={**os.environ, **environment, "PYTHON": sys.executable, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def result(done):
    assert done.returncode == 0, done.stderr
    return {rollout["task"]: rollout["reward"] for rollout in json.loads(done.stdout)["rollouts"]}


def test_a_split_of_a_dataset_runs_and_a_later_commit_changes_nothing_for_its_resume(hub, hud):
    first = hub.put("org/tasks", {"train.jsonl": jsonl(row("a")), "test.jsonl": jsonl(row("b"), row("c", 4))})
    done = hud("eval", "org/tasks", "oracle", "--split", "test", "--all", "--json", "--out", "run")
    assert result(done) == {"b": 1.0, "c": 0.0}
    assert f"org/tasks@{first}:test" in done.stderr
    assert "Fetching" not in done.stderr
    hub.put("org/tasks", {"test.jsonl": jsonl(row("d"), row("e"))})
    for more in ({}, {"HF_HUB_OFFLINE": "1"}):
        again = hud("eval", "--resume", "run", "--json", "--yes", **more)
        assert result(again) == {"b": 1.0, "c": 0.0}
        assert "2 of 2 rollouts are kept" in again.stderr
    assert json.loads(Path("run", "job.json").read_text())["source"] == f"org/tasks@{first}:test"


def test_old_and_new_rows_of_one_file_run(hud):
    Path("env.py").write_text(ENVIRONMENT)
    named = {"environment" if key == "env" else key: value for key, value in new_row("named").items()}
    rows = [new_row("new"), row("old"), {**row("later"), "id": 7}, named, {**named, "slug": "b"}]
    Path("tasks.json").write_text(json.dumps(rows))
    done = hud("eval", "tasks.json", "oracle", "--all", "--json")
    assert result(done) == {"new": 1.0, "old": 1.0, "7": 1.0, "named": 1.0, "b": 1.0}
    assert done.stderr.count("'environment' is 'env' (first @ tasks[3])") == 1
    assert done.stderr.count("'id' is text, and was written as a number") == 1


def test_mistakes_of_old_and_new_rows_are_all_named(hud):
    rows = [{**row("a"), "evaluate_tool": 5}, {"prompt": "p"}, {"slug": 5}, {"scenario": "x", "answers": 1}]
    Path("tasks.jsonl").write_text(jsonl(*rows))
    done = hud("eval", "tasks.jsonl", "oracle", "--all")
    assert done.returncode == 2
    for place in ("tasks[0].evaluate_tool (tasks.jsonl:1)", "tasks[1].mcp_config (tasks.jsonl:2)", "tasks[2].slug"):
        assert place in done.stderr
    assert "unknown field 'answers' @ tasks[3]; did you mean 'answer'? (tasks.jsonl:4)" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["org/none", "oracle"], 2, "no dataset 'org/none' on the Hub, or it is private"),
        (
            ["org/tasks", "oracle", "--split", "tests"],
            2,
            "'tests' is not there; there are train, test; did you mean 'test'?",
        ),
        (["org/tasks:test", "oracle", "--split", "train"], 2, "names the split 'test' already"),
        (["tasks.py", "oracle", "--split", "test"], 2, "tasks.py has no splits, so there is none called 'test'"),
    ],
)
def test_what_is_wrong_is_one_message(hub, hud, words, code, says):
    hub.put("org/tasks", {"train.jsonl": jsonl(row("a")), "test.jsonl": jsonl(row("b"))})
    done = hud("eval", *words)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_hub_that_cannot_be_reached_is_a_connection_error(hud):
    done = subprocess.run(
        [sys.executable, "-m", "hud", "eval", "org/tasks", "oracle"],
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(Path("hf").absolute())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "org/tasks cannot be read: the server cannot be reached" in done.stderr


def test_no_secret_of_a_row_is_in_anything_that_a_run_leaves(hub, hud, monkeypatch):
    monkeypatch.setenv("COUNTER_KEY", "planted-0123456789")
    servers = {"counter": {**row("a")["mcp_config"]["counter"], "env": {"KEY": "${COUNTER_KEY}"}}}
    hub.put("org/tasks", {"tasks.jsonl": jsonl({**row("a"), "mcp_config": servers})})
    done = hud("eval", "org/tasks", "oracle", "--json", "--out", "run", "-vv")
    assert result(done) == {"a": 1.0}
    left = "".join(path.read_text() for path in Path("run").rglob("*") if path.is_file())
    assert "planted-0123456789" not in done.stdout + done.stderr + left


def test_an_address_runs_and_its_secrets_are_kept_nowhere(hub, hud):
    hub.pages["tasks.jsonl"] = jsonl(row("a")).encode()
    signed = f"{hub.url}/files/tasks.jsonl?sig=planted-0123456789"
    converted = hud("convert", signed)
    assert "wrote from tasks.jsonl." in converted.stdout
    done = hud("eval", signed, "oracle", "--out", "run")
    assert (done.returncode, Path("run").exists()) == (2, False)
    assert "the run directory keeps the address, and 'sig' in it is secret" in done.stderr
    ref = f"{hub.url}/files/tasks.jsonl?sig=${{SIG}}"
    again = hud("eval", ref, "oracle", "--json", "--out", "run", "-vv", SIG="planted-0123456789")
    assert result(again) == {"a": 1.0}
    left = "".join(path.read_text() for path in Path("run").rglob("*") if path.is_file())
    assert ref in left
    said = "".join(one.stdout + one.stderr for one in (converted, done, again))
    assert "planted-0123456789" not in said + left


def test_ctrl_c_does_not_wait_for_a_download(environment, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        command = [sys.executable, "-m", "hud", "eval", f"http://127.0.0.1:{server.getsockname()[1]}/a.jsonl", "oracle"]
        process = subprocess.Popen(
            command, env={**os.environ, **environment, "TMPDIR": str(tmp_path)}, stderr=subprocess.PIPE, text=True
        )
        connection, _ = server.accept()
        with connection, process:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[")
            process.send_signal(signal.SIGINT)
            try:
                _, said = process.communicate(timeout=60)
            finally:
                process.kill()
    assert (process.returncode, said) == (130, "\ninterrupted\n")
    assert list(tmp_path.glob("hud-rows-*")) == []
