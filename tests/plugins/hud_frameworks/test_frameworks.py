"""The tools in the frameworks themselves, which are installed in an environment of their own, as they are heavy.

Each file of `cases` runs there, with the packages of this workspace beside those of the framework.
"""

from __future__ import annotations

import importlib
import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
VARIABLE = "HUD_TEST_FRAMEWORKS"
OURS = ("hud", "hud_core", "hud_frameworks", "hud_local")
PATIENCE = 300


@pytest.fixture(scope="session")
def frameworks() -> Path:
    """The Python that has the frameworks; without it skip, but never in CI."""
    python = os.environ.get(VARIABLE)
    if not python and os.environ.get("CI"):
        pytest.fail(f"{VARIABLE} is not set: CI runs these tests, with the frameworks that `nox -s suite` installs")
    if not python:
        pytest.skip(f"{VARIABLE} is not set; `nox -s suite` installs the frameworks and sets it")
    return Path(python)


@pytest.mark.parametrize("case", ["adk", "langchain", "llamaindex", "openai_agents"])
def test_the_tools_work_in(case: str, frameworks: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    for name in OURS:  # and nothing else of this environment, which has other versions
        package = importlib.import_module(name).__file__
        assert package is not None
        (ours / name).symlink_to(Path(package).parent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HUD_", "PYTEST", "PYTHON"))}
    cases = HERE / "cases"
    options = ["-q", "-c", os.devnull, "-p", "no:cacheprovider", "--import-mode=importlib", "-o", "anyio_mode=auto"]
    ran = subprocess.run(
        [frameworks, "-m", "pytest", *options, f"--rootdir={cases}", f"--confcutdir={cases}", cases / f"{case}.py"],
        cwd=tmp_path,
        env={**kept, "HOME": str(tmp_path), "PYTHONPATH": str(ours), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout
