"""The pages of the documentation, as tests look at them: their code blocks, links and headings."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

import pytest
from attrs import define, field
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PATTERNS = ("README.md", "hud_core/README.md", "hud_plugins/*/README.md", "docs/**/*.md")
MARKER = re.compile(r"<!-- (no-run|exit):(.*?)-->", re.DOTALL)
"""Stands above a block: ``<!-- no-run: reason -->``, or ``<!-- exit: 1 -->`` for commands that are meant to fail."""


@define(kw_only=True)
class Block:
    """One fenced code block. ``python title="env.py"`` is a file that later blocks of the page use."""

    language: str
    title: str | None
    code: str
    line: int
    marker: str | None
    note: str


@define
class Page:
    path: Path
    name: str = field(init=False)
    text: str = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.name = self.path.relative_to(ROOT).as_posix()
        self.text = self.path.read_text("utf-8")

    @cached_property
    def _tokens(self) -> list[Token]:
        return MarkdownIt().enable("table").parse(self.text)

    @cached_property
    def blocks(self) -> list[Block]:
        pairs = zip([None, *self._tokens], self._tokens, strict=False)
        return [_block(token, above) for above, token in pairs if token.type == "fence"]

    @cached_property
    def links(self) -> list[str]:
        inline = [child for token in self._tokens for child in token.children or ()]
        return [str(token.attrs["href"]) for token in inline if token.type == "link_open"]

    @cached_property
    def anchors(self) -> set[str]:
        """The headings, as GitHub turns them into anchors."""
        pairs = zip(self._tokens, self._tokens[1:], strict=False)
        titles = [title.content for opening, title in pairs if opening.type == "heading_open"]
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _block(token: Token, above: Token | None) -> Block:
    marker = MARKER.search(above.content) if above is not None and above.type == "html_block" else None
    title = re.search(r'title="(.+?)"', token.info)
    return Block(
        language=token.info.partition(" ")[0],
        title=title and title[1],
        code=token.content,
        line=token.map[0] + 1 if token.map else 0,
        marker=marker and marker[1],
        note=marker[2].strip() if marker else "",
    )


PAGES = [Page(path) for pattern in PATTERNS for path in sorted(ROOT.glob(pattern))]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.fixture(scope="session")
def pages() -> dict[str, Page]:
    """Every page, by its path from the root of the repository."""
    return {page.name: page for page in PAGES}


@pytest.fixture(scope="session")
def reference(pages: dict[str, Page]) -> str:
    """The text of all reference pages."""
    return "\n".join(page.text for name, page in pages.items() if name.startswith("docs/reference/"))
