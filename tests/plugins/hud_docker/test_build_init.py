"""``hud init``: a small whole environment, which passes its own checks and is built."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from docker import APIClient
from hypothesis import given
from hypothesis import strategies as st

from hud_docker.building.dockerfile import Dockerfile
from hud_docker.building.template import dockerfile_text, example

FILES = {"env.py", "tasks.py", "pyproject.toml", "Dockerfile.hud", ".dockerignore", "README.md"}


def hud(*words: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hud", *words], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=240, env={**os.environ, "NO_COLOR": "1", **more},
    )  # fmt: skip


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_files_are_written_and_named(tmp_path):
    done = hud("init", "My Letters", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "My Letters"
    assert names(folder) == FILES
    assert {Path(line).name for line in done.stdout.splitlines()} == FILES
    assert 'Environment("my-letters")' in (folder / "env.py").read_text()
    assert "letter-counter" not in "".join(path.read_text() for path in folder.iterdir())
    assert f"cd {folder.name}" in done.stderr


def test_files_that_are_there_are_not_overwritten_unless_that_is_asked_for(tmp_path):
    (tmp_path / "env.py").write_text("mine")
    (tmp_path / "README.md").write_text("mine")
    refused = hud("init", cwd=tmp_path)
    assert refused.returncode == 2
    assert "has env.py already; name another folder, or --force overwrites them" in refused.stderr
    assert names(tmp_path) == {"env.py", "README.md"}
    assert (tmp_path / "env.py").read_text() == "mine"
    (tmp_path / "env.py").unlink()
    assert hud("init", cwd=tmp_path).returncode == 0
    assert (tmp_path / "README.md").read_text() == "mine"
    forced = hud("init", "--force", cwd=tmp_path)
    assert forced.returncode == 0
    assert (tmp_path / "README.md").read_text() != "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x", "--preset", "browser"], "--preset browser: presets come from a network"),
        (["!!!"], "'!!!' is no name for an environment"),
        (["x", "-d", "/dev/null"], "/dev/null"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, words, said):
    done = hud("init", *words, cwd=tmp_path)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not names(tmp_path)


@pytest.mark.slow
def test_the_example_passes_its_checks_and_is_built(tmp_path, docker: APIClient, base_image):
    name = f"hud-test-e-{uuid.uuid4().hex[:10]}"
    assert hud("init", name, cwd=tmp_path).returncode == 0
    project = tmp_path / name
    checked = hud("check", "tasks.py", cwd=project)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    ran = hud("eval", "tasks.py", "oracle", "--full", "-y", cwd=project)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    shutil.rmtree(project / ".hud")
    try:
        built = hud("build", "--build-arg", f"BASE={base_image}", "--json", cwd=project)
        assert built.returncode == 0, built.stderr
        assert json.loads(built.stdout)["scenarios"] == [f"{name}:count"]
        assert docker.inspect_image(f"{name}:latest")["Config"]["User"] == "agent"
        assert "tasks.py" not in (project / "hud.lock.yaml").read_text(), "solutions are in no image"
        assert hud("build", "--check", cwd=project).returncode == 0  # what it leaves out keeps the lock out, too
    finally:
        for image in docker.images(name):
            docker.remove_image(image["Id"], force=True, noprune=True)


def test_the_example_is_the_tutorials(pytestconfig):
    tutorial = pytestconfig.rootpath / "docs" / "tutorial" / "letter_counter"
    for file in ("env.py", "tasks.py"):
        assert example("letter-counter")[file] == (tutorial / file).read_text()


# --- a Dockerfile for a directory without one -------------------------------------------------------------------------


def test_without_a_dockerfile_nothing_is_written_unasked(tmp_path):
    nothing = hud("build", cwd=tmp_path)
    assert nothing.returncode == 2
    assert "nor an env.py to write one for; `hud init` writes a whole example" in nothing.stderr
    (tmp_path / "env.py").write_text("")
    unasked = hud("build", cwd=tmp_path)
    assert unasked.returncode == 2
    assert "`hud build --yes` writes Dockerfile.hud, which serves env.py" in unasked.stderr
    assert hud("build", "--check", "-y", cwd=tmp_path).returncode == 2
    assert names(tmp_path) == {"env.py"}


def test_a_dockerfile_is_written_when_it_is_asked_for(tmp_path):
    (tmp_path / "env.py").touch()
    (tmp_path / ".dockerignore").write_text("mine")
    done = hud("build", "--yes", cwd=tmp_path, DOCKER_HOST="unix:///nowhere.sock")
    assert done.returncode == 3, done.stderr  # to be built with it needs an engine
    assert "wrote Dockerfile.hud" in done.stderr
    assert names(tmp_path) == {"env.py", ".dockerignore", "Dockerfile.hud"}
    assert (tmp_path / ".dockerignore").read_text() == "mine"


@given(st.sampled_from([("", ""), ("requirements.txt", "x"), ("pyproject.toml", "hud-mcp"), ("pyproject.toml", "")]))
def test_every_dockerfile_installs_what_serves(project):
    text = dockerfile_text(*project)
    [install] = [one.value for one in Dockerfile(text).instructions if "pip install" in one.value]
    assert ("hud-mcp~=" in install) is ("hud-mcp" not in project[1])
    assert (f"-r {project[0]}" in install or "/tmp/needed.txt" in install) is bool(project[0])
