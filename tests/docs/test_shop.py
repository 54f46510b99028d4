"""The example that people copy is the one that the page shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "docs" / "how-to" / "shop"


def test_the_folder_has_what_the_page_shows(pages: dict[str, Any]) -> None:
    blocks = {block.title: block.code for block in pages["docs/how-to/environment-with-a-database.md"].blocks}
    shown = {title: code.strip() for title, code in blocks.items() if title}
    assert shown == {file.name: file.read_text("utf-8").strip() for file in FOLDER.iterdir() if file.is_file()}
