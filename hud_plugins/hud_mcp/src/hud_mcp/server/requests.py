"""What a request says of itself: its client, its episode, and the answer that it carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hud_core.errors import ConfigError
from hud_core.model.evaluation import Answer
from hud_mcp import wire

if TYPE_CHECKING:
    from collections.abc import Hashable

    from mcp.server.context import ServerRequestContext

    from hud_core.environment.environment import Environment
    from hud_core.environment.live import LiveSession
    from hud_mcp.server.edition import Edition
    from hud_mcp.server.episodes import Episode
    from hud_mcp.server.run import ServerRun

    Context = ServerRequestContext[ServerRun, Any]

ADDRESSED = "hud_episode"
"""The parameter of an HTTP path that is the address of one episode."""
_PROCESS = "process"
"""Who owns an episode where a run has one client: on stdio, and in memory."""


class Used:
    """The session that a request's calls go to, kept alive meanwhile: an episode's, or the environment's own."""

    def __init__(self, ctx: Context) -> None:
        run, handle, token = ctx.lifespan_context, handle_of(ctx), address_of(ctx)
        episode = run.episodes.find(handle, owner_of(ctx)) if token is None else run.episodes.at(token)
        if token is None and handle is None and episode is not None and episode.edition is not run.edition:
            episode = None  # the environment was exchanged: who names no episode sees the new one
        self._kept = run.edition.used() if episode is None else episode
        self._session = run.edition.session if episode is None else episode.session

    def __enter__(self) -> LiveSession:
        self._kept.__enter__()
        return self._session

    def __exit__(self, *_: object) -> None:
        self._kept.__exit__(None, None, None)


def can_be_asked(ctx: Context) -> bool:
    """Whether a request may take several rounds: its client answers questions, or goes on with one."""
    able = ctx.session.client_capabilities
    is_able = able is not None and bool(able.sampling or able.elicitation or able.roots)
    return is_able or "requestState" in (ctx.params or {})


def address_of(ctx: Context) -> str | None:
    """Give the token of the episode's address that a request came to; None where it came to the server's own.

    Such an address is an agent's: who asks there is never a harness.
    """
    token: str | None = None if ctx.request is None else ctx.request.path_params.get(ADDRESSED)
    return token


def edition_of(ctx: Context) -> Edition:
    """Give what a request sees of the environment: at an episode's address, what the episode began with.

    Raises:
        ConfigError: That episode has ended.
    """
    run, token = ctx.lifespan_context, address_of(ctx)
    return run.edition if token is None else run.episodes.at(token).edition


def environment_of(ctx: Context) -> Environment:
    """Give the environment of the client's episode, which an exchange of environments leaves to it."""
    run = ctx.lifespan_context
    if ctx.method != "resources/read":
        return run.edition.environment
    episode = run.episodes.find(handle_of(ctx), owner_of(ctx))
    return run.edition.environment if episode is None else episode.edition.environment


def handle_of(ctx: Context) -> str | None:
    """Give the handle of the episode that a request names."""
    handle = (ctx.meta or {}).get(wire.EPISODE)
    return handle if isinstance(handle, str) else None


def owner_of(ctx: Context) -> Hashable:
    """Say what identifies the client: its session, or that a process has only one; None where nothing does."""
    session = ctx.session._connection.session_id  # noqa: SLF001  the header alone may be anybody's invention
    if session is not None:
        return session
    return _PROCESS if ctx.request is None else None


def episode_of(ctx: Context, scenario: str) -> Episode:
    """Find the client's episode of a scenario.

    Raises:
        ConfigError: It has none, or one of another scenario.
    """
    episode = ctx.lifespan_context.episodes.find(handle_of(ctx), owner_of(ctx))
    if episode is None:
        msg = (
            f"no episode of scenario {scenario!r} is open for this client; set it up first, and name the handle that "
            f"setup returned in _meta[{wire.EPISODE!r}]"
        )
        raise ConfigError(msg)
    if scenario.rpartition(":")[2] != episode.scenario.rpartition(":")[2]:
        msg = f"the episode that is open is of scenario {episode.scenario!r}, not of {scenario!r}"
        raise ConfigError(msg)
    return episode


def whole_arguments(ctx: Context) -> dict[str, Any] | None:
    """Give a scenario's arguments as JSON data, where the client is a harness of ours; None where they are text."""
    whole = (ctx.meta or {}).get(wire.ARGUMENTS)
    return whole if isinstance(whole, dict) else None


def answer_of(ctx: Context, given: Any) -> Answer:  # noqa: ANN401  JSON data
    """Read an answer: whole from `_meta`, where the client has put it there, or else the text, verbatim."""
    whole = (ctx.meta or {}).get(wire.ANSWER)
    if whole is not None:
        try:
            return msgspec.convert(whole, Answer)
        except msgspec.ValidationError as error:
            msg = f"the answer in _meta[{wire.ANSWER!r}] is none: {error}"
            raise ConfigError(msg) from error
    if isinstance(given, str):
        return Answer(text=given)
    if given is None:
        msg = f"{wire.SUBMIT} needs the parameter 'answer'"
        raise ConfigError(msg)
    return Answer(text=msgspec.json.encode(given).decode(), structured=given)
