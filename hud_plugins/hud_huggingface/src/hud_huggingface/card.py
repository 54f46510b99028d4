"""The card of a dataset: what the Hub and other tools read at the head of its README.md, and what people read below."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hud_huggingface.layout import DEFAULT, card_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HEAD = re.compile(r"\s*---[ \t]*\r?\n.*?\r?\n---[ \t]*\r?\n?", re.DOTALL)
_BODY = """
# {name}

Tasks for agent evaluations, saved by `hud.datasets.save_tasks`.

```python
from hud.datasets import load_tasks

tasks = load_tasks("{repo}")
```

Structured fields are JSON text in the columns; `load_tasks` reads them. Variables such as `${{VAR}}` are templates, and
are replaced when a task runs.
"""


def updated_card(text: str, repo: str, splits: Mapping[str, Sequence[str]], rows: int, tags: Sequence[str]) -> str:
    """Give a card that names the files of each split; what else the card says stays.

    Args:
        text: The card so far; empty where there is none.
        repo: The dataset.
        splits: The files of each split of the default config.
        rows: How many rows there are in the split that was written.
        tags: Tags to add.
    """
    data = card_of(text, repo)
    files = [{"split": split, "path": _path(names)} for split, names in splits.items()]
    others = [config for config in data.get("configs") or () if config.get("config_name", DEFAULT) != DEFAULT]
    data["configs"] = [{"config_name": DEFAULT, "data_files": files}, *others]
    data["tags"] = list(dict.fromkeys([*(data.get("tags") or ()), "hud", *tags]))
    if len(splits) == 1:
        data["size_categories"] = [_size(rows)]
    body = _HEAD.sub("", text, count=1) if data and _HEAD.match(text) else text
    body = body or _BODY.format(name=repo.rpartition("/")[2], repo=repo)
    return f"---\n{_dump(data)}---\n{body}"


def _dump(data: dict[str, Any]) -> str:
    import yaml

    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return text


def _path(names: Sequence[str]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


def _size(rows: int) -> str:
    """Name the number of rows as the Hub does."""
    steps = (("1K", 1_000), ("10K", 10_000), ("100K", 100_000), ("1M", 1_000_000), ("10M", 10_000_000))
    lower = "n"
    for name, limit in steps:
        if rows < limit:
            return "n<1K" if lower == "n" else f"{lower}<n<{name}"
        lower = name
    return "n>10M"
