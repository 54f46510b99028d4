"""An engine, and images to run on it, for the tests of hud-docker.

In CI an engine is brought up where none answers (`engine/up.sh`), and no test is skipped; elsewhere that is up to you.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from docker import APIClient

from hud_docker.engine import Engine
from hud_docker.errors import EngineError

UP = Path(__file__).parent / "engine" / "up.sh"
INSTALLED = ("hud_core", "hud_plugins/hud_local", "hud_plugins/hud_mcp")
BASE = """
FROM python:3.11-slim
LABEL hud-test=base
COPY constraints.txt requirements.txt /tmp/
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN pip install --quiet -c /tmp/constraints.txt hatchling -r /tmp/requirements.txt
COPY src /tmp/src
RUN pip install --quiet --no-deps --no-build-isolation /tmp/src/*/
"""
SERVES = """
FROM {base}
LABEL hud-test=image
WORKDIR /app
COPY . .
CMD ["hud", "dev", "env:env", "--stdio"]
"""

Image = Callable[[str, Mapping[str, str]], str]


@pytest.fixture(scope="session")
def docker() -> Iterator[APIClient]:
    """An engine that answers, as the docker SDK's client: for what a test looks at from outside."""
    try:
        client = anyio.run(Engine.connect).client
    except EngineError as error:
        _bring_up(str(error))
        client = anyio.run(Engine.connect).client
    with client:
        yield client


@pytest.fixture
async def engine(docker: APIClient) -> AsyncIterator[Engine]:
    """An engine that answers, as hud-docker's own door to it."""
    found = await Engine.connect()
    yield found
    await found.aclose()


@pytest.fixture(scope="session")
def base_image(docker: APIClient, pytestconfig: pytest.Config) -> str:
    """The tag of an image with this checkout's hud-core, hud-local and hud-mcp, built once for each state of them."""
    assert pytestconfig.inipath is not None
    files = _checkout(pytestconfig.inipath.parent)
    return built(docker, "hud-test-base", {"Dockerfile": BASE.encode(), **files})


@pytest.fixture(scope="session")
def image(docker: APIClient, base_image: str) -> Image:
    """Builds an image of a few files; without a Dockerfile among them it serves `env` of env.py over stdio."""

    def build(name: str, files: Mapping[str, str]) -> str:
        texts = {"Dockerfile": SERVES.format(base=base_image), **files}
        return built(docker, f"hud-test-{name}", {file: text.encode() for file, text in texts.items()})

    return build


def built(client: APIClient, name: str, files: Mapping[str, bytes]) -> str:
    """Build an image unless it is there, and give its tag, which says what is in it."""
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]
    tag = f"{name}:{digest}"
    with _alone(name):
        if not client.images(tag):
            _build(client, tag, files)
    return tag


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Keep out the other processes that run tests: the first one builds, and the others find what it has built."""
    with Path(tempfile.gettempdir(), f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(client: APIClient, tag: str, files: Mapping[str, bytes]) -> None:
    said = list(client.build(fileobj=_tar(files), custom_context=True, tag=tag, rm=True, forcerm=True, decode=True))
    if errors := [line["error"] for line in said if "error" in line]:
        output = "".join(line.get("stream", "") for line in said)
        pytest.fail(f"{tag} cannot be built: {errors[0]}\n{output[-3000:]}")


def _tar(files: Mapping[str, bytes]) -> io.BytesIO:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    archive.seek(0)
    return archive


def _checkout(root: Path) -> dict[str, bytes]:
    """Give what the base image is made of: the sources, and what they need, which changes less often."""
    files = {"constraints.txt": (root / "constraints.txt").read_bytes()}
    needed: set[str] = set()
    for member in INSTALLED:
        folder = root / member
        pyproject = folder / "pyproject.toml"
        needed |= {*tomllib.loads(pyproject.read_text("utf-8"))["project"]["dependencies"]}
        sources = [file for file in (folder / "src").rglob("*") if file.is_file() and file.suffix != ".pyc"]
        for file in [pyproject, folder / "README.md", *sources]:
            files[f"src/{folder.name}/{file.relative_to(folder)}"] = file.read_bytes()
    others = sorted(it for it in needed if not it.startswith("hud-"))
    return {**files, "requirements.txt": "\n".join(others).encode()}


def _bring_up(why: str) -> None:
    if not os.environ.get("CI"):
        pytest.skip(f"{why}; on Debian, as root, {UP} brings one up, as in CI")
    done = subprocess.run([UP], check=False, capture_output=True, text=True, timeout=600)
    if done.returncode:
        pytest.fail(f"{UP} failed:\n{done.stdout}{done.stderr}")
