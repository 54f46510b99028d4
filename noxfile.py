"""Every task a developer runs. `nox -l` lists them; `nox -s tests` is all of the checks, as CI runs them.

Sessions install the wheels that `build` makes of this tree, as users get them, and the versions in constraints.txt.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
CACHE = ROOT / ".nox"
PINS = ROOT / "constraints.txt"
# Apart, for an environment of its own: it wants older versions of what we use.
LITELLM_PINS = ROOT / "tests" / "plugins" / "hud_openai" / "litellm-constraints.txt"
NPM_OPTIONS = ["--no-audit", "--no-fund", "--fetch-timeout=60000"]
# A model stub, and a coding agent without what it has for microphones, clipboards and terminals.
NPM_TOOLS = ["@copilotkit/aimock@1.43.0", "@qwen-code/qwen-code@0.24.4"]
# Each .txt is an environment of its own; package.json and its lock are the packages for Node.
MCP_PINS = ROOT / "tests" / "plugins" / "hud_mcp" / "interop" / "peers"
MCP_PEERS = {
    "fastmcp3": "fastmcp>=3,<4",
    "fastmcp4": "fastmcp>=4,<5",
    "hud": "hud-python==0.5.41",
    "mcp1": "mcp>=1.30,<2",
}
# Apart, too, for their size: what the tools of hud_frameworks are tried in, and what hud_core needs beside it.
FRAMEWORK_PINS = ROOT / "tests" / "plugins" / "hud_frameworks" / "frameworks.txt"
EXTRAS = ["--extra=testing", "--extra=yaml"]  # not those of hud_frameworks
FRAMEWORKS = ["google-adk", "langchain-core", "llama-index-core", "openai-agents"]
CONTRACTS = "test_contract*.py"
KERNEL_NEEDS = ["anyio>=4.11", "attrs", "cattrs", "msgspec", "pluggy", "pytest"]

AT_ONCE = ["-n", str(os.cpu_count() or 1)]
# Tests of one file run in one process, in their order.
BY_FILE = [*AT_ONCE, "--dist", "loadfile", "--no-loadscope-reorder"]

HERE = "{}.{}".format(*sys.version_info)
PYTHONS = sorted({"3.11", "3.12", "3.13", HERE}, key=lambda version: int(version.split(".")[1]))
PLUGINS = sorted(path.parent.name for path in ROOT.glob("hud_plugins/*/pyproject.toml"))
MEMBERS = [ROOT / "hud_core", *(ROOT / "hud_plugins" / name for name in PLUGINS)]
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = False  # the summary says which were skipped
nox.options.sessions = ["tests"]

if pyenv := shutil.which("pyenv"):  # its Pythons are found only when they are named
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    names = sorted(path.name for path in versions.glob("3.*") if path.name.rpartition(".")[0] in PYTHONS)
    os.environ.setdefault("PYENV_VERSION", ":".join(names or ["system"]))


# -------------------------------------------------------------------------------------------------------- for everybody


@nox.session(requires=["build"])
def quickstart(session: nox.Session) -> None:
    """Install the kernel and the offline plugin, run the tutorial's job without a network, show its scores."""
    install(session, *wheels("hud_core", "hud_local"))
    with tempfile.TemporaryDirectory() as away:
        shutil.copytree(ROOT / "docs" / "tutorial" / "letter_counter", away, dirs_exist_ok=True)
        with session.chdir(away):
            session.run("hud", "eval", "tasks.py", "oracle", "--full", "-y")


@nox.session(venv_backend="none", requires=["build"])
def tests(session: nox.Session) -> None:
    """Check everything: lint, types, imports, each plugin alone, and the tests on every Python that is found."""
    others = [f"suite-{version}" for version in PYTHONS if version != HERE]
    for name in ["lint", "types", "imports", *(f"alone({plugin})" for plugin in PLUGINS), *others, f"suite-{HERE}"]:
        session.notify(name)


# --------------------------------------------------------------------------------------------------- what `tests` runs


