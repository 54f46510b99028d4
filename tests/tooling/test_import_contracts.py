"""Every import contract of the root pyproject.toml holds, and each can fail: an injected import breaks it."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CONFIG: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
CONTRACTS: list[dict[str, Any]] = CONFIG["contracts"]
PLUGINS = {file.parent.name: file.parent for file in ROOT.glob("hud_plugins/*/src/*/py.typed")}
PACKAGES = PLUGINS | {file.parent.name: file.parent for file in ROOT.glob("hud_core/src/*/py.typed")}
UNHEARD_OF = "a_library_nobody_declared"


class Violation(NamedTuple):
    """An import which breaks a contract."""

    contract: str
    importer: str
    imported: str


def forbidden(contract: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Any source module imports anything forbidden."""
    return ((source, target) for source in contract["source_modules"] for target in contract["forbidden_modules"])


def independence(contract: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Any of the modules imports another."""
    modules = contract["modules"]
    return ((one, other) for one in modules for other in modules if one != other)


def layers(contract: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A layer imports the one just above it."""
    container, rows = contract["containers"][0], [re.split(r"\s*[:|]\s*", row) for row in contract["layers"]]
    for above, below in itertools.pairwise(rows):
        yield from ((f"{container}.{low}", f"{container}.{high}") for low in below for high in above)


def allowed_externals(contract: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The package imports something that is not on the list."""
    yield contract["package"], UNHEARD_OF


def owned_externals(contract: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Another package, and the kernel, import an owned library."""
    for library, owner in (line.split(" -> ") for line in contract["owners"]):
        yield from ((importer, library) for importer in sorted({"hud_core", *PLUGINS}) if importer != owner)


WAYS = {way.__name__: way for way in (allowed_externals, forbidden, independence, layers, owned_externals)}
VIOLATIONS = [Violation(contract["name"], *pair) for contract in CONTRACTS for pair in WAYS[contract["type"]](contract)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of every package, side by side, with the real contracts."""
    copy = tmp_path_factory.mktemp("tree")
    for name, path in PACKAGES.items():
        shutil.copytree(path, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    (copy / "tests" / "tooling").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("import_rules.py"), copy / "tests" / "tooling")
    return copy


def broken_contracts(tree: Path) -> set[str]:
    """What `lint-imports` says is broken."""
    lint_imports = Path(sys.executable).with_name("lint-imports")
    env = os.environ | {"COLUMNS": "200", "PYTHONPATH": str(tree)}
    done = subprocess.run([lint_imports], cwd=tree, env=env, capture_output=True, text=True, check=False)
    verdicts = dict(re.findall(r"^(.+) (KEPT|BROKEN)\b.*$", done.stdout, re.MULTILINE))
    assert set(verdicts) == {contract["name"] for contract in CONTRACTS}, done.stdout + done.stderr
    assert done.returncode == int("BROKEN" in verdicts.values())
    return {name for name, verdict in verdicts.items() if verdict == "BROKEN"}


def broken_by(violation: Violation, tree: Path) -> set[str]:
    """What is broken once the violation is injected into the copy, which is left as it was."""
    file = tree.joinpath(*violation.importer.split("."))
    file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    before = file.read_text("utf-8")
    file.write_text(f"{before}\nimport {violation.imported}\n", "utf-8")
    try:
        return broken_contracts(tree)
    finally:
        file.write_text(before, "utf-8")


def test_the_contracts_hold(tree: Path) -> None:
    assert broken_contracts(tree) == set()


@pytest.mark.parametrize("violation", VIOLATIONS, ids=lambda violation: f"{violation.importer}-{violation.imported}")
def test_an_illegal_import_breaks_its_contract(violation: Violation, tree: Path) -> None:
    assert violation.contract in broken_by(violation, tree)


@pytest.mark.parametrize("contract", [contract["name"] for contract in CONTRACTS])
def test_each_contract_fails_for_a_reason_of_its_own(contract: str, tree: Path) -> None:
    candidates = [violation for violation in VIOLATIONS if violation.contract == contract]
    assert any(broken_by(violation, tree) == {contract} for violation in candidates)


def test_every_package_is_under_contract() -> None:
    assert set(CONFIG["root_packages"]) == set(PACKAGES)


@pytest.mark.parametrize("plugin", sorted(PLUGINS))
def test_every_plugin_is_out_of_reach_of_kernel_facade_and_other_plugins(plugin: str) -> None:
    lists = {contract["id"]: contract.get("forbidden_modules", contract.get("modules", ())) for contract in CONTRACTS}
    assert [name for name in ("kernel", "facade", "plugins") if plugin not in lists[name]] == []
