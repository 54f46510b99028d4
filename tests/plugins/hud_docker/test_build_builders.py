"""The two builders, as other code calls them: which one is chosen, and what a cancelled build leaves behind."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

import anyio
import pytest
from docker import APIClient

from hud_core.errors import ConfigError
from hud_docker.building.buildkit import BuildKitBuilder, find_builder
from hud_docker.building.classic import ClassicBuilder
from hud_docker.building.request import Builder, BuildError, BuildRequest
from hud_docker.building.secrets import parse_secret
from hud_docker.engine import Engine

HELP = {
    "with buildx": "--load --secret stringArray --progress string",
    "of Docker 20.10": "--secret stringArray --progress string",
    "without BuildKit": "--no-cache --tag list",
}


def program(folder: Path, text: str, code: int = 0) -> None:
    """Plant a docker program that knows its help alone."""
    (folder / "docker").write_text(f"#!/bin/sh\n[ \"$DOCKER_BUILDKIT\" = 1 ] || exit 9\necho '{text}'\nexit {code}\n")
    (folder / "docker").chmod(0o755)


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        (HELP["with buildx"], 0, "buildkit"),
        (HELP["of Docker 20.10"], 0, "buildkit"),
        (HELP["without BuildKit"], 0, "classic"),
        ("ERROR: BuildKit is enabled but the buildx component is missing", 1, "classic"),
    ],
)
async def test_buildkit_is_chosen_where_it_is(engine: Engine, tmp_path, monkeypatch, text, code, expected):
    program(tmp_path, text, code)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.delenv("DOCKER_BUILDKIT", raising=False)
    assert (await find_builder(engine)).name == expected
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    assert (await find_builder(engine)).name == "classic"
    monkeypatch.setenv("DOCKER_BUILDKIT", "1")
    (tmp_path / "docker").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (await find_builder(engine)).name == "classic"


async def test_an_engine_without_buildkits_sessions_gets_the_classic_builder(engine: Engine, tmp_path, monkeypatch):
    program(tmp_path, HELP["with buildx"])
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.delenv("DOCKER_BUILDKIT", raising=False)
    monkeypatch.setattr(engine.client, "version", lambda: {"Components": [{"Name": "Podman Engine"}]})
    assert (await find_builder(engine)).name == "classic"


@pytest.fixture(params=["buildkit", "classic"])
def builder(request: pytest.FixtureRequest, engine: Engine) -> Builder:
    """Both builders."""
    found = shutil.which("docker", path=f"/usr/bin:{os.environ['PATH']}")
    assert found, "the docker program is needed: apt install docker.io"
    if request.param == "classic":
        return ClassicBuilder(engine)
    return BuildKitBuilder(engine, found, loads=False)


def request_of(folder: Path, text: str, **options: object) -> BuildRequest:
    (folder / "Dockerfile").write_text(text)
    tag = f"hud-test-e-built:{uuid.uuid4().hex[:12]}"
    return BuildRequest(directory=folder, dockerfile="Dockerfile", tag=tag, **options)


async def test_what_is_asked_for_is_built(builder: Builder, docker: APIClient, tmp_path):
    text = "ARG NAME=none\nFROM scratch\nARG NAME\nARG FROM_HERE\nLABEL name=$NAME here=$FROM_HERE\nCOPY . /\n"
    args = {"NAME": "given", "HUD_TEST_UNSET": None}
    request = request_of(tmp_path, text, build_args=args, labels={"org.hud.test": 'c "d"=$e'})
    lines: list[str] = []
    await builder.build(request, lines.append)
    try:
        labels = docker.inspect_image(request.tag)["Config"]["Labels"]
        assert labels["name"] == "given"
        assert labels["org.hud.test"] == 'c "d"=$e'
        assert any("COPY . /" in line for line in lines)
    finally:
        docker.remove_image(request.tag, noprune=True)


async def test_a_step_that_fails_is_named_by_its_line(builder: Builder, tmp_path):
    request = request_of(tmp_path, "FROM scratch\n\nCOPY \\\n  nowhere /\n")
    with pytest.raises(BuildError, match=r"^Dockerfile, line 3: step \d/\d failed: COPY\s+nowhere /\n"):
        await builder.build(request, lambda _: None)


@pytest.mark.slow
async def test_a_cancelled_build_ends_on_the_engine(builder: Builder, docker: APIClient, tmp_path):
    sleeper = f"sleep {uuid.uuid4().int % 10**6 + 10**6}"
    request = request_of(tmp_path, f"FROM python:3.11-slim\nRUN echo begun && {sleeper}\n")
    seen: list[str] = []
    async with anyio.create_task_group() as tasks:

        async def cancel() -> None:
            with anyio.fail_after(120):
                while not any(line.split()[-1:] == ["begun"] for line in seen):
                    await anyio.sleep(0.05)
            tasks.cancel_scope.cancel()

        tasks.start_soon(cancel)
        await builder.build(request, seen.append)
        pytest.fail("the build was not cancelled")
    with anyio.fail_after(60):
        while (await anyio.run_process(["pgrep", "-f", sleeper], check=False)).returncode == 0:
            await anyio.sleep(0.1)
    assert not docker.images(request.tag)


async def test_a_context_that_cannot_be_read_is_said_by_the_classic_builder(engine: Engine, tmp_path):
    (tmp_path / ".dockerignore").write_text("[")
    with pytest.raises(ConfigError, match=r"\.dockerignore, line 1"):
        await ClassicBuilder(engine).build(request_of(tmp_path, "FROM scratch\n"), lambda _: None)


@pytest.mark.parametrize(
    "text", ["", "x", "id=", "id=a,b=c", "id=a,env=PATH,src=/x", "id=a,type=ssh", "env=PATH", "sk-very-secret"]
)
def test_a_secret_in_another_form_is_refused_without_repeating_it(text):
    with pytest.raises(ConfigError, match="--secret takes id=NAME,env=VARIABLE or id=NAME,src=FILE") as raised:
        parse_secret(text)
    assert "very-secret" not in str(raised.value)


def test_secrets_are_told_by_their_place(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "very-secret")
    (tmp_path / "file").write_text("very-secret")
    found = [
        parse_secret(text) for text in ("id=TOKEN", "id=a,env=TOKEN", f"type=file,id=b,source={tmp_path / 'file'}")
    ]
    assert [it.argument for it in found] == ["id=TOKEN,env=TOKEN", "id=a,env=TOKEN", f"id=b,src={tmp_path / 'file'}"]
    assert "very-secret" not in repr(found)
