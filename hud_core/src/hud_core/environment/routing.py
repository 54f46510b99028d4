"""The names under which a session offers what its connections have, and what to do when two of them have one name."""

from __future__ import annotations

import re
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from attrs import evolve

from hud_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hud_core.model.publications import ListedPrompt, ListedResource
    from hud_core.model.tools import Tool

T = TypeVar("T")


class ConflictResolution(StrEnum):
    """What to do when two connections offer a tool of one name. The environment's own tools win over all of them."""

    PREFIX = "prefix"
    """Each of them is called ``{connection}_{tool}``; so is one that has the name of a tool of the environment."""
    FIRST_WINS = "first_wins"
    """That of the connection which was declared first."""
    LAST_WINS = "last_wins"
    """That of the connection which was declared last."""
    ERROR = "error"
    """The session is not opened."""


class Kind(NamedTuple, Generic[T]):
    """Something that connections offer by name."""

    noun: str
    name_of: Callable[[T], str]
    renamed: Callable[[T, str], T]
    qualified: Callable[[str, str], str]
    """Puts a connection's name before another name."""


class Route(NamedTuple, Generic[T]):
    """Something that a connection offers, and where a request for it goes."""

    source: str
    """The connection."""
    item: T
    """What it offers, under its name here."""
    remote: str
    """Its name there."""


def routed(
    kind: Kind[T], local: Iterable[str], routes: Iterable[Route[T]], strategy: ConflictResolution
) -> dict[str, Route[T]]:
    """Give everything that connections offer its name.

    Raises:
        ConfigError: Two have one name, and the strategy does not settle it.
    """
    own = set(local)
    claims: dict[str, list[Route[T]]] = {}
    for route in routes:
        claims.setdefault(kind.name_of(route.item), []).append(route)
    found = {name: rivals[0] for name, rivals in claims.items() if len(rivals) == 1 and name not in own}
    for name, rivals in claims.items():
        if name in found:
            continue
        if doubled := _doubled(rivals):
            raise ConfigError(f"connection {doubled!r} has two {kind.noun}s {name!r}; let transform tell them apart")
        if strategy is ConflictResolution.PREFIX:
            found.update(_prefixed(kind, name, rivals, own | claims.keys() | found.keys()))
        elif name not in own:
            found[name] = _winner(kind, name, rivals, strategy)
    return found


def _doubled(rivals: Sequence[Route[T]]) -> str | None:
    """Name the connection that offers more than one of these."""
    ((source, count),) = Counter(route.source for route in rivals).most_common(1)
    return source if count > 1 else None


def _winner(kind: Kind[T], name: str, rivals: Sequence[Route[T]], strategy: ConflictResolution) -> Route[T]:
    if strategy is ConflictResolution.ERROR:
        both = " and ".join(repr(route.source) for route in rivals)
        msg = (
            f"{kind.noun} {name!r} is offered by the connections {both}; give one of them a prefix=, exclude= "
            "the tool there, or choose another conflict_resolution"
        )
        raise ConfigError(msg)
    return rivals[0 if strategy is ConflictResolution.FIRST_WINS else -1]


def _prefixed(kind: Kind[T], name: str, rivals: Sequence[Route[T]], taken: set[str]) -> dict[str, Route[T]]:
    found: dict[str, Route[T]] = {}
    for route in rivals:
        free = kind.qualified(route.source, name)
        if free in taken or free in found:
            msg = f"{kind.noun} {name!r} of connection {route.source!r} cannot be called {free!r}, which is taken"
            raise ConfigError(f"{msg}; give the connection a prefix= of its own")
        found[free] = route._replace(item=kind.renamed(route.item, free))
    return found


def _before_name(source: str, name: str) -> str:
    """Put the connection's name before a tool's; what is internal stays so."""
    source = re.sub(r"[^a-zA-Z0-9-]+", "_", source).strip("_")
    return f"_{source}{name}" if name.startswith("_") else f"{source}_{name}"


def _before_address(source: str, uri: str) -> str:
    """Put the connection's name into a URI's scheme, with what a scheme may have: ``a+note://1``."""
    return f"{re.sub(r'[^a-zA-Z0-9.-]+', '-', source).strip('-') or 'x'}+{uri}"


TOOLS: Kind[Tool] = Kind(
    "tool",
    lambda tool: tool.name,
    lambda tool, name: evolve(tool, name=name),
    _before_name,
)
PROMPTS: Kind[ListedPrompt] = Kind(
    "prompt",
    lambda prompt: prompt.name,
    lambda prompt, name: evolve(prompt, name=name),
    _before_name,
)
RESOURCES: Kind[ListedResource] = Kind(
    "resource",
    lambda resource: resource.uri,
    lambda resource, uri: evolve(resource, uri=uri),
    _before_address,
)
