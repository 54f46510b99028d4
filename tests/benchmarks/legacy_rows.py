"""L1: rows of LegacyTask files, read, checked and resolved."""

from __future__ import annotations

import os

import msgspec
from letters import Row, cpu, show

from hud_core.templates import expand
from hud_huggingface.legacy import read_legacy_task

ROWS = 10_000


def row(number: int) -> bytes:
    """Give the text of a row as datasets of hud-python have them."""
    headers = {"Authorization": "Bearer ${HUD_API_KEY}", "Mcp-Image": "hudpython/hud-browser:latest"}
    fields = {
        "id": f"task-{number}",
        "prompt": f"Open page {number}, read the table, and say what its last row is.",
        "mcp_config": {"browser": {"url": "https://mcp.hud.ai/v3/mcp", "headers": headers}},
        "setup_tool": {"name": "setup", "arguments": {"name": "open", "arguments": {"page": number}}},
        "evaluate_tool": {"name": "evaluate", "arguments": {"page": number}},
        "agent_config": {"system_prompt": "Be careful."},
        "metadata": {"level": number},
    }
    return msgspec.json.encode(fields)


def measure() -> list[Row]:
    """Measure every row of this module."""
    os.environ["HUD_API_KEY"] = "none"
    texts = [row(number) for number in range(ROWS)]
    decode = msgspec.json.Decoder().decode

    def ours() -> None:
        for text in texts:
            _ = read_legacy_task(decode(text)).mcp_config

    def limit() -> None:
        for text in texts:
            expand(decode(text)["mcp_config"]["browser"]["headers"]["Authorization"], "it")

    def runnable() -> None:
        for text in texts:
            read_legacy_task(decode(text)).to_task()

    whole, bare, task = (cpu(work, ROWS) for work in (ours, limit, runnable))
    return [
        Row("L1", "a LegacyTask row read, checked and resolved", whole, "us", 25, bare),
        Row("L1", "the same, made a task that runs", task, "us"),
    ]


if __name__ == "__main__":
    show(measure())
