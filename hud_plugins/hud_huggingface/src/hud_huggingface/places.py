"""Where rows are: on the Hub, at an address, in a file, in a folder; each becomes files on this machine."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hud_core.environment.references import bare_urls
from hud_core.errors import ConfigError
from hud_huggingface.formats import FORMATS, format_of
from hud_huggingface.hub import Part, download, parts_of
from hud_huggingface.layout import card_of, choose, splits_of
from hud_huggingface.refs import HubRef, hub_ref, is_url, split_off

if TYPE_CHECKING:
    from collections.abc import Iterator

_CARD = "README.md"


@contextmanager
def files_of(ref: str) -> Iterator[list[Part]]:
    """Give the files behind a ref; what was downloaded from an address is deleted at the end.

    Raises:
        ConfigError: There is no such thing, or it holds no rows.
        HubError: A server cannot be reached, or fails.
    """
    on_hub = hub_ref(ref)
    if on_hub is not None:
        yield parts_of(on_hub)
    elif is_url(ref):
        with TemporaryDirectory(prefix="hud-rows-") as folder:
            yield [download(ref, Path(folder))]
    else:
        yield local_files(ref)


def local_files(ref: str) -> list[Part]:
    """Give the files of rows of a path; ``folder:split`` names a split of a folder.

    Raises:
        ConfigError: There is no such file, folder or split, or no file of rows in it.
    """
    path, split = split_off(ref)
    place = Path(path).expanduser()
    if place.is_dir():
        return _folder(place, split)
    if not place.is_file():
        raise ConfigError(_missing(ref))
    if format_of(place.name) is None:
        raise ConfigError(f"{ref} is no file of rows: its name must end in {', '.join(FORMATS)}")
    return [Part(place, shown(place))]


def _missing(ref: str) -> str:
    if "://" in ref:
        return f"{ref} names no dataset; one on the Hub is hf://datasets/org/name, with @revision and :split behind"
    if ref.endswith("]"):  # `datasets` cuts splits, as in train[:10]
        return f"{ref}: a split is named as a whole; take of its rows what you want, as in load_tasks(...)[:10]"
    if "/" in ref or format_of(ref):
        return f"no such file: {ref}"
    return f"no such file or dataset: {ref!r} (datasets on the Hub are named org/name)"


def _folder(folder: Path, split: str | None) -> list[Part]:
    names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    name = shown(folder)
    card = card_of((folder / _CARD).read_text(encoding="utf-8", errors="replace"), name) if _CARD in names else {}
    splits = splits_of(names, card, name)
    if not splits:
        raise ConfigError(f"there are no files of rows ({', '.join(FORMATS)}) in {name}")
    config, _, part = (split or "").rpartition("/")
    chosen = choose(splits, config or None, part or None, name)
    return [Part(folder / file, shown(folder / file)) for file in chosen]


def shown(path: Path) -> str:
    """Give a path as short as it can be read: relative to the current folder when it is inside."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def with_parts(ref: str, *, revision: str | None, config: str | None, split: str | None) -> str:
    """Add a revision, a config and a split to a ref.

    Raises:
        ConfigError: The ref has one already, or is one of a thing that has none.
    """
    found = hub_ref(ref)
    if found is not None:
        return str(_extended(found, {"revision": revision, "config": config, "split": split}))
    if revision is not None:
        raise ConfigError(f"{bare_urls(ref)} has no revisions; only datasets on the Hub have")
    if split is None and config is None:
        return ref
    path, own = split_off(ref)
    if own or not Path(path).expanduser().is_dir():
        raise ConfigError(f"{bare_urls(ref)} has no splits to choose from; datasets on the Hub and folders have")
    return f"{path}:{config}/{split or 'train'}" if config else f"{path}:{split}"


def _extended(ref: HubRef, given: dict[str, str | None]) -> HubRef:
    for field, value in given.items():
        own = getattr(ref, field)
        if value is not None and own not in (None, value):
            raise ConfigError(f"{ref} names the {field} {own!r} already, {value!r} is another")
    extended = ref._replace(**{field: value for field, value in given.items() if value is not None})
    return extended._replace(split=extended.split or "train") if extended.config else extended
