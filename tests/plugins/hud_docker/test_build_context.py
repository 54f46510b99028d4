"""What a build sends, and what it hashes to."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import socket
import string
import subprocess
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from docker import APIClient
from hypothesis import given, settings
from hypothesis import strategies as st

from hud_core.errors import ConfigError
from hud_docker.building.context import Context, source_hash
from hud_docker.building.ignore import IgnoreRules


def leaves_out(rules: str, path: str) -> bool:
    found = IgnoreRules(rules)
    state, parts = found.root, path.split("/")
    for end in range(1, len(parts) + 1):
        state = found.below(state, "/".join(parts[:end]))
    return found.leaves_out(state)


@pytest.mark.parametrize(
    ("rules", "path", "expected"),
    [
        ("*", "a", True),
        ("*.md", "docs/a.md", False),
        ("**/*.md", "docs/a.md", True),
        ("**/*.md", "a.md", True),
        ("*.md\n!README.md", "README.md", False),
        ("!README.md\n*.md", "README.md", True),
        ("a", "a/b/c", True),
        ("a\n!a/b", "a/b/c", False),
        ("a\n!a/b\na/b/c", "a/b/c", True),
        ("/x/", "x", True),
        ("b/../a", "a", True),
        ("../a", "a", False),
        (".", "a", False),
        ("a?", "ab", True),
        ("a?", "a/", False),
        ("[a-c]x", "bx", True),
        ("[^a]x", "ax", False),
        ("a\\*", "a*", True),
        ("a\\*", "ab", False),
        ("x/*/z", "x/y/z", True),
        ("x/*/z", "x/y/w/z", False),
        ("x/**/z", "x/z", True),
        ("a/**", "a", False),
        ("a/**", "a/b", True),
        ("Readme", "README", False),
        ("# a comment\n  b  ", "b", True),
        ("# a comment", "# a comment", False),
        ("\ufeffa", "a", True),
        ("a\r\nb\r\n", "a", True),
        ("a.c", "abc", False),
        ("ünï*", "ünïcode", True),
    ],
)
def test_the_last_pattern_that_matches_decides(rules, path, expected):
    assert leaves_out(rules, path) is expected


@pytest.mark.parametrize("rules", ["ok\n!", "[", "a[b", "a\\", "[z-a]", "x[]]"])
def test_a_line_that_is_no_pattern_is_named(rules):
    with pytest.raises(ConfigError, match=rf"\.dockerignore, line {rules.count(chr(10)) + 1}: "):
        IgnoreRules(rules)


NAMES = st.sampled_from(["a", "b", "ab", "x.py", "Dockerfile"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
PARTS = st.lists(st.sampled_from(["a", "b", "*", "**", "?", "x.*"]), min_size=1, max_size=3).map("/".join)
PATTERNS = st.lists(st.tuples(st.sampled_from(["", "!"]), PARTS).map("".join), max_size=4)


@given(PATTERNS, PATHS)
def test_what_is_walked_is_what_the_rules_keep(tmp_path_factory, patterns, path):
    directory = tmp_path_factory.mktemp("walk")
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    (directory / path).touch()
    rules = "\n".join(patterns)
    (directory / ".dockerignore").write_text(rules)
    found = Context(directory, "Dockerfile").digests()
    assert (path in found) is (not leaves_out(rules, path) or path == "Dockerfile")


@given(st.text(string.printable, max_size=40))
def test_any_text_is_rules_or_an_error_that_names_the_line(text):
    try:
        rules = IgnoreRules(text)
    except ConfigError as error:
        assert ".dockerignore, line " in str(error)  # noqa: PT017  most texts are rules
    else:
        rules.leaves_out(rules.below(rules.root, "a"))


FILES = st.lists(st.text("abcd é", min_size=1, max_size=3), min_size=1, max_size=2).map(
    lambda names: "/".join([*(f"d-{name}" for name in names[:-1]), f"f-{names[-1]}"])
)
TREES = st.dictionaries(FILES, st.tuples(st.binary(max_size=20), st.booleans()), max_size=5)


def plant(directory: Path, tree: dict[str, tuple[bytes, bool]]) -> Path:
    directory.mkdir(parents=True)
    for name, (data, is_executable) in tree.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(0o755 if is_executable else 0o640)
    return directory


def hash_of(directory: Path) -> str:
    return source_hash(Context(directory, "Dockerfile").digests())


@settings(max_examples=40)
@given(TREES, TREES)
def test_two_directories_have_one_hash_exactly_if_their_files_are_the_same(tmp_path_factory, one, other):
    room = tmp_path_factory.mktemp("hash")
    first, second = plant(room / "one", one), plant(room / "far" / "other", dict(reversed(other.items())))
    for file in second.rglob("*"):
        os.utime(file, (1, 1))
    assert (hash_of(first) == hash_of(second)) is (one == other)


def test_each_kind_of_change_changes_the_hash(tmp_path):
    seen = []

    def note() -> None:
        seen.append(hash_of(tmp_path))

    note()
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    note()
    (tmp_path / "a").write_text("x")
    note()
    (tmp_path / "a").chmod(0o755)
    note()
    (tmp_path / "a").rename(tmp_path / "b")
    note()
    (tmp_path / "link").symlink_to("b")
    note()
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("nowhere")
    note()
    (tmp_path / "link").unlink()
    (tmp_path / "link").write_text("nowhere")
    note()
    assert len(set(seen)) == len(seen)


def test_neither_the_lock_nor_what_is_left_out_nor_a_socket_counts(tmp_path):
    (tmp_path / ".dockerignore").write_text("*.log\nbig/")
    before = hash_of(tmp_path)
    (tmp_path / "hud.lock.yaml").write_text("x")
    (tmp_path / "a.log").write_text("x")
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "a").write_text("x")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        assert hash_of(tmp_path) == before


def test_a_dockerfile_that_is_left_out_counts_and_is_sent(tmp_path):
    (tmp_path / ".dockerignore").write_text("*")
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "Dockerfile.hud").write_text("FROM scratch")
    (tmp_path / "other").write_text("x")
    context = Context(tmp_path, "docker/Dockerfile.hud")
    assert set(context.digests()) == {"docker/Dockerfile.hud"}
    with tarfile.open(fileobj=io.BytesIO(b"".join(context.tar()))) as tar:
        assert "docker/Dockerfile.hud" in tar.getnames()


def test_the_rules_beside_a_dockerfile_come_before_the_directorys(tmp_path):
    (tmp_path / ".dockerignore").write_text("*")
    (tmp_path / "Dockerfile.hud.dockerignore").write_text("a")
    for name in ("a", "b", "Dockerfile.hud", "Dockerfile"):
        (tmp_path / name).write_text("x")
    assert set(Context(tmp_path, "Dockerfile.hud").digests()) >= {"b", "Dockerfile.hud"}
    assert "a" not in Context(tmp_path, "Dockerfile.hud").digests()
    assert "b" not in Context(tmp_path, "Dockerfile").digests()


def test_files_are_read_and_packed_a_block_at_a_time(tmp_path):
    with (tmp_path / "big").open("wb") as file:
        file.truncate(200 << 20)
    context = Context(tmp_path, "Dockerfile")
    tracemalloc.start()
    try:
        context.digests()
        assert sum(map(len, context.tar())) > 200 << 20
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@given(TREES)
def test_what_is_packed_is_unpacked_the_same(tmp_path_factory, tree):
    room = tmp_path_factory.mktemp("packed")
    planted = plant(room / "planted", tree)
    (planted / "link").symlink_to("nowhere")
    (planted / "empty").mkdir()
    if files := list(planted.rglob("f-*")):
        (planted / "second").hardlink_to(files[0])
    with tarfile.open(fileobj=io.BytesIO(b"".join(Context(planted, "Dockerfile").tar()))) as tar:
        tar.extractall(room / "unpacked", filter="fully_trusted")
    assert hash_of(room / "unpacked") == hash_of(planted)
    assert (room / "unpacked" / "empty").is_dir()


def test_names_that_are_no_text_are_packed(tmp_path):
    (tmp_path / os.fsdecode(b"\xff\xfe")).write_text("x")
    (tmp_path / ("long" * 60)).mkdir()
    (tmp_path / ("long" * 60) / "name").write_text("y")
    context = Context(tmp_path, "Dockerfile")
    with tarfile.open(fileobj=io.BytesIO(b"".join(context.tar())), errors="surrogateescape") as tar:
        assert {member.name for member in tar if member.isfile()} == context.digests().keys()


def test_a_file_that_becomes_shorter_is_named(tmp_path):
    (tmp_path / "log").write_bytes(bytes(1 << 20))
    blocks = Context(tmp_path, "Dockerfile").tar()
    assert next(blocks)
    (tmp_path / "log").write_bytes(b"")
    with pytest.raises(ConfigError, match="log for the build: it became shorter"):
        list(blocks)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "gone").touch()
    entry = next(Context(tmp_path, "Dockerfile").entries())
    (tmp_path / "gone").unlink()
    with pytest.raises(ConfigError, match="gone"):
        Context(tmp_path, "Dockerfile")._digest(entry)


# --- what `docker build` sends ----------------------------------------------------------------------------------------

TREE = [
    "Dockerfile", "README.md", "a/keep/x.py", "a/other/y.py", "a/z.md", "b/README.md", "b/c/d/e.txt", "Case.txt",
    "sp ace.txt", ".env", ".git/config", "node_modules/m/index.js", "x.py", "weird[1].txt", "src/x.pyc",
    "src/deep/er/y.pyc", "src/deep/z.py",
]  # fmt: skip
RULES = [
    "**/*.pyc\n.env\n.git\nnode_modules/\n*.md\n!README.md\nb/*\ncase.txt",
    "a\n!a/keep\n[a-b]/?/\n*.t?t\n#x.py",
    "*\n!a\n!src/deep\n**/er",
    "weird\\[1\\].txt\n/src/**/y*\nb/c/../c/d\nDockerfile\n.dockerignore\nx.*",
]


@pytest.mark.slow
@pytest.mark.parametrize("buildkit", ["0", "1"])
@pytest.mark.parametrize("rules", RULES)
def test_docker_build_sends_the_same_files(docker: APIClient, tmp_path, rules, buildkit):
    program = shutil.which("docker", path=f"/usr/bin:{os.environ['PATH']}")
    assert program, "the docker program is needed: apt install docker.io"
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("FROM scratch\nCOPY . /sent/\n" if name == "Dockerfile" else name)
    (tmp_path / ".dockerignore").write_text(rules)
    tag = f"hud-test-context:{hashlib.sha256(f'{rules}{buildkit}'.encode()).hexdigest()[:12]}"
    words = [program, "build", "--quiet", "-t", tag, "."]
    subprocess.run(
        words, cwd=tmp_path, check=True, capture_output=True, env={**os.environ, "DOCKER_BUILDKIT": buildkit}
    )
    try:
        # Both builders need the two, and take them out afterwards where a rule says so.
        assert sent(docker, tag) - {".dockerignore"} == {
            path for path in Context(tmp_path, "Dockerfile").digests()
            if path != ".dockerignore" and not (path == "Dockerfile" and leaves_out(rules, path))
        }  # fmt: skip
    finally:
        docker.remove_image(tag, noprune=True)


def sent(docker: APIClient, tag: str) -> set[str]:
    container = docker.create_container(tag, ["none"])
    try:
        stream, _ = docker.get_archive(container, "/sent")
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            return {member.name.removeprefix("sent/") for member in tar if not member.isdir()}
    finally:
        docker.remove_container(container, v=True)
