"""Providers of one kind, by name, with the plugin that each came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar

from hud_core.errors import ConfigError, DuplicateProviderError, UnknownProviderError, closest
from hud_core.providers import Provider

T = TypeVar("T")

HOMES = {
    "claude": "hud-anthropic",
    "openai": "hud-openai",
    "operator": "hud-openai",
    "openai_compatible": "hud-openai",
    "gemini": "hud-gemini",
    "gemini_cua": "hud-gemini",
    "local": "hud-local",
    "process": "hud-local",
    "oracle": "hud-local",
    "nop": "hud-local",
    "scripted": "hud-local",
    "human": "hud-local",
    "mcp": "hud-mcp",
    "docker": "hud-docker",
    "platform": "hud-platform",
    "ray": "hud-ray",
}
"""Which distribution provides a well-known name, for the message when it is not installed."""


class Registry(Mapping[str, Provider[T]], Generic[T]):
    """The providers of one kind. Built by a `Kernel`; read-only.

    Args:
        kind: What messages call one of them, such as ``agent``.
        found: Providers with the plugin that each came from.
    """

    def __init__(self, kind: str, found: list[tuple[Provider[T], str]]) -> None:
        self._kind = kind
        self._providers: dict[str, Provider[T]] = {}
        self._sources: dict[str, str] = {}
        self._clashes: dict[str, list[str]] = {}
        for provider, source in found:
            self._add(provider, source)

    def _add(self, provider: Provider[T], source: str) -> None:
        if provider.name in self._providers:
            self._clashes.setdefault(provider.name, [self._sources[provider.name]]).append(source)
            return
        self._providers[provider.name] = provider
        self._sources[provider.name] = source

    def __getitem__(self, name: str) -> Provider[T]:
        if name in self._clashes:
            raise DuplicateProviderError(self.clash(name))
        if name not in self._providers:
            raise UnknownProviderError(self._unknown(name))
        return self._providers[name]

    def __contains__(self, name: object) -> bool:
        return name in self._providers

    def __iter__(self) -> Iterator[str]:
        return iter(self._providers)

    def __len__(self) -> int:
        return len(self._providers)

    @property
    def clashes(self) -> list[str]:
        """What is wrong with names that two plugins provide, one line each."""
        return [self.clash(name) for name in self._clashes]

    def clash(self, name: str) -> str:
        """Say which plugins provide one name."""
        sources = " and ".join(self._clashes[name])
        return f"{self._kind} {name!r} is provided by {sources}; uninstall one, or set HUD_DISABLE_PLUGINS"

    def source(self, name: str) -> str:
        """Name the distribution, with its version, that provides `name`."""
        self[name]
        return self._sources[name]

    def create(self, name: str, /, **options: Any) -> T:
        """Import what `name` provides and make one.

        Raises:
            UnknownProviderError: Nothing installed provides it.
            DuplicateProviderError: Two plugins do.
            ConfigError: It does not take these options, or what it needs is not installed.
        """
        provider = self[name]
        try:
            factory = provider.load()
        except ImportError as error:
            msg = f"{self._kind} {name!r} of {self._sources[name]} cannot be imported: {error}"
            raise ConfigError(msg) from error
        try:
            return factory(**options)
        except TypeError as error:
            if "unexpected keyword argument" not in str(error):
                raise
            msg = f"{self._kind} {name!r}: {str(error).rpartition('() ')[2]}"
            raise ConfigError(msg) from error

    def for_model(self, model: str) -> Provider[T] | None:
        """Find the provider whose most specific pattern matches a model's name."""
        matches = [
            (len(pattern.replace("*", "")), provider.name)
            for provider in self._providers.values()
            for pattern in provider.models
            if fnmatchcase(model, pattern)
        ]
        return self[max(matches)[1]] if matches else None

    def _unknown(self, name: str) -> str:
        known = ", ".join(sorted(self._providers)) or "none"
        home = f"; pip install {HOMES[name]}" if name in HOMES else closest(name, self._providers)
        return f"no {self._kind} {name!r} is installed{home}; installed: {known}"
