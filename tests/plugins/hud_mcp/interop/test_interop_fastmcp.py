"""Objects of FastMCP where users have them: in an environment of ours, and served by `hud dev`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
SERVERS = Path(__file__).parent / "servers"


@pytest.fixture
def python(peers: Any) -> list[str]:
    """The command of a Python that has FastMCP 4 and, behind it on its path, hud."""
    path = os.pathsep.join(filter(None, sys.path))
    return ["env", f"PYTHONPATH={path}", str(peers.folder / "fastmcp4" / "bin" / "python")]


def test_an_environment_takes_one_in(peers: Any, python: list[str]) -> None:
    report = peers.report([*python, str(SERVERS / "joined_kitchen.py")])
    assert report == {"tools": ["kitchen_double"], "result": "8", "rewards": [1.0]}


def test_hud_dev_serves_one(peers: Any, python: list[str]) -> None:
    serve = [*python, "-m", "hud", "dev", f"{SERVERS / 'kitchen.py'}:mcp", "--port", "{port}"]
    with peers.serving(*serve) as url:
        ran = peers.run([str(Path(sys.executable).with_name("hud")), "analyze", url, "--format", "json"])
    assert ran.returncode == 0, ran.stderr
    assert [tool["name"] for tool in json.loads(ran.stdout)["tools"]] == ["double"]
