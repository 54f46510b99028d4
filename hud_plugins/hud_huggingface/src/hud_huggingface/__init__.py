"""Datasets and LegacyTask for hud-core: load, save and run rows from the HuggingFace Hub and from files."""

from __future__ import annotations

import importlib

_NAMES = {
    "legacy": ("LegacyAgentConfig", "LegacyTask", "LegacyTaskWarning"),
}
"""The modules behind the names of `hud.datasets`: pydantic and pyarrow take long to import."""


def __getattr__(name: str) -> object:
    for module, names in _NAMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
