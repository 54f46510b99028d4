"""Lock files: of this format and of older ones, versions, names of images."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hud_core.errors import ConfigError
from hud_docker.building.context import Context, source_hash
from hud_docker.building.lock import MOST_FILES, Lock, manifest_head, next_version, now, read_lock, short, write_lock
from hud_docker.building.names import base_name, latest_image, split_image

REAL = Path(__file__).parents[4] / "shared" / "cases" / "config"
OLD = """\
# regenerate me
version: '1.3'
images: {local: 'my_env:0.1.18', full: 'my_env:0.1.18@sha256:59bc98070251a1fce43ceaa4d02d84b1', pushed: null}
build: {generatedAt: 2026-04-09T16:47:24.381752+00:00Z, version: 0.1.18, sourceHash: 2e54, sourceFiles: [x.py]}
environment: {variables: {required: [A_KEY, B_KEY], optional: [C_KEY]}}
tools: [{name: bash, inputSchema: &one {type: object}}, {name: edit, inputSchema: *one}]
"""
OLDEST = "version: '1.0'\nimage: team/search@sha256:f81583fdd18db600cfcc378ee4cf9701\nbuild: {version: 0.1.33}\n"


@pytest.mark.skipif(not REAL.is_dir(), reason="the collection of real files is not beside this checkout")
def test_real_lock_files_are_read(tmp_path):
    paths = sorted(REAL.glob("*.hud.lock.yaml"))
    assert len(paths) >= 5
    for number, path in enumerate(paths):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "hud.lock.yaml").write_bytes(path.read_bytes())
        lock = read_lock(folder)
        assert lock is not None
        assert next_version(lock.version) != lock.version
        assert split_image(lock.image or "")[0] == base_name(folder)
        assert not lock.compared({}).is_current
        write_lock(lock)
        assert read_lock(folder) == lock


def test_an_older_lock_is_read(tmp_path):
    (tmp_path / "hud.lock.yaml").write_text(OLD)
    lock = read_lock(tmp_path)
    assert lock is not None
    assert (lock.image, lock.version, lock.pushed) == ("my_env:0.1.18", "0.1.18", None)
    assert (lock.required, lock.optional) == (["A_KEY", "B_KEY"], ["C_KEY"])
    assert latest_image(tmp_path) == "my_env:latest"
    found = lock.compared({"Dockerfile.hud": "x"})
    assert not found.is_current
    assert not found.is_comparable


def test_the_oldest_lock_has_one_name(tmp_path):
    (tmp_path / "hud.lock.yaml").write_text(OLDEST)
    assert base_name(tmp_path) == "team/search"


def test_what_is_written_is_read_again_with_its_first_comment_and_without_anchors(tmp_path):
    (tmp_path / "hud.lock.yaml").write_text(OLD)
    lock = read_lock(tmp_path)
    write_lock(lock)
    text = (tmp_path / "hud.lock.yaml").read_text()
    assert text.startswith("# regenerate me\nversion: '1.3'\n")
    assert "&" not in text
    assert read_lock(tmp_path) == lock
    assert [path.name for path in tmp_path.iterdir()] == ["hud.lock.yaml"]


@pytest.mark.parametrize("text", ["- a\n- b", "just text", "a: [", "\x00", "a: !!python/object:os.system {}", ""])
def test_what_is_no_lock_file_is_named(tmp_path, text):
    (tmp_path / "hud.lock.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"hud\.lock\.yaml.*run `hud build`"):
        read_lock(tmp_path)


def test_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / "hud.lock.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ConfigError, match=r"hud\.lock\.yaml"):
        read_lock(tmp_path)


LEAVES = st.none() | st.booleans() | st.integers() | st.text()
JSON = st.recursive(LEAVES, lambda it: st.lists(it) | st.dictionaries(st.text(), it), max_leaves=8)


@given(st.dictionaries(st.text(), JSON, min_size=1))
def test_any_data_survives(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("lock") / "hud.lock.yaml"
    write_lock(Lock(path, data))
    assert read_lock(path.parent).data == data
    assert yaml.safe_load(path.read_text("utf-8")) == data


def test_the_time_is_one_that_others_read():
    assert abs((datetime.fromisoformat(now()) - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.parametrize(
    ("version", "bump", "expected"),
    [
        (None, "patch", "0.1.0"),
        ("0.1.9", "patch", "0.1.10"),
        ("0.1.9", "minor", "0.2.0"),
        ("0.1.9", "major", "1.0.0"),
        ("v1.2", "patch", "1.2.1"),
        ("3", "patch", "3.0.1"),
    ],
)
def test_versions_are_counted_up(version, bump, expected):
    assert next_version(version, bump) == expected


def test_another_kind_of_version_is_named():
    with pytest.raises(ConfigError, match=r"'latest' must have the form 1\.2\.3"):
        next_version("latest")


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("my-env", ("my-env", "")),
        ("my_env:0.1.0", ("my_env", "0.1.0")),
        ("localhost:5000/team/x", ("localhost:5000/team/x", "")),
        ("localhost:5000/team/x:1", ("localhost:5000/team/x", "1")),
        (f"x:1@sha256:{'a' * 64}", ("x", "1")),
        ("Registry.example.com/x", ("Registry.example.com/x", "")),
    ],
)
def test_names_of_images_are_split(image, expected):
    assert split_image(image) == expected


@pytest.mark.parametrize("image", ["", "My-Env", "a b", "x:", ":1", "x:-1", "x@y", "x/", "/x", "x//y", "-x", "x;rm"])
def test_what_is_no_name_of_an_image_is_refused(image):
    with pytest.raises(ConfigError, match="is no name of an image; give one as"):
        split_image(image)


@given(st.text(max_size=30))
def test_every_directory_gives_a_name_that_engines_take(tmp_path_factory, text):
    name = text.replace("/", "-").replace("\0", "-").encode("utf-8", "ignore").decode()
    folder = tmp_path_factory.mktemp("named") / (name if name not in ("", ".", "..") else "x")
    folder.mkdir()
    found = base_name(folder)
    assert split_image(found) == (found, "")


@pytest.mark.parametrize(("directory", "expected"), [("My Env", "my-env"), ("lc_docker", "lc_docker"), ("été", "t")])
def test_the_directory_names_the_image(tmp_path, directory, expected):
    (tmp_path / directory).mkdir()
    assert latest_image(tmp_path / directory) == f"{expected}:latest"


def test_the_project_names_the_image_until_the_lock_does(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.hud]\nimage = "team/named:dev"')
    assert base_name(tmp_path) == "team/named"
    (tmp_path / "hud.lock.yaml").write_text(OLD)
    assert base_name(tmp_path) == "my_env"


def test_a_project_file_with_mistakes_is_named(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool")
    with pytest.raises(ConfigError, match=r"pyproject\.toml"):
        base_name(tmp_path)


# --- is it current? ---------------------------------------------------------------------------------------------------


def lock_of(tmp_path: Path, digests: dict[str, str], *, is_listed: bool) -> Lock:
    build = {"sourceHash": source_hash(digests), "sourceCount": len(digests)}
    if is_listed:
        build["sourceDigests"] = {path: short(digest) for path, digest in digests.items()}
    return Lock(tmp_path / "hud.lock.yaml", {"build": build})


FILES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["1" * 64, "2" * 64]))


@given(FILES, FILES)
def test_files_that_differ_are_named(tmp_path_factory, before, after):
    found = lock_of(tmp_path_factory.mktemp("lock"), before, is_listed=True).compared(after)
    assert found.is_current is (before == after)
    assert set(found.added) == after.keys() - before.keys()
    assert set(found.removed) == before.keys() - after.keys()
    assert set(found.changed) == {path for path in before.keys() & after.keys() if before[path] != after[path]}


@given(FILES, FILES)
def test_too_many_files_are_counted(tmp_path_factory, before, after):
    found = lock_of(tmp_path_factory.mktemp("lock"), before, is_listed=False).compared(after)
    assert found.is_current is (before == after)
    assert found.counts == (None if found.is_current else (len(before), len(after)))


def test_a_lock_of_very_many_files_stays_small():
    assert MOST_FILES * 100 < 1 << 20


def test_the_manifest_leaves_out_what_names_the_image():
    data = {"version": "1.3", "build": {"b": 1, "a": "é"}}
    more = {"images": {"local": "x"}, "push": {}, "build": {"a": "é", "b": 1}, "version": "1.3"}
    assert manifest_head(data) == manifest_head(more)
    assert manifest_head(data) != manifest_head({**data, "tools": []})
    assert manifest_head(data).partition(":")[2] == str(len(json.dumps(data, separators=(",", ":"))) - 4)


def test_the_digests_of_a_directory_fit_its_lock(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM x")
    lock = lock_of(tmp_path, Context(tmp_path, "Dockerfile").digests(), is_listed=True)
    write_lock(lock)
    assert read_lock(tmp_path).compared(Context(tmp_path, "Dockerfile").digests()).is_current
    (tmp_path / "Dockerfile").chmod(0o755)
    assert read_lock(tmp_path).compared(Context(tmp_path, "Dockerfile").digests()).changed == ["Dockerfile"]
