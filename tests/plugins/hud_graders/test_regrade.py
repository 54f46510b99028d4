"""``hud regrade``: named graders again, on the answers that a run keeps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hud.cli.host import run as hud
from hud.cli.regrade import NO_GRADERS
from hud_core.job.directory import find_run, read_events, read_rollouts

ENV = """
from __future__ import annotations

from hud import Environment

env = Environment("numbers")


@env.scenario("double")
async def doubling(number: int):
    answer = yield f"What is twice {number}?"
    yield answer == str(2 * number)
"""


def row(number: int, *graders: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = {"graders": list(graders)} if graders else {}
    task = {"env": "numbers", "scenario": "double", "args": {"number": number}, "slug": f"twice-{number}"}
    return {**task, "answer": f"It is {2 * number}.", **named, **more}


def contains(expected: str) -> dict[str, Any]:
    return {"name": "contains", "expected": expected}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run of three tasks: one graded rightly, one wrongly, one by its scenario's code."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "env.py").write_text(ENV, "utf-8")
    write_tasks(row(1, contains("2")), row(2, contains("5")), row(3))
    assert hud(["eval", "tasks.json", "oracle", "--full", "-q", "-y", "--out", "old"]) == 0
    return tmp_path


def write_tasks(*rows: dict[str, Any]) -> None:
    Path("tasks.json").write_text(json.dumps(rows), "utf-8")


def regraded(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert hud(["regrade", *words, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def rewards(path: str | Path) -> dict[str, float | None]:
    return {rollout.task: rollout.reward for rollout in read_rollouts(Path(path))}


def test_graders_that_changed_score_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.read_bytes() for file in Path("old").iterdir() if file.is_file()}
    write_tasks(row(1, contains("2")), row(2, contains("4")), row(3))
    found = regraded(capsys, "old")
    assert found["changed"] == [{"rollout": "twice-2/oracle/0", "old": 0.0, "new": 1.0, "error": None}]
    assert [one["rollout"] for one in found["not_regradable"]] == ["twice-3/oracle/0"]
    assert "the code of its scenario grades it" in found["not_regradable"][0]["reason"]
    assert (found["old_summary"]["mean"], found["summary"]["mean"], found["summary"]["coverage"]) == (1 / 3, 1, 2 / 3)
    assert rewards(found["directory"]) == {"twice-1": 1.0, "twice-2": 1.0, "twice-3": None}
    assert {file: file.read_bytes() for file in Path("old").iterdir() if file.is_file()} == before


def test_one_set_of_graders_scores_every_answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = regraded(capsys, "old", "--graders", json.dumps(contains("6")))
    assert rewards(found["directory"]) == {"twice-1": 0.0, "twice-2": 0.0, "twice-3": 1.0}
    Path("graders.json").write_text(json.dumps([contains("It"), {**contains("4"), "weight": 3}]), "utf-8")
    found = regraded(capsys, "old", "--graders", "graders.json")
    assert rewards(found["directory"]) == {"twice-1": 0.25, "twice-2": 1.0, "twice-3": 0.25}


def test_the_report_says_what_changed_and_what_is_missing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tasks(row(1, contains("2")), row(2, contains("4")), row(3))
    capsys.readouterr()
    assert hud(["regrade", "old", "--out", "new", "--min-coverage", "0.9"]) == 1
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        "task     agent   repeat    old    new",
        "twice-2  oracle       0  0.000  1.000",
        "",
        "regraded  2/3 rollouts, 1 changed",
        f"not       1 (twice-3): {NO_GRADERS}",
        "mean      0.333 before, 1.000 now; over the 2 with both scores 0.500 and 1.000",
        "coverage  3/3 before, 2/3 now",
        "invalid   grader 1",
        "run       new",
    ]
    assert "coverage 0.667 is below --min-coverage 0.9" in told.err
    assert "--out new" in told.err


def test_the_new_run_is_read_and_compared_like_any_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    regraded(capsys, "old", "--graders", json.dumps(contains("6")), "--out", "new")
    assert hud(["trace", "new", "twice-3"]) == 0
    told = capsys.readouterr().out
    assert "What is twice 3?" in told
    assert told.count("grade\n  reward") == 1
    assert hud(["compare", "old", "new", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["notes"][0] == "3 tasks were graded otherwise on the second side"
    assert hud(["eval", "--resume", "new"]) == 2


def test_what_looks_at_the_environment_is_not_graded_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tasks(
        row(1, contains("2")), row(2, {"name": "bash", "command": "touch ran"}), row(3, id="changed", answer="7")
    )
    found = regraded(capsys, "old")
    reasons = {one["rollout"].partition("/")[0]: one["reason"] for one in found["not_regradable"]}
    assert "'bash' looks at more than the answer" in reasons["twice-2"]
    assert "tasks.json has no such task any more" in reasons["twice-3"]
    assert not Path("ran").exists()
    errors = {rollout.task: rollout.error for rollout in read_rollouts(Path(found["directory"]))}
    assert errors["twice-2"] == f"not regradable: {reasons['twice-2']}"


def test_tasks_that_only_their_graders_tell_apart(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tasks(row(1, contains("2")), row(1, contains("8"), slug="again"))
    assert hud(["eval", "tasks.json", "oracle", "--full", "-q", "-y", "--out", "twins"]) == 0
    found = regraded(capsys, "twins")
    assert (found["changed"], rewards(found["directory"])) == ([], {"twice-1": 1.0, "again": 0.0})


@pytest.mark.parametrize("lines", [0, 1, 2])
def test_one_that_was_killed_is_gone_on_with(folder: Path, capsys: pytest.CaptureFixture[str], lines: int) -> None:
    words = ("old", "--graders", json.dumps(contains("6")), "--out", "new")
    whole = regraded(capsys, *words)
    kept = Path("new/rollouts.jsonl").read_bytes().splitlines(keepends=True)
    Path("new/rollouts.jsonl").write_bytes(b"".join(kept[:lines]) + kept[lines][:40])
    assert regraded(capsys, *words)["summary"] == whole["summary"]
    assert rewards("new") == {"twice-1": 0.0, "twice-2": 0.0, "twice-3": 1.0}
    graded = [event["rollout"] for event in read_events(Path("new")) if event["type"] == "graded"]
    assert len(graded) == 3 + 3 - lines  # those that were done are not graded again


def test_one_that_was_killed_while_it_copied_begins_anew(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("new").mkdir()
    Path("new/events.jsonl").write_bytes(Path("old/events.jsonl").read_bytes()[:100])
    regraded(capsys, "old", "--graders", json.dumps(contains("6")), "--out", "new")
    events = [event["type"] for event in read_events(Path("new"))]
    assert events.count("prompted") == events.count("graded") == 3


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("old", "--graders", "[{]"), "--graders: it is no JSON"),
        (("old", "--graders", "nonesuch.json"), "no such file nonesuch.json"),
        (("old", "--graders", "[]"), "--graders must be a list"),
        (("old", "--graders", '[{"name": "contains"}]'), "missing parameter 'expected', expected str @ graders[0]"),
        (("old", "--max-concurrent", "0"), "--max-concurrent must be at least 1"),
        (("old", "--out", "old"), "old holds another job"),
        (("nonesuch",), "no run 'nonesuch'"),
        (("old", "--source", "other.json"), "no such file: other.json"),
    ],
)
def test_what_cannot_be(folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], problem: str) -> None:
    assert hud(["regrade", *words]) == 2
    assert problem in capsys.readouterr().err


def test_nothing_to_grade_is_a_failure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tasks(row(1), row(2), row(3))
    found = regraded(capsys, "old", code=1)
    assert (found["regraded"], found["summary"]["coverage"]) == (0, 0.0)


def test_answers_that_a_judge_could_not_grade_get_their_score_later(
    folder: Path, capsys: pytest.CaptureFixture[str], endpoint: Callable[..., Any], stub: ModuleType
) -> None:
    verdict = {"verdicts": [{"criterion": 1, "reason": "it is", "verdict": "met"}]}
    endpoint(stub.fail(401, "down"), stub.say(json.dumps(verdict)))
    write_tasks(row(1, {"name": "llm_judge", "criteria": "is right", "model": "m"}), row(2, contains("4")))
    assert hud(["eval", "tasks.json", "oracle", "--full", "-q", "-y", "--out", "down"]) == 0
    assert rewards("down") == {"twice-1": None, "twice-2": 1.0}
    found = regraded(capsys, "down", "--out", "up")
    assert "sk-" not in "".join(file.read_text("utf-8") for file in Path("up").iterdir() if file.is_file())
    assert rewards("up") == {"twice-1": 1.0, "twice-2": 1.0}
    assert found["changed"] == [{"rollout": "twice-1/oracle/0", "old": None, "new": 1.0, "error": None}]
    assert (found["spent"]["calls"], found["spent"]["input_tokens"], found["spent"]["cost"]) == (1, 10, None)
    assert hud(["regrade", "down", "--out", "third"]) == 0
    assert "spent     cost unknown for 1 model call: 10 tokens in, 2 out" in capsys.readouterr().out
    events = list(read_events(Path("up"), "twice-1/oracle/0"))
    assert [event["type"] for event in events][-2:] == ["model_called", "graded"]
    assert "attempt_failed" not in [event["type"] for event in events]
    assert regraded(capsys, "up", "--out", "again")["changed"] == []
    judged = [event for event in read_events(Path("again")) if event["type"] == "model_called"]
    assert len(judged) == 1


def test_why_nothing_could_be_graded_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], endpoint: Callable[..., Any], stub: ModuleType
) -> None:
    endpoint(stub.fail(401, "down"))
    judge = {"name": "llm_judge", "criteria": "is right", "model": "m"}
    assert hud(["regrade", "old", "--graders", json.dumps(judge), "--out", "new"]) == 1
    told = capsys.readouterr()
    assert "invalid   grader 3\nsuch as   twice-1: judge 'm' failed:" in told.out
    assert "error: no rollout could be graded again" in told.err


def test_images_stay_where_the_trace_finds_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("old/files").mkdir()
    Path("old/files/picture.png").write_bytes(b"png")
    regraded(capsys, "old", "--graders", json.dumps(contains("6")), "--out", "new")
    shutil.rmtree("old")
    assert Path("new/files/picture.png").read_bytes() == b"png"
    assert find_run("new") == Path("new")


def test_a_key_in_a_judges_settings_is_not_kept(
    folder: Path, capsys: pytest.CaptureFixture[str], endpoint: Callable[..., Any], stub: ModuleType
) -> None:
    verdict = {"verdicts": [{"criterion": 1, "reason": "it is", "verdict": "met"}]}
    server = endpoint(stub.say(json.dumps(verdict)))
    judge = {"name": "llm_judge", "criteria": "is right", "model": "m", "settings": {"api_key": "sk-in-a-row"}}
    regraded(capsys, "old", "--graders", json.dumps(judge), "--out", "new")
    assert not [file for file in Path("new").iterdir() if file.is_file() and b"sk-" in file.read_bytes()]
    questions = {body["messages"][-1]["content"].partition("\n")[2].partition("\n")[0] for body in server.bodies}
    assert questions == {"What is twice 1?", "What is twice 2?", "What is twice 3?"}
    assert regraded(capsys, "old", "--graders", json.dumps(judge), "--out", "new")["regraded"] == 3
    assert len(server.requests) == 3
    regraded(capsys, "old", "--graders", json.dumps({**judge, "question": ""}))
    assert "<question-" not in server.bodies[-1]["messages"][-1]["content"]
    judge["settings"] = {"api_key": "sk-another"}
    assert hud(["regrade", "old", "--graders", json.dumps(judge), "--out", "new"]) == 2


def test_a_run_of_tasks_from_nowhere_needs_graders_or_a_source(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads(Path("old/job.json").read_text("utf-8"))
    Path("old/job.json").write_text(json.dumps({**manifest, "source": None}), "utf-8")
    assert hud(["regrade", "old"]) == 2
    assert "give --source or --graders" in capsys.readouterr().err
    assert regraded(capsys, "old", "--source", "tasks.json")["regraded"] == 2
