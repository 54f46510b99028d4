"""Every code block of the documentation works: it runs, or it parses, or says why it cannot run here."""

from __future__ import annotations

import importlib.util
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

ROOT = Path(__file__).parents[2]
LETTER_COUNTER = ROOT / "docs" / "tutorial" / "letter_counter"
RUN = {"python", "bash", "console"}
PARSE: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "jsonl": lambda code: [json.loads(line) for line in code.splitlines()],
    "toml": tomllib.loads,
}


@pytest.fixture(scope="session")
def model_server() -> Iterator[str]:
    """A model endpoint that always answers with a 3, for pages that need one."""
    file = ROOT / "tests" / "plugins" / "hud_openai" / "stub_endpoint.py"
    spec = importlib.util.spec_from_file_location("stub_endpoint", file)
    assert spec is not None
    assert spec.loader is not None
    stub = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(stub)
    with stub.StubEndpoint(stub.say("3")) as endpoint:
        yield endpoint.url


def environ(home: Path, model_server: str) -> dict[str, str]:
    commands = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    terminal = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    model = {"OPENAI_BASE_URL": model_server, "OPENAI_API_KEY": "sk-not-a-key"}
    return {**os.environ, "HOME": str(home), "PATH": commands, **terminal, **model}


def test_blocks_run(page: Any, tmp_path: Path, model_server: str) -> None:
    blocks = [attrs.asdict(block) for block in page.blocks if block.marker != "no-run"]
    if not any(block["language"] in RUN for block in blocks):
        return
    away = shutil.copytree(LETTER_COUNTER, tmp_path / "letter_counter")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_page.py")), str(page.path)],
        input=json.dumps(blocks),
        cwd=away,
        env=environ(tmp_path, model_server),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, f"{page.name}\n{done.stdout}\n{done.stderr}"


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
