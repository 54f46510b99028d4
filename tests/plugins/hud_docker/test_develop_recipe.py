"""Which files a Dockerfile only copies, and of which it may make something."""

from __future__ import annotations

import pytest

from hud_docker.building.dockerfile import Dockerfile
from hud_docker.developing.recipe import are_copied_together, feeds_a_step, is_used

DOCKERFILE = """
FROM node AS web
COPY web/ ./
RUN npm run build

FROM python
COPY ["pyproject.toml", "./"]
RUN pip install .
COPY --chown=agent shop.sql data/*.csv .
RUN --mount=type=cache,target=/cache --mount=type=bind,source=tables,target=/tables make-database
COPY --from=web /dist ./dist
COPY ./tools env.py ./
CMD ["hud", "dev", "env"]
"""


@pytest.mark.parametrize(
    ("path", "feeds"),
    [
        ("web/app.ts", True),
        ("web/deep/app.ts", True),
        ("pyproject.toml", True),
        ("shop.sql", True),
        ("data/people.csv", True),
        ("data/people.txt", False),
        ("tables/orders.sql", True),
        ("tools/letters.py", False),
        ("env.py", False),
        ("dist", False),
    ],
)
def test_files_feed_the_steps_behind_them(path: str, feeds: bool) -> None:
    assert feeds_a_step(Dockerfile(DOCKERFILE), path) is feeds


def test_what_copies_everything_feeds_whatever_runs_afterwards() -> None:
    assert feeds_a_step(Dockerfile("FROM x\nCOPY . .\nRUN pip install .\n"), "deep/env.py")
    assert not feeds_a_step(Dockerfile("FROM x\nRUN pip install x\nCOPY . .\n"), "deep/env.py")


@pytest.mark.parametrize(
    ("paths", "together"),
    [
        (("tools/letters.py", "tools/new.py"), True),
        (("tools/letters.py", "env.py"), True),
        (("env.py", "new.py"), False),
        (("shop.sql", "env.py"), False),
    ],
)
def test_files_are_copied_by_one_instruction(paths: tuple[str, str], together: bool) -> None:
    assert are_copied_together(Dockerfile(DOCKERFILE), *paths) is together


@pytest.mark.parametrize(
    ("path", "used"),
    [("README.md", False), ("data/people.txt", False), ("env.py", True), ("web/app.ts", True), ("tables/a.sql", True)],
)
def test_files_are_used_or_not(path: str, used: bool) -> None:
    assert is_used(Dockerfile(DOCKERFILE), path) is used


@pytest.mark.parametrize(
    "source", [".", "./", "/", "tools", "/tools/", "./tools/../tools", "$SOURCE", "tool*", "*/*.py"]
)
def test_sources_are_written_in_many_ways(source: str) -> None:
    assert is_used(Dockerfile(f"FROM x\nCOPY --chown=agent {source} /app/\n"), "tools/letters.py")
