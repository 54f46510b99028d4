"""Budgets, prices and the cache on the command line, and how the end of a budget is said."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Hud = Callable[..., "subprocess.CompletedProcess[str]"]

AGENT = '''
from __future__ import annotations

from pathlib import Path

from hud_core import Provider, ToolLoopAgent, Usage, hookimpl
from hud_core.agents import ModelTurn


class Metered(ToolLoopAgent):
    """Doubles the number in the prompt, for a thousand tokens; and notes that it was asked."""

    async def respond(self, conversation):
        with Path("asked.txt").open("a") as file:
            file.write("x")
        [number] = [word for word in conversation.turns[0].text.split() if word.rstrip("?").isdigit()]
        usage = Usage(input_tokens=900, output_tokens=100)
        return ModelTurn(text=str(2 * int(number.rstrip("?"))), usage=usage, raw={})


@hookimpl
def hud_agents():
    yield Provider("metered", lambda: Metered, "for tests", models=("metered-*",))
'''


@pytest.fixture
def metered(folder: Path) -> dict[str, str]:
    """An agent whose tokens have a price: a cent for each call."""
    info = folder / "site" / "hud_metered-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "site" / "hud_metered.py").write_text(AGENT, "utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hud-metered\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[hud]\nmetered = hud_metered\n", "utf-8")
    (folder / "prices.toml").write_text('[models."metered-*"]\ninput = 10\noutput = 10\n', "utf-8")
    path = os.pathsep.join(filter(None, [str(folder / "site"), os.environ.get("PYTHONPATH", "")]))
    return {"PYTHONPATH": path, "HUD_PRICES": "prices.toml"}


EVAL = ("eval", "tasks.py", "metered-1", "--full", "--max-concurrent", "1", "--out", ".hud/runs/mine")


def test_a_job_ends_with_its_budget_and_goes_on_with_a_bigger_one(
    folder: Path, hud: Hud, metered: dict[str, str]
) -> None:
    first = hud(*EVAL, "--max-tokens", "2900", env=metered)
    assert first.returncode == 1
    assert "budget: the job's budget is too small for the next call: 2,000 of 2,900 tokens spent" in first.stderr
    assert "1 of 3 rollouts are left; go on: hud eval --resume mine --max-tokens 5800" in first.stderr
    assert "spent     $0.020 for 2 model calls: 1,800 tokens in, 200 out" in first.stdout
    assert "budget 1" in first.stdout
    again = hud("eval", "--resume", "mine", "--max-tokens", "5800", "--json", env=metered)
    assert again.returncode == 0
    document = json.loads(again.stdout)
    assert (document["ended"], document["stopped"], document["reused"]) == (None, False, 2)
    assert document["usage"]["calls"] == 3
    assert document["usage"]["cost"] == document["agents"][0]["usage"]["cost"] == pytest.approx(0.03)
    assert (folder / "asked.txt").read_text() == "xxx"
    listed = json.loads(hud("runs", "--json", env=metered).stdout)
    assert listed[0]["usage"]["input_tokens"] == 2700
    assert "$0.030" in hud("runs", env=metered).stdout
    assert hud("runs", "export", "mine", "--format", "csv", env=metered).stdout.splitlines()[1].endswith(",0.01")
    assert "900 + 100 tokens, $0.010" in hud("trace", "mine", "twice-0", env=metered).stdout


def test_a_budget_may_stand_in_the_config_file(folder: Path, hud: Hud, metered: dict[str, str]) -> None:
    (folder / ".hud_eval.toml").write_text("[eval]\nmax_cost = 0.001\nrollout_max_time = 60\n")
    done = hud(*EVAL, env=metered)
    assert done.returncode == 1
    assert "the job's budget is too small for the next call: $0.00 of $0.0010 spent" in done.stderr
    assert not (folder / "asked.txt").exists()


def test_the_cache_saves_the_second_run(folder: Path, hud: Hud, metered: dict[str, str]) -> None:
    assert hud(*EVAL, "--cache", env=metered).returncode == 0
    again = hud("eval", "tasks.py", "metered-1", "--full", "--cache", "--json", "--out", "again", env=metered)
    document = json.loads(again.stdout)
    assert document["summary"]["mean"] == 1.0
    assert (document["usage"]["calls"], document["usage"]["cost"]) == (0, 0.0)
    assert (folder / "asked.txt").read_text() == "xxx"
    assert "from the cache" in hud("trace", "again", "twice-0", env=metered).stdout
    (folder / ".hud" / "cache" / "notes.json").write_text("mine")
    shown = json.loads(hud("cache", "--json").stdout)
    assert shown["answers"] == 3
    assert shown["bytes"] > 300
    assert "forgotten: 3 answers" in hud("cache", "clear").stdout
    assert "0 answers, 0.0 MB" in hud("cache").stdout
    assert (folder / ".hud" / "cache" / "notes.json").exists()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--max-cost", "0"], "max_cost must be a number more than 0, got 0"),
        (["--rollout-max-time", "nan"], "rollout_max_time must be a number more than 0"),
        (["--prices", "gone.toml"], "cannot read prices from gone.toml"),
        (["--max-cost", "1", "-m", "other"], "price of model 'other' is not known"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_an_error_before_anything_runs(
    folder: Path, hud: Hud, metered: dict[str, str], words: list[str], problem: str
) -> None:
    done = hud("eval", "tasks.py", "metered", "-m", "metered-1", *words, env=metered)
    assert done.returncode == 2
    assert problem in done.stderr
    assert not (folder / "asked.txt").exists()
