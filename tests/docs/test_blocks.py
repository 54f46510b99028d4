"""Every code block of the documentation works: it runs, or it parses, or says why it cannot run here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from stub_endpoint import Reply, Request, StubEndpoint, speak

ROOT = Path(__file__).parents[2]
LETTER_COUNTER = ROOT / "docs" / "tutorial" / "letter_counter"
OLLAMA = ROOT / "tests" / "third_party" / "hud_ollama"
RUN = {"python", "bash", "console"}
PARSE: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "jsonl": lambda code: [json.loads(line) for line in code.splitlines()],
    "toml": tomllib.loads,
}


@pytest.fixture(scope="session")
def model_server() -> Iterator[str]:
    """A model endpoint that always answers with a 3, for pages that need one, in the form that it is asked in."""
    gemini = Reply({"candidates": [{"content": {"role": "model", "parts": [{"text": "3"}]}, "finishReason": "STOP"}]})

    claude = Reply({"type": "message", "content": [{"type": "text", "text": "3"}], "stop_reason": "end_turn"})

    def answer(request: Request) -> Reply:
        if request.path.startswith("/v1/messages"):
            return claude
        return gemini if request.path.endswith(":generateContent") else speak("3")(request)

    with StubEndpoint(answer) as endpoint:
        yield endpoint.url


def environ(home: Path, model_server: str) -> dict[str, str]:
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    terminal = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    model = {"OPENAI_BASE_URL": model_server, "OPENAI_API_KEY": "sk-not-a-key"}
    model |= {"GOOGLE_GEMINI_BASE_URL": model_server.removesuffix("/v1"), "GEMINI_API_KEY": "not-a-key"}
    model |= {"ANTHROPIC_BASE_URL": model_server.removesuffix("/v1"), "ANTHROPIC_API_KEY": "not-a-key"}
    outside = {name: value for name, value in os.environ.items() if not name.startswith("HUD_")}
    return {**outside, "HOME": str(home), "PATH": commands, **terminal, **model}


def run_blocks(
    blocks: list[dict[str, Any]], page: str, home: Path, model_server: str
) -> subprocess.CompletedProcess[str]:
    """Run blocks where a reader of the tutorial would: in a copy of the letter counter."""
    return subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_page.py")), page],
        input=json.dumps(blocks),
        cwd=shutil.copytree(LETTER_COUNTER, home / "letter_counter"),
        env=environ(home, model_server),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def test_blocks_run(page: Any, tmp_path: Path, model_server: str) -> None:
    blocks = [attrs.asdict(block) for block in page.blocks if block.marker != "no-run"]
    if any(block["language"] in RUN for block in blocks):
        done = run_blocks(blocks, str(page.path), tmp_path, model_server)
        assert done.returncode == 0, f"{page.name}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    ("language", "code", "problem"),
    [
        ("python", "assert 1 == 2", "AssertionError"),
        ("python", "import anyio\nawait anyio.sleep(0)\nraise ValueError", "ValueError"),
        ("bash", "false\ntrue", "exit code 1"),
        ("console", "$ echo one\ntwo", "not printed: two"),
        ("console", "$ hud eval no-such-file.py oracle", "exit code 2"),
    ],
)
def test_a_block_that_is_wrong_is_found(language: str, code: str, problem: str, tmp_path: Path) -> None:
    block = {"language": language, "code": code, "title": None, "line": 1, "marker": None, "note": ""}
    done = run_blocks([block], "page.md", tmp_path, "http://127.0.0.1:9/v1")
    assert done.returncode == 1
    assert problem in done.stderr


def test_data_parses(page: Any) -> None:
    for block in page.blocks:
        if block.language in PARSE:
            PARSE[block.language](block.code)


def test_languages_are_known(page: Any) -> None:
    """So that no block is passed over because its language is misspelt."""
    assert {block.language for block in page.blocks} <= RUN | PARSE.keys() | {"text"}


def test_blocks_that_do_not_run_say_why(page: Any) -> None:
    skipped = [block for block in page.blocks if block.marker == "no-run"]
    print(*(f"{page.name}:{block.line} {block.note}" for block in skipped), sep="\n")
    assert all(len(block.note.split()) > 1 for block in skipped)
    assert page.text.count("<!-- no-run") == len(skipped), "a marker stands directly above its block"


def test_the_tutorial_shows_the_files_that_it_brings(pages: dict[str, Any]) -> None:
    shown = {block.title: block.code for block in pages["docs/tutorial/first-environment.md"].blocks if block.title}
    assert shown == {file.name: file.read_text("utf-8") for file in LETTER_COUNTER.glob("*.py")}


def test_the_page_on_agents_shows_a_whole_distribution(pages: dict[str, Any]) -> None:
    shown = {block.title: block.code for block in pages["docs/plugins/write-an-agent.md"].blocks if block.title}
    assert shown == {name: (OLLAMA / name).read_text("utf-8") for name in shown}
    sources = list(OLLAMA.glob("src/hud_ollama/*.py"))
    assert {path.relative_to(OLLAMA).as_posix() for path in sources} <= shown.keys()
    lines = [line for path in sources for line in path.read_text("utf-8").splitlines() if line]
    assert len(lines) < 45
    assert f"It has {len(lines)} lines of Python." in pages["docs/plugins/write-an-agent.md"].text


def test_the_readme_has_the_command_that_ci_runs(pages: dict[str, Any]) -> None:
    commands = [block.code.strip() for block in pages["README.md"].blocks if block.language == "bash"]
    assert (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1] == commands[-1]
