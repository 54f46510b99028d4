"""What people write to name a dataset: ``org/name@revision:config/split``, a page's address, a path, a URL."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from hud_core.settings import is_secret
from hud_huggingface.formats import COMPRESSED, FORMATS

_REPO = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*)"
    r"(?:@(?P<revision>[^\s:@]+))?"
    r"(?::(?:(?P<config>[^/:\s]+)/)?(?P<split>[^/:\s]+))?"
)
_PREFIX = re.compile(r"(?:hf://datasets/|https://(?:huggingface\.co|hf\.co)/datasets/)(?=[\w.-]+/)")
_PAGE = re.compile(r"(?P<repo>[^/]+/[^/@:]+)/(?:tree|viewer)/(?P<rest>[^:]+)(?P<split>:.*)?")
_SIGNATURE = re.compile(r"(^|[_-])sig(nature)?$", re.IGNORECASE)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NOT_REPOS = {".py", ".toml", ".yaml", ".yml", ".txt", ".md", *FORMATS, *COMPRESSED}
"""How names of files end: what ends so and is not there is a file that is missing, no dataset."""


class HubRef(NamedTuple):
    """Names rows on the Hub."""

    repo: str
    revision: str | None = None
    """A branch, a tag, a commit; the main branch where it is None."""
    config: str | None = None
    split: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        config = f"{self.config}/" if self.config else ""
        return f"{self.repo}{revision}{f':{config}{self.split}' if self.split else ''}"

    @property
    def is_pinned(self) -> bool:
        """Whether it names a commit, which never changes."""
        return bool(self.revision and _COMMIT.fullmatch(self.revision))


def hub_ref(ref: str) -> HubRef | None:
    """Read a ref to the Hub; None when it is none: it names something of this machine, or another address."""
    stripped = _PREFIX.sub("", ref, count=1)
    is_address = stripped != ref
    if is_address:
        stripped = _PAGE.sub(r"\g<repo>@\g<rest>\g<split>", stripped.rstrip("/"))
    match = _REPO.fullmatch(stripped)
    if match is None:
        return None
    path = Path(match["repo"])
    if not is_address and (path.suffix.lower() in _NOT_REPOS or (match["revision"] is None and path.exists())):
        return None
    return HubRef(**match.groupdict())


def is_url(ref: str) -> bool:
    """Whether it is an address to download a file from."""
    return ref.startswith(("https://", "http://")) and hub_ref(ref) is None


def secret_in(url: str) -> str | None:
    """Name what is secret in an address and stands there as it is, not as ``${VAR}``."""
    from urllib.parse import parse_qsl, urlsplit

    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    if at and "$" not in user:
        return "user and password"
    named = (name for name, value in parse_qsl(parts.query) if "$" not in value)
    return next((name for name in named if is_secret(name) or _SIGNATURE.search(name)), None)


def split_off(ref: str) -> tuple[str, str | None]:
    """Take ``:split`` or ``:config/split`` off a path, where no file of the whole name is there."""
    path, colon, split = ref.rpartition(":")
    if not colon or Path(ref).expanduser().exists() or not Path(path).expanduser().is_dir():
        return ref, None
    return path, split
