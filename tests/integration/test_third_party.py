"""Distributions that know nothing of this workspace keep the contracts, where only wheels are installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LETTERS, OLLAMA = (ROOT / "tests" / "third_party" / name for name in ("hud_letters", "hud_ollama"))

pytestmark = pytest.mark.slow


class Elsewhere:
    """A folder outside the workspace, with an environment that has hud-core and the distributions as wheels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")

    def run(self, command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        clean = {
            key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV", "HUD_"))
        }
        return subprocess.run(
            [self.bin / command, *arguments],
            cwd=self.folder,
            env=clean,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    found = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.fail("this test needs uv: it is in the dependency group 'test', pip install uv")
    folder = tmp_path_factory.mktemp("elsewhere")
    for source in (ROOT / "hud_core", LETTERS, OLLAMA):
        copy = folder / "sources" / source.name  # the build must not write into the workspace, nor see it
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        _do(found, "build", "--wheel", "--out-dir", folder / "wheels", copy)
    for source in (LETTERS, OLLAMA):
        tests = folder / "tests" / source.name
        shutil.copytree(source / "tests", tests, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(LETTERS / "pyproject.toml", folder)
    _do(found, "venv", "--python", sys.executable, folder / "venv")
    wheels = {wheel.name.partition("-")[0]: wheel for wheel in (folder / "wheels").glob("*.whl")}
    pins = ["--constraints", ROOT / "constraints.txt"]
    place = Elsewhere(folder)
    _do(
        found, "pip", "install", "--python", place.bin / "python", *pins,
        wheels["hud_core"], wheels["hud_ollama"], f"hud-letters[test] @ {wheels['hud_letters'].as_uri()}",
    )  # fmt: skip
    return place


def _do(*command: str | Path) -> None:
    clean = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=clean)
    assert done.returncode == 0, f"{[*map(str, command)]} failed:\n{done.stdout}\n{done.stderr}"


def test_it_runs_without_the_workspace(elsewhere: Elsewhere) -> None:
    done = elsewhere.run("python", "-c", "import hud_core, hud_letters; print(hud_core.__file__, hud_letters.__file__)")
    assert str(ROOT) not in done.stdout
    assert done.stdout.count("site-packages") == 2, done.stdout + done.stderr


@pytest.mark.parametrize("distribution", ["hud_letters", "hud_ollama"])
def test_its_contracts_hold(distribution: str, elsewhere: Elsewhere) -> None:
    done = elsewhere.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/{distribution}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_the_kernel_finds_it_with_distribution_and_version(elsewhere: Elsewhere) -> None:
    code = """if True:
        import json
        from hud_core import Kernel
        kernel = Kernel(strict=True)
        print(json.dumps({
            "agent": kernel.agents.source("letters"),
            "by_model": kernel.agents.for_model("letters-7b").name,
            "commands": sorted(kernel.commands),
            "failures": kernel.failures,
        }))
    """
    done = elsewhere.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["agent"] == "hud-letters 1.2.0"
    assert found["by_model"] == "letters"
    assert "count" in found["commands"]
    assert found["failures"] == []


def test_a_job_runs_with_its_parts_alone(elsewhere: Elsewhere) -> None:
    code = """if True:
        import anyio
        from hud_core import Environment, run
        env = Environment("words")
        @env.scenario()
        async def count(word: str):
            answer = yield f"How many times does 'r' occur in '{word}'?"
            yield float(answer == str(word.count("r")))
        tasks = [count.task(word) for word in ("strawberry", "pear")]
        job = anyio.run(lambda: run(tasks, "letters-7b", backend="fresh", sinks=["tally"], save=False))
        print(job.reward, job.coverage)
    """
    done = elsewhere.run("python", "-c", code)
    assert (done.stdout, done.returncode) == ("1.0 1.0\n", 0), done.stderr


def test_the_command_line_has_its_command(elsewhere: Elsewhere) -> None:
    done = elsewhere.run("hud", "count", "strawberry")
    assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr


def test_the_kernel_works_without_pytest(elsewhere: Elsewhere) -> None:
    code = """if True:
        import sys
        sys.modules["pytest"] = None
        import hud_core.testing
        from hud_core.testing import MemorySink, ScriptedAgent
        try:
            from hud_core.testing import BackendContract
        except ImportError as error:
            print(error)
    """
    done = elsewhere.run("python", "-c", code)
    assert done.stdout == 'BackendContract needs pytest: pip install "hud-core[testing]"\n', done.stderr