@nox.session(python=PYTHONS, requires=["build"])
def suite(session: nox.Session) -> None:
    """Run pytest with what follows `--`; without it all tests on Nox's own Python, core and plugins on the others."""
    install(session, *wheels(), *group("test", "peers"))
    # What differs between Pythons differs on asyncio too; which event loop runs a test is another question.
    part = ["tests/core", "tests/plugins", "-m", "not slow", "-k", "not trio"]
    # `imports` and `alone` run these on Nox's own Python.
    elsewhere = ["--ignore=tests/tooling", f"--ignore-glob={ROOT}/tests/plugins/*/{CONTRACTS}"]
    chosen = elsewhere if session.python == HERE else part
    session.run("pytest", "--durations=25", *(session.posargs or [*BY_FILE, *chosen]), env=peers(session))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format with ruff: all of its rules but those that pyproject.toml gives up with a reason."""
    install(session, *group("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session(requires=["build"])
def types(session: nox.Session) -> None:
    """Check types with mypy --strict, and with pyright that all of hud_core's public API is typed."""
    install(session, *wheels(), *group("test", "types"))
    session.run("mypy", "--strict")
    session.run("pyright", "--verifytypes", "hud_core", "--ignoreexternal")


@nox.session(requires=["build"])
def imports(session: nox.Session) -> None:
    """Check the dependency rules with import-linter, and that each of them can fail."""
    install(session, *wheels(), *group("test"))
    session.run("lint-imports", "--no-cache")
    session.run("pytest", *AT_ONCE, "tests/tooling")


@nox.session(requires=["build"])
@nox.parametrize("plugin", PLUGINS, ids=PLUGINS)
def alone(session: nox.Session, plugin: str) -> None:
    """Run a plugin's contracts where only the kernel, the plugin and what they declare is installed."""
    install(session, *wheels("hud_core", plugin, *siblings(plugin)), "pytest", "pytest-xdist", "trio")
    with tempfile.TemporaryDirectory() as away:
        shutil.copytree(ROOT / "tests" / "plugins" / plugin, away, dirs_exist_ok=True)
        contracts = [str(file) for file in Path(away).glob(CONTRACTS)]
        with session.chdir(away):
            session.run("pytest", *AT_ONCE, f"--config-file={ROOT / 'pyproject.toml'}", f"--rootdir={away}", *contracts)


# ----------------------------------------------------------------------------------------------------------- on demand


@nox.session(requires=["build"])
def docs(session: nox.Session) -> None:
    """Run every code block of README and docs/, and look for pages that are missing."""
    install(session, *wheels(), *group("test", "peers"))
    session.run("pytest", "tests/docs", *session.posargs, env=peers(session))


@nox.session(requires=["build"])
def bench(session: nox.Session) -> None:
    """Measure the budgets: ours, the limit and the ratio, as a table and as JSON."""
    install(session, *wheels(), *group("test"))
    rows = Path(session.create_tmp(), "rows.json")
    session.run("python", "tests/benchmarks/run.py", "--json", str(rows), *session.posargs)
    sys.stdout.write(rows.read_text("utf-8"))


@nox.session
def build(session: nox.Session) -> None:
    """Build the wheel and the sdist of every distribution into dist/."""
    install(session, "uv")
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    session.run("uv", "build", "--all-packages", "--out-dir", "dist", "--build-constraints", str(PINS), "--quiet")


@nox.session(venv_backend="none")
def bump(session: nox.Session) -> None:
    """Give every distribution the version, as `nox -s bump -- 0.2.0`, and pin them to each other."""
    if len(session.posargs) != 1 or not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc|\.dev)\d+)?", session.posargs[0]):
        session.error(f"expected one version such as 0.2.0, got {session.posargs!r}")
    for member in MEMBERS:
        set_version(member / "pyproject.toml", session.posargs[0])


@nox.session
def constraints(session: nox.Session) -> None:
    """Refresh the pins: constraints.txt for the workspace and its tools, and those of the peers that tests talk to."""
    session.install("uv")
    declared = [str(member.relative_to(ROOT) / "pyproject.toml") for member in MEMBERS]
    ours = [f"--no-emit-package={member.name}" for member in MEMBERS]
    pin(session, PINS, *declared, *EXTRAS, "--group=dev", "--group=peers", *ours)
    apart = {LITELLM_PINS: "litellm[proxy]", **{MCP_PINS / f"{name}.txt": MCP_PEERS[name] for name in MCP_PEERS}}
    apart[FRAMEWORK_PINS] = "\n".join([*FRAMEWORKS, *KERNEL_NEEDS])
    for target, requirement in apart.items():
        wanted = Path(session.create_tmp(), f"{target.stem}.in")
        wanted.write_text(f"{requirement}\n", "utf-8")
        pin(session, target, str(wanted))


# ------------------------------------------------------------------------------------------------------------- helpers


