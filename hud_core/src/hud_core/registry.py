"""Providers of one kind, by name, with the plugin that each came from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Generic, TypeVar

from hud_core.errors import (
    ConfigError,
    DuplicateProviderError,
    HudError,
    PluginError,
    UnknownProviderError,
    closest,
    describe,
)
from hud_core.providers import Provider

T = TypeVar("T")

HOMES = {
    "claude": "hud-anthropic",
    "cli": "hud-cli-agent",
    "claude-*": "hud-anthropic",
    "anthropic/claude-*": "hud-anthropic",
    "*anthropic.claude-*": "hud-anthropic",
    "gemini-*": "hud-gemini",
    "gpt-*": "hud-openai",
    "chatgpt-*": "hud-openai",
    "computer-use-*": "hud-openai",
    "o[1-9]*": "hud-openai",
    "codex-*": "hud-openai",
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
    "legacy": "hud-huggingface",
    "mcp": "hud-mcp",
    "docker": "hud-docker",
    "platform": "hud-platform",
    "ray": "hud-ray",
    **dict.fromkeys(
        (
            "exact_match", "contains", "contains_any", "contains_all", "numeric_match", "f1_score", "regex",
            "json_match", "bash", "llm_judge",
        ),
        "hud-graders",
    ),
}  # fmt: skip
"""Which distribution provides a well-known name or pattern of names, for the message when it is not installed."""


class Registry(Mapping[str, Provider[T]], Generic[T]):
    """The providers of one kind. Built by a `Kernel`; read-only.

    A name that two plugins provide is not in the mapping, and asking for it says why.

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

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  as Mapping declares it
        """Give the provider of a name, or the default when there is none, or more than one."""
        return self._providers[name] if name in self else default

    def __contains__(self, name: object) -> bool:
        return name in self._providers and name not in self._clashes

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._providers if name not in self._clashes)

    def __len__(self) -> int:
        return len(self._providers) - len(self._clashes)

    @property
    def clashes(self) -> list[tuple[str, str]]:
        """The plugins that provide one name, and what to do about it; one pair for each such name."""
        return [(" and ".join(dict.fromkeys(sources)), self.clash(name)) for name, sources in self._clashes.items()]

    def clash(self, name: str) -> str:
        """Say which plugins provide one name."""
        sources = list(dict.fromkeys(self._clashes[name]))
        if len(sources) == 1:
            return f"{self._kind} {name!r} is provided twice by {sources[0]}; it must give one of them another name"
        both = " and ".join(sources)
        return f"{self._kind} {name!r} is provided by {both}; uninstall one, or name it in HUD_DISABLE_PLUGINS"

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
            PluginError: It cannot be loaded for another reason.
        """
        factory = self._load(name)
        if problem := _misfit(factory, options):
            msg = f"{self._kind} {name!r}: {problem}"
            raise ConfigError(msg)
        return factory(**options)

    def _load(self, name: str) -> Callable[..., T]:
        provider = self[name]
        try:
            return provider.load()
        except HudError:
            raise
        except ImportError as error:
            msg = f"{self._kind} {name!r} of {self._sources[name]} cannot be imported: {error}"
            raise ConfigError(msg) from error
        except Exception as error:  # the plugin's code: say whose it is
            msg = f"{self._kind} {name!r} of {self._sources[name]} cannot be loaded: {describe(error)}"
            raise PluginError(msg) from error

    def for_model(self, model: str) -> Provider[T] | None:
        """Find the provider whose most specific pattern matches a model's name; of equals the first by name."""
        matches = [
            (-len(pattern.replace("*", "")), provider.name)
            for provider in self._providers.values()
            for pattern in provider.models
            if fnmatchcase(model, pattern)
        ]
        return self[min(matches)[1]] if matches else None

    def _unknown(self, name: str) -> str:
        known = ", ".join(sorted(self._providers)) or "none"
        homes = [home for pattern, home in HOMES.items() if fnmatchcase(name, pattern)]
        home = f"; pip install {homes[0]}" if homes else closest(name, self._providers) or self._near_model(name)
        return f"no {self._kind} {name!r} is installed{home}; installed: {known}"

    def _near_model(self, name: str) -> str:
        """Say which models are meant, by the word that their patterns begin with: ``gtp-5`` is near ``gpt-*``."""
        import difflib  # only a mistake pays for it

        homes = {pattern: f" (pip install {home})" for pattern, home in HOMES.items() if "*" in pattern}
        homes = homes if self._kind == "agent" else {}
        homes |= {pattern: "" for provider in self._providers.values() for pattern in provider.models}
        words = {re.split(r"[-*]", pattern)[0]: f"{pattern!r}{home}" for pattern, home in homes.items()}
        near = difflib.get_close_matches(name.split("-", maxsplit=1)[0].lower(), filter(None, words))
        return f"; did you mean a model like {', '.join(words[word] for word in near)}?" if near else ""


def _signature(factory: Callable[..., object]) -> inspect.Signature:
    """Give a factory's signature. For a class that is made as `object` is, Python would parse a text, for 2 ms."""
    if isinstance(factory, type) and type(factory).__call__ is type.__call__:
        own = {name for kind in factory.__mro__[:-1] for name in vars(kind)}
        if own.isdisjoint(("__init__", "__new__")):
            return inspect.Signature()
    return inspect.signature(factory)


def _misfit(factory: Callable[..., object], options: Mapping[str, object]) -> str:
    """Say which option a factory does not take, or misses; asked beforehand, so that its own errors stay its own."""
    try:
        signature = _signature(factory)
    except (TypeError, ValueError):
        return ""  # written in C: it says so itself
    try:
        signature.bind(**options)
    except TypeError as error:
        known = ", ".join(name for name, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD)
        return f"{error}; its options are {known or 'none'}"
    return ""
