"""Files for an environment of Python files alone: a Dockerfile, what is left out of the image, and a whole example."""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

from hud_core.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

DOCKERFILE = "Dockerfile.hud"
_DOCKERFILE = """\
ARG BASE=python:3.11-slim
FROM ${{BASE}}
RUN useradd --create-home agent
WORKDIR /app

# What is needed comes before the code: after a change of the code alone, the build is a matter of seconds.
{install}

COPY --chown=agent . .
USER agent
CMD ["hud", "dev", "env", "--stdio"]
"""
_INSTALLS = {
    # pip has no way to install what a project needs without the project.
    "pyproject.toml": """\
COPY pyproject.toml ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \\
        print(*project.get('dependencies', []), sep='\\n')" > /tmp/needed.txt \\
    && pip install --no-cache-dir{own} -r /tmp/needed.txt""",
    "requirements.txt": """\
COPY requirements.txt ./
RUN pip install --no-cache-dir{own} -r requirements.txt""",
    "": "RUN pip install --no-cache-dir{own}",
}
"""How to install what a project needs, by the file that says it; the first that is there counts."""
_SERVES = "hud-mcp"
"""The distribution that serves an environment."""


def dockerfile_text(project: str = "", listed: str = "") -> str:
    """Write a Dockerfile that serves ``env.py``.

    Args:
        project: The file that says what the project needs; empty where there is none.
        listed: The content of that file.
    """
    own = "" if _SERVES in listed else f" {_SERVES}~={version(_SERVES)}"
    return _DOCKERFILE.format(install=_INSTALLS[project].format(own=own))


def write_dockerfile(directory: Path) -> None:
    """Write a Dockerfile for a directory that has an ``env.py`` and none, and a .dockerignore if there is none.

    Raises:
        OSError: A file cannot be written.
    """
    project = next((name for name in _INSTALLS if name and (directory / name).is_file()), "")
    listed = (directory / project).read_text("utf-8") if project else ""
    write_whole(directory / DOCKERFILE, dockerfile_text(project, listed).encode())
    if not (directory / ".dockerignore").exists():
        write_whole(directory / ".dockerignore", _example("dockerignore").encode())


# --- a whole example --------------------------------------------------------------------------------------------------


def example(name: str) -> dict[str, str]:
    """Give the files of a small whole environment, by their names.

    Args:
        name: What the environment, its project and its image are called.
    """
    project = re.sub(r"(?<=~=)0\.0\.0", version(_SERVES), _example("pyproject.toml"))
    texts = {
        "env.py": _example("env.py"),
        "tasks.py": _example("tasks.py"),
        "pyproject.toml": project,
        DOCKERFILE: dockerfile_text("pyproject.toml", project),
        ".dockerignore": _example("dockerignore"),
        "README.md": _example("README.md"),
    }
    return {file: text.replace("letter-counter", name) for file, text in texts.items()}


def _example(name: str) -> str:
    return (files("hud_docker") / "example" / f"{name}.txt").read_text("utf-8")
