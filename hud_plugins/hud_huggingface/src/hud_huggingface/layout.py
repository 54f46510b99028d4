"""Which files of a dataset hold which rows: what its card says, else what the names of the files say."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from hud_core.errors import ConfigError, closest
from hud_huggingface.formats import format_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

DEFAULT = "default"
TRAIN = "train"
CONVERTED = "refs/convert/parquet"
"""The branch where the Hub keeps each dataset as Parquet, as ``config/split/0000.parquet``."""
T = TypeVar("T")
Splits = dict[str, dict[str, list[str]]]
"""Files by config and split."""

_KEYWORDS = {
    TRAIN: ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_NOT_DATA = {"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_SHARD = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5,})\.\w+(\.\w+)?")
_CONVERTED = re.compile(r"(?P<config>[^/]+)/(?P<split>[^/]+)/[^/]+\.parquet")
_WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def card_of(text: str, name: str) -> dict[str, Any]:
    """Read the data at the head of a dataset's card.

    Raises:
        ConfigError: It is no YAML.
    """
    match = re.match(r"\s*---[ \t]*\r?\n(.*?)\r?\n---", text, re.DOTALL)
    if match is None:
        return {}
    import yaml

    try:
        data = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        where = str(error).replace("\n", " ")
        raise ConfigError(f"the head of {name}/README.md is no valid YAML: {where}") from error
    return data if isinstance(data, dict) else {}


def splits_of(names: Iterable[str], card: Mapping[str, Any], name: str) -> Splits:
    """Find the files of each config and split.

    Raises:
        ConfigError: The card names files that are not there.
    """
    files = sorted(name for name in names if _is_data(name))
    configs = card.get("configs")
    if isinstance(configs, list) and configs:
        if not all(isinstance(config, dict) for config in configs):
            raise ConfigError(f"{name}: its card must give each of its configs as an object with a config_name")
        return {str(config.get("config_name", DEFAULT)): _of_config(config, files, name) for config in configs}
    found = _by_name(files)
    return {DEFAULT: found} if found else {}


def converted_splits(names: Iterable[str]) -> Splits:
    """Find the files of each config and split on the branch `CONVERTED`."""
    found: Splits = {}
    for name in sorted(names):
        if match := _CONVERTED.fullmatch(name):
            found.setdefault(match["config"], {}).setdefault(match["split"], []).append(name)
    return found


def choose(splits: Splits, config: str | None, split: str | None, name: str) -> list[str]:
    """Give the files of a config and a split.

    Args:
        splits: What there is; at least one config with a split.
        config: The config; the only one, or the one called ``default``, where it is None.
        split: The split; ``train``, or else the only one, where it is None.
        name: What to call the dataset.

    Raises:
        ConfigError: There is no such config or split, or more than one and none is named, or files are missing.
    """
    of_config = _choose(splits, config, DEFAULT, f"{name}: config", lambda one: f"{name}:{one}/{split or TRAIN}")
    files = _choose(of_config, split, TRAIN, f"{name}: split", lambda one: f"{name}:{one}")
    _check_shards(files, name)
    return files


def _choose(found: Mapping[str, T], wanted: str | None, usual: str, what: str, spelled: Callable[[str], str]) -> T:
    key = wanted if wanted is not None else usual if usual in found else next(iter(found)) if len(found) == 1 else None
    if key is not None and key in found:
        return found[key]
    names = ", ".join(found)
    if wanted is not None:
        raise ConfigError(f"{what} {wanted!r} is not there; there are {names}{closest(wanted, found)}")
    raise ConfigError(f"{what}: there are {names}; name one, as {spelled(next(iter(found)))}")


def _check_shards(files: Sequence[str], name: str) -> None:
    """See that no part is missing, where the names of the parts say how many there are."""
    present = Counter((match["stem"], int(match["count"])) for file in files if (match := _SHARD.fullmatch(file)))
    for (stem, count), found in present.items():
        if found < count:
            raise ConfigError(f"{name}: {count - found} of the {count} files {stem}-*-of-{count:05} are missing")


# --- what the card says -----------------------------------------------------------------------------------------------


def _of_config(config: Mapping[str, Any], files: Sequence[str], name: str) -> dict[str, list[str]]:
    folder = str(config.get("data_dir") or "").strip("./")
    below = [file for file in files if not folder or file.startswith(f"{folder}/")]
    listed = config.get("data_files")
    if not listed:
        return _by_name(below)
    found: dict[str, list[str]] = {}
    for split, patterns in _data_files(listed, name):
        for pattern in patterns if isinstance(patterns, list) else [patterns]:
            found.setdefault(split, []).extend(_matching(str(pattern), folder, below, name))
    return found


def _data_files(listed: object, name: str) -> Iterator[tuple[str, object]]:
    """Read the forms in which a card names files: patterns, ``{split: ..., path: ...}``, ``{SPLIT: patterns}``."""
    for item in listed if isinstance(listed, list) else [listed]:
        if isinstance(item, str):
            yield TRAIN, item
        elif isinstance(item, dict) and "path" in item:
            yield str(item.get("split", TRAIN)), item["path"]
        elif isinstance(item, dict):
            yield from ((str(split), patterns) for split, patterns in item.items())
        else:
            raise ConfigError(f"{name}: its card names data files as {item!r}; it must be a pattern, or a split's path")


def _matching(pattern: str, folder: str, files: Sequence[str], name: str) -> list[str]:
    whole = f"{folder}/{pattern}" if folder else pattern.removeprefix("./")
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", whole)
    regex = re.compile("".join(_WILDCARDS.get(part, part if part[:1] == "[" else re.escape(part)) for part in parts))
    found = [file for file in files if regex.fullmatch(file)]
    if not found:
        raise ConfigError(f"{name}: its card names the data files {pattern!r}, and there are none")
    return found


# --- what the names of files say --------------------------------------------------------------------------------------


def _is_data(name: str) -> bool:
    path = PurePosixPath(name)
    is_hidden = any(part.startswith((".", "__")) for part in path.parts)
    return format_of(name) is not None and path.name not in _NOT_DATA and not is_hidden


def _by_name(files: Sequence[str]) -> dict[str, list[str]]:
    """Sort the files of the most frequent format into splits."""
    formats = Counter(format_of(file) for file in files)
    if not formats:
        return {}
    kind = max(formats, key=lambda kind: (formats[kind], kind == "parquet"))
    same = [file for file in files if format_of(file) == kind]
    return _shards(same) or _keywords(same) or {TRAIN: same}


def _shards(files: Sequence[str]) -> dict[str, list[str]]:
    """Find files such as ``data/easy-00000-of-00002.parquet``, whatever their split is called."""
    found: dict[str, list[str]] = {}
    for file in files:
        match = _SHARD.fullmatch(file)
        if match and PurePosixPath(file).parent.name == "data":
            found.setdefault(PurePosixPath(match["stem"]).name, []).append(file)
    return found


def _keywords(files: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for split, words in _KEYWORDS.items():
        pattern = re.compile(rf"(?:^|[/._\- 0-9])(?:{'|'.join(words)})(?:$|[/._\- 0-9])")
        matching = [file for file in files if pattern.search(file)]
        if matching:
            found[split] = matching
    return found
