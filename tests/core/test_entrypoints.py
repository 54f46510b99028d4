"""The reader of entry points agrees with importlib.metadata, which it replaces because it is slow to import."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hud_core.entrypoints import EntryPoint, entry_points, installed_version, normalise


def by_the_library(group: str, path: list[str]) -> set[tuple[str, str, str, str]]:
    """Read them with importlib.metadata; values without extras, names of distributions as they are written."""
    seen: set[str] = set()
    found = set()
    for distribution in importlib.metadata.distributions(path=path):
        key = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if key in seen:
            continue
        seen.add(key)
        for entry in distribution.entry_points:
            if entry.group == group:
                value = entry.value.split("[")[0].strip()
                found.add((entry.name, value, distribution.metadata["Name"], distribution.version))
    return found


@pytest.mark.parametrize("group", ["console_scripts", "pytest11", "hud", "no_such_group"])
def test_the_real_environment_reads_the_same(group: str) -> None:
    path = [folder for folder in sys.path if "site-packages" in folder] or [sysconfig.get_path("purelib")]
    found = entry_points(group, path)
    assert {tuple(entry) for entry in found} == by_the_library(group, path)
    assert found == sorted(found)


def test_the_real_environment_has_some() -> None:
    assert "pytest" in {entry.distribution for entry in entry_points("console_scripts")}


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,4}([-_.]{1,2}[A-Za-z0-9]{1,4}){0,2}", fullmatch=True)
VERSIONS = st.from_regex(r"[0-9]\.[0-9]{1,2}((a|rc)[0-9]|\.dev[0-9]|\+local\.[0-9])?", fullmatch=True)
IDENTIFIERS = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)
VALUES = st.builds(
    lambda module, attribute, extra: f"{module}{attribute and ':' + attribute}{extra}",
    st.lists(IDENTIFIERS, min_size=1, max_size=3).map(".".join),
    st.just("") | st.lists(IDENTIFIERS, min_size=1, max_size=2).map(".".join),
    st.sampled_from(["", " [extra]", "[one,two]"]),
)
GROUPS = st.sampled_from(["hud", "hud.x", "hudx", "console_scripts"])
ENTRY_NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,6}[A-Za-z0-9_]", fullmatch=True)
LINES = st.one_of(
    st.just(""),
    st.just("# a = comment"),
    st.builds("{}{}={}{}".format, ENTRY_NAMES, st.sampled_from(["", " "]), st.sampled_from(["", "  "]), VALUES),
)
SECTIONS = st.lists(st.tuples(GROUPS, st.lists(LINES, max_size=4)), max_size=3)
DISTRIBUTIONS = st.lists(
    st.tuples(NAMES, VERSIONS, SECTIONS, st.sampled_from([".dist-info", ".egg-info"])),
    max_size=5,
    unique_by=lambda item: normalise(item[0]),
)


def write(folder: Path, name: str, version: str, sections: list[tuple[str, list[str]]], suffix: str) -> None:
    stem = re.sub(r"[-_.]+", "_", name)
    info = folder / (f"{stem}-{version}{suffix}" if suffix == ".dist-info" else f"{stem}{suffix}")
    info.mkdir(parents=True)
    headers = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nVersion: not a header\n"
    (info / ("METADATA" if suffix == ".dist-info" else "PKG-INFO")).write_text(headers, "utf-8")
    text = "\n".join(f"[{group}]\n" + "\n".join(lines) for group, lines in sections)
    (info / "entry_points.txt").write_text(text, "utf-8")


@settings(max_examples=150)
@given(folders=st.lists(DISTRIBUTIONS, min_size=1, max_size=3))
def test_any_environment_reads_the_same(
    folders: list[list[tuple[str, str, list[tuple[str, list[str]]], str]]],
) -> None:
    with tempfile.TemporaryDirectory() as root:
        path = []
        for number, distributions in enumerate(folders):
            folder = Path(root, str(number))
            folder.mkdir()
            path.append(str(folder))
            for distribution in distributions:
                write(folder, *distribution)
        path.append(path[0])  # a folder may be on the path twice
        for group in ("hud", "hudx"):
            assert {tuple(entry) for entry in entry_points(group, path)} == by_the_library(group, path)


def test_of_two_copies_the_first_on_the_path_counts(tmp_path: Path) -> None:
    for folder, name, version in (("a", "My.Plugin", "2.0"), ("b", "my-plugin", "1.0")):
        write(tmp_path / folder, name, version, [("hud", [f"x = {folder}"])], ".dist-info")
    both = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert entry_points("hud", both) == [EntryPoint("x", "a", "My.Plugin", "2.0")]
    assert entry_points("hud", both[::-1]) == [EntryPoint("x", "b", "my-plugin", "1.0")]


def test_a_shadowed_copy_does_not_lend_its_entry_points(tmp_path: Path) -> None:
    write(tmp_path / "a", "mine", "2.0", [], ".dist-info")
    write(tmp_path / "b", "mine", "1.0", [("hud", ["old = old"])], ".dist-info")
    assert entry_points("hud", [str(tmp_path / "a"), str(tmp_path / "b")]) == []


def test_odd_things_on_the_path_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "file.zip").write_bytes(b"PK")
    (tmp_path / "no_entries-1.0.dist-info").mkdir()
    (tmp_path / "plain-1.0.dist-info").write_text("a file, not a folder")
    binary = tmp_path / "binary-1.0.dist-info"
    binary.mkdir()
    (binary / "entry_points.txt").write_bytes(b"[hud]\n\xff\xfe = \xff\nok = module\n")
    path = [str(tmp_path / "file.zip"), str(tmp_path / "nowhere"), str(tmp_path)]
    assert "ok" in {entry.name for entry in entry_points("hud", path)}


def test_a_folder_without_metadata_still_names_the_distribution(tmp_path: Path) -> None:
    info = tmp_path / "some_thing-1.5.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[hud]\nx = some_thing\n", "utf-8")
    assert entry_points("hud", [str(tmp_path)]) == [EntryPoint("x", "some_thing", "some-thing", "1.5")]


def test_an_editable_install_is_found(tmp_path: Path) -> None:
    """Editable installs leave a dist-info folder in site-packages and the code elsewhere."""
    write(tmp_path, "hud-far", "0.3", [("hud", ["far = hud_far"])], ".dist-info")
    (tmp_path / "__editable__.hud_far-0.3.pth").write_text("/somewhere/else/src")
    assert [entry.source for entry in entry_points("hud", [str(tmp_path)])] == ["hud-far 0.3"]


def test_the_empty_path_entry_is_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "here", "1.0", [("hud", ["here = here"])], ".dist-info")
    monkeypatch.chdir(tmp_path)
    assert [entry.name for entry in entry_points("hud", [""])] == ["here"]


@pytest.mark.parametrize("name", ["pytest", "PyTest", "PYTEST"])
def test_the_version_of_a_distribution(name: str) -> None:
    assert installed_version(name) == importlib.metadata.version("pytest")


def test_the_version_of_what_is_not_installed() -> None:
    assert installed_version("no-such-distribution") == ""


def test_reading_them_does_not_import_the_library() -> None:
    code = "import sys; from hud_core.entrypoints import entry_points; entry_points('hud'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert not {"importlib.metadata", "email", "pathlib", "zipfile"} & set(done.stdout.split())
