"""The README's two commands are the ones that continuous integration and the sessions really have."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALL = "python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt nox uv"


@pytest.mark.parametrize("session", ["quickstart", "tests"])
def test_the_readme_has_the_command(session: str) -> None:
    assert f"{INSTALL} && .venv/bin/nox -s {session}\n" in (ROOT / "README.md").read_text("utf-8")


def test_continuous_integration_runs_the_second_command() -> None:
    assert (ROOT / ".ci" / "run").read_text("utf-8").endswith(f"\n{INSTALL} && .venv/bin/nox -s tests\n")


def test_pins_name_no_host() -> None:
    plugins = ROOT / "tests" / "plugins"
    apart = [plugins / "hud_openai" / "litellm-constraints.txt", *plugins.glob("hud_mcp/interop/peers/*.txt")]
    for file in (ROOT / "constraints.txt", *apart):
        lines = file.read_text("utf-8").splitlines()
        assert [line for line in lines if "://" in line or line.startswith("-") or "==" not in line] == []
    assert '"resolved"' not in (plugins / "hud_mcp" / "interop" / "peers" / "package-lock.json").read_text("utf-8")
