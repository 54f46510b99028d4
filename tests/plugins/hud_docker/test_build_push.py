"""``hud push``, to a real registry on this machine."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from docker import APIClient
from free_ports import free_port

USER, PASSWORD = "hud", "secret"
HASH = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
"""The password, as registries keep it."""


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The registry of Debian; unpacked rather than installed, which would start a server."""
    if found := shutil.which("docker-registry"):
        return found
    folder = tmp_path_factory.mktemp("registry")
    got = subprocess.run(
        ["apt-get", "download", "-qq", "docker-registry"], cwd=folder, capture_output=True, text=True, check=False
    )
    if got.returncode and not os.environ.get("CI"):
        pytest.skip(f"there is no docker-registry: {got.stderr}")
    [package] = folder.glob("*.deb")
    subprocess.run(["dpkg", "-x", package, folder], check=True)
    return str(folder / "usr" / "bin" / "docker-registry")


@contextmanager
def registry(program: str, folder: Path, *, is_locked: bool = False) -> Iterator[str]:
    """Run a registry on a free port of this machine, and give its address."""
    address = f"127.0.0.1:{free_port()}"
    users = folder / "users"
    users.write_text(f"{USER}:{HASH}\n")
    config = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address, "secret": "x"},
        **({"auth": {"htpasswd": {"realm": "test", "path": str(users)}}} if is_locked else {}),
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log) as process,
    ):
        try:
            wait_for(f"http://{address}/v2/", process, folder / "log")
            yield address
        finally:
            process.kill()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.HTTPError:
            return  # it wants a password
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"no registry: {log.read_text()}")


@pytest.fixture
def project(tmp_path: Path, docker: APIClient) -> Iterator[Path]:
    """A directory with a lock file, and the image that it tells of."""
    project = tmp_path / f"hud-test-e-{uuid.uuid4().hex[:10]}"
    project.mkdir()
    (project / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    list(docker.build(str(project), tag=f"{project.name}:0.3.0", rm=True, decode=True))
    images = {"local": f"{project.name}:0.3.0", "full": f"{project.name}:0.3.0@sha256:{'0' * 64}", "pushed": None}
    lock = {"version": "1.3", "images": images, "build": {"version": "0.3.0"}, "tools": []}
    (project / "hud.lock.yaml").write_text(yaml.safe_dump(lock))
    yield project
    for image in docker.images():
        for tag in image["RepoTags"] or ():
            if project.name in tag:
                docker.remove_image(tag, noprune=True)


def hud(*words: str, cwd: Path, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "NO_COLOR": "1", "DOCKER_CONFIG": str(config or cwd / "no-config")}
    return subprocess.run(
        [sys.executable, "-m", "hud", *words], cwd=cwd, env=environ, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip


def lock_of(project: Path) -> dict:
    return yaml.safe_load((project / "hud.lock.yaml").read_text())


def test_an_image_is_pushed_and_the_lock_says_where(program, project, docker, tmp_path):
    with registry(program, tmp_path) as address:
        name = f"{address}/team/{project.name}"
        done = hud("push", "-i", name, cwd=project)
        assert done.returncode == 0, done.stderr
        lock = lock_of(project)
        digest = lock["push"]["digest"]
        assert done.stdout == f"pushed {name}:0.3.0@{digest}\n"
        assert lock["images"] == {**lock["images"], "local": f"{project.name}:0.3.0", "pushed": f"{name}:0.3.0"}
        assert lock["push"]["source"] == f"{project.name}:0.3.0"
        assert (lock["push"]["registry"], lock["push"]["image_with_tag"]) == (f"{address}/team", f"{name}:0.3.0")
        assert manifest_digest(address, f"team/{project.name}", "0.3.0") == digest

        again = hud("push", ".", "--tag", "next", "--json", "-y", cwd=project)  # where it went the last time
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout) == {"image": f"{name}:next", "digest": digest}
        assert manifest_digest(address, f"team/{project.name}", "next") == digest

    away = hud("push", cwd=project)
    assert away.returncode == 3
    assert "is the registry running and reachable from the engine?" in away.stderr
    assert lock_of(project)["push"]["image_with_tag"] == f"{name}:next"


def manifest_digest(address: str, name: str, tag: str) -> str:
    request = urllib.request.Request(f"http://{address}/v2/{name}/manifests/{tag}", method="HEAD")
    request.add_header("Accept", "application/vnd.docker.distribution.manifest.v2+json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers["Docker-Content-Digest"]


def test_the_password_of_dockers_configuration_is_used_and_never_shown(program, project, tmp_path):
    with registry(program, tmp_path, is_locked=True) as address:
        name = f"{address}/{project.name}"
        refused = hud("push", "-i", name, cwd=project)
        assert refused.returncode == 1
        assert f"run `docker login {address}` with an account that may push there" in refused.stderr
        assert lock_of(project)["images"]["pushed"] is None
        config = tmp_path / "docker"
        config.mkdir()
        known = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (config / "config.json").write_text(json.dumps({"auths": {address: {"auth": known}}}))
        done = hud("push", "-i", f"{name}:v9", cwd=project, config=config)
        assert done.returncode == 0, done.stderr
        assert lock_of(project)["images"]["pushed"] == f"{name}:v9"
        assert not any(secret in done.stdout + done.stderr for secret in (PASSWORD, known))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "where to? give --image"),
        (["-i", "Not A Name"], 2, "--image 'Not A Name' is no name of an image"),
        (["-i", "localhost:1/x", "-t", "no/tag"], 2, "is no name of an image"),
        (["-i", "localhost:1/x"], 3, "is the registry running"),
    ],
)
def test_what_cannot_be_pushed_is_named(project, words, code, said):
    done = hud("push", *words, cwd=project)
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_nothing_that_was_built_cannot_be_pushed(tmp_path, docker):
    done = hud("push", "-i", "localhost:1/x", cwd=tmp_path)
    assert (done.returncode, "run `hud build` first" in done.stderr) == (2, True)
    (tmp_path / "hud.lock.yaml").write_text("images: {local: 'hud-test-e-gone:0.1.0'}\nbuild: {version: 0.1.0}\n")
    gone = hud("push", "-i", "localhost:1/x", cwd=tmp_path)
    assert gone.returncode == 1
    assert "the engine has no image hud-test-e-gone:0.1.0, of which the lock file tells; run `hud build`" in gone.stderr
