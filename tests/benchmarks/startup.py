"""K3, K4, K7: what starting costs, and what an installation weighs."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from letters import Row, command_cpu, show

PYTHON = sys.executable
HUD = str(Path(PYTHON).with_name("hud"))
EXAMPLE = Path(__file__).parents[2] / "docs" / "tutorial" / "letter_counter"
OFFLINE = ("hud-core", "hud-local")


def first_score() -> float:
    """Milliseconds of the whole process that runs one task from the command line, with its table as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
        os.chdir(folder)
        return command_cpu([HUD, "eval", "tasks.py", "oracle", "-y", "-q", "--json"])


def installation() -> tuple[int, float]:
    """Distributions, and megabytes without bytecode, that the offline plugin and all it needs take.

    Read from the files that the distributions list as theirs in this very environment.
    """
    from importlib.metadata import distribution
    from re import match

    names, todo = set(), ["hud-core", "hud-local"]
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in names:
            continue
        names.add(name)
        wanted = [r for r in distribution(name).requires or () if ";" not in r or _applies(r)]
        todo += [match(r"[\w.-]+", requirement)[0] for requirement in wanted]
    size = 0
    for name in names:
        for file in distribution(name).files or ():
            path = Path(file.locate())
            if path.suffix != ".pyc" and path.is_file():
                size += path.stat().st_size
    return len(names), size / 1e6


def _applies(requirement: str) -> bool:
    """Whether a conditional requirement holds here; extras are not installed."""
    from packaging.requirements import Requirement

    marker = Requirement(requirement).marker
    return marker is None or marker.evaluate({"extra": ""})


def measure() -> list[Row]:
    """Measure every row of this module."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(sysconfig.get_path("purelib"), quiet=2)
    subprocess.run([HUD, "version"], check=True, capture_output=True)
    bare = command_cpu([PYTHON, "-c", "pass"])
    count, size = installation()
    return [
        Row(
            "K3",
            "CPU of `hud --help`",
            command_cpu([HUD, "--help"]),
            "ms",
            50,
            command_cpu([PYTHON, "-c", "import argparse"]),
        ),
        Row("K3", "CPU of `import hud`", command_cpu([PYTHON, "-c", "import hud"]), "ms", 25, bare),
        Row(
            "K3",
            "CPU of a kernel with all plugins, everything asked for",
            command_cpu([PYTHON, "-c", "from hud_core import Kernel; Kernel().load_everything()"]),
            "ms",
            90,
            bare,
        ),
        Row("K4", "CPU of `hud eval`, one task, whole process", first_score(), "ms", 150),
        Row("K7", "distributions that `pip install hud-core hud-local` brings", count, "", 14),
        Row("K7", "their size, without bytecode", size, "MB", 12),
    ]


if __name__ == "__main__":
    show(measure())