def install(session: nox.Session, *what: str | Path) -> None:
    """Install at the pinned versions, and compile, so that tests measure the start-up times that users have."""
    session.install("-c", str(PINS), *map(str, what), env={"UV_COMPILE_BYTECODE": "1"})


def group(*names: str) -> tuple[str, ...]:
    """The requirements of dependency groups of the root pyproject.toml."""
    return nox.project.dependency_groups(PYPROJECT, *names)


def wheels(*names: str) -> list[Path]:
    """The wheels that `build` made: of every distribution, or of these."""
    return [next((ROOT / "dist").glob(f"{name}-*.whl")) for name in names or [member.name for member in MEMBERS]]


def siblings(plugin: str) -> list[str]:
    """The members of the workspace that a plugin depends on, beside the kernel."""
    declared = nox.project.load_toml(ROOT / "hud_plugins" / plugin / "pyproject.toml")["project"]["dependencies"]
    names = {re.split(r"[^\w-]", requirement)[0].replace("-", "_") for requirement in declared}
    return sorted(names & {*PLUGINS})


def peers(session: nox.Session) -> dict[str, str]:
    """Install the clients and servers that tests talk to and that are not ours, once, and say where they are."""
    litellm, npm, mcp, frameworks = (CACHE / name for name in ("litellm", "npm", "mcp-peers", "frameworks"))
    install_apart(session, litellm, LITELLM_PINS)
    install_apart(session, frameworks, FRAMEWORK_PINS)
    if is_outdated(npm, wanted := "\n".join(NPM_TOOLS)):
        bare = ["--omit=optional", "--ignore-scripts"]
        session.run("npm", "install", "--prefix", str(npm), *NPM_OPTIONS, *bare, *NPM_TOOLS)
        mark(npm, wanted)
    for name in MCP_PEERS:
        install_apart(session, mcp / name, MCP_PINS / f"{name}.txt")
    if is_outdated(mcp / "npm", lock := (MCP_PINS / "package-lock.json").read_text("utf-8")):
        (mcp / "npm").mkdir(exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(MCP_PINS / file, mcp / "npm" / file)
        session.run("npm", "ci", "--prefix", str(mcp / "npm"), "--ignore-scripts", *NPM_OPTIONS)
        mark(mcp / "npm", lock)
    return {
        "HUD_TEST_FRAMEWORKS": str(frameworks / "bin" / "python"),
        "HUD_TEST_LITELLM": str(litellm / "bin" / "litellm"),
        "HUD_TEST_LLMOCK": str(npm / "node_modules" / ".bin" / "llmock"),
        "HUD_TEST_MCP_PEERS": str(mcp),
        "HUD_TEST_QWEN": str(npm / "node_modules" / "@qwen-code" / "qwen-code" / "cli-entry.js"),
    }


def install_apart(session: nox.Session, folder: Path, pins: Path) -> None:
    """Install a peer at its pinned versions, into an environment of its own."""
    if is_outdated(folder, wanted := pins.read_text("utf-8")):
        session.run("uv", "venv", "--clear", "--python", sys.executable, str(folder))
        how = ["--python", str(folder), "--compile-bytecode", "--quiet"]
        session.run("uv", "pip", "install", *how, "-r", str(pins))
        mark(folder, wanted)


def is_outdated(folder: Path, wanted: str) -> bool:
    """Whether what is installed there is not the one we want."""
    stamp = folder / "installed.txt"
    return not stamp.exists() or stamp.read_text("utf-8") != wanted


def mark(folder: Path, installed: str) -> None:
    """Write down what is installed there."""
    (folder / "installed.txt").write_text(installed, "utf-8")


def set_version(pyproject: Path, version: str) -> None:
    """Change the version and every exact pin of another member."""
    text = pyproject.read_text("utf-8")
    text = re.sub(r'^version = ".*"$', f'version = "{version}"', text, flags=re.MULTILINE)
    pyproject.write_text(re.sub(r'"(hud-[a-z-]+(?:\[[a-z,]+\])?)==[^"]+"', rf'"\1=={version}"', text), "utf-8")


def pin(session: nox.Session, target: Path, *inputs: str) -> None:
    """Resolve for every Python and platform; write names, versions and markers, not where they come from."""
    quiet = ["--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links", "--quiet"]
    universal = ["--universal", "--python-version", "3.11", "--upgrade"]
    session.run("uv", "pip", "compile", *universal, *quiet, "--output-file", str(target), *inputs)
