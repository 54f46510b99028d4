"""Run the blocks of one page, in their order, in the current folder. test_blocks.py starts it, the blocks are on stdin.

The Python blocks of a page are one program: they share their names, and may await at the top level. Tracebacks name the
page and the line on it.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import anyio


def run_python(code: str, page: str, line: int, names: dict[str, Any]) -> None:
    """Run a block as if it stood alone in a file with the page's lines."""
    compiled = compile("\n" * line + code, page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    result = eval(compiled, names)
    if inspect.isawaitable(result):
        anyio.run(_await, result)


async def _await(awaitable: Any) -> None:
    await awaitable


def run_commands(block: dict[str, Any]) -> None:
    """Run a block in the shell; what a console block shows must be what the commands print."""
    script, shown = split(block["code"]) if block["language"] == "console" else (block["code"], [])
    shell = ["bash", "-euc", f"exec 2>&1 </dev/null\n{script}"]
    done = subprocess.run(shell, stdout=subprocess.PIPE, text=True, check=False)
    print(f"--- line {block['line']}\n{done.stdout}")
    wanted = int(block["note"]) if block["marker"] == "exit" else 0
    assert done.returncode == wanted, f"line {block['line']}: exit code {done.returncode}, expected {wanted}"
    printed = [line.rstrip() for line in done.stdout.splitlines()]
    for line in shown:
        assert any(matches(line, actual) for actual in printed), f"line {block['line']}: not printed: {line}"


def split(code: str) -> tuple[str, list[str]]:
    """Split a console block into its commands and what it shows of their output."""
    commands, shown = [], []
    for line in re.sub(r"\\\n", "", code).splitlines():
        if line.startswith("$ "):
            commands.append(line[2:])
        elif line.strip(" ….") and not line.startswith("#"):
            shown.append(line.rstrip())
    return "\n".join(commands), shown


def matches(shown: str, printed: str) -> bool:
    """Whether a line is what was printed; ``…`` stands for anything, and the width of gaps does not count."""
    shown, printed = (" ".join(line.split()) for line in (shown, printed))
    return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), printed) is not None


def main(page: str) -> None:
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    sys.path.insert(0, "")
    for block in json.load(sys.stdin):
        if block["title"]:
            Path(block["title"]).write_text(block["code"], "utf-8")
        if block["language"] == "python":
            run_python(block["code"], page, block["line"], module.__dict__)
        elif block["language"] in ("bash", "console"):
            run_commands(block)


if __name__ == "__main__":
    main(sys.argv[1])
